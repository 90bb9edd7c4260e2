//===- DeviceBuffers.h - what views are views of ----------------*- C++ -*-===//

#ifndef GRU_LOWERING_GPU_DEVICEBUFFERS_H
#define GRU_LOWERING_GPU_DEVICEBUFFERS_H

#include "dialect/GRUDeviceOps.h"
#include "lowering/common/Buffers.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gru {

/// Only what the session owns or the caller hands over has a mirror.
inline bool hasMirror(mlir::Value buffer) {
  mlir::Value root = getRoot(buffer);
  return mlir::isa<mlir::BlockArgument>(root) ||
         root.getDefiningOp<mlir::memref::AllocOp>();
}

inline bool isDeviceOp(mlir::Operation *op) {
  return mlir::isa<DeviceRnnOp, DeviceKernelOp>(op);
}

/// cuDNN takes lengths, which the host reads off the mask.
inline bool isReadOnHost(mlir::OpOperand &operand) {
  auto rnn = mlir::dyn_cast<DeviceRnnOp>(operand.getOwner());
  return rnn && rnn.getLibrary() == kCudnn && rnn.getMask() &&
         operand.getOperandNumber() ==
             rnn.getMaskMutable().begin()->getOperandNumber();
}

/// The other branch of a condition without results, made if it is not there.
inline mlir::Block *getElseBlock(mlir::scf::IfOp branch) {
  if (!branch.elseBlock()) {
    mlir::OpBuilder b =
        mlir::OpBuilder::atBlockEnd(&branch.getElseRegion().emplaceBlock());
    mlir::scf::YieldOp::create(b, branch.getLoc());
  }
  return branch.elseBlock();
}

} // namespace gru

#endif // GRU_LOWERING_GPU_DEVICEBUFFERS_H
