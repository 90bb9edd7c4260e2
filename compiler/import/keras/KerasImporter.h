//===- KerasImporter.h - Keras files to MLIR --------------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASIMPORTER_H
#define GRU_COMPILER_IMPORT_KERAS_KERASIMPORTER_H

#include "compiler/import/ModelSource.h"
#include "compiler/import/keras/KerasConfig.h"
#include "compiler/import/keras/KerasWeights.h"

namespace gru::keras {

using ExpectedSource = llvm::Expected<std::unique_ptr<ModelSource>>;

/// A .keras archive in memory. `weightsPath` may be empty.
ExpectedSource openArchive(llvm::StringRef path, llvm::StringRef bytes,
                           llvm::StringRef weightsPath);
/// A legacy whole model in HDF5.
ExpectedSource openHdf5(llvm::StringRef path, llvm::StringRef bytes,
                        llvm::StringRef weightsPath);
/// A model config in JSON, or that of one layer; `weightsPath` names its
/// weights.
ExpectedSource openJson(llvm::StringRef path, const llvm::json::Object &config,
                        llvm::StringRef weightsPath,
                        llvm::ArrayRef<std::string> callArguments);

/// Checks the graph and the weights; the common end of all the ways in.
/// `config` is what decides the code besides the weights' shapes.
ExpectedSource finishSource(llvm::StringRef file, Model model,
                            const llvm::json::Object &config, Weights &store);

llvm::Expected<std::string> readFile(llvm::StringRef path);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASIMPORTER_H
