//===- Explain.h - which backend, and why -------------------------*- C++ -*-===//
//
// One row per recurrent layer of an imported module. docs/debugging.md shows
// the forms.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_EXPLAIN_EXPLAIN_H
#define GRU_COMPILER_EXPLAIN_EXPLAIN_H

#include "compiler/jit/Compiler.h"

namespace gru {

void explainAsText(mlir::ModuleOp module, const CompileTarget &target,
                   llvm::raw_ostream &os);
void explainAsJSON(mlir::ModuleOp module, const CompileTarget &target,
                   llvm::raw_ostream &os);

} // namespace gru

#endif // GRU_COMPILER_EXPLAIN_EXPLAIN_H
