//===- Descriptors.h - buffers around addresses -----------------*- C++ -*-===//

#ifndef GRU_LOWERING_COMMON_DESCRIPTORS_H
#define GRU_LOWERING_COMMON_DESCRIPTORS_H

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace gru {

/// A memref whose first element is at `address`, whatever offset its type has.
/// Its strides are those of its type, or follow from the sizes. `size` is asked
/// for dynamic dimensions' sizes, as i64; for others it may be.
/// gru-lower-accesses looks through the result.
mlir::Value makeBufferAt(mlir::OpBuilder &b, mlir::Location loc,
                         const mlir::LLVMTypeConverter &converter,
                         mlir::MemRefType type, mlir::Value address,
                         llvm::function_ref<mlir::Value(int64_t dim)> size);

} // namespace gru

#endif // GRU_LOWERING_COMMON_DESCRIPTORS_H
