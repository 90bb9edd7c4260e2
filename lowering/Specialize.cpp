//===- Specialize.cpp - fixes batch and timesteps -------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"

namespace gru {
#define GEN_PASS_DEF_SPECIALIZEPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct SpecializePass : gru::impl::SpecializePassBase<SpecializePass> {
  using SpecializePassBase::SpecializePassBase;

  /// Feature vectors, or tokens or mask bits, over time.
  static bool isSequence(RankedTensorType type) {
    return type.getRank() == (isa<FloatType>(type.getElementType()) ? 3 : 2);
  }

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration())
      return;
    for (BlockArgument argument : func.getArguments()) {
      unsigned number = argument.getArgNumber();
      bool isState = func.getArgAttr(number, kStateAttr) != nullptr;
      auto name = func.getArgAttrOfType<StringAttr>(number, kNameAttr);
      auto type = dyn_cast<RankedTensorType>(argument.getType());
      if (!type || (!isState && !name))
        continue;
      // What dropout masks are drawn from has no batch.
      if (isState && !isa<FloatType>(type.getElementType()))
        continue;
      SmallVector<int64_t> shape(type.getShape());
      if (llvm::is_contained(shape, 0)) {
        emitError(argument.getLoc())
            << "input '" << (name ? name.getValue() : "") << "' is " << type
            << ", expected no empty dimension";
        return signalPassFailure();
      }
      auto fix = [&](int64_t dim, int64_t size, StringRef what) {
        if (size <= 0 || dim < 0 || dim >= int64_t(shape.size()) ||
            shape[dim] == size)
          return true;
        if (!ShapedType::isDynamic(shape[dim])) {
          emitError(argument.getLoc())
              << "input '" << (name ? name.getValue() : "") << "': " << what
              << " is " << shape[dim] << " in the model, asked for " << size;
          return false;
        }
        shape[dim] = size;
        return true;
      };
      auto batchDim = func.getArgAttrOfType<IntegerAttr>(number, kBatchDimAttr);
      if (!fix(batchDim ? batchDim.getInt() : 0, batch, "batch") ||
          (!isState && !batchDim && isSequence(type) &&
           !fix(1, timesteps, "timesteps")))
        return signalPassFailure();
      refine(argument, RankedTensorType::get(shape, type.getElementType()));
    }
    if (!oldTypes.empty())
      propagate(func);
    oldTypes.clear();
  }

  /// One walk in order: the types of operands are final when an op is reached.
  void propagate(func::FuncOp func) {
    // Pre-order, so that operations around a region come before their bodies.
    func.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (auto infer = dyn_cast<InferTypeOpInterface>(op)) {
        SmallVector<Type> types;
        if (succeeded(infer.inferReturnTypes(
                op->getContext(), op->getLoc(), op->getOperands(),
                op->getDiscardableAttrDictionary(), op->getPropertiesStorage(),
                op->getRegions(), types)))
          for (auto [result, type] : llvm::zip(op->getResults(), types))
            refine(result, type);
        return;
      }
      if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
        SmallVector<Type> inputs(concat.getInputs().getTypes());
        refine(concat.getResult(),
               tensor::ConcatOp::inferResultType(concat.getDim(), inputs));
        return;
      }
      if (op->hasTrait<OpTrait::SameOperandsAndResultType>() &&
          op->getNumOperands() > 0) {
        for (Value result : op->getResults())
          refine(result, op->getOperand(0).getType());
        return;
      }
      keepTypes(op);
    });
    Operation *ret = func.getBody().front().getTerminator();
    func.setFunctionType(FunctionType::get(
        func.getContext(), func.getBody().front().getArgumentTypes(),
        ret->getOperandTypes()));
  }

  /// An operation that cannot infer its types sees the old ones.
  void keepTypes(Operation *op) {
    if (op->hasTrait<OpTrait::IsTerminator>() &&
        isa<func::FuncOp>(op->getParentOp()))
      return;
    for (OpOperand &operand : op->getOpOperands()) {
      auto it = oldTypes.find(operand.get());
      if (it == oldTypes.end())
        continue;
      OpBuilder b(op);
      operand.set(
          tensor::CastOp::create(b, op->getLoc(), it->second, operand.get()));
    }
  }

  void refine(Value value, Type type) {
    if (value.getType() == type)
      return;
    oldTypes.try_emplace(value, value.getType());
    value.setType(type);
  }

  DenseMap<Value, Type> oldTypes;
};
} // namespace
