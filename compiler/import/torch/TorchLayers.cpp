//===- TorchLayers.cpp - modules of torch.nn that Keras has no layer for --===//
//
// A GRU of PyTorch is a stack: each layer reads both directions of the one
// below. Its state is one tensor for all of them, layer by layer, the forward
// direction first.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/torch/TorchLayers.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringExtras.h"

#include <limits>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::OpFoldResult;
using mlir::Value;
using mlir::ValueRange;

namespace {
struct GRUConfig {
  int64_t hiddenSize = 0, numLayers = 1;
  bool bias = true, bidirectional = false, timeMajor = false, stateful = false;
  std::string result;
  WeightType type = WeightType::f32;
};

/// What every direction of every layer reads.
struct Call {
  Tensor h0, lengths;
  int64_t batch = 1;
  /// The tensors have no batch, as in a call of PyTorch without one.
  bool unbatched = false;
};

/// One direction of one layer.
struct Direction {
  /// In the order of time.
  Tensor sequence, last, state;
};
} // namespace

/// The importer writes the config, so it needs no messages of its own.
static Expected<GRUConfig> readConfig(LayerContext &context) {
  const json::Object &config = context.layer.config;
  GRUConfig result;
  GRU_TAKE(result.hiddenSize, context.getInteger(config, "hidden_size"));
  GRU_TAKE(result.numLayers, context.getInteger(config, "num_layers", 1));
  GRU_TAKE(result.bias, context.getBool(config, "bias"));
  GRU_TAKE(result.bidirectional,
           context.getBool(config, "bidirectional", false));
  GRU_TAKE(result.timeMajor, context.getBool(config, "time_major", false));
  GRU_TAKE(result.stateful, context.getBool(config, "stateful", false));
  GRU_TAKE(result.type, context.getComputeType(config));
  result.result = config.getString("result").value_or("sequence").str();
  double dropout = 0;
  GRU_TAKE(dropout, context.getNumber(config, "dropout", 0));
  if (context.options.training && dropout > 0)
    return context.error("dropout between layers in training is not supported");
  return result;
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

/// Groups of dimensions that make one when dimension `dim` of `rank` joins a
/// neighbour.
static SmallVector<mlir::ReassociationIndices> joinDim(int64_t rank,
                                                       int64_t dim) {
  int64_t first = dim + 1 < rank ? dim : dim - 1;
  SmallVector<mlir::ReassociationIndices> groups;
  for (int64_t i = 0; i < rank; ++i) {
    if (i == first + 1)
      groups.back().push_back(i);
    else
      groups.push_back({i});
  }
  return groups;
}

/// Inserts a dimension of size 1. An open size is copied, because the planning
/// of memory does not look for it behind a reshape.
static Tensor insertDim(LayerContext &context, const Tensor &tensor,
                        int64_t dim) {
  if (is_contained(tensor.shape, kDynamicSize))
    return emitExpandDims(context, tensor, dim);
  Tensor result = tensor;
  result.shape.insert(result.shape.begin() + dim, 1);
  if (!context.isEmitting())
    return result;
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  SmallVector<OpFoldResult> sizes =
      mlir::tensor::getMixedSizes(b, loc, tensor.value);
  sizes.insert(sizes.begin() + dim, b.getIndexAttr(1));
  result.value = mlir::tensor::ExpandShapeOp::create(
      b, loc,
      mlir::RankedTensorType::get(result.shape,
                                  getMLIRType(b.getContext(), tensor.type)),
      tensor.value, joinDim(result.shape.size(), dim), sizes);
  return result;
}

/// tensor[..., index, ...] in dimension `dim`, which goes.
static Tensor selectIndex(LayerContext &context, const Tensor &tensor,
                          int64_t dim, OpFoldResult index) {
  Tensor result = tensor;
  result.shape.erase(result.shape.begin() + dim);
  if (!context.isEmitting())
    return result;
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  SmallVector<OpFoldResult> sizes =
      mlir::tensor::getMixedSizes(b, loc, tensor.value);
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0)),
      strides(sizes.size(), b.getIndexAttr(1));
  offsets[dim] = index;
  sizes[dim] = b.getIndexAttr(1);
  auto type = mlir::RankedTensorType::get(
      result.shape, getMLIRType(b.getContext(), tensor.type));
  result.value = mlir::tensor::ExtractSliceOp::create(
      b, loc, type, tensor.value, offsets, sizes, strides);
  return result;
}

/// Removes a dimension of size 1.
static Tensor removeDim(LayerContext &context, const Tensor &tensor,
                        int64_t dim) {
  OpFoldResult zero;
  if (context.isEmitting())
    zero = context.builder->getIndexAttr(0);
  return selectIndex(context, tensor, dim, zero);
}

/// Tensors [B, H] as one [n, B, H].
static Tensor stack(LayerContext &context, ArrayRef<Tensor> parts) {
  Tensor result = parts.front();
  result.shape.insert(result.shape.begin(), parts.size());
  if (!context.isEmitting())
    return result;
  if (parts.size() == 1)
    return insertDim(context, parts.front(), 0);
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  SmallVector<OpFoldResult> sizes =
      mlir::tensor::getMixedSizes(b, loc, parts.front().value);
  sizes.insert(sizes.begin(), b.getIndexAttr(parts.size()));
  Value all = mlir::tensor::EmptyOp::create(
      b, loc, sizes, getMLIRType(b.getContext(), result.type));
  sizes.front() = b.getIndexAttr(1);
  SmallVector<OpFoldResult> offsets(3, b.getIndexAttr(0)),
      strides(3, b.getIndexAttr(1));
  for (auto [index, part] : enumerate(parts)) {
    offsets.front() = b.getIndexAttr(index);
    all = mlir::tensor::InsertSliceOp::create(b, loc, part.value, all, offsets,
                                              sizes, strides);
  }
  result.value = all;
  return result;
}

static Tensor concatLast(LayerContext &context, const Tensor &a,
                         const Tensor &b) {
  Tensor result = a;
  int64_t dim = a.shape.size() - 1;
  result.shape[dim] += b.shape[dim];
  if (context.isEmitting())
    result.value =
        mlir::tensor::ConcatOp::create(*context.builder, context.getLocation(),
                                       dim, ValueRange{a.value, b.value});
  return result;
}

static Tensor reverse(LayerContext &context, const Tensor &tensor,
                      int64_t dim) {
  Tensor result = tensor;
  if (context.isEmitting())
    result.value = ReverseOp::create(*context.builder, context.getLocation(),
                                     tensor.value.getType(), tensor.value, dim);
  return result;
}

static bool fits(int64_t found, int64_t expected) {
  return found == expected || found == kDynamicSize || expected == kDynamicSize;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

namespace {
struct CellWeights {
  Tensor kernel, recurrentKernel, bias;
};
} // namespace

/// The weights of a direction, in Keras's form; `part` is empty for a cell.
static Expected<CellWeights> getWeights(LayerContext &context,
                                        const GRUConfig &config, StringRef part,
                                        int64_t features) {
  auto role = [&](StringRef name) {
    return part.empty() ? name.str() : (part + "/" + name).str();
  };
  int64_t columns = 3 * config.hiddenSize;
  CellWeights weights;
  GRU_TAKE(weights.kernel,
           context.getWeight(role("kernel"), "", 0, config.type,
                             {features, columns}, "features x 3*hidden_size"));
  GRU_TAKE(weights.recurrentKernel,
           context.getWeight(role("recurrent_kernel"), "", 1, config.type,
                             {config.hiddenSize, columns},
                             "hidden_size x 3*hidden_size"));
  if (config.bias)
    GRU_TAKE(weights.bias,
             context.getWeight(role("bias"), "", 2, config.type, {2, columns},
                               "2 x 3*hidden_size"));
  return weights;
}

//===----------------------------------------------------------------------===//
// GRU
//===----------------------------------------------------------------------===//

static Expected<Direction> importDirection(LayerContext &context,
                                           const GRUConfig &config,
                                           const Call &call,
                                           const Tensor &input, int64_t layer,
                                           bool backward) {
  std::string part =
      "l" + utostr(layer) + (backward ? "_reverse" : std::string());
  Expected<CellWeights> weights =
      getWeights(context, config, part, input.shape[2]);
  if (!weights)
    return weights.takeError();
  ElementType type = getElementType(config.type);
  Direction result;
  result.last = {{call.batch, config.hiddenSize}, type, {}, {}, {}};
  result.state = result.last;
  result.sequence = input;
  result.sequence.shape[2] = config.hiddenSize;

  Tensor initial;
  if (config.stateful)
    initial = context.getState(part, result.state.shape, type);
  if (!call.h0.shape.empty()) {
    int64_t index = layer * (config.bidirectional ? 2 : 1) + backward;
    OpFoldResult position;
    if (context.isEmitting())
      position = context.builder->getIndexAttr(index);
    initial = selectIndex(context, call.h0, 0, position);
    if (call.unbatched)
      initial = insertDim(context, initial, 0);
  }
  int64_t timeDim = config.timeMajor ? 0 : 1;
  if (context.isEmitting()) {
    OpBuilder &b = *context.builder;
    mlir::MLIRContext *mlirContext = b.getContext();
    auto op = GRUOp::create(
        b, context.getLocation(), input.value, weights->kernel.value,
        weights->recurrentKernel.value, weights->bias.value, initial.value,
        /*mask=*/{}, call.lengths.value, /*reset=*/{}, /*dropout_mask=*/{},
        /*recurrent_dropout_mask=*/{},
        Activation(ActivationKind::tanh).getAttr(mlirContext),
        Activation(ActivationKind::sigmoid).getAttr(mlirContext),
        /*reset_after=*/true, /*go_backwards=*/backward, config.timeMajor,
        /*zero_output_for_mask=*/false, /*unroll=*/false, /*from_cell=*/false,
        /*implementation=*/2, APFloat(0.0), APFloat(0.0), /*clip=*/{});
    result.sequence.value = op.getSequence();
    result.last.value = op.getLast();
    result.state.value = op.getState();
  }
  if (backward) {
    // Step T - 1 is the first that this direction has computed.
    if (config.result == "last")
      result.last = selectIndex(
          context, result.sequence, timeDim,
          context.isEmitting() ? OpFoldResult(context.builder->getIndexAttr(0))
                               : OpFoldResult());
    result.sequence = reverse(context, result.sequence, timeDim);
  }
  if (config.stateful)
    context.setState(part, result.state);
  return result;
}

/// The input as [T, B, F] or [B, T, F].
static Expected<Tensor> getSequence(LayerContext &context, GRUConfig &config,
                                    Call &call) {
  Tensor input;
  GRU_TAKE(input, context.getInput(config.type));
  size_t rank = input.shape.size();
  if ((rank != 2 && rank != 3) || input.shape.back() == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected time x batch x features");
  call.unbatched = rank == 2;
  if (call.unbatched) {
    config.timeMajor = true;
    input = insertDim(context, input, 1);
  }
  call.batch = input.shape[config.timeMajor ? 1 : 0];
  return input;
}

/// What is longer than any sequence stays so.
static Expected<Tensor> toInt32(LayerContext &context, const Tensor &lengths) {
  if (lengths.type == ElementType::i32)
    return lengths;
  return emitElementwise(
      context, {lengths}, ElementType::i32,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value most =
            numberLike(b, args[0], std::numeric_limits<int32_t>::max());
        return mlir::arith::TruncIOp::create(
            b, loc, b.getI32Type(),
            mlir::arith::MinSIOp::create(b, loc, args[0], most));
      });
}

static Error readCall(LayerContext &context, const GRUConfig &config,
                      Call &call) {
  ElementType type = getElementType(config.type);
  if (std::optional<Tensor> h0 = context.takeTensor("h0")) {
    call.h0 = *h0;
    int64_t states = config.numLayers * (config.bidirectional ? 2 : 1);
    SmallVector<int64_t> expected{states, call.batch, config.hiddenSize};
    if (call.unbatched)
      expected.erase(expected.begin() + 1);
    bool matches = h0->type == type && h0->shape.size() == expected.size();
    for (size_t dim = 0; matches && dim < expected.size(); ++dim)
      matches = fits(h0->shape[dim], expected[dim]);
    if (!matches)
      return context.error("h0 is " + shapeText(h0->shape) + ", expected " +
                           shapeText(expected));
  }
  if (std::optional<Tensor> lengths = context.takeTensor("lengths")) {
    if (call.unbatched)
      return context.error("lengths need a batch, found an input without one");
    GRU_TAKE(call.lengths, toInt32(context, *lengths));
  }
  return Error::success();
}

static Expected<Tensors> importGRU(LayerContext &context) {
  Expected<GRUConfig> config = readConfig(context);
  if (!config)
    return config.takeError();
  Call call;
  Tensor input;
  GRU_TAKE(input, getSequence(context, *config, call));
  if (Error error = readCall(context, *config, call))
    return std::move(error);
  Tensors states;
  Tensor last;
  for (int64_t layer = 0; layer < config->numLayers; ++layer) {
    Direction forward, backward;
    GRU_TAKE(forward, importDirection(context, *config, call, input, layer,
                                      /*backward=*/false));
    states.push_back(forward.state);
    if (!config->bidirectional) {
      input = forward.sequence;
      last = forward.last;
      continue;
    }
    GRU_TAKE(backward, importDirection(context, *config, call, input, layer,
                                       /*backward=*/true));
    states.push_back(backward.state);
    input = concatLast(context, forward.sequence, backward.sequence);
    last = concatLast(context, forward.last, backward.last);
  }
  Tensor output = config->result == "sequence" ? input
                  : config->result == "last"   ? last
                                               : states.back();
  Tensor newState = stack(context, states);
  if (call.unbatched) {
    output = removeDim(context, output, config->result == "sequence" ? 1 : 0);
    newState = removeDim(context, newState, 1);
  }
  return Tensors{output, newState};
}

//===----------------------------------------------------------------------===//
// GRUCell
//===----------------------------------------------------------------------===//

static Expected<Tensors> importGRUCell(LayerContext &context) {
  Expected<GRUConfig> config = readConfig(context);
  if (!config)
    return config.takeError();
  Tensor input;
  GRU_TAKE(input, context.getInput(config->type));
  bool unbatched = input.shape.size() == 1;
  if (unbatched)
    input = insertDim(context, input, 0);
  if (input.shape.size() != 2 || input.shape[1] == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected batch x features");
  ElementType type = getElementType(config->type);
  Tensor state;
  if (std::optional<Tensor> h0 = context.takeTensor("h0")) {
    state = unbatched ? insertDim(context, *h0, 0) : *h0;
  } else {
    state = emitGenerate(
        context, {Size(input, 0), Size(config->hiddenSize)}, type,
        [&](OpBuilder &b, Location loc, ValueRange) -> Value {
          return mlir::arith::ConstantOp::create(
              b, loc, b.getZeroAttr(getMLIRType(b.getContext(), type)));
        });
  }
  if (state.type != type || state.shape.size() != 2 ||
      !fits(state.shape[0], input.shape[0]) ||
      state.shape[1] != config->hiddenSize)
    return context.error("h0 is " + shapeText(state.shape) + ", expected " +
                         shapeText({input.shape[0], config->hiddenSize}));
  Expected<CellWeights> weights =
      getWeights(context, *config, "", input.shape[1]);
  if (!weights)
    return weights.takeError();
  if (context.isEmitting()) {
    OpBuilder &b = *context.builder;
    mlir::MLIRContext *mlirContext = b.getContext();
    state.value =
        CellOp::create(b, context.getLocation(), input.value, state.value,
                       weights->kernel.value, weights->recurrentKernel.value,
                       weights->bias.value, /*dropout_mask=*/Value(),
                       /*recurrent_dropout_mask=*/Value(),
                       Activation(ActivationKind::tanh).getAttr(mlirContext),
                       Activation(ActivationKind::sigmoid).getAttr(mlirContext),
                       /*reset_after=*/true, /*implementation=*/2,
                       /*clip=*/mlir::FloatAttr());
  }
  if (unbatched)
    state = removeDim(context, state, 0);
  return Tensors{state};
}

//===----------------------------------------------------------------------===//
// Skip connection
//===----------------------------------------------------------------------===//

static Expected<Tensors> importSkip(LayerContext &context) {
  Tensors inputs;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
  GRU_TAKE(inputs, context.getInputs(type, 2));
  int64_t skip = 0;
  GRU_TAKE(skip, context.getInteger(context.layer.config, "skip"));
  Tensor output = inputs[0], input = inputs[1];
  int64_t rank = output.shape.size(), size = output.shape.back();
  if (int64_t(input.shape.size()) != rank || skip > input.shape.back() ||
      (skip != size && skip != 1))
    return context.error("adds " + Twine(skip) + " features of the input, " +
                         shapeText(input.shape) + ", to the output, " +
                         shapeText(output.shape) +
                         ", expected 1 or as many as the output has");
  // Only so many of the input's features are read.
  Operand added{input, {}}, values{output, {}};
  for (int64_t dim = 0; dim < rank; ++dim) {
    values.loops.push_back(dim);
    added.loops.push_back(dim + 1 == rank && skip == 1 ? -1 : dim);
  }
  bool isPart = added.loops.back() >= 0 && skip < input.shape.back();
  if (isPart && context.isEmitting()) {
    OpBuilder &b = *context.builder;
    Location loc = context.getLocation();
    SmallVector<OpFoldResult> sizes =
        mlir::tensor::getMixedSizes(b, loc, input.value);
    SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)),
        strides(rank, b.getIndexAttr(1));
    sizes.back() = b.getIndexAttr(skip);
    added.tensor.value = mlir::tensor::ExtractSliceOp::create(
        b, loc, input.value, offsets, sizes, strides);
  }
  return Tensors{emitLoops(context, getSizes(output), 0, {values, added},
                           output.type, 0,
                           [](OpBuilder &b, Location loc, ValueRange args) {
                             return add(b, loc, args[0], args[1]);
                           })};
}

const LayerClass gru::torch::kGRU{"GRU", importGRU, MaskRule::drops,
                                  /*recurrent=*/true};
const LayerClass gru::torch::kGRUCell{"GRUCell", importGRUCell};
const LayerClass gru::torch::kSkip{"Skip", importSkip};
