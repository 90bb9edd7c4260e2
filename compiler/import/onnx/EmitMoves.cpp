//===- EmitMoves.cpp - the same elements in other places ------------------===//

#include "compiler/import/onnx/Emit.h"

#include "compiler/import/onnx/Graph.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cstring>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

/// Most integers that are known beyond those of Tensor::numbers: the indices of
/// a ScatterND, which exporters put together with one per element of a slice.
static constexpr int64_t mostIndices = int64_t(1) << 17;

/// The elements of a known tensor of at most that many integers.
static std::optional<SmallVector<int64_t>> getIntegers(const Tensor &tensor) {
  if (isFloat(tensor.type))
    return std::nullopt;
  if (tensor.numbers)
    return getNumbers(*tensor.numbers);
  std::optional<SmallVector<int64_t>> dims = getNumbers(tensor.shape);
  std::optional<Size> product = multiplyAll(tensor.shape);
  if (!dims || !product || product->getNumber() > mostIndices)
    return std::nullopt;
  SmallVector<int64_t> integers(product->getNumber());
  for (auto [i, integer] : enumerate(integers))
    if (tensor.splat)
      integer = int64_t(*tensor.splat);
    else if (tensor.literal)
      integer = tensor.literal->getInteger(i);
    else
      return std::nullopt;
  return integers;
}

static std::shared_ptr<const Literal> keepIntegers(Node &node, DataType type,
                                                   ArrayRef<int64_t> shape,
                                                   ArrayRef<int64_t> integers) {
  auto literal = std::make_shared<Literal>();
  literal->name = node.getName().str();
  literal->type = type;
  literal->shape.assign(shape.begin(), shape.end());
  size_t width = getByteSize(type);
  literal->bytes.resize(integers.size() * width);
  char *out = literal->bytes.data();
  for (int64_t integer : integers) {
    int32_t narrow = int32_t(integer);
    bool bit = integer != 0;
    std::memcpy(out,
                type == DataType::i64   ? (const void *)&integer
                : type == DataType::i32 ? (const void *)&narrow
                                        : (const void *)&bit,
                width);
    out += width;
  }
  return node.graph.keep(std::move(literal));
}

Expected<Tensor>
gru::onnx::emitMove(Node &node, const Tensor &tensor, Sizes shape,
                    function_ref<int64_t(ArrayRef<int64_t>)> source,
                    function_ref<Expected<Value>(Value)> emit) {
  Tensor result = makeTensor({}, std::move(shape), tensor.type);
  if (tensor.splat) {
    result.splat = tensor.splat;
    return result;
  }
  std::optional<SmallVector<int64_t>> dims = getNumbers(result.shape);
  if (dims && tensor.isKnown()) {
    int64_t count = 1;
    for (int64_t dim : *dims)
      if (dim < 0 || MulOverflow(count, dim, count))
        count = std::numeric_limits<int64_t>::max();
    if (tensor.numbers && count <= mostNumbers) {
      result.numbers.emplace();
      forEachElement(*dims, [&](ArrayRef<int64_t> index) {
        result.numbers->push_back((*tensor.numbers)[source(index)]);
      });
      return result;
    }
    // A literal is rearranged, but not blown up.
    if (tensor.literal && count <= tensor.literal->getNumElements()) {
      auto literal = std::make_shared<Literal>();
      literal->name = node.getName().str();
      literal->type = tensor.type;
      literal->shape = *dims;
      size_t width = getByteSize(tensor.type);
      literal->bytes.resize(count * width);
      char *out = literal->bytes.data();
      forEachElement(*dims, [&](ArrayRef<int64_t> index) {
        std::memcpy(out, tensor.literal->bytes.data() + source(index) * width,
                    width);
        out += width;
      });
      if (count > 0) {
        result.literal = node.graph.keep(std::move(literal));
        if (!tensor.value)
          return result;
      }
    } else if (count > 0 && count <= mostIndices) {
      if (auto integers = getIntegers(tensor)) {
        SmallVector<int64_t> moved;
        forEachElement(*dims, [&](ArrayRef<int64_t> index) {
          moved.push_back((*integers)[source(index)]);
        });
        result.literal = keepIntegers(node, tensor.type, *dims, moved);
      }
    }
  }
  if (Error error = node.checkShape(result.shape))
    return error;
  Value value;
  GRU_TAKE(value, node.getValue(tensor));
  GRU_TAKE(result.value, emit(value));
  return result;
}

using Groups = SmallVector<mlir::ReassociationIndices>;

/// Pairs runs of dimensions that hold the same elements. With nothing to pair,
/// all of one are paired with all of the other.
static void pairDimensions(ArrayRef<Size> from, ArrayRef<Size> to,
                           Groups &fromGroups, Groups &toGroups) {
  auto one = [](Groups &groups, size_t rank) {
    groups.clear();
    mlir::ReassociationIndices &all = groups.emplace_back();
    for (size_t dim = 0; dim < rank; ++dim)
      all.push_back(dim);
  };
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    fromGroups.push_back({int64_t(i)});
    toGroups.push_back({int64_t(j)});
    std::optional<Size> a = from[i++], b = to[j++];
    while (a && b && !(*a == *b)) {
      // The one that divides the other needs more dimensions.
      std::optional<Size> quotient = divide(*b, *a);
      std::optional<Size> back = quotient ? multiply(*quotient, *a) : quotient;
      bool extendFrom = back && *back == *b;
      if (a->isNumber() && b->isNumber())
        extendFrom = a->getNumber() < b->getNumber();
      if (extendFrom && i < from.size()) {
        fromGroups.back().push_back(i);
        a = multiply(*a, from[i++]);
      } else if (!extendFrom && j < to.size()) {
        toGroups.back().push_back(j);
        b = multiply(*b, to[j++]);
      } else {
        one(fromGroups, from.size());
        one(toGroups, to.size());
        return;
      }
    }
    if (!a || !b) {
      one(fromGroups, from.size());
      one(toGroups, to.size());
      return;
    }
  }
  // Ones that are left over.
  for (; i < from.size(); ++i)
    fromGroups.back().push_back(i);
  for (; j < to.size(); ++j)
    toGroups.back().push_back(j);
}

Expected<Tensor> gru::onnx::emitReshape(Node &node, const Tensor &tensor,
                                        ArrayRef<Size> shape) {
  if (ArrayRef(tensor.shape) == shape)
    return tensor;
  std::optional<SmallVector<int64_t>> dims = getNumbers(shape);
  SmallVector<int64_t> strides;
  if (dims)
    strides = getStrides(*dims);
  return emitMove(
      node, tensor, Sizes(shape),
      [&](ArrayRef<int64_t> index) {
        int64_t linear = 0;
        for (auto [i, stride] : zip(index, strides))
          linear += i * stride;
        return linear;
      },
      [&](Value value) -> Expected<Value> {
        OpBuilder &b = node.b;
        mlir::RankedTensorType type = node.getTensorType(shape, tensor.type);
        if (tensor.shape.empty() || shape.empty()) {
          if (shape.empty())
            return mlir::tensor::CollapseShapeOp::create(
                       b, node.loc, type, value,
                       ArrayRef<mlir::ReassociationIndices>())
                .getResult();
          return mlir::tensor::ExpandShapeOp::create(
                     b, node.loc, type, value,
                     ArrayRef<mlir::ReassociationIndices>(),
                     node.getFoldResults(shape))
              .getResult();
        }
        Groups from, to;
        pairDimensions(tensor.shape, shape, from, to);
        if (any_of(from, [](auto &group) { return group.size() > 1; }))
          value =
              mlir::tensor::CollapseShapeOp::create(b, node.loc, value, from);
        // The size of an open dimension that was collapsed with ones is a
        // product to those who ask later; a slice of everything says what it
        // is.
        bool open = any_of(from, [&](auto &group) {
          return group.size() > 1 && any_of(group, [&](int64_t dim) {
                   return !tensor.shape[dim].isNumber();
                 });
        });
        bool expands = any_of(to, [](auto &group) { return group.size() > 1; });
        if (open && !expands) {
          SmallVector<mlir::OpFoldResult> zeros(shape.size(),
                                                b.getIndexAttr(0)),
              ones(shape.size(), b.getIndexAttr(1));
          value = mlir::tensor::ExtractSliceOp::create(
              b, node.loc, type, value, zeros, node.getFoldResults(shape),
              ones);
        }
        if (expands)
          value = mlir::tensor::ExpandShapeOp::create(
              b, node.loc, type, value, to, node.getFoldResults(shape));
        return value;
      });
}

/// Each element of `shape` is that of the operand at its indices.
static Value emitGather(Node &node, ArrayRef<Size> shape,
                        const Operand &operand, DataType type) {
  return emitLoops(
             node, shape, 0, operand, type, 0,
             [](OpBuilder &, Location, ValueRange args) { return args[0]; })
      .value;
}

Expected<Tensor> gru::onnx::emitTranspose(Node &node, const Tensor &tensor,
                                          ArrayRef<int64_t> order) {
  if (is_sorted(order))
    return tensor;
  Sizes shape;
  for (int64_t dim : order)
    shape.push_back(tensor.shape[dim]);
  // Where only ones move, nothing does.
  SmallVector<int64_t> moved;
  for (int64_t dim : order)
    if (!tensor.shape[dim].is(1))
      moved.push_back(dim);
  if (is_sorted(moved) && getNumbers(shape))
    return emitReshape(node, tensor, shape);
  SmallVector<int64_t> strides;
  if (std::optional<SmallVector<int64_t>> dims = getNumbers(tensor.shape))
    strides = getStrides(*dims);
  return emitMove(
      node, tensor, shape,
      [&](ArrayRef<int64_t> index) {
        int64_t linear = 0;
        for (auto [i, dim] : zip(index, order))
          linear += i * strides[dim];
        return linear;
      },
      [&](Value value) -> Expected<Value> {
        Operand operand{value, {}};
        operand.indices.resize(order.size());
        for (auto [i, dim] : enumerate(order))
          operand.indices[dim] = node.b.getAffineDimExpr(i);
        return emitGather(node, shape, operand, tensor.type);
      });
}

Expected<Tensor> gru::onnx::emitSlice(Node &node, const Tensor &tensor,
                                      ArrayRef<Size> offsets,
                                      ArrayRef<Size> sizes,
                                      ArrayRef<int64_t> steps) {
  bool all = ArrayRef(tensor.shape) == sizes &&
             all_of(offsets, [](const Size &s) { return s.is(0); }) &&
             all_of(steps, [](int64_t step) { return step == 1; });
  if (all)
    return tensor;
  std::optional<SmallVector<int64_t>> dims = getNumbers(tensor.shape),
                                      begin = getNumbers(offsets);
  Tensor source = tensor;
  if (!dims || !begin) {
    // Not known when imported after all.
    if (!tensor.splat) {
      GRU_TAKE(source.value, node.getValue(tensor));
      source.literal = nullptr;
      source.numbers.reset();
    }
    dims.emplace(), begin.emplace();
  }
  SmallVector<int64_t> strides = getStrides(*dims);
  return emitMove(
      node, source, Sizes(sizes),
      [&](ArrayRef<int64_t> index) {
        int64_t linear = 0;
        for (auto [dim, i] : enumerate(index))
          linear += ((*begin)[dim] + i * steps[dim]) * strides[dim];
        return linear;
      },
      [&](Value value) -> Expected<Value> {
        OpBuilder &b = node.b;
        if (all_of(steps, [](int64_t step) { return step > 0; })) {
          SmallVector<mlir::OpFoldResult> strides;
          for (int64_t step : steps)
            strides.push_back(b.getIndexAttr(step));
          return mlir::tensor::ExtractSliceOp::create(
                     b, node.loc, node.getTensorType(sizes, tensor.type), value,
                     node.getFoldResults(offsets), node.getFoldResults(sizes),
                     strides)
              .getResult();
        }
        return emitLoops(
                   node, sizes, 0, {}, tensor.type, 0,
                   [&](OpBuilder &b, Location loc, ValueRange) -> Value {
                     SmallVector<Value> at;
                     for (auto [dim, step] : enumerate(steps)) {
                       Value i = mlir::linalg::IndexOp::create(b, loc, dim);
                       Value scaled = mlir::arith::MulIOp::create(
                           b, loc, i, indexConstant(b, loc, step));
                       at.push_back(mlir::arith::AddIOp::create(
                           b, loc, scaled, node.getIndex(offsets[dim])));
                     }
                     return mlir::tensor::ExtractOp::create(b, loc, value, at);
                   })
            .value;
      });
}

Expected<Tensor> gru::onnx::emitSelect(Node &node, const Tensor &tensor,
                                       int64_t dim, const Size &position) {
  Sizes offsets(tensor.getRank()), sizes = tensor.shape;
  SmallVector<int64_t> steps(tensor.getRank(), 1);
  offsets[dim] = position;
  sizes[dim] = 1;
  Tensor slice;
  GRU_TAKE(slice, emitSlice(node, tensor, offsets, sizes, steps));
  sizes.erase(sizes.begin() + dim);
  return emitReshape(node, slice, sizes);
}

/// Where all tensors are known integers, says so of the result, which has a
/// value besides.
static void concatIntegers(Node &node, ArrayRef<Tensor> tensors,
                           ArrayRef<int64_t> dims, int64_t dim,
                           Tensor &result) {
  SmallVector<SmallVector<int64_t>> parts;
  for (const Tensor &tensor : tensors) {
    auto integers = getIntegers(tensor);
    if (!integers)
      return;
    parts.push_back(std::move(*integers));
  }
  int64_t outer = product_of(dims.take_front(dim));
  int64_t inner = product_of(dims.drop_front(dim + 1));
  SmallVector<int64_t> integers;
  for (int64_t i = 0; i < outer; ++i)
    for (auto [tensor, part] : zip(tensors, parts)) {
      int64_t run = inner * tensor.shape[dim].getNumber();
      append_range(integers, ArrayRef(part).slice(i * run, run));
    }
  if (!integers.empty())
    result.literal = keepIntegers(node, result.type, dims, integers);
}

Expected<Tensor> gru::onnx::emitConcat(Node &node, ArrayRef<Tensor> tensors,
                                       int64_t dim) {
  if (tensors.size() == 1)
    return tensors[0];
  Tensor result = makeTensor({}, tensors[0].shape, tensors[0].type);
  std::optional<Size> total = Size(0);
  for (const Tensor &tensor : tensors)
    if (!(total = add(*total, tensor.shape[dim])))
      return node.error("the result is too large");
  result.shape[dim] = *total;
  if (all_of(tensors, [&](const Tensor &t) {
        return t.splat && t.splat == tensors[0].splat;
      })) {
    result.splat = tensors[0].splat;
    return result;
  }
  std::optional<SmallVector<int64_t>> dims = getNumbers(result.shape);
  std::optional<Size> size = multiplyAll(result.shape);
  int64_t count = dims && size ? size->getNumber() : -1;
  bool numbers = all_of(tensors, [](const Tensor &t) { return !!t.numbers; });
  bool literals = all_of(tensors, [](const Tensor &t) { return !!t.literal; });
  if (count == 0 && numbers) {
    result.numbers.emplace();
    return result;
  }
  if (count > 0 && (numbers || literals)) {
    int64_t outer = product_of(ArrayRef(*dims).take_front(dim));
    int64_t inner = product_of(ArrayRef(*dims).drop_front(dim + 1));
    if (numbers && count <= mostNumbers) {
      result.numbers.emplace();
      for (int64_t i = 0; i < outer; ++i)
        for (const Tensor &tensor : tensors) {
          int64_t run = inner * tensor.shape[dim].getNumber();
          result.numbers->append(tensor.numbers->begin() + i * run,
                                 tensor.numbers->begin() + (i + 1) * run);
        }
      return result;
    }
    if (literals) {
      auto literal = std::make_shared<Literal>();
      literal->name = node.getName().str();
      literal->type = result.type;
      literal->shape = *dims;
      for (int64_t i = 0; i < outer; ++i)
        for (const Tensor &tensor : tensors) {
          int64_t run =
              inner * tensor.shape[dim].getNumber() * getByteSize(result.type);
          auto begin = tensor.literal->bytes.begin();
          literal->bytes.insert(literal->bytes.end(), begin + i * run,
                                begin + (i + 1) * run);
        }
      result.literal = node.graph.keep(std::move(literal));
      if (none_of(tensors, [](const Tensor &t) { return !!t.value; }))
        return result;
    }
  }
  if (Error error = node.checkShape(result.shape))
    return error;
  if (!result.literal && count > 0 && count <= mostIndices)
    concatIntegers(node, tensors, *dims, dim, result);
  SmallVector<Value> values;
  for (const Tensor &tensor : tensors)
    GRU_TAKE(values.emplace_back(), node.getValue(tensor));
  result.value = mlir::tensor::ConcatOp::create(
      node.b, node.loc, node.getTensorType(result.shape, result.type), dim,
      values);
  return result;
}

Expected<Tensor> gru::onnx::emitBroadcast(Node &node, const Tensor &tensor,
                                          ArrayRef<Size> shape) {
  if (ArrayRef(tensor.shape) == shape)
    return tensor;
  size_t lead = shape.size() - tensor.getRank();
  SmallVector<int64_t> strides;
  if (std::optional<SmallVector<int64_t>> dims = getNumbers(tensor.shape))
    strides = getStrides(*dims);
  return emitMove(
      node, tensor, Sizes(shape),
      [&](ArrayRef<int64_t> index) {
        int64_t linear = 0;
        for (auto [dim, stride] : enumerate(strides))
          if (!tensor.shape[dim].is(1))
            linear += index[lead + dim] * stride;
        return linear;
      },
      [&](Value value) -> Expected<Value> {
        Operand operand{value, {}};
        for (auto [dim, size] : enumerate(tensor.shape))
          operand.indices.push_back(size.is(1) && !shape[lead + dim].is(1)
                                        ? node.b.getAffineConstantExpr(0)
                                        : node.b.getAffineDimExpr(lead + dim));
        return emitGather(node, shape, operand, tensor.type);
      });
}

Expected<Tensor> gru::onnx::emitPad(Node &node, const Tensor &tensor,
                                    ArrayRef<int64_t> before,
                                    ArrayRef<int64_t> after, double value) {
  auto isZero = [](int64_t n) { return n == 0; };
  if (all_of(before, isZero) && all_of(after, isZero))
    return tensor;
  Tensor frame = makeTensor({}, tensor.shape, tensor.type);
  for (auto [dim, size] : enumerate(frame.shape)) {
    std::optional<Size> sum = add(size, Size(before[dim]));
    sum = sum ? add(*sum, Size(after[dim])) : sum;
    if (!sum)
      return node.error("pads are too large");
    size = *sum;
  }
  frame.splat = value;
  Value inner, outer;
  GRU_TAKE(inner, node.getValue(tensor));
  GRU_TAKE(outer, node.getValue(frame));
  SmallVector<mlir::OpFoldResult> offsets, ones;
  for (int64_t offset : before) {
    offsets.push_back(node.b.getIndexAttr(offset));
    ones.push_back(node.b.getIndexAttr(1));
  }
  frame.splat.reset();
  frame.value = mlir::tensor::InsertSliceOp::create(
      node.b, node.loc, inner, outer, offsets,
      node.getFoldResults(tensor.shape), ones);
  return frame;
}
