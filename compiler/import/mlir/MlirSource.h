//===- MlirSource.h - models written as MLIR --------------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_MLIR_MLIRSOURCE_H
#define GRU_COMPILER_IMPORT_MLIR_MLIRSOURCE_H

#include "compiler/import/ModelSource.h"

namespace gru {

/// A model from MLIR text: one function `main` in the form that importers make
/// (docs/formats.md). Text holds no weights; each is drawn from a fixed seed,
/// scaled by the square root of its rows, so that a program written by hand can
/// be run and compared on every target. Weights that are given are taken by
/// name instead.
llvm::Expected<std::unique_ptr<ModelSource>>
openMlir(llvm::StringRef path, llvm::StringRef text,
         std::vector<WeightTensor> weights = {});

} // namespace gru

#endif // GRU_COMPILER_IMPORT_MLIR_MLIRSOURCE_H
