//===- KerasImporter.h - Keras files to MLIR ----------------------*- C++
//-*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASIMPORTER_H
#define GRU_COMPILER_IMPORT_KERAS_KERASIMPORTER_H

#include "compiler/import/ModelSource.h"

namespace gru::keras {

using ExpectedSource = llvm::Expected<std::unique_ptr<ModelSource>>;

/// A .keras archive in memory. `weightsPath` may be empty.
ExpectedSource openArchive(llvm::StringRef path, llvm::StringRef bytes,
                           llvm::StringRef weightsPath);
/// A legacy whole model in HDF5.
ExpectedSource openHdf5(llvm::StringRef path, llvm::StringRef bytes,
                        llvm::StringRef weightsPath);
/// A model config in JSON; `weightsPath` names its weights.
ExpectedSource openJson(llvm::StringRef path, llvm::StringRef text,
                        llvm::StringRef weightsPath);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASIMPORTER_H
