//===- NetworkBuilder.h - a PyTorch network as a graph of layers ----------===//
//
// Makes Keras's layers, so that both frameworks share everything behind them,
// and brings the weights into Keras's form. Only what Keras has no layer for is
// in TorchLayers.cpp. Members are in three files: NetworkBuilder.cpp (weights,
// inputs, the walk), RecurrentModules.cpp and OtherModules.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_TORCH_NETWORKBUILDER_H
#define GRU_COMPILER_IMPORT_TORCH_NETWORKBUILDER_H

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/KerasImporter.h"
#include "compiler/import/torch/TorchConfig.h"
#include "compiler/import/torch/TorchImporter.h"

#include "llvm/ADT/StringSet.h"

namespace gru::torch {

/// Turns a network and its state dict into a model.
class NetworkBuilder {
public:
  NetworkBuilder(llvm::StringRef file, Network network, StateDict dict,
                 llvm::ArrayRef<std::string> callArguments)
      : file(file), network(std::move(network)), dict(std::move(dict)),
        callArguments(callArguments) {}

  ExpectedSource build();

private:
  bool isGiven(llvm::StringRef argument) const {
    return llvm::is_contained(callArguments, argument);
  }
  llvm::Error fail(const Module &module, const llvm::Twine &message) const {
    return importError(file + ": " + describe(module), message);
  }
  static std::string describe(const Module &module) {
    return module.type +
           (module.name.empty() ? "" : " '" + printable(module.name) + "'");
  }

  //===--- Weights --------------------------------------------------------===//

  /// The name of a module's parameter in the state dict.
  static std::string joinName(llvm::StringRef module,
                              llvm::StringRef parameter);
  const StateTensor *findParameter(const Module &module,
                                   llvm::StringRef name) const;
  llvm::Expected<WeightTensor> take(const Module &module, llvm::StringRef name,
                                    llvm::ArrayRef<int64_t> shape,
                                    llvm::StringRef meaning);
  /// Takes a parameter that is a layer's weight as it is.
  llvm::Error takeAs(const Module &module, llvm::StringRef name,
                     llvm::ArrayRef<int64_t> shape, llvm::StringRef meaning,
                     llvm::StringRef layer, llvm::StringRef role);
  void add(llvm::StringRef layer, llvm::StringRef role, WeightTensor tensor);
  llvm::Error checkAllTaken() const;

  //===--- Layers ---------------------------------------------------------===//

  keras::Argument addInput(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
                           llvm::StringRef type, keras::Dims dims);
  llvm::Error addSequenceInput(const Module &first);
  llvm::Error addModule(Module &module);
  llvm::Error addGRU(Module &module, keras::Layer &layer, keras::Node &node);
  llvm::Error addGRUDirection(const Module &module, llvm::StringRef layer,
                              int64_t number, bool backward, int64_t inputs);
  llvm::Error addGRUCell(Module &module, keras::Layer &layer,
                         keras::Node &node);
  llvm::Error addLinear(Module &module, keras::Layer &layer);
  llvm::Error addEmbedding(Module &module, keras::Layer &layer);
  llvm::Error addLayerNorm(Module &module, keras::Layer &layer);
  llvm::Error addActivation(Module &module, keras::Layer &layer);
  llvm::Error resolveCell(Module &module, llvm::StringRef suffix);
  std::string makeName(const Module &module);
  void addOutput(std::string name, keras::Argument argument, keras::Dims dims);

  std::string file;
  Network network;
  StateDict dict;
  llvm::ArrayRef<std::string> callArguments;

  keras::Model model;
  std::vector<WeightTensor> weights;
  llvm::StringSet<> taken, names;
  /// The element type of all weights.
  std::optional<WeightType> dtype;
  /// What the modules so far have made, and its features, 0: unknown.
  keras::Argument value, input;
  int64_t features = 0;
  bool unbatched = false, timeMajor = false;
  size_t numRecurrent = 0;
  /// Where the current value has its batch and time.
  keras::Dims dims;
};

} // namespace gru::torch

#endif // GRU_COMPILER_IMPORT_TORCH_NETWORKBUILDER_H
