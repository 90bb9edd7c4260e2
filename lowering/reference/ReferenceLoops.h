//===- ReferenceLoops.h - operations as scalar loops ----------------------===//
#ifndef GRU_LOWERING_REFERENCE_REFERENCELOOPS_H
#define GRU_LOWERING_REFERENCE_REFERENCELOOPS_H

#include "dialect/GRUDialect.h"
#include "lowering/reference/Scalar.h"

namespace gru::reference {

// Each emits the loops in front of the operation and replaces its results; the
// caller erases it.
void lower(Scalar &s, GRUOp op);
void lower(Scalar &s, CellOp op);
void lower(Scalar &s, DenseOp op);
void lower(Scalar &s, PackOp op);
void lower(Scalar &s, QuantizedPackOp op);
void lower(Scalar &s, QuantizeRowsOp op);
void lower(Scalar &s, PackedDenseOp op);
void lower(Scalar &s, RecurOp op);
void lower(Scalar &s, StepOp op);

/// y[..., n] = activation(bias(n) + sum over k of x[..., k] weight(k, n)) for
/// buffers x and y.
void emitDense(
    Scalar &s, mlir::Value x, mlir::Value y, ActAttr activation,
    llvm::function_ref<mlir::Value(mlir::Value n)> bias,
    llvm::function_ref<mlir::Value(mlir::Value k, mlir::Value n)> weight);

} // namespace gru::reference

#endif // GRU_LOWERING_REFERENCE_REFERENCELOOPS_H
