//===- Activations.h - defining formulas of the activations -------*- C++
//-*-===//
//
// The one place where each kind of `#gru.act` is written as a formula. The
// reference target and the cpu target share it; the cpu target then replaces
// exp and its like (ApproximateMath.h).
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_ACTIVATIONS_H
#define GRU_LOWERING_COMMON_ACTIVATIONS_H

#include "dialect/GRUDialect.h"

#include "mlir/IR/PatternMatch.h"

namespace gru {

/// The formula of a pointwise activation of `x`, a floating-point scalar or
/// vector, in arith and math operations. NaN stays NaN. f16 and bf16 are
/// computed in f32. The kind must not be row-wise.
mlir::Value expandActivation(mlir::OpBuilder &builder, mlir::Location loc,
                             ActAttr activation, mlir::Value x);

/// Applies a row-wise activation in place to the first `n` (index) elements of
/// `row`, a memref of rank 1 with any layout, as loops over scalars. f16 and
/// bf16 rows are summed in f32. Needs no memory besides the row; sums run over
/// ascending positions. softmax and log_softmax take O(n), sparsemax O(n^2).
void emitRowwiseActivation(mlir::OpBuilder &builder, mlir::Location loc,
                           ActAttr activation, mlir::Value row, mlir::Value n);

/// Rewrites pointwise `gru.activation` of scalars and vectors with
/// expandActivation.
void populateExpandActivationPatterns(mlir::RewritePatternSet &patterns);

} // namespace gru

#endif // GRU_LOWERING_COMMON_ACTIVATIONS_H
