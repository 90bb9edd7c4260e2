//===- Random.h - random numbers that are the same everywhere ---*- C++ -*-===//

#ifndef GRU_COMPILER_WEIGHTS_RANDOM_H
#define GRU_COMPILER_WEIGHTS_RANDOM_H

#include <cstdint>
#include <random>

namespace gru {

/// The standard fixes the generator to the bit, but not its distributions;
/// those here use only what IEEE 754 fixes.
class Random {
public:
  explicit Random(uint64_t seed) : generator(seed) {}

  /// In [0, 1).
  double uniform() { return double(generator() >> 11) * 0x1p-53; }
  /// Mean 0, deviation 1.
  double normal();

private:
  std::mt19937_64 generator;
  /// Numbers come in pairs.
  bool hasSpare = false;
  double spare = 0;
};

} // namespace gru

#endif // GRU_COMPILER_WEIGHTS_RANDOM_H
