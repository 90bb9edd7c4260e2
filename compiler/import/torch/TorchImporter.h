//===- TorchImporter.h - PyTorch modules to MLIR ----------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_TORCH_TORCHIMPORTER_H
#define GRU_COMPILER_IMPORT_TORCH_TORCHIMPORTER_H

#include "compiler/import/ModelSource.h"

#include "llvm/Support/JSON.h"

namespace gru::torch {

using ExpectedSource = llvm::Expected<std::unique_ptr<ModelSource>>;

/// A state dict in safetensors or of torch.save, with the config beside it:
/// module.json, or the file's own name with .json. Without one it is inferred.
/// `callArguments` are those of h0, lengths and unbatched that a call has.
ExpectedSource openWeights(llvm::StringRef path, llvm::StringRef bytes,
                           llvm::ArrayRef<std::string> callArguments);

/// A module config with the file of its weights.
ExpectedSource openConfig(llvm::StringRef path, const llvm::json::Object &root,
                          llvm::StringRef weightsPath,
                          llvm::ArrayRef<std::string> callArguments);

/// True for a state dict written as JSON, alone or with "model_data".
bool isJsonModel(const llvm::json::Object &root);
ExpectedSource openJsonModel(llvm::StringRef path,
                             const llvm::json::Object &root,
                             llvm::ArrayRef<std::string> callArguments);

} // namespace gru::torch

#endif // GRU_COMPILER_IMPORT_TORCH_TORCHIMPORTER_H
