//===- LayerKernel.h - one layer, all timesteps, on a GPU --------*- C++ -*-===//
//
// Arguments of the kernel `gru_layer`, in order; runtime/cuda/GPUPart.cpp passes
// them. B, F, H and which outputs exist are fixed in the code, T is not.
//
//   input        [B, T, F], or [T, B, F] if time-major
//   kernel       [F, 3H], Keras's
//   recurrent    [H, 3, H]: for each unit the weights of its gates z, r, h
//   bias         [2, 3H] with reset_after, else [3H]; always there
//   projection   [T, B, 3H] scratch
//   state        [2, B, H]: the initial state, then scratch
//   gates        [2, B, H] scratch: z and r * h, without reset_after
//   mask         [B, T] or [T, B] bytes; null without one
//   emit         [T, B] bytes of scratch
//   sequence, last, new_state: outputs, null where they are not asked for
//   barrier      an int32, zero at launch
//   timesteps    int64
//   resident     int32: not 0 if dynamic shared memory holds the block's part of
//                `recurrent`
//
// Launched cooperatively with kThreads threads a block.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_GPU_LAYERKERNEL_H
#define GRU_LOWERING_GPU_LAYERKERNEL_H

#include "dialect/GRUDeviceOps.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace gru {

/// Threads of a block; a multiple of a warp.
inline constexpr int64_t kGPUThreads = 256;

/// The kernel of a `gru.device_rnn "gpu"`, at the insertion point.
mlir::gpu::GPUModuleOp emitLayerKernel(mlir::OpBuilder &b, DeviceRnnOp op,
                                       llvm::StringRef name);

} // namespace gru

#endif // GRU_LOWERING_GPU_LAYERKERNEL_H
