//===- SequenceKernels.h - Keras's rules around a call of cuDNN -----------===//
//
// cuDNN runs forwards over the first steps of each row, returns zeros behind
// them and rejects empty rows. The kernels here make of that what Keras's
// layers return, on the device. runtime/cuda/CudnnPart.cpp launches them with
// kGPUThreads threads a block. `lengths` are the valid steps of each row, int32
// [B].
//
// gru_start, of a layer that goes backwards:
//   input, lengths, reversed, timesteps (int64)
//   reversed = the valid part of each row from its end, zeros behind it
//
// gru_finish:
//   lengths
//   y            [B, T, D H] or time-major, as cuDNN has written it
//   hy           [cells, B, H], likewise
//   initial      [cells, B, H]; null for zeros
//   sequences, last outputs, states: those that there are
//   timesteps    int64
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_CUDNN_SEQUENCEKERNELS_H
#define GRU_LOWERING_CUDNN_SEQUENCEKERNELS_H

#include "dialect/GRUDeviceOps.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace gru {

/// Whether cuDNN's results are not yet Keras's.
bool needsSequenceKernels(DeviceRnnOp op);

/// The kernels of a `gru.device_rnn "cudnn"`, at the insertion point.
mlir::gpu::GPUModuleOp emitSequenceKernels(mlir::OpBuilder &b, DeviceRnnOp op,
                                           llvm::StringRef name);

} // namespace gru

#endif // GRU_LOWERING_CUDNN_SEQUENCEKERNELS_H
