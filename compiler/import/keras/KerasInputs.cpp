//===- KerasInputs.cpp - the inputs of a model ----------------------------===//

#include "compiler/import/keras/KerasWalk.h"

#include "compiler/import/ImportError.h"
#include "dialect/GRUDialect.h"

#include <limits>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

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
/// something needs them. `timesteps` is what the file says of the first
/// sequence: another one that has another number of steps is not what is asked
/// for.
static Expected<Tensor> getInputType(StringRef where, const Model &model,
                                     const Layer &layer,
                                     const ShapeRules &rules,
                                     std::optional<int64_t> &timesteps) {
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
  for (ElementType type :
       {ElementType::f32, ElementType::f64, ElementType::i1, ElementType::i32,
        ElementType::i64, ElementType::f16, ElementType::bf16})
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
    if (!timesteps)
      timesteps = time;
    bool isOther = time != kDynamicSize && *timesteps != kDynamicSize &&
                   time != *timesteps;
    if (rules.timesteps > 0 && !isOther)
      time = rules.timesteps;
    else if (!rules.fixedTime)
      time = kDynamicSize;
  }
  return tensor;
}

Error Walk::addInputs() {
  ShapeRules rules = getShapeRules(model, options);
  std::optional<int64_t> timesteps;
  for (const TensorRef &ref : model.inputs) {
    auto found = layers.find(ref.layer);
    if (found == layers.end() || found->second->className != "InputLayer")
      return importError(file, "input '" + printable(ref.layer) +
                                   "' is not an InputLayer of the model");
    const Layer &layer = *found->second;
    Expected<Tensor> tensor =
        getInputType(file, model, layer, rules, timesteps);
    if (!tensor)
      return tensor.takeError();
    Tensors &slot = results[{layer.name, 0}];
    if (!slot.empty())
      return importError(file, "input '" + printable(ref.layer) +
                                   "' is listed twice in input_layers");
    if (isEmitting()) {
      SmallVector<mlir::NamedAttribute> attributes{
          builder->getNamedAttr(kNameAttr, builder->getStringAttr(layer.name))};
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
