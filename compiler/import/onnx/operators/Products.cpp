//===- Products.cpp - matrix products -------------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"
#include "dialect/GRUDialect.h"

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

static Value multiplyAdd(OpBuilder &b, Location loc, ValueRange args) {
  return mlir::arith::AddFOp::create(
      b, loc, args[2], mlir::arith::MulFOp::create(b, loc, args[0], args[1]));
}

/// x [..., K] times a constant [K, N]: a dense layer.
static Expected<Tensor> emitDense(Node &node, const Tensor &x,
                                  const Tensor &kernel, const Tensor *bias) {
  Value input, weight, offset;
  GRU_TAKE(input, node.getValue(x));
  GRU_TAKE(weight, node.getValue(kernel));
  if (bias)
    GRU_TAKE(offset, node.getValue(*bias));
  Sizes shape = x.shape;
  shape.back() = kernel.shape[1];
  Value result = DenseOp::create(
      node.b, node.loc, input, weight, offset,
      ActAttr::get(node.b.getContext(), ActivationKind::linear));
  return makeTensor(result, shape, x.type);
}

static Error checkTypes(Node &node, const Tensor &a, const Tensor &b) {
  if (isFloat(a.type) && a.type == b.type)
    return Error::success();
  return node.error("inputs are " + getName(a.type) + " and " +
                    getName(b.type) + ", expected one float type");
}

static Error checkInner(Node &node, const Tensor &a, const Tensor &b,
                        const Size &k, const Size &other) {
  if (k == other)
    return Error::success();
  std::string text = "inputs are " + shapeText(a.shape) + " and " +
                     shapeText(b.shape) +
                     ", expected as many columns as the other has rows";
  return k.isNumber() && other.isNumber() ? node.error(text)
                                          : node.openSize(text);
}

Expected<Tensors> gru::onnx::importMatMul(Node &node) {
  Tensor a = node.getInput(0), b = node.getInput(1);
  if (Error error = checkTypes(node, a, b))
    return error;
  if (a.getRank() == 0 || b.getRank() == 0)
    return node.error("an input is a scalar");
  // Vectors are matrices of one row or column, which the result does not have.
  bool rowVector = a.getRank() == 1, columnVector = b.getRank() == 1;
  if (rowVector)
    GRU_TAKE(a, emitReshape(node, a, {Size(1), a.shape[0]}));
  if (columnVector)
    GRU_TAKE(b, emitReshape(node, b, {b.shape[0], Size(1)}));
  const Size &k = a.shape.back();
  if (Error error = checkInner(node, a, b, k, b.shape[b.getRank() - 2]))
    return error;
  Tensor result;
  if (b.literal && b.getRank() == 2) {
    GRU_TAKE(result, emitDense(node, a, b, nullptr));
  } else {
    Sizes shape;
    GRU_TAKE(shape, broadcast(node, ArrayRef(a.shape).drop_back(2),
                              ArrayRef(b.shape).drop_back(2)));
    size_t lead = shape.size();
    shape.push_back(a.shape[a.getRank() - 2]);
    shape.push_back(b.shape.back());
    if (Error error = node.checkShape(shape))
      return error;
    Sizes loops = shape;
    loops.push_back(k);
    auto read = [&](const Tensor &tensor, size_t row,
                    size_t column) -> Expected<Operand> {
      Operand operand;
      GRU_TAKE(operand.value, node.getValue(tensor));
      size_t missing = lead + 2 - tensor.getRank();
      for (size_t dim = 0; dim + 2 < tensor.getRank(); ++dim)
        operand.indices.push_back(tensor.shape[dim].is(1) &&
                                          !shape[missing + dim].is(1)
                                      ? node.b.getAffineConstantExpr(0)
                                      : node.b.getAffineDimExpr(missing + dim));
      operand.indices.push_back(node.b.getAffineDimExpr(row));
      operand.indices.push_back(node.b.getAffineDimExpr(column));
      return operand;
    };
    SmallVector<Operand> operands(2);
    GRU_TAKE(operands[0], read(a, lead, lead + 2));
    GRU_TAKE(operands[1], read(b, lead + 2, lead + 1));
    result = emitLoops(node, loops, 1, operands, a.type, 0, multiplyAdd);
  }
  Sizes shape = result.shape;
  if (rowVector)
    shape.erase(shape.end() - 2);
  if (columnVector)
    shape.pop_back();
  GRU_TAKE(result, emitReshape(node, result, shape));
  return Tensors{result};
}

static Expected<Tensor> emitScale(Node &node, const Tensor &tensor,
                                  double factor) {
  if (factor == 1)
    return tensor;
  return emitElementwise(
      node, {tensor, makeScalar(factor, tensor.type)}, tensor.type,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return mlir::arith::MulFOp::create(b, loc, args[0], args[1]);
      });
}

Expected<Tensors> gru::onnx::importGemm(Node &node) {
  Tensor a = node.getInput(0), b = node.getInput(1);
  if (Error error = checkTypes(node, a, b))
    return error;
  if (a.getRank() != 2 || b.getRank() != 2)
    return node.error("inputs are " + shapeText(a.shape) + " and " +
                      shapeText(b.shape) + ", expected matrices");
  double alpha = node.getFloat("alpha", 1), beta = node.getFloat("beta", 1);
  if (node.getInt("transA", 0))
    GRU_TAKE(a, emitTranspose(node, a, {1, 0}));
  if (node.getInt("transB", 0))
    GRU_TAKE(b, emitTranspose(node, b, {1, 0}));
  if (Error error = checkInner(node, a, b, a.shape[1], b.shape[0]))
    return error;
  Sizes shape{a.shape[0], b.shape[1]};
  bool dense = b.literal != nullptr;
  const Tensor *c = node.hasInput(2) ? &node.getInput(2) : nullptr;
  if (c && c->type != a.type)
    return node.error("C is " + getName(c->type) + ", expected " +
                      getName(a.type));
  bool fused = dense && c && c->literal && c->getRank() == 1 &&
               c->shape[0] == shape[1] && alpha == 1 && beta == 1;
  Tensor result;
  if (dense) {
    GRU_TAKE(result, emitDense(node, a, b, fused ? c : nullptr));
  } else {
    SmallVector<Operand> operands(2);
    mlir::AffineExpr i = node.b.getAffineDimExpr(0),
                     j = node.b.getAffineDimExpr(1),
                     k = node.b.getAffineDimExpr(2);
    GRU_TAKE(operands[0].value, node.getValue(a));
    GRU_TAKE(operands[1].value, node.getValue(b));
    operands[0].indices = {i, k};
    operands[1].indices = {k, j};
    result = emitLoops(node, {shape[0], shape[1], a.shape[1]}, 1, operands,
                       a.type, 0, multiplyAdd);
  }
  GRU_TAKE(result, emitScale(node, result, alpha));
  if (c && !fused && beta != 0) {
    Sizes sum;
    GRU_TAKE(sum, broadcast(node, shape, c->shape));
    if (!(sum == shape))
      return node.error("C is " + shapeText(c->shape) +
                        ", expected a shape that fits " + shapeText(shape));
    Tensor offset;
    GRU_TAKE(offset, emitScale(node, *c, beta));
    GRU_TAKE(result,
             emitElementwise(
                 node, {result, offset}, a.type,
                 [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return mlir::arith::AddFOp::create(b, loc, args[0], args[1]);
                 }));
  }
  return Tensors{result};
}
