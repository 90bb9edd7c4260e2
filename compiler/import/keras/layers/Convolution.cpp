//===- Convolution.cpp - convolution and pooling over time ----------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//

namespace {
/// How a window moves over the timesteps.
struct Window {
  int64_t size = 1, stride = 1, dilation = 1;
  /// Steps in front of the first; the input's length and the output's.
  int64_t left = 0, inputTime = 0, outputTime = 0;
};
} // namespace

/// "kernel_size": 3 or [3].
static Expected<int64_t> getSingle(LayerContext &context, StringRef key,
                                   std::optional<int64_t> otherwise) {
  const json::Value *value = findEntry(context.layer.config, key);
  if (!value && otherwise)
    return *otherwise;
  std::optional<int64_t> number;
  if (value)
    number = value->getAsInteger();
  if (const json::Array *list = value ? value->getAsArray() : nullptr)
    if (list->size() == 1)
      number = list->front().getAsInteger();
  if (!number || *number < 1 || *number > (int64_t(1) << 24))
    return context.error(key + " is " +
                         (value ? jsonText(*value) : std::string("missing")) +
                         ", expected a positive number");
  return *number;
}

static Expected<Tensor> getSequence(LayerContext &context, WeightType &type) {
  const json::Object &config = context.layer.config;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input;
  GRU_TAKE(input, context.getInput(type));
  input.mask = nullptr;
  if (input.shape.size() != 3 || input.shape[2] == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected batch x timesteps x features");
  std::optional<StringRef> format = config.getString("data_format");
  if (format && *format != "channels_last")
    return context.error("data_format is '" + printable(*format) +
                         "', expected channels_last");
  return input;
}

/// Completes `window`, whose size, stride and dilation are known.
static Error place(LayerContext &context, const Tensor &input, Window &window) {
  StringRef padding =
      context.layer.config.getString("padding").value_or("valid");
  window.inputTime = input.shape[1];
  int64_t reach = (window.size - 1) * window.dilation + 1;
  if (padding != "same" && padding != "valid" && padding != "causal")
    return context.error("padding is '" + printable(padding) +
                         "', expected valid, same or causal");
  if (window.inputTime == kDynamicSize) {
    window.outputTime = kDynamicSize;
    if (context.isEmitting())
      return context.error("input is " + shapeText(input.shape) +
                           ", expected a known number of timesteps; compile "
                           "the model for one");
    return Error::success();
  }
  int64_t time = window.inputTime;
  if (padding == "same") {
    window.outputTime = (time + window.stride - 1) / window.stride;
    int64_t total = (window.outputTime - 1) * window.stride + reach - time;
    window.left = std::max<int64_t>(total, 0) / 2;
    return Error::success();
  }
  if (padding == "causal")
    window.left = reach - 1;
  int64_t free = time + window.left - reach;
  if (free < 0)
    return context.error("the window spans " + Twine(reach) +
                         " timesteps, but the input has " + Twine(time));
  window.outputTime = free / window.stride + 1;
  return Error::success();
}

namespace {
/// An element of the input below a window, and whether there is one.
struct Element {
  Value value, isInside;
};
} // namespace

static Element readWindow(OpBuilder &b, Location loc, const Tensor &input,
                          const Window &window, Value row, Value step,
                          Value offset, Value column) {
  auto times = [&](Value x, int64_t factor) -> Value {
    return mlir::arith::MulIOp::create(b, loc, x,
                                       indexConstant(b, loc, factor));
  };
  Value time = mlir::arith::SubIOp::create(
      b, loc,
      mlir::arith::AddIOp::create(b, loc, times(step, window.stride),
                                  times(offset, window.dilation)),
      indexConstant(b, loc, window.left));
  Value inside = mlir::arith::MinSIOp::create(
      b, loc,
      mlir::arith::MaxSIOp::create(b, loc, time, indexConstant(b, loc, 0)),
      indexConstant(b, loc, window.inputTime - 1));
  Value isInside = mlir::arith::CmpIOp::create(
      b, loc, mlir::arith::CmpIPredicate::eq, time, inside);
  return {extract(b, loc, input, {row, inside, column}), isInside};
}

//===----------------------------------------------------------------------===//
// Convolution
//===----------------------------------------------------------------------===//

/// All windows, side by side: [batch, timesteps, size, features].
static Tensor emitWindows(LayerContext &context, const Tensor &input,
                          const Window &window) {
  return emitGenerate(
      context,
      {Size(input, 0), Size(window.outputTime), Size(window.size),
       Size(input, 2)},
      input.type, [&](OpBuilder &b, Location loc, ValueRange i) -> Value {
        Element element =
            readWindow(b, loc, input, window, i[0], i[1], i[2], i[3]);
        return mlir::arith::SelectOp::create(b, loc, element.isInside,
                                             element.value,
                                             numberLike(b, element.value, 0));
      });
}

/// A convolution is a dense layer over windows; the kernel in the file has the
/// right order already.
Expected<Tensors> gru::keras::importConv1D(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  Tensor input, kernel, bias;
  GRU_TAKE(input, getSequence(context, type));
  int64_t filters = 0, groups = 1, features = input.shape[2];
  Window window;
  GRU_TAKE(filters, context.getInteger(config, "filters"));
  GRU_TAKE(groups, context.getInteger(config, "groups", 1));
  GRU_TAKE(window.size, getSingle(context, "kernel_size", {}));
  GRU_TAKE(window.stride, getSingle(context, "strides", 1));
  GRU_TAKE(window.dilation, getSingle(context, "dilation_rate", 1));
  if (filters < 1 || groups < 1 || features % groups || filters % groups)
    return context.error("filters is " + Twine(filters) + " and groups " +
                         Twine(groups) +
                         ", expected groups to divide filters and the " +
                         Twine(features) + " input features");
  if (Error error = place(context, input, window))
    return error;
  Activation activation;
  GRU_TAKE(activation,
           context.getActivation(config, "activation", ActivationKind::linear));
  bool useBias = true;
  GRU_TAKE(useBias, context.getBool(config, "use_bias", true));
  int64_t channels = features / groups;
  GRU_TAKE(kernel, context.getWeight("kernel", "", 0, type,
                                     {window.size * channels, filters},
                                     "kernel_size x inputs x filters", nullptr,
                                     {window.size, channels, filters}));
  if (useBias)
    GRU_TAKE(bias,
             context.getWeight("bias", "", 1, type, {filters}, "filters"));

  Tensor result{
      {input.shape[0], window.outputTime, filters}, input.type, {}, {}, {}};
  if (!context.isEmitting())
    return Tensors{result};
  Tensor windows = input;
  if (window.size != 1 || window.stride != 1)
    windows = emitWindows(context, input, window);
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  if (groups == 1) {
    if (windows.shape.size() == 4)
      windows = emitReshape(
          context, windows,
          {input.shape[0], window.outputTime, window.size * features});
    result.value =
        DenseOp::create(b, loc, windows.value, kernel.value, bias.value,
                        activation.getAttr(b.getContext()));
    return Tensors{result};
  }
  if (windows.shape.size() == 3)
    windows = emitWindows(context, input, window);
  // Filter f reads the channels of its own group only.
  result = emitLoops(
      context,
      {Size(input, 0), Size(window.outputTime), Size(filters),
       Size(window.size), Size(channels)},
      2, {}, input.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value i[5];
        for (int loop = 0; loop < 5; ++loop)
          i[loop] = mlir::linalg::IndexOp::create(b, loc, loop);
        auto linear = [&](Value major, int64_t size, Value minor) -> Value {
          return mlir::arith::AddIOp::create(
              b, loc,
              mlir::arith::MulIOp::create(b, loc, major,
                                          indexConstant(b, loc, size)),
              minor);
        };
        Value group = mlir::arith::DivUIOp::create(
            b, loc, i[2], indexConstant(b, loc, filters / groups));
        Value x = extract(b, loc, windows,
                          {i[0], i[1], i[3], linear(group, channels, i[4])});
        Value w = extract(b, loc, kernel, {linear(i[3], channels, i[4]), i[2]});
        return mlir::arith::AddFOp::create(
            b, loc, args.back(), mlir::arith::MulFOp::create(b, loc, x, w));
      });
  if (useBias)
    GRU_TAKE(result,
             emitElementwise(
                 context, {result, bias}, input.type,
                 [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return mlir::arith::AddFOp::create(b, loc, args[0], args[1]);
                 }));
  if (activation.kind != ActivationKind::linear)
    result.value = ActivationOp::create(b, loc, result.value,
                                        activation.getAttr(b.getContext()));
  return Tensors{result};
}

//===----------------------------------------------------------------------===//
// Pooling
//===----------------------------------------------------------------------===//

static Expected<Tensors> importPooling(LayerContext &context, bool average) {
  WeightType type;
  Tensor input;
  GRU_TAKE(input, getSequence(context, type));
  Window window;
  GRU_TAKE(window.size, getSingle(context, "pool_size", 2));
  GRU_TAKE(window.stride, getSingle(context, "strides", window.size));
  if (Error error = place(context, input, window))
    return error;
  double init = average ? 0.0 : -std::numeric_limits<double>::infinity();
  Tensor result =
      emitLoops(context,
                {Size(input, 0), Size(window.outputTime), Size(input, 2),
                 Size(window.size)},
                1, {}, input.type, init,
                [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                  Value i[4];
                  for (int loop = 0; loop < 4; ++loop)
                    i[loop] = mlir::linalg::IndexOp::create(b, loc, loop);
                  Element element =
                      readWindow(b, loc, input, window, i[0], i[1], i[3], i[2]);
                  Value with = average ? mlir::arith::AddFOp::create(
                                             b, loc, args.back(), element.value)
                                             .getResult()
                                       : mlir::arith::MaximumFOp::create(
                                             b, loc, args.back(), element.value)
                                             .getResult();
                  return mlir::arith::SelectOp::create(b, loc, element.isInside,
                                                       with, args.back());
                });
  if (!average)
    return Tensors{result};
  // By the number of steps below the window, not by its size.
  Operand operand{result, {0, 1, 2}};
  return Tensors{emitLoops(
      context, getSizes(result), 0, operand, input.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value step = mlir::linalg::IndexOp::create(b, loc, 1);
        Value first = mlir::arith::SubIOp::create(
            b, loc,
            mlir::arith::MulIOp::create(b, loc, step,
                                        indexConstant(b, loc, window.stride)),
            indexConstant(b, loc, window.left));
        Value end = mlir::arith::MinSIOp::create(
            b, loc,
            mlir::arith::AddIOp::create(b, loc, first,
                                        indexConstant(b, loc, window.size)),
            indexConstant(b, loc, window.inputTime));
        first = mlir::arith::MaxSIOp::create(b, loc, first,
                                             indexConstant(b, loc, 0));
        Value count = mlir::arith::IndexCastOp::create(
            b, loc, b.getI64Type(),
            mlir::arith::SubIOp::create(b, loc, end, first));
        return mlir::arith::DivFOp::create(
            b, loc, args[0], toFloat(b, loc, count, args[0].getType()));
      })};
}

Expected<Tensors> gru::keras::importMaxPooling1D(LayerContext &context) {
  return importPooling(context, /*average=*/false);
}

Expected<Tensors> gru::keras::importAveragePooling1D(LayerContext &context) {
  return importPooling(context, /*average=*/true);
}

static Expected<Tensors> finishGlobal(LayerContext &context, Tensor result) {
  bool keep = false;
  GRU_TAKE(keep, context.getBool(context.layer.config, "keepdims", false));
  if (keep)
    result = emitExpandDims(context, result, 1);
  return Tensors{result};
}

Expected<Tensors> gru::keras::importGlobalMaxPooling1D(LayerContext &context) {
  WeightType type;
  Tensor input;
  GRU_TAKE(input, getSequence(context, type));
  return finishGlobal(context, emitReduce(context, input, 1, Reduction::max));
}

/// The mean over the timesteps, over the unmasked ones where there is a mask. A
/// row that is masked throughout gives NaN, as in Keras.
Expected<Tensors>
gru::keras::importGlobalAveragePooling1D(LayerContext &context) {
  WeightType type;
  Tensor input, result;
  GRU_TAKE(input, getSequence(context, type));
  if (std::shared_ptr<const Tensor> mask = context.getMask()) {
    Tensor weight =
        emitExpandDims(context, emitCast(context, *mask, input.type), 2);
    Tensor weighted;
    GRU_TAKE(weighted,
             emitElementwise(
                 context, {input, weight}, input.type,
                 [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return mlir::arith::MulFOp::create(b, loc, args[0], args[1]);
                 }));
    Tensor sum = emitReduce(context, weighted, 1, Reduction::sum);
    Tensor count = emitReduce(context, weight, 1, Reduction::sum);
    GRU_TAKE(result,
             emitElementwise(
                 context, {sum, count}, input.type,
                 [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return mlir::arith::DivFOp::create(b, loc, args[0], args[1]);
                 }));
    return finishGlobal(context, result);
  }
  Tensor sum = emitReduce(context, input, 1, Reduction::sum);
  Value time;
  if (context.isEmitting())
    time = mlir::tensor::DimOp::create(*context.builder, context.getLocation(),
                                       input.value, 1);
  GRU_TAKE(
      result,
      emitElementwise(
          context, {sum}, input.type,
          [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
            Value count =
                mlir::arith::IndexCastOp::create(b, loc, b.getI64Type(), time);
            return mlir::arith::DivFOp::create(
                b, loc, args[0], toFloat(b, loc, count, args[0].getType()));
          }));
  return finishGlobal(context, result);
}
