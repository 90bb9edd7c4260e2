//===- Padding.cpp - Pad and ReverseSequence ------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <numeric>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

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
            Value mirrored =
                SubIOp::create(b, loc, indexConstant(b, loc, 2 * (n - 1)), i);
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
  int64_t batch = node.getInt("batch_axis", 1),
          time = node.getInt("time_axis", 0);
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
  if (lengths.numbers &&
      all_of(*lengths.numbers, [&](const Size &s) { return s == t; })) {
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
