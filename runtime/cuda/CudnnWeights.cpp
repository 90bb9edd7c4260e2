//===- CudnnWeights.cpp - Keras's weights in cuDNN's order ----------------===//

#include "CudnnWeights.h"

#include <cstring>

using namespace gru::runtime;

void cuda::copyGateMatrix(const char *kernel, int64_t inputs, int64_t units,
                          Gate gate, size_t elementBytes, char *to) {
  for (int64_t unit = 0; unit < units; ++unit)
    for (int64_t input = 0; input < inputs; ++input)
      std::memcpy(to + (unit * inputs + input) * elementBytes,
                  kernel + (input * 3 * units + int64_t(gate) * units + unit) *
                               elementBytes,
                  elementBytes);
}

void cuda::copyGateBias(const char *bias, int64_t units, Gate gate,
                        bool recurrent, size_t elementBytes, char *to) {
  int64_t row = recurrent ? 1 : 0;
  std::memcpy(to, bias + (row * 3 + int64_t(gate)) * units * elementBytes,
              units * elementBytes);
}
