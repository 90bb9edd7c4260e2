//===- Buffers.cpp - buffers, loops and rows in lowerings -----------------===//

#include "lowering/common/Buffers.h"
#include "lowering/common/Activations.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace gru;

Value gru::asBuffer(OpBuilder &b, Location loc, Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return value;
  auto buffer = MemRefType::get(type.getShape(), type.getElementType());
  return bufferization::ToBufferOp::create(b, loc, buffer, value,
                                           /*read_only=*/true);
}

Value gru::getRoot(Value buffer) {
  while (auto view = buffer.getDefiningOp<ViewLikeOpInterface>())
    buffer = view.getViewSource();
  return buffer;
}

Value gru::asTensor(OpBuilder &b, Location loc, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  return bufferization::ToTensorOp::create(
      b, loc, RankedTensorType::get(type.getShape(), type.getElementType()),
      buffer, /*restrict=*/true, /*writable=*/true);
}

Value gru::allocLike(OpBuilder &b, Location loc, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  SmallVector<Value> sizes;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    if (type.isDynamicDim(dim))
      sizes.push_back(memref::DimOp::create(b, loc, buffer, dim));
  return memref::AllocOp::create(
      b, loc, MemRefType::get(type.getShape(), type.getElementType()), sizes);
}

Value gru::indexConstant(OpBuilder &b, Location loc, int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
}

Value gru::sizeOf(OpBuilder &b, Location loc, Value buffer, int64_t dim) {
  auto type = cast<MemRefType>(buffer.getType());
  if (!type.isDynamicDim(dim))
    return indexConstant(b, loc, type.getDimSize(dim));
  return memref::DimOp::create(b, loc, buffer, dim);
}

void gru::forEach(OpBuilder &b, Location loc, Value size,
                  function_ref<void(OpBuilder &, Location, Value)> body) {
  Value zero = indexConstant(b, loc, 0), one = indexConstant(b, loc, 1);
  scf::ForOp::create(b, loc, zero, size, one, ValueRange{},
                     [&](OpBuilder &b, Location loc, Value i, ValueRange) {
                       body(b, loc, i);
                       scf::YieldOp::create(b, loc);
                     });
}

void gru::forEachIndex(
    OpBuilder &b, Location loc, ArrayRef<Value> sizes,
    function_ref<void(OpBuilder &, Location, ValueRange)> body) {
  SmallVector<Value> indices;
  auto recurse = [&](auto &self, OpBuilder &b, Location loc) -> void {
    if (indices.size() == sizes.size())
      return body(b, loc, indices);
    forEach(b, loc, sizes[indices.size()],
            [&](OpBuilder &b, Location loc, Value i) {
              indices.push_back(i);
              self(self, b, loc);
              indices.pop_back();
            });
  };
  recurse(recurse, b, loc);
}

static Value slice(OpBuilder &b, Location loc, Value buffer,
                   function_ref<Value(int64_t dim)> fixedIndex) {
  auto type = cast<MemRefType>(buffer.getType());
  SmallVector<OpFoldResult> offsets, sizes,
      strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<int64_t> shape;
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    if (Value index = fixedIndex(dim)) {
      offsets.push_back(getAsOpFoldResult(index));
      sizes.push_back(b.getIndexAttr(1));
      continue;
    }
    offsets.push_back(b.getIndexAttr(0));
    sizes.push_back(memref::getMixedSize(b, loc, buffer, dim));
    shape.push_back(type.getDimSize(dim));
  }
  auto result = cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(
      shape, type, offsets, sizes, strides));
  return memref::SubViewOp::create(b, loc, result, buffer, offsets, sizes,
                                   strides);
}

Value gru::dropDim(OpBuilder &b, Location loc, Value buffer, int64_t dim,
                   Value index) {
  return slice(b, loc, buffer,
               [&](int64_t d) { return d == dim ? index : Value(); });
}

Value gru::rowOf(OpBuilder &b, Location loc, Value buffer, ValueRange indices) {
  return slice(b, loc, buffer, [&](int64_t d) {
    return size_t(d) < indices.size() ? indices[d] : Value();
  });
}

linalg::FillOp gru::findOwnFill(Operation *op, Value buffer) {
  if (auto argument = dyn_cast<BlockArgument>(buffer)) {
    auto func = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
    if (!func || !func.isPrivate())
      return {};
  } else if (!buffer.getDefiningOp<memref::AllocOp>()) {
    return {};
  }
  Operation *last = nullptr;
  for (Operation *user : buffer.getUsers()) {
    if (user->getBlock() != op->getBlock()) {
      Operation *top = op->getBlock()->findAncestorOpInBlock(*user);
      if (!top || !op->isBeforeInBlock(top))
        return {};
      continue;
    }
    if (!user->isBeforeInBlock(op))
      continue;
    // What has been made a view of may be read under another name.
    if (isa<ViewLikeOpInterface>(user))
      return {};
    if (!last || last->isBeforeInBlock(user))
      last = user;
  }
  return dyn_cast_or_null<linalg::FillOp>(last);
}

void gru::emitRowwiseActivationOnRows(OpBuilder &b, Location loc,
                                      ActAttr activation, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  int64_t axis = type.getRank() - 1;
  SmallVector<Value> sizes;
  for (int64_t dim = 0; dim < axis; ++dim)
    sizes.push_back(sizeOf(b, loc, buffer, dim));
  Value length = sizeOf(b, loc, buffer, axis);
  forEachIndex(b, loc, sizes,
               [&](OpBuilder &b, Location loc, ValueRange indices) {
                 emitRowwiseActivation(b, loc, activation,
                                       rowOf(b, loc, buffer, indices), length);
               });
}
