//===- Recurrent.cpp - GRU, RNN of GRU cells, Bidirectional, cells ---------===//

#include "compiler/import/GateOrder.h"
#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Dropout.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Configuration
//===----------------------------------------------------------------------===//

namespace {
/// What a GRUCell has, and a GRU layer too.
struct CellConfig {
  int64_t units = 0;
  Activation activation, recurrentActivation;
  bool useBias = true, resetAfter = false;
  CellDropout dropout;
  WeightType type = WeightType::f32;
  /// Where the weights lie, and what tells them from those of other cells.
  std::string folder, part;
  /// Speaks of the weights; outlives the import of the layer.
  const json::Object *config = nullptr;
};

/// A GRU layer, or an RNN around one cell or several.
struct RecurrentConfig {
  SmallVector<CellConfig> cells;
  /// "forward" or "backward" within a Bidirectional.
  StringRef direction;
  bool fromCell = false, cudnnForm = false;
  bool returnSequences = false, returnState = false, goBackwards = false;
  bool stateful = false, unroll = false, timeMajor = false;
  bool zeroOutputForMask = false;
};

/// What a recurrent layer computes; `states` in the order of the cells.
struct RecurrentResult {
  Tensor output;
  Tensors states;
};
} // namespace

/// Arguments of GRU and GRUCell in any version of Keras, and what files have
/// beside them. Those with a meaning here are read elsewhere.
static constexpr StringLiteral kKnownArguments[] = {
    "units", "activation", "recurrent_activation", "use_bias", "reset_after",
    "kernel_initializer", "recurrent_initializer", "bias_initializer",
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer",
    "activity_regularizer", "kernel_constraint", "recurrent_constraint",
    "bias_constraint", "dropout", "recurrent_dropout", "implementation",
    "return_sequences", "return_state", "go_backwards", "stateful", "unroll",
    "time_major", "zero_output_for_mask", "seed", "use_cudnn", "name", "dtype",
    "trainable", "autocast", "dynamic", "batch_input_shape", "batch_shape",
    "input_shape", "input_dim", "input_length", "input_dtype", "weights",
    "ragged", "num_constants", "build_config", "quantization_config",
    "class_name",
    // Of Keras 2 before 2.3, where they had lost their meaning already.
    "consume_less", "dropout_W", "dropout_U", "output_dim", "init",
    "inner_init", "inner_activation"};

/// An argument that no GRU has is a mistake, as it is in Keras: a misspelt one
/// would give other numbers without a word.
static Error checkArguments(const LayerContext &context, StringRef className,
                            const json::Object &config) {
  for (const auto &entry : config) {
    StringRef key = entry.first;
    if (is_contained(kKnownArguments, key))
      continue;
    StringRef closest;
    unsigned distance = 4;
    for (StringRef known : kKnownArguments)
      if (unsigned d = key.edit_distance(known, true, distance); d < distance) {
        distance = d;
        closest = known;
      }
    return context.error("found the argument '" + printable(key) +
                         "', which " + className + " does not have" +
                         (closest.empty()
                              ? std::string()
                              : "; did you mean '" + closest.str() + "'?"));
  }
  if (const json::Value *value = findEntry(config, "use_cudnn"))
    if (!value->getAsBoolean() && value->getAsString() != "auto")
      return context.error("use_cudnn is " + jsonText(*value) +
                           ", expected true, false or 'auto'");
  if (context.version == 3 && isFlagSet(config, "time_major"))
    return context.error("time_major is set, which Keras 3 does not have: "
                         "expected inputs of batch x timesteps x features");
  return Error::success();
}

static Error readCell(LayerContext &context, const json::Object &config,
                      CellConfig &result) {
  constexpr int64_t largestUnits = int64_t(1) << 24;
  result.config = &config;
  if (context.layer.className != "CuDNNGRU")
    if (Error error = checkArguments(
            context,
            &config == &context.layer.config ? StringRef(context.layer.className)
                                             : "GRUCell",
            config))
      return error;
  GRU_ASSIGN(result.units, context.getInteger(config, "units"));
  if (result.units < 1 || result.units > largestUnits)
    return context.error("units is " + Twine(result.units) +
                         ", expected a positive integer up to " +
                         Twine(largestUnits));
  // Keras 2 before 2.3 defaulted to hard_sigmoid, but every version since 2.0
  // writes the value.
  GRU_ASSIGN(result.activation, context.getActivation(config, "activation",
                                                      ActivationKind::tanh));
  GRU_ASSIGN(result.recurrentActivation,
             context.getActivation(config, "recurrent_activation",
                                   ActivationKind::sigmoid));
  GRU_ASSIGN(result.useBias, context.getBool(config, "use_bias", true));
  // Files of Keras 2 without the key are from before it: they know only the
  // form without reset_after.
  GRU_ASSIGN(result.resetAfter, context.getBool(config, "reset_after",
                                                context.version == 3));
  GRU_ASSIGN(result.dropout, readCellDropout(context, config));
  GRU_ASSIGN(result.type, context.getComputeType(config));
  return Error::success();
}

/// The cells of a StackedRNNCells, whose weights lie below `folder`.
static Error readStack(LayerContext &context, ArrayRef<json::Value> cells,
                       StringRef folder, SmallVector<CellConfig> &result) {
  if (cells.empty())
    return context.error("cells is empty, expected at least 1 GRUCell");
  for (auto [index, value] : enumerate(cells)) {
    std::optional<ObjectConfig> cell = getObjectConfig(value);
    if (!cell || cell->className != "GRUCell")
      return context.error("cell " + Twine(index) + " is " +
                           (cell ? "'" + printable(cell->className) + "'"
                                 : jsonText(value)) +
                           ", expected a GRUCell");
    CellConfig config;
    if (Error error = readCell(context, *cell->config, config))
      return error;
    config.folder = (folder + "cells/gru_cell" +
                     (index ? "_" + utostr(index) : std::string()))
                        .str();
    if (cells.size() > 1)
      config.part = "cell" + utostr(index);
    result.push_back(std::move(config));
  }
  return Error::success();
}

/// The cell of an RNN: a GRUCell, a StackedRNNCells, or a list of cells.
static Error readCells(LayerContext &context, const json::Value *value,
                       SmallVector<CellConfig> &result) {
  if (const json::Array *list = value ? value->getAsArray() : nullptr)
    return readStack(context, *list, "cell/", result);
  std::optional<ObjectConfig> cell;
  if (value)
    cell = getObjectConfig(*value);
  if (cell && cell->className == "StackedRNNCells") {
    const json::Array *cells = cell->config->getArray("cells");
    if (!cells)
      return context.error("the config of StackedRNNCells has no cells");
    if (isFlagSet(*cell->config, "reverse_state_order"))
      return context.error("reverse_state_order is not supported");
    return readStack(context, *cells, "cell/", result);
  }
  if (!cell || cell->className != "GRUCell")
    return context.error(
        "cell is " +
        (cell ? "'" + printable(cell->className) + "'"
              : (value ? jsonText(*value) : std::string("missing"))) +
        ", expected a GRUCell or StackedRNNCells of them");
  result.emplace_back().folder = "cell";
  return readCell(context, *cell->config, result.back());
}

/// What GRU layers, unlike cells in an RNN, do with dropout in training.
static Error checkFusedDropout(LayerContext &context, RecurrentConfig &config) {
  CellConfig &cell = config.cells.front();
  if (!context.options.training || cell.dropout.input == 0)
    return Error::success();
  bool noRecurrent = cell.dropout.recurrent == 0;
  if (context.version == 3) {
    if (cell.dropout.implementation == 1 && noRecurrent)
      return context.error("dropout in training with implementation 1 fails in "
                           "Keras 3, expected implementation 2 or a "
                           "recurrent_dropout");
    return Error::success();
  }
  // Keras 2 chooses by these whether cuDNN could take the layer, on a CPU too.
  cell.dropout.perTimestep =
      cell.activation.kind == ActivationKind::tanh &&
      cell.recurrentActivation.kind == ActivationKind::sigmoid && noRecurrent &&
      !config.unroll && cell.useBias && cell.resetAfter;
  return Error::success();
}

static Expected<RecurrentConfig> readRecurrent(LayerContext &context) {
  RecurrentConfig result;
  const json::Object &config = context.layer.config;
  if (context.layer.className == "RNN") {
    result.fromCell = true;
    if (Error error = readCells(context, config.get("cell"), result.cells))
      return error;
  } else if (context.layer.className == "GRU" ||
             context.layer.className == "CuDNNGRU") {
    result.cells.emplace_back().folder = "cell";
    if (Error error = readCell(context, config, result.cells.back()))
      return error;
  } else
    return context.error("class '" + printable(context.layer.className) +
                         "' is no recurrent layer, expected GRU or RNN");
  if (context.layer.className == "CuDNNGRU") {
    // These are not arguments of the layer: cuDNN fixes them.
    CellConfig &cell = result.cells.front();
    cell.activation = ActivationKind::tanh;
    cell.recurrentActivation = ActivationKind::sigmoid;
    cell.useBias = cell.resetAfter = true;
    cell.dropout.implementation = 2;
    result.cudnnForm = true;
  }
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
  if (!result.fromCell)
    if (Error error = checkFusedDropout(context, result))
      return std::move(error);
  int64_t constants = 0;
  GRU_ASSIGN(constants, context.getInteger(config, "num_constants", 0));
  if (constants != 0)
    return context.error("constants passed to the cell are not supported, "
                         "found " +
                         Twine(constants));
  return result;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

namespace {
struct CellWeights {
  Tensor kernel, recurrentKernel, bias;
};
} // namespace

static Expected<CellWeights> getCellWeights(LayerContext &context,
                                            const CellConfig &cell,
                                            int64_t features,
                                            bool cudnnForm) {
  LayerContext::Transform toKeras = nullptr;
  if (cudnnForm)
    toKeras = transposeCudnnGates;
  auto role = [&](StringRef name) {
    return cell.part.empty() ? name.str() : (cell.part + "/" + name).str();
  };
  int64_t units = cell.units;
  context.weightConfig = cell.config;
  CellWeights weights;
  GRU_ASSIGN(weights.kernel,
             context.getWeight(role("kernel"), cell.folder, 0, cell.type,
                               {features, 3 * units}, "features x 3*units",
                               toKeras));
  GRU_ASSIGN(weights.recurrentKernel,
             context.getWeight(role("recurrent_kernel"), cell.folder, 1,
                               cell.type, {units, 3 * units},
                               "units x 3*units", toKeras));
  if (!cell.useBias)
    return weights;
  if (cell.resetAfter)
    GRU_ASSIGN(weights.bias,
               context.getWeight(role("bias"), cell.folder, 2, cell.type,
                                 {2, 3 * units}, "2 x 3*units with reset_after",
                                 [](WeightTensor &tensor) {
                                   // cuDNN's form: the two rows in one.
                                   if (tensor.shape.size() == 1)
                                     tensor.shape = {2, tensor.shape[0] / 2};
                                 }));
  else
    GRU_ASSIGN(weights.bias,
               context.getWeight(role("bias"), cell.folder, 2, cell.type,
                                 {3 * units}, "3*units without reset_after"));
  return weights;
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

static bool fits(int64_t found, int64_t expected) {
  return found == expected || found == kDynamicSize || expected == kDynamicSize;
}

static Tensor emitReverse(LayerContext &context, const Tensor &tensor,
                          int64_t dim) {
  Tensor result = tensor;
  if (context.isEmitting())
    result.value = ReverseOp::create(*context.builder, context.getLocation(),
                                     tensor.value.getType(), tensor.value, dim);
  return result;
}

/// Tells what the cell's attributes are where they are not what the config says:
/// absent entries have defaults, and Keras changes some.
static void describeCell(LayerContext &context, const CellConfig &cell) {
  const json::Object *outer =
      std::exchange(context.weightConfig, cell.config);
  auto tell = [&](StringRef attribute, json::Value value) {
    context.describe(cell.part, attribute, std::move(value));
  };
  if (cell.config != &context.layer.config)
    for (const auto &[key, value] : *cell.config)
      if (!is_contained({"name", "trainable", "dtype"}, StringRef(key)))
        tell(StringRef(key), value);
  tell("units", cell.units);
  // A parameterised activation is told as the config has it.
  for (auto [key, activation] :
       {std::pair<StringRef, Activation>{"activation", cell.activation},
        {"recurrent_activation", cell.recurrentActivation}})
    if (!findEntry(*cell.config, key))
      tell(key, stringifyActivationKind(activation.kind));
  tell("use_bias", cell.useBias);
  tell("reset_after", cell.resetAfter);
  tell("implementation", cell.dropout.implementation);
  tell("dropout", cell.dropout.input);
  tell("recurrent_dropout", cell.dropout.recurrent);
  for (StringRef weight : {"kernel", "recurrent", "bias"})
    for (StringRef rule : {"initializer", "regularizer", "constraint"}) {
      std::string key = (weight + "_" + rule).str();
      if (findEntry(*cell.config, key))
        continue;
      if (rule != "initializer")
        tell(key, nullptr);
      else
        tell(key, weight == "kernel"      ? "glorot_uniform"
                  : weight == "recurrent" ? "orthogonal"
                                          : "zeros");
    }
  if (!findEntry(*cell.config, "seed"))
    tell("seed", nullptr);
  tell("state_size", cell.units);
  tell("output_size", cell.units);
  context.describeStates(cell.part, cell.units, getElementType(cell.type));
  context.weightConfig = outer;
}

static void describeLayer(LayerContext &context,
                          const RecurrentConfig &config) {
  for (const CellConfig &cell : config.cells)
    describeCell(context, cell);
  for (auto [key, value] :
       {std::pair<StringRef, bool>{"return_sequences", config.returnSequences},
        {"return_state", config.returnState},
        {"go_backwards", config.goBackwards},
        {"stateful", config.stateful},
        {"unroll", config.unroll},
        {"time_major", config.timeMajor},
        {"zero_output_for_mask", config.zeroOutputForMask}})
    context.describe("", key, value);
  if (!findEntry(context.layer.config, "activity_regularizer"))
    context.describe("", "activity_regularizer", nullptr);
  SmallVector<int64_t> sizes;
  json::Array states;
  for (const CellConfig &cell : config.cells) {
    sizes.push_back(cell.units);
    // Keras lists None for a state that is not kept.
    states.push_back(config.stateful ? json::Value(context.getStateName(cell.part))
                                     : json::Value(nullptr));
  }
  context.describe("", "states", std::move(states));
  if (sizes.size() > 1) {
    context.describe("", "state_size", json::Array(sizes));
    context.describe("", "output_size", sizes.back());
  }
  context.describeStates("", sizes,
                         getElementType(config.cells.front().type));
}

/// `kept` where any of the layer's states is not zero, else `given`: a stateful
/// layer of Keras 2 begins with what it is given only once its states are reset.
static Expected<Tensor> emitKeptOrGiven(LayerContext &context,
                                        ArrayRef<Tensor> states,
                                        const Tensor &kept,
                                        const Tensor &given) {
  Tensor isKept, zero;
  zero.number = 0;
  for (const Tensor &state : states) {
    Tensor flag;
    GRU_ASSIGN(flag, emitNotEqual(context, state, zero));
    flag = emitReduce(context, flag, 1, Reduction::any);
    flag = emitReduce(context, flag, 0, Reduction::any);
    if (isKept.type != ElementType::i1) {
      isKept = flag;
      continue;
    }
    GRU_ASSIGN(isKept, emitElementwise(context, {isKept, flag}, ElementType::i1,
                                       [](mlir::OpBuilder &b, mlir::Location loc,
                                          mlir::ValueRange args) {
                                         return mlir::arith::OrIOp::create(
                                                    b, loc, args[0], args[1])
                                             .getResult();
                                       }));
  }
  return emitElementwise(
      context, {kept, given, isKept}, kept.type,
      [](mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange args) {
        return mlir::arith::SelectOp::create(b, loc, args[2], args[0], args[1])
            .getResult();
      });
}

/// The state that cell `index` starts with; no value and no shape for zeros.
/// `kept` are the states of all cells of a stateful layer.
static Expected<Tensor> getInitialState(LayerContext &context,
                                        const RecurrentConfig &config,
                                        ArrayRef<Tensor> kept, size_t index,
                                        int64_t batch) {
  const CellConfig &cell = config.cells[index];
  Tensor state;
  if (config.stateful)
    state = kept[index];
  if (context.initialState.empty())
    return state;
  GRU_ASSIGN(state, context.castInput(context.initialState[index], cell.type));
  if (state.shape.size() != 2 || !fits(state.shape[0], batch) ||
      state.shape[1] != cell.units)
    return context.error("initial_state is " + shapeText(state.shape) +
                         ", expected " + shapeText({batch, cell.units}) +
                         " (batch x units)");
  if (config.stateful && context.version == 2)
    return emitKeptOrGiven(context, kept, kept[index], state);
  return state;
}

static Expected<Tensor> getLayerMask(LayerContext &context,
                                     const Tensor &input) {
  if (!context.getMask())
    return Tensor();
  const Tensor &mask = *context.getMask();
  if (mask.type != ElementType::i1 || mask.shape.size() != 2 ||
      !fits(mask.shape[0], input.shape[0]) ||
      !fits(mask.shape[1], input.shape[1]))
    return context.error("mask is " + shapeText(mask.shape) + " " +
                         getElementTypeName(mask.type) + ", expected " +
                         shapeText({input.shape[0], input.shape[1]}) +
                         " bool, like the first two dimensions of the input");
  return mask;
}

/// Zeros in `sequence` where `mask`, in its own order of time, is false.
static Tensor emitZeroWhereMasked(LayerContext &context,
                                  const Tensor &sequence, const Tensor &mask) {
  Operand values{sequence, {0, 1, 2}}, flags{mask, {0, 1}};
  return emitLoops(
      context, getSizes(sequence), 0, {values, flags}, sequence.type, 0,
      [](mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange args) {
        return mlir::arith::SelectOp::create(b, loc, args[1], args[0],
                                             numberLike(b, args[0], 0))
            .getResult();
      });
}

/// The name of one recurrence in diagnostics and `--explain`: "gru",
/// "bidirectional/forward", "rnn/cell0".
static mlir::Location getCellLocation(LayerContext &context,
                                      const RecurrentConfig &config,
                                      size_t index) {
  std::string name = context.layer.name;
  if (!config.direction.empty())
    name += "/" + config.direction.str();
  if (config.fromCell && (config.direction.empty() || config.cells.size() > 1))
    name += "/cell" + utostr(index);
  return mlir::NameLoc::get(
      mlir::StringAttr::get(context.builder->getContext(), name));
}

/// A stack of cells is a chain of layers: they step in lockstep, but no cell
/// sees a later one, so each may run over all timesteps by itself. Masked steps
/// of a cell are masked in the next one too, so only the last cell's outputs
/// there matter.
static Expected<RecurrentResult> emitRecurrent(LayerContext &context,
                                               const RecurrentConfig &config) {
  Tensor input;
  GRU_ASSIGN(input, context.getInput(config.cells.front().type));
  if (input.shape.size() != 3)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected 3 dimensions (batch x timesteps x "
                         "features)");
  if (input.shape[2] == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected a known number of features");
  if (!context.initialState.empty() &&
      context.initialState.size() != config.cells.size())
    return context.error("found " + Twine(context.initialState.size()) +
                         " initial states, expected " +
                         Twine(config.cells.size()));
  describeLayer(context, config);
  Tensor mask;
  GRU_ASSIGN(mask, getLayerMask(context, input));
  if (context.version == 2 && context.getMask() && config.unroll &&
      config.zeroOutputForMask && !config.returnSequences)
    return context.error("unroll, zero_output_for_mask and a mask together need "
                         "return_sequences, found none of it: Keras 2 cannot "
                         "run this either");
  int64_t timeDim = config.timeMajor ? 0 : 1;
  int64_t batch = input.shape[1 - timeDim];

  RecurrentResult result;
  bool goBackwards = config.goBackwards;
  Tensor originalMask = mask;
  Tensors kept;
  if (config.stateful)
    for (const CellConfig &cell : config.cells)
      kept.push_back(context.getState(cell.part, {batch, cell.units},
                                      getElementType(cell.type)));
  for (auto [index, cell] : enumerate(config.cells)) {
    bool isLast = index + 1 == config.cells.size();
    Expected<CellWeights> weights =
        getCellWeights(context, cell, input.shape[2], config.cudnnForm);
    if (!weights)
      return weights.takeError();
    Tensor initial;
    GRU_ASSIGN(initial, getInitialState(context, config, kept, index, batch));
    std::string suffix =
        config.cells.size() > 1 ? "_" + cell.part : std::string();
    CellMasks masks;
    GRU_ASSIGN(masks, getCellMasks(context, cell.dropout, cell.units, suffix,
                                   1 - timeDim, input));
    bool zeroOutput = isLast && config.zeroOutputForMask;
    // The unrolled loop's quirk, which gru.gru knows for one cell only: zeros
    // by the mask in its original order.
    bool quirk = zeroOutput && index > 0 && config.goBackwards &&
                 config.unroll && context.getMask();

    ElementType type = getElementType(cell.type);
    Tensor sequence{input.shape, type, {}, {}, {}};
    Tensor last{{batch, cell.units}, type, {}, {}, {}};
    sequence.shape[2] = cell.units;
    Tensor newState = last;
    if (context.isEmitting()) {
      mlir::OpBuilder &b = *context.builder;
      mlir::MLIRContext *mlirContext = b.getContext();
      auto op = GRUOp::create(
          b, getCellLocation(context, config, index), input.value,
          weights->kernel.value, weights->recurrentKernel.value,
          weights->bias.value, initial.value, mask.value, /*lengths=*/{}, /*reset=*/{}, masks.input.value,
          masks.recurrent.value, cell.activation.getAttr(mlirContext),
          cell.recurrentActivation.getAttr(mlirContext), cell.resetAfter,
          goBackwards, config.timeMajor, zeroOutput && !quirk, config.unroll,
          config.fromCell, masks.implementation, APFloat(cell.dropout.input),
          APFloat(cell.dropout.recurrent), /*clip=*/{});
      sequence.value = op.getSequence();
      last.value = op.getLast();
      newState.value = op.getState();
    }
    if (config.stateful)
      context.setState(cell.part, newState);
    result.states.push_back(newState);
    if (quirk && config.returnSequences)
      sequence = emitZeroWhereMasked(context, sequence, originalMask);
    result.output = config.returnSequences ? sequence : last;
    if (isLast)
      break;
    // The next cell reads what this one has written: in order of processing.
    GRU_ASSIGN(input,
               context.castInput(sequence, config.cells[index + 1].type));
    if (goBackwards && context.getMask())
      mask = emitReverse(context, mask, timeDim);
    goBackwards = false;
  }
  if (config.returnSequences)
    result.output.mask = context.passedMask;
  return result;
}

static Tensors getOutputs(const RecurrentConfig &config,
                          const RecurrentResult &result) {
  Tensors outputs{result.output};
  if (config.returnState)
    outputs.append(result.states);
  return outputs;
}

Expected<Tensors> gru::keras::importRecurrent(LayerContext &context) {
  Expected<RecurrentConfig> config = readRecurrent(context);
  if (!config)
    return config.takeError();
  Expected<RecurrentResult> result = emitRecurrent(context, *config);
  if (!result)
    return result.takeError();
  return getOutputs(*config, *result);
}

//===----------------------------------------------------------------------===//
// Bidirectional
//===----------------------------------------------------------------------===//

/// One direction of a Bidirectional as a layer of its own.
static Expected<Layer> readDirection(LayerContext &context, bool backward) {
  const json::Object &config = context.layer.config;
  const json::Value *own =
      backward ? findEntry(config, "backward_layer") : nullptr;
  const json::Value *value = own ? own : config.get("layer");
  std::optional<ObjectConfig> object;
  if (value)
    object = getObjectConfig(*value);
  if (!object)
    return context.error("layer is " +
                         (value ? jsonText(*value) : std::string("missing")) +
                         ", expected a GRU or an RNN");
  Layer layer;
  layer.className = object->className;
  layer.name = context.layer.name;
  layer.config = *object->config;
  if (backward && !own)
    layer.config["go_backwards"] = !isFlagSet(layer.config, "go_backwards");
  return layer;
}

static Expected<Tensor> emitMerge(LayerContext &context, StringRef mode,
                                  const Tensor &forward,
                                  const Tensor &backward) {
  if (mode == "concat") {
    Layer layer;
    layer.className = "Concatenate";
    layer.name = context.layer.name;
    std::unique_ptr<LayerContext> inner = context.makeInner(layer, "", "");
    inner->inputs = {forward, backward};
    Expected<Tensors> merged = importConcatenate(*inner);
    if (!merged)
      return merged.takeError();
    return merged->front();
  }
  if (mode != "sum" && mode != "ave" && mode != "mul")
    return context.error("merge_mode is '" + printable(mode) +
                         "', expected concat, sum, ave, mul or null");
  return emitElementwise(
      context, {forward, backward}, forward.type,
      [&](mlir::OpBuilder &b, mlir::Location loc,
          mlir::ValueRange args) -> mlir::Value {
        if (mode == "mul")
          return mlir::arith::MulFOp::create(b, loc, args[0], args[1]);
        mlir::Value sum = mlir::arith::AddFOp::create(b, loc, args[0], args[1]);
        if (mode == "sum")
          return sum;
        return mlir::arith::MulFOp::create(b, loc, sum,
                                           numberLike(b, sum, 0.5));
      });
}

Expected<Tensors> gru::keras::importBidirectional(LayerContext &context) {
  if (context.initialState.size() % 2)
    return context.error("found " + Twine(context.initialState.size()) +
                         " initial states, expected as many for each "
                         "direction");
  ArrayRef<Tensor> initial = context.initialState;
  RecurrentResult results[2];
  RecurrentConfig configs[2];
  for (bool backward : {false, true}) {
    Expected<Layer> layer = readDirection(context, backward);
    if (!layer)
      return layer.takeError();
    std::unique_ptr<LayerContext> inner =
        backward ? context.makeInner(*layer, "backward_layer", "backward")
                 : context.makeInner(*layer, "forward_layer", "forward");
    inner->inputs = context.inputs;
    inner->masks = context.masks;
    inner->passedMask = context.passedMask;
    size_t half = initial.size() / 2;
    inner->initialState = Tensors(initial.slice(backward ? half : 0, half));
    RecurrentConfig &config = configs[backward];
    GRU_ASSIGN(config, readRecurrent(*inner));
    config.direction = backward ? "backward" : "forward";
    auto differ = [&](StringRef attribute, bool a, bool b) {
      return context.error("the two directions have to agree in " + attribute +
                           ", found " + (a ? "true" : "false") +
                           " forward and " + (b ? "true" : "false") +
                           " backward");
    };
    if (config.returnSequences != configs[0].returnSequences)
      return differ("return_sequences", configs[0].returnSequences,
                    config.returnSequences);
    if (config.returnState != configs[0].returnState)
      return differ("return_state", configs[0].returnState, config.returnState);
    if (config.stateful != configs[0].stateful)
      return differ("stateful", configs[0].stateful, config.stateful);
    if (backward && config.goBackwards == configs[0].goBackwards)
      return context.error("layer and backward_layer have go_backwards " +
                           Twine(config.goBackwards ? "true" : "false") +
                           " both, expected two directions");
    if (context.version == 3 && !backward && config.goBackwards)
      return context.error("layer has go_backwards true, expected false: the "
                           "backward layer is made from it");
    // Keras sets the one from the other in both directions.
    config.zeroOutputForMask = configs[0].returnSequences;
    GRU_ASSIGN(results[backward], emitRecurrent(*inner, config));
    if (Error error = inner->addActivities(getOutputs(config, results[backward])))
      return error;
  }
  bool sequences = configs[0].returnSequences;
  Tensor forward = results[0].output, backward = results[1].output;
  if (sequences)
    backward = emitReverse(context, backward, configs[0].timeMajor ? 0 : 1);
  std::shared_ptr<const Tensor> mask = sequences ? context.passedMask : nullptr;
  forward.mask = backward.mask = mask;

  const json::Value *mode = context.layer.config.get("merge_mode");
  Tensors outputs;
  if (mode && mode->getAsNull()) {
    outputs = {forward, backward};
  } else {
    StringRef name = "concat";
    if (mode)
      name = mode->getAsString().value_or("");
    GRU_ASSIGN(outputs.emplace_back(),
               emitMerge(context, name, forward, backward));
    outputs.back().mask = mask;
  }
  if (configs[0].returnState)
    for (RecurrentResult &result : results)
      outputs.append(result.states);
  return outputs;
}

//===----------------------------------------------------------------------===//
// Cells
//===----------------------------------------------------------------------===//

/// A GRUCell, or several stacked, called for one step: the input is the first
/// of `inputs`, the states follow it. Gives the output and the new states.
Expected<Tensors> gru::keras::importCell(LayerContext &context) {
  const json::Object &config = context.layer.config;
  SmallVector<CellConfig> cells;
  if (context.layer.className == "StackedRNNCells") {
    const json::Array *list = config.getArray("cells");
    if (!list)
      return context.error("cells is missing");
    if (Error error = readStack(context, *list, "", cells))
      return error;
  } else if (Error error = readCell(context, config, cells.emplace_back()))
    return error;
  if (context.inputs.size() != 1 + cells.size())
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected x and " + Twine(cells.size()) +
                         " states");
  Tensor input = context.inputs.front();
  Tensors states;
  for (auto [index, cell] : enumerate(cells)) {
    Tensor state;
    GRU_ASSIGN(input, context.castInput(input, cell.type));
    GRU_ASSIGN(state, context.castInput(context.inputs[1 + index], cell.type));
    if (input.shape.size() != 2 || input.shape[1] == kDynamicSize)
      return context.error("input is " + shapeText(input.shape) +
                           ", expected batch x features");
    if (state.shape.size() != 2 || state.shape[1] != cell.units)
      return context.error("state is " + shapeText(state.shape) +
                           ", expected " +
                           shapeText({input.shape[0], cell.units}) +
                           " (batch x units)");
    describeCell(context, cell);
    Expected<CellWeights> weights =
        getCellWeights(context, cell, input.shape[1], false);
    if (!weights)
      return weights.takeError();
    CellMasks masks;
    GRU_ASSIGN(masks,
               getCellMasks(context, cell.dropout, cell.units,
                            cells.size() > 1 ? "_" + cell.part : std::string(),
                            /*batchDim=*/0, input));
    if (context.isEmitting()) {
      mlir::OpBuilder &b = *context.builder;
      state.value = CellOp::create(
          b, context.getLocation(), input.value, state.value,
          weights->kernel.value, weights->recurrentKernel.value,
          weights->bias.value, masks.input.value, masks.recurrent.value,
          cell.activation.getAttr(b.getContext()),
          cell.recurrentActivation.getAttr(b.getContext()), cell.resetAfter,
          masks.implementation, /*clip=*/mlir::FloatAttr());
    }
    states.push_back(state);
    input = state;
  }
  Tensors outputs{input};
  outputs.append(states);
  return outputs;
}
