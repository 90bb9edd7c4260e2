//===- FloatBuilder.h - formulas over floats as expressions -------*- C++
//-*-===//
//
// Activations and approximations are formulas. This class writes the operations
// of one formula, for a scalar or a vector of any floating-point type, so that
// the code reads like the formula.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_FLOATBUILDER_H
#define GRU_LOWERING_COMMON_FLOATBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

namespace gru {

/// Builds operations on values of one type. Comparisons are ordered: they are
/// false where an operand is NaN.
class FloatBuilder {
public:
  using Value = mlir::Value;

  FloatBuilder(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type)
      : builder(builder), loc(loc), type(type) {}

  /// The number, rounded to the element type; a splat for vectors.
  Value constant(double value) {
    mlir::Type element = mlir::getElementTypeOrSelf(type);
    return constant(type, builder.getFloatAttr(element, value));
  }

  Value add(Value a, Value b) { return create<mlir::arith::AddFOp>(a, b); }
  Value add(Value a, double b) { return add(a, constant(b)); }
  Value sub(Value a, Value b) { return create<mlir::arith::SubFOp>(a, b); }
  Value sub(Value a, double b) { return sub(a, constant(b)); }
  Value mul(Value a, Value b) { return create<mlir::arith::MulFOp>(a, b); }
  Value mul(Value a, double b) { return mul(a, constant(b)); }
  Value div(Value a, Value b) { return create<mlir::arith::DivFOp>(a, b); }
  Value div(double a, Value b) { return div(constant(a), b); }
  Value neg(Value a) { return create<mlir::arith::NegFOp>(a); }
  Value abs(Value a) { return create<mlir::math::AbsFOp>(a); }

  /// a b + c, rounded once.
  Value fma(Value a, Value b, Value c) {
    return create<mlir::math::FmaOp>(a, b, c);
  }
  Value fma(Value a, double b, Value c) { return fma(a, constant(b), c); }
  Value fma(Value a, Value b, double c) { return fma(a, b, constant(c)); }
  Value fma(Value a, double b, double c) {
    return fma(a, constant(b), constant(c));
  }

  Value greater(Value a, Value b) {
    return compare(mlir::arith::CmpFPredicate::OGT, a, b);
  }
  Value greater(Value a, double b) { return greater(a, constant(b)); }
  Value less(Value a, Value b) {
    return compare(mlir::arith::CmpFPredicate::OLT, a, b);
  }
  Value less(Value a, double b) { return less(a, constant(b)); }
  Value select(Value condition, Value a, Value b) {
    return mlir::arith::SelectOp::create(builder, loc, condition, a, b);
  }

  /// min(x, bound) and max(x, bound) that give x where x is NaN. As a
  /// comparison and a selection in exactly this order they become one minps or
  /// maxps on x86, which returns its second operand where one is NaN;
  /// arith.minimumf would take three more instructions, to order the zeros and
  /// to look for NaN in both operands.
  Value atMost(Value x, Value bound) {
    return select(less(bound, x), bound, x);
  }
  Value atMost(Value x, double bound) { return atMost(x, constant(bound)); }
  Value atLeast(Value x, Value bound) {
    return select(greater(bound, x), bound, x);
  }
  Value atLeast(Value x, double bound) { return atLeast(x, constant(bound)); }
  Value clamp(Value x, double low, double high) {
    return atMost(atLeast(x, low), high);
  }

  Value compare(mlir::arith::CmpFPredicate predicate, Value a, Value b) {
    return mlir::arith::CmpFOp::create(builder, loc, predicate, a, b);
  }

  /// An operation whose result has the type of its first operand.
  template <typename Op, typename... Operands>
  Value create(Value first, Operands... rest) {
    return Op::create(builder, loc, first, rest...);
  }

  mlir::OpBuilder &getBuilder() { return builder; }
  mlir::Location getLoc() { return loc; }
  mlir::Type getType() { return type; }

protected:
  Value constant(mlir::Type of, mlir::TypedAttr attr) {
    if (auto shaped = mlir::dyn_cast<mlir::ShapedType>(of))
      attr = mlir::DenseElementsAttr::get(shaped, attr);
    return mlir::arith::ConstantOp::create(builder, loc, attr);
  }

  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Type type;
};

/// The same shape with another element type.
inline mlir::Type withElementType(mlir::Type type, mlir::Type element) {
  if (auto shaped = mlir::dyn_cast<mlir::ShapedType>(type))
    return shaped.clone(element);
  return element;
}

/// True for the types that are computed by way of f32: f16 and bf16.
inline bool isHalf(mlir::Type type) {
  return mlir::getElementTypeOrSelf(type).getIntOrFloatBitWidth() < 32;
}

/// Computes in f32 what would lose too much in a half type.
inline mlir::Value
inSingle(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value x,
         llvm::function_ref<mlir::Value(mlir::Value)> compute) {
  mlir::Type type = x.getType();
  mlir::Type single = withElementType(type, builder.getF32Type());
  x = mlir::arith::ExtFOp::create(builder, loc, single, x);
  return mlir::arith::TruncFOp::create(builder, loc, type, compute(x));
}

} // namespace gru

#endif // GRU_LOWERING_COMMON_FLOATBUILDER_H
