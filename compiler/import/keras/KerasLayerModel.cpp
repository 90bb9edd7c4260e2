//===- KerasLayerModel.cpp - a single layer as a model --------------------===//
//
// A layer without a model around it gets one: inputs for the arguments of its
// call, and outputs for what it returns.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/keras/KerasLayerModel.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/NpzFile.h"
#include "compiler/import/keras/KerasLayers.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Arguments and their defaults
//===----------------------------------------------------------------------===//

namespace {
/// An argument of a Keras class with its default.
struct Default {
  StringLiteral key;
  json::Value value;
};
} // namespace

/// Fills in defaults; an argument that Keras does not have is an error, as it
/// is in Keras.
static Error completeConfig(StringRef where, StringRef className,
                            json::Object &config, ArrayRef<Default> arguments) {
  for (const auto &entry : config) {
    StringRef key = entry.first;
    if (any_of(arguments, [&](auto &known) { return known.key == key; }))
      continue;
    StringRef closest;
    unsigned distance = 4;
    for (const Default &known : arguments)
      if (unsigned d = key.edit_distance(known.key, true, distance);
          d < distance) {
        distance = d;
        closest = known.key;
      }
    return importError(where, "found the argument '" + printable(key) +
                                  "', which " + className + " does not have" +
                                  (closest.empty() ? std::string()
                                                   : "; did you mean '" +
                                                         closest.str() + "'?"));
  }
  for (const Default &known : arguments)
    // Units have no default; their absence is reported by the layer.
    if (!config.get(known.key) && !known.value.getAsNull())
      config[known.key] = known.value;
  return Error::success();
}

static std::vector<Default> cellArguments(unsigned version) {
  std::vector<Default> arguments = {
      {"units", nullptr},
      {"activation", "tanh"},
      {"recurrent_activation", "sigmoid"},
      {"use_bias", true},
      {"reset_after", true},
      {"dropout", 0.0},
      {"recurrent_dropout", 0.0},
      {"implementation", 2},
      {"seed", nullptr},
      {"name", nullptr},
      {"dtype", "float32"},
      {"trainable", true},
      {"use_cudnn", "auto"},
  };
  for (StringRef weight : {"kernel", "recurrent", "bias"})
    for (StringRef what : {"initializer", "regularizer", "constraint"}) {
      static constexpr StringLiteral keys[3][3] = {
          {"kernel_initializer", "kernel_regularizer", "kernel_constraint"},
          {"recurrent_initializer", "recurrent_regularizer",
           "recurrent_constraint"},
          {"bias_initializer", "bias_regularizer", "bias_constraint"}};
      unsigned row = weight == "kernel" ? 0 : weight == "recurrent" ? 1 : 2;
      unsigned column = what == "initializer"   ? 0
                        : what == "regularizer" ? 1
                                                : 2;
      arguments.push_back({keys[row][column], nullptr});
    }
  return arguments;
}

static void addLoopArguments(std::vector<Default> &arguments,
                             unsigned version) {
  for (StringLiteral key :
       {StringLiteral("return_sequences"), StringLiteral("return_state"),
        StringLiteral("go_backwards"), StringLiteral("stateful"),
        StringLiteral("unroll"), StringLiteral("zero_output_for_mask")})
    arguments.push_back({key, false});
  arguments.push_back({"activity_regularizer", nullptr});
  // Keras 3 has no time-major layout.
  if (version == 2)
    arguments.push_back({"time_major", false});
}

//===----------------------------------------------------------------------===//
// The model around a layer
//===----------------------------------------------------------------------===//

/// The cells' configs; a GRU counts as its own cell.
static SmallVector<const json::Object *> getCells(const json::Object &config) {
  SmallVector<const json::Object *> cells;
  const json::Value *cell = config.get("cell");
  const json::Array *list = config.getArray("cells");
  if (cell) {
    list = cell->getAsArray();
    std::optional<ObjectConfig> object = getObjectConfig(*cell);
    if (object && !object->config->getArray("cells"))
      return {object->config};
    if (object)
      list = object->config->getArray("cells");
  }
  if (!list)
    return {&config};
  for (const json::Value &value : *list)
    if (std::optional<ObjectConfig> object = getObjectConfig(value))
      cells.push_back(object->config);
  return cells;
}

namespace {
/// Collects the inputs of a model around one layer.
class LayerModel {
public:
  LayerModel(Layer layer, unsigned version) : layer(std::move(layer)) {
    model.version = version;
    this->layer.implicitMasks = false;
    // An input has the type of the layer, so that a float64 layer needs no
    // cast.
    SmallVector<const json::Object *> cells = getCells(this->layer.config);
    const json::Value *own =
        cells.empty() ? nullptr : findEntry(*cells.front(), "dtype");
    if (own)
      dtype = *own;
  }

  /// An input of the model as an argument of the layer.
  Argument addInput(StringRef name, json::Array shape,
                    std::optional<StringRef> type = {}) {
    Layer input;
    input.className = "InputLayer";
    input.name = name.str();
    input.config = json::Object{{"name", name},
                                {"batch_shape", std::move(shape)},
                                {"dtype", type ? json::Value(*type) : dtype}};
    model.layers.push_back(std::move(input));
    model.inputs.push_back({name.str(), 0, 0});
    Argument argument;
    argument.kind = Argument::Tensor;
    argument.tensor = model.inputs.back();
    return argument;
  }

  void addOutput(std::string name = "") {
    model.outputs.push_back({layer.name, 0, int64_t(model.outputs.size())});
    if (!name.empty())
      model.outputNames.push_back(std::move(name));
  }

  Model finish(Node node) {
    layer.nodes.push_back(std::move(node));
    model.layers.push_back(std::move(layer));
    return std::move(model);
  }

private:
  Model model;
  Layer layer;
  json::Value dtype = "float32";
};
} // namespace

/// state, or state_0, state_1, ... where there are several.
static std::string numbered(StringRef name, size_t index, bool several) {
  return several ? (name + "_" + Twine(index)).str() : name.str();
}

static json::Value unitsOf(const json::Object &cell) {
  const json::Value *units = cell.get("units");
  return units ? *units : json::Value(nullptr);
}

/// A layer on x [batch, timesteps, features] with those of its other arguments
/// that `callArguments` names.
static Model wrapLayer(Layer layer, unsigned version, int64_t features,
                       ArrayRef<std::string> callArguments) {
  SmallVector<const json::Object *> cells = getCells(layer.config);
  bool returnState = isFlagSet(layer.config, "return_state");
  SmallVector<json::Value> units;
  for (const json::Object *cell : cells)
    units.push_back(unitsOf(*cell));
  LayerModel result(std::move(layer), version);
  Node node;
  node.positional.push_back(
      result.addInput("x", json::Array{nullptr, nullptr, features}));
  if (is_contained(callArguments, "mask"))
    node.named.emplace_back(
        "mask", result.addInput("mask", json::Array{nullptr, nullptr}, "bool"));
  Argument states;
  states.kind = Argument::List;
  for (auto [index, size] : enumerate(units)) {
    std::string name = numbered("initial_state", index, units.size() > 1);
    if (is_contained(callArguments, name))
      states.elements.push_back(
          result.addInput(name, json::Array{nullptr, size}));
  }
  if (!states.elements.empty())
    node.named.emplace_back("initial_state", std::move(states));
  result.addOutput();
  if (returnState)
    for (size_t i = 0; i < units.size(); ++i)
      result.addOutput();
  return result.finish(std::move(node));
}

/// A cell on x [batch, features] and its states.
static Model wrapCell(Layer layer, unsigned version, int64_t features) {
  bool stacked = layer.className == "StackedRNNCells";
  SmallVector<json::Value> units;
  for (const json::Object *cell : getCells(layer.config))
    units.push_back(unitsOf(*cell));
  LayerModel result(std::move(layer), version);
  Node node;
  node.positional.push_back(
      result.addInput("x", json::Array{nullptr, features}));
  result.addOutput("output");
  for (auto [index, size] : enumerate(units)) {
    node.positional.push_back(result.addInput(numbered("state", index, stacked),
                                              json::Array{nullptr, size}));
    result.addOutput(numbered("new_state", index, stacked));
  }
  return result.finish(std::move(node));
}

//===----------------------------------------------------------------------===//
// Ways in
//===----------------------------------------------------------------------===//

ExpectedSource gru::buildKerasLayerModel(json::Object layerConfig,
                                         std::vector<WeightTensor> weights,
                                         int64_t features,
                                         unsigned kerasVersion) {
  std::string className = "GRU";
  json::Object config = std::move(layerConfig);
  if (std::optional<StringRef> name = config.getString("class_name")) {
    className = name->str();
    json::Object inner;
    if (const json::Object *object = config.getObject("config"))
      inner = *object;
    config = std::move(inner);
  }
  if (kerasVersion != 2 && kerasVersion != 3)
    return importError("", "the Keras version is " + Twine(kerasVersion) +
                               ", expected 2 or 3");
  if (className != "GRU" && className != "RNN")
    return importError("", "found the layer class '" + printable(className) +
                               "', expected GRU or RNN");
  Layer layer;
  layer.className = className;
  layer.name = config.getString("name").value_or("gru").str();
  std::string where = "layer '" + printable(layer.name) + "'";
  if (layer.name == "x")
    return importError(where, "the name is taken by the input");
  if (features < 1 || features > std::numeric_limits<int32_t>::max())
    return importError(where, "features is " + Twine(features) +
                                  ", expected a positive integer");

  std::vector<Default> arguments = cellArguments(kerasVersion);
  if (className == "RNN") {
    json::Object *cell = config.getObject("cell");
    json::Object *cellConfig = cell ? cell->getObject("config") : nullptr;
    if (cellConfig)
      if (Error error =
              completeConfig(where, "GRUCell", *cellConfig, arguments))
        return error;
    arguments = {{"cell", nullptr},
                 {"name", nullptr},
                 {"dtype", "float32"},
                 {"trainable", true}};
  }
  addLoopArguments(arguments, kerasVersion);
  if (Error error = completeConfig(where, className, config, arguments))
    return error;
  layer.config = std::move(config);

  json::Object structure{{"class_name", className},
                         {"features", features},
                         {"config", json::Object(layer.config)}};
  Model model = wrapLayer(std::move(layer), kerasVersion, features, {});
  std::unique_ptr<Weights> store = makeGivenWeights(std::move(weights));
  return finishSource("", std::move(model), structure, *store);
}

static bool isCell(StringRef className) {
  return className == "GRUCell" || className == "StackedRNNCells";
}

bool gru::keras::isLayerConfig(const json::Object &root) {
  StringRef className = root.getString("class_name").value_or("");
  return isCell(className) ||
         is_contained({"GRU", "RNN", "CuDNNGRU"}, className);
}

ExpectedSource gru::keras::openLayer(StringRef path, const json::Object &root,
                                     StringRef weightsPath,
                                     ArrayRef<std::string> callArguments) {
  if (weightsPath.empty())
    return importError(path, "a layer config holds no weights, expected a file "
                             "of weights (.npz) given with it, as --weights "
                             "does");
  Expected<std::string> bytes = readFile(weightsPath);
  if (!bytes)
    return bytes.takeError();
  Expected<std::vector<WeightTensor>> weights = readNpz(weightsPath, *bytes);
  if (!weights)
    return weights.takeError();

  Layer layer;
  layer.className = root.getString("class_name").value_or("").str();
  if (const json::Object *config = root.getObject("config"))
    layer.config = *config;
  layer.name = layer.config.getString("name").value_or("layer").str();
  std::string where = (path + ": layer '" + printable(layer.name) + "'").str();
  // The input's features are the rows of the first kernel.
  auto kernel = find_if(*weights, [](const WeightTensor &weight) {
    return weight.name == "kernel" || weight.name == "cell0_kernel";
  });
  if (kernel == weights->end() || kernel->shape.size() != 2)
    return importError(weightsPath, "found no matrix 'kernel'");
  int64_t features = kernel->shape[0];
  if (is_contained({"x", "mask", "state", "initial_state"}, layer.name))
    return importError(where, "the name is taken by an input");
  json::Object structure{{"layer", json::Object(root)}, {"features", features}};
  for (const std::string &argument : callArguments)
    structure[argument] = true;
  unsigned version = guessVersion(root);
  Model model =
      isCell(layer.className)
          ? wrapCell(std::move(layer), version, features)
          : wrapLayer(std::move(layer), version, features, callArguments);
  std::unique_ptr<Weights> store = makeGivenWeights(std::move(*weights));
  return finishSource(path, std::move(model), structure, *store);
}
