//===- Recurrent.cpp - GRU, RNN of GRU cells, Bidirectional, cells ---------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Dropout.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>
#include <cstring>

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

static Error readCell(LayerContext &context, const json::Object &config,
                      CellConfig &result) {
  constexpr int64_t largestUnits = int64_t(1) << 24;
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
  // Files from before 2.1.? know only the form without reset_after.
  GRU_ASSIGN(result.resetAfter, context.getBool(config, "reset_after", false));
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
    toKeras = transposeGates;
  auto role = [&](StringRef name) {
    return cell.part.empty() ? name.str() : (cell.part + "/" + name).str();
  };
  int64_t units = cell.units;
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

/// The state that cell `index` starts with; no value and no shape for zeros.
static Expected<Tensor> getInitialState(LayerContext &context,
                                        const RecurrentConfig &config,
                                        size_t index, int64_t batch) {
  const CellConfig &cell = config.cells[index];
  ElementType type = getElementType(cell.type);
  Tensor state;
  if (config.stateful)
    state = context.getState(cell.part, {batch, cell.units}, type);
  if (context.initialState.empty())
    return state;
  GRU_ASSIGN(state, context.castInput(context.initialState[index], cell.type));
  if (state.shape.size() != 2 || !fits(state.shape[0], batch) ||
      state.shape[1] != cell.units)
    return context.error("initial_state is " + shapeText(state.shape) +
                         ", expected " + shapeText({batch, cell.units}) +
                         " (batch x units)");
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
  Tensor mask;
  GRU_ASSIGN(mask, getLayerMask(context, input));
  int64_t timeDim = config.timeMajor ? 0 : 1;
  int64_t batch = input.shape[1 - timeDim];

  RecurrentResult result;
  bool goBackwards = config.goBackwards;
  Tensor originalMask = mask;
  for (auto [index, cell] : enumerate(config.cells)) {
    bool isLast = index + 1 == config.cells.size();
    Expected<CellWeights> weights =
        getCellWeights(context, cell, input.shape[2], config.cudnnForm);
    if (!weights)
      return weights.takeError();
    Tensor initial;
    GRU_ASSIGN(initial, getInitialState(context, config, index, batch));
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
    result.output.mask = context.getMask();
  return result;
}

Expected<Tensors> gru::keras::importRecurrent(LayerContext &context) {
  Expected<RecurrentConfig> config = readRecurrent(context);
  if (!config)
    return config.takeError();
  Expected<RecurrentResult> result = emitRecurrent(context, *config);
  if (!result)
    return result.takeError();
  Tensors outputs{result->output};
  if (config->returnState)
    outputs.append(result->states);
  return outputs;
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
    size_t half = initial.size() / 2;
    inner->initialState = Tensors(initial.slice(backward ? half : 0, half));
    RecurrentConfig &config = configs[backward];
    GRU_ASSIGN(config, readRecurrent(*inner));
    config.direction = backward ? "backward" : "forward";
    if (config.returnSequences != configs[0].returnSequences ||
        config.returnState != configs[0].returnState)
      return context.error("backward_layer differs from layer in "
                           "return_sequences or return_state");
    // Keras sets the one from the other in both directions.
    config.zeroOutputForMask = configs[0].returnSequences;
    GRU_ASSIGN(results[backward], emitRecurrent(*inner, config));
  }
  bool sequences = configs[0].returnSequences;
  Tensor forward = results[0].output, backward = results[1].output;
  if (sequences)
    backward = emitReverse(context, backward, configs[0].timeMajor ? 0 : 1);
  std::shared_ptr<const Tensor> mask = sequences ? context.getMask() : nullptr;
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
