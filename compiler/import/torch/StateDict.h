//===- StateDict.h - the tensors of a PyTorch module ------------*- C++ -*-===//
//
// A state dict is a list of named tensors, and all that PyTorch's files hold.
// Each format has a reader of its own; all of them read bytes that may come
// from anywhere, so each checks every size before it is used and runs nothing.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_TORCH_STATEDICT_H
#define GRU_COMPILER_IMPORT_TORCH_STATEDICT_H

#include "compiler/import/ModelSource.h"

#include "llvm/Support/JSON.h"

namespace gru::torch {

/// A tensor of a state dict: dense, row-major, little-endian.
struct StateTensor {
  std::string name;
  std::vector<int64_t> shape;
  /// Nothing for integers, booleans and what else is no weight.
  std::optional<WeightType> dtype;
  /// The format's own name of the type.
  std::string dtypeName;
  /// Empty for a tensor without `dtype`.
  std::vector<char> data;
};

/// The tensors of one file.
struct StateDict {
  /// Names the file in messages.
  std::string file;
  std::vector<StateTensor> tensors;
  /// The tensors stand in the order of the modules, which some formats lose.
  bool hasModuleOrder = false;

  const StateTensor *find(llvm::StringRef name) const;
};

/// True for bytes that start like a safetensors file.
bool isSafetensors(llvm::StringRef bytes);
/// A .safetensors file: eight bytes of length, a JSON header of that length,
/// then the tensors, which must fill the rest without gaps or overlaps.
llvm::Expected<StateDict> readSafetensors(llvm::StringRef file,
                                          llvm::StringRef bytes);

/// True for a zip archive that torch.save has written.
bool isCheckpoint(llvm::StringRef bytes);
/// What torch.save(module.state_dict(), file) writes: a zip archive with a
/// pickle of names, shapes and strides, and a file of plain numbers for each
/// storage. The state dict may also lie in a dictionary under the key
/// state_dict, model_state_dict or model.
llvm::Expected<StateDict> readCheckpoint(llvm::StringRef file,
                                         llvm::StringRef bytes);

/// {"NAME": [[0.5, ...], ...], ...}, as torch users write a state dict to JSON.
/// The numbers become float32.
llvm::Expected<StateDict> readJsonTensors(llvm::StringRef file,
                                          const llvm::json::Object &object);
/// One such nested list; the error lacks the file.
llvm::Expected<StateTensor> readJsonTensor(llvm::StringRef name,
                                           const llvm::json::Value &value);

/// Whichever of these a file is.
llvm::Expected<StateDict> readStateDict(llvm::StringRef file,
                                        llvm::StringRef bytes);

/// The bytes of `shape` numbers of `size` bytes, nothing if that is more than
/// `limit` or a size is negative.
std::optional<uint64_t> countBytes(llvm::ArrayRef<int64_t> shape, uint64_t size,
                                   uint64_t limit);

} // namespace gru::torch

#endif // GRU_COMPILER_IMPORT_TORCH_STATEDICT_H
