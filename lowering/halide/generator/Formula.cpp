//===- Formula.cpp - formulas of activations as Halide expressions --------===//
//
// The formulas are those of the other targets (lowering/common): one scalar
// function in arith and math each, translated operation by operation. Integers
// are the bits of floats; they are unsigned here, because Halide takes overflow
// of signed ones as impossible.
//
//===----------------------------------------------------------------------===//

#include "lowering/halide/generator/Formula.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using Halide::Expr;

namespace {
class Translation {
public:
  Expr run(func::FuncOp formula, Expr x) {
    values[formula.getArgument(0)] = x;
    for (Operation &op : formula.getBody().front()) {
      if (auto end = dyn_cast<func::ReturnOp>(op))
        return values.at(end.getOperand(0));
      values[op.getResult(0)] = translate(&op);
    }
    throw unknown("no result");
  }

private:
  static Halide::CompileError unknown(const std::string &what) {
    return Halide::CompileError("formula: " + what);
  }

  static Halide::Type typeOf(Value value) {
    Type type = value.getType();
    if (type.isInteger(1))
      return Halide::Bool();
    if (auto integer = dyn_cast<IntegerType>(type))
      return Halide::UInt(integer.getWidth());
    return Halide::Float(type.getIntOrFloatBitWidth());
  }

  static Expr asSigned(Expr x) {
    return Halide::reinterpret(Halide::Int(x.type().bits()), x);
  }
  static Expr asUnsigned(Expr x) {
    return Halide::reinterpret(Halide::UInt(x.type().bits()), x);
  }

  /// A function of libm, element by element: only float64 has such.
  static Expr libm(const char *name, Expr x) {
    return Halide::Internal::Call::make(x.type(), name, {x},
                                        Halide::Internal::Call::PureExtern);
  }

  static Expr copySign(Expr magnitude, Expr sign) {
    int bits = magnitude.type().bits();
    Expr top = Halide::Internal::make_const(Halide::UInt(bits), 1)
               << (bits - 1);
    return Halide::reinterpret(magnitude.type(),
                               (asUnsigned(magnitude) & ~top) |
                                   (asUnsigned(sign) & top));
  }

  static Expr compare(arith::CmpFPredicate predicate, Expr a, Expr b) {
    switch (predicate) {
    case arith::CmpFPredicate::OGT:
      return a > b;
    case arith::CmpFPredicate::OGE:
      return a >= b;
    case arith::CmpFPredicate::OLT:
      return a < b;
    case arith::CmpFPredicate::OLE:
      return a <= b;
    case arith::CmpFPredicate::OEQ:
      return a == b;
    // Halide makes comparisons strict before it simplifies anything, so that
    // the negation keeps what it says of NaN.
    case arith::CmpFPredicate::UGT:
      return !(a <= b);
    case arith::CmpFPredicate::UGE:
      return !(a < b);
    case arith::CmpFPredicate::ULT:
      return !(a >= b);
    case arith::CmpFPredicate::ULE:
      return !(a > b);
    default:
      throw unknown("comparison " +
                    arith::stringifyCmpFPredicate(predicate).str());
    }
  }

  static Expr constant(arith::ConstantOp op) {
    if (auto value = dyn_cast<FloatAttr>(op.getValue()))
      return Halide::Internal::make_const(typeOf(op.getResult()),
                                          value.getValueAsDouble());
    auto value = cast<IntegerAttr>(op.getValue());
    return Halide::Internal::make_const(typeOf(op.getResult()),
                                        value.getValue().getZExtValue());
  }

  Expr translate(Operation *op) {
    auto at = [&](unsigned i) { return values.at(op->getOperand(i)); };
    return llvm::TypeSwitch<Operation *, Expr>(op)
        .Case([&](arith::ConstantOp op) { return constant(op); })
        .Case([&](arith::AddFOp) { return at(0) + at(1); })
        .Case([&](arith::SubFOp) { return at(0) - at(1); })
        .Case([&](arith::MulFOp) { return at(0) * at(1); })
        .Case([&](arith::DivFOp) { return at(0) / at(1); })
        .Case([&](arith::NegFOp) { return -at(0); })
        // Halide has no fused multiply-add. What links the code lets LLVM fuse.
        .Case([&](math::FmaOp) { return at(0) * at(1) + at(2); })
        .Case([&](math::AbsFOp) { return Halide::abs(at(0)); })
        .Case([&](math::SqrtOp) { return Halide::sqrt(at(0)); })
        .Case([&](math::CopySignOp) { return copySign(at(0), at(1)); })
        .Case([&](math::ExpOp) { return libm("exp", at(0)); })
        .Case([&](math::ExpM1Op) { return libm("expm1", at(0)); })
        .Case([&](math::LogOp) { return libm("log", at(0)); })
        .Case([&](math::Log1pOp) { return libm("log1p", at(0)); })
        .Case([&](math::TanhOp) { return libm("tanh", at(0)); })
        .Case([&](math::ErfOp) { return libm("erf", at(0)); })
        .Case([&](arith::CmpFOp op) {
          return compare(op.getPredicate(), at(0), at(1));
        })
        .Case([&](arith::CmpIOp op) {
          if (op.getPredicate() != arith::CmpIPredicate::slt)
            throw unknown(
                "comparison " +
                arith::stringifyCmpIPredicate(op.getPredicate()).str());
          return asSigned(at(0)) < asSigned(at(1));
        })
        .Case([&](arith::SelectOp) {
          return Halide::select(at(0), at(1), at(2));
        })
        .Case([&](arith::BitcastOp op) {
          return Halide::reinterpret(typeOf(op), at(0));
        })
        .Case([&](arith::AddIOp) { return at(0) + at(1); })
        .Case([&](arith::SubIOp) { return at(0) - at(1); })
        .Case([&](arith::AndIOp) { return at(0) & at(1); })
        .Case([&](arith::OrIOp) { return at(0) | at(1); })
        .Case([&](arith::ShLIOp) { return at(0) << at(1); })
        .Case([&](arith::ShRSIOp) {
          return asUnsigned(asSigned(at(0)) >> asSigned(at(1)));
        })
        .Case([&](arith::SIToFPOp op) {
          return Halide::cast(typeOf(op), asSigned(at(0)));
        })
        .Default([&](Operation *op) -> Expr {
          throw unknown("operation " + op->getName().getStringRef().str());
        });
  }

  struct Values {
    std::map<void *, Expr> map;
    Expr &operator[](Value value) { return map[value.getAsOpaquePointer()]; }
    Expr at(Value value) const { return map.at(value.getAsOpaquePointer()); }
  } values;
};
} // namespace

Expr gru::applyFormula(func::FuncOp formula, Expr x) {
  if (!formula)
    return x;
  return Translation().run(formula, x);
}
