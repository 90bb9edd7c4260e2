//===- Sequences.h - masks as cuDNN has them --------------------*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_SEQUENCES_H
#define GRU_RUNTIME_CUDA_SEQUENCES_H

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

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_SEQUENCES_H
