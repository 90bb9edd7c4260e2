//===- PlanWriter.h - the plan as bytes -------------------------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_PLANWRITER_H
#define GRU_COMPILER_JIT_PLANWRITER_H

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/Support/Error.h"

#include <string>

namespace gru {

/// Serialises the attribute `gru.plan` that gru-lower-entry leaves on a kernel
/// into the form of runtime/include/gru/plan.h.
llvm::Expected<std::string> writePlan(mlir::DictionaryAttr plan);

} // namespace gru

#endif // GRU_COMPILER_JIT_PLANWRITER_H
