//===- ApproximateMath.cpp - exp and its like as polynomials --------------===//
//
// Straight-line code in f32 for the functions that activations need: additions,
// multiplications, fused multiply-adds, comparisons, selections and integer
// operations on the bits, so that vectors of any length stay vectors and
// nothing calls libm.
//
// Each function states its largest error in units in the last place (ulp) of
// the float that is nearest to the true value, over all floats with a normal
// result. test/unit/ActivationTest.cpp measures the same over a sweep, and over
// every float where GRU_EXHAUSTIVE=1 is set. Results below 2^-126 may be zero.
// `ops` counts instructions for one AVX-512 register and `ns` is the time for
// 16 floats from L1 to L1, loop and all, on one core of an AVX-512 server
// (AMD EPYC, shared), where a copy takes 0.8: take the times as ratios.
//
// Coefficients are minimax fits of the relative error (linear programming in
// double over Chebyshev nodes, then one coefficient after the other rounded to
// f32 and the rest fitted again); they are written as the floats they are.
//
//===----------------------------------------------------------------------===//

#include "lowering/common/ApproximateMath.h"

#include "dialect/GRUDialect.h"
#include "lowering/common/Activations.h"
#include "lowering/common/FloatBuilder.h"

#include <limits>

using namespace mlir;
using namespace gru;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();

constexpr float log2e = 0x1.715476p+0f;
/// log 2 as the sum of two floats. The first alone is off by 1.9e-9, which is
/// enough wherever it is multiplied by a small number.
constexpr float ln2High = 0x1.62e43p-1f;
constexpr float ln2Low = -0x1.05c61p-29f;

/// Adding 1.5 * 2^23 to a float rounds it to an integer (to nearest, ties to
/// even) and leaves that integer in the low bits of the sum.
constexpr float roundingShift = 12582912.0f;

/// (e^r - 1 - r) / r^2 for |r| <= log(2) / 2, fitted for the relative error of
/// e^r: 3.7e-9.
constexpr float expCoefficients[] = {0x1p-1f, 0x1.5554a2p-3f, 0x1.55568ep-5f,
                                     0x1.1230bep-7f, 0x1.6b6a58p-10f};
/// The same for the relative error of e^r - 1: 1.5e-8.
constexpr float expm1Coefficients[] = {0x1p-1f, 0x1.5554b6p-3f, 0x1.5555bcp-5f,
                                       0x1.12248ap-7f, 0x1.6c54bp-10f};
/// (log(1 + f) - f) / f^2 for sqrt(1/2) <= 1 + f <= sqrt(2), fitted for the
/// relative error of the logarithm: 5.9e-9.
constexpr float logCoefficients[] = {
    -0x1p-1f,        0x1.555554p-2f,  -0x1.000226p-2f,
    0x1.99a01cp-3f,  -0x1.54728cp-3f, 0x1.22d936p-3f,
    -0x1.0d8232p-3f, 0x1.055e62p-3f,  -0x1.38c91p-4f};
/// erf(x) / x - 1 in powers of x^2 for |x| <= 0.9: 1.5e-8.
constexpr float erfSmallCoefficients[] = {0x1.06eba6p-3f, -0x1.8126ecp-2f,
                                          0x1.ce1b86p-4f, -0x1.b69b96p-6f,
                                          0x1.479c9ep-8f, -0x1.3ba9cep-11f};
/// -log(1 - erf(x)) for 0.89 <= x <= 4, fitted for the relative error of erf:
/// 1.8e-9.
constexpr float erfLargeCoefficients[] = {
    0x1.40802ap-13f, 0x1.20bb12p+0f, 0x1.4614e6p-1f, 0x1.aace8ap-4f,
    -0x1.6e4f9p-6f,  0x1.933842p-9f, -0x1.a20a5p-13f};

/// Code for f32 scalars or vectors.
class Approximation : FloatBuilder {
public:
  Approximation(OpBuilder &builder, Location loc, Type type)
      : FloatBuilder(builder, loc, type),
        intType(withElementType(type, builder.getI32Type())) {}

  Value exp(Value x);
  Value expm1(Value x);
  Value tanh(Value x);
  Value sigmoid(Value x);
  Value silu(Value x);
  Value log(Value x);
  Value log1p(Value x);
  Value erf(Value x);

private:
  //===--- bits ---===//

  Value integer(int32_t value) {
    return constant(intType, builder.getI32IntegerAttr(value));
  }
  Value bits(Value x) {
    return arith::BitcastOp::create(builder, loc, intType, x);
  }
  Value fromBits(Value i) {
    return arith::BitcastOp::create(builder, loc, type, i);
  }
  /// The float whose exponent field holds the low bits of i.
  Value fromExponent(Value i) {
    return fromBits(create<arith::ShLIOp>(i, integer(23)));
  }

  //===--- parts that functions share ---===//

  /// c[0] + c[1] x + c[2] x^2 + ...
  Value polynomial(Value x, ArrayRef<float> c) {
    Value y = constant(c.back());
    for (float coefficient : llvm::reverse(c.drop_back()))
      y = fma(y, x, coefficient);
    return y;
  }
  /// x + x^2 (c[0] + c[1] x + ...): most of x's accuracy survives. Pairs of
  /// terms in powers of x^2, which halves the chain of additions that wait for
  /// each other.
  Value aroundIdentity(Value x, ArrayRef<float> c) {
    Value square = mul(x, x), y;
    for (size_t i = llvm::alignDown(c.size() - 1, 2) + 2; i != 0;) {
      i -= 2;
      Value pair = i + 1 < c.size() ? fma(x, c[i + 1], c[i]) : constant(c[i]);
      y = y ? fma(y, square, pair) : pair;
    }
    return fma(square, y, x);
  }
  /// (e^r - 1) / r for |r| <= log(2) / 2.
  Value expSlope(Value r) {
    return fma(polynomial(r, expCoefficients), r, 1.0);
  }

  /// factor * x = n + fraction with n an integer. The low bits of `shifted`, a
  /// float, hold n + bias.
  struct Rounded {
    Value n, shifted;
  };
  Rounded round(Value x, float factor, int bias) {
    float shift = roundingShift + bias;
    Value shifted = fma(x, factor, shift);
    return {sub(shifted, shift), shifted};
  }
  /// x - n log 2.
  Value subtractLn2(Value x, Value n) {
    return fma(n, -ln2Low, fma(n, -ln2High, x));
  }
  /// 2^exponent (1 + f) = x with 1 + f in [sqrt(1/2), sqrt(2)): the exponent,
  /// shifted to where floats have it.
  Value exponentField(Value x) {
    constexpr int32_t sqrtHalf = 0x3f3504f3;
    return create<arith::AndIOp>(
        create<arith::SubIOp>(bits(x), integer(sqrtHalf)),
        integer(static_cast<int32_t>(0xff800000)));
  }
  /// exponent log 2 + log(1 + f). The product's error is below 3e-9 of the sum.
  Value logOf(Value exponentField, Value exponentOffset, Value f) {
    Value exponent = arith::SIToFPOp::create(
        builder, loc, type, create<arith::ShRSIOp>(exponentField, integer(23)));
    return fma(add(exponent, exponentOffset), ln2High,
               aroundIdentity(f, logCoefficients));
  }
  /// The logarithm at and outside the ends of its domain, where `y` is
  /// meaningless: x = +inf, x = pole, x < pole; NaN.
  Value atEnds(Value x, double pole, Value y) {
    y = select(less(x, infinity), y, x);
    Value notInside =
        select(compare(arith::CmpFPredicate::OEQ, x, constant(pole)),
               constant(-infinity),
               constant(std::numeric_limits<double>::quiet_NaN()));
    return select(greater(x, pole), y, notInside);
  }

  /// inside, except that it is `end` where |x| >= bound. `inside` may be
  /// anything there: that is cheaper than keeping x in bounds, for which all
  /// that follows would wait. NaN stays inside.
  Value within(Value x, double bound, Value inside, Value end) {
    return select(compare(arith::CmpFPredicate::ULT, abs(x), constant(bound)),
                  inside, end);
  }
  /// `positive` unless the sign of x is set, then 0.
  Value ifPositive(Value x, Value positive) {
    Value negative = arith::CmpIOp::create(
        builder, loc, arith::CmpIPredicate::slt, bits(x), integer(0));
    return select(negative, constant(0.0), positive);
  }
  /// 1 + e^-x for |x| < sigmoidBound; garbage outside, NaN for NaN.
  Value onePlusExpNeg(Value x);
  /// Below -sigmoidBound e^-x would need the exponent 2^128, and sigmoid is
  /// below 2^-126; above sigmoidBound its scale would be no float.
  static constexpr float sigmoidBound = 0x1.618p+6f;

  Type intType;
};
} // namespace

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// e^x = 2^n e^r. The scale is applied as two factors, since 2^n alone leaves
/// the range of normal floats at both ends; so denormal results are right too.
/// The bounds lie where the result is 0 or infinite anyway.
/// Error 0.90 ulp; 18 ops, 3.4 ns.
Value Approximation::exp(Value x) {
  x = clamp(x, -104.0, 89.0);
  auto [n, shifted] = round(x, log2e, 2 * 127);
  Value r = subtractLn2(x, n);
  Value p = fma(expSlope(r), r, 1.0);
  Value biased = bits(shifted);
  Value half = create<arith::ShRSIOp>(biased, integer(1));
  Value rest = create<arith::SubIOp>(biased, half);
  return mul(mul(p, fromExponent(half)), fromExponent(rest));
}

/// e^x - 1 = 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)): half of it, so that
/// n = 128 has a scale. Nothing is lost for small x, where n is 0 and the
/// bracket on the right too. -0 gives 0.
/// Error 1.55 ulp; 16 ops, 3.0 ns.
Value Approximation::expm1(Value x) {
  x = clamp(x, -18.0, 89.0);
  auto [n, shifted] = round(x, log2e, 127 - 1);
  Value q = aroundIdentity(subtractLn2(x, n), expm1Coefficients);
  Value scale = fromExponent(bits(shifted));
  Value half = fma(scale, q, sub(scale, 0.5));
  return add(half, half);
}

/// With f = (e^(2a) - 1) / 2 for a = |x|, tanh a = f / (f + 1). Rounding f + 1
/// costs most where f is small; there the same as f - f (f / (f + 1)) is exact
/// enough. r is half of what it is for exp, so its polynomial is rescaled. The
/// bound lies where tanh is 1; the first part of log 2 is enough since n <= 28.
/// Error 1.88 ulp; 21 ops.
Value Approximation::tanh(Value x) {
  Value a = abs(x);
  auto [n, shifted] = round(a, 2 * log2e, 127);
  Value r = fma(n, -ln2High / 2, a);
  auto coefficients = llvm::to_vector(ArrayRef(expm1Coefficients));
  for (size_t i = 0; i < coefficients.size(); ++i)
    coefficients[i] *= static_cast<float>(2 << i);
  Value q = aroundIdentity(r, coefficients);
  Value scale = fromExponent(bits(shifted));
  Value f = fma(scale, q, fma(scale, 0.5, -0.5));
  Value y = within(x, 9.5, div(f, add(f, 1.0)), constant(1.0));
  y = select(less(a, 0.35), fma(neg(f), y, f), y);
  return create<math::CopySignOp>(y, x);
}

/// 1 + 2^n e^r as (2^n (e^r - 1) + 1) + 2^n, with n and r of -x: adding 1 to
/// the rounded 2^n e^r would be a tie in every case around n = 24.
Value Approximation::onePlusExpNeg(Value x) {
  auto [n, shifted] = round(x, -log2e, 127);
  Value r = subtractLn2(neg(x), n);
  Value scale = fromExponent(bits(shifted));
  return add(fma(scale, aroundIdentity(r, expm1Coefficients), 1.0), scale);
}

/// Error 2.00 ulp (1.9991); 18 ops.
Value Approximation::sigmoid(Value x) {
  return within(x, sigmoidBound, div(1.0, onePlusExpNeg(x)),
                ifPositive(x, constant(1.0)));
}

/// x sigmoid(x), and 0 at -inf. Below -88.4, where |y| < 4e-37, it is 0.
Value Approximation::silu(Value x) {
  return within(x, sigmoidBound, div(x, onePlusExpNeg(x)), ifPositive(x, x));
}

/// Denormal arguments are scaled into the normal range first.
/// Error 0.94 ulp; 26 ops, 5.0 ns.
Value Approximation::log(Value x) {
  Value small = less(x, 0x1p-126);
  Value scaled = select(small, mul(x, 0x1p+23), x);
  Value offset = select(small, constant(-23.0), constant(0.0));
  Value field = exponentField(scaled);
  Value f = sub(fromBits(create<arith::SubIOp>(bits(scaled), field)), 1.0);
  return atEnds(x, 0.0, logOf(field, offset, f));
}

/// With the exponent k of the rounded 1 + x, f = 2^-k x + (2^-k - 1) is rounded
/// only once, since the bracket is exact as long as it matters: nothing of a
/// small x is lost, and no correction for the rounding of 1 + x is needed. From
/// 2^60 on the 1 does not count and x is scaled down, so that 2^-k is normal.
/// -0 gives 0.
/// Error 1.48 ulp; 29 ops, 5.6 ns.
Value Approximation::log1p(Value x) {
  Value large = compare(arith::CmpFPredicate::OGE, x, constant(0x1p+60));
  Value scaled = select(large, mul(x, 0x1p-60), x);
  Value one = select(large, constant(0.0), constant(1.0));
  Value offset = select(large, constant(60.0), constant(0.0));
  Value field = exponentField(add(scaled, one));
  Value scale = fromBits(create<arith::SubIOp>(integer(127 << 23), field));
  Value f = fma(scaled, scale, fma(one, scale, -1.0));
  return atEnds(x, -1.0, logOf(field, offset, f));
}

/// a + a^3 P(a^2) for a = |x| < 0.9, else 1 - e^-g(a); 1 from a = 4 on. There
/// n >= -23, so that the first part of log 2 is enough.
/// Error 1.09 ulp; 28 ops, 6.6 ns.
Value Approximation::erf(Value x) {
  Value a = atMost(abs(x), 4.0);
  Value small = fma(polynomial(mul(a, a), erfSmallCoefficients), a, a);
  Value g = polynomial(a, erfLargeCoefficients);
  auto [n, shifted] = round(g, -log2e, 127);
  Value r = fma(n, -ln2High, neg(g));
  Value p = fma(expSlope(r), r, 1.0);
  Value large = fma(neg(p), fromExponent(bits(shifted)), 1.0);
  return create<math::CopySignOp>(select(less(a, 0.9), small, large), x);
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

namespace {
using Function = Value (Approximation::*)(Value);

/// Floats and vectors of floats up to f32.
bool isApproximated(Type type) {
  return !isa<TensorType>(type) &&
         (isHalf(type) || getElementTypeOrSelf(type).isF32());
}

template <typename Op, Function function>
struct ApproximateOp : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;

  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    if (!isApproximated(op.getType()))
      return failure();
    auto approximate = [&](Value x) {
      return (Approximation(rewriter, op.getLoc(), x.getType()).*function)(x);
    };
    Value x = op.getOperand();
    rewriter.replaceOp(op, isHalf(x.getType())
                               ? inSingle(rewriter, op.getLoc(), x, approximate)
                               : approximate(x));
    return success();
  }
};

/// Activations that have code of their own.
struct ApproximateActivation : OpRewritePattern<ActivationOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ActivationOp op,
                                PatternRewriter &rewriter) const override {
    if (!isApproximated(op.getType()))
      return failure();
    ActivationKind kind = op.getKind().getKind();
    if (kind != ActivationKind::sigmoid && kind != ActivationKind::silu)
      return failure();
    auto approximate = [&](Value x) {
      Approximation code(rewriter, op.getLoc(), x.getType());
      return kind == ActivationKind::sigmoid ? code.sigmoid(x) : code.silu(x);
    };
    Value x = op.getInput();
    rewriter.replaceOp(op, isHalf(x.getType())
                               ? inSingle(rewriter, op.getLoc(), x, approximate)
                               : approximate(x));
    return success();
  }
};
} // namespace

void gru::populateApproximateMathPatterns(RewritePatternSet &patterns) {
  MLIRContext *context = patterns.getContext();
  patterns.add<ApproximateOp<math::ExpOp, &Approximation::exp>,
               ApproximateOp<math::ExpM1Op, &Approximation::expm1>,
               ApproximateOp<math::TanhOp, &Approximation::tanh>,
               ApproximateOp<math::LogOp, &Approximation::log>,
               ApproximateOp<math::Log1pOp, &Approximation::log1p>,
               ApproximateOp<math::ErfOp, &Approximation::erf>>(context);
  // Ahead of the formulas.
  patterns.add<ApproximateActivation>(context, /*benefit=*/2);
  populateExpandActivationPatterns(patterns);
}
