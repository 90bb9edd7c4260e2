//===- Indexing.cpp - parts of tensors -------------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <numeric>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

static Value indexConstant(OpBuilder &b, Location loc, int64_t number) {
  return mlir::arith::ConstantIndexOp::create(b, loc, number);
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

/// Where a slice begins and how long it is. `length` is the dimension.
static Error placeSlice(Node &node, const Size &length, const Size &start,
                        const Size &end, int64_t step, Size &offset,
                        Size &size) {
  constexpr int64_t far = int64_t(1) << 30; // INT_MAX and INT64_MAX mean the end
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

//===----------------------------------------------------------------------===//
// Gather and scatter
//===----------------------------------------------------------------------===//

/// An element of a tensor of indices, as an index, counted from the front.
static Value readIndex(OpBuilder &b, Location loc, Value indices,
                       ValueRange at, Value length) {
  using namespace mlir::arith;
  Value raw = mlir::tensor::ExtractOp::create(b, loc, indices, at);
  Value index = IndexCastOp::create(b, loc, b.getIndexType(), raw);
  Value zero = indexConstant(b, loc, 0);
  Value negative =
      CmpIOp::create(b, loc, CmpIPredicate::slt, index, zero);
  Value wrapped = AddIOp::create(b, loc, index, length);
  index = SelectOp::create(b, loc, negative, wrapped, index);
  // An index outside is the model's fault; it must not read foreign memory.
  Value last = SubIOp::create(b, loc, length, indexConstant(b, loc, 1));
  index = MaxSIOp::create(b, loc, index, zero);
  return MinSIOp::create(b, loc, index, last);
}

Expected<Tensors> gru::onnx::importGather(Node &node) {
  const Tensor &data = node.getInput(0), &indices = node.getInput(1);
  int64_t axis = 0, rank = data.getRank(), inner = indices.getRank();
  GRU_TAKE(axis, node.getAxis(node.getInt("axis", 0), rank));
  if (indices.type != DataType::i32 && indices.type != DataType::i64)
    return node.error("indices are " + getName(indices.type) +
                      ", expected int32 or int64");
  const Size &length = data.shape[axis];
  std::optional<SmallVector<int64_t>> numbers;
  if (indices.numbers)
    numbers = getNumbers(*indices.numbers);
  if (numbers)
    for (int64_t &number : *numbers) {
      if (length.isNumber() && (number < -length.getNumber() ||
                                number >= length.getNumber()))
        return node.error("indices hold " + Twine(number) + ", expected -" +
                          Twine(length.getNumber()) + " to " +
                          Twine(length.getNumber() - 1));
      if (number < 0 && length.isNumber())
        number += length.getNumber();
    }
  // Neighbours are a slice.
  if (numbers && !numbers->empty() && length.isNumber()) {
    bool run = true;
    for (auto [i, number] : enumerate(*numbers))
      run &= number == numbers->front() + int64_t(i);
    if (run) {
      Sizes offsets(rank), sizes = data.shape;
      offsets[axis] = numbers->front();
      sizes[axis] = int64_t(numbers->size());
      Tensor slice;
      GRU_TAKE(slice, emitSlice(node, data, offsets, sizes,
                                SmallVector<int64_t>(rank, 1)));
      Sizes shape(data.shape.begin(), data.shape.begin() + axis);
      shape.append(indices.shape);
      shape.append(data.shape.begin() + axis + 1, data.shape.end());
      GRU_TAKE(slice, emitReshape(node, slice, shape));
      return Tensors{slice};
    }
  }
  // The last element of an open dimension, counted from its end.
  if (numbers && inner == 0 && !length.isNumber()) {
    std::optional<Size> position = Size(numbers->front());
    if (numbers->front() < 0)
      position = add(length, *position);
    if (numbers->front() == 0 || numbers->front() == -1) {
      Tensor result;
      GRU_TAKE(result, emitSelect(node, data, axis, *position));
      return Tensors{result};
    }
    return node.openSize("takes element " + Twine(numbers->front()) +
                         " of a dimension of an open size");
  }
  Sizes shape(data.shape.begin(), data.shape.begin() + axis);
  shape.append(indices.shape);
  shape.append(data.shape.begin() + axis + 1, data.shape.end());
  SmallVector<int64_t> strides;
  if (std::optional<SmallVector<int64_t>> dims = getNumbers(data.shape))
    strides = getStrides(*dims);
  Tensor source = data;
  if (source.isKnown() && !source.splat && (!numbers || strides.empty())) {
    GRU_TAKE(source.value, node.getValue(data));
    source.literal = nullptr;
    source.numbers.reset();
  }
  Tensor result;
  GRU_TAKE(
      result,
      emitMove(
          node, source, shape,
          [&](ArrayRef<int64_t> index) {
            int64_t linear = 0, position = 0;
            for (int64_t dim = 0; dim < inner; ++dim)
              position = position * indices.shape[dim].getNumber() +
                         index[axis + dim];
            for (int64_t dim = 0; dim < rank; ++dim)
              linear += (dim < axis    ? index[dim]
                         : dim == axis ? (*numbers)[position]
                                       : index[dim + inner - 1]) *
                        strides[dim];
            return linear;
          },
          [&](Value value) -> Expected<Value> {
            Value at;
            GRU_TAKE(at, node.getValue(indices));
            Value size = node.getIndex(length);
            return emitLoops(
                       node, shape, 0, {}, data.type, 0,
                       [&](OpBuilder &b, Location loc, ValueRange) -> Value {
                         SmallVector<Value> loops, from;
                         for (size_t dim = 0; dim < shape.size(); ++dim)
                           loops.push_back(
                               mlir::linalg::IndexOp::create(b, loc, dim));
                         ArrayRef all(loops);
                         from.append(all.begin(), all.begin() + axis);
                         from.push_back(readIndex(
                             b, loc, at, all.slice(axis, inner), size));
                         from.append(all.begin() + axis + inner, all.end());
                         return mlir::tensor::ExtractOp::create(b, loc, value,
                                                                from);
                       })
                .value;
          }));
  return Tensors{result};
}

/// A box of positions that counts up in row-major order, which is what
/// exporters write for an assignment to a slice.
static bool isBox(ArrayRef<int64_t> indices, ArrayRef<int64_t> shape,
                  int64_t depth, SmallVectorImpl<int64_t> &offsets,
                  SmallVectorImpl<int64_t> &sizes) {
  int64_t count = indices.size() / depth;
  offsets.assign(indices.begin(), indices.begin() + depth);
  ArrayRef<int64_t> last = indices.take_back(depth);
  int64_t total = 1;
  for (int64_t dim = 0; dim < depth; ++dim) {
    sizes.push_back(last[dim] - offsets[dim] + 1);
    if (offsets[dim] < 0 || sizes[dim] < 1 || last[dim] >= shape[dim])
      return false;
    total *= sizes[dim];
  }
  if (total != count)
    return false;
  int64_t position = 0;
  bool box = true;
  forEachElement(sizes, [&](ArrayRef<int64_t> index) {
    for (int64_t dim = 0; dim < depth; ++dim)
      box &= indices[position++] == offsets[dim] + index[dim];
  });
  return box;
}

Expected<Tensors> gru::onnx::importScatterND(Node &node) {
  const Tensor &data = node.getInput(0), &indices = node.getInput(1),
               &updates = node.getInput(2);
  if (node.getString("reduction", "none") != "none")
    return node.error("reduction is not 'none', which is not supported");
  SmallVector<int64_t> numbers;
  if (indices.literal && !isFloat(indices.type)) // One per element of a slice.
    for (int64_t i = 0, e = indices.literal->getNumElements(); i < e; ++i)
      numbers.push_back(indices.literal->getInteger(i));
  else
    GRU_TAKE(numbers, node.getNumbers(indices, "indices"));
  int64_t rank = data.getRank();
  int64_t depth = indices.shape.empty() ? 0 : indices.shape.back().getNumber();
  if (depth < 1 || depth > rank || data.type != updates.type)
    return node.error("the input is " + shapeText(data.shape) + " of " +
                      getName(data.type) + ", indices are " +
                      shapeText(indices.shape) + " and updates " +
                      getName(updates.type));
  Sizes expected(indices.shape.begin(), indices.shape.end() - 1);
  expected.append(data.shape.begin() + depth, data.shape.end());
  if (!(expected == updates.shape))
    return node.error("updates are " + shapeText(updates.shape) +
                      ", expected " + shapeText(expected));
  std::optional<SmallVector<int64_t>> dims = getNumbers(data.shape);
  if (!dims)
    return node.openSize("writes into a tensor of an open size");
  if (numbers.empty())
    return Tensors{data};
  for (size_t i = 0; i < numbers.size(); ++i) {
    int64_t length = (*dims)[i % depth];
    if (numbers[i] < -length || numbers[i] >= length)
      return node.error("indices hold " + Twine(numbers[i]) + ", expected -" +
                        Twine(length) + " to " + Twine(length - 1));
    if (numbers[i] < 0)
      numbers[i] += length;
  }
  Value into, from;
  GRU_TAKE(into, node.getValue(data));
  GRU_TAKE(from, node.getValue(updates));
  SmallVector<int64_t> offsets, sizes;
  auto insert = [&](Value what, ArrayRef<int64_t> at,
                    ArrayRef<int64_t> size) {
    SmallVector<mlir::OpFoldResult> offsets, sizes, ones(rank,
                                                         node.b.getIndexAttr(1));
    for (int64_t dim = 0; dim < rank; ++dim) {
      offsets.push_back(node.b.getIndexAttr(dim < depth ? at[dim] : 0));
      sizes.push_back(
          node.b.getIndexAttr(dim < depth ? size[dim] : (*dims)[dim]));
    }
    into = mlir::tensor::InsertSliceOp::create(node.b, node.loc, what, into,
                                               offsets, sizes, ones);
  };
  auto toShape = [&](const Tensor &tensor,
                     ArrayRef<int64_t> size) -> Expected<Value> {
    Sizes shape;
    for (int64_t dim = 0; dim < rank; ++dim)
      shape.push_back(dim < depth ? size[dim] : (*dims)[dim]);
    Tensor shaped;
    GRU_TAKE(shaped, emitReshape(node, tensor, shape));
    return node.getValue(shaped);
  };
  if (isBox(numbers, *dims, depth, offsets, sizes)) {
    Value part;
    GRU_TAKE(part, toShape(updates, sizes));
    insert(part, offsets, sizes);
    return Tensors{makeTensor(into, data.shape, data.type)};
  }
  // One after the other, so that the last of equal ones stays.
  int64_t count = numbers.size() / depth;
  constexpr int64_t most = 64;
  if (count > most)
    return node.error("writes " + Twine(count) +
                      " parts that form no box, expected at most " +
                      Twine(most));
  Sizes flat{Size(count)};
  flat.append(data.shape.begin() + depth, data.shape.end());
  Tensor list;
  GRU_TAKE(list, emitReshape(node, makeTensor(from, updates.shape, data.type),
                             flat));
  SmallVector<int64_t> ones(depth, 1);
  for (int64_t i = 0; i < count; ++i) {
    Tensor one;
    GRU_TAKE(one, emitSelect(node, list, 0, i));
    Value part;
    GRU_TAKE(part, toShape(one, ones));
    insert(part, ArrayRef(numbers).slice(i * depth, depth), ones);
  }
  return Tensors{makeTensor(into, data.shape, data.type)};
}

//===----------------------------------------------------------------------===//
// Pad and ReverseSequence
//===----------------------------------------------------------------------===//

/// reflect, edge and wrap: each element of the result comes from one of the
/// input.
static Expected<Tensor> padFromInside(Node &node, const Tensor &input,
                                      ArrayRef<int64_t> before,
                                      const Sizes &shape, StringRef mode) {
  Value value;
  GRU_TAKE(value, node.getValue(input));
  return emitLoops(
      node, shape, 0, {}, input.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange) -> Value {
        using namespace mlir::arith;
        SmallVector<Value> from;
        for (auto [dim, size] : enumerate(input.shape)) {
          Value i = mlir::linalg::IndexOp::create(b, loc, dim);
          if (shape[dim] == size && before[dim] == 0) {
            from.push_back(i);
            continue;
          }
          int64_t n = size.getNumber();
          Value last = indexConstant(b, loc, n - 1),
                zero = indexConstant(b, loc, 0);
          i = SubIOp::create(b, loc, i, indexConstant(b, loc, before[dim]));
          if (mode == "reflect") {
            Value minus = SubIOp::create(b, loc, zero, i);
            i = MaxSIOp::create(b, loc, i, minus);
            Value mirrored = SubIOp::create(
                b, loc, indexConstant(b, loc, 2 * (n - 1)), i);
            i = MinSIOp::create(b, loc, i, mirrored);
          } else if (mode == "wrap") {
            i = AddIOp::create(b, loc, i, indexConstant(b, loc, n));
            i = RemUIOp::create(b, loc, i, indexConstant(b, loc, n));
          }
          i = MaxSIOp::create(b, loc, i, zero);
          from.push_back(MinSIOp::create(b, loc, i, last));
        }
        return mlir::tensor::ExtractOp::create(b, loc, value, from);
      });
}

Expected<Tensors> gru::onnx::importPad(Node &node) {
  Tensor input = node.getInput(0);
  int64_t rank = input.getRank();
  std::string mode = node.getString("mode", "constant");
  SmallVector<int64_t> pads = node.getInts("pads"), axes;
  double value = node.getFloat("value", 0);
  if (node.opset >= 11) {
    if (!node.hasInput(1))
      return node.error("pads are missing");
    GRU_TAKE(pads, node.getNumbers(node.getInput(1), "pads"));
    if (node.hasInput(2)) {
      std::optional<double> scalar = node.getScalar(node.getInput(2));
      if (!scalar)
        return node.error("constant_value is not one number in the file, which "
                          "is not supported");
      value = *scalar;
    }
  }
  if (node.hasInput(3)) {
    GRU_TAKE(axes, node.getNumbers(node.getInput(3), "axes"));
    GRU_TAKE(axes, node.getAxes(axes, rank));
  } else {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (pads.size() != 2 * axes.size())
    return node.error("pads has " + Twine(pads.size()) + " numbers, expected " +
                      Twine(2 * axes.size()));
  SmallVector<int64_t> before(rank, 0), after(rank, 0);
  constexpr int64_t most = int64_t(1) << 30;
  for (auto [i, axis] : enumerate(axes)) {
    before[axis] = pads[i];
    after[axis] = pads[axes.size() + i];
    if (std::abs(before[axis]) > most || std::abs(after[axis]) > most)
      return node.error("pads are too large");
  }
  // Negative ones cut.
  Sizes offsets(rank), sizes = input.shape;
  for (int64_t dim = 0; dim < rank; ++dim) {
    int64_t front = std::max<int64_t>(-before[dim], 0),
            back = std::max<int64_t>(-after[dim], 0);
    if (front + back == 0)
      continue;
    offsets[dim] = front;
    std::optional<Size> left = subtract(sizes[dim], Size(front + back));
    if (!left)
      return node.error("pads are too large");
    sizes[dim] = *left;
    before[dim] = std::max<int64_t>(before[dim], 0);
    after[dim] = std::max<int64_t>(after[dim], 0);
  }
  if (Error error = node.checkShape(sizes))
    return error;
  GRU_TAKE(input, emitSlice(node, input, offsets, sizes,
                            SmallVector<int64_t>(rank, 1)));
  Sizes shape = input.shape;
  for (int64_t dim = 0; dim < rank; ++dim) {
    int64_t added = before[dim] + after[dim];
    if (added == 0)
      continue;
    if (!shape[dim].isNumber())
      return node.openSize("pads a dimension of an open size");
    int64_t n = shape[dim].getNumber();
    bool fits = mode == "reflect" ? before[dim] < n && after[dim] < n
                : mode == "wrap"  ? before[dim] <= n && after[dim] <= n
                                  : true;
    if (!fits)
      return node.error("pads dimension " + Twine(dim) + " of " +
                        shapeText(input.shape) + " by " + Twine(before[dim]) +
                        " and " + Twine(after[dim]) +
                        ", expected less than there is to repeat");
    shape[dim] = n + added;
  }
  if (Error error = node.checkShape(shape))
    return error;
  Tensor result;
  if (mode == "constant")
    GRU_TAKE(result, emitPad(node, input, before, after, value));
  else if (mode == "reflect" || mode == "edge" || mode == "wrap")
    GRU_TAKE(result, padFromInside(node, input, before, shape, mode));
  else
    return node.error("mode is '" + printable(mode) +
                      "', expected constant, reflect, edge or wrap");
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importReverseSequence(Node &node) {
  const Tensor &input = node.getInput(0), &lengths = node.getInput(1);
  int64_t batch = node.getInt("batch_axis", 1), time = node.getInt("time_axis", 0);
  if (batch + time != 1 || batch < 0 || time < 0 || input.getRank() < 2)
    return node.error("batch_axis is " + Twine(batch) + " and time_axis " +
                      Twine(time) + " of " + shapeText(input.shape) +
                      ", expected 0 and 1 of two dimensions or more");
  const Size &n = input.shape[batch], &t = input.shape[time];
  if (lengths.getRank() != 1 || lengths.type != DataType::i64 ||
      (lengths.shape[0].isNumber() && n.isNumber() && !(lengths.shape[0] == n)))
    return node.error("sequence_lens is " + shapeText(lengths.shape) + " of " +
                      getName(lengths.type) + ", expected " + shapeText(n) +
                      " of int64");
  Value value, counts;
  GRU_TAKE(value, node.getValue(input));
  // Whole rows are reversed as one.
  if (lengths.numbers && all_of(*lengths.numbers,
                                [&](const Size &s) { return s == t; })) {
    Sizes offsets(input.getRank());
    SmallVector<int64_t> steps(input.getRank(), 1);
    std::optional<Size> last = subtract(t, 1);
    offsets[time] = *last;
    steps[time] = -1;
    Tensor result;
    GRU_TAKE(result, emitSlice(node, input, offsets, input.shape, steps));
    return Tensors{result};
  }
  GRU_TAKE(counts, node.getValue(lengths));
  Value longest = node.getIndex(t);
  return Tensors{emitLoops(
      node, input.shape, 0, {}, input.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange) -> Value {
        using namespace mlir::arith;
        SmallVector<Value> at;
        for (size_t dim = 0; dim < input.getRank(); ++dim)
          at.push_back(mlir::linalg::IndexOp::create(b, loc, dim));
        Value raw = mlir::tensor::ExtractOp::create(b, loc, counts, at[batch]);
        Value length = IndexCastOp::create(b, loc, b.getIndexType(), raw);
        length = MinSIOp::create(b, loc, length, longest);
        Value inside =
            CmpIOp::create(b, loc, CmpIPredicate::slt, at[time], length);
        Value mirrored = SubIOp::create(
            b, loc, SubIOp::create(b, loc, length, indexConstant(b, loc, 1)),
            at[time]);
        at[time] = SelectOp::create(b, loc, inside, mirrored, at[time]);
        return mlir::tensor::ExtractOp::create(b, loc, value, at);
      })};
}
