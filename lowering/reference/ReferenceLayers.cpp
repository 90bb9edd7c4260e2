//===- ReferenceLayers.cpp - layers as scalar loops -----------------------===//

#include "lowering/reference/Recurrence.h"
#include "lowering/reference/ReferenceLoops.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gru;
using namespace gru::reference;

/// Column gate * H + unit.
static Value column(Scalar &s, int64_t gate, int64_t units, Value unit) {
  return s.addIndex(s.index(gate * units), unit);
}

/// Row 0 plus, for z and r, row 1 of a bias; null without a bias.
static Value inputBias(Scalar &s, Value bias, int64_t gate, int64_t units,
                       Value unit, bool resetAfter, Type element) {
  if (!bias)
    return s.number(element, 0);
  Value at = column(s, gate, units, unit);
  if (!resetAfter)
    return s.load(bias, at);
  Value sum = s.load(bias, {s.index(0), at});
  if (gate < 2)
    sum = s.add(sum, s.load(bias, {s.index(1), at}));
  return sum;
}

void gru::reference::lower(Scalar &s, GRUOp op) {
  auto buffer = [&](Value value) {
    return value ? asBuffer(s.b, s.loc, value) : Value();
  };
  Value x = buffer(op.getInput()), kernel = buffer(op.getKernel());
  Value recurrent = buffer(op.getRecurrentKernel());
  Value bias = buffer(op.getBias()), mask = buffer(op.getMask());
  Value lengths = buffer(op.getLengths()), reset = buffer(op.getReset());
  Value dropout = buffer(op.getDropoutMask());
  Value recurrentDropout = buffer(op.getRecurrentDropoutMask());
  int64_t units = op.getUnits();
  Type element = cast<ShapedType>(op.getInput().getType()).getElementType();
  bool timeMajor = op.getTimeMajor(), resetAfter = op.getResetAfter();

  Recurrence loop;
  loop.units = units;
  loop.element = element;
  loop.batch = sizeOf(s.b, s.loc, x, op.getBatchDim());
  loop.time = sizeOf(s.b, s.loc, x, op.getTimeDim());
  loop.activation = op.getActivation();
  loop.recurrentActivation = op.getRecurrentActivation();
  loop.clip = op.getClipAttr();
  loop.resetAfter = resetAfter;
  loop.backwards = op.getGoBackwards();
  loop.writeWhereRead = false;
  loop.zeroOutputForMask = op.getZeroOutputForMask() || lengths;
  loop.zeroByPosition = op.getUnroll() && op.getGoBackwards();
  loop.timeMajor = timeMajor;
  auto at = [timeMajor](Value row, Value t) {
    return timeMajor ? SmallVector<Value>{t, row} : SmallVector<Value>{row, t};
  };
  if (mask)
    loop.mask = [&](Value row, Value t) { return s.load(mask, at(row, t)); };
  if (lengths)
    loop.mask = [&](Value row, Value t) -> Value {
      Value length = arith::IndexCastOp::create(s.b, s.loc, s.b.getIndexType(),
                                                s.load(lengths, row));
      return arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::slt, t,
                                   length);
    };
  if (reset)
    loop.reset = [&](Value row, Value t) { return s.load(reset, at(row, t)); };
  Value features = s.index(op.getFeatures());
  loop.input = [&](Value row, Value t, int64_t gate, Value unit) {
    Value first = inputBias(s, bias, gate, units, unit, resetAfter, element);
    return s.sum(first, features, [&](Value f) {
      SmallVector<Value> where = at(row, t);
      where.push_back(f);
      Value value = s.load(x, where);
      if (dropout) {
        int64_t g = op.getImplementation() == 1 ? gate : 0;
        value = s.mul(value, s.load(dropout, {s.index(g), row, f}));
      }
      return s.mul(value, s.load(kernel, {f, column(s, gate, units, unit)}));
    });
  };
  loop.weight = [&](int64_t gate, Value k, Value unit) {
    return s.load(recurrent, {k, column(s, gate, units, unit)});
  };
  if (bias && resetAfter)
    loop.candidateBias = [&](Value unit) {
      return s.load(bias, {s.index(1), column(s, 2, units, unit)});
    };
  if (recurrentDropout)
    loop.stateFactor = [&](Value row, int64_t gate, Value k) {
      return s.load(recurrentDropout, {s.index(gate), row, k});
    };

  auto allocResult = [&](Value result, ArrayRef<Value> dynamicSizes) {
    auto type = cast<RankedTensorType>(result.getType());
    SmallVector<Value> sizes;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (type.isDynamicDim(dim))
        sizes.push_back(dynamicSizes[dim]);
    return Value(memref::AllocOp::create(
        s.b, s.loc, MemRefType::get(type.getShape(), type.getElementType()),
        sizes));
  };
  loop.state = allocResult(op.getState(), {loop.batch, Value()});
  if (op.getInitialState()) {
    memref::CopyOp::create(s.b, s.loc, buffer(op.getInitialState()),
                           loop.state);
  } else {
    Value zero = s.number(element, 0);
    s.loop(loop.batch, [&](Value row) {
      s.loop(s.index(units),
             [&](Value u) { s.store(zero, loop.state, {row, u}); });
    });
  }
  if (!op.getSequence().use_empty())
    loop.sequence =
        allocResult(op.getSequence(),
                    timeMajor ? ArrayRef<Value>{loop.time, loop.batch, {}}
                              : ArrayRef<Value>{loop.batch, loop.time, {}});
  if (!op.getLast().use_empty())
    loop.last = allocResult(op.getLast(), {loop.batch, Value()});
  loop.emit(s);
  if (loop.sequence)
    op.getSequence().replaceAllUsesWith(asTensor(s.b, s.loc, loop.sequence));
  if (loop.last)
    op.getLast().replaceAllUsesWith(asTensor(s.b, s.loc, loop.last));
  if (!op.getState().use_empty())
    op.getState().replaceAllUsesWith(asTensor(s.b, s.loc, loop.state));
}

void gru::reference::lower(Scalar &s, CellOp op) {
  Value x = asBuffer(s.b, s.loc, op.getInput());
  Value old = asBuffer(s.b, s.loc, op.getStateIn());
  Value kernel = asBuffer(s.b, s.loc, op.getKernel());
  Value recurrent = asBuffer(s.b, s.loc, op.getRecurrentKernel());
  Value bias = op.getBias() ? asBuffer(s.b, s.loc, op.getBias()) : Value();
  auto buffer = [&](Value value) {
    return value ? asBuffer(s.b, s.loc, value) : Value();
  };
  Value dropout = buffer(op.getDropoutMask());
  Value recurrentDropout = buffer(op.getRecurrentDropoutMask());
  int64_t units = op.getUnits();
  Type element = cast<ShapedType>(op.getInput().getType()).getElementType();
  RowEmitter row(s, units, element, op.getActivation(),
                 op.getRecurrentActivation(), op.getClipAttr(),
                 op.getResetAfter());
  Value result = allocLike(s.b, s.loc, old);
  Value features = s.index(op.getFeatures());
  s.loop(sizeOf(s.b, s.loc, x, 0), [&](Value b) {
    StepReads reads;
    reads.input = [&](int64_t gate, Value u) {
      Value first =
          inputBias(s, bias, gate, units, u, op.getResetAfter(), element);
      return s.sum(first, features, [&](Value f) {
        Value value = s.load(x, {b, f});
        if (dropout) {
          int64_t g = op.getImplementation() == 1 ? gate : 0;
          value = s.mul(value, s.load(dropout, {s.index(g), b, f}));
        }
        return s.mul(value, s.load(kernel, {f, column(s, gate, units, u)}));
      });
    };
    reads.state = [&](int64_t gate, Value k) {
      Value h = s.load(old, {b, k});
      return recurrentDropout
                 ? s.mul(h, s.load(recurrentDropout, {s.index(gate), b, k}))
                 : h;
    };
    reads.weight = [&](int64_t gate, Value k, Value u) {
      return s.load(recurrent, {k, column(s, gate, units, u)});
    };
    if (bias && op.getResetAfter())
      reads.candidateBias = [&](Value u) {
        return s.load(bias, {s.index(1), column(s, 2, units, u)});
      };
    row.emitGates(reads);
    row.emitCandidate(reads);
    s.loop(row.numUnits, [&](Value u) {
      s.store(row.blend(s.load(row.z, u), s.load(old, {b, u}), u), result,
              {b, u});
    });
  });
  op.getState().replaceAllUsesWith(asTensor(s.b, s.loc, result));
}

/// Loops over all leading dimensions of `buffer`.
static void overRows(Scalar &s, Value buffer,
                     function_ref<void(ValueRange)> body) {
  int64_t leading = cast<MemRefType>(buffer.getType()).getRank() - 1;
  SmallVector<Value> at;
  auto recurse = [&](auto &self) -> void {
    if (int64_t(at.size()) == leading)
      return body(at);
    s.loop(sizeOf(s.b, s.loc, buffer, at.size()), [&](Value i) {
      at.push_back(i);
      self(self);
      at.pop_back();
    });
  };
  recurse(recurse);
}

void gru::reference::lower(Scalar &s, DenseOp op) {
  Value x = asBuffer(s.b, s.loc, op.getInput());
  Value kernel = asBuffer(s.b, s.loc, op.getKernel());
  Value bias = op.getBias() ? asBuffer(s.b, s.loc, op.getBias()) : Value();
  auto type = cast<RankedTensorType>(op.getType());
  SmallVector<Value> dynamicSizes;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    if (type.isDynamicDim(dim))
      dynamicSizes.push_back(sizeOf(s.b, s.loc, x, dim));
  Value y = memref::AllocOp::create(
      s.b, s.loc, MemRefType::get(type.getShape(), type.getElementType()),
      dynamicSizes);
  emitDense(
      s, x, y, op.getActivation(),
      [&](Value n) {
        return bias ? s.load(bias, n) : s.number(type.getElementType(), 0);
      },
      [&](Value k, Value n) { return s.load(kernel, {k, n}); });
  op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, y));
}

void gru::reference::emitDense(Scalar &s, Value x, Value y, ActAttr activation,
                               function_ref<Value(Value n)> bias,
                               function_ref<Value(Value k, Value n)> weight) {
  int64_t axis = cast<MemRefType>(x.getType()).getRank() - 1;
  Value inner = sizeOf(s.b, s.loc, x, axis);
  Value columns = sizeOf(s.b, s.loc, y, axis);
  overRows(s, x, [&](ValueRange row) {
    s.loop(columns, [&](Value n) {
      Value sum = s.sum(bias(n), inner, [&](Value k) {
        SmallVector<Value> at(row);
        at.push_back(k);
        return s.mul(s.load(x, at), weight(k, n));
      });
      SmallVector<Value> at(row);
      at.push_back(n);
      s.store(sum, y, at);
    });
    s.activate(activation, {}, rowOf(s.b, s.loc, y, row), columns);
  });
}
