//===- KerasGraph.cpp - the walk over a model's layers --------------------===//
//
// Calls the import function of each layer in an order in which its inputs are
// there. The walk is made once when a file is opened, to check it and to load
// its weights, and again for each import, to create operations; see
// KerasLayers.h.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/keras/KerasGraph.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"
#include "compiler/import/keras/KerasConfig.h"
#include "compiler/import/keras/KerasLayers.h"
#include "compiler/import/keras/KerasWeights.h"
#include "compiler/import/keras/layers/Dropout.h"
#include "dialect/GRUDialect.h"
#include "dialect/GRUDropoutOps.h"
#include "gru/plan.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <tuple>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

/// True where shapes behind the layer follow only from a known number of
/// timesteps. A TimeDistributed folds them into the batch.
static bool needsFixedTime(const Layer &layer, const LayerClass &layerClass) {
  if (layerClass.fixedTime)
    return true;
  return layer.className == "TimeDistributed" &&
         !isTimeDistributedTrivial(layer);
}

ShapeRules gru::keras::getShapeRules(const Model &model,
                                const ImportOptions &options) {
  ShapeRules rules;
  rules.batch = options.batch;
  rules.timesteps = options.timesteps;
  rules.fixedTime = model.fixedTime;
  for (const Layer &layer : model.layers) {
    const LayerClass *layerClass = findLayerClass(layer);
    if (!layerClass)
      continue;
    rules.fixedTime |= needsFixedTime(layer, *layerClass);
    if (!layerClass->recurrent)
      continue;
    rules.timeMajor |= isFlagSet(layer.config, "time_major");
    rules.stateful |= isFlagSet(layer.config, "stateful");
    rules.fixedTime |= isFlagSet(layer.config, "unroll");
  }
  return rules;
}

/// A sequence of feature vectors, or of tokens or mask bits.
static bool isSequence(const Tensor &tensor) {
  return tensor.shape.size() == (isFloat(tensor.type) ? 3 : 2);
}

static Dims getDims(const Model &model, StringRef name, const Tensor &tensor,
                    bool timeMajor) {
  if (auto found = model.dims.find(name.str()); found != model.dims.end())
    return found->second;
  if (!isSequence(tensor))
    return {};
  return timeMajor ? Dims{1, 0} : Dims{0, 1};
}

/// The type of an InputLayer. The sizes of batch and time in the file are those
/// of the training run more often than a promise, so they stay dynamic unless
/// something needs them.
static Expected<Tensor> getInputType(StringRef where, const Model &model,
                                     const Layer &layer,
                                     const ShapeRules &rules) {
  std::string layerWhere = "layer '" + printable(layer.name) + "'";
  if (!where.empty())
    layerWhere = (where + ": " + layerWhere).str();
  const json::Array *shape = layer.config.getArray("batch_shape");
  if (!shape)
    shape = layer.config.getArray("batch_input_shape");
  if (!shape)
    return importError(layerWhere, "batch_shape is missing");
  Tensor tensor;
  for (const json::Value &value : *shape) {
    constexpr int64_t largest = std::numeric_limits<int32_t>::max();
    std::optional<int64_t> size = value.getAsInteger();
    if (value.getAsNull())
      tensor.shape.push_back(kDynamicSize);
    else if (size && *size > 0 && *size <= largest)
      tensor.shape.push_back(*size);
    else {
      std::string text;
      raw_string_ostream(text) << value;
      return importError(layerWhere, "batch_shape holds " + printable(text) +
                                         ", expected null or a positive size");
    }
  }
  if (tensor.shape.empty())
    return importError(layerWhere, "batch_shape is empty, expected at least "
                                   "the batch");
  const json::Value *dtype = layer.config.get("dtype");
  std::optional<StringRef> name;
  if (!dtype || dtype->getAsNull())
    name = "float32";
  else if (!(name = dtype->getAsString()))
    if (std::optional<ObjectConfig> policy = getObjectConfig(*dtype))
      name = policy->config->getString("name");
  bool known = false;
  for (ElementType type : {ElementType::f32, ElementType::f64, ElementType::i1,
                           ElementType::i32, ElementType::i64, ElementType::f16,
                           ElementType::bf16})
    if (name == getElementTypeName(type)) {
      tensor.type = type;
      known = true;
    }
  if (!known)
    return importError(layerWhere,
                       "dtype is '" + printable(name.value_or("")) +
                           "', expected float32, float64, float16, bfloat16, "
                           "bool, int32 or int64");
  for (StringRef key : {"sparse", "ragged"})
    if (isFlagSet(layer.config, key))
      return importError(layerWhere, Twine(key) + " inputs are not supported");

  Dims dims = getDims(model, layer.name, tensor, rules.timeMajor);
  if (dims.batch >= 0) {
    int64_t &batch = tensor.shape[dims.batch];
    if (rules.batch > 0)
      batch = rules.batch;
    else if (!rules.stateful)
      batch = kDynamicSize;
  }
  if (dims.time >= 0) {
    int64_t &time = tensor.shape[dims.time];
    if (rules.timesteps > 0)
      time = rules.timesteps;
    else if (!rules.fixedTime)
      time = kDynamicSize;
  }
  return tensor;
}

//===----------------------------------------------------------------------===//
// The walk over the graph
//===----------------------------------------------------------------------===//

/// The number of a `gru_dtype`.
static uint32_t getDType(ElementType type) {
  switch (type) {
  case ElementType::f32:
    return GRU_F32;
  case ElementType::f64:
    return GRU_F64;
  case ElementType::f16:
    return GRU_F16;
  case ElementType::bf16:
    return GRU_BF16;
  case ElementType::i1:
    return GRU_BOOL;
  case ElementType::i32:
    return GRU_I32;
  case ElementType::i64:
    return GRU_I64;
  }
  llvm_unreachable("unknown element type");
}

namespace {
class Walk;

/// One call of one layer during a walk, or of a layer inside it.
class CallContext final : public LayerContext {
public:
  CallContext(Walk &walk, const Layer &layer)
      : CallContext(walk, layer, layer, "", "") {}
  CallContext(Walk &walk, const Layer &owner, const Layer &layer,
              std::string folder, std::string part);

  Expected<Tensor> getWeight(StringRef role, StringRef folder, unsigned index,
                             WeightType type, ArrayRef<int64_t> shape,
                             StringRef meaning, Transform transform,
                             ArrayRef<int64_t> fileShape) override;
  void ignoreWeight(StringRef role, unsigned index) override;
  Tensor getState(StringRef part, ArrayRef<int64_t> shape,
                  ElementType type) override;
  std::string getStateName(StringRef part) const override;
  void setState(StringRef part, const Tensor &state) override;
  void describe(StringRef part, StringRef attribute,
                json::Value value) override;
  void describeStates(StringRef part, ArrayRef<int64_t> sizes,
                      ElementType type) override;
  Error addActivities(ArrayRef<Tensor> outputs) override;
  Expected<Tensor> getDropoutMask(const MaskRequest &request) override;
  void tellTimeIsFixed() override;
  std::unique_ptr<LayerContext> makeInner(const Layer &inner, StringRef folder,
                                          StringRef part) override;

private:
  Expected<WeightRules> readRules(StringRef role) const;
  LayerSpec &getLayerSpec(StringRef innerPart);
  Tensor drawMask(const MaskRequest &request, int64_t stream);

  Walk &walk;
  /// The layer of the model that holds weights and states.
  const Layer &owner;
  /// In front of folders, and of roles and names of states.
  std::string folder, part;
};

/// Visits the calls of a model's layers in an order in which every input is
/// there before it is used.
class Walk {
public:
  /// Checks the model and takes its weights out of `store`.
  Walk(StringRef file, const Model &model, Weights &store,
       const ImportOptions &options)
      : file(file), model(model), options(options), store(&store) {}

  /// Creates the body of `function`.
  Walk(StringRef file, const Model &model, const ImportOptions &options,
       mlir::func::FuncOp function)
      : file(file), model(model), options(options), function(function),
        builder(mlir::OpBuilder::atBlockBegin(function.addEntryBlock())) {}

  Error run();

  /// What a check has found.
  GraphContents contents;

private:
  friend class CallContext;
  using Key = std::pair<std::string, int64_t>;

  /// A state of a stateful layer, with the value it has at this point.
  struct State {
    std::string name;
    Tensor value;
  };

  Error addInputs();
  Expected<bool> tryCall(const Layer &layer, int64_t index);
  Error call(const Layer &layer, const Node &node, int64_t index);
  Expected<Tensors> resolve(const Layer &layer,
                                        const Argument &argument);
  Error readArguments(LayerContext &context, const Node &node,
                      const LayerClass &layerClass);
  Error finish();
  void orderLosses();

  mlir::Type getType(const Tensor &tensor) const;
  /// Appends an argument to one of the three groups of the function's
  /// arguments: inputs, states, weights.
  mlir::Value addArgument(const Tensor &tensor, unsigned &group,
                          unsigned before, mlir::Attribute location,
                          mlir::ArrayRef<mlir::NamedAttribute> attributes);
  mlir::Value getDropoutKey();
  bool isEmitting() const { return builder.has_value(); }

  StringRef file;
  const Model &model;
  const ImportOptions &options;
  Weights *store = nullptr;

  mlir::func::FuncOp function;
  std::optional<mlir::OpBuilder> builder;
  unsigned numInputs = 0, numStates = 0, numWeights = 0;
  SmallVector<mlir::DictionaryAttr> argumentAttributes;

  std::map<Key, Tensors> results;
  StringMap<const Layer *> layers;
  /// The model's recurrent layer, if there is just one.
  const Layer *onlyRecurrent = nullptr;
  StringMap<Tensor> weightTensors;
  std::vector<State> states;
  std::vector<State> activities;
  /// What the weights and activities of `contents` belong to: the number of a
  /// layer and the part of it. And whether the weights are trained.
  SmallVector<std::pair<size_t, std::string>> weightOwners, activityOwners;
  SmallVector<bool> isTrained;
  /// The names of all masks that layers ask for in training, and those of them
  /// that are given.
  std::vector<std::string> maskNames;
  StringMap<Tensor> givenMasks;
  int64_t numMasks = 0;
  /// The state that masks are drawn from, last among the states; null if none
  /// is drawn.
  mlir::Value dropoutKey;
  bool advancesKey = false;
};
} // namespace

//===----------------------------------------------------------------------===//
// CallContext
//===----------------------------------------------------------------------===//

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

/// a/b, or one of them where the other is empty.
static std::string joinPath(StringRef a, StringRef b) {
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
      role == "moving_mean")
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
                          isHalf ? WeightType::f32 : type,
                          rules->initialShape, &*rules->initializer,
                          initializerName});
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

/// The attributes of this layer or of a part of it; they begin as the entries of
/// its config, with the defaults of what every layer has.
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

/// The activity regulariser of a layer, as an entry of a config; null where it
/// has none.
static json::Value getActivityRegularizer(const Layer &layer) {
  if (const json::Value *value = findEntry(layer.config, "activity_regularizer"))
    return *value;
  if (layer.className != "ActivityRegularization")
    return nullptr;
  json::Object factors;
  for (StringRef key : {"l1", "l2"})
    if (const json::Value *value = findEntry(layer.config, key))
      factors[key] = *value;
  return json::Object{{"class_name", "L1L2"}, {"config", std::move(factors)}};
}

Error CallContext::addActivities(ArrayRef<Tensor> outputs) {
  json::Value value = getActivityRegularizer(layer);
  if (value.getAsNull())
    return Error::success();
  Expected<Regularizer> regularizer = Regularizer::parse(value, version);
  if (!regularizer)
    return error("activity_regularizer " + toString(regularizer.takeError()));
  for (const Tensor &output : outputs) {
    size_t count = count_if(walk.activities, [&](const Walk::State &other) {
      return StringRef(other.name).starts_with(owner.name + "/activity");
    });
    std::string name = owner.name + "/activity" +
                       (count ? "_" + std::to_string(count) : std::string());
    walk.activities.push_back({name, output});
    walk.contents.activities.push_back({name, *regularizer});
    walk.activityOwners.emplace_back(&owner - walk.model.layers.data(), part);
  }
  return Error::success();
}

void CallContext::tellTimeIsFixed() { walk.contents.fixedTime = true; }

/// The dimensions of a mask for the layer's input.
static SmallVector<int64_t> getMaskShape(const MaskRequest &request,
                                         ArrayRef<int64_t> form) {
  SmallVector<int64_t> shape(form);
  for (int64_t &size : shape)
    if (size < 0)
      size = request.like.shape[-1 - size];
  return shape;
}

/// What is kept is 1/(1 - rate) in the type of the layer, also where the layer is
/// computed in float64.
static double roundTo(ElementType type, double number) {
  const fltSemantics *semantics = type == ElementType::f32
                                      ? &APFloat::IEEEsingle()
                                  : type == ElementType::f16
                                      ? &APFloat::IEEEhalf()
                                  : type == ElementType::bf16
                                      ? &APFloat::BFloat()
                                      : &APFloat::IEEEdouble();
  APFloat value(number);
  bool ignored;
  value.convert(*semantics, APFloat::rmNearestTiesToEven, &ignored);
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &ignored);
  return value.convertToDouble();
}

Tensor CallContext::drawMask(const MaskRequest &request, int64_t stream) {
  Tensor mask{getMaskShape(request, request.forms.front()),
              request.like.type,
              {},
              {},
              {}};
  // A cell that is the model keeps its masks until they are reset.
  walk.advancesKey |= findLayerClass(owner.className)->recurrent ||
                      !findLayerClass(owner.className)->hasCells();
  if (!isEmitting())
    return mask;
  mlir::OpBuilder &b = *builder;
  std::optional<int64_t> seed = getDropoutSeed(layer, request.name);
  bool recurrent = StringRef(request.name).starts_with("recurrent_");
  mask.value = DropoutMaskOp::create(
      b, getLocation(), walk.getDropoutKey(), request.like.value,
      b.getDenseI64ArrayAttr(request.forms.front()),
      b.getF64FloatAttr(request.rate),
      b.getF64FloatAttr(roundTo(request.like.type, 1 / (1 - request.rate))),
      b.getI64IntegerAttr(stream),
      seed ? b.getI64IntegerAttr(*seed) : mlir::IntegerAttr(),
      recurrent ? b.getUnitAttr() : mlir::UnitAttr());
  return mask;
}

Expected<Tensor> CallContext::getDropoutMask(const MaskRequest &request) {
  // The short name where no other layer could be meant.
  std::string shortName = joinPath(part, request.name);
  std::string longName = joinPath(owner.name, shortName);
  bool isShort = walk.onlyRecurrent == &owner;
  if (!is_contained(walk.maskNames, isShort ? shortName : longName))
    walk.maskNames.push_back(isShort ? shortName : longName);
  const MaskSpec *given = nullptr;
  for (const MaskSpec &spec : options.masks)
    if (spec.name == longName || (isShort && spec.name == shortName))
      given = &spec;
  int64_t stream = walk.numMasks++;
  if (!given)
    return drawMask(request, stream);
  SmallVector<std::string> expected;
  for (auto [form, batchDim] : zip(request.forms, request.batchDims)) {
    SmallVector<int64_t> shape = getMaskShape(request, form);
    expected.push_back(shapeText(shape));
    if (shape.size() != given->shape.size() ||
        !all_of(zip(shape, given->shape), [](auto sizes) {
          auto [size, found] = sizes;
          return size == kDynamicSize || size == found;
        }))
      continue;
    Tensor &mask = walk.givenMasks[given->name];
    if (mask.shape.empty()) {
      mask = Tensor{shape, request.like.type, {}, {}, {}};
      if (isEmitting())
        mask.value = walk.addArgument(
            mask, walk.numInputs, walk.numInputs, location,
            {builder->getNamedAttr(kNameAttr,
                                   builder->getStringAttr(given->name)),
             builder->getNamedAttr(kBatchDimAttr,
                                   builder->getI64IntegerAttr(batchDim))});
    } else if (mask.shape != shape || mask.type != request.like.type) {
      break;
    }
    return mask;
  }
  return error(given->name + " is " + shapeText(given->shape) + ", expected " +
               join(expected, " or "));
}

//===----------------------------------------------------------------------===//
// Walk
//===----------------------------------------------------------------------===//

mlir::Type Walk::getType(const Tensor &tensor) const {
  return mlir::RankedTensorType::get(tensor.shape,
                                     getMLIRType(builder->getContext(), tensor.type));
}

mlir::Value
Walk::addArgument(const Tensor &tensor, unsigned &group, unsigned before,
                  mlir::Attribute location,
                  mlir::ArrayRef<mlir::NamedAttribute> attributes) {
  ++group;
  argumentAttributes.insert(argumentAttributes.begin() + before,
                            builder->getDictionaryAttr(attributes));
  return function.getBody().front().insertArgument(
      before, getType(tensor),
      mlir::Location(cast<mlir::LocationAttr>(location)));
}

mlir::Value Walk::getDropoutKey() {
  if (!dropoutKey) {
    Tensor key{{3}, ElementType::i64, {}, {}, {}};
    // Its number among the states follows when all of them are known.
    dropoutKey = addArgument(
        key, numStates, numInputs + numStates, function.getLoc(),
        {builder->getNamedAttr(kNameAttr,
                               builder->getStringAttr(kDropoutKeyName))});
  }
  return dropoutKey;
}

Error Walk::addInputs() {
  ShapeRules rules = getShapeRules(model, options);
  for (const TensorRef &ref : model.inputs) {
    auto found = layers.find(ref.layer);
    if (found == layers.end() || found->second->className != "InputLayer")
      return importError(file, "input '" + printable(ref.layer) +
                                   "' is not an InputLayer of the model");
    const Layer &layer = *found->second;
    Expected<Tensor> tensor = getInputType(file, model, layer, rules);
    if (!tensor)
      return tensor.takeError();
    Tensors &slot = results[{layer.name, 0}];
    if (!slot.empty())
      return importError(file, "input '" + printable(ref.layer) +
                                   "' is listed twice in input_layers");
    if (isEmitting()) {
      SmallVector<mlir::NamedAttribute> attributes{builder->getNamedAttr(
          kNameAttr, builder->getStringAttr(layer.name))};
      Dims dims = getDims(model, layer.name, *tensor, rules.timeMajor);
      if (dims.batch != 0)
        attributes.push_back(builder->getNamedAttr(
            kBatchDimAttr, builder->getI64IntegerAttr(dims.batch)));
      tensor->value = addArgument(
          *tensor, numInputs, numInputs,
          mlir::NameLoc::get(builder->getStringAttr(layer.name)), attributes);
    }
    slot = {std::move(*tensor)};
  }
  return Error::success();
}

/// Calls `visit` on every tensor in a node's arguments; stops where it is
/// false.
static bool allTensors(const Argument &argument,
                       function_ref<bool(const TensorRef &)> visit) {
  if (argument.kind == Argument::Tensor)
    return visit(argument.tensor);
  return all_of(argument.elements, [&](const Argument &element) {
    return allTensors(element, visit);
  });
}

static bool allTensors(const Node &node,
                       function_ref<bool(const TensorRef &)> visit) {
  return all_of(node.positional,
                [&](auto &argument) { return allTensors(argument, visit); }) &&
         all_of(node.named,
                [&](auto &entry) { return allTensors(entry.second, visit); });
}

Expected<Tensors> Walk::resolve(const Layer &layer,
                                            const Argument &argument) {
  auto where = [&] {
    std::string text = "layer '" + printable(layer.name) + "'";
    return file.empty() ? text : (file + ": " + text).str();
  };
  Expected<std::vector<TensorRef>> refs = argument.getTensors();
  if (!refs)
    return importError(where(), toString(refs.takeError()));
  Tensors tensors;
  for (const TensorRef &ref : *refs) {
    ArrayRef<Tensor> outputs = results.find({ref.layer, ref.node})->second;
    if (ref.tensor >= int64_t(outputs.size()))
      return importError(where(), "uses output " + Twine(ref.tensor) +
                                      " of layer '" + printable(ref.layer) +
                                      "', which has " + Twine(outputs.size()));
    tensors.push_back(outputs[ref.tensor]);
  }
  return tensors;
}

/// Sorts the arguments of a call into what layers understand. Whatever is left
/// over and says something is an error, because ignoring it would give other
/// numbers than Keras.
Error Walk::readArguments(LayerContext &context, const Node &node,
                          const LayerClass &layerClass) {
  const Layer &layer = context.layer;
  auto take = [&](const Argument &argument, Tensors &target) -> Error {
    Expected<Tensors> tensors = resolve(layer, argument);
    if (!tensors)
      return tensors.takeError();
    target.append(tensors->begin(), tensors->end());
    return Error::success();
  };
  bool hasMask = false;
  auto takeMask = [&](const Argument &argument) -> Error {
    hasMask = true;
    ArrayRef<Argument> elements = argument;
    if (argument.kind == Argument::List)
      elements = argument.elements;
    for (const Argument &element : elements) {
      Tensors tensors;
      if (Error error = take(element, tensors))
        return error;
      context.masks.push_back(
          tensors.empty() ? nullptr
                          : std::make_shared<const Tensor>(tensors.front()));
    }
    return Error::success();
  };
  auto takeNamed = [&](StringRef name, const Argument &argument) -> Error {
    if (argument.isNone())
      return Error::success();
    if (name == "initial_state" && layerClass.recurrent)
      return take(argument, context.initialState);
    if (name == "training" && argument.kind == Argument::Literal &&
        argument.literal.getAsBoolean() == false)
      return Error::success();
    if (name == "mask" && layerClass.mask != MaskRule::drops)
      return takeMask(argument);
    if (argument.kind == Argument::Literal) {
      context.namedValues.insert({name.str(), argument.literal});
      return Error::success();
    }
    Tensors tensors;
    if (Error error = take(argument, tensors))
      return error;
    if (tensors.size() == 1)
      context.namedTensors.insert({name.str(), tensors.front()});
    else
      return context.error("called with a list as '" + printable(name) +
                           "', which is not supported");
    return Error::success();
  };
  // The order of Keras 3; Keras 2 writes all but the first by name.
  constexpr StringLiteral recurrentNames[] = {"sequence", "initial_state",
                                              "mask", "training"};
  for (auto [index, argument] : llvm::enumerate(node.positional)) {
    std::optional<double> number;
    if (argument.kind == Argument::Literal)
      number = argument.literal.getAsNumber();
    if (layer.isOperation && number) {
      context.inputs.emplace_back().number = number;
    } else if (index == 0 || (argument.kind == Argument::Tensor &&
                              !layerClass.recurrent)) {
      if (Error error = take(argument, context.inputs))
        return error;
    } else {
      std::string name =
          layerClass.recurrent && index < std::size(recurrentNames)
              ? recurrentNames[index].str()
              : "number " + std::to_string(index + 1);
      if (Error error = takeNamed(name, argument))
        return error;
    }
  }
  // Keras 2 lists the initial states behind the input.
  if (layerClass.recurrent && context.inputs.size() > 1) {
    context.initialState.append(context.inputs.begin() + 1,
                                context.inputs.end());
    context.inputs.truncate(1);
  }
  for (const auto &[name, argument] : node.named)
    if (Error error = takeNamed(name, argument))
      return error;
  if (!layer.implicitMasks || layer.isOperation || context.inputs.empty())
    return Error::success();
  context.passedMask = hasMask ? context.getMask() : context.inputs[0].mask;
  bool areHidden = context.version == 3 && !context.initialState.empty();
  if (!hasMask && !areHidden)
    for (const Tensor &input : context.inputs)
      context.masks.push_back(input.mask);
  return Error::success();
}

Error Walk::call(const Layer &layer, const Node &node, int64_t index) {
  CallContext context(*this, layer);
  const LayerClass *layerClass = findLayerClass(layer);
  if (!layerClass)
    return context.error("class '" + printable(layer.className) +
                         "' is not supported; supported: " +
                         listLayerClasses());
  if (!layerClass->function)
    return context.error("an input is called on tensors");
  if (Error error = readArguments(context, node, *layerClass))
    return error;
  if (!layer.isOperation)
    context.describe("", "class_name", layer.className);
  Expected<Tensors> outputs = layerClass->function(context);
  if (!outputs)
    return outputs.takeError();
  if (!context.namedTensors.empty() || !context.namedValues.empty())
    return context.error("called with argument '" +
                         printable(context.namedTensors.empty()
                                       ? context.namedValues.begin()->first
                                       : context.namedTensors.begin()->first) +
                         "', which is not supported");
  bool passes = layerClass->mask == MaskRule::passes ||
                (layerClass->mask == MaskRule::passesInKeras3 &&
                 model.version == 3);
  for (Tensor &output : *outputs)
    if (layerClass->mask != MaskRule::uses)
      output.mask = passes ? context.passedMask : nullptr;
  // The type inferred by the operation is the last word.
  for (Tensor &output : *outputs)
    if (output.value)
      output.shape.assign(
          cast<mlir::ShapedType>(output.value.getType()).getShape().begin(),
          cast<mlir::ShapedType>(output.value.getType()).getShape().end());
  if (Error error = context.addActivities(*outputs))
    return error;
  // Keras 3 takes the masks away from what this layer is called on, for all that
  // comes after it.
  if (model.version == 3 && layer.className == "MultiHeadAttention")
    allTensors(node, [&](const TensorRef &ref) {
      results[{ref.layer, ref.node}][ref.tensor].mask = nullptr;
      return true;
    });
  results[{layer.name, index}] = std::move(*outputs);
  return Error::success();
}

/// Calls a layer if its inputs are there; false if they are not yet.
Expected<bool> Walk::tryCall(const Layer &layer, int64_t index) {
  const Node &node = layer.nodes[index];
  std::string unknown;
  bool ready = allTensors(node, [&](const TensorRef &ref) {
    auto found = layers.find(ref.layer);
    if (found == layers.end())
      unknown = ref.layer;
    return results.count({ref.layer, ref.node}) > 0;
  });
  if (!unknown.empty())
    return CallContext(*this, layer)
        .error("uses layer '" + printable(unknown) +
               "', which the model does not have");
  if (!ready)
    return false;
  if (Error error = call(layer, node, index))
    return error;
  return true;
}

/// What the public interface tells of a tensor.
static TensorSpec getSpec(const Model &model, std::string name,
                          const Tensor &tensor) {
  TensorSpec spec{std::move(name),
                  getDType(tensor.type),
                  {tensor.shape.begin(), tensor.shape.end()},
                  {},
                  {}};
  if (auto found = model.dims.find(spec.name); found != model.dims.end()) {
    spec.batchDim = found->second.batch;
    spec.timeDim = found->second.time;
  }
  return spec;
}

Error Walk::run() {
  int numRecurrent = 0;
  for (const Layer &layer : model.layers) {
    layers[layer.name] = &layer;
    const LayerClass *layerClass = findLayerClass(layer.className);
    if (layerClass && layerClass->hasCells())
      onlyRecurrent = ++numRecurrent == 1 ? &layer : nullptr;
  }
  // Say at once what is not supported, even behind another error's back.
  for (const Layer &layer : model.layers)
    if (!layer.isModel && !findLayerClass(layer))
      return CallContext(*this, layer)
          .error("class '" + printable(layer.className) +
                 "' is not supported; supported: " + listLayerClasses());
  if (Error error = addInputs())
    return error;

  // Files hold layers in an order of use but for shared layers, whose later
  // calls wait for layers further down; so nearly everything happens in the
  // first round.
  std::vector<std::pair<const Layer *, int64_t>> waiting;
  for (const Layer &layer : model.layers)
    for (int64_t index = 0, e = layer.nodes.size(); index < e; ++index)
      waiting.emplace_back(&layer, index);
  while (!waiting.empty()) {
    std::vector<std::pair<const Layer *, int64_t>> left;
    for (auto [layer, index] : waiting) {
      Expected<bool> done = tryCall(*layer, index);
      if (!done)
        return done.takeError();
      if (!*done)
        left.emplace_back(layer, index);
    }
    if (left.size() == waiting.size())
      return CallContext(*this, *left.front().first)
          .error("its inputs are never computed: they form a cycle, or name a "
                 "call that does not exist");
    waiting = std::move(left);
  }
  if (Error error = finish())
    return error;
  for (const TensorRef &ref : model.inputs)
    contents.inputs.push_back(
        getSpec(model, ref.layer, results[{ref.layer, 0}].front()));
  for (auto [index, ref] : llvm::enumerate(model.outputs))
    contents.outputs.push_back(
        getSpec(model, model.getOutputName(index),
                results[{ref.layer, ref.node}][ref.tensor]));
  orderLosses();
  return Error::success();
}

/// The place of each layer in Keras 3's walk over a model and the models in it,
/// which goes through the layers of an inner one backwards.
static std::vector<size_t> getFlatOrder(const Model &model) {
  std::vector<size_t> places(model.layers.size());
  size_t place = 0;
  std::function<void(StringRef)> visit = [&](StringRef parent) {
    SmallVector<size_t> children;
    for (auto [index, layer] : llvm::enumerate(model.layers))
      if (layer.parent == parent)
        children.push_back(index);
    if (!parent.empty())
      std::reverse(children.begin(), children.end());
    for (size_t index : children) {
      places[index] = place++;
      if (model.layers[index].isModel)
        visit(model.layers[index].name);
    }
  };
  visit("");
  return places;
}

/// Keras 2 lists the losses layer by layer and part by part (the directions of a
/// Bidirectional), of activities in front of those of weights. Keras 3 lists those
/// of all activities, coming to the parts of a layer backwards, and then those of
/// all weights that are trained.
void Walk::orderLosses() {
  bool isKeras3 = model.version == 3;
  std::vector<size_t> places = getFlatOrder(model);
  std::map<std::pair<size_t, std::string>, int64_t> parts;
  // The layer itself comes before its parts.
  auto getPart = [&](const std::pair<size_t, std::string> &owner) {
    int64_t next = owner.second.empty() ? 0 : 1 + parts.size();
    return parts.insert({owner, next}).first->second;
  };
  using Key = std::tuple<bool, size_t, int64_t, bool, size_t>;
  std::vector<std::pair<Key, LossTerm>> entries;
  for (auto [index, rules] : llvm::enumerate(contents.weightRules)) {
    int64_t part = getPart(weightOwners[index]);
    if (rules.regularizer && (!isKeras3 || isTrained[index]))
      entries.push_back({Key(isKeras3, weightOwners[index].first,
                             isKeras3 ? 0 : part, true, index),
                         {false, index}});
  }
  for (auto [index, owner] : llvm::enumerate(activityOwners)) {
    int64_t part = getPart(owner);
    if (isKeras3 && part > 0)
      part = std::numeric_limits<int64_t>::max() - part;
    entries.push_back({Key(false, isKeras3 ? places[owner.first] : owner.first,
                           part, false, index),
                       {true, index}});
  }
  llvm::sort(entries, [](auto &a, auto &b) { return a.first < b.first; });
  for (const auto &[key, term] : entries)
    contents.lossTerms.push_back(term);
}

/// Checks the outputs; when emitting, ends the function.
Error Walk::finish() {
  SmallVector<mlir::Value> values;
  SmallVector<mlir::DictionaryAttr> attributes;
  for (auto [index, ref] : llvm::enumerate(model.outputs)) {
    auto found = results.find({ref.layer, ref.node});
    if (found == results.end() ||
        ref.tensor >= int64_t(found->second.size()))
      return importError(file, "output " + Twine(index) +
                                   " of the model is output " +
                                   Twine(ref.tensor) + " of call " +
                                   Twine(ref.node) + " of layer '" +
                                   printable(ref.layer) +
                                   "', which does not exist");
    if (!isEmitting())
      continue;
    values.push_back(found->second[ref.tensor].value);
    attributes.push_back(builder->getDictionaryAttr(builder->getNamedAttr(
        kNameAttr, builder->getStringAttr(model.getOutputName(index)))));
  }
  if (!isEmitting())
    return store->checkAllTaken();
  for (const MaskSpec &mask : options.masks)
    if (!givenMasks.contains(mask.name))
      return importError(
          file, "mask '" + printable(mask.name) + "' is given, but " +
                    (!options.training ? "masks act in training only"
                     : maskNames.empty()
                         ? "no layer of the model has dropout"
                         : "the model's masks are " + join(maskNames, ", ")));

  if (options.activities)
    for (const State &activity : activities) {
      values.push_back(activity.value.value);
      attributes.push_back(builder->getDictionaryAttr(builder->getNamedAttr(
          kNameAttr, builder->getStringAttr(activity.name))));
    }
  for (auto [index, state] : llvm::enumerate(states)) {
    values.push_back(state.value.value);
    attributes.push_back(builder->getDictionaryAttr(builder->getNamedAttr(
        kStateAttr, builder->getI64IntegerAttr(index))));
  }
  if (dropoutKey) {
    mlir::Value next = dropoutKey;
    // Every call draws new masks, unless a cell keeps its own.
    if (advancesKey)
      next = mlir::arith::AddIOp::create(
          *builder, function.getLoc(), dropoutKey,
          mlir::arith::ConstantOp::create(
              *builder, function.getLoc(),
              builder->getI64TensorAttr({0, 1, 1})));
    auto number = builder->getNamedAttr(
        kStateAttr, builder->getI64IntegerAttr(states.size()));
    mlir::DictionaryAttr &argument =
        argumentAttributes[numInputs + numStates - 1];
    mlir::NamedAttrList extended(argument);
    extended.append(number);
    argument = extended.getDictionary(builder->getContext());
    values.push_back(next);
    attributes.push_back(builder->getDictionaryAttr(number));
  }
  mlir::func::ReturnOp::create(*builder, function.getLoc(), values);
  mlir::Block &body = function.getBody().front();
  function.setFunctionType(builder->getFunctionType(
      body.getArgumentTypes(), mlir::ValueRange(values).getTypes()));
  function.setAllArgAttrs(argumentAttributes);
  function.setAllResultAttrs(attributes);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

Expected<GraphContents> gru::keras::checkGraph(StringRef file,
                                               const Model &model,
                                               Weights &store) {
  ImportOptions options;
  Walk walk(file, model, store, options);
  if (Error error = walk.run())
    return std::move(error);
  return std::move(walk.contents);
}

Error gru::keras::emitGraph(StringRef file, const Model &model,
                            const ImportOptions &options,
                            mlir::func::FuncOp function) {
  return Walk(file, model, options, function).run();
}
