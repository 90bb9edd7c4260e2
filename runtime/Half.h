//===- Half.h - conversions of 16-bit floating-point formats ----*- C++ -*-===//
//
// In software and to nearest even from a double at once: going through a float
// would round twice.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_HALF_H
#define GRU_RUNTIME_HALF_H

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace gru::runtime {

/// A sign, ExponentBits and 15 - ExponentBits of mantissa.
template <int ExponentBits> struct SmallFloat {
  static constexpr int kMantissa = 15 - ExponentBits;
  static constexpr int kMaxExponent = (1 << ExponentBits) - 1; ///< Inf, NaN.
  static constexpr int kBias = (1 << (ExponentBits - 1)) - 1;
  static constexpr int kMinNormal = 1 - kBias;
  static constexpr uint16_t kInfinity = kMaxExponent << kMantissa;

  static double decode(uint16_t bits) {
    int exponent = (bits >> kMantissa) & kMaxExponent;
    int mantissa = bits & ((1 << kMantissa) - 1);
    double value;
    if (exponent == kMaxExponent)
      value = mantissa ? std::numeric_limits<double>::quiet_NaN()
                       : std::numeric_limits<double>::infinity();
    else if (exponent == 0)
      value = std::ldexp(mantissa, kMinNormal - kMantissa);
    else
      value =
          std::ldexp(mantissa + (1 << kMantissa), exponent - kBias - kMantissa);
    return bits & 0x8000 ? -value : value;
  }

  static uint16_t encode(double value) {
    uint64_t bits = std::bit_cast<uint64_t>(value);
    uint16_t sign = (bits >> 48) & 0x8000;
    int exponent = int((bits >> 52) & 0x7ff) - 1023;
    uint64_t mantissa = bits & ((uint64_t(1) << 52) - 1);
    if (exponent == 1024) // infinity or NaN; a NaN stays one
      return sign | kInfinity | (mantissa ? 1 << (kMantissa - 1) : 0);
    if (exponent > kBias)
      return sign | kInfinity;
    // Below the smallest normal number the mantissa loses bits.
    int below = exponent < kMinNormal ? kMinNormal - exponent : 0;
    int shift = 52 - kMantissa + below;
    if (shift > 53) // less than half of the smallest number
      return sign;
    mantissa |= uint64_t(1) << 52;
    uint64_t odd = (mantissa >> shift) & 1;
    uint64_t rounded =
        (mantissa + (uint64_t(1) << (shift - 1)) - 1 + odd) >> shift;
    // A carry out of the mantissa becomes the next exponent, and the largest
    // one infinity, by plain addition.
    uint64_t field = below ? 0 : uint64_t(exponent - kMinNormal) << kMantissa;
    return sign | uint16_t(field + rounded);
  }
};

using Half = SmallFloat<5>;
using BFloat = SmallFloat<8>;

} // namespace gru::runtime

#endif // GRU_RUNTIME_HALF_H
