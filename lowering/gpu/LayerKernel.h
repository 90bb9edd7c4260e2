//===- LayerKernel.h - one layer, all timesteps, on a GPU -------*- C++ -*-===//
//
// The module has three entries; runtime/cuda/GPUPart.cpp launches them. B, F, H
// and which outputs exist are fixed in the code, T is not.
//
// gru_project, kGPUThreads threads a block, any number of blocks:
//   input        [B, T, F], or [T, B, F] if time-major
//   kernel       [F, 3H], Keras's
//   projection   [B, T, 3H] or [T, B, 3H], written: their product, which
//                cuBLAS may make instead
//   timesteps    int64
//
// gru_layer, launched cooperatively with kGPUThreads threads a block:
//   recurrent    [H, 3, H]: for each unit the weights of its gates z, r, h
//   bias         [3, H]: of the gates z, r, h; with reset_after a fourth row:
//                h's of the recurrent product, whose others are in the first
//                two
//   projection   as above
//   state        [2, B, H]: the initial state, then scratch
//   gates        [2, B, H] scratch: z and r * h, without reset_after
//   mask         [B, T] or [T, B] bytes; null without one
//   emit         [T, B] bytes of scratch
//   sequence, last, new_state: outputs, null where they are not asked for
//   barrier      an int32, zero at launch
//   timesteps    int64
//   resident     int32: not 0 if dynamic shared memory holds the block's
//                part of `recurrent`
//
// gru_layer_in_registers: the same arguments, cooperatively with one warp for
// each unit of a block, as many as getMaxUnitsPerBlock at most; blocks times
// warps are at least H. A lane keeps three weights for every 32 units, which is
// why there is none above kMaxUnitsInRegisters.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_GPU_LAYERKERNEL_H
#define GRU_LOWERING_GPU_LAYERKERNEL_H

#include "dialect/GRUDeviceOps.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace gru {

/// 96 registers a lane for weights, of the 184 that 11 warps of a block can
/// have.
inline constexpr int64_t kMaxUnitsInRegisters = 1024;

/// So that a hundred multiprocessors hold all units.
inline int64_t getMaxUnitsPerBlock(int64_t units) {
  return units <= 800 ? 8 : (units + 99) / 100;
}

/// The kernels of a `gru.device_rnn "gpu"`, at the insertion point.
mlir::gpu::GPUModuleOp emitLayerKernel(mlir::OpBuilder &b, DeviceRnnOp op,
                                       llvm::StringRef name);

} // namespace gru

#endif // GRU_LOWERING_GPU_LAYERKERNEL_H
