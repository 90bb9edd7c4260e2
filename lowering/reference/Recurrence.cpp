//===- Recurrence.cpp - the formula of a step, and its time loop ----------===//

#include "lowering/reference/Recurrence.h"

using namespace mlir;
using namespace gru;
using namespace gru::reference;

void RowEmitter::emitGates(const StepReads &reads) {
  for (auto [gate, row] : {std::pair<int64_t, Value>{0, z}, {1, r}}) {
    s.loop(numUnits, [&, gate = gate, row = row](Value u) {
      Value sum = s.sum(reads.input(gate, u), numUnits, [&](Value k) {
        return s.mul(reads.state(gate, k), reads.weight(gate, k, u));
      });
      s.store(sum, row, u);
    });
    s.activate(recurrentActivation, clip, row, numUnits);
  }
}

void RowEmitter::emitCandidate(const StepReads &reads) {
  if (!resetAfter && reads.quantizeRow) {
    s.loop(numUnits, [&](Value k) {
      s.store(s.mul(s.load(r, k), reads.oldState(k)), resetState, k);
    });
    reads.quantizeRow(resetState);
  }
  s.loop(numUnits, [&](Value u) {
    Value sum;
    if (resetAfter) {
      Value bias =
          reads.candidateBias ? reads.candidateBias(u) : s.number(element, 0);
      Value recurrent = s.sum(bias, numUnits, [&](Value k) {
        return s.mul(reads.state(2, k), reads.weight(2, k, u));
      });
      sum = s.add(reads.input(2, u), s.mul(s.load(r, u), recurrent));
    } else {
      sum = s.sum(reads.input(2, u), numUnits, [&](Value k) {
        if (reads.quantizeRow)
          return s.mul(s.load(resetState, k), reads.weight(2, k, u));
        return s.mul(s.mul(s.load(r, k), reads.state(2, k)),
                     reads.weight(2, k, u));
      });
    }
    s.store(sum, candidate, u);
  });
  s.activate(activation, clip, candidate, numUnits);
}

Value RowEmitter::blend(Value update, Value old, Value u) {
  Value one = s.number(element, 1);
  return s.add(s.mul(update, old),
               s.mul(s.sub(one, update), s.load(candidate, u)));
}

void Recurrence::emit(Scalar &s) {
  RowEmitter row(s, units, element, activation, recurrentActivation, clip,
                 resetAfter);
  if (quantizeRow) {
    row.left = s.alloc({units}, element);
    row.resetState = s.alloc({units}, element);
  }
  auto batchSize = cast<MemRefType>(state.getType()).getDimSize(0);
  Value seen =
      ShapedType::isDynamic(batchSize)
          ? Value(memref::AllocOp::create(
                s.b, s.loc, MemRefType::get({batchSize}, s.b.getI1Type()),
                ValueRange{batch}))
          : s.alloc({batchSize}, s.b.getI1Type());
  Value no = arith::ConstantOp::create(s.b, s.loc, s.b.getBoolAttr(false));
  Value yes = arith::ConstantOp::create(s.b, s.loc, s.b.getBoolAttr(true));
  s.loop(batch, [&](Value b) { s.store(no, seen, b); });

  s.loop(time, [&](Value i) {
    Value t = i;
    if (backwards)
      t = arith::SubIOp::create(
          s.b, s.loc, arith::SubIOp::create(s.b, s.loc, time, s.index(1)), i);
    Value position = writeWhereRead ? t : i;
    s.loop(batch, [&](Value b) {
      Value zero = s.number(element, 0);
      if (reset) {
        Value clear = reset(b, t);
        s.loop(row.numUnits, [&](Value u) {
          Value h = s.load(state, {b, u});
          s.store(s.select(clear, zero, h), state, {b, u});
        });
      }
      StepReads reads;
      reads.input = [&](int64_t gate, Value u) { return input(b, t, gate, u); };
      reads.weight = weight;
      reads.candidateBias = candidateBias;
      reads.oldState = [&](Value u) { return s.load(state, {b, u}); };
      reads.quantizeRow = quantizeRow;
      if (quantizeRow) {
        s.loop(row.numUnits,
               [&](Value k) { s.store(s.load(state, {b, k}), row.left, k); });
        quantizeRow(row.left);
      }
      reads.state = [&](int64_t gate, Value k) {
        Value h = quantizeRow ? s.load(row.left, k) : s.load(state, {b, k});
        return stateFactor ? s.mul(h, stateFactor(b, gate, k)) : h;
      };
      row.emitGates(reads);
      row.emitCandidate(reads);

      Value valid = mask ? mask(b, t) : yes;
      Value before = s.load(seen, b);
      Value now = arith::OrIOp::create(s.b, s.loc, before, valid);
      s.store(now, seen, b);
      Value emit = now;
      if (zeroOutputForMask && mask)
        emit = mask(b, zeroByPosition ? i : t);
      s.loop(row.numUnits, [&](Value u) {
        Value old = s.load(state, {b, u});
        Value h = row.blend(s.load(row.z, u), old, u);
        h = s.select(valid, h, old);
        s.store(h, state, {b, u});
        Value output = s.select(emit, h, s.number(element, 0));
        if (sequence)
          s.store(output, sequence,
                  timeMajor ? ValueRange{position, b, u}
                            : ValueRange{b, position, u});
        // Overwritten until the last step has written it.
        if (last)
          s.store(output, last, {b, u});
      });
    });
  });
}
