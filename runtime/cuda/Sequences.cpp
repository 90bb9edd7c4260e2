//===- Sequences.cpp - masks as cuDNN has them ----------------------------===//

#include "Sequences.h"

using namespace gru::runtime;

void cuda::readLengths(const Steps &steps, const uint8_t *mask,
                       int32_t *lengths) {
  for (int64_t row = 0; row < steps.batch; ++row) {
    int64_t length = 0;
    while (length < steps.time && (!mask || mask[steps.at(row, length)]))
      ++length;
    lengths[row] = int32_t(length);
  }
}
