//===- PromoteToF64.cpp - computes everything in float64 ------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace gru {
#define GEN_PASS_DEF_PROMOTETOF64PASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct PromoteToF64Pass : gru::impl::PromoteToF64PassBase<PromoteToF64Pass> {
  using PromoteToF64PassBase::PromoteToF64PassBase;

  static Type promote(Type type) {
    if (auto shaped = dyn_cast<ShapedType>(type))
      return shaped.clone(promote(shaped.getElementType()));
    if (isa<FloatType>(type))
      return Float64Type::get(type.getContext());
    return type;
  }

  static Attribute promote(Attribute attr) {
    if (auto number = dyn_cast<FloatAttr>(attr))
      return FloatAttr::get(promote(number.getType()),
                            number.getValueAsDouble());
    if (auto dense = dyn_cast<DenseFPElementsAttr>(attr))
      return dense.mapValues(
          promote(dense.getElementType()), [](const APFloat &value) {
            APFloat wide(value);
            bool ignored;
            wide.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                         &ignored);
            return wide.bitcastToAPInt();
          });
    return attr;
  }

  /// From f64. Halves are reached through f32: there is no instruction from
  /// f64.
  static Value narrow(OpBuilder &b, Location loc, Value value, Type type) {
    if (getElementTypeOrSelf(type).getIntOrFloatBitWidth() < 32) {
      Type single = b.getF32Type();
      if (auto shaped = dyn_cast<ShapedType>(type))
        single = shaped.clone(single);
      value = arith::TruncFOp::create(b, loc, single, value);
    }
    return arith::TruncFOp::create(b, loc, type, value);
  }

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration())
      return;
    Builder attributes(&getContext());
    SmallVector<Type> resultTypes(func.getResultTypes());

    // A model that computes in float64 and rounds in between means it.
    DenseMap<Operation *, Type> roundings;
    func.getBody().walk([&](arith::TruncFOp op) {
      if (getElementTypeOrSelf(op.getIn().getType()).isF64())
        roundings[op] = op.getType();
    });
    func.getBody().walk([&](Operation *op) {
      // Attributes with a type of their own are constants; the parameters of
      // gru operations are numbers, not data.
      if (auto constant = dyn_cast<arith::ConstantOp>(op))
        constant.setValueAttr(cast<TypedAttr>(promote(constant.getValue())));
      for (Value result : op->getResults())
        result.setType(promote(result.getType()));
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (BlockArgument argument : block.getArguments())
            argument.setType(promote(argument.getType()));
    });
    // Other casts between float types have nothing left to do.
    OpBuilder b(&getContext());
    func.getBody().walk([&](Operation *op) {
      if (!isa<arith::ExtFOp, arith::TruncFOp>(op))
        return;
      Value value = op->getOperand(0);
      if (auto rounding = roundings.find(op); rounding != roundings.end()) {
        b.setInsertionPoint(op);
        value = narrow(b, op->getLoc(), value, rounding->second);
        value = arith::ExtFOp::create(b, op->getLoc(),
                                      promote(rounding->second), value);
      }
      op->getResult(0).replaceAllUsesWith(value);
      op->erase();
    });

    Block &body = func.getBody().front();
    b.setInsertionPointToStart(&body);
    for (BlockArgument argument : func.getArguments()) {
      Type type = argument.getType(), wide = promote(type);
      if (type == wide)
        continue;
      unsigned number = argument.getArgNumber();
      if (func.getArgAttr(number, kWeightAttr)) {
        func.setArgAttr(number, kWeightTypeAttr, TypeAttr::get(type));
        argument.setType(wide);
        continue;
      }
      if (func.getArgAttr(number, kStateAttr)) {
        argument.setType(wide);
        continue;
      }
      Value widened =
          arith::ExtFOp::create(b, argument.getLoc(), wide, argument);
      argument.replaceAllUsesExcept(widened, widened.getDefiningOp());
    }

    Operation *ret = body.getTerminator();
    b.setInsertionPoint(ret);
    for (OpOperand &operand : ret->getOpOperands()) {
      Type &type = resultTypes[operand.getOperandNumber()];
      if (operand.get().getType() == type)
        continue;
      if (f64Outputs ||
          func.getResultAttr(operand.getOperandNumber(), kStateAttr)) {
        type = operand.get().getType();
        continue;
      }
      operand.set(narrow(b, ret->getLoc(), operand.get(), type));
    }
    func.setFunctionType(
        attributes.getFunctionType(body.getArgumentTypes(), resultTypes));
  }
};
} // namespace
