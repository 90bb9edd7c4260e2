//===- Slicing.cpp - Slice, Split and Concat ------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <numeric>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

/// Where a slice begins and how long it is. `length` is the dimension.
static Error placeSlice(Node &node, const Size &length, const Size &start,
                        const Size &end, int64_t step, Size &offset,
                        Size &size) {
  constexpr int64_t far = int64_t(1)
                          << 30; // INT_MAX and INT64_MAX mean the end
  if (length.isNumber() && start.isNumber() && end.isNumber()) {
    int64_t n = length.getNumber();
    auto clamp = [&](int64_t position, int64_t low, int64_t high) {
      if (position < 0 && position >= -n)
        position += n;
      else if (position < -n)
        position = low;
      return std::clamp(position, low, high);
    };
    int64_t first, last;
    if (step > 0) {
      first = clamp(start.getNumber(), 0, n);
      last = clamp(end.getNumber(), 0, n);
      size = last > first ? (last - first + step - 1) / step : 0;
    } else {
      first = clamp(start.getNumber(), 0, n - 1);
      last = end.getNumber() < -n ? -1 : clamp(end.getNumber(), -1, n - 1);
      size = first > last ? (first - last - step - 1) / -step : 0;
    }
    offset = first;
    return Error::success();
  }
  // Open: only what is certain to lie inside.
  auto fromEnd = [&](const Size &position) -> std::optional<Size> {
    if (!position.isNumber())
      return position;
    if (position.getNumber() >= far)
      return length;
    if (position.getNumber() < 0)
      return add(length, position);
    return position;
  };
  std::optional<Size> first, last;
  if (step == -1 && start.is(-1) && end.isNumber() &&
      end.getNumber() <= -far) { // Reversed.
    offset = *subtract(length, 1);
    size = length;
    return Error::success();
  }
  if (step == 1) {
    first = fromEnd(start);
    last = fromEnd(end);
  }
  std::optional<Size> count =
      first && last ? subtract(*last, *first) : std::nullopt;
  if (!count || (count->isNumber() && count->getNumber() <= 0) ||
      (length.isNumber() && !count->isNumber()))
    return node.openSize("takes from " + shapeText(length) +
                         " elements, of which the number is open, a part that "
                         "is not certain to be there");
  offset = *first;
  size = *count;
  return Error::success();
}

Expected<Tensors> gru::onnx::importSlice(Node &node) {
  const Tensor &input = node.getInput(0);
  int64_t rank = input.getRank();
  Sizes starts, ends;
  SmallVector<int64_t> axes, steps;
  if (node.opset < 10) {
    for (int64_t start : node.getInts("starts"))
      starts.push_back(start);
    for (int64_t end : node.getInts("ends"))
      ends.push_back(end);
    axes = node.getInts("axes");
  } else {
    if (!node.hasInput(1) || !node.hasInput(2))
      return node.error("starts or ends are missing");
    GRU_TAKE(starts, node.getSizes(node.getInput(1), "starts"));
    GRU_TAKE(ends, node.getSizes(node.getInput(2), "ends"));
    if (node.hasInput(3))
      GRU_TAKE(axes, node.getNumbers(node.getInput(3), "axes"));
    if (node.hasInput(4))
      GRU_TAKE(steps, node.getNumbers(node.getInput(4), "steps"));
  }
  if (axes.empty()) {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (steps.empty())
    steps.assign(starts.size(), 1);
  if (starts.size() != ends.size() || starts.size() != axes.size() ||
      starts.size() != steps.size())
    return node.error("starts, ends, axes and steps have " +
                      Twine(starts.size()) + ", " + Twine(ends.size()) + ", " +
                      Twine(axes.size()) + " and " + Twine(steps.size()) +
                      " numbers, expected as many each");
  GRU_TAKE(axes, node.getAxes(axes, rank));
  Sizes offsets(rank), sizes = input.shape;
  SmallVector<int64_t> allSteps(rank, 1);
  for (auto [i, axis] : enumerate(axes)) {
    constexpr int64_t most = int64_t(1) << 30;
    // Beyond the end anyway.
    steps[i] = std::clamp(steps[i], -most, most);
    if (steps[i] == 0)
      return node.error("a step is 0");
    allSteps[axis] = steps[i];
    if (Error error = placeSlice(node, input.shape[axis], starts[i], ends[i],
                                 steps[i], offsets[axis], sizes[axis]))
      return error;
  }
  Tensor result;
  GRU_TAKE(result, emitSlice(node, input, offsets, sizes, allSteps));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importSplit(Node &node) {
  const Tensor &input = node.getInput(0);
  int64_t rank = input.getRank(), axis = 0, parts = node.getNumOutputs();
  GRU_TAKE(axis, node.getAxis(node.getInt("axis", 0), rank));
  Sizes lengths;
  const Size &length = input.shape[axis];
  if (node.hasInput(1)) {
    GRU_TAKE(lengths, node.getSizes(node.getInput(1), "split"));
  } else if (node.hasAttribute("split")) {
    for (int64_t number : node.getInts("split"))
      lengths.push_back(number);
  } else {
    parts = node.getInt("num_outputs", parts);
    if (parts < 1 || parts > int64_t(node.getNumOutputs()))
      return node.error("num_outputs is " + Twine(parts) + ", but there are " +
                        Twine(node.getNumOutputs()) + " outputs");
    if (!length.isNumber())
      return node.openSize("splits a dimension of an open size");
    int64_t n = length.getNumber(), each = (n + parts - 1) / parts;
    for (int64_t i = 0; i < parts; ++i)
      lengths.push_back(std::min(each, n - std::min(n, i * each)));
  }
  std::optional<Size> sum = Size(0);
  for (const Size &part : lengths)
    sum = sum && (!part.isNumber() || part.getNumber() >= 0) ? add(*sum, part)
                                                             : std::nullopt;
  if (!sum || !(*sum == length) || lengths.size() != node.getNumOutputs())
    return node.error("splits " + shapeText(input.shape) + " along dimension " +
                      Twine(axis) + " into " + shapeText(lengths) + " for " +
                      Twine(node.getNumOutputs()) + " outputs");
  Tensors results;
  Sizes offsets(rank), sizes = input.shape;
  SmallVector<int64_t> steps(rank, 1);
  for (const Size &part : lengths) {
    sizes[axis] = part;
    if (part.is(0)) { // Nothing, which nothing needs.
      results.emplace_back(makeTensor({}, sizes, input.type)).splat = 0;
      continue;
    }
    GRU_TAKE(results.emplace_back(),
             emitSlice(node, input, offsets, sizes, steps));
    offsets[axis] = *add(offsets[axis], part);
  }
  return results;
}

Expected<Tensors> gru::onnx::importConcat(Node &node) {
  Tensors inputs;
  for (size_t i = 0; i < node.getNumInputs(); ++i) {
    if (!node.hasInput(i))
      return node.error("input " + Twine(i) + " is missing");
    inputs.push_back(node.getInput(i));
  }
  const Tensor &first = inputs[0];
  if (!node.hasAttribute("axis"))
    return node.error("axis is missing");
  int64_t axis = 0;
  GRU_TAKE(axis, node.getAxis(node.getInt("axis", 0), first.getRank()));
  Tensors parts;
  for (const Tensor &input : inputs) {
    bool fits = input.type == first.type && input.getRank() == first.getRank();
    for (size_t dim = 0; fits && dim < input.getRank(); ++dim) {
      const Size &a = input.shape[dim], &b = first.shape[dim];
      if (int64_t(dim) == axis || a == b)
        continue;
      fits = !a.isNumber() || !b.isNumber();
      if (fits && a.isNumber() != b.isNumber())
        return node.openSize("inputs are " + shapeText(first.shape) + " and " +
                             shapeText(input.shape));
    }
    if (!fits)
      return node.error("inputs are " + shapeText(first.shape) + " of " +
                        getName(first.type) + " and " + shapeText(input.shape) +
                        " of " + getName(input.type) +
                        ", expected shapes that differ in dimension " +
                        Twine(axis) + " only");
    // What is empty adds nothing.
    if (!input.shape[axis].is(0))
      parts.push_back(input);
  }
  if (parts.empty())
    return Tensors{first};
  Tensor result;
  GRU_TAKE(result, emitConcat(node, parts, axis));
  return Tensors{result};
}
