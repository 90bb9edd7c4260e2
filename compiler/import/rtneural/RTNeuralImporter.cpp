//===- RTNeuralImporter.cpp - RTNeural's JSON to MLIR ---------------------===//
//
// RTNeural's files are written by a script from Keras models: a list of layers,
// each with the weights that Keras's get_weights() gives. What each means is
// what RTNeural computes, one step at a time from the states that it has.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/rtneural/RTNeuralImporter.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/KerasImporter.h"
#include "compiler/import/rtneural/RTNeuralLayers.h"
#include "compiler/import/torch/StateDict.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace gru;
using namespace llvm;

using keras::Argument;
using keras::Layer;

namespace {
/// Turns one file into a model.
class Builder {
public:
  Builder(StringRef file, const json::Object &root) : file(file), root(root) {}

  Expected<std::unique_ptr<ModelSource>> build();

private:
  Error addInput();
  Error addLayer(const json::Object &object, size_t index);
  Error addDense();
  Error addGRU();
  Error addConv1D();
  Error addPReLU();
  Error addBatchNorm();
  Error addActivation(StringRef name);
  /// Puts `layer` behind what is there.
  void append(Layer layer);
  Layer makeLayer(StringRef className) const;

  Error fail(const Twine &message) const { return importError(where, message); }
  Expected<int64_t> getSize(StringRef key, int64_t otherwise) const;
  Error checkWeights(ArrayRef<size_t> counts) const;
  /// Weight `index` of the layer under a name of Keras's.
  Error take(size_t index, ArrayRef<int64_t> shape, StringRef meaning,
             StringRef role);

  StringRef file;
  const json::Object &root;
  keras::Model model;
  std::vector<WeightTensor> weights;
  Argument value;
  int64_t features = 0;

  // Of the current layer.
  const json::Object *object = nullptr;
  std::string where, name;
  std::vector<torch::StateTensor> tensors;
  int64_t outputs = 0;
};
} // namespace

bool gru::rtneural::isModel(const json::Object &root) {
  return root.get("in_shape") && root.getArray("layers");
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

static constexpr int64_t kLargest = int64_t(1) << 24;

/// The last number of a list, or the number itself.
Expected<int64_t> Builder::getSize(StringRef key, int64_t otherwise) const {
  const json::Value *entry = object->get(key);
  if (!entry)
    return otherwise;
  if (const json::Array *list = entry->getAsArray())
    entry = list->empty() ? nullptr : &list->back();
  std::optional<int64_t> number;
  if (entry)
    number = entry->getAsInteger();
  if (!number || *number < 1 || *number > kLargest)
    return fail(key + " holds no positive number");
  return *number;
}

Error Builder::checkWeights(ArrayRef<size_t> counts) const {
  if (is_contained(counts, tensors.size()))
    return Error::success();
  std::string expected = join(
      map_range(counts, [](size_t count) { return utostr(count); }), " or ");
  return fail("has " + Twine(tensors.size()) + " weights, expected " +
              expected);
}

Error Builder::take(size_t index, ArrayRef<int64_t> shape, StringRef meaning,
                    StringRef role) {
  torch::StateTensor &tensor = tensors[index];
  if (ArrayRef(tensor.shape) != shape)
    return fail("weight " + Twine(index) + " is " + shapeText(tensor.shape) +
                ", expected " + shapeText(shape) + " (" + meaning + ")");
  weights.push_back({name + "/" + role.str(), tensor.shape, WeightType::f32,
                     std::move(tensor.data)});
  return Error::success();
}

Error Builder::addInput() {
  const json::Array *shape = root.getArray("in_shape");
  // Keras wraps the shape of a model's only input into a list.
  if (shape && shape->size() == 1 && shape->front().getAsArray())
    shape = shape->front().getAsArray();
  std::optional<int64_t> last;
  if (shape && (shape->size() == 2 || shape->size() == 3))
    last = shape->back().getAsInteger();
  if (!last || *last < 1 || *last > kLargest) {
    std::string text;
    raw_string_ostream(text) << *root.get("in_shape");
    return importError(file, "in_shape is " + printable(text) +
                                 ", expected [null, null, features] or [null, "
                                 "features]");
  }
  features = *last;
  // Layers that look back need a time axis, which RTNeural has anyway.
  bool hasTime = shape->size() == 3;
  for (const json::Value &entry : *root.getArray("layers"))
    if (const json::Object *layer = entry.getAsObject()) {
      StringRef type = layer->getString("type").value_or("");
      hasTime |= type == "gru" || type == "conv1d";
    }
  json::Array sizes{nullptr};
  if (hasTime) {
    std::optional<int64_t> time;
    if (shape->size() == 3)
      time = (*shape)[1].getAsInteger();
    sizes.push_back(time && *time > 0 ? json::Value(*time)
                                      : json::Value(nullptr));
  }
  sizes.push_back(features);
  Layer layer;
  layer.className = "InputLayer";
  layer.name = "x";
  layer.config = json::Object{{"name", "x"}, {"batch_shape", std::move(sizes)}};
  model.layers.push_back(std::move(layer));
  model.inputs.push_back({"x", 0, 0});
  value.kind = Argument::Tensor;
  value.tensor = model.inputs.back();
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

Layer Builder::makeLayer(StringRef className) const {
  Layer layer;
  layer.className = className.str();
  layer.name = name;
  layer.implicitMasks = false;
  return layer;
}

void Builder::append(Layer layer) {
  keras::Node node;
  node.positional.push_back(value);
  value.tensor = {layer.name, 0, 0};
  layer.nodes.push_back(std::move(node));
  model.layers.push_back(std::move(layer));
}

Error Builder::addDense() {
  if (Error error = checkWeights({1, 2}))
    return error;
  if (Error error = take(0, {features, outputs}, "inputs x outputs", "kernel"))
    return error;
  bool hasBias = tensors.size() == 2;
  if (hasBias)
    if (Error error = take(1, {outputs}, "outputs", "bias"))
      return error;
  Layer layer = makeLayer("Dense");
  layer.config = json::Object{{"units", outputs}, {"use_bias", hasBias}};
  append(std::move(layer));
  return Error::success();
}

Error Builder::addGRU() {
  StringRef activation = object->getString("activation").value_or("");
  if (!activation.empty() && activation != "tanh")
    return fail("activation is '" + printable(activation) +
                "', but RTNeural computes tanh in every GRU");
  if (Error error = checkWeights({2, 3}))
    return error;
  if (Error error =
          take(0, {features, 3 * outputs}, "inputs x 3*units", "kernel"))
    return error;
  if (Error error = take(1, {outputs, 3 * outputs}, "units x 3*units",
                         "recurrent_kernel"))
    return error;
  bool hasBias = tensors.size() == 3;
  if (hasBias)
    if (Error error = take(2, {2, 3 * outputs},
                           "2 x 3*units, of a Keras GRU "
                           "with reset_after",
                           "bias"))
      return error;
  Layer layer = makeLayer("GRU");
  layer.config =
      json::Object{{"units", outputs},    {"activation", "tanh"},
                   {"use_bias", hasBias}, {"recurrent_activation", "sigmoid"},
                   {"reset_after", true}, {"return_sequences", true},
                   {"stateful", true}};
  append(std::move(layer));
  return Error::success();
}

Error Builder::addConv1D() {
  Expected<int64_t> size = getSize("kernel_size", 1);
  if (!size)
    return size.takeError();
  Expected<int64_t> dilation = getSize("dilation", 1);
  if (!dilation)
    return dilation.takeError();
  Expected<int64_t> groups = getSize("groups", 1);
  if (!groups)
    return groups.takeError();
  if (features % *groups || outputs % *groups)
    return fail("groups is " + Twine(*groups) + ", which does not divide " +
                Twine(features) + " inputs and " + Twine(outputs) + " outputs");
  if (Error error = checkWeights({1, 2}))
    return error;
  if (Error error = take(0, {*size, features / *groups, outputs},
                         "kernel_size x inputs x outputs", "kernel"))
    return error;
  bool hasBias = tensors.size() == 2;
  if (hasBias)
    if (Error error = take(1, {outputs}, "outputs", "bias"))
      return error;
  Layer layer = makeLayer("Conv1D");
  layer.own = &rtneural::kConv1D;
  layer.config =
      json::Object{{"filters", outputs},         {"kernel_size", *size},
                   {"dilation_rate", *dilation}, {"groups", *groups},
                   {"padding", "valid"},         {"use_bias", hasBias}};
  append(std::move(layer));
  return Error::success();
}

Error Builder::addPReLU() {
  if (Error error = checkWeights({1}))
    return error;
  // Keras shares the slopes over time: [1, features], or [1, 1] for all.
  std::vector<int64_t> &shape = tensors[0].shape;
  if (shape.size() == 2 && shape[0] == 1)
    shape.erase(shape.begin());
  int64_t size = !shape.empty() && shape.back() == 1 ? 1 : features;
  if (Error error = take(0, {size}, "features", "alpha"))
    return error;
  Layer layer = makeLayer("PReLU");
  layer.own = &rtneural::kPReLU;
  layer.config = json::Object{{"size", size}};
  append(std::move(layer));
  return Error::success();
}

Error Builder::addBatchNorm() {
  if (Error error = checkWeights({2, 4}))
    return error;
  std::optional<double> epsilon = object->getNumber("epsilon");
  if (!epsilon || !(*epsilon >= 0))
    return fail("epsilon is missing or no positive number");
  bool isAffine = tensors.size() == 4;
  SmallVector<StringRef> roles{"moving_mean", "moving_variance"};
  if (isAffine)
    roles = {"gamma", "beta", "moving_mean", "moving_variance"};
  for (auto [index, role] : enumerate(roles))
    if (Error error = take(index, {features}, "features", role))
      return error;
  Layer layer = makeLayer("BatchNormalization");
  layer.config = json::Object{{"axis", -1},
                              {"epsilon", *epsilon},
                              {"center", isAffine},
                              {"scale", isAffine}};
  append(std::move(layer));
  return Error::success();
}

Error Builder::addActivation(StringRef activation) {
  if (activation.empty())
    return Error::success();
  if (!is_contained({"tanh", "relu", "sigmoid", "softmax", "elu"}, activation))
    return fail("activation is '" + printable(activation) +
                "', expected tanh, relu, sigmoid, softmax or elu");
  Layer layer = makeLayer("Activation");
  layer.name += "_" + activation.str();
  layer.config = json::Object{{"activation", activation.str()}};
  append(std::move(layer));
  return Error::success();
}

Error Builder::addLayer(const json::Object &entry, size_t index) {
  object = &entry;
  StringRef type = entry.getString("type").value_or("");
  where =
      (file + ": layer " + Twine(index) + " (" + printable(type) + ")").str();
  name = (type + "_" + Twine(index)).str();
  Expected<int64_t> size = getSize("shape", features);
  if (!size)
    return size.takeError();
  outputs = *size;
  tensors.clear();
  if (const json::Array *list = entry.getArray("weights"))
    for (auto [number, weight] : enumerate(*list)) {
      Expected<torch::StateTensor> tensor =
          torch::readJsonTensor(utostr(number), weight);
      if (!tensor)
        return fail(toString(tensor.takeError()));
      tensors.push_back(std::move(*tensor));
    }
  using Function = Error (Builder::*)();
  static const std::pair<StringLiteral, Function> functions[] = {
      {"dense", &Builder::addDense},
      {"time-distributed-dense", &Builder::addDense},
      {"gru", &Builder::addGRU},
      {"conv1d", &Builder::addConv1D},
      {"prelu", &Builder::addPReLU},
      {"batchnorm", &Builder::addBatchNorm},
      {"activation", nullptr},
  };
  auto found = find_if(functions, [&](auto &f) { return f.first == type; });
  if (found == std::end(functions)) {
    SmallVector<StringRef> known;
    for (const auto &[name, function] : functions)
      known.push_back(name);
    return fail("type is '" + printable(type) + "', expected one of " +
                listText(known));
  }
  bool keepsSize =
      type == "prelu" || type == "batchnorm" || type == "activation";
  if (keepsSize && outputs != features)
    return fail("shape ends in " + Twine(outputs) + ", but the layer gets " +
                Twine(features) + " features");
  if (found->second)
    if (Error error = (this->*found->second)())
      return error;
  features = outputs;
  if (type == "gru")
    return Error::success();
  return addActivation(entry.getString("activation").value_or(""));
}

Expected<std::unique_ptr<ModelSource>> Builder::build() {
  if (Error error = addInput())
    return std::move(error);
  const json::Array &layers = *root.getArray("layers");
  for (auto [index, entry] : enumerate(layers)) {
    const json::Object *layer = entry.getAsObject();
    if (!layer)
      return importError(file, "layer " + Twine(index) + " is no object");
    if (Error error = addLayer(*layer, index))
      return std::move(error);
  }
  model.outputs.push_back(value.tensor);
  model.outputNames.push_back("output");

  json::Array structure;
  for (const Layer &layer : model.layers)
    structure.push_back(json::Object{{"class", layer.className},
                                     {"config", json::Object(layer.config)}});
  json::Object config{{"rtneural", std::move(structure)}};
  std::unique_ptr<keras::Weights> store =
      keras::makeGivenWeights(std::move(weights));
  return keras::finishSource(file, std::move(model), config, *store);
}

Expected<std::unique_ptr<ModelSource>>
gru::rtneural::openModel(StringRef path, const json::Object &root) {
  return Builder(path, root).build();
}
