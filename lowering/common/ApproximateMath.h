//===- ApproximateMath.h - exp and its like as polynomials --------*- C++
//-*-===//
//
// Straight-line code for the transcendental functions that activations use.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_APPROXIMATEMATH_H
#define GRU_LOWERING_COMMON_APPROXIMATEMATH_H

#include "mlir/IR/PatternMatch.h"

namespace gru {

/// Replaces math.exp, expm1, tanh, log, log1p and erf on f32 scalars and
/// vectors by polynomials (f16 and bf16 by way of f32), and `gru.activation` of
/// scalars and vectors: sigmoid and silu by code of their own, which is shorter
/// and more accurate than their formulas over the approximated exp, all others
/// by their formulas. So this alone takes activations to arithmetic; where
/// formulas were expanded before, only the own code of sigmoid and silu is
/// lost. f64 keeps its math operations.
void populateApproximateMathPatterns(mlir::RewritePatternSet &patterns);

} // namespace gru

#endif // GRU_LOWERING_COMMON_APPROXIMATEMATH_H
