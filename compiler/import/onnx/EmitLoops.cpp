//===- EmitLoops.cpp - elements computed from elements --------------------===//

#include "compiler/import/onnx/Emit.h"

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

Tensor gru::onnx::makeTensor(Value value, Sizes shape, DataType type) {
  Tensor tensor;
  tensor.value = value;
  tensor.shape = std::move(shape);
  tensor.type = type;
  return tensor;
}

Tensor gru::onnx::makeScalar(double number, DataType type) {
  Tensor tensor;
  tensor.splat = number;
  tensor.type = type;
  return tensor;
}

Error gru::onnx::checkFloat(Node &node, const Tensor &tensor) {
  if (isFloat(tensor.type))
    return Error::success();
  return node.error("the input is " + getName(tensor.type) +
                    ", expected a float type");
}

SmallVector<int64_t> gru::onnx::getStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t i = int64_t(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

void gru::onnx::forEachElement(ArrayRef<int64_t> shape,
                               function_ref<void(ArrayRef<int64_t>)> visit) {
  if (is_contained(shape, 0))
    return;
  SmallVector<int64_t> index(shape.size(), 0);
  while (true) {
    visit(index);
    int64_t dim = int64_t(shape.size()) - 1;
    for (; dim >= 0 && ++index[dim] == shape[dim]; --dim)
      index[dim] = 0;
    if (dim < 0)
      return;
  }
}

Expected<Operand> gru::onnx::readAsIs(Node &node, const Tensor &tensor) {
  Operand operand;
  GRU_TAKE(operand.value, node.getValue(tensor));
  for (size_t dim = 0; dim < tensor.getRank(); ++dim)
    operand.indices.push_back(node.b.getAffineDimExpr(dim));
  return operand;
}

Tensor gru::onnx::emitLoops(Node &node, ArrayRef<Size> sizes,
                            unsigned numReductions, ArrayRef<Operand> operands,
                            DataType type, double init, Body body) {
  OpBuilder &b = node.b;
  mlir::MLIRContext *context = b.getContext();
  mlir::Type element = node.getType(type);
  unsigned numParallel = sizes.size() - numReductions;
  SmallVector<mlir::AffineMap> maps;
  SmallVector<Value> inputs;
  // A loop that no operand's dimension runs along alone needs a tensor with its
  // size.
  BitVector known(sizes.size());
  known.set(0, numParallel);
  for (const Operand &operand : operands) {
    for (AffineExpr index : operand.indices)
      if (auto loop = dyn_cast<mlir::AffineDimExpr>(index))
        known.set(loop.getPosition());
    inputs.push_back(operand.value);
    maps.push_back(
        mlir::AffineMap::get(sizes.size(), 0, operand.indices, context));
  }
  for (unsigned loop = numParallel; loop < sizes.size(); ++loop) {
    if (known.test(loop))
      continue;
    inputs.push_back(mlir::tensor::EmptyOp::create(
        b, node.loc, {node.getFoldResult(sizes[loop])}, element));
    maps.push_back(mlir::AffineMap::get(sizes.size(), 0,
                                        {b.getAffineDimExpr(loop)}, context));
  }
  ArrayRef<Size> resultSizes = sizes.take_front(numParallel);
  SmallVector<AffineExpr> results;
  for (unsigned loop = 0; loop < numParallel; ++loop)
    results.push_back(b.getAffineDimExpr(loop));
  maps.push_back(mlir::AffineMap::get(sizes.size(), 0, results, context));
  SmallVector<mlir::utils::IteratorType> iterators(
      numParallel, mlir::utils::IteratorType::parallel);
  iterators.append(numReductions, mlir::utils::IteratorType::reduction);
  Value output = mlir::tensor::EmptyOp::create(
      b, node.loc, node.getFoldResults(resultSizes), element);
  if (numReductions) {
    Value number = numberConstant(b, node.loc, element, init);
    output =
        mlir::linalg::FillOp::create(b, node.loc, number, output).getResult(0);
  }
  auto generic = mlir::linalg::GenericOp::create(
      b, node.loc, output.getType(), inputs, output, maps, iterators,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        SmallVector<Value> values(args.take_front(operands.size()));
        if (numReductions)
          values.push_back(args.back());
        mlir::linalg::YieldOp::create(b, loc, body(b, loc, values));
      });
  return makeTensor(generic.getResult(0), Sizes(resultSizes), type);
}

Expected<Sizes> gru::onnx::broadcast(Node &node, ArrayRef<Size> a,
                                     ArrayRef<Size> b) {
  if (a.size() < b.size())
    std::swap(a, b);
  Sizes result(a);
  size_t lead = a.size() - b.size();
  for (auto [dim, size] : enumerate(b)) {
    Size &other = result[lead + dim];
    if (size == other || size.is(1))
      continue;
    if (other.is(1)) {
      other = size;
      continue;
    }
    if (size.isNumber() && other.isNumber())
      return node.error("inputs are " + shapeText(a) + " and " + shapeText(b) +
                        ", expected shapes that can be broadcast");
    if (size.isNumber() != other.isNumber())
      return node.openSize("inputs are " + shapeText(a) + " and " +
                           shapeText(b) +
                           ", of which an open size meets a fixed one");
  }
  return result;
}

Expected<Tensor> gru::onnx::emitElementwise(Node &node,
                                            ArrayRef<Tensor> tensors,
                                            DataType type, Body body) {
  Sizes shape;
  for (const Tensor &tensor : tensors)
    GRU_TAKE(shape, broadcast(node, shape, tensor.shape));
  if (Error error = node.checkShape(shape))
    return error;
  SmallVector<Operand> operands;
  SmallVector<std::optional<double>> scalars;
  for (const Tensor &tensor : tensors) {
    scalars.push_back(node.getScalar(tensor));
    if (scalars.back())
      continue;
    Operand &operand = operands.emplace_back();
    GRU_TAKE(operand.value, node.getValue(tensor));
    size_t lead = shape.size() - tensor.getRank();
    for (auto [dim, size] : enumerate(tensor.shape))
      operand.indices.push_back(size.is(1) && !shape[lead + dim].is(1)
                                    ? node.b.getAffineConstantExpr(0)
                                    : node.b.getAffineDimExpr(lead + dim));
  }
  return emitLoops(node, shape, 0, operands, type, 0,
                   [&](OpBuilder &b, Location loc, ValueRange args) {
                     SmallVector<Value> values;
                     for (auto [tensor, scalar] : zip(tensors, scalars)) {
                       if (!scalar) {
                         values.push_back(args.front());
                         args = args.drop_front();
                         continue;
                       }
                       values.push_back(numberConstant(
                           b, loc, node.getType(tensor.type), *scalar));
                     }
                     return body(b, loc, values);
                   });
}
