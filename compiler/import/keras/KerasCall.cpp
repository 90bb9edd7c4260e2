//===- KerasCall.cpp - what a layer asks for while it is imported ---------===//

#include "compiler/import/keras/KerasWalk.h"

#include "compiler/import/ImportError.h"
#include "dialect/GRUDialect.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

CallContext::CallContext(Walk &walk, const Layer &owner, const Layer &layer,
                         std::string folder, std::string part)
    : LayerContext(walk.file, layer, walk.model.version, walk.options),
      walk(walk), owner(owner), folder(std::move(folder)),
      part(std::move(part)) {
  if (!walk.isEmitting())
    return;
  builder = &*walk.builder;
  location = mlir::NameLoc::get(builder->getStringAttr(owner.name));
}

std::string gru::keras::joinPath(StringRef a, StringRef b) {
  return a.empty() ? b.str() : b.empty() ? a.str() : (a + "/" + b).str();
}

static void roundToHalf(WeightTensor &tensor, WeightType type) {
  size_t count = tensor.data.size() / sizeof(float);
  std::vector<double> values =
      readValues(tensor.data.data(), WeightType::f32, count);
  tensor.data.resize(count * getWeightTypeSize(type));
  writeValues(values, type, tensor.data.data());
  tensor.dtype = type;
}

/// The name in front of _initializer and so on in a config, for a weight whose
/// name ends with `role`; empty for weights that no argument speaks of.
static StringRef getArgumentStem(StringRef role) {
  if (role == "recurrent_kernel")
    return "recurrent";
  for (StringRef stem : {"kernel", "bias", "embeddings", "gamma", "beta",
                         "moving_mean", "moving_variance"})
    if (role == stem)
      return stem;
  return "";
}

/// Keras's initialiser where the config names none.
static StringRef getDefaultInitializer(StringRef className, StringRef role) {
  if (role == "kernel" || (role == "scale" && className == "AdditiveAttention"))
    return "glorot_uniform";
  if (role == "recurrent_kernel")
    return "orthogonal";
  if (role == "embeddings")
    return "uniform";
  if (role == "bias" || role == "beta" || role == "mean" ||
      role == "moving_mean" || role == "renorm_mean")
    return "zeros";
  return "ones";
}

/// What the config says about the weight `role`, checked.
Expected<WeightRules> CallContext::readRules(StringRef role) const {
  const json::Object &config = weightConfig ? *weightConfig : layer.config;
  role = role.substr(role.rfind('/') + 1);
  StringRef stem = getArgumentStem(role);
  auto find = [&](StringRef what, std::string &key) -> const json::Value * {
    key = (stem + "_" + what).str();
    return stem.empty() ? nullptr : findEntry(config, key);
  };
  WeightRules rules;
  std::string key;
  auto fail = [&](Error error) {
    return this->error(key + " " + toString(std::move(error)));
  };
  json::Value standard = getDefaultInitializer(layer.className, role);
  const json::Value *value = find("initializer", key);
  Expected<Initializer> initializer =
      Initializer::parse(value ? *value : standard);
  if (!initializer)
    return fail(initializer.takeError());
  rules.initializer = std::move(*initializer);
  if (const json::Value *value = find("regularizer", key)) {
    Expected<Regularizer> regularizer = Regularizer::parse(*value, version);
    if (!regularizer)
      return fail(regularizer.takeError());
    rules.regularizer = std::move(*regularizer);
  }
  if (const json::Value *value = find("constraint", key)) {
    Expected<Constraint> constraint = Constraint::parse(*value);
    if (!constraint)
      return fail(constraint.takeError());
    rules.constraint = std::move(*constraint);
  }
  return rules;
}

std::unique_ptr<LayerContext> CallContext::makeInner(const Layer &inner,
                                                     StringRef innerFolder,
                                                     StringRef innerPart) {
  return std::make_unique<CallContext>(walk, owner, inner,
                                       joinPath(folder, innerFolder),
                                       joinPath(part, innerPart));
}

Expected<Tensor> CallContext::getWeight(StringRef innerRole,
                                        StringRef innerFolder, unsigned index,
                                        WeightType type,
                                        ArrayRef<int64_t> shape,
                                        StringRef meaning, Transform transform,
                                        ArrayRef<int64_t> fileShape) {
  std::string role = joinPath(part, innerRole);
  std::string name = owner.name + "/" + role;
  // A shared layer has its weights once, however often it is called.
  auto known = walk.weightTensors.find(name);
  Tensor tensor{SmallVector<int64_t>(shape), getElementType(type), {}, {}, {}};
  if (known != walk.weightTensors.end()) {
    if (known->second.shape != tensor.shape ||
        known->second.type != tensor.type)
      return error(role + " is " + shapeText(known->second.shape) +
                   " from an earlier call, expected " + shapeText(shape) +
                   " (" + meaning + ")");
    return known->second;
  }
  if (walk.isEmitting()) {
    tensor.value = walk.addArgument(
        tensor, walk.numWeights,
        walk.numInputs + walk.numStates + walk.numWeights, location,
        {builder->getNamedAttr(kWeightAttr, builder->getStringAttr(name))});
  } else {
    Expected<WeightRules> rules = readRules(innerRole);
    if (!rules)
      return rules.takeError();
    rules->initialShape = fileShape.empty() ? shape : fileShape;
    std::string initializerName =
        (getArgumentStem(innerRole.substr(innerRole.rfind('/') + 1)) +
         "_initializer")
            .str();
    // Halves are read as float32 and rounded once, as Keras does with a mixed
    // policy.
    bool isHalf = type == WeightType::f16 || type == WeightType::bf16;
    Expected<WeightTensor> weight =
        walk.store->take({owner, role, joinPath(folder, innerFolder), index,
                          isHalf ? WeightType::f32 : type, rules->initialShape,
                          &*rules->initializer, initializerName});
    if (!weight)
      return weight.takeError();
    if (walk.store->isInitial())
      transform = nullptr;
    if (isHalf)
      roundToHalf(*weight, type);
    auto mismatch = [&]() -> Error {
      return importError(walk.store->getName(),
                         "layer '" + printable(layer.name) + "': " + role +
                             " is " + shapeText(weight->shape) + ", expected " +
                             shapeText(shape) + " (" + meaning + ")");
    };
    if (!fileShape.empty() && ArrayRef(weight->shape) == fileShape)
      weight->shape.assign(shape.begin(), shape.end());
    int64_t found = 1, expected = 1;
    for (int64_t size : weight->shape)
      found *= size;
    for (int64_t size : shape)
      if (MulOverflow(expected, size, expected))
        return mismatch();
    // A transform may change the shape but not the number of elements, and it
    // relies on that number.
    if (transform && found == expected &&
        (ArrayRef(weight->shape) == shape || weight->shape.size() == 1))
      transform(*weight);
    if (ArrayRef(weight->shape) != shape)
      return mismatch();
    weight->name = name;
    walk.contents.weights.push_back(std::move(*weight));
    walk.contents.weightRules.push_back(std::move(*rules));
    walk.weightOwners.emplace_back(&owner - walk.model.layers.data(), part);
    walk.isTrained.push_back(owner.config.getBoolean("trainable") != false &&
                             layer.config.getBoolean("trainable") != false);
  }
  walk.weightTensors[name] = tensor;
  return tensor;
}

void CallContext::ignoreWeight(StringRef role, unsigned index) {
  if (!walk.isEmitting())
    walk.store->ignore({.layer = owner,
                        .role = role,
                        .folder = folder,
                        .index = index,
                        .type = WeightType::f32});
}

std::string CallContext::getStateName(StringRef innerPart) const {
  return joinPath(owner.name, joinPath(part, innerPart));
}

Tensor CallContext::getState(StringRef innerPart, ArrayRef<int64_t> shape,
                             ElementType type) {
  std::string name = getStateName(innerPart);
  for (Walk::State &state : walk.states)
    if (state.name == name)
      return state.value;
  if (shape.front() == kDynamicSize && walk.contents.layerWithoutBatch.empty())
    walk.contents.layerWithoutBatch = owner.name;
  Tensor tensor{SmallVector<int64_t>(shape), type, {}, {}, {}};
  if (walk.isEmitting())
    tensor.value = walk.addArgument(
        tensor, walk.numStates,
        walk.numInputs + walk.numStates - (walk.dropoutKey ? 1 : 0), location,
        {builder->getNamedAttr(kStateAttr,
                               builder->getI64IntegerAttr(walk.states.size())),
         builder->getNamedAttr(kNameAttr, builder->getStringAttr(name))});
  walk.states.push_back({name, tensor});
  return tensor;
}

void CallContext::setState(StringRef innerPart, const Tensor &state) {
  std::string name = getStateName(innerPart);
  for (Walk::State &entry : walk.states)
    if (entry.name == name)
      entry.value = state;
}

/// The attributes of this layer or of a part of it; they begin as the entries
/// of its config, with the defaults of what every layer has.
LayerSpec &CallContext::getLayerSpec(StringRef innerPart) {
  std::string name = getStateName(innerPart);
  std::vector<LayerSpec> &layers = walk.contents.layers;
  auto found =
      find_if(layers, [&](const LayerSpec &spec) { return spec.name == name; });
  if (found != layers.end())
    return *found;
  LayerSpec &spec = layers.emplace_back();
  spec.name = name;
  const json::Object &config =
      !innerPart.empty() && weightConfig ? *weightConfig : layer.config;
  for (const auto &entry : config)
    raw_string_ostream(spec.attributes[entry.first.str()]) << entry.second;
  raw_string_ostream(spec.attributes["class_name"])
      << json::Value(layer.className);
  spec.attributes.insert({{"dtype", "\"float32\""}, {"trainable", "true"}});
  return spec;
}

void CallContext::describe(StringRef innerPart, StringRef attribute,
                           json::Value value) {
  if (walk.isEmitting())
    return;
  std::string &text = getLayerSpec(innerPart).attributes[attribute.str()];
  text.clear();
  raw_string_ostream(text) << value;
}

void CallContext::describeStates(StringRef innerPart, ArrayRef<int64_t> sizes,
                                 ElementType type) {
  if (walk.isEmitting())
    return;
  LayerSpec &spec = getLayerSpec(innerPart);
  spec.stateSizes.assign(sizes.begin(), sizes.end());
  spec.stateType = getDType(type);
}

void CallContext::tellTimeIsFixed() { walk.contents.fixedTime = true; }
