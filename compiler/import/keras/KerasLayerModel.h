//===- KerasLayerModel.h - a single layer as a model ------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASLAYERMODEL_H
#define GRU_COMPILER_IMPORT_KERAS_KERASLAYERMODEL_H

#include "compiler/import/keras/KerasImporter.h"

namespace gru::keras {

/// True for the config of a recurrent layer or cell instead of a model.
bool isLayerConfig(const llvm::json::Object &root);

/// The model of such a config; see openModel.
ExpectedSource openLayer(llvm::StringRef path, const llvm::json::Object &root,
                         llvm::StringRef weightsPath,
                         llvm::ArrayRef<std::string> callArguments);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASLAYERMODEL_H
