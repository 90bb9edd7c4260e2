//===- GRUDeviceOps.h - what runs on a device -------------------*- C++ -*-===//

#ifndef GRU_DIALECT_GRUDEVICEOPS_H
#define GRU_DIALECT_GRUDEVICEOPS_H

#include "dialect/GRUDialect.h"

namespace gru {
/// Values of `library` in gru.device_rnn.
inline constexpr llvm::StringLiteral kCudnn = "cudnn";
inline constexpr llvm::StringLiteral kGPU = "gpu";

/// Discardable attributes; see the dialect's page.
inline constexpr llvm::StringLiteral kOnHostAttr = "gru.on_host";
inline constexpr llvm::StringLiteral kDeviceAttr = "gru.device";
inline constexpr llvm::StringLiteral kDevicePartsAttr = "gru.device_parts";
} // namespace gru

#define GET_OP_CLASSES
#include "dialect/GRUDeviceOps.h.inc"

#endif // GRU_DIALECT_GRUDEVICEOPS_H
