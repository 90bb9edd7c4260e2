//===- Normalization.cpp - normalisation layers ---------------------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

/// 1 / sqrt(variance + epsilon).
static Value inverseDeviation(OpBuilder &b, Location loc, Value variance,
                              double epsilon) {
  Value sum = add(b, loc, variance, numberLike(b, variance, epsilon));
  return mlir::arith::DivFOp::create(b, loc, numberLike(b, sum, 1),
                                     mlir::math::SqrtOp::create(b, loc, sum));
}

/// Checks that the config's axis is the last dimension: a number, or a list of
/// one. What a TimeDistributed calls has no timesteps.
static Error checkLastAxis(LayerContext &context, const Tensor &input) {
  const json::Value *value = findEntry(context.layer.config, "axis");
  if (!value)
    return Error::success();
  std::optional<int64_t> axis = value->getAsInteger();
  if (const json::Array *list = value->getAsArray())
    if (list->size() == 1)
      axis = list->front().getAsInteger();
  int64_t rank = input.shape.size() - context.isTimeDistributed;
  if (axis != -1 && axis != rank - 1)
    return context.error("axis is " + jsonText(*value) +
                         ", expected the last dimension of " +
                         shapeText(input.shape));
  return Error::success();
}

/// Keras normalises halves in float32: makes `input` and the layer's type so.
/// Gives the type that the input had.
static ElementType widenHalves(LayerContext &context, Tensor &input,
                               WeightType &type) {
  ElementType outside = input.type;
  if (type == WeightType::f16 || type == WeightType::bf16) {
    type = WeightType::f32;
    input = emitCast(context, input, ElementType::f32);
  }
  return outside;
}

namespace {
/// gamma and beta; numbers where the layer has none.
struct Affine {
  Tensor gamma, beta;
  /// How many variables the layer has before others.
  unsigned count = 0;
};
} // namespace

static Expected<Affine> getAffine(LayerContext &context, WeightType type,
                                  int64_t features) {
  const json::Object &config = context.layer.config;
  Affine result;
  result.gamma.number = 1;
  result.beta.number = 0;
  bool scale = true, center = true;
  GRU_TAKE(scale, context.getBool(config, "scale", true));
  GRU_TAKE(center, context.getBool(config, "center", true));
  if (scale)
    GRU_TAKE(result.gamma, context.getWeight("gamma", "", result.count++, type,
                                             {features}, "features"));
  if (center)
    GRU_TAKE(result.beta, context.getWeight("beta", "", result.count++, type,
                                            {features}, "features"));
  return result;
}

/// Sums over all dimensions but the features, and inside a TimeDistributed the
/// timesteps: of `body` of the operands' elements.
static Tensor emitBatchSum(LayerContext &context, ArrayRef<Operand> operands,
                           Body body) {
  const Tensor &input = operands.front().tensor;
  int64_t rank = input.shape.size();
  SmallVector<Size> sizes(rank, Size(0));
  for (auto [dim, loop] : enumerate(operands.front().loops))
    sizes[loop] = Size(input, dim);
  unsigned numReductions = context.isTimeDistributed ? 1 : rank - 1;
  return emitLoops(context, sizes, numReductions, operands, input.type, 0,
                   [&](OpBuilder &b, Location loc, ValueRange args) {
                     return add(b, loc, args.back(), body(b, loc, args));
                   });
}

/// Mean and variance of the batch's unmasked rows, with [features], or inside a
/// TimeDistributed [timesteps, features].
static Error emitMoments(LayerContext &context, const Tensor &input,
                         Tensor &mean, Tensor &variance) {
  int64_t rank = input.shape.size();
  // The dimensions that remain come first.
  Operand rows{input, {}};
  int64_t kept = context.isTimeDistributed ? rank - 1 : 1;
  for (int64_t dim = 0; dim < rank; ++dim)
    rows.loops.push_back(context.isTimeDistributed
                             ? (dim == 0 ? rank - 1 : dim - 1)
                             : (dim == rank - 1 ? 0 : dim + 1));
  SmallVector<Operand> operands{rows};
  bool isMasked = context.getMask() != nullptr;
  if (isMasked) {
    const Tensor &mask = *context.getMask();
    if (int64_t(mask.shape.size()) != rank - 1)
      return context.error("mask is " + shapeText(mask.shape) +
                           ", expected all dimensions of the input " +
                           shapeText(input.shape) + " but the last");
    operands.push_back(
        {mask, SmallVector<int64_t>(ArrayRef(rows.loops).drop_back())});
  }
  auto unlessMasked = [&](OpBuilder &b, Location loc, ValueRange args,
                          Value x) -> Value {
    if (!isMasked)
      return x;
    return mlir::arith::SelectOp::create(b, loc, args[1], x,
                                         numberLike(b, x, 0));
  };
  Tensor sum = emitBatchSum(context, operands,
                            [&](OpBuilder &b, Location loc, ValueRange args) {
                              return unlessMasked(b, loc, args, args[0]);
                            });
  Tensor count = emitBatchSum(
      context, operands, [&](OpBuilder &b, Location loc, ValueRange args) {
        return unlessMasked(b, loc, args, numberLike(b, args[0], 1));
      });
  // Keras 3 divides zero by its epsilon where all is masked, Keras 2 by zero.
  double least = isMasked && context.version == 3 ? 1e-7 : 0;
  auto divide = [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value divisor = add(b, loc, args[1], numberLike(b, args[1], least));
    return mlir::arith::DivFOp::create(b, loc, args[0], divisor);
  };
  GRU_TAKE(mean, emitElementwise(context, {sum, count}, input.type, divide));
  Operand means{mean, {}};
  for (int64_t dim = 0; dim < kept; ++dim)
    means.loops.push_back(dim);
  operands.push_back(means);
  Tensor squares = emitBatchSum(
      context, operands, [&](OpBuilder &b, Location loc, ValueRange args) {
        Value difference = mlir::arith::SubFOp::create(b, loc, args[0],
                                                       args[isMasked ? 2 : 1]);
        return unlessMasked(b, loc, args,
                            multiply(b, loc, difference, difference));
      });
  GRU_TAKE(variance,
           emitElementwise(context, {squares, count}, input.type, divide));
  return Error::success();
}

namespace {
/// What batch renormalisation makes of the batch's statistics: x r + d.
struct Renorm {
  Tensor factor, summand;
};
} // namespace

/// The weights that only renormalisation has; what it corrects by in training.
static Expected<Renorm> emitRenorm(LayerContext &context, WeightType type,
                                   unsigned index, const Tensor &mean,
                                   const Tensor &variance, double epsilon) {
  int64_t features = mean.shape.back();
  const json::Object *clipping =
      context.layer.config.getObject("renorm_clipping");
  auto bound = [&](StringRef key) {
    return clipping ? clipping->getNumber(key) : std::nullopt;
  };
  auto clip = [&](OpBuilder &b, Location loc, Value x,
                  std::optional<double> low, std::optional<double> high) {
    if (low)
      x = mlir::arith::MaximumFOp::create(b, loc, x, numberLike(b, x, *low));
    if (high)
      x = mlir::arith::MinimumFOp::create(b, loc, x, numberLike(b, x, *high));
    return x;
  };
  Tensor movingMean, movingDeviation;
  GRU_TAKE(movingMean, context.getWeight("renorm_mean", "", index, type,
                                         {features}, "features"));
  GRU_TAKE(movingDeviation, context.getWeight("renorm_stddev", "", index + 1,
                                              type, {features}, "features"));
  auto deviation = [&](OpBuilder &b, Value x) -> Value {
    double least = std::sqrt(epsilon);
    return mlir::arith::MaximumFOp::create(b, x.getLoc(), x,
                                           numberLike(b, x, least));
  };
  Renorm result;
  GRU_TAKE(result.factor,
           emitElementwise(
               context, {variance, movingDeviation}, mean.type,
               [&](OpBuilder &b, Location loc, ValueRange args) {
                 Value sum =
                     add(b, loc, args[0], numberLike(b, args[0], epsilon));
                 Value ratio = mlir::arith::DivFOp::create(
                     b, loc, mlir::math::SqrtOp::create(b, loc, sum),
                     deviation(b, args[1]));
                 return clip(b, loc, ratio, bound("rmin"), bound("rmax"));
               }));
  GRU_TAKE(result.summand,
           emitElementwise(
               context, {mean, movingMean, movingDeviation}, mean.type,
               [&](OpBuilder &b, Location loc, ValueRange args) {
                 Value shift = mlir::arith::DivFOp::create(
                     b, loc,
                     mlir::arith::SubFOp::create(b, loc, args[0], args[1]),
                     deviation(b, args[2]));
                 std::optional<double> most = bound("dmax");
                 return clip(b, loc, shift,
                             most ? std::optional(-*most) : std::nullopt, most);
               }));
  return result;
}

/// The input by a mean and a variance: those of the batch in training unless
/// the layer is frozen, else the moving ones. Those do not move, being weights.
Expected<Tensors> gru::keras::importBatchNormalization(LayerContext &context) {
  const json::Object &config = context.layer.config;
  bool trainable = true, renorm = false;
  GRU_TAKE(trainable, context.getBool(config, "trainable", true));
  GRU_TAKE(renorm, context.getBool(config, "renorm", false));
  bool usesBatch = context.options.training && trainable;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input, mean, variance;
  GRU_TAKE(input, context.getInput(type));
  if (Error error = checkLastAxis(context, input))
    return error;
  // tf_keras takes timesteps together or not depending on the batch that its
  // graph was made for.
  if (usesBatch && context.isTimeDistributed && context.version == 2)
    return context.error("BatchNormalization inside a TimeDistributed is not "
                         "supported in training, expected it outside");
  ElementType outside = widenHalves(context, input, type);
  int64_t features = input.shape.back();
  double epsilon = 0;
  GRU_TAKE(epsilon, context.getNumber(config, "epsilon", 1e-3));
  Expected<Affine> affine = getAffine(context, type, features);
  if (!affine)
    return affine.takeError();
  GRU_TAKE(mean, context.getWeight("moving_mean", "", affine->count, type,
                                   {features}, "features"));
  GRU_TAKE(variance, context.getWeight("moving_variance", "", affine->count + 1,
                                       type, {features}, "features"));
  Tensor gamma = affine->gamma, beta = affine->beta;
  if (usesBatch)
    if (Error error = emitMoments(context, input, mean, variance))
      return std::move(error);
  // The file's weights are taken whatever becomes of the model.
  if (renorm && (usesBatch || !context.isEmitting())) {
    context.ignoreWeight("moving_stddev", affine->count + 2);
    Expected<Renorm> correction =
        emitRenorm(context, type, affine->count + 3, mean, variance, epsilon);
    if (!correction)
      return correction.takeError();
    GRU_TAKE(beta, emitElementwise(
                       context, {correction->summand, gamma, beta}, input.type,
                       [](OpBuilder &b, Location loc, ValueRange args) {
                         return add(b, loc, multiply(b, loc, args[0], args[1]),
                                    args[2]);
                       }));
    GRU_TAKE(gamma, emitProduct(context, correction->factor, gamma));
  }
  // One factor and one summand per feature, then one pass over the input.
  Tensor factor, summand, result;
  GRU_TAKE(factor, emitElementwise(
                       context, {variance, gamma}, input.type,
                       [&](OpBuilder &b, Location loc, ValueRange args) {
                         return multiply(
                             b, loc, inverseDeviation(b, loc, args[0], epsilon),
                             args[1]);
                       }));
  GRU_TAKE(summand,
           emitElementwise(
               context, {mean, factor, beta}, input.type,
               [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 return mlir::arith::SubFOp::create(
                     b, loc, args[2], multiply(b, loc, args[0], args[1]));
               }));
  GRU_TAKE(result, emitElementwise(
                       context, {input, factor, summand}, input.type,
                       [](OpBuilder &b, Location loc, ValueRange args) {
                         return add(b, loc, multiply(b, loc, args[0], args[1]),
                                    args[2]);
                       }));
  return Tensors{emitCast(context, result, outside)};
}

Expected<Tensors> gru::keras::importLayerNormalization(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input;
  GRU_TAKE(input, context.getInput(type));
  if (Error error = checkLastAxis(context, input))
    return error;
  if (isFlagSet(config, "rms_scaling"))
    return context.error("rms_scaling is not supported");
  ElementType outside = widenHalves(context, input, type);
  int64_t features = input.shape.back(), last = input.shape.size() - 1;
  if (features == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected a known last dimension");
  double epsilon = 0;
  GRU_TAKE(epsilon, context.getNumber(config, "epsilon", 1e-3));
  Expected<Affine> affine = getAffine(context, type, features);
  if (!affine)
    return affine.takeError();
  auto mean = [&](const Tensor &tensor) {
    return emitExpandDims(
        context, emitReduce(context, tensor, last, Reduction::sum), last);
  };
  double share = 1.0 / features;
  Tensor centered, squares, result;
  GRU_TAKE(centered,
           emitElementwise(
               context, {input, mean(input)}, input.type,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 return mlir::arith::SubFOp::create(
                     b, loc, args[0],
                     multiply(b, loc, args[1], numberLike(b, args[1], share)));
               }));
  GRU_TAKE(squares,
           emitElementwise(context, {centered}, input.type,
                           [](OpBuilder &b, Location loc, ValueRange args) {
                             return multiply(b, loc, args[0], args[0]);
                           }));
  GRU_TAKE(result,
           emitElementwise(
               context, {centered, mean(squares), affine->gamma, affine->beta},
               input.type, [&](OpBuilder &b, Location loc, ValueRange args) {
                 Value variance =
                     multiply(b, loc, args[1], numberLike(b, args[1], share));
                 Value normal =
                     multiply(b, loc, args[0],
                              inverseDeviation(b, loc, variance, epsilon));
                 return add(b, loc, multiply(b, loc, normal, args[2]), args[3]);
               }));
  return Tensors{emitCast(context, result, outside)};
}

/// A number or a list of numbers in the config as something to broadcast.
static Expected<Tensor> getNumbers(LayerContext &context, StringRef key,
                                   ElementType type,
                                   std::optional<double> otherwise) {
  const json::Value *value = findEntry(context.layer.config, key);
  Tensor result;
  result.type = type;
  if (!value && !otherwise)
    return context.error(key + " is missing");
  if (!value || value->getAsNumber()) {
    result.number = value ? *value->getAsNumber() : *otherwise;
    return result;
  }
  // Keras nests the list as deep as the shapes to be broadcast.
  const json::Array *list = value->getAsArray();
  while (list && list->size() == 1 && list->front().getAsArray())
    list = list->front().getAsArray();
  SmallVector<double> numbers;
  if (list)
    for (const json::Value &entry : *list)
      if (std::optional<double> number = entry.getAsNumber())
        numbers.push_back(*number);
  if (!list || numbers.empty() || numbers.size() != list->size())
    return context.error(key + " is " + jsonText(*value) +
                         ", expected a number or a list of numbers");
  result.shape = {int64_t(numbers.size())};
  if (context.isEmitting()) {
    OpBuilder &b = *context.builder;
    Location loc = context.getLocation();
    mlir::Type element = getMLIRType(b.getContext(), type);
    SmallVector<Value> values;
    for (double number : numbers)
      values.push_back(mlir::arith::ConstantOp::create(
          b, loc, b.getFloatAttr(element, number)));
    result.value = mlir::tensor::FromElementsOp::create(
        b, loc, mlir::RankedTensorType::get(result.shape, element), values);
  }
  return result;
}

/// A Normalization whose statistics stand in its config.
Expected<Tensors> gru::keras::importNormalization(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input, mean, variance, result;
  GRU_TAKE(input, context.getInput(type));
  if (Error error = checkLastAxis(context, input))
    return error;
  if (!findEntry(config, "mean") || !findEntry(config, "variance")) {
    int64_t features = input.shape.back();
    GRU_TAKE(mean,
             context.getWeight("mean", "", 0, type, {features}, "features"));
    GRU_TAKE(variance, context.getWeight("variance", "", 1, type, {features},
                                         "features"));
    // How many rows the statistics are of.
    context.ignoreWeight("count", 2);
  } else {
    GRU_TAKE(mean, getNumbers(context, "mean", input.type, {}));
    GRU_TAKE(variance, getNumbers(context, "variance", input.type, {}));
  }
  bool invert = false;
  GRU_TAKE(invert, context.getBool(config, "invert", false));
  GRU_TAKE(
      result,
      emitElementwise(
          context, {input, mean, variance}, input.type,
          [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
            Value deviation = mlir::math::SqrtOp::create(b, loc, args[2]);
            deviation = mlir::arith::MaximumFOp::create(
                b, loc, deviation, numberLike(b, deviation, 1e-7));
            if (invert)
              return add(b, loc, args[1], multiply(b, loc, args[0], deviation));
            return mlir::arith::DivFOp::create(
                b, loc, mlir::arith::SubFOp::create(b, loc, args[0], args[1]),
                deviation);
          }));
  return Tensors{result};
}

Expected<Tensors> gru::keras::importRescaling(LayerContext &context) {
  WeightType type;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 1 tensor");
  Tensor input =
      emitCast(context, context.inputs.front(), getElementType(type));
  Tensor scale, offset, result;
  GRU_TAKE(scale, getNumbers(context, "scale", input.type, {}));
  GRU_TAKE(offset, getNumbers(context, "offset", input.type, 0.0));
  GRU_TAKE(result, emitElementwise(
                       context, {input, scale, offset}, input.type,
                       [](OpBuilder &b, Location loc, ValueRange args) {
                         return add(b, loc, multiply(b, loc, args[0], args[1]),
                                    args[2]);
                       }));
  return Tensors{result};
}
