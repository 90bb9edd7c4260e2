//===- Buffers.h - buffers, loops and rows in lowerings ---------*- C++ -*-===//
//
// Small builders that several lowerings share.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_BUFFERS_H
#define GRU_LOWERING_COMMON_BUFFERS_H

#include "dialect/GRUDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gru {

/// The value as a memref that is only read; a tensor is taken through
/// bufferization.to_buffer.
mlir::Value asBuffer(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value);

/// The allocation or argument that a buffer is a view of.
mlir::Value getRoot(mlir::Value buffer);

/// A new buffer as a tensor that nothing else refers to.
mlir::Value asTensor(mlir::OpBuilder &b, mlir::Location loc,
                     mlir::Value buffer);

/// memref.alloc of the same shape as `buffer`, with a plain layout.
mlir::Value allocLike(mlir::OpBuilder &b, mlir::Location loc,
                      mlir::Value buffer);

/// Size of a dimension as a value; a constant where it is static.
mlir::Value sizeOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value buffer,
                   int64_t dim);

mlir::Value indexConstant(mlir::OpBuilder &b, mlir::Location loc,
                          int64_t value);

/// for i in [0, size) step 1.
void forEach(
    mlir::OpBuilder &b, mlir::Location loc, mlir::Value size,
    llvm::function_ref<void(mlir::OpBuilder &, mlir::Location, mlir::Value)>
        body);

/// Nested loops over the given sizes.
void forEachIndex(mlir::OpBuilder &b, mlir::Location loc,
                  llvm::ArrayRef<mlir::Value> sizes,
                  llvm::function_ref<void(mlir::OpBuilder &, mlir::Location,
                                          mlir::ValueRange)>
                      body);

/// buffer[..., index, ...] with `dim` dropped.
mlir::Value dropDim(mlir::OpBuilder &b, mlir::Location loc, mlir::Value buffer,
                    int64_t dim, mlir::Value index);

/// The row buffer[indices..., :] as a memref of rank 1.
mlir::Value rowOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value buffer,
                  mlir::ValueRange indices);

/// The operation that fills `buffer` with a number right before `op` adds to
/// it, where nothing else can tell whether it has: then `op` may start from the
/// number itself. The buffer is an allocation or an argument of a private
/// function, whose arguments gru-share-kernels keeps apart. Null if there is
/// none.
mlir::linalg::FillOp findOwnFill(mlir::Operation *op, mlir::Value buffer);

/// Applies a row-wise activation in place to every row (last axis) of a buffer.
void emitRowwiseActivationOnRows(mlir::OpBuilder &b, mlir::Location loc,
                                 ActAttr activation, mlir::Value buffer);

} // namespace gru

#endif // GRU_LOWERING_COMMON_BUFFERS_H
