//===- MakeGPUKernels.cpp - writes the kernels of each gru.device_rnn -----===//

#include "lowering/DevicePasses.h"
#include "lowering/cudnn/SequenceKernels.h"
#include "lowering/gpu/LayerKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gru {
#define GEN_PASS_DEF_MAKEGPUKERNELSPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct MakeGPUKernelsPass
    : gru::impl::MakeGPUKernelsPassBase<MakeGPUKernelsPass> {
  void runOnOperation() override {
    SmallVector<DeviceRnnOp> ops;
    getOperation().walk([&](DeviceRnnOp op) {
      if (!op.getCodeAttr() &&
          (op.getLibrary() == kGPU || needsSequenceKernels(op)))
        ops.push_back(op);
    });
    if (ops.empty())
      return;
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    for (auto [number, op] : llvm::enumerate(ops)) {
      std::string name = "gru_layer_" + std::to_string(number);
      if (op.getLibrary() == kGPU)
        emitLayerKernel(b, op, name);
      else
        emitSequenceKernels(b, op, name);
      op.setCode(name);
    }
    getOperation()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                            b.getUnitAttr());
  }
};
} // namespace
