//===- Dropout.cpp - layers that disturb their input in training ----------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

/// The dimensions of a layer's mask: those of the input, except where
/// noise_shape has 1.
static Error readNoiseShape(LayerContext &context, const Tensor &input,
                            MaskRequest &request) {
  SmallVector<int64_t> &form = request.forms.back();
  if (context.layer.className == "SpatialDropout1D") {
    if (form.size() != 3)
      return context.error("input is " + shapeText(input.shape) +
                           ", expected batch x timesteps x features");
    form[1] = 1;
    return Error::success();
  }
  const json::Value *given = findEntry(context.layer.config, "noise_shape");
  if (!given)
    return Error::success();
  auto wrong = [&] {
    return context.error("noise_shape is " + jsonText(*given) +
                         ", expected null, 1 or the size for each dimension "
                         "of " +
                         shapeText(input.shape));
  };
  const json::Array *sizes = given->getAsArray();
  if (!sizes || sizes->size() != form.size())
    return wrong();
  for (auto [dim, value] : enumerate(*sizes)) {
    if (value.getAsNull())
      continue;
    std::optional<int64_t> size = value.getAsInteger();
    if (size == 1)
      form[dim] = 1;
    else if (!size ||
             (input.shape[dim] != kDynamicSize && *size != input.shape[dim]))
      return wrong();
  }
  return Error::success();
}

/// The layer's input, and `strength`: its argument `key`, from 0 to 1 but for a
/// deviation of Keras 2; 0 where there is no training.
static Expected<Tensor> readLayer(LayerContext &context, StringRef key,
                                  double &strength) {
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 1 tensor");
  GRU_TAKE(strength, context.getNumber(context.layer.config, key, 0));
  bool isFree = key == "stddev" && context.version == 2;
  if (!std::isfinite(strength) ||
      (!isFree && !(strength >= 0 && strength <= 1)))
    return context.error(key + " is " + std::to_string(strength) +
                         (isFree ? ", expected a finite number"
                                 : ", expected a number from 0 to 1"));
  if (!context.options.training)
    strength = 0;
  if (strength == 0)
    return context.inputs.front();
  WeightType type;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
  return context.getInput(type);
}

static Error rateIsOne(const LayerContext &context) {
  return context.error("rate is 1 in training, expected a rate below 1");
}

/// readLayer for a rate that a mean or a variance is divided by. 1 is an error,
/// and in Keras 2, where it disturbs nothing, 0.
static Expected<Tensor> readRateBelowOne(LayerContext &context, double &rate) {
  Tensor input;
  GRU_TAKE(input, readLayer(context, "rate", rate));
  if (rate != 1)
    return input;
  if (context.version != 2)
    return rateIsOne(context);
  rate = 0;
  return context.inputs.front();
}

/// Dropout and SpatialDropout1D.
Expected<Tensors> gru::keras::importDropout(LayerContext &context) {
  Tensor input, mask, result;
  double rate = 0;
  GRU_TAKE(input, readLayer(context, "rate", rate));
  if (rate == 0)
    return Tensors{input};
  if (rate == 1 && context.version == 2)
    return rateIsOne(context);
  if (rate == 1)
    return Tensors{emitLoops(
        context, getSizes(input), 0, {}, input.type, 0,
        [&](OpBuilder &b, Location loc, ValueRange) -> Value {
          return mlir::arith::ConstantOp::create(
              b, loc,
              b.getFloatAttr(getMLIRType(b.getContext(), input.type), 0));
        })};
  MaskRequest request("dropout_mask", input);
  request.rate = rate;
  if (Error error = readNoiseShape(context, input, request))
    return std::move(error);
  GRU_TAKE(mask, context.getDropoutMask(request));
  GRU_TAKE(result, emitProduct(context, input, mask));
  return Tensors{result};
}

/// Puts the negative limit of a SELU where it drops, and restores mean and
/// variance. The mask holds 0 and 1.
Expected<Tensors> gru::keras::importAlphaDropout(LayerContext &context) {
  Tensor input, mask, result;
  double rate = 0;
  GRU_TAKE(input, readRateBelowOne(context, rate));
  if (rate == 0)
    return Tensors{input};
  MaskRequest request("dropout_mask", input);
  request.rate = rate;
  request.scale = 1;
  if (Error error = readNoiseShape(context, input, request))
    return std::move(error);
  GRU_TAKE(mask, context.getDropoutMask(request));
  const double alpha = 1.6732632423543772, scale = 1.0507009873554805;
  const double limit = -alpha * scale;
  const double a = 1 / std::sqrt((1 - rate) * (1 + rate * limit * limit));
  const double b = -a * limit * rate;
  GRU_TAKE(result,
           emitElementwise(
               context, {input, mask}, input.type,
               [&](OpBuilder &builder, Location loc, ValueRange args) {
                 auto number = [&](double value) {
                   return numberLike(builder, args[0], value);
                 };
                 Value kept = multiply(builder, loc, args[0], args[1]);
                 Value dropped = mlir::arith::SubFOp::create(
                     builder, loc, number(1), args[1]);
                 Value x = add(builder, loc, kept,
                               multiply(builder, loc, number(limit), dropped));
                 return add(builder, loc, multiply(builder, loc, number(a), x),
                            number(b));
               }));
  return Tensors{result};
}

/// Numbers like those of `input`.
static Expected<Tensor> getNormal(LayerContext &context, const Tensor &input,
                                  StringRef name, MaskRequest::Normal normal) {
  MaskRequest request(name, input);
  request.normal = normal;
  return context.getDropoutMask(request);
}

Expected<Tensors> gru::keras::importGaussianNoise(LayerContext &context) {
  Tensor input, noise, result;
  double stddev = 0;
  GRU_TAKE(input, readLayer(context, "stddev", stddev));
  if (stddev == 0)
    return Tensors{input};
  // A normal distribution is symmetric, and Keras 2 lets a deviation be
  // negative.
  GRU_TAKE(noise, getNormal(context, input, "noise", {0, std::fabs(stddev)}));
  GRU_TAKE(result,
           emitElementwise(context, {input, noise}, input.type,
                           [](OpBuilder &b, Location loc, ValueRange args) {
                             return add(b, loc, args[0], args[1]);
                           }));
  return Tensors{result};
}

/// A product with factors around 1.
Expected<Tensors> gru::keras::importGaussianDropout(LayerContext &context) {
  Tensor input, mask, result;
  double rate = 0;
  GRU_TAKE(input, readRateBelowOne(context, rate));
  if (rate == 0)
    return Tensors{input};
  GRU_TAKE(mask, getNormal(context, input, "dropout_mask",
                           {1, std::sqrt(rate / (1 - rate))}));
  GRU_TAKE(result, emitProduct(context, input, mask));
  return Tensors{result};
}
