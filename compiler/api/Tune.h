//===- Tune.h - blocks that are tried instead of computed -------*- C++ -*-===//

#ifndef GRU_COMPILER_API_TUNE_H
#define GRU_COMPILER_API_TUNE_H

#include "compiler/api/Model.h"
#include "gru/gru.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

namespace gru {

/// Compiles the model with other register blocks than the cost model's,
/// measures each and puts the fastest into `options`. If it is not the cost
/// model's, its kernel is kept in the cache in the place of that. `measure`
/// gives nanoseconds; it is asked twice for what looks fastest. A line for each
/// goes to `log`.
llvm::Error
tune(const gru_model &model, gru_compile_options &options,
     llvm::function_ref<llvm::Expected<double>(gru_program *)> measure,
     llvm::raw_ostream &log);

} // namespace gru

#endif // GRU_COMPILER_API_TUNE_H
