//===- KerasLayers.cpp - one import function per Keras layer --------------===//

#include "compiler/import/keras/KerasLayers.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// LayerContext
//===----------------------------------------------------------------------===//

LayerContext::~LayerContext() = default;

std::string gru::keras::jsonText(const json::Value &value) {
  std::string text;
  raw_string_ostream(text) << value;
  return printable(text);
}

ElementType gru::keras::getElementType(WeightType type) {
  switch (type) {
  case WeightType::f32:
    return ElementType::f32;
  case WeightType::f64:
    return ElementType::f64;
  case WeightType::f16:
    return ElementType::f16;
  case WeightType::bf16:
    return ElementType::bf16;
  }
  llvm_unreachable("unknown weight type");
}

bool gru::keras::isFloat(ElementType type) {
  return type == ElementType::f32 || type == ElementType::f64 ||
         type == ElementType::f16 || type == ElementType::bf16;
}

mlir::Type gru::keras::getMLIRType(mlir::MLIRContext *context,
                                   ElementType type) {
  mlir::Builder builder(context);
  switch (type) {
  case ElementType::f32:
    return builder.getF32Type();
  case ElementType::f64:
    return builder.getF64Type();
  case ElementType::f16:
    return builder.getF16Type();
  case ElementType::bf16:
    return builder.getBF16Type();
  case ElementType::i1:
    return builder.getI1Type();
  case ElementType::i32:
    return builder.getI32Type();
  case ElementType::i64:
    return builder.getI64Type();
  }
  llvm_unreachable("unknown element type");
}

StringRef gru::keras::getElementTypeName(ElementType type) {
  switch (type) {
  case ElementType::f32:
    return "float32";
  case ElementType::f64:
    return "float64";
  case ElementType::f16:
    return "float16";
  case ElementType::bf16:
    return "bfloat16";
  case ElementType::i1:
    return "bool";
  case ElementType::i32:
    return "int32";
  case ElementType::i64:
    return "int64";
  }
  llvm_unreachable("unknown element type");
}

Error LayerContext::error(const Twine &message) const {
  std::string where = "layer '" + printable(layer.name) + "'";
  if (!file.empty())
    where = (file + ": " + where).str();
  return importError(where, message);
}

const json::Value *gru::keras::findEntry(const json::Object &config,
                                         StringRef key) {
  const json::Value *value = config.get(key);
  return value && !value->getAsNull() ? value : nullptr;
}

Expected<int64_t>
LayerContext::getInteger(const Config &config, StringRef key,
                         std::optional<int64_t> otherwise) const {
  const json::Value *value = findEntry(config, key);
  if (!value && otherwise)
    return *otherwise;
  if (!value)
    return error(key + " is missing");
  if (std::optional<int64_t> number = value->getAsInteger())
    return *number;
  return error(key + " is " + jsonText(*value) + ", expected an integer");
}

Expected<double>
LayerContext::getNumber(const Config &config, StringRef key,
                        std::optional<double> otherwise) const {
  const json::Value *value = findEntry(config, key);
  if (!value && otherwise)
    return *otherwise;
  if (!value)
    return error(key + " is missing");
  if (std::optional<double> number = value->getAsNumber())
    return *number;
  return error(key + " is " + jsonText(*value) + ", expected a number");
}

Expected<bool> LayerContext::getBool(const Config &config, StringRef key,
                                     std::optional<bool> otherwise) const {
  const json::Value *value = findEntry(config, key);
  if (!value && otherwise)
    return *otherwise;
  if (!value)
    return error(key + " is missing");
  if (std::optional<bool> flag = value->getAsBoolean())
    return *flag;
  return error(key + " is " + jsonText(*value) + ", expected true or false");
}

Expected<Activation> LayerContext::getActivation(const Config &config,
                                                 StringRef key,
                                                 Activation otherwise) const {
  const json::Value *value = config.get(key);
  if (!value)
    return otherwise;
  Expected<Activation> activation = parseActivation(*value, version);
  if (!activation)
    return error(key + ": " + toString(activation.takeError()));
  return activation;
}

Expected<WeightType> LayerContext::getComputeType(const Config &config) const {
  const json::Value *value = findEntry(config, "dtype");
  if (!value)
    return WeightType::f32;
  std::optional<StringRef> name = value->getAsString();
  if (!name)
    if (std::optional<ObjectConfig> policy = getObjectConfig(*value))
      name = policy->config->getString("name");
  // Mixed policies keep variables in float32 and compute in the narrow type.
  StringRef computed = name.value_or("");
  computed.consume_front("mixed_");
  for (WeightType type :
       {WeightType::f32, WeightType::f64, WeightType::f16, WeightType::bf16})
    if (computed == getWeightTypeName(type))
      return type;
  return error("dtype policy " +
               (name ? "'" + printable(*name) + "'" : jsonText(*value)) +
               " is not supported, expected float32, float64, float16, "
               "bfloat16, mixed_float16 or mixed_bfloat16");
}

Expected<Tensor> LayerContext::castInput(const Tensor &input,
                                         WeightType type) const {
  ElementType wanted = getElementType(type);
  if (input.type == wanted)
    return input;
  // Keras 3 takes integers for numbers.
  if (!isFloat(input.type) && version == 2)
    return error("input is " + getElementTypeName(input.type) + ", expected " +
                 getWeightTypeName(type) + ", the layer's own dtype");
  return emitCast(const_cast<LayerContext &>(*this), input, wanted);
}

Expected<Tensor> LayerContext::getInput(WeightType type) const {
  if (inputs.size() != 1)
    return error("found " + Twine(inputs.size()) +
                 " inputs, expected 1 tensor");
  return castInput(inputs[0], type);
}

Expected<Tensors> LayerContext::getInputs(WeightType type, size_t least) const {
  if (inputs.size() < least)
    return error("found " + Twine(inputs.size()) +
                 " inputs, expected at least " + Twine(least));
  Tensors result;
  for (const Tensor &input : inputs)
    GRU_TAKE(result.emplace_back(), castInput(input, type));
  return result;
}

std::optional<Tensor> LayerContext::takeTensor(StringRef name) {
  auto found = namedTensors.find(name.str());
  if (found == namedTensors.end())
    return std::nullopt;
  Tensor tensor = std::move(found->second);
  namedTensors.erase(found);
  return tensor;
}

bool LayerContext::takeFlag(StringRef name) {
  auto found = namedValues.find(name.str());
  if (found == namedValues.end() || !found->second.getAsBoolean())
    return false;
  bool flag = *found->second.getAsBoolean();
  namedValues.erase(found);
  return flag;
}

bool gru::keras::isFlagSet(const json::Object &config, StringRef key) {
  if (config.getBoolean(key).value_or(false))
    return true;
  for (StringRef wrapped : {"layer", "backward_layer"})
    if (const json::Object *object = config.getObject(wrapped))
      if (const json::Object *inner = object->getObject("config"))
        if (isFlagSet(*inner, key))
          return true;
  return false;
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

/// In alphabetical order. InputLayer is in the table for its name only: inputs
/// are the importer's business.
static constexpr LayerClass kLayerClasses[] = {
    {"Activation", importActivation, MaskRule::passes},
    {"ActivityRegularization", importPassThrough, MaskRule::passes},
    {"Add", importAdd, MaskRule::uses},
    {"AdditiveAttention", importAttention, MaskRule::uses},
    {"AlphaDropout", importAlphaDropout, MaskRule::passes},
    {"Any", importAny},
    {"Attention", importAttention, MaskRule::uses},
    {"Average", importAverage, MaskRule::uses},
    {"AveragePooling1D", importAveragePooling1D, MaskRule::drops, false, true},
    {"BatchNormalization", importBatchNormalization, MaskRule::passes},
    {"Bidirectional", importBidirectional, MaskRule::uses, true},
    {"Cast", importCast},
    {"Concatenate", importConcatenate, MaskRule::uses},
    {"Conv1D", importConv1D, MaskRule::drops, false, true},
    {"ConvertToTensor", importIdentity},
    {"Cropping1D", importCropping1D, MaskRule::drops, false, true},
    {"CuDNNGRU", importRecurrent, MaskRule::uses, true},
    {"Dense", importDense, MaskRule::passes},
    {"Dot", importDot},
    {"Dropout", importDropout, MaskRule::passes},
    {"ELU", importActivation, MaskRule::passes},
    {"Embedding", importEmbedding, MaskRule::uses},
    {"ExpandDims", importExpandDims},
    {"Flatten", importFlatten, MaskRule::drops, false, true},
    {"GRU", importRecurrent, MaskRule::uses, true},
    {"GRUCell", importCell},
    {"GaussianDropout", importGaussianDropout, MaskRule::passes},
    {"GaussianNoise", importGaussianNoise, MaskRule::passes},
    {"GlobalAveragePooling1D", importGlobalAveragePooling1D, MaskRule::uses},
    {"GlobalMaxPooling1D", importGlobalMaxPooling1D},
    {"Identity", importPassThrough, MaskRule::passesInKeras3},
    {"InputLayer", nullptr},
    {"LayerNormalization", importLayerNormalization, MaskRule::passes},
    {"LeakyReLU", importActivation, MaskRule::passes},
    {"LogicalAnd", importLogical},
    {"LogicalOr", importLogical},
    {"Masking", importMasking, MaskRule::uses},
    {"MaxPooling1D", importMaxPooling1D, MaskRule::drops, false, true},
    {"Maximum", importMaximum, MaskRule::uses},
    {"Minimum", importMinimum, MaskRule::uses},
    {"MultiHeadAttention", importMultiHeadAttention, MaskRule::uses},
    {"Multiply", importMultiply, MaskRule::uses},
    {"Normalization", importNormalization, MaskRule::passesInKeras3},
    {"NotEqual", importNotEqual},
    {"OnesLike", importConstantLike},
    {"Permute", importPermute, MaskRule::drops, false, true},
    {"RNN", importRecurrent, MaskRule::uses, true},
    {"ReLU", importActivation, MaskRule::passes},
    {"RepeatVector", importRepeatVector},
    {"Rescaling", importRescaling, MaskRule::passesInKeras3},
    {"Reshape", importReshape, MaskRule::drops, false, true},
    {"Softmax", importActivation, MaskRule::passes},
    {"SpatialDropout1D", importDropout, MaskRule::passes},
    {"StackedRNNCells", importCell},
    {"Subtract", importSubtract, MaskRule::uses},
    {"TimeDistributed", importTimeDistributed, MaskRule::passes},
    {"UpSampling1D", importUpSampling1D, MaskRule::drops, false, true},
    {"ZeroPadding1D", importZeroPadding1D, MaskRule::drops, false, true},
    {"ZerosLike", importConstantLike},
};

bool LayerClass::hasCells() const {
  return recurrent || function == importCell;
}

const LayerClass *gru::keras::findLayerClass(StringRef className) {
  const LayerClass *found = find_if(
      kLayerClasses, [&](auto &entry) { return entry.className == className; });
  return found == std::end(kLayerClasses) ? nullptr : found;
}

const LayerClass *gru::keras::findLayerClass(const Layer &layer) {
  return layer.own ? layer.own : findLayerClass(layer.className);
}

std::string gru::keras::listLayerClasses() {
  SmallVector<StringRef> names;
  for (const LayerClass &entry : kLayerClasses)
    names.push_back(entry.className);
  return listText(names);
}
