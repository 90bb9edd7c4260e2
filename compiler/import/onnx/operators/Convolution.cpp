//===- Convolution.cpp - convolution and pooling --------------------------===//
//
// Over any number of spatial dimensions. A convolution stays one linalg.generic
// in ONNX's own layout, [batch, channels, space...]: loops over batch, group,
// filter and space, then reductions over channels and window.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>
#include <limits>
#include <numeric>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;
using namespace mlir::arith;

using Numbers = SmallVector<int64_t>;

namespace {
/// How a window moves over the spatial dimensions.
struct Window {
  Numbers size, strides, dilations, before, after;
  /// Of the input and of the result.
  Numbers inputSpace, space;
  int64_t getReach(size_t dim) const {
    return (size[dim] - 1) * dilations[dim] + 1;
  }
};
} // namespace

/// The spatial sizes of an input [N, C, space...].
static Expected<Numbers> getSpace(Node &node, const Tensor &input) {
  if (!isFloat(input.type) || input.getRank() < 3)
    return node.error("the input is " + shapeText(input.shape) + " of " +
                      getName(input.type) +
                      ", expected floats in three dimensions or more");
  std::optional<Numbers> space =
      getNumbers(ArrayRef(input.shape).drop_front(2));
  if (!space || !input.shape[1].isNumber())
    return node.openSize("the input is " + shapeText(input.shape) +
                         ", expected known channels and spatial sizes");
  return *space;
}

static Error readList(Node &node, StringRef name, size_t count, int64_t least,
                      Numbers &list) {
  list = node.getInts(name);
  if (list.empty())
    list.assign(count, least);
  constexpr int64_t most = int64_t(1) << 24;
  for (int64_t number : list)
    if (list.size() != count || number < least || number > most)
      return node.error(name + " has " + Twine(list.size()) +
                        " numbers, expected " + Twine(count) + " of at least " +
                        Twine(least));
  return Error::success();
}

/// Reads everything but the window's size and the result's.
static Error readWindow(Node &node, Window &window) {
  size_t count = window.inputSpace.size();
  Numbers pads;
  if (Error error = readList(node, "strides", count, 1, window.strides))
    return error;
  if (Error error = readList(node, "dilations", count, 1, window.dilations))
    return error;
  if (Error error = readList(node, "pads", 2 * count, 0, pads))
    return error;
  window.before.assign(pads.begin(), pads.begin() + count);
  window.after.assign(pads.begin() + count, pads.end());
  for (size_t dim = 0; dim < count; ++dim)
    if (window.size[dim] < 1 || window.size[dim] > (int64_t(1) << 24))
      return node.error("the window is " + gru::shapeText(window.size));
  return Error::success();
}

/// Splits what has to be added around the input, by auto_pad.
static void splitPads(Window &window, size_t dim, int64_t total, bool upper) {
  total = std::max<int64_t>(total, 0);
  window.before[dim] = upper ? total / 2 : total - total / 2;
  window.after[dim] = total - window.before[dim];
}

static Error applyAutoPad(Node &node, Window &window, StringRef mode) {
  if (mode == "NOTSET" || mode == "VALID") {
    if (mode == "VALID") {
      window.before.assign(window.before.size(), 0);
      window.after = window.before;
    }
    return Error::success();
  }
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER")
    return node.error("auto_pad is '" + printable(mode) +
                      "', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  for (size_t dim = 0; dim < window.size.size(); ++dim) {
    int64_t n = window.inputSpace[dim], stride = window.strides[dim];
    int64_t out = (n + stride - 1) / stride;
    splitPads(window, dim, (out - 1) * stride + window.getReach(dim) - n,
              mode == "SAME_UPPER");
  }
  return Error::success();
}

static Error placeWindow(Node &node, Window &window, bool ceil) {
  for (size_t dim = 0; dim < window.size.size(); ++dim) {
    int64_t padded =
        window.inputSpace[dim] + window.before[dim] + window.after[dim];
    int64_t free = padded - window.getReach(dim), stride = window.strides[dim];
    if (free < 0)
      return node.error("the window spans " + Twine(window.getReach(dim)) +
                        " elements of spatial dimension " + Twine(dim) +
                        ", which has " + Twine(padded) + " with its pads");
    int64_t last = ceil ? (free + stride - 1) / stride : free / stride;
    // A window that would start in the pad behind the input is left out.
    if (ceil && last * stride >= window.inputSpace[dim] + window.before[dim])
      --last;
    window.space.push_back(last + 1);
  }
  return Error::success();
}

static Expected<Tensor> padSpace(Node &node, const Tensor &input,
                                 const Window &window, double value) {
  Numbers before{0, 0}, after{0, 0};
  before.append(window.before);
  after.append(window.after);
  return emitPad(node, input, before, after, value);
}

//===----------------------------------------------------------------------===//
// Convolution
//===----------------------------------------------------------------------===//

/// Sums over an input that has its pads. `kernel` is [M, C / groups, size...].
static Expected<Tensor> emitConvolution(Node &node, const Tensor &input,
                                        const Tensor &kernel,
                                        const Tensor *bias,
                                        const Window &window, int64_t groups) {
  size_t count = window.size.size();
  int64_t filters = kernel.shape[0].getNumber(),
          channels = kernel.shape[1].getNumber();
  OpBuilder &b = node.b;
  // batch, group, filter of the group, space..., channel, window...
  Sizes loops{input.shape[0], groups, filters / groups};
  for (int64_t size : window.space)
    loops.push_back(size);
  loops.push_back(channels);
  for (int64_t size : window.size)
    loops.push_back(size);
  auto loop = [&](size_t i) { return b.getAffineDimExpr(i); };
  size_t channel = 3 + count;
  // The groups are dimensions of their own, so that no index is a sum of
  // products.
  Sizes inputShape{input.shape[0], groups, channels},
      kernelShape{groups, filters / groups, channels};
  inputShape.append(input.shape.begin() + 2, input.shape.end());
  kernelShape.append(kernel.shape.begin() + 2, kernel.shape.end());
  Tensor x, w;
  GRU_TAKE(x, emitReshape(node, input, inputShape));
  GRU_TAKE(w, emitReshape(node, kernel, kernelShape));
  SmallVector<Operand> operands(2);
  GRU_TAKE(operands[0].value, node.getValue(x));
  GRU_TAKE(operands[1].value, node.getValue(w));
  operands[0].indices = {loop(0), loop(1), loop(channel)};
  operands[1].indices = {loop(1), loop(2), loop(channel)};
  for (size_t dim = 0; dim < count; ++dim) {
    operands[0].indices.push_back(loop(3 + dim) * window.strides[dim] +
                                  loop(channel + 1 + dim) *
                                      window.dilations[dim]);
    operands[1].indices.push_back(loop(channel + 1 + dim));
  }
  Tensor result = emitLoops(
      node, loops, 1 + count, operands, input.type, 0,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return AddFOp::create(b, loc, args[2],
                              MulFOp::create(b, loc, args[0], args[1]));
      });
  Sizes shape{input.shape[0], filters};
  for (int64_t size : window.space)
    shape.push_back(size);
  GRU_TAKE(result, emitReshape(node, result, shape));
  if (!bias)
    return result;
  if (bias->type != input.type || bias->getRank() != 1 ||
      !bias->shape[0].is(filters))
    return node.error("B is " + shapeText(bias->shape) + " of " +
                      getName(bias->type) + ", expected " + Twine(filters) +
                      " of " + getName(input.type));
  Sizes column{filters};
  column.append(count, 1);
  Tensor offset;
  GRU_TAKE(offset, emitReshape(node, *bias, column));
  return emitElementwise(
      node, {result, offset}, input.type,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return AddFOp::create(b, loc, args[0], args[1]);
      });
}

/// Checks the kernel and reads what Conv and ConvTranspose have in common.
static Expected<Window> readConvolution(Node &node, const Tensor &input,
                                        const Tensor &kernel, int64_t &groups) {
  Window window;
  GRU_TAKE(window.inputSpace, getSpace(node, input));
  groups = node.getInt("group", 1);
  std::optional<Numbers> dims = getNumbers(kernel.shape);
  int64_t channels = input.shape[1].getNumber();
  if (!dims || kernel.type != input.type ||
      kernel.getRank() != input.getRank() || groups < 1 ||
      channels % groups != 0)
    return node.error("the input is " + shapeText(input.shape) + " of " +
                      getName(input.type) + ", W " + shapeText(kernel.shape) +
                      " of " + getName(kernel.type) + ", in " + Twine(groups) +
                      " groups, which do not fit");
  window.size.assign(dims->begin() + 2, dims->end());
  Numbers given = node.getInts("kernel_shape");
  if (!given.empty() && given != window.size)
    return node.error("kernel_shape is " + gru::shapeText(given) + ", W has " +
                      gru::shapeText(window.size));
  if (Error error = readWindow(node, window))
    return error;
  return window;
}

Expected<Tensors> gru::onnx::importConv(Node &node) {
  const Tensor &input = node.getInput(0), &kernel = node.getInput(1);
  int64_t groups = 1;
  Window window;
  GRU_TAKE(window, readConvolution(node, input, kernel, groups));
  int64_t channels = input.shape[1].getNumber();
  if (!kernel.shape[1].is(channels / groups) ||
      kernel.shape[0].getNumber() % groups != 0)
    return node.error("W is " + shapeText(kernel.shape) + " for " +
                      Twine(channels) + " channels in " + Twine(groups) +
                      " groups, expected filters x channels/groups x window");
  if (Error error =
          applyAutoPad(node, window, node.getString("auto_pad", "NOTSET")))
    return error;
  if (Error error = placeWindow(node, window, /*ceil=*/false))
    return error;
  Tensor padded, result;
  GRU_TAKE(padded, padSpace(node, input, window, 0));
  GRU_TAKE(result,
           emitConvolution(node, padded, kernel,
                           node.hasInput(2) ? &node.getInput(2) : nullptr,
                           window, groups));
  return Tensors{result};
}

/// [C, M / groups, size...] becomes the kernel of the convolution that does the
/// same over an input with zeros between its elements: [M, C / groups, size...]
/// with windows read from their ends.
static Expected<Tensor> turnKernel(Node &node, const Tensor &kernel,
                                   int64_t groups) {
  Numbers dims = *getNumbers(kernel.shape);
  int64_t in = dims[0] / groups, out = dims[1];
  Sizes split{groups, in, out}, joined{groups * out, in};
  Numbers order{0, 2, 1}, steps{1, 1};
  Sizes offsets{0, 0};
  for (size_t dim = 2; dim < dims.size(); ++dim) {
    split.push_back(dims[dim]);
    joined.push_back(dims[dim]);
    order.push_back(dim + 1);
    steps.push_back(-1);
    offsets.push_back(dims[dim] - 1);
  }
  Tensor result;
  GRU_TAKE(result, emitReshape(node, kernel, split));
  GRU_TAKE(result, emitTranspose(node, result, order));
  GRU_TAKE(result, emitReshape(node, result, joined));
  return emitSlice(node, result, offsets, joined, steps);
}

Expected<Tensors> gru::onnx::importConvTranspose(Node &node) {
  const Tensor &input = node.getInput(0), &kernel = node.getInput(1);
  int64_t groups = 1;
  Window window;
  GRU_TAKE(window, readConvolution(node, input, kernel, groups));
  int64_t channels = input.shape[1].getNumber();
  if (!kernel.shape[0].is(channels))
    return node.error("W is " + shapeText(kernel.shape) + " for " +
                      Twine(channels) +
                      " channels, expected channels x filters/groups x window");
  size_t count = window.size.size();
  Numbers extra, wanted = node.getInts("output_shape");
  if (Error error = readList(node, "output_padding", count, 0, extra))
    return error;
  std::string mode = node.getString("auto_pad", "NOTSET");
  if (mode != "NOTSET" && mode != "VALID" && mode != "SAME_UPPER" &&
      mode != "SAME_LOWER")
    return node.error("auto_pad is '" + printable(mode) +
                      "', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  if (!wanted.empty() && wanted.size() != count)
    return node.error("output_shape has " + Twine(wanted.size()) +
                      " numbers, expected " + Twine(count));
  bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  for (size_t dim = 0; dim < count; ++dim) {
    int64_t n = window.inputSpace[dim], stride = window.strides[dim];
    int64_t full = stride * (n - 1) + extra[dim] + window.getReach(dim);
    if (!wanted.empty())
      splitPads(window, dim, full - wanted[dim], mode == "SAME_UPPER");
    else if (same)
      splitPads(window, dim, full - n * stride, mode == "SAME_UPPER");
    else if (mode == "VALID")
      window.before[dim] = window.after[dim] = 0;
    window.space.push_back(full - window.before[dim] - window.after[dim]);
  }
  Sizes space;
  for (int64_t size : window.space)
    space.push_back(size);
  if (Error error = node.checkShape(space))
    return error;

  // Zeros between the elements and around them.
  Tensor spread = makeTensor({}, input.shape, input.type);
  Numbers first, last;
  Sizes offsets{0, 0};
  SmallVector<mlir::OpFoldResult> starts(2, node.b.getIndexAttr(0)),
      steps(2, node.b.getIndexAttr(1));
  Numbers cutFront, cutBack;
  for (size_t dim = 0; dim < count; ++dim) {
    int64_t reach = window.getReach(dim) - 1;
    // More than is there is cut off the result's ends instead.
    int64_t front = std::max<int64_t>(reach - window.before[dim], 0);
    int64_t stretched = (window.inputSpace[dim] - 1) * window.strides[dim] + 1;
    int64_t needed = window.space[dim] + reach;
    cutFront.push_back(std::max<int64_t>(window.before[dim] - reach, 0));
    int64_t total = std::max(needed + cutFront[dim], front + stretched);
    spread.shape[2 + dim] = total;
    starts.push_back(node.b.getIndexAttr(front));
    steps.push_back(node.b.getIndexAttr(window.strides[dim]));
  }
  spread.splat = 0;
  Value inner, frame;
  GRU_TAKE(inner, node.getValue(input));
  GRU_TAKE(frame, node.getValue(spread));
  spread.splat.reset();
  spread.value = mlir::tensor::InsertSliceOp::create(
      node.b, node.loc, inner, frame, starts, node.getFoldResults(input.shape),
      steps);
  Sizes from{0, 0}, sizes{input.shape[0], input.shape[1]};
  for (size_t dim = 0; dim < count; ++dim) {
    from.push_back(cutFront[dim]);
    sizes.push_back(window.space[dim] + window.getReach(dim) - 1);
  }
  GRU_TAKE(spread,
           emitSlice(node, spread, from, sizes, Numbers(input.getRank(), 1)));
  window.strides.assign(count, 1);
  Tensor turned, result;
  GRU_TAKE(turned, turnKernel(node, kernel, groups));
  GRU_TAKE(result,
           emitConvolution(node, spread, turned,
                           node.hasInput(2) ? &node.getInput(2) : nullptr,
                           window, groups));
  return Tensors{result};
}

//===----------------------------------------------------------------------===//
// Pooling
//===----------------------------------------------------------------------===//

/// Accumulates over windows of an input that has its pads.
static Expected<Tensor> emitWindows(Node &node, const Tensor &input,
                                    const Window &window, double init,
                                    Body body) {
  size_t count = window.size.size();
  Sizes loops{input.shape[0], input.shape[1]};
  for (int64_t size : window.space)
    loops.push_back(size);
  for (int64_t size : window.size)
    loops.push_back(size);
  Operand operand;
  GRU_TAKE(operand.value, node.getValue(input));
  operand.indices = {node.b.getAffineDimExpr(0), node.b.getAffineDimExpr(1)};
  for (size_t dim = 0; dim < count; ++dim)
    operand.indices.push_back(
        node.b.getAffineDimExpr(2 + dim) * window.strides[dim] +
        node.b.getAffineDimExpr(2 + count + dim) * window.dilations[dim]);
  return emitLoops(node, loops, count, operand, input.type, init, body);
}

/// MaxPool and AveragePool.
Expected<Tensors> gru::onnx::importPool(Node &node) {
  const Tensor &input = node.getInput(0);
  bool average = node.getOperator() == "AveragePool";
  Window window;
  GRU_TAKE(window.inputSpace, getSpace(node, input));
  size_t count = window.inputSpace.size();
  window.size = node.getInts("kernel_shape");
  if (window.size.size() != count)
    return node.error("kernel_shape has " + Twine(window.size.size()) +
                      " numbers, expected " + Twine(count));
  if (Error error = readWindow(node, window))
    return error;
  bool ceil = node.getInt("ceil_mode", 0) != 0;
  bool padded = average && node.getInt("count_include_pad", 0) != 0;
  node.ignoreAttribute("storage_order"); // Of the indices, which are not made.
  if (Error error =
          applyAutoPad(node, window, node.getString("auto_pad", "NOTSET")))
    return error;
  if (Error error = placeWindow(node, window, ceil))
    return error;
  Window real = window;
  // The last windows may reach beyond the pads.
  for (size_t dim = 0; dim < count; ++dim) {
    int64_t end =
        (window.space[dim] - 1) * window.strides[dim] + window.getReach(dim);
    window.after[dim] = std::max<int64_t>(
        window.after[dim], end - window.before[dim] - window.inputSpace[dim]);
  }
  constexpr double least = -std::numeric_limits<double>::infinity();
  Tensor around, result;
  GRU_TAKE(around, padSpace(node, input, window, average ? 0 : least));
  GRU_TAKE(
      result,
      emitWindows(node, around, window, average ? 0 : least,
                  [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                    if (average)
                      return AddFOp::create(b, loc, args[1], args[0]);
                    return MaximumFOp::create(b, loc, args[1], args[0]);
                  }));
  if (!average)
    return Tensors{result};
  // By the elements below the window; with count_include_pad pads are such.
  Tensor counts = makeTensor({}, input.shape, input.type);
  counts.shape[0] = counts.shape[1] = 1;
  counts.splat = 1;
  Window ones = real;
  if (padded)
    for (size_t dim = 0; dim < count; ++dim) {
      counts.shape[2 + dim] =
          real.inputSpace[dim] + real.before[dim] + real.after[dim];
      window.after[dim] -= real.after[dim];
      window.before[dim] = 0;
    }
  GRU_TAKE(counts, padSpace(node, counts, window, 0));
  GRU_TAKE(
      counts,
      emitWindows(node, counts, window, 0,
                  [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                    return AddFOp::create(b, loc, args[1], args[0]);
                  }));
  GRU_TAKE(
      result,
      emitElementwise(node, {result, counts}, input.type,
                      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                        return DivFOp::create(b, loc, args[0], args[1]);
                      }));
  return Tensors{result};
}

/// GlobalMaxPool and GlobalAveragePool.
Expected<Tensors> gru::onnx::importGlobalPool(Node &node) {
  const Tensor &input = node.getInput(0);
  Window window;
  GRU_TAKE(window.size, getSpace(node, input));
  size_t count = window.size.size();
  window.strides.assign(count, 1);
  window.dilations = window.space = window.strides;
  bool average = node.getOperator() == "GlobalAveragePool";
  int64_t elements = 1;
  for (int64_t size : window.size)
    elements *= size;
  Tensor result;
  GRU_TAKE(
      result,
      emitWindows(node, input, window,
                  average ? 0 : -std::numeric_limits<double>::infinity(),
                  [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                    if (average)
                      return AddFOp::create(b, loc, args[1], args[0]);
                    return MaximumFOp::create(b, loc, args[1], args[0]);
                  }));
  if (average)
    GRU_TAKE(result,
             emitElementwise(
                 node, result, input.type,
                 [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return DivFOp::create(
                       b, loc, args[0],
                       numberLike(b, loc, args[0], double(elements)));
                 }));
  return Tensors{result};
}
