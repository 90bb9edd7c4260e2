//===- PlaceOnDevice.cpp - what stands around device layers follows them --===//

#include "lowering/DevicePasses.h"
#include "lowering/common/Buffers.h"
#include "lowering/gpu/DeviceBuffers.h"
#include "lowering/gpu/OperationKernel.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace gru {
#define GEN_PASS_DEF_PLACEONDEVICEPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct PlaceOnDevicePass : gru::impl::PlaceOnDevicePassBase<PlaceOnDevicePass> {
  void runOnOperation() override {
    SmallVector<DeviceRnnOp> layers;
    getOperation().walk([&](DeviceRnnOp op) { layers.push_back(op); });
    if (layers.empty())
      return;
    for (DeviceRnnOp layer : layers)
      makeDense(layer);

    onDevice.clear();
    for (DeviceRnnOp layer : layers)
      for (OpOperand &operand : layer->getOpOperands())
        if (!isReadOnHost(operand))
          addRoot(operand.get());
    // Concatenations leave copies of parts onto themselves.
    getOperation().walk([](memref::CopyOp copy) {
      if (copy.getSource() == copy.getTarget())
        copy.erase();
    });
    SmallVector<Operation *> candidates;
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      // A loop's body is the host's.
      if (isa<LoopLikeOpInterface>(op))
        return WalkResult::skip();
      if (canBeKernel(op) && !writesConditions(op) &&
          llvm::all_of(buffersOf(op), hasMirror))
        candidates.push_back(op);
      return WalkResult::advance();
    });
    // What is placed can bring its neighbours along.
    SmallVector<Operation *> placed;
    for (bool changed = true; std::exchange(changed, false);)
      llvm::erase_if(candidates, [&](Operation *op) {
        if (!touchesDevice(op))
          return false;
        for (Value buffer : buffersOf(op))
          addRoot(buffer);
        placed.push_back(op);
        changed = true;
        return true;
      });

    OpBuilder modules = OpBuilder::atBlockEnd(getOperation().getBody());
    for (auto [number, op] : llvm::enumerate(placed)) {
      convertToKernel(op, modules, "gru_kernel_" + std::to_string(number));
      ++numKernels;
    }
    if (!placed.empty())
      getOperation()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                              modules.getUnitAttr());
  }

private:
  /// The runtime takes dense buffers; views of something larger are copied.
  static void makeDense(DeviceRnnOp op) {
    for (OpOperand &operand : op->getOpOperands()) {
      Value buffer = operand.get();
      if (cast<MemRefType>(buffer.getType()).getLayout().isIdentity() &&
          hasMirror(buffer))
        continue;
      OpBuilder b(op);
      Value dense = allocLike(b, op.getLoc(), buffer);
      bool isOutput = operand.getOperandNumber() >=
                      op.getNumOperands() - op.getDpsInitsMutable().size();
      if (isOutput) {
        b.setInsertionPointAfter(op);
        memref::CopyOp::create(b, op.getLoc(), dense, buffer);
      } else {
        memref::CopyOp::create(b, op.getLoc(), buffer, dense);
      }
      operand.set(dense);
    }
  }

  static SmallVector<Value> buffersOf(Operation *op) {
    SmallVector<Value> buffers;
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (isa<BaseMemRefType>(operand.getType()))
          buffers.push_back(operand);
    });
    return buffers;
  }

  /// Masks are read by the host.
  static bool writesConditions(Operation *op) {
    return llvm::any_of(op->getOperands(), [&](Value operand) {
      auto type = dyn_cast<MemRefType>(operand.getType());
      auto effects = dyn_cast<MemoryEffectOpInterface>(op);
      return type && type.getElementType().isInteger(1) && effects &&
             effects.getEffectOnValue<MemoryEffects::Write>(operand);
    });
  }

  /// Weights are on both sides.
  bool isWeight(Value root) {
    auto argument = dyn_cast<BlockArgument>(root);
    auto func = argument
                    ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp())
                    : func::FuncOp();
    return func && func.getArgAttr(argument.getArgNumber(), kPackedAttr);
  }
  void addRoot(Value buffer) {
    Value root = getRoot(buffer);
    if (!isWeight(root))
      onDevice.insert(root);
  }
  bool touchesDevice(Operation *op) {
    return llvm::any_of(buffersOf(op), [&](Value buffer) {
      return onDevice.contains(getRoot(buffer));
    });
  }

  llvm::SmallPtrSet<Value, 16> onDevice;
};
} // namespace
