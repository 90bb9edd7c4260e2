//===- ReferencePacks.cpp - packing and quantizing, element by element ----===//

#include "lowering/reference/Packed.h"
#include "lowering/reference/ReferenceLoops.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gru;
using namespace gru::reference;

void gru::reference::lower(Scalar &s, PackOp op) {
  Value source = asBuffer(s.b, s.loc, op.getSource());
  auto sourceType = cast<MemRefType>(source.getType());
  auto type = cast<RankedTensorType>(op.getType());
  Type element = sourceType.getElementType();
  Value result = memref::AllocOp::create(
      s.b, s.loc, MemRefType::get(type.getShape(), type.getElementType()));
  int64_t units = sourceType.getShape().back() / int64_t(op.getGates());
  int64_t width = op.getWidth();
  PackPart part = op.getPart();
  bool biasPart =
      part == PackPart::input_bias || part == PackPart::recurrent_bias;
  Value numUnits = s.index(units);
  SmallVector<Value> sizes;
  for (int64_t size : type.getShape())
    sizes.push_back(s.index(size));
  forEachIndex(
      s.b, s.loc, sizes, [&](OpBuilder &inner, Location, ValueRange at) {
        OpBuilder::InsertionGuard guard(s.b);
        s.b.restoreInsertionPoint(inner.saveInsertionPoint());
        Value block = at.front(), lane = at.back(), gate = at[at.size() - 2];
        Value unit = s.addIndex(
            arith::MulIOp::create(s.b, s.loc, block, s.index(width)), lane);
        Value inside = arith::CmpIOp::create(
            s.b, s.loc, arith::CmpIPredicate::slt, unit, numUnits);
        // Padding reads a valid place and takes zero instead.
        Value safe =
            arith::MinSIOp::create(s.b, s.loc, unit, s.index(units - 1));
        Value sourceGate = gate;
        if (part == PackPart::candidate || part == PackPart::recurrent_bias)
          sourceGate = s.index(2);
        Value column = s.addIndex(
            arith::MulIOp::create(s.b, s.loc, sourceGate, numUnits), safe);
        SmallVector<Value> from;
        if (biasPart)
          from.push_back(s.index(part == PackPart::recurrent_bias ? 1 : 0));
        else if (sourceType.getRank() == 2)
          from.push_back(at[1]);
        from.push_back(column);
        Value value = s.load(source, from);
        if (part == PackPart::input_bias) {
          Value second = s.load(source, {s.index(1), column});
          Value both = arith::CmpIOp::create(
              s.b, s.loc, arith::CmpIPredicate::slt, gate, s.index(2));
          value = s.add(value, s.select(both, second, s.number(element, 0)));
        }
        value = s.select(inside, value, s.number(element, 0));
        if (element != type.getElementType())
          value =
              arith::TruncFOp::create(s.b, s.loc, type.getElementType(), value);
        s.store(value, result, at);
      });
  op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, result));
}

/// Where gru.quantized_pack puts a byte.
static SmallVector<Value> quantizedPlace(Scalar &s, Value block, Value k,
                                         Value gate, Value lane) {
  Value four = s.index(4);
  Value row =
      s.addIndex(arith::DivUIOp::create(s.b, s.loc, k, four), s.index(1));
  Value column = s.addIndex(arith::MulIOp::create(s.b, s.loc, lane, four),
                            arith::RemUIOp::create(s.b, s.loc, k, four));
  return {block, row, gate, column};
}

void gru::reference::lower(Scalar &s, QuantizedPackOp op) {
  Value source = asBuffer(s.b, s.loc, op.getSource());
  auto type = cast<RankedTensorType>(op.getResult().getType());
  Type element = getElementTypeOrSelf(op.getSource().getType());
  Type byte = type.getElementType();
  auto alloc = [&](Value of) {
    auto shape = cast<RankedTensorType>(of.getType());
    return memref::AllocOp::create(
        s.b, s.loc, MemRefType::get(shape.getShape(), shape.getElementType()));
  };
  Value result = alloc(op.getResult()), scale = alloc(op.getScale());
  int64_t units =
      cast<MemRefType>(source.getType()).getDimSize(1) / int64_t(op.getGates());
  Value numRows = s.index(cast<MemRefType>(source.getType()).getDimSize(0));
  int64_t width = type.getDimSize(3) / 4;
  SmallVector<Value> sizes{s.index(type.getDimSize(0)),
                           s.index(type.getDimSize(2)), s.index(width)};
  // What sums begin with, in row 0, is of no use to sums of real numbers, nor
  // is what is behind the last row.
  SmallVector<Value> all;
  for (int64_t size : type.getShape())
    all.push_back(s.index(size));
  Value nothing =
      arith::ConstantOp::create(s.b, s.loc, s.b.getIntegerAttr(byte, 0));
  forEachIndex(s.b, s.loc, all, [&](OpBuilder &b, Location loc, ValueRange at) {
    memref::StoreOp::create(b, loc, nothing, result, at);
  });
  forEachIndex(
      s.b, s.loc, sizes, [&](OpBuilder &inner, Location, ValueRange at) {
        OpBuilder::InsertionGuard guard(s.b);
        s.b.restoreInsertionPoint(inner.saveInsertionPoint());
        Value block = at[0], gate = at[1], lane = at[2];
        Value unit = s.addIndex(
            arith::MulIOp::create(s.b, s.loc, block, s.index(width)), lane);
        Value inside = arith::CmpIOp::create(
            s.b, s.loc, arith::CmpIPredicate::slt, unit, s.index(units));
        // Padding reads a valid place and takes zero instead.
        Value safe =
            arith::MinSIOp::create(s.b, s.loc, unit, s.index(units - 1));
        Value sourceGate =
            op.getPart() == PackPart::candidate ? s.index(2) : gate;
        Value column = s.addIndex(
            arith::MulIOp::create(s.b, s.loc, sourceGate, s.index(units)),
            safe);
        Value zero = s.number(element, 0);
        auto read = [&](Value k) {
          return s.select(inside, s.load(source, {k, column}), zero);
        };
        Value largest = s.fold(zero, numRows, [&](Value so, Value k) -> Value {
          return arith::MaximumFOp::create(
              s.b, s.loc, so, math::AbsFOp::create(s.b, s.loc, read(k)));
        });
        Value step =
            arith::DivFOp::create(s.b, s.loc, largest, s.number(element, 127));
        s.store(step, scale, at);
        Value none = arith::CmpFOp::create(
            s.b, s.loc, arith::CmpFPredicate::OEQ, step, zero);
        Value divisor = s.select(none, s.number(element, 1), step);
        s.loop(numRows, [&](Value k) {
          Value quotient = math::RoundEvenOp::create(
              s.b, s.loc, arith::DivFOp::create(s.b, s.loc, read(k), divisor));
          s.store(arith::FPToSIOp::create(s.b, s.loc, byte, quotient), result,
                  quantizedPlace(s, block, k, gate, lane));
        });
      });
  op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, result));
  op.getScale().replaceAllUsesWith(asTensor(s.b, s.loc, scale));
}

Value gru::reference::quotient(Scalar &s, Value x, Value scale, Value divides) {
  Value divisor = s.select(divides, scale, s.number(x.getType(), 1));
  Value rounded = math::RoundEvenOp::create(
      s.b, s.loc, arith::DivFOp::create(s.b, s.loc, x, divisor));
  return s.select(divides, rounded, s.number(x.getType(), 0));
}

std::pair<Value, Value>
gru::reference::rowScale(Scalar &s, Type element, Value size,
                         function_ref<Value(Value k)> read) {
  Value largest =
      s.fold(s.number(element, 0), size, [&](Value so, Value k) -> Value {
        return arith::MaximumFOp::create(
            s.b, s.loc, so, math::AbsFOp::create(s.b, s.loc, read(k)));
      });
  Value divides = arith::CmpFOp::create(s.b, s.loc, arith::CmpFPredicate::OGT,
                                        largest, s.number(element, 1e-30));
  return {arith::DivFOp::create(s.b, s.loc, largest, s.number(element, 127)),
          divides};
}

void gru::reference::lower(Scalar &s, QuantizeRowsOp op) {
  Value x = asBuffer(s.b, s.loc, op.getInput());
  Value bytes = destination(s, op.getBytes());
  Value scale = destination(s, op.getScale());
  auto type = cast<MemRefType>(x.getType());
  SmallVector<Value> rows;
  for (int64_t dim = 0; dim + 1 < type.getRank(); ++dim)
    rows.push_back(sizeOf(s.b, s.loc, x, dim));
  Value columns = s.index(type.getShape().back());
  forEachIndex(
      s.b, s.loc, rows, [&](OpBuilder &inner, Location, ValueRange row) {
        OpBuilder::InsertionGuard guard(s.b);
        s.b.restoreInsertionPoint(inner.saveInsertionPoint());
        auto at = [&](Value k) {
          SmallVector<Value> at(row);
          at.push_back(k);
          return at;
        };
        auto [step, divides] =
            rowScale(s, type.getElementType(), columns,
                     [&](Value k) { return s.load(x, at(k)); });
        s.store(step, scale, row);
        s.loop(columns, [&, step = step, divides = divides](Value k) {
          Value byte = s.add(quotient(s, s.load(x, at(k)), step, divides),
                             s.number(type.getElementType(), 128));
          s.store(arith::FPToUIOp::create(s.b, s.loc, s.b.getI8Type(), byte),
                  bytes, at(k));
        });
      });
  if (op.getNumResults() == 0)
    return;
  op.getResult(0).replaceAllUsesWith(asTensor(s.b, s.loc, bytes));
  op.getResult(1).replaceAllUsesWith(asTensor(s.b, s.loc, scale));
}

Value gru::reference::dequantized(Scalar &s, Value bytes, ValueRange at,
                                  Value scale) {
  Type element = scale.getType();
  Value byte = arith::UIToFPOp::create(s.b, s.loc, element, s.load(bytes, at));
  return s.mul(s.sub(byte, s.number(element, 128)), scale);
}

std::pair<Value, Value> gru::reference::blockAndLane(Scalar &s, Value unit,
                                                     int64_t width) {
  Value w = s.index(width);
  return {arith::DivUIOp::create(s.b, s.loc, unit, w),
          arith::RemUIOp::create(s.b, s.loc, unit, w)};
}

Value gru::reference::destination(Scalar &s, Value init) {
  if (isa<MemRefType>(init.getType()))
    return init;
  Value source = asBuffer(s.b, s.loc, init);
  Value copy = allocLike(s.b, s.loc, source);
  memref::CopyOp::create(s.b, s.loc, source, copy);
  return copy;
}

Value gru::reference::scaledWeight(Scalar &s, Type element, Value kernel,
                                   Value scale, Value block, Value k,
                                   Value gate, Value lane) {
  if (!scale)
    return s.loadAs(element, kernel, {block, k, gate, lane});
  Value weight = arith::SIToFPOp::create(
      s.b, s.loc, element,
      s.load(kernel, quantizedPlace(s, block, k, gate, lane)));
  return s.mul(weight, s.loadAs(element, scale, {block, gate, lane}));
}

Value gru::reference::packedProjection(Scalar &s, Type element, Value kernel,
                                       Value bias, int64_t gate, Value unit,
                                       int64_t width,
                                       function_ref<Value(Value k)> x) {
  auto [block, lane] = blockAndLane(s, unit, width);
  Value size = s.index(cast<MemRefType>(kernel.getType()).getDimSize(1));
  Value first =
      bias ? s.load(bias, {block, s.index(gate), lane}) : s.number(element, 0);
  return s.sum(first, size, [&](Value k) {
    return s.mul(x(k),
                 s.loadAs(element, kernel, {block, k, s.index(gate), lane}));
  });
}
