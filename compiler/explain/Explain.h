//===- Explain.h - which backend, and why -----------------------*- C++ -*-===//
//
// One row per recurrent layer of an imported module. docs/debugging.md shows
// the forms.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_EXPLAIN_EXPLAIN_H
#define GRU_COMPILER_EXPLAIN_EXPLAIN_H

#include "lowering/backends/DeviceProblems.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace gru {

struct ExplainOptions {
  std::string target = "auto";   ///< What was asked for.
  DeviceProblems deviceProblems; ///< Of this machine; auto minds them.
  int64_t batch = 0;             ///< What FLOP counts are for; 0: one row.
};

void explainAsText(mlir::ModuleOp module, const ExplainOptions &options,
                   llvm::raw_ostream &os);
void explainAsJSON(mlir::ModuleOp module, const ExplainOptions &options,
                   llvm::raw_ostream &os);

} // namespace gru

#endif // GRU_COMPILER_EXPLAIN_EXPLAIN_H
