//===- Scalar.h - scalar arithmetic of the reference loops ------*- C++ -*-===//

#ifndef GRU_LOWERING_REFERENCE_SCALAR_H
#define GRU_LOWERING_REFERENCE_SCALAR_H

#include "lowering/common/Activations.h"
#include "lowering/common/Buffers.h"

namespace gru::reference {
using namespace mlir;

/// Scalar arithmetic at an insertion point that loops move.
class Scalar {
public:
  Scalar(OpBuilder &b, Location loc) : b(b), loc(loc) {}

  Value index(int64_t value) { return indexConstant(b, loc, value); }
  Value number(Type type, double value) {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(type, value));
  }
  Value load(Value buffer, ValueRange at) {
    return memref::LoadOp::create(b, loc, buffer, at);
  }
  /// An element as `type`: kernels may be stored narrower than they are used.
  Value loadAs(Type type, Value buffer, ValueRange at) {
    Value value = load(buffer, at);
    if (value.getType() == type)
      return value;
    if (value.getType().isInteger())
      return arith::SIToFPOp::create(b, loc, type, value);
    return arith::ExtFOp::create(b, loc, type, value);
  }
  void store(Value value, Value buffer, ValueRange at) {
    memref::StoreOp::create(b, loc, value, buffer, at);
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value addIndex(Value x, Value y) {
    return arith::AddIOp::create(b, loc, x, y);
  }
  Value select(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, loc, c, x, y);
  }
  Value alloc(ArrayRef<int64_t> shape, Type type) {
    return memref::AllocOp::create(b, loc, MemRefType::get(shape, type));
  }

  /// for i in [0, size): body(i), with this object's builder inside the loop.
  void loop(Value size, function_ref<void(Value)> body) {
    forEach(b, loc, size, [&](OpBuilder &inner, Location, Value i) {
      OpBuilder::InsertionGuard guard(b);
      b.restoreInsertionPoint(inner.saveInsertionPoint());
      body(i);
    });
  }

  /// combine(... combine(combine(first, 0), 1) ..., size - 1).
  Value fold(Value first, Value size,
             function_ref<Value(Value soFar, Value i)> combine) {
    auto loop = scf::ForOp::create(
        b, loc, index(0), size, index(1), ValueRange{first},
        [&](OpBuilder &inner, Location, Value i, ValueRange values) {
          OpBuilder::InsertionGuard guard(b);
          b.restoreInsertionPoint(inner.saveInsertionPoint());
          Value next = combine(values[0], i);
          scf::YieldOp::create(b, loc, next);
        });
    return loop.getResult(0);
  }

  /// first + sum over i in [0, size) of term(i).
  Value sum(Value first, Value size, function_ref<Value(Value)> term) {
    return fold(first, size,
                [&](Value sum, Value i) { return add(sum, term(i)); });
  }

  Value clipped(FloatAttr clip, Value x) {
    if (!clip)
      return x;
    double bound = clip.getValueAsDouble();
    x = arith::MinimumFOp::create(b, loc, x, number(x.getType(), bound));
    return arith::MaximumFOp::create(b, loc, x, number(x.getType(), -bound));
  }

  /// row[u] = activation(clip(row[u])) for u < units.
  void activate(ActAttr activation, FloatAttr clip, Value row, Value units) {
    if (clip || !activation.isRowwise())
      loop(units, [&](Value u) {
        Value x = clipped(clip, load(row, u));
        if (!activation.isRowwise())
          x = ActivationOp::create(b, loc, x.getType(), x, activation);
        store(x, row, u);
      });
    if (activation.isRowwise())
      emitRowwiseActivation(b, loc, activation, row, units);
  }

  OpBuilder &b;
  Location loc;
};

} // namespace gru::reference

#endif // GRU_LOWERING_REFERENCE_SCALAR_H
