//===- Activations.cpp - defining formulas of the activations -------------===//
//
// Each pointwise kind in a form that neither overflows on the way nor cancels,
// and the row-wise kinds as loops. Selections are written so that NaN takes the
// branch that keeps it.
//
//===----------------------------------------------------------------------===//

#include "lowering/common/Activations.h"

#include "lowering/common/FloatBuilder.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace gru;

//===----------------------------------------------------------------------===//
// Pointwise
//===----------------------------------------------------------------------===//

namespace {
/// The formulas. `x` is the argument; alpha, beta and gamma are the
/// activation's parameters.
class Formula : FloatBuilder {
public:
  Formula(OpBuilder &builder, Location loc, ActAttr activation, Value x)
      : FloatBuilder(builder, loc, x.getType()), kind(activation.getKind()),
        alpha(activation.getAlpha()), beta(activation.getBeta()),
        gamma(activation.getGamma()), x(x) {}

  Value expand();

private:
  /// 1 + e^-x: infinity where e^-x overflows, which is right below a line.
  Value onePlusExpNeg() { return add(exp(neg(x)), 1.0); }
  /// e^-|x|, which cannot overflow.
  Value expNegAbs() { return exp(neg(abs(x))); }
  Value exp(Value a) { return create<math::ExpOp>(a); }
  Value expm1(Value a) { return create<math::ExpM1Op>(a); }
  Value log1p(Value a) { return create<math::Log1pOp>(a); }
  Value tanh(Value a) { return create<math::TanhOp>(a); }
  Value zero() { return constant(0.0); }

  Value relu();
  Value squareplus();
  Value mish();

  ActivationKind kind;
  double alpha, beta, gamma;
  Value x;
};
} // namespace

/// min(x, beta) for x >= gamma, else alpha (x - gamma).
Value Formula::relu() {
  bool bounded = beta != std::numeric_limits<double>::infinity();
  if (alpha == 0 && gamma == 0) {
    Value y = atLeast(x, 0.0);
    return bounded ? atMost(y, beta) : y;
  }
  // Not alpha times something where alpha is 0: 0 * inf is NaN.
  Value low = alpha == 0 ? zero() : mul(sub(x, gamma), alpha);
  Value high = bounded ? atMost(x, beta) : x;
  return select(less(x, gamma), low, high);
}

/// With h = (|x| + sqrt(x^2 + alpha)) / 2: h for x >= 0, and alpha / (4 h) for
/// x < 0, where x + sqrt(x^2 + alpha) would cancel. For large |x| the root is
/// |x|; its square might be infinite.
Value Formula::squareplus() {
  const llvm::fltSemantics &semantics =
      cast<FloatType>(getElementTypeOrSelf(getType())).getFloatSemantics();
  double large = std::ldexp(1.0, APFloat::semanticsMaxExponent(semantics) / 2);
  Value magnitude = abs(x);
  Value root = create<math::SqrtOp>(fma(x, x, constant(alpha)));
  root = select(greater(magnitude, large), magnitude, root);
  Value h = fma(root, 0.5, mul(magnitude, 0.5));
  return select(less(x, 0.0), div(alpha / 4, h), h);
}

/// tanh(log(1 + e^x)) = ((1 + e^x)^2 - 1) / ((1 + e^x)^2 + 1) = n / (n + 2)
/// with n = e^x (e^x + 2). From x = 20 on this is 1 in every type up to f64;
/// the bound keeps n finite.
Value Formula::mish() {
  Value e = exp(atMost(x, 20.0));
  Value n = mul(e, add(e, 2.0));
  return mul(x, div(n, add(n, 2.0)));
}

Value Formula::expand() {
  switch (kind) {
  case ActivationKind::linear:
    return x;
  case ActivationKind::tanh:
    return tanh(x);
  case ActivationKind::sigmoid:
    // No case distinction is needed: for x -> -inf, 1 / inf is the limit, and
    // relative accuracy there is that of e^-x.
    return div(1.0, onePlusExpNeg());
  case ActivationKind::hard_sigmoid:
    return clamp(fma(x, alpha, beta), 0.0, 1.0);
  case ActivationKind::relu:
    return relu();
  case ActivationKind::leaky_relu: {
    Value low = mul(x, alpha);
    // The larger of the two, an instruction less than a selection by sign.
    if (alpha >= 0 && alpha <= 1)
      return atLeast(x, low);
    return select(greater(x, 0.0), x, low);
  }
  case ActivationKind::elu:
    return select(greater(x, 0.0), x, mul(expm1(atMost(x, 0.0)), alpha));
  case ActivationKind::celu:
    return select(greater(x, 0.0), x,
                  mul(expm1(mul(atMost(x, 0.0), 1.0 / alpha)), alpha));
  case ActivationKind::selu: {
    constexpr double scale = 1.0507009873554805, slope = 1.6732632423543772;
    return select(greater(x, 0.0), mul(x, scale),
                  mul(expm1(atMost(x, 0.0)), scale * slope));
  }
  case ActivationKind::softplus:
    return add(atLeast(x, 0.0), log1p(expNegAbs()));
  case ActivationKind::softsign:
    return div(x, add(abs(x), 1.0));
  case ActivationKind::squareplus:
    return squareplus();
  case ActivationKind::soft_shrink:
    // alpha >= 0: what is left of x outside [-alpha, alpha].
    return sub(x, clamp(x, -alpha, alpha));
  case ActivationKind::hard_shrink:
    // Unordered, so that NaN counts as outside.
    return select(compare(arith::CmpFPredicate::UGT, abs(x), constant(alpha)),
                  x, zero());
  case ActivationKind::hard_tanh:
    return clamp(x, -1.0, 1.0);
  case ActivationKind::tanh_shrink:
    return sub(x, tanh(x));
  case ActivationKind::sparse_plus: {
    Value t = add(atLeast(x, -1.0), 1.0);
    return select(less(x, 1.0), mul(mul(t, t), 0.25), x);
  }
  case ActivationKind::sparse_sigmoid:
    return clamp(fma(x, 0.5, 0.5), 0.0, 1.0);
  case ActivationKind::silu:
    return div(x, onePlusExpNeg());
  case ActivationKind::gelu: {
    Value e = create<math::ErfOp>(mul(x, std::sqrt(0.5)));
    return mul(mul(x, 0.5), add(e, 1.0));
  }
  case ActivationKind::exponential:
    return exp(x);
  case ActivationKind::hard_silu:
    return mul(x, clamp(fma(x, 1.0 / 6.0, 0.5), 0.0, 1.0));
  case ActivationKind::mish:
    return mish();
  case ActivationKind::log_sigmoid:
    return sub(atMost(x, 0.0), log1p(expNegAbs()));
  case ActivationKind::affine:
    return fma(x, alpha, beta);
  case ActivationKind::thresholded_relu:
    return select(less(x, alpha), zero(), x);
  case ActivationKind::scaled_tanh:
    return mul(tanh(mul(x, beta)), alpha);
  case ActivationKind::softmax:
  case ActivationKind::log_softmax:
  case ActivationKind::sparsemax:
    break;
  }
  llvm_unreachable("a row-wise activation has no formula for one element");
}

Value gru::expandActivation(OpBuilder &builder, Location loc,
                            ActAttr activation, Value x) {
  if (isHalf(x.getType()) && activation.getKind() != ActivationKind::linear)
    return inSingle(builder, loc, x, [&](Value single) {
      return Formula(builder, loc, activation, single).expand();
    });
  return Formula(builder, loc, activation, x).expand();
}

//===----------------------------------------------------------------------===//
// Row-wise
//===----------------------------------------------------------------------===//

namespace {
/// Loops over one row. Values are widened from half types when they are loaded,
/// so `getType()` is f32 or f64.
class Row : FloatBuilder {
public:
  Row(OpBuilder &builder, Location loc, Value row, Value n)
      : FloatBuilder(builder, loc, computeType(row)), row(row), n(n) {}

  void softmax();
  void logSoftmax();
  void sparsemax();

private:
  static Type computeType(Value row) {
    Type element = cast<MemRefType>(row.getType()).getElementType();
    return isHalf(element) ? Float32Type::get(row.getContext()) : element;
  }

  Value load(Value i) {
    Value value = memref::LoadOp::create(builder, loc, row, i);
    if (value.getType() == type)
      return value;
    return arith::ExtFOp::create(builder, loc, type, value);
  }

  void store(Value value, Value i) {
    Type element = cast<MemRefType>(row.getType()).getElementType();
    if (element != type)
      value = arith::TruncFOp::create(builder, loc, element, value);
    memref::StoreOp::create(builder, loc, value, row, i);
  }

  /// for i in [0, n), carrying values: `body` takes the values before i and
  /// returns those after it.
  using Body = function_ref<SmallVector<Value>(Value i, ValueRange before)>;
  SmallVector<Value> forEach(ValueRange init, Body body) {
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    Value one = arith::ConstantIndexOp::create(builder, loc, 1);
    auto loop = scf::ForOp::create(builder, loc, zero, n, one, init);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> after =
        body(loop.getInductionVar(), loop.getRegionIterArgs());
    // Without carried values the loop comes with its terminator.
    if (!init.empty())
      scf::YieldOp::create(builder, loc, after);
    return llvm::to_vector(ValueRange(loop.getResults()));
  }

  /// x[i] = value(x[i], i).
  void update(function_ref<Value(Value)> value) {
    forEach({}, [&](Value i, ValueRange) -> SmallVector<Value> {
      store(value(load(i)), i);
      return {};
    });
  }

  /// A NaN in the row is passed over; it comes back through the sum.
  Value maximum() {
    Value init = constant(-std::numeric_limits<double>::infinity());
    return forEach({init}, [&](Value i, ValueRange m) -> SmallVector<Value> {
      return {atLeast(m[0], load(i))};
    })[0];
  }

  Value exp(Value a) { return create<math::ExpOp>(a); }

  Value row, n;
};
} // namespace

/// e^(x_i - m) / sum e^(x_j - m) with m the maximum.
void Row::softmax() {
  Value m = maximum();
  Value sum = forEach({constant(0.0)}, [&](Value i, ValueRange s) {
    Value e = exp(sub(load(i), m));
    // Summed as computed, not as rounded to a half type.
    store(e, i);
    return SmallVector<Value>{add(s[0], e)};
  })[0];
  update([&](Value e) { return div(e, sum); });
}

/// x_i - m - log sum e^(x_j - m) with m the maximum.
void Row::logSoftmax() {
  Value m = maximum();
  Value sum = forEach({constant(0.0)}, [&](Value i, ValueRange s) {
    return SmallVector<Value>{add(s[0], exp(sub(load(i), m)))};
  })[0];
  Value logSum = create<math::LogOp>(sum);
  update([&](Value x) { return sub(sub(x, m), logSum); });
}

/// max(x_i - tau, 0). With the row sorted downwards, k_i the rank of x_i from 1
/// and c_i the sum of the first k_i elements, x_i is in the support where
/// 1 + k_i x_i > c_i; tau is (the sum of c_i over the support - 1) / the size
/// of the support. Sparsemax proper would take the last c_i instead of their
/// sum: this is what Keras computes.
///
/// Rank and sum are found without sorting, by a pass over the row for each
/// element: elements in front of x_i are the larger ones and, among equals,
/// those at smaller positions, so that equals take consecutive ranks.
void Row::sparsemax() {
  Value zero = constant(0.0), one = constant(1.0);
  SmallVector<Value> total =
      forEach({zero, zero}, [&](Value i, ValueRange t) -> SmallVector<Value> {
        Value x = load(i);
        SmallVector<Value> ranked = forEach(
            {zero, zero}, [&](Value j, ValueRange r) -> SmallVector<Value> {
              Value y = load(j);
              Value notBehind = arith::CmpIOp::create(
                  builder, loc, arith::CmpIPredicate::ule, j, i);
              Value tied = create<arith::AndIOp>(
                  compare(arith::CmpFPredicate::OEQ, y, x), notBehind);
              Value counts = create<arith::OrIOp>(greater(y, x), tied);
              return {add(r[0], select(counts, one, zero)),
                      add(r[1], select(counts, y, zero))};
            });
        Value inSupport = greater(fma(ranked[0], x, one), ranked[1]);
        return {add(t[0], select(inSupport, one, zero)),
                add(t[1], select(inSupport, ranked[1], zero))};
      });
  Value tau = div(sub(total[1], one), total[0]);
  update([&](Value x) { return atLeast(sub(x, tau), 0.0); });
}

void gru::emitRowwiseActivation(OpBuilder &builder, Location loc,
                                ActAttr activation, Value row, Value n) {
  Row loops(builder, loc, row, n);
  switch (activation.getKind()) {
  case ActivationKind::softmax:
    return loops.softmax();
  case ActivationKind::log_softmax:
    return loops.logSoftmax();
  case ActivationKind::sparsemax:
    return loops.sparsemax();
  default:
    llvm_unreachable("not a row-wise activation");
  }
}

//===----------------------------------------------------------------------===//
// Pattern
//===----------------------------------------------------------------------===//

namespace {
struct ExpandActivation : OpRewritePattern<ActivationOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ActivationOp op,
                                PatternRewriter &rewriter) const override {
    if (isa<TensorType>(op.getType()) || op.getKind().isRowwise())
      return failure();
    rewriter.replaceOp(op, expandActivation(rewriter, op.getLoc(), op.getKind(),
                                            op.getInput()));
    return success();
  }
};
} // namespace

void gru::populateExpandActivationPatterns(RewritePatternSet &patterns) {
  patterns.add<ExpandActivation>(patterns.getContext());
}
