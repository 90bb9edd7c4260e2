//===- Target.h - what gru_compile_options ask for --------------*- C++ -*-===//

#ifndef GRU_COMPILER_API_TARGET_H
#define GRU_COMPILER_API_TARGET_H

#include "compiler/api/Model.h"
#include "compiler/jit/Compiler.h"
#include "gru/gru.h"

namespace gru {

/// The target that `options`, which are of this version, stand for. On failure
/// gru_last_error says why.
gru_status makeTarget(const gru_model &model,
                      const gru_compile_options &options,
                      CompileTarget &target);

} // namespace gru

#endif // GRU_COMPILER_API_TARGET_H
