//===- Operations.cpp - Keras 3 operations among the layers ---------------===//
//
// Functional models of Keras 3 hold the computation of masks as operations of
// their own.
//
//===----------------------------------------------------------------------===//

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

Expected<Tensors> gru::keras::importNotEqual(LayerContext &context) {
  if (context.inputs.size() != 2)
    return context.error("found " + Twine(context.inputs.size()) +
                         " operands, expected 2");
  Tensor result;
  GRU_TAKE(result, emitNotEqual(context, context.inputs[0], context.inputs[1]));
  return Tensors{result};
}

/// The only operand and the dimension that the config's axis names, counted
/// from the end of `rank` dimensions where it is negative.
static Expected<int64_t> getAxis(LayerContext &context, int64_t extraRank) {
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " operands, expected 1");
  int64_t axis = -1, rank = context.inputs[0].shape.size() + extraRank;
  GRU_TAKE(axis, context.getInteger(context.layer.config, "axis"));
  int64_t dim = axis < 0 ? axis + rank : axis;
  if (dim < 0 || dim >= rank)
    return context.error("axis is " + Twine(axis) +
                         ", expected a dimension of " +
                         shapeText(context.inputs[0].shape));
  return dim;
}

Expected<Tensors> gru::keras::importAny(LayerContext &context) {
  int64_t dim = 0;
  GRU_TAKE(dim, getAxis(context, 0));
  Tensor input = context.inputs.front();
  if (input.type != ElementType::i1)
    return context.error("operand is " + getElementTypeName(input.type) +
                         ", expected bool");
  bool keep = false;
  GRU_TAKE(keep, context.getBool(context.layer.config, "keepdims", false));
  Tensor result = emitReduce(context, input, dim, Reduction::any);
  if (keep)
    result = emitExpandDims(context, result, dim);
  return Tensors{result};
}

Expected<Tensors> gru::keras::importExpandDims(LayerContext &context) {
  int64_t dim = 0;
  GRU_TAKE(dim, getAxis(context, 1));
  return Tensors{emitExpandDims(context, context.inputs.front(), dim)};
}

/// The config's dtype, or `otherwise` where it names none.
static Expected<ElementType> getResultType(LayerContext &context,
                                           ElementType otherwise) {
  std::optional<StringRef> name = context.layer.config.getString("dtype");
  if (!name)
    return otherwise;
  for (ElementType type :
       {ElementType::f32, ElementType::f64, ElementType::f16, ElementType::bf16,
        ElementType::i1, ElementType::i32, ElementType::i64})
    if (getElementTypeName(type) == *name)
      return type;
  return context.error("dtype '" + printable(*name) + "' is not supported");
}

/// What a layer's policy makes of its input, in front of its mask.
Expected<Tensors> gru::keras::importCast(LayerContext &context) {
  if (context.inputs.size() != 1 || context.inputs.front().number)
    return context.error("expected 1 tensor as operand");
  const Tensor &input = context.inputs.front();
  ElementType type = input.type;
  GRU_TAKE(type, getResultType(context, type));
  if (type != input.type && !isFloat(type))
    return context.error("casts from " + getElementTypeName(input.type) +
                         " to " + getElementTypeName(type) +
                         ", expected a float type");
  return Tensors{emitCast(context, input, type)};
}

/// ZerosLike and OnesLike.
Expected<Tensors> gru::keras::importConstantLike(LayerContext &context) {
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " operands, expected 1");
  const Tensor &input = context.inputs.front();
  ElementType type = input.type;
  GRU_TAKE(type, getResultType(context, type));
  int64_t number = context.layer.className == "OnesLike";
  return Tensors{emitGenerate(
      context, getSizes(input), type,
      [&](OpBuilder &b, Location loc, ValueRange) -> Value {
        mlir::Type element = getMLIRType(b.getContext(), type);
        mlir::TypedAttr value =
            isFloat(type)
                ? mlir::TypedAttr(b.getFloatAttr(element, double(number)))
                : mlir::TypedAttr(b.getIntegerAttr(element, number));
        return mlir::arith::ConstantOp::create(b, loc, value);
      })};
}

/// LogicalAnd and LogicalOr of booleans.
Expected<Tensors> gru::keras::importLogical(LayerContext &context) {
  if (context.inputs.size() != 2 ||
      any_of(context.inputs, [](const Tensor &input) {
        return input.number || input.type != ElementType::i1;
      }))
    return context.error("expected 2 operands of type bool");
  bool isAnd = context.layer.className == "LogicalAnd";
  Tensor result;
  GRU_TAKE(result,
           emitElementwise(
               context, context.inputs, ElementType::i1,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 if (isAnd)
                   return mlir::arith::AndIOp::create(b, loc, args[0], args[1]);
                 return mlir::arith::OrIOp::create(b, loc, args[0], args[1]);
               }));
  return Tensors{result};
}
