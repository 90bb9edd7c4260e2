//===- Reshaping.cpp - layers that move elements only ---------------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

/// The only input, of any type, with `rank` dimensions unless that is 0.
static Expected<Tensor> getAnyInput(LayerContext &context, size_t rank) {
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 1 tensor");
  Tensor input = context.inputs.front();
  input.mask = nullptr;
  if (rank && input.shape.size() != rank)
    return context.error("input is " + shapeText(input.shape) + ", expected " +
                         Twine(rank) + " dimensions");
  return input;
}

/// Elements of one row of the batch; dynamic where a size is.
static int64_t countElements(const Tensor &tensor) {
  int64_t count = 1;
  for (int64_t size : drop_begin(tensor.shape)) {
    if (size == kDynamicSize)
      return kDynamicSize;
    count *= size;
  }
  return count;
}

static Error needsTimesteps(LayerContext &context, const Tensor &input) {
  return context.error("input is " + shapeText(input.shape) +
                       ", expected a known number of timesteps; compile the "
                       "model for one");
}

Expected<Tensors> gru::keras::importFlatten(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 0));
  int64_t count = countElements(input);
  if (context.isEmitting() && count == kDynamicSize)
    return needsTimesteps(context, input);
  if (input.shape.size() == 1)
    return Tensors{emitExpandDims(context, input, 1)};
  return Tensors{emitReshape(context, input, {input.shape[0], count})};
}

Expected<Tensors> gru::keras::importReshape(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 0));
  const json::Array *target = context.layer.config.getArray("target_shape");
  if (!target || target->empty())
    return context.error("target_shape is missing or empty");
  SmallVector<int64_t> shape{input.shape[0]};
  int64_t known = 1, open = -1;
  for (const json::Value &value : *target) {
    std::optional<int64_t> size = value.getAsInteger();
    if (size == -1 && open < 0)
      open = shape.size();
    else if (!size || *size < 1 || *size > (int64_t(1) << 31))
      return context.error("target_shape is " + jsonText(json::Array(*target)) +
                           ", expected positive sizes and at most one -1");
    else
      known *= *size;
    shape.push_back(*size);
  }
  int64_t count = countElements(input);
  if (context.isEmitting() && count == kDynamicSize)
    return needsTimesteps(context, input);
  if (open >= 0)
    shape[open] = count == kDynamicSize ? kDynamicSize : count / known;
  if (count != kDynamicSize &&
      (open >= 0 ? count % known != 0 : count != known))
    return context.error("target_shape is " + jsonText(json::Array(*target)) +
                         ", which does not hold the elements of " +
                         shapeText(input.shape));
  return Tensors{emitReshape(context, input, shape)};
}

Expected<Tensors> gru::keras::importPermute(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 0));
  const json::Array *dims = context.layer.config.getArray("dims");
  size_t rank = input.shape.size();
  SmallVector<Size> sizes{Size(input, 0)};
  Operand operand{input, SmallVector<int64_t>(rank, -1)};
  operand.loops[0] = 0;
  if (dims && dims->size() + 1 == rank)
    for (auto [index, value] : enumerate(*dims)) {
      std::optional<int64_t> dim = value.getAsInteger();
      if (!dim || *dim < 1 || *dim >= int64_t(rank) || operand.loops[*dim] >= 0)
        break;
      operand.loops[*dim] = index + 1;
      sizes.emplace_back(input, *dim);
    }
  if (sizes.size() != rank)
    return context.error(
        "dims is " +
        (dims ? jsonText(json::Array(*dims)) : std::string("missing")) +
        ", expected each of 1 to " + Twine(rank - 1) + " once");
  return Tensors{emitLoops(
      context, sizes, 0, operand, input.type, 0,
      [](OpBuilder &, Location, ValueRange args) { return args[0]; })};
}

Expected<Tensors> gru::keras::importRepeatVector(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 2));
  int64_t count = 0;
  GRU_TAKE(count, context.getInteger(context.layer.config, "n"));
  if (count < 1)
    return context.error("n is " + Twine(count) +
                         ", expected a positive integer");
  Operand operand{input, {0, 2}};
  return Tensors{emitLoops(
      context, {Size(input, 0), Size(count), Size(input, 1)}, 0, operand,
      input.type, 0,
      [](OpBuilder &, Location, ValueRange args) { return args[0]; })};
}

/// One or two numbers: "padding": 2 or [1, 2].
static Expected<std::pair<int64_t, int64_t>> getPair(LayerContext &context,
                                                     StringRef key) {
  const json::Value *value = findEntry(context.layer.config, key);
  std::optional<int64_t> first, second;
  if (value)
    first = second = value->getAsInteger();
  if (const json::Array *list = value ? value->getAsArray() : nullptr)
    if (list->size() == 2) {
      first = (*list)[0].getAsInteger();
      second = (*list)[1].getAsInteger();
    }
  if (!first || !second || *first < 0 || *second < 0)
    return context.error(key + " is " +
                         (value ? jsonText(*value) : std::string("missing")) +
                         ", expected one or two numbers");
  return std::pair{*first, *second};
}

/// Another number of timesteps: step t is step `source(t)` of the input, or
/// zeros where that lies outside.
static Tensor emitTime(LayerContext &context, const Tensor &input,
                       int64_t length,
                       function_ref<Value(OpBuilder &, Location, Value)> source,
                       bool mayLieOutside) {
  return emitGenerate(
      context, {Size(input, 0), Size(length), Size(input, 2)}, input.type,
      [&](OpBuilder &b, Location loc, ValueRange indices) -> Value {
        Value time = source(b, loc, indices[1]);
        if (!mayLieOutside)
          return extract(b, loc, input, {indices[0], time, indices[2]});
        Value zero = indexConstant(b, loc, 0);
        Value last = indexConstant(b, loc, input.shape[1] - 1);
        Value inside = mlir::arith::MinSIOp::create(
            b, loc, mlir::arith::MaxSIOp::create(b, loc, time, zero), last);
        Value value = extract(b, loc, input, {indices[0], inside, indices[2]});
        Value isInside = mlir::arith::CmpIOp::create(
            b, loc, mlir::arith::CmpIPredicate::eq, inside, time);
        return mlir::arith::SelectOp::create(b, loc, isInside, value,
                                             numberLike(b, value, 0));
      });
}

Expected<Tensors> gru::keras::importZeroPadding1D(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 3));
  std::pair<int64_t, int64_t> padding;
  GRU_TAKE(padding, getPair(context, "padding"));
  int64_t time = input.shape[1];
  if (context.isEmitting() && time == kDynamicSize)
    return needsTimesteps(context, input);
  if (time != kDynamicSize)
    time += padding.first + padding.second;
  return Tensors{emitTime(
      context, input, time,
      [&](OpBuilder &b, Location loc, Value t) -> Value {
        return mlir::arith::SubIOp::create(
            b, loc, t, indexConstant(b, loc, padding.first));
      },
      /*mayLieOutside=*/true)};
}

Expected<Tensors> gru::keras::importCropping1D(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 3));
  std::pair<int64_t, int64_t> cropping;
  GRU_TAKE(cropping, getPair(context, "cropping"));
  int64_t time = input.shape[1];
  if (context.isEmitting() && time == kDynamicSize)
    return needsTimesteps(context, input);
  if (time != kDynamicSize && (time -= cropping.first + cropping.second) < 1)
    return context.error("cropping leaves nothing of " +
                         shapeText(input.shape));
  return Tensors{emitTime(
      context, input, time,
      [&](OpBuilder &b, Location loc, Value t) -> Value {
        return mlir::arith::AddIOp::create(
            b, loc, t, indexConstant(b, loc, cropping.first));
      },
      /*mayLieOutside=*/false)};
}

Expected<Tensors> gru::keras::importUpSampling1D(LayerContext &context) {
  Tensor input;
  GRU_TAKE(input, getAnyInput(context, 3));
  int64_t size = 0, time = input.shape[1];
  GRU_TAKE(size, context.getInteger(context.layer.config, "size", 2));
  if (size < 1)
    return context.error("size is " + Twine(size) +
                         ", expected a positive integer");
  if (context.isEmitting() && time == kDynamicSize)
    return needsTimesteps(context, input);
  return Tensors{emitTime(
      context, input, time == kDynamicSize ? time : time * size,
      [&](OpBuilder &b, Location loc, Value t) -> Value {
        return mlir::arith::DivUIOp::create(b, loc, t,
                                            indexConstant(b, loc, size));
      },
      /*mayLieOutside=*/false)};
}
