//===- TorchImporter.cpp - PyTorch modules to MLIR -------------------------===//
//
// Makes a graph of Keras's layers, so that both frameworks share everything
// behind it, and brings the weights into Keras's form. Only what Keras has no
// layer for is in TorchLayers.cpp.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/torch/TorchImporter.h"

#include "compiler/import/GateOrder.h"
#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"
#include "compiler/import/keras/KerasImporter.h"
#include "compiler/import/torch/TorchConfig.h"
#include "compiler/import/torch/TorchLayers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

using keras::Argument;
using keras::Layer;

namespace {
/// Turns a network and its state dict into a model.
class Builder {
public:
  Builder(StringRef file, Network network, StateDict dict,
          ArrayRef<std::string> callArguments)
      : file(file), network(std::move(network)), dict(std::move(dict)),
        callArguments(callArguments) {}

  ExpectedSource build();

private:
  bool isGiven(StringRef argument) const {
    return is_contained(callArguments, argument);
  }
  Error fail(const Module &module, const Twine &message) const {
    return importError(file + ": " + describe(module), message);
  }
  static std::string describe(const Module &module) {
    return module.type +
           (module.name.empty() ? "" : " '" + printable(module.name) + "'");
  }

  //===--- Weights --------------------------------------------------------===//

  const StateTensor *findParameter(const Module &module, StringRef name) const;
  Expected<WeightTensor> take(const Module &module, StringRef name,
                              ArrayRef<int64_t> shape, StringRef meaning);
  void add(StringRef layer, StringRef role, WeightTensor tensor);
  Error checkAllTaken() const;

  //===--- Layers ---------------------------------------------------------===//

  Argument addInput(StringRef name, ArrayRef<int64_t> shape, StringRef type,
                    keras::Dims dims);
  Error addSequenceInput(const Module &first);
  Error addModule(Module &module);
  Error addGRU(Module &module, Layer &layer, keras::Node &node);
  Error addGRUDirection(const Module &module, StringRef layer, int64_t number,
                        bool backward, int64_t inputs);
  Error addGRUCell(Module &module, Layer &layer, keras::Node &node);
  Error addLinear(Module &module, Layer &layer);
  Error addEmbedding(Module &module, Layer &layer);
  Error addLayerNorm(Module &module, Layer &layer);
  Error addActivation(Module &module, Layer &layer);
  Error resolveCell(Module &module, StringRef suffix);
  std::string makeName(const Module &module);
  void addOutput(std::string name, Argument argument, keras::Dims dims);

  std::string file;
  Network network;
  StateDict dict;
  ArrayRef<std::string> callArguments;

  keras::Model model;
  std::vector<WeightTensor> weights;
  StringSet<> taken, names;
  /// The element type of all weights.
  std::optional<WeightType> dtype;
  /// What the modules so far have made, and its features, 0: unknown.
  Argument value, input;
  int64_t features = 0;
  bool unbatched = false, timeMajor = false;
  size_t numRecurrent = 0;
  /// Where the current value has its batch and time.
  keras::Dims dims;
};
} // namespace

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

static std::string joinName(StringRef module, StringRef parameter) {
  return module.empty() ? parameter.str() : (module + "." + parameter).str();
}

const StateTensor *Builder::findParameter(const Module &module,
                                          StringRef name) const {
  return dict.find(joinName(module.name, name));
}

Expected<WeightTensor> Builder::take(const Module &module, StringRef name,
                                     ArrayRef<int64_t> shape,
                                     StringRef meaning) {
  std::string full = joinName(module.name, name);
  const StateTensor *tensor = dict.find(full);
  if (!tensor)
    return importError(dict.file, "holds no tensor '" + printable(full) +
                                      "', expected " + shapeText(shape) + " (" +
                                      meaning + ") for the " +
                                      describe(module));
  std::string where = dict.file + ": tensor '" + printable(full) + "'";
  if (ArrayRef(tensor->shape) != shape)
    return importError(where, "is " + shapeText(tensor->shape) + ", expected " +
                                  shapeText(shape) + " (" + meaning + ")");
  if (!tensor->dtype)
    return importError(where, "is " + printable(tensor->dtypeName) +
                                  ", expected float32, float64, float16 or "
                                  "bfloat16");
  if (!dtype)
    dtype = tensor->dtype;
  if (dtype != tensor->dtype)
    return importError(where, "is " + getWeightTypeName(*tensor->dtype) +
                                  ", expected " + getWeightTypeName(*dtype) +
                                  " like the weights before it");
  taken.insert(full);
  return WeightTensor{full, tensor->shape, *tensor->dtype, tensor->data};
}

void Builder::add(StringRef layer, StringRef role, WeightTensor tensor) {
  tensor.name = (layer + "/" + role).str();
  weights.push_back(std::move(tensor));
}

Error Builder::checkAllTaken() const {
  for (const StateTensor &tensor : dict.tensors)
    if (!taken.contains(tensor.name))
      return importError(dict.file, "tensor '" + printable(tensor.name) +
                                        "' is not used by the model");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Inputs and outputs
//===----------------------------------------------------------------------===//

Argument Builder::addInput(StringRef name, ArrayRef<int64_t> shape,
                           StringRef type, keras::Dims dims) {
  json::Array sizes;
  for (int64_t size : shape)
    sizes.push_back(size == kDynamicSize ? json::Value(nullptr)
                                         : json::Value(size));
  Layer layer;
  layer.className = "InputLayer";
  layer.name = name.str();
  layer.config = json::Object{{"name", name.str()},
                              {"batch_shape", std::move(sizes)},
                              {"dtype", type.str()}};
  model.layers.push_back(std::move(layer));
  model.inputs.push_back({name.str(), 0, 0});
  model.dims[name.str()] = dims;
  Argument argument;
  argument.kind = Argument::Tensor;
  argument.tensor = model.inputs.back();
  return argument;
}

void Builder::addOutput(std::string name, Argument argument, keras::Dims dims) {
  model.outputs.push_back(argument.tensor);
  model.dims[name] = dims;
  model.outputNames.push_back(std::move(name));
}

/// The input x of a network whose recurrent module is a GRU.
Error Builder::addSequenceInput(const Module &first) {
  constexpr int64_t open = kDynamicSize;
  dims = unbatched ? keras::Dims{-1, 0}
         : timeMajor ? keras::Dims{1, 0}
                     : keras::Dims{0, 1};
  SmallVector<int64_t> shape(unbatched ? 1 : 2, open);
  std::string type = getWeightTypeName(*dtype).str();
  if (first.type == "Embedding")
    type = "int64";
  else
    shape.push_back(features);
  value = input = addInput("x", shape, type, dims);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Recurrent modules
//===----------------------------------------------------------------------===//

/// Fills in what the config leaves open from the weights of one cell, whose
/// names end in `suffix`, and refuses those of another network.
Error Builder::resolveCell(Module &module, StringRef suffix) {
  const StateTensor *recurrent =
      findParameter(module, ("weight_hh" + suffix).str());
  const StateTensor *kernel =
      findParameter(module, ("weight_ih" + suffix).str());
  if (findParameter(module, ("weight_hr" + suffix).str()))
    return fail(module, "the weights have a projection (weight_hr" + suffix +
                            "), which only an LSTM has");
  if (recurrent && recurrent->shape.size() == 2) {
    int64_t rows = recurrent->shape[0], units = recurrent->shape[1];
    if (units > 0 && rows != 3 * units &&
        (rows == 4 * units || rows == units))
      return importError(dict.file,
                         "tensor '" + printable(recurrent->name) + "' is " +
                             shapeText(recurrent->shape) + ", that of " +
                             (rows == units ? "a plain RNN" : "an LSTM") +
                             ", expected a GRU (3*hidden_size x hidden_size)");
    if (!module.hiddenSize)
      module.hiddenSize = units;
  }
  if (kernel && kernel->shape.size() == 2 && !module.inputSize)
    module.inputSize = kernel->shape[1];
  if (!module.bias)
    module.bias = findParameter(module, ("bias_ih" + suffix).str()) != nullptr;
  constexpr int64_t largest = int64_t(1) << 24;
  for (auto [key, weight, size] :
       {std::tuple("hidden_size", "weight_hh", module.hiddenSize),
        std::tuple("input_size", "weight_ih", module.inputSize)}) {
    if (!size)
      return importError(
          dict.file, "holds no matrix '" +
                         printable(joinName(module.name, (Twine(weight) + suffix).str())) +
                         "' for the " + describe(module));
    if (*size < 1 || *size > largest)
      return fail(module, Twine(key) + " is " + Twine(*size) +
                              ", expected a positive integer up to " +
                              Twine(largest));
  }
  return Error::success();
}

Error Builder::addGRUDirection(const Module &module, StringRef layer,
                               int64_t number, bool backward, int64_t inputs) {
  std::string part =
      "l" + utostr(number) + (backward ? "_reverse" : std::string());
  std::string role = part, suffix = "_" + part;
  if (module.type == "GRUCell")
    role = suffix = "";
  auto join = [&](StringRef name) {
    return role.empty() ? name.str() : role + "/" + name.str();
  };
  int64_t units = *module.hiddenSize;
  auto kernel = take(module, "weight_ih" + suffix, {3 * units, inputs},
                     number ? "3*hidden_size x directions*hidden_size"
                            : "3*hidden_size x input_size");
  if (!kernel)
    return kernel.takeError();
  auto recurrent = take(module, "weight_hh" + suffix, {3 * units, units},
                        "3*hidden_size x hidden_size");
  if (!recurrent)
    return recurrent.takeError();
  add(layer, join("kernel"), toKerasMatrix(*kernel, GateOrder::rzh));
  add(layer, join("recurrent_kernel"),
      toKerasMatrix(*recurrent, GateOrder::rzh));
  if (!*module.bias)
    return Error::success();
  auto inputBias = take(module, "bias_ih" + suffix, {3 * units}, "3*hidden_size");
  if (!inputBias)
    return inputBias.takeError();
  auto recurrentBias =
      take(module, "bias_hh" + suffix, {3 * units}, "3*hidden_size");
  if (!recurrentBias)
    return recurrentBias.takeError();
  add(layer, join("bias"),
      toKerasBias(*inputBias, *recurrentBias, GateOrder::rzh));
  return Error::success();
}

/// h0, or h0_0, h0_1, ... where a network has several GRUs.
static std::string numbered(StringRef name, size_t index, bool several) {
  return several ? (name + "_" + Twine(index)).str() : name.str();
}

Error Builder::addGRU(Module &module, Layer &layer, keras::Node &node) {
  if (Error error = resolveCell(module, "_l0"))
    return error;
  if (!module.bidirectional)
    module.bidirectional = findParameter(module, "weight_ih_l0_reverse");
  if (!module.numLayers) {
    module.numLayers = 1;
    while (findParameter(module, "weight_ih_l" + utostr(*module.numLayers)))
      ++*module.numLayers;
  }
  int64_t directions = *module.bidirectional ? 2 : 1;
  int64_t units = *module.hiddenSize;
  for (int64_t number = 0; number < *module.numLayers; ++number)
    for (int64_t direction = 0; direction < directions; ++direction)
      if (Error error =
              addGRUDirection(module, layer.name, number, direction == 1,
                              number ? directions * units : *module.inputSize))
        return error;
  layer.own = &kGRU;
  layer.config["hidden_size"] = units;
  layer.config["num_layers"] = *module.numLayers;
  layer.config["bias"] = *module.bias;
  layer.config["bidirectional"] = *module.bidirectional;
  layer.config["time_major"] = timeMajor && !unbatched;
  layer.config["stateful"] = module.stateful;
  layer.config["dropout"] =
      module.config.getNumber("dropout").value_or(0);
  layer.config["result"] = module.result == Result::sequence ? "sequence"
                           : module.result == Result::last   ? "last"
                                                             : "state";

  bool several = count_if(network.modules, [](const Module &other) {
                   return other.type == "GRU";
                 }) > 1;
  std::string h0 = numbered("h0", numRecurrent, several);
  std::string hn = numbered("h_n", numRecurrent, several);
  keras::Dims stateDims{unbatched ? -1 : 1, -1};
  if (isGiven(h0)) {
    SmallVector<int64_t> shape{*module.numLayers * directions, kDynamicSize,
                               units};
    if (unbatched)
      shape.erase(shape.begin() + 1);
    node.named.emplace_back(
        "h0", addInput(h0, shape, getWeightTypeName(*dtype), stateDims));
  }
  if (isGiven("lengths")) {
    Argument lengths;
    lengths.kind = Argument::Tensor;
    lengths.tensor = {"lengths", 0, 0};
    if (!model.dims.count("lengths"))
      addInput("lengths", {kDynamicSize}, "int64", {0, -1});
    node.named.emplace_back("lengths", lengths);
  }
  // A session that keeps the state needs no output for it.
  if (!module.stateful) {
    Argument state;
    state.kind = Argument::Tensor;
    state.tensor = {layer.name, 0, 1};
    addOutput(hn, state, stateDims);
  }
  features = module.result == Result::state ? units : directions * units;
  if (module.result != Result::sequence)
    dims = {unbatched ? -1 : 0, -1};
  ++numRecurrent;
  return Error::success();
}

Error Builder::addGRUCell(Module &module, Layer &layer, keras::Node &node) {
  if (network.modules.size() != 1)
    return fail(module, "stands in a row of modules, expected a GRU there or "
                        "the cell alone");
  if (Error error = resolveCell(module, ""))
    return error;
  if (Error error = addGRUDirection(module, layer.name, 0, /*backward=*/false,
                                    *module.inputSize))
    return error;
  layer.own = &kGRUCell;
  layer.config["hidden_size"] = *module.hiddenSize;
  layer.config["bias"] = *module.bias;
  if (isGiven("h0")) {
    SmallVector<int64_t> shape{kDynamicSize, *module.hiddenSize};
    if (unbatched)
      shape.erase(shape.begin());
    node.named.emplace_back(
        "h0", addInput("h0", shape, getWeightTypeName(*dtype), dims));
  }
  features = *module.hiddenSize;
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Other modules
//===----------------------------------------------------------------------===//

/// A size in a module's config; nothing where it is absent.
static Expected<std::optional<int64_t>>
getSize(const Module &module, StringRef key) {
  const json::Value *value = module.config.get(key);
  if (!value)
    return std::nullopt;
  std::optional<int64_t> number = value->getAsInteger();
  if (!number || *number < 1 || *number > (int64_t(1) << 31))
    return importError("", key + " is no positive integer");
  return number;
}

/// The sizes of a matrix: as the config says, else as the tensor is.
static Expected<std::array<int64_t, 2>>
getMatrix(const Module &module, const StateTensor *tensor, StringRef rows,
          StringRef columns) {
  std::array<int64_t, 2> sizes;
  for (auto [index, key] : enumerate(std::array<StringRef, 2>{rows, columns})) {
    Expected<std::optional<int64_t>> size = getSize(module, key);
    if (!size)
      return size.takeError();
    if (!*size && (!tensor || tensor->shape.size() != 2))
      return importError("", "found neither " + key + " nor a matrix 'weight'");
    sizes[index] = *size ? **size : tensor->shape[index];
  }
  return sizes;
}

Error Builder::addLinear(Module &module, Layer &layer) {
  auto sizes = getMatrix(module, findParameter(module, "weight"),
                         "out_features", "in_features");
  if (!sizes)
    return fail(module, toString(sizes.takeError()));
  auto [outputs, inputs] = *sizes;
  if (features && inputs != features)
    return fail(module, "in_features is " + Twine(inputs) + ", but gets " +
                            Twine(features) + " features");
  auto weight = take(module, "weight", {outputs, inputs},
                     "out_features x in_features");
  if (!weight)
    return weight.takeError();
  bool hasBias = module.config.getBoolean("bias").value_or(
      findParameter(module, "bias") != nullptr);
  add(layer.name, "kernel", gru::transpose(*weight));
  if (hasBias) {
    auto bias = take(module, "bias", {outputs}, "out_features");
    if (!bias)
      return bias.takeError();
    add(layer.name, "bias", std::move(*bias));
  }
  layer.className = "Dense";
  layer.config["units"] = outputs;
  layer.config["use_bias"] = hasBias;
  features = outputs;
  return Error::success();
}

Error Builder::addEmbedding(Module &module, Layer &layer) {
  if (model.layers.size() > 1)
    return fail(module, "expected as the first module");
  auto sizes = getMatrix(module, findParameter(module, "weight"),
                         "num_embeddings", "embedding_dim");
  if (!sizes)
    return fail(module, toString(sizes.takeError()));
  auto [rows, columns] = *sizes;
  auto table = take(module, "weight", {rows, columns},
                    "num_embeddings x embedding_dim");
  if (!table)
    return table.takeError();
  add(layer.name, "embeddings", std::move(*table));
  layer.className = "Embedding";
  layer.config["input_dim"] = rows;
  layer.config["output_dim"] = columns;
  features = columns;
  return Error::success();
}

Error Builder::addLayerNorm(Module &module, Layer &layer) {
  auto gamma = take(module, "weight", {features}, "features");
  if (!gamma)
    return gamma.takeError();
  bool hasBias = findParameter(module, "bias");
  add(layer.name, "gamma", std::move(*gamma));
  if (hasBias) {
    auto beta = take(module, "bias", {features}, "features");
    if (!beta)
      return beta.takeError();
    add(layer.name, "beta", std::move(*beta));
  }
  layer.className = "LayerNormalization";
  layer.config["axis"] = -1;
  layer.config["epsilon"] = module.config.getNumber("eps").value_or(1e-5);
  layer.config["center"] = hasBias;
  layer.config["scale"] = true;
  return Error::success();
}

/// Activations of torch.nn under Keras's names; empty for a class that is none.
static StringRef getActivationName(StringRef type) {
  return StringSwitch<StringRef>(type)
      .Case("ReLU", "relu")
      .Case("ReLU6", "relu6")
      .Case("Tanh", "tanh")
      .Case("Sigmoid", "sigmoid")
      .Case("GELU", "gelu")
      .Cases({"SiLU", "Swish"}, "silu")
      .Case("Mish", "mish")
      .Case("SELU", "selu")
      .Case("CELU", "celu")
      .Case("Softplus", "softplus")
      .Case("Softsign", "softsign")
      .Case("Softshrink", "soft_shrink")
      .Case("Hardshrink", "hard_shrink")
      .Case("Tanhshrink", "tanh_shrink")
      .Case("Hardtanh", "hard_tanh")
      .Case("Hardsigmoid", "hard_sigmoid")
      .Case("Hardswish", "hard_swish")
      .Case("LogSigmoid", "log_sigmoid")
      .Case("Softmax", "softmax")
      .Case("LogSoftmax", "log_softmax")
      .Default("");
}

Error Builder::addActivation(Module &module, Layer &layer) {
  // Dropout acts in training only.
  if (module.type == "Dropout" || module.type == "Identity") {
    layer.className = module.type;
    return Error::success();
  }
  if (module.type == "LeakyReLU" || module.type == "ELU") {
    layer.className = module.type;
    bool isLeaky = module.type == "LeakyReLU";
    StringRef key = isLeaky ? "negative_slope" : "alpha";
    layer.config[key] =
        module.config.getNumber(key).value_or(isLeaky ? 0.01 : 1.0);
    return Error::success();
  }
  StringRef name = getActivationName(module.type);
  if (name.empty())
    return fail(module,
                "is not supported, expected GRU, GRUCell, Linear, Embedding, "
                "LayerNorm, Dropout, Identity or an activation");
  // Arguments that differ from torch's defaults are not the function that the
  // name stands for; `dim` and `inplace` say nothing new here.
  for (const auto &entry : module.config) {
    StringRef key = entry.first;
    if (is_contained({"module", "name", "inplace"}, key))
      continue;
    if (key == "dim" && (name == "softmax" || name == "log_softmax")) {
      std::optional<int64_t> dim = entry.second.getAsInteger();
      if (dim == -1 || dim == (unbatched ? 1 : 2))
        continue;
    }
    return fail(module, "the argument '" + printable(key) +
                            "' is not supported" +
                            (key == "dim" ? " but for the last dimension"
                                          : ""));
  }
  layer.className = "Activation";
  layer.config["activation"] = name.str();
  return Error::success();
}

//===----------------------------------------------------------------------===//
// The network
//===----------------------------------------------------------------------===//

/// A name for the layer that no other layer and no input has.
std::string Builder::makeName(const Module &module) {
  std::string base =
      module.name.empty() ? StringRef(module.type).lower() : module.name;
  std::string name = base;
  for (unsigned number = 1; !names.insert(name).second; ++number)
    name = base + "_" + utostr(number);
  return name;
}

Error Builder::addModule(Module &module) {
  Layer layer;
  layer.name = makeName(module);
  layer.implicitMasks = false;
  keras::Node node;
  auto fill = [&]() -> Error {
    if (module.type == "GRU")
      return addGRU(module, layer, node);
    if (module.type == "GRUCell")
      return addGRUCell(module, layer, node);
    if (module.type == "Linear")
      return addLinear(module, layer);
    if (module.type == "Embedding")
      return addEmbedding(module, layer);
    if (module.type == "LayerNorm")
      return addLayerNorm(module, layer);
    return addActivation(module, layer);
  };
  if (Error error = fill())
    return error;
  if (layer.own)
    layer.className = module.type;
  layer.config["name"] = layer.name;
  layer.config["dtype"] = getWeightTypeName(*dtype).str();
  node.positional.push_back(value);
  layer.nodes.push_back(std::move(node));
  value.kind = Argument::Tensor;
  value.tensor = {layer.name, 0, 0};
  model.layers.push_back(std::move(layer));
  return Error::success();
}

ExpectedSource Builder::build() {
  for (StringRef name : {"x", "h0", "lengths"})
    names.insert(name);
  unbatched = isGiven("unbatched");
  std::vector<Module> &modules = network.modules;
  bool isCell = modules.front().type == "GRUCell";
  auto first = find_if(modules, [](auto &module) {
    return module.type == "GRU" || module.type == "GRUCell";
  });
  if (first == modules.end())
    return importError(file, "has no GRU among its modules");
  timeMajor = !isCell && !first->batchFirst;
  for (Module &module : modules)
    if (module.type == "GRU" && module.batchFirst != first->batchFirst)
      return fail(module, "batch_first differs from that of an earlier GRU");

  // The element type and the features of x come from the first weights.
  const StateTensor *kernel = nullptr;
  bool isFirst = true;
  for (Module &module : modules) {
    StringRef name = module.type == "GRU"       ? "weight_ih_l0"
                     : module.type == "GRUCell" ? "weight_ih"
                                                : "weight";
    kernel = findParameter(module, name);
    isFirst &= module.type != "Embedding";
    if (kernel)
      break;
    // Report what is missing in terms of this module.
    if (module.type == "GRU" || module.type == "GRUCell") {
      if (Error error = resolveCell(module, module.type == "GRU" ? "_l0" : ""))
        return std::move(error);
      return take(module, name, {3 * *module.hiddenSize, *module.inputSize},
                  "3*hidden_size x input_size")
          .takeError();
    }
  }
  if (!kernel || !kernel->dtype)
    return importError(dict.file,
                       kernel ? "tensor '" + printable(kernel->name) + "' is " +
                                    printable(kernel->dtypeName) +
                                    ", expected float32, float64, float16 or "
                                    "bfloat16"
                              : "holds no weights of the model");
  dtype = kernel->dtype;
  if (network.dtype && network.dtype != dtype)
    return importError(dict.file, "its weights are " +
                                      getWeightTypeName(*dtype) +
                                      ", but the config says " +
                                      getWeightTypeName(*network.dtype));
  if (isFirst && kernel->shape.size() == 2)
    features = kernel->shape[1];
  if (isFirst && features < 1)
    return importError(dict.file, "tensor '" + printable(kernel->name) +
                                      "' is " + shapeText(kernel->shape) +
                                      ", expected a matrix");
  if (isCell) {
    dims = {unbatched ? -1 : 0, -1};
    SmallVector<int64_t> shape{kDynamicSize, features};
    if (unbatched)
      shape.erase(shape.begin());
    value = addInput("x", shape, getWeightTypeName(*dtype), dims);
  } else if (Error error = addSequenceInput(modules.front())) {
    return std::move(error);
  }

  for (Module &module : modules)
    if (Error error = addModule(module))
      return std::move(error);
  if (network.skip) {
    Layer layer;
    layer.className = "Skip";
    layer.name = "skip";
    while (!names.insert(layer.name).second)
      layer.name += "_";
    layer.own = &kSkip;
    layer.implicitMasks = false;
    layer.config = json::Object{{"skip", network.skip},
                                {"dtype", getWeightTypeName(*dtype).str()}};
    keras::Node node;
    node.positional = {value, input};
    layer.nodes.push_back(std::move(node));
    value.tensor = {layer.name, 0, 0};
    model.layers.push_back(std::move(layer));
  }
  if (Error error = checkAllTaken())
    return std::move(error);
  // In the order of PyTorch: output, h_n.
  addOutput(isCell ? "h_1" : "output", value, dims);
  std::rotate(model.outputs.begin(), model.outputs.end() - 1,
              model.outputs.end());
  std::rotate(model.outputNames.begin(), model.outputNames.end() - 1,
              model.outputNames.end());

  json::Array structure;
  for (const Layer &layer : model.layers)
    structure.push_back(json::Object{{"class", layer.className},
                                     {"config", json::Object(layer.config)}});
  json::Object config{{"torch", std::move(structure)},
                      {"unbatched", unbatched}};
  std::unique_ptr<keras::Weights> store =
      keras::makeGivenWeights(std::move(weights));
  return keras::finishSource(file, std::move(model), config, *store);
}

//===----------------------------------------------------------------------===//
// Ways in
//===----------------------------------------------------------------------===//

/// The config beside a file of weights; nothing if there is none.
static Expected<std::optional<Network>> findConfig(StringRef path) {
  SmallString<128> own(path), common(sys::path::parent_path(path));
  sys::path::replace_extension(own, "json");
  sys::path::append(common, "module.json");
  for (StringRef candidate : {own.str(), common.str()}) {
    if (candidate == path || !sys::fs::exists(candidate))
      continue;
    Expected<std::string> text = keras::readFile(candidate);
    if (!text)
      return text.takeError();
    Expected<json::Object> root = parseJsonObject(candidate, *text);
    if (!root)
      return root.takeError();
    // Something else may have the weights' name.
    if (!isModuleConfig(*root))
      continue;
    Expected<Network> network = parseModuleConfig(candidate, *root);
    if (!network)
      return network.takeError();
    return std::move(*network);
  }
  return std::nullopt;
}

ExpectedSource gru::torch::openWeights(StringRef path, StringRef bytes,
                                       ArrayRef<std::string> callArguments) {
  Expected<StateDict> dict = readStateDict(path, bytes);
  if (!dict)
    return dict.takeError();
  Expected<std::optional<Network>> found = findConfig(path);
  if (!found)
    return found.takeError();
  if (*found)
    return Builder(path, std::move(**found), std::move(*dict), callArguments)
        .build();
  Expected<Network> network = inferNetwork(*dict);
  if (!network)
    return network.takeError();
  return Builder(path, std::move(*network), std::move(*dict), callArguments)
      .build();
}

ExpectedSource gru::torch::openConfig(StringRef path, const json::Object &root,
                                      StringRef weightsPath,
                                      ArrayRef<std::string> callArguments) {
  Expected<Network> network = parseModuleConfig(path, root);
  if (!network)
    return network.takeError();
  if (weightsPath.empty())
    return importError(path, "a module config holds no weights, expected a "
                             "file of weights (.safetensors or .pt) beside it");
  Expected<std::string> bytes = keras::readFile(weightsPath);
  if (!bytes)
    return bytes.takeError();
  Expected<StateDict> dict = readStateDict(weightsPath, *bytes);
  if (!dict)
    return dict.takeError();
  return Builder(path, std::move(*network), std::move(*dict), callArguments)
      .build();
}

bool gru::torch::isJsonModel(const json::Object &root) {
  if (root.getObject("state_dict"))
    return true;
  return any_of(root, [](const auto &entry) {
    return StringRef(entry.first).contains("weight_ih") &&
           entry.second.getAsArray();
  });
}

ExpectedSource gru::torch::openJsonModel(StringRef path,
                                         const json::Object &root,
                                         ArrayRef<std::string> callArguments) {
  const json::Object *state = root.getObject("state_dict");
  const json::Object *data = root.getObject("model_data");
  std::optional<Network> network;
  if (state && data) {
    Expected<Network> parsed = parseModelData(path, *data);
    if (!parsed)
      return parsed.takeError();
    network = std::move(*parsed);
  }
  Expected<StateDict> dict = readJsonTensors(path, state ? *state : root);
  if (!dict)
    return dict.takeError();
  if (!network) {
    Expected<Network> inferred = inferNetwork(*dict);
    if (!inferred)
      return inferred.takeError();
    network = std::move(*inferred);
  }
  return Builder(path, std::move(*network), std::move(*dict), callArguments)
      .build();
}
