//===- ReferenceSequence.cpp - projections, recurrences, steps as loops ---===//

#include "lowering/reference/Packed.h"
#include "lowering/reference/Recurrence.h"
#include "lowering/reference/ReferenceLoops.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gru;
using namespace gru::reference;

void gru::reference::lower(Scalar &s, PackedDenseOp op) {
  Value x = asBuffer(s.b, s.loc, op.getInput());
  Value kernel = asBuffer(s.b, s.loc, op.getKernel());
  Value bias = op.getBias() ? asBuffer(s.b, s.loc, op.getBias()) : Value();
  Value y = destination(s, op.getInit());
  Type element = op.getInitType().getElementType();
  int64_t width = op.getKernelType().getDimSize(3) / (op.isQuantized() ? 4 : 1);
  auto buffer = [&](Value value) {
    return value ? asBuffer(s.b, s.loc, value) : Value();
  };
  Value rowScale = buffer(op.getRowScale());
  Value kernelScale = buffer(op.getKernelScale());
  if (!op.isProjection()) {
    emitDense(
        s, x, y, op.getActivation(),
        [&](Value n) -> Value {
          if (!bias)
            return s.number(element, 0);
          auto [block, lane] = blockAndLane(s, n, width);
          return s.load(bias, {block, s.index(0), lane});
        },
        [&](Value k, Value n) -> Value {
          auto [block, lane] = blockAndLane(s, n, width);
          return s.loadAs(element, kernel, {block, k, s.index(0), lane});
        });
  } else {
    // Behind the last column there are zeros times whatever.
    Value inner = op.isQuantized()
                      ? s.index(4 * (op.getKernelType().getDimSize(1) - 1))
                      : sizeOf(s.b, s.loc, x, 2);
    SmallVector<Value> sizes;
    for (int64_t dim = 0; dim < 5; ++dim)
      sizes.push_back(sizeOf(s.b, s.loc, y, dim));
    forEachIndex(s.b, s.loc, sizes, [&](OpBuilder &b, Location, ValueRange at) {
      OpBuilder::InsertionGuard guard(s.b);
      s.b.restoreInsertionPoint(b.saveInsertionPoint());
      // The destination's blocks may be several of the weight's.
      Value column = arith::AddIOp::create(
          s.b, s.loc, arith::MulIOp::create(s.b, s.loc, at[2], sizes[4]),
          at[4]);
      auto [block, lane] = blockAndLane(s, column, width);
      Value first =
          bias ? s.load(bias, {block, at[3], lane}) : s.number(element, 0);
      Value sum = s.sum(first, inner, [&](Value k) {
        SmallVector<Value> from{at[1], at[0], k};
        if (op.getTimeMajor())
          std::swap(from[0], from[1]);
        Value left =
            rowScale
                ? dequantized(s, x, from,
                              s.load(rowScale, ArrayRef(from).take_front(2)))
                : s.load(x, from);
        return s.mul(left, scaledWeight(s, element, kernel, kernelScale, block,
                                        k, at[3], lane));
      });
      Value value =
          ActivationOp::create(s.b, s.loc, element, sum, op.getActivation());
      s.store(value, y, at);
    });
  }
  if (op.getResult())
    op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, y));
}

/// Recurrent weight of a gate out of one kernel of three gates or of two
/// kernels (z and r; candidate).
static Value packedWeight(Scalar &s, Type element, ValueRange kernels,
                          ValueRange scales, int64_t gate, Value k, Value unit,
                          int64_t width) {
  auto [block, lane] = blockAndLane(s, unit, width);
  bool second = kernels.size() == 2 && gate == 2;
  return scaledWeight(s, element, kernels[second ? 1 : 0],
                      scales.empty() ? Value() : scales[second ? 1 : 0], block,
                      k, s.index(second ? 0 : gate), lane);
}

void gru::reference::lower(Scalar &s, RecurOp op) {
  SmallVector<Value> kernels, scales;
  for (Value kernel : op.getKernels())
    kernels.push_back(asBuffer(s.b, s.loc, kernel));
  for (Value scale : op.getKernelScales())
    scales.push_back(asBuffer(s.b, s.loc, scale));
  auto buffer = [&](Value value) {
    return value ? asBuffer(s.b, s.loc, value) : Value();
  };
  Value bias = buffer(op.getRecurrentBias()), mask = buffer(op.getMask());
  Value reset = buffer(op.getReset());
  Value dropout = buffer(op.getRecurrentDropoutMask());
  Value projection = buffer(op.getProjection());
  Value input = buffer(op.getInput());
  Value inputKernel = buffer(op.getInputKernel());
  Value inputBias = buffer(op.getInputBias());
  int64_t width = op.getWidth();
  bool timeMajor = op.getTimeMajor();

  Recurrence loop;
  loop.units = op.getUnits();
  loop.element = op.getElementType();
  int64_t timeDim = op.getTimeDim().second;
  loop.time = sizeOf(s.b, s.loc, projection ? projection : input, timeDim);
  loop.batch = sizeOf(s.b, s.loc, projection ? projection : input, 1 - timeDim);
  loop.activation = op.getActivation();
  loop.recurrentActivation = op.getRecurrentActivation();
  loop.clip = op.getClipAttr();
  loop.resetAfter = op.getResetAfter();
  loop.backwards = op.getOrder() != TimeOrder::forward;
  loop.writeWhereRead = op.getOrder() == TimeOrder::backward;
  loop.zeroOutputForMask = op.getZeroOutputForMask();
  loop.zeroByPosition = op.getZeroByPosition();
  loop.timeMajor = timeMajor;
  auto at = [timeMajor](Value row, Value t) {
    return timeMajor ? SmallVector<Value>{t, row} : SmallVector<Value>{row, t};
  };
  if (mask)
    loop.mask = [&](Value row, Value t) { return s.load(mask, at(row, t)); };
  if (reset)
    loop.reset = [&](Value row, Value t) { return s.load(reset, at(row, t)); };
  loop.input = [&](Value row, Value t, int64_t gate, Value unit) {
    if (input)
      return packedProjection(s, loop.element, inputKernel, inputBias, gate,
                              unit, width, [&](Value k) {
                                SmallVector<Value> from = at(row, t);
                                from.push_back(k);
                                return s.load(input, from);
                              });
    auto [block, lane] = blockAndLane(s, unit, width);
    return s.load(projection, {t, row, block, s.index(gate), lane});
  };
  loop.weight = [&](int64_t gate, Value k, Value unit) {
    return packedWeight(s, loop.element, kernels, scales, gate, k, unit, width);
  };
  if (bias)
    loop.candidateBias = [&](Value unit) {
      auto [block, lane] = blockAndLane(s, unit, width);
      return s.load(bias, {block, s.index(0), lane});
    };
  if (dropout)
    loop.stateFactor = [&](Value row, int64_t gate, Value k) {
      return s.load(dropout, {s.index(gate), row, k});
    };
  if (op.isQuantized())
    loop.quantizeRow = [&](Value row) {
      auto [step, divides] = rowScale(s, loop.element, s.index(loop.units),
                                      [&](Value k) { return s.load(row, k); });
      s.loop(s.index(loop.units), [&, step = step, divides = divides](Value k) {
        s.store(s.mul(quotient(s, s.load(row, k), step, divides), step), row,
                k);
      });
    };
  loop.state = destination(s, op.getState());
  if (op.getSequence())
    loop.sequence = destination(s, op.getSequence());
  if (op.getLast())
    loop.last = destination(s, op.getLast());
  loop.emit(s);
  SmallVector<Value> written{loop.state};
  if (loop.sequence)
    written.push_back(loop.sequence);
  if (loop.last)
    written.push_back(loop.last);
  for (auto [result, buffer] : llvm::zip(op.getResults(), written))
    result.replaceAllUsesWith(asTensor(s.b, s.loc, buffer));
}

void gru::reference::lower(Scalar &s, StepOp op) {
  auto state = cast<MemRefType>(op.getState().getType());
  int64_t width = op.getWidth();
  int64_t units = op.getUnits();
  Type element = state.getElementType();
  // Scratch of a row belongs in front of all loops: the time loop is around.
  OpBuilder::InsertPoint here = s.b.saveInsertionPoint();
  auto func = op->getParentOfType<func::FuncOp>();
  s.b.setInsertionPointToStart(&func.getBody().front());
  RowEmitter row(s, units, element, op.getActivation(),
                 op.getRecurrentActivation(), op.getClipAttr(),
                 op.getPhase() == StepPhase::all);
  s.b.restoreInsertionPoint(here);
  row.numUnits = s.index(units);

  s.loop(s.index(state.getDimSize(0)), [&](Value b) {
    StepReads reads;
    reads.input = [&](int64_t gate, Value u) {
      if (op.getInput())
        return packedProjection(
            s, element, op.getInputKernel(), op.getInputBias(), gate, u, width,
            [&](Value k) { return s.load(op.getInput(), {b, k}); });
      auto [block, lane] = blockAndLane(s, u, width);
      return s.load(op.getProjection(), {b, block, s.index(gate), lane});
    };
    auto dropoutMask = [&](int64_t gate, Value k) {
      return s.load(op.getRecurrentDropoutMask(), {s.index(gate), b, k});
    };
    // What a product reads of `values`, or of the bytes made of them.
    auto left = [&](Value values, Value k) {
      return op.getBytes() ? dequantized(s, op.getBytes(), {b, k},
                                         s.load(op.getRowScale(), b))
                           : s.load(values, {b, k});
    };
    reads.state = [&](int64_t gate, Value k) {
      Value h = left(op.getState(), k);
      return op.getRecurrentDropoutMask() ? s.mul(h, dropoutMask(gate, k)) : h;
    };
    reads.weight = [&](int64_t gate, Value k, Value u) {
      auto [block, lane] = blockAndLane(s, u, width);
      int64_t g = op.getPhase() == StepPhase::candidate ? 0 : gate;
      return scaledWeight(s, element, op.getKernel(), op.getKernelScale(),
                          block, k, s.index(g), lane);
    };
    if (op.getRecurrentBias())
      reads.candidateBias = [&](Value u) {
        auto [block, lane] = blockAndLane(s, u, width);
        return s.load(op.getRecurrentBias(), {block, s.index(0), lane});
      };
    if (op.getPhase() != StepPhase::candidate)
      row.emitGates(reads);
    if (op.getPhase() == StepPhase::gates) {
      s.loop(row.numUnits, [&](Value u) {
        s.store(s.load(row.z, u), op.getUpdate(), {b, u});
        Value h = s.load(op.getState(), {b, u});
        if (op.getRecurrentDropoutMask())
          h = s.mul(h, dropoutMask(2, u));
        s.store(s.mul(s.load(row.r, u), h), op.getResetState(), {b, u});
      });
      return;
    }
    if (op.getPhase() == StepPhase::all) {
      row.emitCandidate(reads);
    } else {
      s.loop(row.numUnits, [&](Value u) {
        Value sum = s.sum(reads.input(2, u), row.numUnits, [&](Value k) {
          return s.mul(left(op.getResetState(), k), reads.weight(2, k, u));
        });
        s.store(sum, row.candidate, u);
      });
      s.activate(op.getActivation(), op.getClipAttr(), row.candidate,
                 row.numUnits);
    }
    Value keep, emit;
    if (op.getMask())
      keep = s.load(op.getMask(), b);
    if (op.getEmit())
      emit = s.load(op.getEmit(), b);
    s.loop(row.numUnits, [&](Value u) {
      Value old = s.load(op.getState(), {b, u});
      Value z = op.getPhase() == StepPhase::all
                    ? s.load(row.z, u)
                    : s.load(op.getUpdate(), {b, u});
      Value h = row.blend(z, old, u);
      if (keep)
        h = s.select(keep, h, old);
      s.store(h, op.getNewState(), {b, u});
      if (!op.getOutput())
        return;
      if (emit)
        h = s.select(emit, h, s.number(element, 0));
      s.store(h, op.getOutput(), {b, u});
    });
  });
}
