//===- TorchConfig.h - what the modules of a state dict are -----*- C++ -*-===//
//
// A state dict holds no code. What stands between its tensors comes from a
// small JSON, or is inferred from the names that PyTorch gives to parameters.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_TORCH_TORCHCONFIG_H
#define GRU_COMPILER_IMPORT_TORCH_TORCHCONFIG_H

#include "compiler/import/torch/StateDict.h"

namespace gru::torch {

/// What goes on from a recurrent module: all steps, the last step
/// (output[:, -1]), or the last layer's last state (h_n[-1]).
enum class Result { sequence, last, state };

/// A module of torch.nn by its own arguments. What is absent follows from the
/// shapes of the weights.
struct Module {
  /// "GRU", "Linear", "ReLU", ...
  std::string type;
  /// The module's name in the state dict; empty where the names have none.
  std::string name;
  /// The arguments as they were written, for everything but a GRU.
  llvm::json::Object config;

  // A GRU's or GRUCell's.
  std::optional<int64_t> inputSize, hiddenSize, numLayers;
  std::optional<bool> bias, bidirectional;
  bool batchFirst = false;
  /// The session keeps the state from call to call.
  bool stateful = false;
  Result result = Result::sequence;
};

/// Modules in a row.
struct Network {
  std::vector<Module> modules;
  /// So many of the input's first features are added to the output.
  int64_t skip = 0;
  /// The element type that the config names; nothing where it names none.
  std::optional<WeightType> dtype;
};

/// True for a config in our form: {"module": "GRU", ...}.
bool isModuleConfig(const llvm::json::Object &root);
/// One module with its arguments, or {"module": "Sequential", "layers": [...]};
/// docs/formats.md describes it. An argument that the module does not have is
/// an error.
llvm::Expected<Network> parseModuleConfig(llvm::StringRef where,
                                          const llvm::json::Object &root);

/// The "model_data" of an audio model: a SimpleRNN, that is a GRU `rec`, a
/// Linear `lin`, and the input added to the output where `skip` says so.
llvm::Expected<Network> parseModelData(llvm::StringRef where,
                                       const llvm::json::Object &data);

/// GRUs in the order of their names, and the Linear layers behind them.
/// Anything else in the state dict is an error that asks for a config.
llvm::Expected<Network> inferNetwork(const StateDict &dict);

} // namespace gru::torch

#endif // GRU_COMPILER_IMPORT_TORCH_TORCHCONFIG_H
