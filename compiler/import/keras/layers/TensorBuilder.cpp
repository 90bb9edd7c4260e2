//===- TensorBuilder.cpp - operations that layers are made of -------------===//

#include "compiler/import/keras/layers/TensorBuilder.h"

#include "compiler/import/ImportError.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <limits>
#include <numeric>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

SmallVector<Size> gru::keras::getSizes(const Tensor &tensor) {
  SmallVector<Size> sizes;
  for (size_t dim = 0; dim < tensor.shape.size(); ++dim)
    sizes.emplace_back(tensor, dim);
  return sizes;
}

Value gru::keras::extract(OpBuilder &b, Location loc, const Tensor &tensor,
                          ValueRange indices) {
  return mlir::tensor::ExtractOp::create(b, loc, tensor.value, indices);
}

Value gru::keras::indexConstant(OpBuilder &b, Location loc, int64_t number) {
  return mlir::arith::ConstantIndexOp::create(b, loc, number);
}

static Value constantOf(OpBuilder &b, Location loc, mlir::Type type,
                        double number) {
  mlir::TypedAttr attribute =
      isa<mlir::FloatType>(type)
          ? mlir::TypedAttr(b.getFloatAttr(type, number))
          : mlir::TypedAttr(b.getIntegerAttr(type, int64_t(number)));
  return mlir::arith::ConstantOp::create(b, loc, attribute);
}

Value gru::keras::numberLike(OpBuilder &b, Value like, double number) {
  return constantOf(b, like.getLoc(), like.getType(), number);
}

static mlir::OpFoldResult toFoldResult(OpBuilder &b, Location loc,
                                       const Size &size) {
  if (size.number != kDynamicSize)
    return b.getIndexAttr(size.number);
  return mlir::tensor::DimOp::create(b, loc, size.source, size.dim).getResult();
}

Tensor gru::keras::emitLoops(LayerContext &context, ArrayRef<Size> sizes,
                             unsigned numReductions, ArrayRef<Operand> operands,
                             ElementType type, double init, Body body) {
  unsigned numParallel = sizes.size() - numReductions;
  Tensor result;
  result.type = type;
  for (const Size &size : sizes.take_front(numParallel))
    result.shape.push_back(size.number);
  if (!context.isEmitting())
    return result;

  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  mlir::MLIRContext *mlirContext = b.getContext();
  // A half that is carried around a loop is one that LLVM calls a library for,
  // so sums of halves are kept in f32, rounded as ever.
  bool widensSum = numReductions > 0 &&
                   (type == ElementType::f16 || type == ElementType::bf16);
  mlir::Type narrow = getMLIRType(mlirContext, type);
  mlir::Type element = widensSum ? mlir::Type(b.getF32Type()) : narrow;
  SmallVector<mlir::AffineMap> maps;
  SmallVector<Value> inputs;
  // A loop that only the reduction has needs a tensor with its size; every
  // operand's dimension does as well.
  BitVector known(sizes.size());
  known.set(0, numParallel);
  for (const Operand &operand : operands) {
    SmallVector<mlir::AffineExpr> exprs;
    for (int64_t loop : operand.loops) {
      exprs.push_back(loop < 0 ? b.getAffineConstantExpr(0)
                               : b.getAffineDimExpr(loop));
      if (loop >= 0)
        known.set(loop);
    }
    inputs.push_back(operand.tensor.value);
    maps.push_back(mlir::AffineMap::get(sizes.size(), 0, exprs, mlirContext));
  }
  unsigned numOperands = inputs.size();
  for (unsigned loop = numParallel; loop < sizes.size(); ++loop) {
    if (known.test(loop))
      continue;
    inputs.push_back(mlir::tensor::EmptyOp::create(
        b, loc, {toFoldResult(b, loc, sizes[loop])}, element));
    maps.push_back(mlir::AffineMap::get(
        sizes.size(), 0, {b.getAffineDimExpr(loop)}, mlirContext));
  }
  SmallVector<mlir::OpFoldResult> resultSizes;
  SmallVector<mlir::AffineExpr> resultExprs;
  SmallVector<mlir::utils::IteratorType> iterators(
      numParallel, mlir::utils::IteratorType::parallel);
  iterators.append(numReductions, mlir::utils::IteratorType::reduction);
  for (unsigned loop = 0; loop < numParallel; ++loop) {
    resultSizes.push_back(toFoldResult(b, loc, sizes[loop]));
    resultExprs.push_back(b.getAffineDimExpr(loop));
  }
  maps.push_back(
      mlir::AffineMap::get(sizes.size(), 0, resultExprs, mlirContext));
  Value output =
      mlir::tensor::EmptyOp::create(b, loc, resultSizes, element).getResult();
  if (numReductions)
    output = mlir::linalg::FillOp::create(
                 b, loc, constantOf(b, loc, element, init), output)
                 .getResult(0);
  auto generic = mlir::linalg::GenericOp::create(
      b, loc, output.getType(), inputs, output, maps, iterators,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        SmallVector<Value> values(args.take_front(numOperands));
        if (widensSum)
          values.push_back(
              mlir::arith::TruncFOp::create(b, loc, narrow, args.back()));
        else if (numReductions)
          values.push_back(args.back());
        Value value = body(b, loc, values);
        if (widensSum)
          value = mlir::arith::ExtFOp::create(b, loc, element, value);
        mlir::linalg::YieldOp::create(b, loc, value);
      });
  result.value = generic.getResult(0);
  if (!widensSum)
    return result;
  result.type = ElementType::f32;
  return emitCast(context, result, type);
}

Expected<Tensor> gru::keras::emitElementwise(LayerContext &context,
                                             ArrayRef<Tensor> tensors,
                                             ElementType type, Body body) {
  size_t rank = 0;
  ElementType numberType = type;
  for (const Tensor &tensor : reverse(tensors)) {
    rank = std::max(rank, tensor.shape.size());
    if (!tensor.number)
      numberType = tensor.type;
  }
  SmallVector<Size> sizes(rank, Size(1));
  for (const Tensor &tensor : tensors)
    for (size_t dim = 0; dim < tensor.shape.size(); ++dim) {
      Size &size = sizes[rank - tensor.shape.size() + dim];
      int64_t other = tensor.shape[dim];
      if (other == 1 || other == size.number)
        continue;
      // What is dynamic is taken to be equal, not 1.
      if (size.number == 1 || size.number == kDynamicSize)
        size = Size(tensor, dim);
      else if (other != kDynamicSize)
        return context.error("inputs are " + shapeText(tensors[0].shape) +
                             " and " + shapeText(tensor.shape) +
                             ", expected shapes that can be broadcast");
    }
  SmallVector<Operand> operands;
  for (const Tensor &tensor : tensors) {
    if (tensor.number)
      continue;
    Operand operand{tensor, {}};
    size_t lead = rank - tensor.shape.size();
    for (size_t dim = 0; dim < tensor.shape.size(); ++dim)
      operand.loops.push_back(tensor.shape[dim] == 1 &&
                                      sizes[lead + dim].number != 1
                                  ? -1
                                  : int64_t(lead + dim));
    operands.push_back(std::move(operand));
  }
  return emitLoops(context, sizes, 0, operands, type, 0,
                   [&](OpBuilder &b, Location loc, ValueRange args) {
                     SmallVector<Value> values;
                     for (const Tensor &tensor : tensors) {
                       if (tensor.number) {
                         values.push_back(constantOf(
                             b, loc, getMLIRType(b.getContext(), numberType),
                             *tensor.number));
                       } else {
                         values.push_back(args.front());
                         args = args.drop_front();
                       }
                     }
                     return body(b, loc, values);
                   });
}

Expected<Tensor> gru::keras::emitProduct(LayerContext &context, const Tensor &a,
                                         const Tensor &b) {
  return emitElementwise(context, {a, b}, a.type,
                         [](OpBuilder &b, Location loc, ValueRange args) {
                           return multiply(b, loc, args[0], args[1]);
                         });
}

Tensor gru::keras::emitGenerate(LayerContext &context, ArrayRef<Size> sizes,
                                ElementType type, Body body) {
  return emitLoops(context, sizes, 0, {}, type, 0,
                   [&](OpBuilder &b, Location loc, ValueRange) {
                     SmallVector<Value> indices;
                     for (size_t dim = 0; dim < sizes.size(); ++dim)
                       indices.push_back(
                           mlir::linalg::IndexOp::create(b, loc, dim));
                     return body(b, loc, indices);
                   });
}

Tensor gru::keras::emitReduce(LayerContext &context, const Tensor &input,
                              int64_t dim, Reduction kind) {
  int64_t rank = input.shape.size();
  SmallVector<Size> sizes;
  Operand operand{input, {}};
  for (int64_t i = 0; i < rank; ++i) {
    operand.loops.push_back(i == dim ? rank - 1 : i < dim ? i : i - 1);
    if (i != dim)
      sizes.emplace_back(input, i);
  }
  sizes.emplace_back(input, dim);
  double init =
      kind == Reduction::max ? -std::numeric_limits<double>::infinity() : 0.0;
  return emitLoops(
      context, sizes, 1, operand, input.type, init,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        switch (kind) {
        case Reduction::sum:
          return mlir::arith::AddFOp::create(b, loc, args[0], args[1]);
        case Reduction::max:
          return mlir::arith::MaximumFOp::create(b, loc, args[0], args[1]);
        case Reduction::any:
          return mlir::arith::OrIOp::create(b, loc, args[0], args[1]);
        }
        llvm_unreachable("unknown reduction");
      });
}

Expected<Tensor> gru::keras::emitNotEqual(LayerContext &context,
                                          const Tensor &a, const Tensor &b) {
  return emitElementwise(
      context, {a, b}, ElementType::i1,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        // NaN is not equal to anything, as in NumPy.
        if (isa<mlir::FloatType>(args[0].getType()))
          return mlir::arith::CmpFOp::create(
              b, loc, mlir::arith::CmpFPredicate::UNE, args[0], args[1]);
        return mlir::arith::CmpIOp::create(
            b, loc, mlir::arith::CmpIPredicate::ne, args[0], args[1]);
      });
}

Value gru::keras::toFloat(OpBuilder &b, Location loc, Value integer,
                          mlir::Type type) {
  // Halves by way of f32: there is no instruction to bf16.
  bool isHalf = type.getIntOrFloatBitWidth() < 32;
  mlir::Type wide = isHalf ? mlir::Type(b.getF32Type()) : type;
  Value number;
  if (integer.getType().isInteger(1))
    number = mlir::arith::UIToFPOp::create(b, loc, wide, integer);
  else
    number = mlir::arith::SIToFPOp::create(b, loc, wide, integer);
  if (isHalf)
    number = mlir::arith::TruncFOp::create(b, loc, type, number);
  return number;
}

Tensor gru::keras::emitCast(LayerContext &context, const Tensor &tensor,
                            ElementType type) {
  if (tensor.type == type)
    return tensor;
  SmallVector<int64_t> loops(tensor.shape.size());
  std::iota(loops.begin(), loops.end(), 0);
  Operand operand{tensor, loops};
  Tensor result =
      emitLoops(context, getSizes(tensor), 0, operand, type, 0,
                [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                  Value x = args[0];
                  mlir::Type to = getMLIRType(b.getContext(), type);
                  if (!isFloat(tensor.type))
                    return toFloat(b, loc, x, to);
                  unsigned from = x.getType().getIntOrFloatBitWidth();
                  if (from < to.getIntOrFloatBitWidth())
                    return mlir::arith::ExtFOp::create(b, loc, to, x);
                  if (from > to.getIntOrFloatBitWidth())
                    return mlir::arith::TruncFOp::create(b, loc, to, x);
                  // Between the two half types.
                  x = mlir::arith::ExtFOp::create(b, loc, b.getF32Type(), x);
                  return mlir::arith::TruncFOp::create(b, loc, to, x);
                });
  result.mask = tensor.mask;
  return result;
}

Tensor gru::keras::emitReshape(LayerContext &context, const Tensor &tensor,
                               ArrayRef<int64_t> shape) {
  Tensor result{SmallVector<int64_t>(shape), tensor.type, {}, {}, {}};
  if (!context.isEmitting() || result.shape == tensor.shape) {
    result.value = tensor.value;
    return result;
  }
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  SmallVector<Size> sizes;
  for (int64_t size : shape)
    if (size == kDynamicSize)
      sizes.emplace_back(tensor, 0);
    else
      sizes.emplace_back(size);
  // The batch stays in front as long as it is the same in both shapes; what
  // lies behind goes through one dimension.
  bool keepBatch = tensor.shape[0] == shape[0];
  size_t lead = keepBatch ? 1 : 0;
  auto group = [&](size_t rank) {
    SmallVector<mlir::ReassociationIndices> groups;
    if (keepBatch)
      groups.push_back({0});
    mlir::ReassociationIndices rest;
    for (size_t dim = lead; dim < rank; ++dim)
      rest.push_back(dim);
    if (!rest.empty())
      groups.push_back(rest);
    return groups;
  };
  Value flat = tensor.value;
  if (tensor.shape.size() > lead + 1)
    flat = mlir::tensor::CollapseShapeOp::create(b, loc, flat,
                                                 group(tensor.shape.size()));
  if (shape.size() > lead + 1) {
    SmallVector<mlir::OpFoldResult> results;
    for (const Size &size : sizes)
      results.push_back(toFoldResult(b, loc, size));
    auto type = mlir::RankedTensorType::get(
        shape, getMLIRType(b.getContext(), tensor.type));
    flat = mlir::tensor::ExpandShapeOp::create(b, loc, type, flat,
                                               group(shape.size()), results);
  }
  result.value = flat;
  return result;
}

Expected<Tensor> gru::keras::emitMasked(LayerContext &context,
                                        const Tensor &tensor,
                                        const Tensor &mask, double number) {
  if (mask.shape.size() + 1 != tensor.shape.size())
    return context.error("the mask of an input is " + shapeText(mask.shape) +
                         ", expected the dimensions of the input but the last, "
                         "found " +
                         shapeText(tensor.shape));
  Operand values{tensor, {}}, flags{mask, {}};
  for (int64_t dim = 0, e = tensor.shape.size(); dim < e; ++dim)
    values.loops.push_back(dim);
  flags.loops.assign(values.loops.begin(), values.loops.end() - 1);
  return emitLoops(context, getSizes(tensor), 0, {values, flags}, tensor.type,
                   0, [&](OpBuilder &b, Location loc, ValueRange args) {
                     return mlir::arith::SelectOp::create(
                                b, loc, args[1], args[0],
                                numberLike(b, args[0], number))
                         .getResult();
                   });
}

Tensor gru::keras::emitExpandDims(LayerContext &context, const Tensor &tensor,
                                  int64_t dim) {
  SmallVector<Size> sizes = getSizes(tensor);
  sizes.insert(sizes.begin() + dim, Size(1));
  Operand operand{tensor, {}};
  for (int64_t i = 0, e = tensor.shape.size(); i < e; ++i)
    operand.loops.push_back(i < dim ? i : i + 1);
  return emitLoops(
      context, sizes, 0, operand, tensor.type, 0,
      [](OpBuilder &, Location, ValueRange args) { return args[0]; });
}

Value gru::keras::multiply(OpBuilder &b, Location loc, Value x, Value y) {
  return mlir::arith::MulFOp::create(b, loc, x, y);
}

Value gru::keras::add(OpBuilder &b, Location loc, Value x, Value y) {
  return mlir::arith::AddFOp::create(b, loc, x, y);
}
