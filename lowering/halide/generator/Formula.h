//===- Formula.h - formulas of activations as Halide expressions ----------===//

#ifndef GRU_LOWERING_HALIDE_GENERATOR_FORMULA_H
#define GRU_LOWERING_HALIDE_GENERATOR_FORMULA_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <Halide.h>

namespace gru {

/// The function's result for the argument x; x itself for a null function. For
/// pipelines of targets with strict_float. Throws Halide::CompileError for an
/// operation that formulas do not have.
Halide::Expr applyFormula(mlir::func::FuncOp formula, Halide::Expr x);

} // namespace gru

#endif // GRU_LOWERING_HALIDE_GENERATOR_FORMULA_H
