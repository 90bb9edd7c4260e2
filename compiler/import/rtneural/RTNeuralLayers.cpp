//===- RTNeuralLayers.cpp - layers that Keras's table does not have -------===//

#include "compiler/import/rtneural/RTNeuralLayers.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::OpFoldResult;
using mlir::Value;
using mlir::ValueRange;

/// Steps from the end of `tensor`, [B, steps, C].
static Value takeLastSteps(LayerContext &context, const Tensor &tensor,
                           int64_t steps) {
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  SmallVector<OpFoldResult> sizes =
      mlir::tensor::getMixedSizes(b, loc, tensor.value);
  SmallVector<OpFoldResult> offsets(3, b.getIndexAttr(0)),
      strides(3, b.getIndexAttr(1));
  offsets[1] = b.getIndexAttr(tensor.shape[1] - steps);
  sizes[1] = b.getIndexAttr(steps);
  return mlir::tensor::ExtractSliceOp::create(b, loc, tensor.value, offsets,
                                              sizes, strides);
}

static Expected<Tensors> importConv1DWithHistory(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input;
  GRU_TAKE(input, context.getInput(type));
  if (input.shape.size() != 3)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected batch x timesteps x features");
  if (context.isEmitting() && input.shape[1] == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected a known number of timesteps; compile the "
                         "model for one");
  int64_t size = 1, dilation = 1;
  GRU_TAKE(size, context.getInteger(config, "kernel_size"));
  GRU_TAKE(dilation, context.getInteger(config, "dilation_rate"));
  int64_t steps = (size - 1) * dilation;
  Layer inner;
  inner.className = "Conv1D";
  inner.name = context.layer.name;
  inner.config = config;
  std::unique_ptr<LayerContext> call = context.makeInner(inner, "", "");
  if (steps > 0) {
    // What the window sees of earlier calls stands in front.
    Tensor history = context.getState(
        "history", {input.shape[0], steps, input.shape[2]}, input.type);
    if (input.shape[1] != kDynamicSize)
      input.shape[1] += steps;
    if (context.isEmitting())
      input.value = mlir::tensor::ConcatOp::create(
          *context.builder, context.getLocation(), /*dim=*/1,
          ValueRange{history.value, input.value});
    if (context.isEmitting())
      history.value = takeLastSteps(context, input, steps);
    context.setState("history", history);
  }
  call->inputs = {input};
  return importConv1D(*call);
}

static Expected<Tensors> importPReLU(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input;
  GRU_TAKE(input, context.getInput(type));
  int64_t size = 0;
  GRU_TAKE(size, context.getInteger(config, "size"));
  Tensor alpha;
  GRU_TAKE(alpha, context.getWeight("alpha", "", 0, type, {size}, "features"));
  int64_t rank = input.shape.size();
  Operand x{input, {}}, slope{alpha, {size == 1 ? -1 : rank - 1}};
  for (int64_t dim = 0; dim < rank; ++dim)
    x.loops.push_back(dim);
  return Tensors{emitLoops(
      context, getSizes(input), 0, {x, slope}, input.type, 0,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value isPositive =
            mlir::arith::CmpFOp::create(b, loc, mlir::arith::CmpFPredicate::OGT,
                                        args[0], numberLike(b, args[0], 0));
        return mlir::arith::SelectOp::create(
            b, loc, isPositive, args[0], multiply(b, loc, args[0], args[1]));
      })};
}

const LayerClass gru::rtneural::kConv1D{
    "Conv1D", importConv1DWithHistory, MaskRule::drops,
    /*recurrent=*/false, /*fixedTime=*/true};
const LayerClass gru::rtneural::kPReLU{"PReLU", importPReLU};
