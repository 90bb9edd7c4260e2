//===- NoiseTest.cpp - normal numbers: their values and distribution ------===//

#include "test/unit/DrawnTensors.h"

#include <algorithm>
#include <cmath>
#include <numbers>

using namespace gru;

namespace {

Program compileNormal(int64_t rows, int64_t columns, double mean, double stddev,
                      const char *target) {
  return compileDrawing("gru.random_normal",
                        attributePair("mean", mean, "stddev", stddev), rows,
                        columns, target);
}

/// Element `index`, by the formula that describes the operation and the C
/// library's functions.
double expected(uint64_t index, uint64_t seed, uint64_t draw) {
  uint64_t word = index % 64 / 16;
  auto counter = uint32_t(index / 64 * 16 + index % 16);
  runtime::Counter bits =
      runtime::philox({counter, kStream, uint32_t(draw), uint32_t(draw >> 32)},
                      uint32_t(seed), uint32_t(seed >> 32));
  uint64_t pair = word / 2 * 2;
  double radius = std::sqrt(-2 * std::log((bits[pair] + 0.5) * 0x1p-32));
  double angle = 2 * std::numbers::pi * bits[pair + 1] * 0x1p-32;
  return radius * (word % 2 ? std::sin(angle) : std::cos(angle));
}

// What the formula gives, rounded once more; the same bits on both targets;
// anew in each run.
TEST(RandomNormal, SameOnEveryTarget) {
  const double mean = 0.75, stddev = 1.5;
  for (auto [rows, columns] : kDrawnSizes) {
    Program programs[] = {
        compileNormal(rows, columns, mean, stddev, "cpu"),
        compileNormal(rows, columns, mean, stddev, "reference")};
    Session cpu = programs[0].session(), reference = programs[1].session();
    uint64_t seed = 0x123456789abcdefull;
    set_seed(cpu, seed);
    set_seed(reference, seed);
    for (uint64_t run = 0; run < 3; ++run) {
      std::vector<float> values = drawOnce(cpu, rows, columns);
      EXPECT_EQ(values, drawOnce(reference, rows, columns));
      for (size_t i = 0; i < values.size(); ++i) {
        double exact = mean + stddev * expected(i, seed, run);
        EXPECT_LE(std::fabs(values[i] - exact), 1e-7 * std::fabs(exact) + 1e-9)
            << i;
      }
    }
  }
}

// 10^6 draws: mean, variance and what lies beyond 1, 2, 3 and 4 deviations,
// within four standard deviations of each.
TEST(RandomNormal, Distribution) {
  Program program = compileNormal(1000, 1000, 0, 1, "cpu");
  Session session = program.session();
  set_seed(session, 42);
  std::vector<float> values = drawOnce(session, 1000, 1000);
  double n = values.size(), sum = 0, squares = 0, product = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    squares += double(values[i]) * values[i];
    // Neighbours of one pair are 16 apart.
    product += double(values[i]) * values[(i + 16) % values.size()];
  }
  EXPECT_LE(std::fabs(sum / n), 4 / std::sqrt(n));
  EXPECT_LE(std::fabs(squares / n - 1), 4 * std::sqrt(2 / n));
  EXPECT_LE(std::fabs(product / n), 4 / std::sqrt(n));
  for (double bound : {1.0, 2.0, 3.0, 4.0})
    for (double sign : {-1.0, 1.0}) {
      double rate = std::erfc(bound / std::numbers::sqrt2) / 2;
      double beyond = std::count_if(values.begin(), values.end(),
                                    [&](float x) { return sign * x > bound; });
      EXPECT_LE(std::fabs(beyond / n - rate),
                4 * std::sqrt(rate * (1 - rate) / n))
          << sign * bound;
    }
}

} // namespace
