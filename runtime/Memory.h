//===- Memory.h - aligned blocks and checked sizes --------------*- C++ -*-===//
//
// The runtime's only way to allocate. Failure is a value, not an exception.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_MEMORY_H
#define GRU_RUNTIME_MEMORY_H

#include "gru/plan.h"

#include <cstdlib>
#include <cstring>
#include <utility>

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

/// Owns a block of zeros, aligned to kAlignment, with every page touched.
class Block {
public:
  Block() = default;
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  ~Block() { std::free(data); }

  /// Once. The pointer is never null afterwards, even for 0 bytes.
  [[nodiscard]] bool allocate(uint64_t bytes) {
    if (bytes > kMaxBytes)
      return false;
    uint64_t size = bytes == 0 ? kAlignment : alignUp(bytes);
    data = static_cast<char *>(std::aligned_alloc(kAlignment, size));
    if (!data)
      return false;
    std::memset(data, 0, size);
    return true;
  }

  char *get() const { return data; }

private:
  char *data = nullptr;
};

} // namespace gru::runtime

#endif // GRU_RUNTIME_MEMORY_H
