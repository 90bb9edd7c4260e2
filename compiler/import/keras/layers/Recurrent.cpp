//===- Recurrent.cpp - GRU and RNN of GRU cells ---------------------------===//

#include "compiler/import/keras/layers/Recurrent.h"

#include "compiler/import/GateOrder.h"
#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

Expected<CellWeights> gru::keras::getCellWeights(LayerContext &context,
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
  GRU_TAKE(weights.kernel, context.getWeight(role("kernel"), cell.folder, 0,
                                             cell.type, {features, 3 * units},
                                             "features x 3*units", toKeras));
  GRU_TAKE(weights.recurrentKernel,
           context.getWeight(role("recurrent_kernel"), cell.folder, 1,
                             cell.type, {units, 3 * units}, "units x 3*units",
                             toKeras));
  if (!cell.useBias)
    return weights;
  if (cell.resetAfter)
    GRU_TAKE(weights.bias,
             context.getWeight(role("bias"), cell.folder, 2, cell.type,
                               {2, 3 * units}, "2 x 3*units with reset_after",
                               [](WeightTensor &tensor) {
                                 // cuDNN's form: the two rows in one.
                                 if (tensor.shape.size() == 1)
                                   tensor.shape = {2, tensor.shape[0] / 2};
                               }));
  else
    GRU_TAKE(weights.bias,
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

Tensor gru::keras::emitReverse(LayerContext &context, const Tensor &tensor,
                               int64_t dim) {
  Tensor result = tensor;
  if (context.isEmitting())
    result.value = ReverseOp::create(*context.builder, context.getLocation(),
                                     tensor.value.getType(), tensor.value, dim);
  return result;
}

/// `kept` where any of the layer's states is not zero, else `given`: a stateful
/// layer of Keras 2 begins with what it is given only once its states are
/// reset.
static Expected<Tensor> emitKeptOrGiven(LayerContext &context,
                                        ArrayRef<Tensor> states,
                                        const Tensor &kept,
                                        const Tensor &given) {
  Tensor isKept, zero;
  zero.number = 0;
  for (const Tensor &state : states) {
    Tensor flag;
    GRU_TAKE(flag, emitNotEqual(context, state, zero));
    flag = emitReduce(context, flag, 1, Reduction::any);
    flag = emitReduce(context, flag, 0, Reduction::any);
    if (isKept.type != ElementType::i1) {
      isKept = flag;
      continue;
    }
    GRU_TAKE(isKept, emitElementwise(context, {isKept, flag}, ElementType::i1,
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
  GRU_TAKE(state, context.castInput(context.initialState[index], cell.type));
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
static Tensor emitZeroWhereMasked(LayerContext &context, const Tensor &sequence,
                                  const Tensor &mask) {
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
Expected<RecurrentResult>
gru::keras::emitRecurrent(LayerContext &context,
                          const RecurrentConfig &config) {
  Tensor input;
  WeightType firstType = config.cells.front().type;
  GRU_TAKE(input, context.getInput(config.stackType.value_or(firstType)));
  GRU_TAKE(input, context.castInput(input, firstType));
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
  GRU_TAKE(mask, getLayerMask(context, input));
  if (context.version == 2 && context.getMask() && config.unroll &&
      config.zeroOutputForMask && !config.returnSequences)
    return context.error(
        "unroll, zero_output_for_mask and a mask together need "
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
    GRU_TAKE(initial, getInitialState(context, config, kept, index, batch));
    std::string suffix =
        config.cells.size() > 1 ? "_" + cell.part : std::string();
    CellMasks masks;
    GRU_TAKE(masks, getCellMasks(context, cell.dropout, cell.units, suffix,
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
          weights->bias.value, initial.value, mask.value, /*lengths=*/{},
          /*reset=*/{}, masks.input.value, masks.recurrent.value,
          cell.activation.getAttr(mlirContext),
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
    GRU_TAKE(input, context.castInput(sequence, config.cells[index + 1].type));
    if (goBackwards && context.getMask())
      mask = emitReverse(context, mask, timeDim);
    goBackwards = false;
  }
  if (config.returnSequences)
    result.output.mask = context.passedMask;
  return result;
}

Tensors gru::keras::getOutputs(const RecurrentConfig &config,
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
