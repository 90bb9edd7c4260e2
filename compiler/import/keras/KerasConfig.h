//===- KerasConfig.h - a Keras model config as a plain graph ----*- C++ -*-===//
//
// Keras has written the graph of a model in many ways: Sequential and
// functional, with the node forms of Keras 2 and of Keras 3. This file reads
// all of them into one structure; what the layers mean is not known here.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASCONFIG_H
#define GRU_COMPILER_IMPORT_KERAS_KERASCONFIG_H

#include "llvm/Support/JSON.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gru::keras {

/// Output number `tensor` of call number `node` of a layer.
struct TensorRef {
  std::string layer;
  int64_t node = 0, tensor = 0;
};

/// An argument of a layer's call: a tensor, a list, or a JSON value.
struct Argument {
  enum Kind { Tensor, List, Literal };
  Kind kind = Literal;
  TensorRef tensor;
  std::vector<Argument> elements;
  llvm::json::Value literal = nullptr;

  /// True for an argument that says nothing: null, or a list of nulls.
  bool isNone() const;
  /// All tensors in it, in order. An argument with other values gives an error
  /// text instead.
  llvm::Expected<std::vector<TensorRef>> getTensors() const;
};

Argument tensorArgument(TensorRef ref);

/// One call of a layer.
struct Node {
  std::vector<Argument> positional;
  std::vector<std::pair<std::string, Argument>> named;
};

struct LayerClass;

struct Layer {
  std::string className, name;
  llvm::json::Object config;
  std::vector<Node> nodes;
  /// One of Keras 3's operations on tensors, which stand among the layers.
  bool isOperation = false;
  /// Masks travel with the tensors, as Keras has it. Functional models of Keras
  /// 3 may have them as plain tensors of the graph besides.
  bool implicitMasks = true;
  /// A model inside the model. Its layers follow it with `parent` set to its
  /// name, their calls connected to the outer graph; it is never called itself.
  bool isModel = false;
  std::string parent;
  /// The file has written the layer before, in another model of the nest, and
  /// `sharedWith` is its name there once the two have been joined.
  bool isRepeated = false;
  std::string sharedWith;
  /// A class that no file of Keras can name: another importer's own.
  const LayerClass *own = nullptr;
};

/// Where a tensor has its batch and its time; -1: nowhere.
struct Dims {
  int64_t batch = 0, time = -1;
};

struct Model {
  /// 2 or 3: whose semantics the file was written with.
  unsigned version = 3;
  bool sequential = false;
  std::vector<Layer> layers;
  /// Shapes follow only from a known number of timesteps for a reason that no
  /// layer's class tells; a first walk over the graph finds out.
  bool fixedTime = false;
  std::vector<TensorRef> inputs, outputs;
  /// Names of the outputs; output_0, output_1, ... where it is empty.
  std::vector<std::string> outputNames;
  /// Inputs and outputs, by name, that do not follow Keras's layout.
  std::map<std::string, Dims> dims;

  std::string getOutputName(size_t index) const;
};

/// Reads the graph out of a model config. `version` is the major version of
/// Keras that wrote it, 0 if only the config can tell.
llvm::Expected<Model> parseModel(llvm::StringRef where,
                                 const llvm::json::Object &root,
                                 unsigned version);

/// Keras 2 or 3 by what only one of them writes.
unsigned guessVersion(const llvm::json::Object &root);

/// Class and config of an object that is a layer's property (a cell, an
/// activation, a dtype policy). A class from outside Keras has its module in
/// front.
struct ObjectConfig {
  std::string className;
  const llvm::json::Object *config;
};
std::optional<ObjectConfig> getObjectConfig(const llvm::json::Value &value);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASCONFIG_H
