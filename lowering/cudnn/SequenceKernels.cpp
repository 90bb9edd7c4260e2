//===- SequenceKernels.cpp - Keras's rules around a call of cuDNN ---------===//

#include "lowering/cudnn/SequenceKernels.h"

#include "lowering/gpu/KernelBuilder.h"

using namespace mlir;
using namespace gru;

namespace {
class SequenceKernels : KernelBuilder {
public:
  SequenceKernels(OpBuilder &b, DeviceRnnOp op, gpu::GPUModuleOp module)
      : KernelBuilder(b, op.getLoc()), op(op), module(module),
        // Elements are only moved.
        element(b.getIntegerType(
            op.getInputType().getElementType().getIntOrFloatBitWidth())),
        batch(op.getBatch()), units(op.getUnits()), cells(op.getCells()),
        directions(op.getDirections()) {}

  void emitStart() {
    OpBuilder::InsertionGuard guard(b);
    int64_t features = op.getFeatures();
    Values args = beginKernel(module, "gru_start",
                              {pointer, pointer, pointer, b.getI64Type()});
    lengths = args[1];
    time = toIndex(args[3]);
    forEachItem(mul(time, batch * features), [&](Value item) {
      auto [row, t, f] = split(item, features);
      Value end = lengthOf(row);
      Value value = whenElse(less(t, end), none(), [&] {
        Value from = sub(sub(end, index(1)), t);
        return load(element, args[0], add(mul(at(row, from), features), f));
      });
      store(value, args[2], item);
    });
    endKernel();
  }

  void emitFinish() {
    OpBuilder::InsertionGuard guard(b);
    size_t outputs =
        op.getSequences().size() + op.getLasts().size() + op.getStates().size();
    SmallVector<Type> types(4 + outputs, pointer);
    types.push_back(b.getI64Type());
    Values args = beginKernel(module, "gru_finish", types);
    lengths = args[0], y = args[1], hy = args[2], initial = args[3];
    time = toIndex(args.back());
    ArrayRef<Value> next = ArrayRef(args).drop_front(4);
    for (size_t d = 0; d < op.getSequences().size();
         ++d, next = next.drop_front())
      emitSequence(d, next.front());
    for (size_t d = 0; d < op.getLasts().size(); ++d, next = next.drop_front())
      emitLast(d, next.front());
    for (size_t cell = 0; cell < op.getStates().size();
         ++cell, next = next.drop_front())
      emitState(cell, next.front());
    endKernel();
  }

private:
  /// What a direction's outputs become.
  bool isBackward(int64_t direction) {
    return directions == 2 ? direction == 1 : op.getGoBackwards();
  }
  /// One with two directions has put its steps back into the order of time.
  bool isInTimeOrder() { return directions == 2; }
  bool isInProcessedOrder() {
    return directions == 1 && !op.getWritesWhereRead();
  }

  Value none() { return zero(element); }
  Value lengthOf(Value row) {
    return toIndex(load(b.getI32Type(), lengths, row));
  }
  Value at(Value row, Value t) {
    return op.getTimeMajor() ? add(mul(t, batch), row) : add(mul(row, time), t);
  }
  /// Row, step and element of an item of [B, T, size] or [T, B, size].
  std::array<Value, 3> split(Value item, int64_t size) {
    Value step = div(item, index(size)), i = rem(item, index(size));
    if (op.getTimeMajor())
      return {rem(step, index(batch)), div(step, index(batch)), i};
    return {div(step, time), rem(step, time), i};
  }

  void emitSequence(int64_t direction, Value to) {
    forEachItem(mul(time, batch * units), [&](Value item) {
      auto [row, position, unit] = split(item, units);
      Value end = lengthOf(row), last = sub(end, index(1));
      Value t = position, isShown, step;
      if (!isBackward(direction)) {
        // What is masked repeats the last valid step, if there is one.
        Value valid = less(t, end);
        step = select(valid, t, last);
        isShown = op.getZeroOutputForMask() ? valid : less(index(-1), step);
      } else {
        // What is masked comes before the first valid step.
        if (isInProcessedOrder())
          t = sub(sub(time, index(1)), t);
        isShown = less(t, end);
        step = isInTimeOrder() ? t : sub(last, t);
      }
      Value value = whenElse(isShown, none(), [&] {
        Value from = mul(at(row, step), directions * units);
        return load(element, y, add(from, add(index(direction * units), unit)));
      });
      store(value, to, item);
    });
  }

  Value finalState(int64_t cell, Value item) {
    return load(element, hy, add(index(cell * batch * units), item));
  }

  void emitLast(int64_t direction, Value to) {
    forEachItem(index(batch * units), [&](Value item) {
      Value end = lengthOf(div(item, index(units)));
      // Backwards the last step processed is the first of the row.
      bool atEnd = !isBackward(direction) && op.getZeroOutputForMask();
      Value isShown = atEnd ? equal(end, time) : less(index(0), end);
      store(whenElse(isShown, none(),
                     [&] {
                       return finalState(cells - directions + direction, item);
                     }),
            to, item);
    });
  }

  void emitState(int64_t cell, Value to) {
    forEachItem(index(batch * units), [&](Value item) {
      Value isEmpty = equal(lengthOf(div(item, index(units))), index(0));
      Value kept = none();
      if (!op.getInitialStates().empty())
        kept = load(element, initial, add(index(cell * batch * units), item));
      store(select(isEmpty, kept, finalState(cell, item)), to, item);
    });
  }

  DeviceRnnOp op;
  gpu::GPUModuleOp module;
  const Type element;
  const int64_t batch, units, cells, directions;
  Value lengths, y, hy, initial, time;
};
} // namespace

bool gru::needsSequenceKernels(DeviceRnnOp op) {
  return op.getMask() || op.getGoBackwards() || op.getBidirectional();
}

gpu::GPUModuleOp gru::emitSequenceKernels(OpBuilder &b, DeviceRnnOp op,
                                          StringRef name) {
  auto module = gpu::GPUModuleOp::create(b, op.getLoc(), name);
  SequenceKernels kernels(b, op, module);
  if (op.getGoBackwards())
    kernels.emitStart();
  kernels.emitFinish();
  return module;
}
