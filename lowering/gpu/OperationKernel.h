//===- OperationKernel.h - operations on buffers as device kernels --------===//

#ifndef GRU_LOWERING_GPU_OPERATIONKERNEL_H
#define GRU_LOWERING_GPU_OPERATIONKERNEL_H

#include "dialect/GRUDeviceOps.h"

namespace gru {

/// Whether a kernel can be made of an operation on buffers: a copy, a product
/// with a packed weight, or a linalg operation on float32, integers and
/// conditions whose body is arithmetic.
bool canBeKernel(mlir::Operation *op);

/// Replaces it by a gru.device_kernel, and writes the kernel into a module
/// `name` at the insertion point of `modules`.
void convertToKernel(mlir::Operation *op, mlir::OpBuilder &modules,
                     llvm::StringRef name);

} // namespace gru

#endif // GRU_LOWERING_GPU_OPERATIONKERNEL_H
