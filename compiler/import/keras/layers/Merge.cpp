//===- Merge.cpp - layers that join several tensors -----------------------===//

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
// Masks
//===----------------------------------------------------------------------===//

using Mask = std::shared_ptr<const Tensor>;

/// The mask of several tensors that become one. A step is unmasked in Keras 2
/// where no input masks it, in Keras 3 where some input does not.
static Expected<Mask> emitJoinedMask(LayerContext &context) {
  // An input without a mask is unmasked throughout.
  if (context.version == 3 && (context.masks.size() < context.inputs.size() ||
                               is_contained(context.masks, nullptr)))
    return Mask();
  Mask result;
  for (const Mask &mask : context.masks) {
    if (!mask || !result) {
      result = mask ? mask : result;
      continue;
    }
    Tensor both;
    GRU_TAKE(both,
             emitElementwise(
                 context, {*result, *mask}, ElementType::i1,
                 [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   if (context.version == 3)
                     return mlir::arith::OrIOp::create(b, loc, args[0],
                                                       args[1]);
                   return mlir::arith::AndIOp::create(b, loc, args[0], args[1]);
                 }));
    result = std::make_shared<const Tensor>(both);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

using Combine = Value (*)(OpBuilder &, Location, Value, Value);

template <typename Op>
static Value combine(OpBuilder &b, Location loc, Value x, Value y) {
  return Op::create(b, loc, x, y);
}

/// The inputs in one type and rank. Keras puts missing dimensions behind the
/// batch, its operations in front of all, as NumPy does.
static Expected<Tensors> getOperands(LayerContext &context) {
  Tensors inputs = context.inputs;
  if (inputs.empty())
    return context.error("found no inputs, expected at least 1");
  if (context.layer.isOperation) {
    if (any_of(inputs, [](const Tensor &input) {
          return !input.number && !isFloat(input.type);
        }))
      return context.error("operands are integers, expected floats");
    return inputs;
  }
  WeightType type;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
  GRU_TAKE(inputs, context.getInputs(type, 1));
  size_t rank = 0;
  for (const Tensor &input : inputs)
    rank = std::max(rank, input.shape.size());
  for (Tensor &input : inputs)
    while (input.shape.size() < rank)
      input = emitExpandDims(context, input, 1);
  return inputs;
}

static Expected<Tensors> mergeTensors(LayerContext &context, Tensors inputs,
                                      Combine step, bool average) {
  auto type =
      find_if(inputs, [](const Tensor &input) { return !input.number; });
  if (type == inputs.end())
    return context.error("expected at least 1 tensor");
  Tensor result;
  GRU_TAKE(result,
           emitElementwise(
               context, inputs, type->type,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 Value value = args.front();
                 for (Value next : args.drop_front())
                   value = step(b, loc, value, next);
                 if (average)
                   value = mlir::arith::MulFOp::create(
                       b, loc, value,
                       numberLike(b, value, 1.0 / inputs.size()));
                 return value;
               }));
  GRU_TAKE(result.mask, emitJoinedMask(context));
  return Tensors{result};
}

static Expected<Tensors> importMerge(LayerContext &context, Combine step,
                                     bool average = false) {
  Expected<Tensors> inputs = getOperands(context);
  if (!inputs)
    return inputs.takeError();
  return mergeTensors(context, std::move(*inputs), step, average);
}

Expected<Tensors> gru::keras::importAdd(LayerContext &context) {
  return importMerge(context, combine<mlir::arith::AddFOp>);
}

Expected<Tensors> gru::keras::importSubtract(LayerContext &context) {
  if (context.inputs.size() != 2)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 2");
  return importMerge(context, combine<mlir::arith::SubFOp>);
}

/// The layer of Keras 3 takes one for what a mask leaves out of an input, and
/// zero where all inputs have masks and none of them lets a step through.
Expected<Tensors> gru::keras::importMultiply(LayerContext &context) {
  Expected<Tensors> inputs = getOperands(context);
  if (!inputs)
    return inputs.takeError();
  bool masks = context.version == 3 && !context.layer.isOperation;
  for (size_t i = 0; masks && i < context.masks.size(); ++i) {
    // One that gets dimensions here loses its mask.
    Tensor &input = (*inputs)[i];
    if (context.masks[i] &&
        input.shape.size() == context.inputs[i].shape.size())
      GRU_TAKE(input, emitMasked(context, input, *context.masks[i], 1));
  }
  Expected<Tensors> results = mergeTensors(context, std::move(*inputs),
                                           combine<mlir::arith::MulFOp>, false);
  if (!results || !masks || !results->front().mask)
    return results;
  Mask mask = results->front().mask;
  Tensor result;
  GRU_TAKE(result, emitMasked(context, results->front(), *mask, 0));
  result.mask = mask;
  return Tensors{result};
}

Expected<Tensors> gru::keras::importAverage(LayerContext &context) {
  return importMerge(context, combine<mlir::arith::AddFOp>, /*average=*/true);
}

Expected<Tensors> gru::keras::importMaximum(LayerContext &context) {
  return importMerge(context, combine<mlir::arith::MaximumFOp>);
}

Expected<Tensors> gru::keras::importMinimum(LayerContext &context) {
  return importMerge(context, combine<mlir::arith::MinimumFOp>);
}

//===----------------------------------------------------------------------===//
// Concatenate
//===----------------------------------------------------------------------===//

static Expected<Tensor> emitConcat(LayerContext &context,
                                   ArrayRef<Tensor> inputs, int64_t dim) {
  Tensor result = inputs.front();
  result.mask = nullptr;
  int64_t rank = result.shape.size();
  SmallVector<Value> values;
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
                           ", expected equal shapes apart from dimension " +
                           Twine(dim));
  }
  if (!context.isEmitting())
    return result;
  result.value = values.size() == 1
                     ? values.front()
                     : mlir::tensor::ConcatOp::create(
                           *context.builder, context.getLocation(), dim, values)
                           .getResult();
  ArrayRef<int64_t> shape =
      cast<mlir::ShapedType>(result.value.getType()).getShape();
  result.shape.assign(shape.begin(), shape.end());
  return result;
}

/// Behind a concatenation in time the masks are concatenated too; an input
/// without one is unmasked throughout.
static Expected<Mask> emitConcatMasks(LayerContext &context, int64_t dim) {
  if (all_of(context.masks, [](const Mask &mask) { return !mask; }))
    return Mask();
  if (dim != 1)
    return emitJoinedMask(context);
  Tensors masks;
  for (auto [index, input] : enumerate(context.inputs)) {
    if (index < context.masks.size() && context.masks[index]) {
      masks.push_back(*context.masks[index]);
      continue;
    }
    masks.push_back(emitGenerate(
        context, {Size(input, 0), Size(input, 1)}, ElementType::i1,
        [](OpBuilder &b, Location loc, ValueRange) -> Value {
          return mlir::arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
        }));
  }
  Tensor result;
  GRU_TAKE(result, emitConcat(context, masks, dim));
  return std::make_shared<const Tensor>(result);
}

Expected<Tensors> gru::keras::importConcatenate(LayerContext &context) {
  Tensors inputs = context.inputs;
  if (inputs.empty())
    return context.error("found no inputs, expected at least 1");
  if (!context.layer.isOperation && isFloat(inputs.front().type)) {
    WeightType type;
    GRU_TAKE(type, context.getComputeType(context.layer.config));
    // A merge of Bidirectional has no config, hence no type of its own.
    if (context.layer.config.empty())
      type = WeightType::f32;
    else
      GRU_TAKE(inputs, context.getInputs(type, 1));
  }
  int64_t rank = inputs.front().shape.size(), axis = -1;
  GRU_TAKE(axis, context.getInteger(context.layer.config, "axis", -1));
  int64_t dim = axis < 0 ? axis + rank : axis;
  if (dim < 1 || dim >= rank)
    return context.error("axis is " + Twine(axis) +
                         ", expected a dimension of " +
                         shapeText(inputs.front().shape) + " behind the batch");
  Tensor result;
  GRU_TAKE(result, emitConcat(context, inputs, dim));
  if (rank > 2 && dim == 1 && inputs.size() > 1)
    context.tellTimeIsFixed();
  GRU_TAKE(result.mask, emitConcatMasks(context, dim));
  return Tensors{result};
}

//===----------------------------------------------------------------------===//
// Dot
//===----------------------------------------------------------------------===//

/// x by its length along dimension `dim`.
static Expected<Tensor> emitNormalize(LayerContext &context, const Tensor &x,
                                      int64_t dim) {
  Tensor squares;
  GRU_TAKE(squares,
           emitElementwise(context, {x}, x.type,
                           [](OpBuilder &b, Location loc, ValueRange args) {
                             return combine<mlir::arith::MulFOp>(
                                 b, loc, args[0], args[0]);
                           }));
  Tensor sum = emitExpandDims(
      context, emitReduce(context, squares, dim, Reduction::sum), dim);
  double least = context.version == 2 ? 1e-12 : 1e-7;
  return emitElementwise(
      context, {x, sum}, x.type,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value length = mlir::math::SqrtOp::create(
            b, loc,
            mlir::arith::MaximumFOp::create(b, loc, args[1],
                                            numberLike(b, args[1], least)));
        return mlir::arith::DivFOp::create(b, loc, args[0], length);
      });
}

Expected<Tensors> gru::keras::importDot(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Expected<Tensors> inputs = context.getInputs(type, 2);
  if (!inputs)
    return inputs.takeError();
  if (inputs->size() != 2)
    return context.error("found " + Twine(inputs->size()) +
                         " inputs, expected 2");
  int64_t dims[2];
  const json::Value *axes = config.get("axes");
  for (int i : {0, 1}) {
    std::optional<int64_t> axis = axes ? axes->getAsInteger() : std::nullopt;
    if (const json::Array *list = axes ? axes->getAsArray() : nullptr)
      if (list->size() == 2)
        axis = (*list)[i].getAsInteger();
    int64_t rank = (*inputs)[i].shape.size();
    if (axis && *axis < 0)
      *axis += rank;
    if (!axis || *axis < 1 || *axis >= rank)
      return context.error("axes is " +
                           (axes ? jsonText(*axes) : std::string("missing")) +
                           ", expected a dimension of each input behind the "
                           "batch");
    dims[i] = *axis;
  }
  bool normalize = false;
  GRU_TAKE(normalize, context.getBool(config, "normalize", false));
  if (normalize)
    for (int i : {0, 1})
      GRU_TAKE((*inputs)[i], emitNormalize(context, (*inputs)[i], dims[i]));
  // Loops: batch, what is left of the first, what is left of the second, and
  // the common dimension.
  const Tensor &x = (*inputs)[0], &y = (*inputs)[1];
  int64_t lengths[2] = {x.shape[dims[0]], y.shape[dims[1]]};
  if (lengths[0] != lengths[1] && lengths[0] != kDynamicSize &&
      lengths[1] != kDynamicSize)
    return context.error("inputs are " + shapeText(x.shape) + " and " +
                         shapeText(y.shape) +
                         ", expected equal sizes along axes");
  int64_t reduction = x.shape.size() + y.shape.size() - 3;
  SmallVector<Size> sizes{Size(x, 0)};
  SmallVector<Operand> operands;
  for (int i : {0, 1}) {
    const Tensor &input = (*inputs)[i];
    Operand operand{input, {0}};
    for (int64_t dim = 1, e = input.shape.size(); dim < e; ++dim) {
      operand.loops.push_back(dim == dims[i] ? reduction : sizes.size());
      if (dim != dims[i])
        sizes.emplace_back(input, dim);
    }
    operands.push_back(std::move(operand));
  }
  sizes.emplace_back(x, dims[0]);
  Tensor result =
      emitLoops(context, sizes, 1, operands, x.type, 0,
                [](OpBuilder &b, Location loc, ValueRange args) {
                  return combine<mlir::arith::AddFOp>(
                      b, loc, args[2],
                      combine<mlir::arith::MulFOp>(b, loc, args[0], args[1]));
                });
  if (result.shape.size() == 1)
    result = emitExpandDims(context, result, 1);
  return Tensors{result};
}
