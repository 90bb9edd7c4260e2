//===- NetworkBuilder.cpp - weights, inputs and the walk over modules -----===//

#include "compiler/import/torch/NetworkBuilder.h"
#include "compiler/import/torch/TorchLayers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

using keras::Argument;
using keras::Layer;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

std::string NetworkBuilder::joinName(StringRef module, StringRef parameter) {
  return module.empty() ? parameter.str() : (module + "." + parameter).str();
}

const StateTensor *NetworkBuilder::findParameter(const Module &module,
                                                 StringRef name) const {
  return dict.find(joinName(module.name, name));
}

Expected<WeightTensor> NetworkBuilder::take(const Module &module,
                                            StringRef name,
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

Error NetworkBuilder::takeAs(const Module &module, StringRef name,
                             ArrayRef<int64_t> shape, StringRef meaning,
                             StringRef layer, StringRef role) {
  Expected<WeightTensor> tensor = take(module, name, shape, meaning);
  if (!tensor)
    return tensor.takeError();
  add(layer, role, std::move(*tensor));
  return Error::success();
}

void NetworkBuilder::add(StringRef layer, StringRef role, WeightTensor tensor) {
  tensor.name = (layer + "/" + role).str();
  weights.push_back(std::move(tensor));
}

Error NetworkBuilder::checkAllTaken() const {
  for (const StateTensor &tensor : dict.tensors)
    if (!taken.contains(tensor.name))
      return importError(dict.file, "tensor '" + printable(tensor.name) +
                                        "' is not used by the model");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Inputs and outputs
//===----------------------------------------------------------------------===//

Argument NetworkBuilder::addInput(StringRef name, ArrayRef<int64_t> shape,
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

void NetworkBuilder::addOutput(std::string name, Argument argument,
                               keras::Dims dims) {
  model.outputs.push_back(argument.tensor);
  model.dims[name] = dims;
  model.outputNames.push_back(std::move(name));
}

/// The input x of a network whose recurrent module is a GRU.
Error NetworkBuilder::addSequenceInput(const Module &first) {
  constexpr int64_t open = kDynamicSize;
  dims = unbatched   ? keras::Dims{-1, 0}
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
// The network
//===----------------------------------------------------------------------===//

/// A name for the layer that no other layer and no input has.
std::string NetworkBuilder::makeName(const Module &module) {
  std::string base =
      module.name.empty() ? StringRef(module.type).lower() : module.name;
  std::string name = base;
  for (unsigned number = 1; !names.insert(name).second; ++number)
    name = base + "_" + utostr(number);
  return name;
}

Error NetworkBuilder::addModule(Module &module) {
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

ExpectedSource NetworkBuilder::build() {
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
