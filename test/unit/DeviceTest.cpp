//===- DeviceTest.cpp - what devices are given, without a device ----------===//

#include "runtime/cuda/CudnnWeights.h"
#include "runtime/cuda/Sequences.h"

#include "gtest/gtest.h"

#include <numeric>
#include <string>
#include <vector>

using namespace gru::runtime::cuda;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

namespace {
/// cuDNN's formula of the GRU, by its own names and numbers of linear layers:
///   r_t = s(W_0 x + R_3 h + b_0 + b_3)     i_t = s(W_1 x + R_4 h + b_1 + b_4)
///   n_t = tanh(W_2 x + r_t * (R_5 h + b_5) + b_2)
/// Keras's r, z and h, in terms of columns of kernel, recurrent kernel and
/// bias.
struct LinearLayer {
  bool recurrent;
  int kerasColumnBlock;
};
constexpr LinearLayer plainDefinition[6] = {{false, 1}, {false, 0}, {false, 2},
                                            {true, 1},  {true, 0},  {true, 2}};
} // namespace

TEST(CudnnWeights, LinearLayersAreThoseOfTheFormula) {
  for (int linear = 0; linear < 6; ++linear)
    EXPECT_EQ(cudnnLinearLayer(Gate(plainDefinition[linear].kerasColumnBlock),
                               plainDefinition[linear].recurrent),
              linear);
}

TEST(CudnnWeights, MatricesAreTransposedGateByGate) {
  constexpr int64_t inputs = 3, units = 2;
  std::vector<float> kernel(inputs * 3 * units);
  std::iota(kernel.begin(), kernel.end(), 0.0f);
  for (Gate gate : {Gate::z, Gate::r, Gate::h}) {
    std::vector<float> matrix(units * inputs, -1);
    copyGateMatrix(reinterpret_cast<const char *>(kernel.data()), inputs, units,
                   gate, sizeof(float),
                   reinterpret_cast<char *>(matrix.data()));
    for (int64_t unit = 0; unit < units; ++unit)
      for (int64_t input = 0; input < inputs; ++input)
        EXPECT_EQ(matrix[unit * inputs + input],
                  kernel[input * 3 * units + int64_t(gate) * units + unit]);
  }
}

TEST(CudnnWeights, BiasesOfBothProducts) {
  constexpr int64_t units = 2;
  std::vector<double> bias(2 * 3 * units);
  std::iota(bias.begin(), bias.end(), 0.0);
  for (bool recurrent : {false, true})
    for (Gate gate : {Gate::z, Gate::r, Gate::h}) {
      double vector[units];
      copyGateBias(reinterpret_cast<const char *>(bias.data()), units, gate,
                   recurrent, sizeof(double), reinterpret_cast<char *>(vector));
      for (int64_t unit = 0; unit < units; ++unit)
        EXPECT_EQ(
            vector[unit],
            bias[(recurrent ? 3 * units : 0) + int64_t(gate) * units + unit]);
    }
}

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

TEST(Sequences, LengthsOfRows) {
  // Rows 1100, 1111, 0000; then time-major.
  const uint8_t mask[] = {1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0};
  int32_t lengths[3];
  readLengths({3, 4, false}, mask, lengths);
  EXPECT_EQ(std::vector<int32_t>(lengths, lengths + 3),
            (std::vector<int32_t>{2, 4, 0}));
  const uint8_t timeMajor[] = {1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0};
  readLengths({3, 4, true}, timeMajor, lengths);
  EXPECT_EQ(std::vector<int32_t>(lengths, lengths + 3),
            (std::vector<int32_t>{2, 4, 0}));
  readLengths({3, 4, false}, nullptr, lengths);
  EXPECT_EQ(std::vector<int32_t>(lengths, lengths + 3),
            (std::vector<int32_t>{4, 4, 4}));
}
