//===- RTNeuralImporter.h - RTNeural's JSON to MLIR -------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_RTNEURAL_RTNEURALIMPORTER_H
#define GRU_COMPILER_IMPORT_RTNEURAL_RTNEURALIMPORTER_H

#include "compiler/import/ModelSource.h"

#include "llvm/Support/JSON.h"

namespace gru::rtneural {

/// True for {"in_shape": ..., "layers": [...]}.
bool isModel(const llvm::json::Object &root);

/// A model in RTNeural's JSON: its layers in a row, with their weights in
/// Keras's form. Input x [B, T, F], output `output`. As in RTNeural the session
/// goes on where the last call ended: GRUs and convolutions keep their states.
llvm::Expected<std::unique_ptr<ModelSource>>
openModel(llvm::StringRef path, const llvm::json::Object &root);

} // namespace gru::rtneural

#endif // GRU_COMPILER_IMPORT_RTNEURAL_RTNEURALIMPORTER_H
