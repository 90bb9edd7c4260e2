//===- Gather.cpp - Gather and ScatterND ----------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

/// An element of a tensor of indices, as an index, counted from the front.
static Value readIndex(OpBuilder &b, Location loc, Value indices, ValueRange at,
                       Value length) {
  using namespace mlir::arith;
  Value raw = mlir::tensor::ExtractOp::create(b, loc, indices, at);
  Value index = IndexCastOp::create(b, loc, b.getIndexType(), raw);
  Value zero = indexConstant(b, loc, 0);
  Value negative = CmpIOp::create(b, loc, CmpIPredicate::slt, index, zero);
  Value wrapped = AddIOp::create(b, loc, index, length);
  index = SelectOp::create(b, loc, negative, wrapped, index);
  // An index outside is the model's fault; it must not read foreign memory.
  Value last = SubIOp::create(b, loc, length, indexConstant(b, loc, 1));
  index = MaxSIOp::create(b, loc, index, zero);
  return MinSIOp::create(b, loc, index, last);
}

/// The numbers of an index tensor as a sum of a constant and a factor per
/// dimension, none of them negative: windows, and every n-th element.
static std::optional<SmallVector<int64_t>> getFactors(ArrayRef<int64_t> numbers,
                                                      ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides = getStrides(shape), factors;
  for (auto [size, stride] : zip(shape, strides))
    factors.push_back(size > 1 ? numbers[stride] - numbers[0] : 0);
  bool fits =
      numbers[0] >= 0 && all_of(factors, [](int64_t f) { return f >= 0; });
  size_t next = 0;
  forEachElement(shape, [&](ArrayRef<int64_t> index) {
    int64_t sum = numbers[0];
    for (auto [i, factor] : zip(index, factors))
      sum += i * factor;
    fits &= numbers[next++] == sum;
  });
  if (!fits)
    return std::nullopt;
  return factors;
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
      if (length.isNumber() &&
          (number < -length.getNumber() || number >= length.getNumber()))
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
  std::optional<SmallVector<int64_t>> factors;
  if (numbers && !numbers->empty() && length.isNumber())
    factors = getFactors(*numbers, *getNumbers(indices.shape));
  Tensor result;
  GRU_TAKE(
      result,
      emitMove(
          node, source, shape,
          [&](ArrayRef<int64_t> index) {
            int64_t linear = 0, position = 0;
            for (int64_t dim = 0; dim < inner; ++dim)
              position =
                  position * indices.shape[dim].getNumber() + index[axis + dim];
            for (int64_t dim = 0; dim < rank; ++dim)
              linear += (dim < axis    ? index[dim]
                         : dim == axis ? (*numbers)[position]
                                       : index[dim + inner - 1]) *
                        strides[dim];
            return linear;
          },
          [&](Value value) -> Expected<Value> {
            if (factors) {
              // Only what is read: a loop along it alone would be as long.
              Sizes offsets(rank), sizes = data.shape;
              offsets[axis] = numbers->front();
              sizes[axis] = numbers->back() - numbers->front() + 1;
              Tensor part;
              GRU_TAKE(part,
                       emitSlice(node, makeTensor(value, data.shape, data.type),
                                 offsets, sizes,
                                 SmallVector<int64_t>(rank, 1)));
              Operand operand{part.value, {}};
              for (int64_t dim = 0; dim < axis; ++dim)
                operand.indices.push_back(node.b.getAffineDimExpr(dim));
              mlir::AffineExpr at = node.b.getAffineConstantExpr(0);
              for (auto [dim, factor] : enumerate(*factors))
                at = at + node.b.getAffineDimExpr(axis + dim) * factor;
              operand.indices.push_back(at);
              for (int64_t dim = axis + inner; dim < int64_t(shape.size());
                   ++dim)
                operand.indices.push_back(node.b.getAffineDimExpr(dim));
              return emitLoops(node, shape, 0, operand, data.type, 0,
                               [](OpBuilder &, Location, ValueRange args) {
                                 return args[0];
                               })
                  .value;
            }
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

/// The data with the updates written over a box of positions.
static Expected<Tensors> insertBox(Node &node, const Tensor &updates,
                                   Value into, const Tensor &data,
                                   ArrayRef<int64_t> at,
                                   ArrayRef<int64_t> box) {
  Sizes offsets(data.getRank(), Size(0)), sizes = data.shape;
  for (size_t dim = 0; dim < box.size(); ++dim) {
    offsets[dim] = at[dim];
    sizes[dim] = box[dim];
  }
  Tensor part;
  GRU_TAKE(part, emitReshape(node, updates, sizes));
  Value value;
  GRU_TAKE(value, node.getValue(part));
  SmallVector<mlir::OpFoldResult> ones(data.getRank(), node.b.getIndexAttr(1));
  into = mlir::tensor::InsertSliceOp::create(node.b, node.loc, value, into,
                                             node.getFoldResults(offsets),
                                             node.getFoldResults(sizes), ones);
  return Tensors{makeTensor(into, data.shape, data.type)};
}

/// The data where `update`, which has the shape of its first dimensions, is -1,
/// else that row of the updates.
static Expected<Tensors> chooseRows(Node &node, const Tensor &updates,
                                    Value data, const Tensor &like,
                                    mlir::DenseElementsAttr update,
                                    int64_t numRows) {
  int64_t depth = update.getType().getRank(), rank = like.getRank();
  Sizes flat{Size(numRows)};
  flat.append(like.shape.begin() + depth, like.shape.end());
  Tensor list;
  GRU_TAKE(list, emitReshape(node, updates, flat));
  Value rows;
  GRU_TAKE(rows, node.getValue(list));
  Operand kept{data, {}};
  Operand chosen{mlir::arith::ConstantOp::create(node.b, node.loc, update), {}};
  for (int64_t dim = 0; dim < rank; ++dim) {
    kept.indices.push_back(node.b.getAffineDimExpr(dim));
    if (dim < depth)
      chosen.indices.push_back(kept.indices.back());
  }
  return Tensors{emitLoops(
      node, like.shape, 0, {kept, chosen}, like.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        using namespace mlir::arith;
        Value none = ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
        Value isWritten =
            CmpIOp::create(b, loc, CmpIPredicate::sge, args[1], none);
        Value row = MaxSIOp::create(b, loc, args[1], none);
        SmallVector<Value> at{
            IndexCastOp::create(b, loc, b.getIndexType(), row)};
        for (int64_t dim = depth; dim < rank; ++dim)
          at.push_back(mlir::linalg::IndexOp::create(b, loc, dim));
        Value element = mlir::tensor::ExtractOp::create(b, loc, rows, at);
        return SelectOp::create(b, loc, isWritten, element, args[0]);
      })};
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
  Tensor source = makeTensor(from, updates.shape, data.type);
  SmallVector<int64_t> offsets, sizes;
  if (isBox(numbers, *dims, depth, offsets, sizes))
    return insertBox(node, source, into, data, offsets, sizes);
  // Which update stands at each position, of several the last.
  SmallVector<int64_t> written(dims->begin(), dims->begin() + depth);
  SmallVector<int64_t> strides = getStrides(written);
  constexpr int64_t most = int64_t(1) << 20;
  int64_t positions = 1, count = numbers.size() / depth;
  for (int64_t size : written)
    if ((positions *= size) > most)
      return node.error("writes parts that form no box into " +
                        shapeText(data.shape) + ", expected at most " +
                        Twine(most) + " positions");
  std::vector<int32_t> update(positions, -1);
  for (int64_t i = 0; i < count; ++i) {
    int64_t position = 0;
    for (int64_t dim = 0; dim < depth; ++dim)
      position += numbers[i * depth + dim] * strides[dim];
    update[position] = int32_t(i);
  }
  auto type = mlir::RankedTensorType::get(written, node.b.getI32Type());
  return chooseRows(node, source, into, data,
                    mlir::DenseElementsAttr::get(type, ArrayRef(update)),
                    count);
}
