//===- Normalization.cpp - reductions and normalisations ------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/Graph.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;
using namespace mlir::arith;

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

/// Accumulates over `axes`, which stay as dimensions of size 1.
static Expected<Tensor> emitReduction(Node &node, const Tensor &input,
                                      ArrayRef<int64_t> axes, double init,
                                      Body body) {
  Sizes loops, kept = input.shape;
  Operand operand;
  GRU_TAKE(operand.value, node.getValue(input));
  operand.indices.resize(input.getRank());
  for (bool reduced : {false, true})
    for (size_t dim = 0; dim < input.getRank(); ++dim)
      if (is_contained(axes, int64_t(dim)) == reduced) {
        operand.indices[dim] = node.b.getAffineDimExpr(loops.size());
        loops.push_back(input.shape[dim]);
      }
  for (int64_t axis : axes)
    kept[axis] = 1;
  Tensor result =
      emitLoops(node, loops, axes.size(), operand, input.type, init, body);
  return emitReshape(node, result, kept);
}

/// How many elements are reduced to one, as a value inside of loops.
static Value emitCount(Node &node, OpBuilder &b, Location loc, Value like,
                       const Size &count) {
  if (count.isNumber())
    return numberLike(b, loc, like, double(count.getNumber()));
  Value integer =
      IndexCastOp::create(b, loc, b.getI64Type(), node.getIndex(count));
  return SIToFPOp::create(b, loc, like.getType(), integer);
}

static Size countOf(const Tensor &input, ArrayRef<int64_t> axes) {
  Sizes sizes;
  for (int64_t axis : axes)
    sizes.push_back(input.shape[axis]);
  return *multiplyAll(sizes);
}

static Value sum(OpBuilder &b, Location loc, ValueRange args) {
  return AddFOp::create(b, loc, args[1], args[0]);
}

static Expected<Tensor> emitMean(Node &node, const Tensor &input,
                                 ArrayRef<int64_t> axes) {
  Tensor result;
  GRU_TAKE(result, emitReduction(node, input, axes, 0, sum));
  Size count = countOf(input, axes);
  Value divisor;
  if (!count.isNumber())
    divisor = node.getIndex(count); // Outside of the loops.
  return emitElementwise(
      node, result, input.type,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return DivFOp::create(b, loc, args[0],
                              emitCount(node, b, loc, args[0], count));
      });
}

/// A reduction of numbers that are known when the model is imported.
static std::optional<Tensor> foldReduction(StringRef op, const Tensor &input,
                                           ArrayRef<int64_t> axes,
                                           ArrayRef<Size> shape) {
  if (!input.numbers || axes.size() != input.getRank() ||
      input.numbers->empty())
    return std::nullopt;
  std::optional<Size> result = input.numbers->front();
  for (const Size &number : drop_begin(*input.numbers)) {
    if (op == "ReduceSum")
      result = add(*result, number);
    else if (op == "ReduceProd")
      result = multiply(*result, number);
    else if (!(*result == number) &&
             (!result->isNumber() || !number.isNumber()))
      return std::nullopt;
    else if (op == "ReduceMax" || op == "ReduceMin")
      result = (number.getNumber() > result->getNumber()) == (op == "ReduceMax")
                   ? number
                   : *result;
    else
      return std::nullopt;
    if (!result)
      return std::nullopt;
  }
  Tensor folded = makeTensor({}, Sizes(shape), input.type);
  folded.numbers.emplace(1, *result);
  return folded;
}

/// ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceSumSquare,
/// ReduceL1, ReduceL2.
Expected<Tensors> gru::onnx::importReduction(Node &node) {
  const Tensor &input = node.getInput(0);
  StringRef op = node.getOperator();
  std::optional<SmallVector<int64_t>> given;
  GRU_TAKE(given, node.getAxesArgument(1, input.getRank()));
  bool keep = node.getInt("keepdims", 1) != 0,
       noop = node.getInt("noop_with_empty_axes", 0) != 0;
  if (!given || given->empty()) {
    if (noop)
      return Tensors{input};
    given.emplace(input.getRank());
    std::iota(given->begin(), given->end(), 0);
  }
  Sizes shape;
  for (auto [dim, size] : enumerate(input.shape))
    if (!is_contained(*given, int64_t(dim)))
      shape.push_back(size);
    else if (keep)
      shape.push_back(1);
  if (std::optional<Tensor> folded = foldReduction(op, input, *given, shape))
    return Tensors{*folded};
  bool isFloating = isFloat(input.type);
  if (input.type == DataType::i1 ||
      (!isFloating && op != "ReduceSum" && op != "ReduceMax" &&
       op != "ReduceMin" && op != "ReduceProd"))
    return node.error("the input is " + getName(input.type) +
                      ", expected a float type");
  Tensor result;
  if (op == "ReduceMean") {
    GRU_TAKE(result, emitMean(node, input, *given));
  } else {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    double least = isFloating                    ? -infinity
                   : input.type == DataType::i32 ? -0x1p31
                                                 : -0x1p63;
    double most = isFloating                    ? infinity
                  : input.type == DataType::i32 ? 0x1p31 - 1
                                                : 0x1.fffffffffffffp62;
    double init = op == "ReduceMax"    ? least
                  : op == "ReduceMin"  ? most
                  : op == "ReduceProd" ? 1
                                       : 0;
    GRU_TAKE(result,
             emitReduction(
                 node, input, *given, init,
                 [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   Value x = args[0], so = args[1];
                   if (op == "ReduceMax") {
                     if (isFloating)
                       return MaximumFOp::create(b, loc, so, x);
                     return MaxSIOp::create(b, loc, so, x);
                   }
                   if (op == "ReduceMin") {
                     if (isFloating)
                       return MinimumFOp::create(b, loc, so, x);
                     return MinSIOp::create(b, loc, so, x);
                   }
                   if (op == "ReduceProd") {
                     if (isFloating)
                       return MulFOp::create(b, loc, so, x);
                     return MulIOp::create(b, loc, so, x);
                   }
                   if (op == "ReduceL1")
                     x = mlir::math::AbsFOp::create(b, loc, x);
                   if (op == "ReduceSumSquare" || op == "ReduceL2")
                     x = MulFOp::create(b, loc, x, x);
                   if (isFloating)
                     return AddFOp::create(b, loc, so, x);
                   return AddIOp::create(b, loc, so, x);
                 }));
    if (op == "ReduceL2")
      GRU_TAKE(result,
               emitElementwise(
                   node, result, input.type,
                   [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                     return mlir::math::SqrtOp::create(b, loc, args[0]);
                   }));
  }
  GRU_TAKE(result, emitReshape(node, result, shape));
  return Tensors{result};
}

//===----------------------------------------------------------------------===//
// Normalisations
//===----------------------------------------------------------------------===//

namespace {
struct Moments {
  Tensor mean, factor; ///< factor = 1 / sqrt(variance + epsilon)
};
} // namespace

static Expected<Moments> emitMoments(Node &node, const Tensor &input,
                                     ArrayRef<int64_t> axes, double epsilon) {
  Moments moments;
  GRU_TAKE(moments.mean, emitMean(node, input, axes));
  Tensor squares;
  GRU_TAKE(
      squares,
      emitElementwise(node, {input, moments.mean}, input.type,
                      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                        Value d = SubFOp::create(b, loc, args[0], args[1]);
                        return MulFOp::create(b, loc, d, d);
                      }));
  GRU_TAKE(squares, emitMean(node, squares, axes));
  GRU_TAKE(moments.factor,
           emitElementwise(
               node, squares, input.type,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 Value sum = AddFOp::create(
                     b, loc, args[0], numberLike(b, loc, args[0], epsilon));
                 return DivFOp::create(b, loc, numberLike(b, loc, sum, 1),
                                       mlir::math::SqrtOp::create(b, loc, sum));
               }));
  return moments;
}

/// (x - mean) factor scale + bias; without a bias the last is left out.
static Expected<Tensor> emitNormalized(Node &node, const Tensor &input,
                                       const Moments &moments,
                                       const Tensor &scale,
                                       const Tensor *bias) {
  Tensors tensors{input, moments.mean, moments.factor, scale};
  if (bias)
    tensors.push_back(*bias);
  return emitElementwise(
      node, tensors, input.type,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value y = SubFOp::create(b, loc, args[0], args[1]);
        y = MulFOp::create(b, loc, y, args[2]);
        y = MulFOp::create(b, loc, y, args[3]);
        if (bias)
          y = AddFOp::create(b, loc, y, args[4]);
        return y;
      });
}

Expected<Tensors> gru::onnx::importLayerNormalization(Node &node) {
  const Tensor &input = node.getInput(0), &scale = node.getInput(1);
  int64_t rank = input.getRank(), axis = 0;
  GRU_TAKE(axis, node.getAxis(node.getInt("axis", -1), rank));
  double epsilon = node.getFloat("epsilon", 1e-5);
  node.ignoreAttribute("stash_type");
  if (!isFloat(input.type) || scale.type != input.type ||
      (node.hasInput(2) && node.getInput(2).type != input.type))
    return node.error("inputs are " + getName(input.type) + " and " +
                      getName(scale.type) + ", expected one float type");
  // At half precision the moments are computed in float32 (stash_type 1).
  bool isHalf = input.type == DataType::f16 || input.type == DataType::bf16;
  SmallVector<int64_t> axes(rank - axis);
  std::iota(axes.begin(), axes.end(), axis);
  Tensor wide = input;
  if (isHalf)
    GRU_TAKE(wide, emitCast(node, input, DataType::f32));
  Moments moments;
  GRU_TAKE(moments, emitMoments(node, wide, axes, epsilon));
  if (isHalf) {
    GRU_TAKE(moments.mean, emitCast(node, moments.mean, input.type));
    GRU_TAKE(moments.factor, emitCast(node, moments.factor, input.type));
  }
  Tensor result;
  GRU_TAKE(result,
           emitNormalized(node, input, moments, scale,
                          node.hasInput(2) ? &node.getInput(2) : nullptr));
  return Tensors{result, moments.mean, moments.factor};
}

/// [C] as [C, 1, ..., 1], to be broadcast against [N, C, ...].
static Expected<Tensor> alongChannels(Node &node, const Tensor &input,
                                      size_t index, StringRef name) {
  const Tensor &tensor = node.getInput(index);
  if (tensor.type != input.type || tensor.getRank() != 1 ||
      !(tensor.shape[0] == input.shape[1]))
    return node.error(name + " is " + shapeText(tensor.shape) + " of " +
                      getName(tensor.type) + ", expected " +
                      shapeText(input.shape[1]) + " of " + getName(input.type));
  Sizes shape{tensor.shape[0]};
  shape.append(input.getRank() - 2, 1);
  return emitReshape(node, tensor, shape);
}

static Error checkChannels(Node &node, const Tensor &input) {
  if (input.getRank() >= 2 && isFloat(input.type))
    return Error::success();
  return node.error("the input is " + shapeText(input.shape) + " of " +
                    getName(input.type) +
                    ", expected floats with a dimension of channels");
}

/// scale / sqrt(variance + epsilon) of weights, rounded once; nothing for what
/// is not in the file.
static std::optional<Tensor> foldFactor(Node &node, const Tensor &scale,
                                        const Tensor &variance,
                                        double epsilon) {
  if (!scale.literal || !variance.literal || getByteSize(scale.type) < 4)
    return std::nullopt;
  auto literal = std::make_shared<Literal>(*scale.literal);
  literal->name = (node.getName() + "/factor").str();
  for (int64_t i = 0, e = literal->getNumElements(); i < e; ++i) {
    double factor = scale.literal->getDouble(i) /
                    std::sqrt(variance.literal->getDouble(i) + epsilon);
    float single = float(factor);
    if (scale.type == DataType::f64)
      std::memcpy(literal->bytes.data() + 8 * i, &factor, 8);
    else
      std::memcpy(literal->bytes.data() + 4 * i, &single, 4);
  }
  Tensor result = scale;
  result.literal = node.graph.keep(std::move(literal));
  return result;
}

Expected<Tensors> gru::onnx::importBatchNormalization(Node &node) {
  const Tensor &input = node.getInput(0);
  if (Error error = checkChannels(node, input))
    return error;
  double epsilon = node.getFloat("epsilon", 1e-5);
  node.ignoreAttribute("momentum");
  if (node.getInt("training_mode", 0) || !node.getInt("spatial", 1))
    return node.error("training_mode is not 0 or spatial not 1, which is not "
                      "supported; export the model for inference");
  Tensor scale, bias, mean, variance;
  GRU_TAKE(scale, alongChannels(node, input, 1, "scale"));
  GRU_TAKE(bias, alongChannels(node, input, 2, "B"));
  GRU_TAKE(mean, alongChannels(node, input, 3, "input_mean"));
  GRU_TAKE(variance, alongChannels(node, input, 4, "input_var"));
  Tensor factor;
  if (std::optional<Tensor> folded = foldFactor(node, scale, variance, epsilon))
    factor = *folded;
  else
    GRU_TAKE(
        factor,
        emitElementwise(
            node, {scale, variance}, input.type,
            [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
              Value sum = AddFOp::create(b, loc, args[1],
                                         numberLike(b, loc, args[1], epsilon));
              return DivFOp::create(b, loc, args[0],
                                    mlir::math::SqrtOp::create(b, loc, sum));
            }));
  Tensor result;
  GRU_TAKE(
      result,
      emitElementwise(node, {input, mean, factor, bias}, input.type,
                      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                        Value y = SubFOp::create(b, loc, args[0], args[1]);
                        y = MulFOp::create(b, loc, y, args[2]);
                        return AddFOp::create(b, loc, y, args[3]);
                      }));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importInstanceNormalization(Node &node) {
  const Tensor &input = node.getInput(0);
  if (Error error = checkChannels(node, input))
    return error;
  if (input.getRank() < 3)
    return node.error("the input is " + shapeText(input.shape) +
                      ", expected three dimensions or more");
  Tensor scale, bias;
  GRU_TAKE(scale, alongChannels(node, input, 1, "scale"));
  GRU_TAKE(bias, alongChannels(node, input, 2, "B"));
  SmallVector<int64_t> axes(input.getRank() - 2);
  std::iota(axes.begin(), axes.end(), 2);
  Moments moments;
  GRU_TAKE(moments,
           emitMoments(node, input, axes, node.getFloat("epsilon", 1e-5)));
  Tensor result;
  GRU_TAKE(result, emitNormalized(node, input, moments, scale, &bias));
  return Tensors{result};
}
