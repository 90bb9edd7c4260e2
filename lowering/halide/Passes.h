//===- Passes.h - passes of the target halide -------------------*- C++ -*-===//

#ifndef GRU_LOWERING_HALIDE_PASSES_H
#define GRU_LOWERING_HALIDE_PASSES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace gru {
#define GEN_PASS_DECL
#include "lowering/halide/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "lowering/halide/Passes.h.inc"
} // namespace gru

#endif // GRU_LOWERING_HALIDE_PASSES_H
