//===- Shapes.cpp - the same elements in another shape --------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"

#include <numeric>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

/// A reshape that has been checked to keep the number of elements.
static Expected<Tensors> finish(Node &node, const Tensor &tensor,
                                ArrayRef<Size> shape) {
  Tensor result;
  GRU_TAKE(result, emitReshape(node, tensor, shape));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importReshape(Node &node) {
  const Tensor &input = node.getInput(0);
  bool allowZero = node.getInt("allowzero", 0) != 0;
  Sizes shape;
  GRU_TAKE(shape, node.getSizes(node.getInput(1), "the shape"));
  std::optional<size_t> inferred;
  std::optional<Size> rest = multiplyAll(input.shape), total = Size(1);
  for (auto [dim, size] : enumerate(shape)) {
    if (size.is(0) && !allowZero) {
      if (dim >= input.getRank())
        return node.error("the shape keeps dimension " + Twine(dim) +
                          " of an input that has " + Twine(input.getRank()));
      size = input.shape[dim];
    }
    if (size.is(-1)) {
      if (inferred)
        return node.error("the shape has -1 twice");
      inferred = dim;
      continue;
    }
    total = total ? multiply(*total, size) : total;
  }
  auto mismatch = [&](ArrayRef<Size> shape) {
    std::string text = "the input is " + shapeText(input.shape) +
                       ", which does not fit " + shapeText(shape);
    bool open = !getNumbers(input.shape) || !getNumbers(shape);
    return open ? node.openSize(text) : node.error(text);
  };
  if (!rest || !total)
    return mismatch(shape);
  if (inferred) {
    std::optional<Size> size = divide(*rest, *total);
    std::optional<Size> back = size ? multiply(*size, *total) : size;
    if (!back || !(*back == *rest))
      return mismatch(shape);
    shape[*inferred] = *size;
  } else if (!(*total == *rest)) {
    return mismatch(shape);
  }
  return finish(node, input, shape);
}

Expected<Tensors> gru::onnx::importFlatten(Node &node) {
  const Tensor &input = node.getInput(0);
  int64_t rank = input.getRank(), axis = node.getInt("axis", 1);
  if (axis < -rank || axis > rank)
    return node.error("axis is " + Twine(axis) + ", expected -" + Twine(rank) +
                      " to " + Twine(rank));
  if (axis < 0)
    axis += rank;
  std::optional<Size> outer =
                          multiplyAll(ArrayRef(input.shape).take_front(axis)),
                      inner =
                          multiplyAll(ArrayRef(input.shape).drop_front(axis));
  if (!outer || !inner)
    return node.error("the input is too large");
  return finish(node, input, {*outer, *inner});
}

Expected<Tensors> gru::onnx::importSqueeze(Node &node) {
  const Tensor &input = node.getInput(0);
  std::optional<SmallVector<int64_t>> axes;
  GRU_TAKE(axes, node.getAxesArgument(1, input.getRank()));
  Sizes shape;
  for (auto [dim, size] : enumerate(input.shape)) {
    bool drop = axes ? is_contained(*axes, int64_t(dim)) : size.is(1);
    if (drop && !size.is(1)) {
      std::string text = "dimension " + std::to_string(dim) + " of " +
                         shapeText(input.shape) + " is not 1";
      return size.isNumber() ? node.error(text) : node.openSize(text);
    }
    if (!drop)
      shape.push_back(size);
  }
  return finish(node, input, shape);
}

Expected<Tensors> gru::onnx::importUnsqueeze(Node &node) {
  const Tensor &input = node.getInput(0);
  SmallVector<int64_t> given = node.getInts("axes");
  if (node.hasInput(1))
    GRU_TAKE(given, node.getNumbers(node.getInput(1), "axes"));
  else if (!node.hasAttribute("axes"))
    return node.error("axes are missing");
  int64_t rank = input.getRank() + given.size();
  SmallVector<int64_t> axes;
  GRU_TAKE(axes, node.getAxes(given, rank));
  Sizes shape;
  auto next = input.shape.begin();
  for (int64_t dim = 0; dim < rank; ++dim)
    shape.push_back(is_contained(axes, dim) ? Size(1) : *next++);
  return finish(node, input, shape);
}

Expected<Tensors> gru::onnx::importTranspose(Node &node) {
  const Tensor &input = node.getInput(0);
  int64_t rank = input.getRank();
  SmallVector<int64_t> order(rank);
  std::iota(order.rbegin(), order.rend(), 0);
  if (node.hasAttribute("perm")) {
    SmallVector<int64_t> given = node.getInts("perm");
    if (int64_t(given.size()) != rank)
      return node.error("perm has " + Twine(given.size()) +
                        " dimensions, the input has " + Twine(rank));
    GRU_TAKE(order, node.getAxes(given, rank));
  }
  Tensor result;
  GRU_TAKE(result, emitTranspose(node, input, order));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importExpand(Node &node) {
  const Tensor &input = node.getInput(0);
  Sizes shape;
  GRU_TAKE(shape, node.getSizes(node.getInput(1), "the shape"));
  GRU_TAKE(shape, broadcast(node, input.shape, shape));
  Tensor result;
  GRU_TAKE(result, emitBroadcast(node, input, shape));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importTile(Node &node) {
  Tensor tensor = node.getInput(0);
  Sizes repeats;
  GRU_TAKE(repeats, node.getSizes(node.getInput(1), "repeats"));
  if (repeats.size() != tensor.getRank())
    return node.error("repeats has " + Twine(repeats.size()) +
                      " numbers, expected " + Twine(tensor.getRank()));
  // Each repeated dimension gets one in front of it, which is broadcast and
  // joined with it.
  Sizes ones, spread, result;
  for (auto [size, times] : zip(tensor.shape, repeats)) {
    std::optional<Size> product = multiply(size, times);
    if (!product || (times.isNumber() && times.getNumber() < 1))
      return node.error("repeats holds a number that is not positive, or too "
                        "large");
    if (!times.is(1)) {
      ones.push_back(1);
      spread.push_back(times);
    }
    ones.push_back(size);
    spread.push_back(size);
    result.push_back(*product);
  }
  GRU_TAKE(tensor, emitReshape(node, tensor, ones));
  GRU_TAKE(tensor, emitBroadcast(node, tensor, spread));
  return finish(node, tensor, result);
}
