//===- Sequences.h - what a device sees of masked and reversed layers -------===//
//
// cuDNN and our own device kernels run forwards over the first steps of each
// row. Keras's rules for masks and direction are applied to what goes in and
// what comes out, here, so that a layer gives the same numbers on every target.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_CUDA_SEQUENCES_H
#define GRU_RUNTIME_CUDA_SEQUENCES_H

#include <cstddef>
#include <cstdint>

namespace gru::runtime::cuda {

/// [batch, time, ...] or, time-major, [time, batch, ...].
struct Steps {
  int64_t batch, time;
  bool timeMajor;
  int64_t at(int64_t row, int64_t t) const {
    return timeMajor ? t * batch + row : row * time + t;
  }
};

/// Valid steps of each row of a right-padded mask; all of them without one.
void readLengths(const Steps &steps, const uint8_t *mask, int32_t *lengths);

/// The valid part of each row from its end; zeros after it. `bytes` is a step's.
void reverseValid(const Steps &steps, const int32_t *lengths, size_t bytes,
                  const char *from, char *to);

/// What a direction's outputs become.
struct OutputRule {
  bool backward;       ///< Read from the end of each row's valid part.
  bool processedOrder; ///< Of a backward one: written as it was processed.
  bool zeroOutput;     ///< Masked outputs are zeros, not the last valid one.
  /// The device has reversed the valid part back (a bidirectional network
  /// does), so that its step t is time t.
  bool inTimeOrder;
};

/// Steps of `bytes` out of device steps `stride` bytes apart, of which those up
/// to the row's length are valid, into a sequence as Keras returns it.
void writeSequence(const Steps &steps, const int32_t *lengths, OutputRule rule,
                   size_t bytes, size_t stride, const char *from, char *to);

/// The last output, from the last state.
void writeLast(const Steps &steps, const int32_t *lengths, OutputRule rule,
               size_t bytes, const char *state, char *to);

/// The last state: the initial one (null: zeros) in rows without a valid step.
void writeState(const Steps &steps, const int32_t *lengths, size_t bytes,
                const char *state, const char *initial, char *to);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_SEQUENCES_H
