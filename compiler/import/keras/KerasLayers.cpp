//===- KerasLayers.cpp - one import function per Keras layer
//---------------===//

#include "compiler/import/keras/KerasLayers.h"

#include "compiler/import/ImportError.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using Tensors = SmallVector<Tensor>;

//===----------------------------------------------------------------------===//
// LayerContext
//===----------------------------------------------------------------------===//

LayerContext::~LayerContext() = default;

static std::string jsonText(const json::Value &value) {
  std::string text;
  raw_string_ostream(text) << value;
  return printable(text);
}

ElementType gru::keras::getElementType(WeightType type) {
  return type == WeightType::f64 ? ElementType::f64 : ElementType::f32;
}

StringRef gru::keras::getElementTypeName(ElementType type) {
  switch (type) {
  case ElementType::f32:
    return "float32";
  case ElementType::f64:
    return "float64";
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

/// The entry under `key`, null where it is absent or null.
static const json::Value *findEntry(const json::Object &config, StringRef key) {
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
  if (name == StringRef("float32"))
    return WeightType::f32;
  if (name == StringRef("float64"))
    return WeightType::f64;
  return error("dtype policy " +
               (name ? "'" + printable(*name) + "'" : jsonText(*value)) +
               " is not supported, expected float32 or float64");
}

Expected<Tensor> LayerContext::getInput(WeightType type) const {
  if (inputs.size() != 1)
    return error("found " + Twine(inputs.size()) +
                 " inputs, expected 1 tensor");
  if (inputs[0].type != getElementType(type))
    return error("input is " + getElementTypeName(inputs[0].type) +
                 ", expected " + getWeightTypeName(type) +
                 ", the layer's own dtype");
  return inputs[0];
}

bool gru::keras::isFlagSet(const Layer &layer, StringRef key) {
  return layer.config.getBoolean(key).value_or(false);
}

//===----------------------------------------------------------------------===//
// Recurrent layers
//===----------------------------------------------------------------------===//

namespace {
/// The arguments of a GRU layer; for an RNN those of layer and cell together.
struct RecurrentConfig {
  int64_t units = 0;
  Activation activation, recurrentActivation;
  bool useBias = true, resetAfter = false;
  int64_t implementation = 2;
  double dropout = 0, recurrentDropout = 0;
  WeightType type = WeightType::f32;

  bool returnSequences = false, returnState = false, goBackwards = false;
  bool stateful = false, unroll = false, timeMajor = false;
  bool zeroOutputForMask = false, fromCell = false;
};

/// Assigns the value of an Expected, or leaves the function with its error.
#define GRU_ASSIGN(target, expression)                                         \
  do {                                                                         \
    auto expected = (expression);                                              \
    if (!expected)                                                             \
      return expected.takeError();                                             \
    target = std::move(*expected);                                             \
  } while (false)
} // namespace

/// What a GRUCell has, and a GRU layer too.
static Error readCell(LayerContext &context, const json::Object &config,
                      RecurrentConfig &result) {
  constexpr int64_t largestUnits = int64_t(1) << 24;
  GRU_ASSIGN(result.units, context.getInteger(config, "units"));
  if (result.units < 1 || result.units > largestUnits)
    return context.error("units is " + Twine(result.units) +
                         ", expected a positive integer up to " +
                         Twine(largestUnits));
  // Keras 2 before 2.3 defaulted to hard_sigmoid, but every version since 2.0
  // writes the value.
  GRU_ASSIGN(result.activation,
             context.getActivation(config, "activation", ActivationKind::tanh));
  GRU_ASSIGN(result.recurrentActivation,
             context.getActivation(config, "recurrent_activation",
                                   ActivationKind::sigmoid));
  GRU_ASSIGN(result.useBias, context.getBool(config, "use_bias", true));
  // Files from before 2.1.? know only the form without reset_after.
  GRU_ASSIGN(result.resetAfter, context.getBool(config, "reset_after", false));
  GRU_ASSIGN(result.dropout, context.getNumber(config, "dropout", 0));
  GRU_ASSIGN(result.recurrentDropout,
             context.getNumber(config, "recurrent_dropout", 0));
  // Keras clamps rates without a word.
  result.dropout = std::clamp(result.dropout, 0.0, 1.0);
  result.recurrentDropout = std::clamp(result.recurrentDropout, 0.0, 1.0);
  if (context.options.training &&
      (result.dropout > 0 || result.recurrentDropout > 0))
    return context.error("dropout in training is not supported");
  GRU_ASSIGN(result.implementation,
             context.getInteger(config, "implementation",
                                context.version == 2 ? 1 : 2));
  if (result.implementation < 0 || result.implementation > 2)
    return context.error("implementation is " + Twine(result.implementation) +
                         ", expected 1 or 2");
  // 0 is an old name of 1, and recurrent dropout exists only in 1.
  if (result.implementation == 0 || result.recurrentDropout > 0)
    result.implementation = 1;
  GRU_ASSIGN(result.type, context.getComputeType(config));
  return Error::success();
}

/// What every recurrent layer has.
static Error readLoop(LayerContext &context, RecurrentConfig &result) {
  const json::Object &config = context.layer.config;
  for (auto [key, target] :
       {std::pair<StringRef, bool *>{"return_sequences",
                                     &result.returnSequences},
        {"return_state", &result.returnState},
        {"go_backwards", &result.goBackwards},
        {"stateful", &result.stateful},
        {"unroll", &result.unroll},
        {"time_major", &result.timeMajor},
        {"zero_output_for_mask", &result.zeroOutputForMask}})
    GRU_ASSIGN(*target, context.getBool(config, key, false));
  int64_t constants = 0;
  GRU_ASSIGN(constants, context.getInteger(config, "num_constants", 0));
  if (constants != 0)
    return context.error("constants passed to the cell are not supported, "
                         "found " +
                         Twine(constants));
  return Error::success();
}

/// CuDNNGRU kept its weights as cuDNN wants them: each gate's matrix
/// transposed, though its shape says otherwise.
static void transposeGates(WeightTensor &tensor) {
  int64_t rows = tensor.shape[0], units = tensor.shape[1] / 3;
  unsigned size = getWeightTypeSize(tensor.dtype);
  std::vector<char> source = tensor.data;
  // Number `index` of gate g, read row by row.
  auto sourceAt = [&](int64_t gate, int64_t index) {
    return source.data() +
           (index / units * 3 * units + gate * units + index % units) * size;
  };
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t gate = 0; gate < 3; ++gate)
      for (int64_t unit = 0; unit < units; ++unit)
        std::memcpy(tensor.data.data() +
                        (row * 3 * units + gate * units + unit) * size,
                    sourceAt(gate, unit * rows + row), size);
}

static Expected<Tensors> emitRecurrent(LayerContext &context,
                                       const RecurrentConfig &config,
                                       bool cudnnForm = false) {
  Tensor input;
  GRU_ASSIGN(input, context.getInput(config.type));
  if (input.shape.size() != 3)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected 3 dimensions (batch x timesteps x "
                         "features)");
  int64_t features = input.shape[2], units = config.units;
  if (features == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected a known number of features");
  int64_t batch = input.shape[config.timeMajor ? 1 : 0];

  LayerContext::Transform toKeras = nullptr;
  if (cudnnForm)
    toKeras = transposeGates;
  Tensor kernel, recurrentKernel, bias, state;
  GRU_ASSIGN(kernel, context.getWeight("kernel", "cell", 0, config.type,
                                       {features, 3 * units},
                                       "features x 3*units", toKeras));
  GRU_ASSIGN(recurrentKernel,
             context.getWeight("recurrent_kernel", "cell", 1, config.type,
                               {units, 3 * units}, "units x 3*units", toKeras));
  if (config.useBias) {
    if (config.resetAfter)
      GRU_ASSIGN(bias,
                 context.getWeight(
                     "bias", "cell", 2, config.type, {2, 3 * units},
                     "2 x 3*units with reset_after", [](WeightTensor &tensor) {
                       // cuDNN's form: the two rows in one.
                       if (tensor.shape.size() == 1)
                         tensor.shape = {2, tensor.shape[0] / 2};
                     }));
    else
      GRU_ASSIGN(bias,
                 context.getWeight("bias", "cell", 2, config.type, {3 * units},
                                   "3*units without reset_after"));
  }

  ElementType type = getElementType(config.type);
  if (config.stateful)
    state = context.getState({batch, units}, type);
  if (context.initialState.size() > 1)
    return context.error("found " + Twine(context.initialState.size()) +
                         " initial states, expected 1");
  if (!context.initialState.empty()) {
    state = context.initialState.front();
    auto fits = [](int64_t found, int64_t expected) {
      return found == expected || found == kDynamicSize ||
             expected == kDynamicSize;
    };
    if (state.type != type || state.shape.size() != 2 ||
        !fits(state.shape[0], batch) || state.shape[1] != units)
      return context.error("initial_state is " + shapeText(state.shape) + " " +
                           getElementTypeName(state.type) + ", expected " +
                           shapeText({batch, units}) + " " +
                           getElementTypeName(type) + " (batch x units)");
  }

  Tensor sequence{input.shape, type, {}}, last{{batch, units}, type, {}};
  sequence.shape[2] = units;
  Tensor newState = last;
  if (context.isEmitting()) {
    mlir::OpBuilder &b = *context.builder;
    mlir::MLIRContext *mlirContext = b.getContext();
    auto op = GRUOp::create(
        b, context.getLocation(), input.value, kernel.value,
        recurrentKernel.value, bias.value, state.value, /*mask=*/{},
        /*lengths=*/{}, /*reset=*/{}, /*dropout_mask=*/{},
        /*recurrent_dropout_mask=*/{}, config.activation.getAttr(mlirContext),
        config.recurrentActivation.getAttr(mlirContext), config.resetAfter,
        config.goBackwards, config.timeMajor, config.zeroOutputForMask,
        config.unroll, config.fromCell, config.implementation,
        APFloat(config.dropout), APFloat(config.recurrentDropout),
        /*clip=*/{});
    sequence.value = op.getSequence();
    last.value = op.getLast();
    newState.value = op.getState();
  }
  if (config.stateful)
    context.setState(newState);
  Tensors results = {config.returnSequences ? sequence : last};
  if (config.returnState)
    results.push_back(newState);
  return results;
}

static Expected<Tensors> importGRU(LayerContext &context) {
  RecurrentConfig config;
  if (Error error = readCell(context, context.layer.config, config))
    return error;
  if (Error error = readLoop(context, config))
    return error;
  return emitRecurrent(context, config);
}

static Expected<Tensors> importCuDNNGRU(LayerContext &context) {
  RecurrentConfig config;
  if (Error error = readCell(context, context.layer.config, config))
    return error;
  if (Error error = readLoop(context, config))
    return error;
  // These are not arguments of the layer: cuDNN fixes them.
  config.activation = ActivationKind::tanh;
  config.recurrentActivation = ActivationKind::sigmoid;
  config.useBias = config.resetAfter = true;
  config.implementation = 2;
  return emitRecurrent(context, config, /*cudnnForm=*/true);
}

static Expected<Tensors> importRNN(LayerContext &context) {
  RecurrentConfig config;
  const json::Value *value = context.layer.config.get("cell");
  std::optional<ObjectConfig> cell;
  if (value)
    cell = getObjectConfig(*value);
  if (!cell || cell->className != "GRUCell")
    return context.error(
        "cell is " +
        (cell ? "'" + printable(cell->className) + "'"
              : (value ? jsonText(*value) : std::string("missing"))) +
        ", expected a GRUCell");
  if (Error error = readCell(context, *cell->config, config))
    return error;
  if (Error error = readLoop(context, config))
    return error;
  config.fromCell = true;
  return emitRecurrent(context, config);
}

//===----------------------------------------------------------------------===//
// Other layers
//===----------------------------------------------------------------------===//

static Expected<Tensors> importDense(LayerContext &context) {
  const json::Object &config = context.layer.config;
  for (StringRef key : {"quantization_config", "lora_rank"})
    if (findEntry(config, key))
      return context.error(key + " is not supported");
  WeightType type;
  GRU_ASSIGN(type, context.getComputeType(config));
  Tensor input;
  GRU_ASSIGN(input, context.getInput(type));
  int64_t units = 0;
  GRU_ASSIGN(units, context.getInteger(config, "units"));
  if (units < 1)
    return context.error("units is " + Twine(units) +
                         ", expected a positive integer");
  Activation activation;
  GRU_ASSIGN(activation, context.getActivation(config, "activation",
                                               ActivationKind::linear));
  bool useBias = true;
  GRU_ASSIGN(useBias, context.getBool(config, "use_bias", true));
  if (input.shape.size() < 2 || input.shape.back() == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected a known last dimension");
  Tensor kernel, bias;
  GRU_ASSIGN(kernel,
             context.getWeight("kernel", "", 0, type,
                               {input.shape.back(), units}, "inputs x units"));
  if (useBias)
    GRU_ASSIGN(bias, context.getWeight("bias", "", 1, type, {units}, "units"));
  Tensor result = input;
  result.shape.back() = units;
  if (context.isEmitting()) {
    mlir::OpBuilder &b = *context.builder;
    result.value =
        DenseOp::create(b, context.getLocation(), input.value, kernel.value,
                        bias.value, activation.getAttr(b.getContext()));
  }
  return Tensors{result};
}

static Expected<Tensors> importActivation(LayerContext &context) {
  const Layer &layer = context.layer;
  auto parsed =
      parseActivationLayer(layer.className, layer.config, context.version);
  if (!*parsed)
    return context.error(toString(parsed->takeError()));
  Activation activation = **parsed;
  WeightType type;
  GRU_ASSIGN(type, context.getComputeType(layer.config));
  Tensor result;
  GRU_ASSIGN(result, context.getInput(type));
  // Linear is no operation, so nothing stands in the way of later fusion.
  if (context.isEmitting() && activation.kind != ActivationKind::linear) {
    mlir::OpBuilder &b = *context.builder;
    result.value = ActivationOp::create(b, context.getLocation(), result.value,
                                        activation.getAttr(b.getContext()));
  }
  return Tensors{result};
}

static Expected<Tensors> importConcatenate(LayerContext &context) {
  ArrayRef<Tensor> inputs = context.inputs;
  if (inputs.empty())
    return context.error("found no inputs, expected at least 1");
  Tensor result = inputs.front();
  int64_t rank = result.shape.size(), axis = -1;
  GRU_ASSIGN(axis, context.getInteger(context.layer.config, "axis", -1));
  int64_t dim = axis < 0 ? axis + rank : axis;
  if (dim < 1 || dim >= rank)
    return context.error("axis is " + Twine(axis) +
                         ", expected a dimension of " +
                         shapeText(result.shape) + " behind the batch");
  SmallVector<mlir::Value> values;
  result.shape[dim] = 0;
  for (const Tensor &input : inputs) {
    values.push_back(input.value);
    if (input.type != result.type)
      return context.error("inputs are " + getElementTypeName(result.type) +
                           " and " + getElementTypeName(input.type) +
                           ", expected one type");
    bool fits = int64_t(input.shape.size()) == rank;
    for (int64_t i = 0; fits && i < rank; ++i) {
      int64_t &size = result.shape[i];
      int64_t other = input.shape[i];
      if (i == dim)
        size = size == kDynamicSize || other == kDynamicSize ? kDynamicSize
                                                             : size + other;
      else if (size == kDynamicSize)
        size = other;
      else
        fits = other == kDynamicSize || other == size;
    }
    if (!fits)
      return context.error("inputs are " + shapeText(inputs.front().shape) +
                           " and " + shapeText(input.shape) +
                           ", expected equal shapes apart from axis " +
                           Twine(axis));
  }
  if (context.isEmitting() && values.size() > 1) {
    mlir::OpBuilder &b = *context.builder;
    result.value =
        mlir::tensor::ConcatOp::create(b, context.getLocation(), dim, values);
    result.shape.assign(
        cast<mlir::ShapedType>(result.value.getType()).getShape().begin(),
        cast<mlir::ShapedType>(result.value.getType()).getShape().end());
  } else if (context.isEmitting())
    result.value = values.front();
  return Tensors{result};
}

/// Layers that do something in training only.
static Expected<Tensors> importIdentity(LayerContext &context) {
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 1 tensor");
  if (context.options.training && context.layer.className != "Identity" &&
      context.layer.className != "ActivityRegularization")
    return context.error(context.layer.className +
                         " in training is not supported");
  return context.inputs;
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

/// In alphabetical order. InputLayer is in the table for its name only: inputs
/// are the importer's business.
static constexpr LayerClass kLayerClasses[] = {
    {"Activation", importActivation, false},
    {"ActivityRegularization", importIdentity, false},
    {"AlphaDropout", importIdentity, false},
    {"Concatenate", importConcatenate, false},
    {"CuDNNGRU", importCuDNNGRU, true},
    {"Dense", importDense, false},
    {"Dropout", importIdentity, false},
    {"ELU", importActivation, false},
    {"GRU", importGRU, true},
    {"GaussianDropout", importIdentity, false},
    {"GaussianNoise", importIdentity, false},
    {"Identity", importIdentity, false},
    {"InputLayer", nullptr, false},
    {"LeakyReLU", importActivation, false},
    {"RNN", importRNN, true},
    {"ReLU", importActivation, false},
    {"Softmax", importActivation, false},
    {"SpatialDropout1D", importIdentity, false},
};

const LayerClass *gru::keras::findLayerClass(StringRef className) {
  const LayerClass *found = find_if(
      kLayerClasses, [&](auto &entry) { return entry.className == className; });
  return found == std::end(kLayerClasses) ? nullptr : found;
}

std::string gru::keras::listLayerClasses() {
  SmallVector<StringRef> names;
  for (const LayerClass &entry : kLayerClasses)
    names.push_back(entry.className);
  return listText(names);
}
