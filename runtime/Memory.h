//===- Memory.h - aligned blocks and checked sizes --------------*- C++ -*-===//
//
// The runtime's only way to allocate. Failure is a value, not an exception.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_MEMORY_H
#define GRU_RUNTIME_MEMORY_H

#include "gru/runtime.h"

#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gru::runtime {

/// Alignment of all blobs: a cache line, and the widest vector.
inline constexpr uint64_t kAlignment = 64;

/// A plan that needs more for one blob is damaged; also keeps sums of a few
/// sizes from overflowing.
inline constexpr uint64_t kMaxBytes = uint64_t(1) << 40;

inline constexpr uint64_t alignUp(uint64_t bytes) {
  return (bytes + kAlignment - 1) & ~(kAlignment - 1);
}

/// product *= factor; false if that exceeds kMaxBytes.
[[nodiscard]] inline bool multiply(uint64_t &product, uint64_t factor) {
  return !__builtin_mul_overflow(product, factor, &product) &&
         product <= kMaxBytes;
}

/// Blocks from here on ask for pages of this size where the system has them:
/// with pages of 4 KB the weights of a layer of 1024 units are 3000 of them,
/// more than a processor remembers the places of.
inline constexpr uint64_t kLargePage = uint64_t(1) << 21;

/// The C library's memory, in large pages if it fills some.
inline void *allocatePages(uint64_t bytes) {
#if defined(__linux__)
  if (bytes >= kLargePage) {
    // Not aligned_alloc, which wants a size that is a multiple.
    void *memory = nullptr;
    if (posix_memalign(&memory, kLargePage, bytes) != 0)
      return nullptr;
    // Only advice: without it, or on a system that has no large pages, the
    // memory is the same and slower.
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
  }
#endif
  return std::aligned_alloc(kAlignment, bytes);
}

/// The host's allocator, or the C library's where it has given none.
inline void *allocateMemory(const gru_allocator &allocator, uint64_t bytes) {
  return allocator.allocate
             ? allocator.allocate(allocator.context, bytes, kAlignment)
             : allocatePages(bytes);
}
inline void releaseMemory(const gru_allocator &allocator, void *memory,
                          uint64_t bytes) {
  if (allocator.allocate)
    allocator.release(allocator.context, memory, bytes);
  else
    std::free(memory);
}

/// Owns a block of zeros, aligned to kAlignment, with every page touched.
class Block {
public:
  Block() = default;
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  ~Block() {
    if (data)
      releaseMemory(allocator, data, size);
  }

  /// Once. The pointer is never null afterwards, even for 0 bytes.
  [[nodiscard]] bool allocate(uint64_t bytes, const gru_allocator &from = {}) {
    if (bytes > kMaxBytes)
      return false;
    allocator = from;
    size = bytes == 0 ? kAlignment : alignUp(bytes);
    data = static_cast<char *>(allocateMemory(allocator, size));
    if (!data)
      return false;
    std::memset(data, 0, size);
    return true;
  }

  char *get() const { return data; }

private:
  gru_allocator allocator{};
  char *data = nullptr;
  uint64_t size = 0;
};

/// Makes an object of the library's own in the allocator's memory; null if
/// there is none.
template <typename T> T *create(const gru_allocator &allocator) {
  static_assert(alignof(T) <= kAlignment);
  void *place = allocateMemory(allocator, alignUp(sizeof(T)));
  return place ? new (place) T : nullptr;
}
template <typename T> void destroy(const gru_allocator &allocator, T *object) {
  object->~T();
  releaseMemory(allocator, object, alignUp(sizeof(T)));
}

} // namespace gru::runtime

#endif // GRU_RUNTIME_MEMORY_H
