//===- Error.h - statuses with a text, without allocation -------*- C++ -*-===//
//
// A failing function returns `fail(status, pieces...)`, which writes the pieces
// into the thread's fixed message buffer. Only failures touch the buffer, so
// that a run that succeeds does not reach for thread-local storage.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_ERROR_H
#define GRU_RUNTIME_ERROR_H

#include "gru/runtime.h"

#include <concepts>
#include <cstring>
#include <string_view>

namespace gru::runtime {

/// A shape to print, as [1, ?, 42].
struct Shape {
  const int64_t *dims;
  uint32_t rank;
  /// Of a plan: negative dimensions are dynamic. Otherwise they are wrong and
  /// printed as they are.
  bool symbolic;
};

inline Shape planShape(const gru_plan_tensor &tensor) {
  return {tensor.dims, tensor.rank, true};
}

/// Writes a message over the thread's last one.
class MessageWriter {
public:
  MessageWriter();

  void add(std::string_view text);
  void add(const char *text) { add(std::string_view(text)); }
  void add(const Shape &shape);
  template <std::integral T> void add(T value) {
    if constexpr (std::is_signed_v<T>)
      addSigned(value);
    else
      addUnsigned(value);
  }

private:
  void addSigned(int64_t value);
  void addUnsigned(uint64_t value);

  size_t length = 0;
};

template <typename... Pieces>
[[nodiscard]] gru_status fail(gru_status status, const Pieces &...pieces) {
  MessageWriter writer;
  (writer.add(pieces), ...);
  return status;
}

/// Reads a caller's struct that begins with its own size. Bytes that it lacks
/// are zero; bytes that we do not know must be. `firstSize` is what the struct
/// had when this version of the ABI began.
template <typename T>
[[nodiscard]] gru_status readVersioned(const T *from, const char *what, T &to,
                                       size_t firstSize = sizeof(T)) {
  static_assert(offsetof(T, struct_size) == 0);
  std::memset(static_cast<void *>(&to), 0, sizeof(T));
  uint32_t size = from->struct_size;
  if (size < firstSize)
    return fail(GRU_INVALID_ARGUMENT, what,
                ": struct_size is too small, found ", size,
                ", expected at least ", firstSize);
  const auto *bytes = reinterpret_cast<const unsigned char *>(from);
  for (size_t i = sizeof(T); i < size; ++i)
    if (bytes[i] != 0)
      return fail(GRU_UNSUPPORTED, what,
                  ": sets a field that this library does not know, found a "
                  "struct of ",
                  size, " bytes, expected ", sizeof(T));
  std::memcpy(static_cast<void *>(&to), from,
              size < sizeof(T) ? size : sizeof(T));
  return GRU_OK;
}

/// The host's allocator, checked, or one without functions: the C library's.
[[nodiscard]] inline gru_status readAllocator(const gru_allocator *from,
                                              gru_allocator &to) {
  to = {};
  if (!from)
    return GRU_OK;
  if (gru_status status = readVersioned(from, "allocator", to))
    return status;
  if (!to.allocate || !to.release)
    return fail(GRU_INVALID_ARGUMENT,
                "allocator: allocate or release is null, expected both");
  return GRU_OK;
}

} // namespace gru::runtime

#endif // GRU_RUNTIME_ERROR_H
