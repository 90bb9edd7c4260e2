//===- Random.cpp - random numbers that are the same everywhere -----------===//

#include "compiler/weights/Random.h"

#include <cmath>

#pragma STDC FP_CONTRACT OFF

using namespace gru;

/// The natural logarithm of a positive number to about 2 ulp. The library's
/// own differs between machines in its last bit.
static double logarithm(double x) {
  constexpr double ln2 = 0.69314718055994530942;
  constexpr double squareRootOfHalf = 0.70710678118654752440;
  int exponent;
  double fraction = std::frexp(x, &exponent);
  if (fraction < squareRootOfHalf) {
    fraction *= 2;
    --exponent;
  }
  // log m = 2 artanh s, s = (m - 1) / (m + 1), |s| < 0.172.
  double s = (fraction - 1) / (fraction + 1), square = s * s, sum = 0;
  for (int k = 23; k >= 1; k -= 2)
    sum = sum * square + 1.0 / k;
  return 2 * s * sum + exponent * ln2;
}

/// Marsaglia's polar method.
double Random::normal() {
  if (hasSpare) {
    hasSpare = false;
    return spare;
  }
  double u, v, square;
  do {
    u = 2 * uniform() - 1;
    v = 2 * uniform() - 1;
    square = u * u + v * v;
  } while (square >= 1 || square == 0);
  double factor = std::sqrt(-2 * logarithm(square) / square);
  spare = v * factor;
  hasSpare = true;
  return u * factor;
}
