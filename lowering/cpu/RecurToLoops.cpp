//===- RecurToLoops.cpp - the loop over timesteps -------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"

#include "mlir/Dialect/SCF/Utils/Utils.h"
#include "mlir/IR/Matchers.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTRECURTOLOOPSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Everything that one recurrence needs while its loop is built.
class RecurLowering {
public:
  RecurLowering(RecurOp op, int64_t unrollBudget, bool skipMasked)
      : op(op), b(op), loc(op.getLoc()), unrollBudget(unrollBudget),
        skipMasked(skipMasked && op.getMask()) {}

  LogicalResult run() {
    units = op.getUnits();
    batch = op.getBatch();
    if (ShapedType::isDynamic(batch))
      return op.emitError() << "batch is dynamic, expected a fixed batch (see "
                               "gru-specialize)";
    padded = op.getBlocks() * op.getWidth();
    element = op.getElementType();

    // With reset_after a step reads the whole old state while it writes the new
    // one, so there are two; but one block of units writes only when it has
    // read all. Without, the second phase reads r * h instead.
    buffers = op.getResetAfter() && op.getBlocks() > 1 ? 2 : 1;
    auto [timeSource, timeDim] = op.getTimeDim();
    Value time = sizeOf(b, loc, timeSource, timeDim);
    bool hasRoom = stateHasRoom(), inPlace = hasRoom && buffers == 1;
    // A stream's only step reads the state where it is, and leaves the new one
    // to be copied there.
    isOnlyStep = hasRoom && buffers == 2 && getConstantIntValue(time) == 1;
    if (isOnlyStep)
      buffers = 1;
    if (inPlace || isOnlyStep)
      ownState = memref::ReinterpretCastOp::create(
          b, loc, MemRefType::get({1, batch, padded}, element), op.getState(),
          /*offset=*/0, ArrayRef<int64_t>{1, batch, padded},
          ArrayRef<int64_t>{batch * padded, padded, 1});
    states = inPlace ? ownState : alloc({buffers, batch, padded}, element);
    if (!op.getResetAfter()) {
      update = alloc({batch, padded}, element);
      resetState = alloc({batch, padded}, element);
    }
    if (op.isQuantized()) {
      bytes = alloc({batch, QuantizeRowsOp::getPaddedColumns(units)},
                    b.getI8Type());
      rowScale = alloc({batch}, element);
    }
    if (op.hasRowwiseActivation())
      preactivations = alloc({batch, 3, padded}, element);
    if (op.getRecurrentDropoutMask()) {
      // Padded once here, so that each step may read whole vectors of it.
      dropoutMask = alloc({3, batch, padded}, element);
      memref::CopyOp::create(b, loc, op.getRecurrentDropoutMask(),
                             unpadded(dropoutMask));
      droppedState =
          alloc({op.getResetAfter() ? 3 : 2, batch, padded}, element);
    }
    // Which rows have seen an unmasked step; only asked where the output may
    // differ from the state.
    bool hasOutput = op.getSequence() || op.getLast();
    if (op.getMask() && hasOutput && !op.getZeroOutputForMask() &&
        !op.getZeroInitialState()) {
      seen = alloc({batch}, b.getI1Type());
      Value no = arith::ConstantOp::create(b, loc, b.getBoolAttr(false));
      forEach(b, loc, index(batch), [&](OpBuilder &b, Location loc, Value i) {
        memref::StoreOp::create(b, loc, no, seen, i);
      });
    }
    if (!ownState)
      memref::CopyOp::create(b, loc, op.getState(),
                             unpadded(stateBuffer(b, index(0))));

    Value zero = index(0), one = index(1);
    auto loop = scf::ForOp::create(
        b, loc, zero, time, one, ValueRange{},
        [&](OpBuilder &b, Location loc, Value i, ValueRange) {
          OpBuilder::InsertionGuard guard(this->b);
          this->b.restoreInsertionPoint(b.saveInsertionPoint());
          emitStep(i, time);
          scf::YieldOp::create(this->b, loc);
        });

    Value parity = arith::RemUIOp::create(b, loc, time, index(buffers));
    Value finalState = unpadded(stateBuffer(b, parity));
    if (!inPlace) {
      auto copy = memref::CopyOp::create(b, loc, finalState, op.getState());
      if (isOnlyStep)
        lastCopy = copy;
    }
    if (op.getLast())
      emitLast(finalState, time);
    LogicalResult result = unroll(loop);
    op.erase();
    return result;
  }

  /// The copy of the state that ends a program of one step, if there is one.
  memref::CopyOp getLastCopy() const { return lastCopy; }

private:
  /// A state of the program begins at a multiple of 64 bytes, and nothing else
  /// lies in what it leaves of the last ones. So one row is padded there and
  /// needs no copy to be read, nor to be written when it has been read. The
  /// padding is never read by a product.
  bool stateHasRoom() {
    auto state = dyn_cast<BlockArgument>(op.getState());
    auto func = op->getParentOfType<func::FuncOp>();
    if (!state || state.getOwner() != &func.getBody().front() ||
        !func.getArgAttr(state.getArgNumber(), kStateAttr))
      return false;
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    bool fits = padded == units ||
                (batch == 1 &&
                 padded * bytes <= int64_t(llvm::alignTo(units * bytes, 64)));
    return fits && op.getResetAfter() &&
           cast<MemRefType>(state.getType()).getLayout().isIdentity();
  }

  Value index(int64_t value) { return indexConstant(b, loc, value); }

  /// Memory that is there before threads run recurrences side by side.
  Value alloc(ArrayRef<int64_t> shape, Type type) {
    OpBuilder::InsertionGuard guard(b);
    if (auto parallel = op->getParentOfType<scf::ParallelOp>())
      b.setInsertionPoint(parallel);
    return memref::AllocOp::create(b, loc, MemRefType::get(shape, type));
  }

  Value stateBuffer(OpBuilder &b, Value parity) {
    return dropDim(b, loc, states, 0, parity);
  }

  /// The first H columns of a [..., NB W] buffer.
  Value unpadded(Value buffer) {
    ArrayRef<int64_t> shape = cast<MemRefType>(buffer.getType()).getShape();
    SmallVector<OpFoldResult> offsets(shape.size(), b.getIndexAttr(0)),
        strides(shape.size(), b.getIndexAttr(1)),
        sizes = getAsIndexOpFoldResult(b.getContext(), shape);
    sizes.back() = b.getIndexAttr(units);
    return memref::SubViewOp::create(b, loc, buffer, offsets, sizes, strides);
  }

  /// mask[:, t] or, time major, mask[t, :].
  Value atTime(Value buffer, Value t) {
    return dropDim(b, loc, buffer, op.getTimeMajor() ? 0 : 1, t);
  }

  /// Time that step i reads, and position that it writes.
  std::pair<Value, Value> positions(Value i, Value time) {
    if (op.getOrder() == TimeOrder::forward)
      return {i, i};
    Value fromEnd = arith::SubIOp::create(
        b, loc, arith::SubIOp::create(b, loc, time, index(1)), i);
    if (op.getOrder() == TimeOrder::backward)
      return {fromEnd, fromEnd};
    return {fromEnd, i};
  }

  void emitStep(Value i, Value time) {
    auto [read, write] = positions(i, time);
    auto [timeSource, timeDim] = op.getTimeDim();
    Value now = dropDim(b, loc, timeSource, timeDim, read);
    Value projection = op.getProjection() ? now : Value();
    Value input = op.getInput() ? now : Value();
    Value oldState, newState;
    if (buffers == 2) {
      Value two = index(2);
      Value parity = arith::RemUIOp::create(b, loc, i, two);
      Value other = arith::SubIOp::create(b, loc, index(1), parity);
      oldState = stateBuffer(b, parity);
      newState = stateBuffer(b, other);
    } else {
      newState = stateBuffer(b, index(0));
      oldState = isOnlyStep ? dropDim(b, loc, ownState, 0, index(0)) : newState;
    }
    Value mask = op.getMask() ? atTime(op.getMask(), read) : Value();
    if (op.getReset())
      emitReset(atTime(op.getReset(), read), oldState);
    Value emit;
    if (mask && op.getZeroOutputForMask())
      emit = atTime(op.getMask(), op.getZeroByPosition() ? i : read);
    else if (seen)
      emit = markSeen(mask);
    Value output = op.getSequence() ? atTime(op.getSequence(), write) : Value();
    if (!output)
      emit = {};
    Value turn;
    if (op.getBlocks() > 1)
      turn = arith::TruncIOp::create(
          b, loc, b.getI1Type(),
          arith::IndexCastOp::create(b, loc, b.getI32Type(), i));
    IntegerAttr unitsAttr = b.getI64IntegerAttr(units);
    auto step = [&](StepPhase phase, size_t index, Value bias, Value stateIn,
                    Value stateOut, Value out, Value mask, Value emit) {
      bool all = phase == StepPhase::all;
      bool drops = phase != StepPhase::candidate;
      Value scale =
          op.getKernelScales().empty() ? Value() : op.getKernelScales()[index];
      Value rows =
          op.getKernelRows().empty() ? Value() : op.getKernelRows()[index];
      StepOp::create(
          b, loc, StepPhaseAttr::get(b.getContext(), phase), projection, input,
          op.getInputKernel(), op.getInputBias(), op.getKernels()[index], scale,
          rows, bytes, rowScale, bias, drops ? dropoutMask : Value(),
          drops ? droppedState : Value(), stateIn, preactivations,
          all ? Value() : update, all ? Value() : resetState, stateOut, out,
          mask, emit, turn, unitsAttr, op.getActivationAttr(),
          op.getRecurrentActivationAttr(), op.getClipAttr(), op.getRowsAttr());
    };
    auto quantize = [&](Value rows) {
      if (bytes)
        QuantizeRowsOp::create(b, loc, TypeRange{}, unpadded(rows), bytes,
                               rowScale);
    };
    auto steps = [&] {
      quantize(oldState);
      if (op.getResetAfter()) {
        step(StepPhase::all, 0, op.getRecurrentBias(), oldState, newState,
             output, mask, emit);
        return;
      }
      step(StepPhase::gates, 0, {}, oldState, {}, {}, mask, {});
      quantize(resetState);
      step(StepPhase::candidate, 1, {}, oldState, newState, output, mask, emit);
    };
    // Asking each row costs about as much as the products of a row of few
    // units.
    constexpr int64_t kWorthAsking = 1024;
    if (!skipMasked || 3 * units * units < kWorthAsking)
      return steps();
    auto branch = scf::IfOp::create(b, loc, anyRow(mask), /*withElse=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    steps();
    b.setInsertionPointToStart(branch.elseBlock());
    if (oldState != newState)
      memref::CopyOp::create(b, loc, oldState, newState);
    if (output)
      emitState(unpadded(newState), emit, output);
  }

  /// Whether any of a vector of booleans is true.
  Value anyRow(Value flags) {
    Value none = arith::ConstantOp::create(b, loc, b.getBoolAttr(false));
    auto loop = scf::ForOp::create(
        b, loc, index(0), index(batch), index(1), none,
        [&](OpBuilder &b, Location loc, Value row, ValueRange any) {
          Value flag = memref::LoadOp::create(b, loc, flags, row);
          scf::YieldOp::create(
              b, loc, arith::OrIOp::create(b, loc, any[0], flag).getResult());
        });
    return loop.getResult(0);
  }

  /// to[row] = emit[row] ? state[row] : 0; without `emit` the state.
  void emitState(Value state, Value emit, Value to) {
    if (!emit) {
      memref::CopyOp::create(b, loc, state, to);
      return;
    }
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
    SmallVector<Value> sizes{index(batch), index(units)};
    forEachIndex(b, loc, sizes, [&](OpBuilder &b, Location loc, ValueRange i) {
      Value e = memref::LoadOp::create(b, loc, emit, i[0]);
      Value s = memref::LoadOp::create(b, loc, state, i);
      Value y = arith::SelectOp::create(b, loc, e, s, zero);
      memref::StoreOp::create(b, loc, y, to, i);
    });
  }

  void emitReset(Value reset, Value state) {
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
    forEach(b, loc, index(batch), [&](OpBuilder &b, Location loc, Value row) {
      Value clear = memref::LoadOp::create(b, loc, reset, row);
      scf::IfOp::create(b, loc, clear, [&](OpBuilder &b, Location loc) {
        forEach(b, loc, indexConstant(b, loc, units),
                [&](OpBuilder &b, Location loc, Value unit) {
                  memref::StoreOp::create(b, loc, zero, state,
                                          ValueRange{row, unit});
                });
        scf::YieldOp::create(b, loc);
      });
    });
  }

  Value markSeen(Value mask) {
    forEach(b, loc, index(batch), [&](OpBuilder &b, Location loc, Value row) {
      Value before = memref::LoadOp::create(b, loc, seen, row);
      Value now = memref::LoadOp::create(b, loc, mask, row);
      memref::StoreOp::create(b, loc, arith::OrIOp::create(b, loc, before, now),
                              seen, row);
    });
    return seen;
  }

  /// last = e ? state : 0, with e as at the last processed step.
  void emitLast(Value finalState, Value time) {
    Value emit = seen;
    if (op.getZeroOutputForMask() && op.getMask()) {
      Value last = arith::SubIOp::create(b, loc, time, index(1));
      emit =
          atTime(op.getMask(),
                 op.getZeroByPosition() ? last : positions(last, time).first);
    }
    emitState(finalState, emit, op.getLast());
  }

  LogicalResult unroll(scf::ForOp loop) {
    if (!op.getUnroll())
      return success();
    auto [timeSource, timeDim] = op.getTimeDim();
    int64_t time = cast<MemRefType>(timeSource.getType()).getDimSize(timeDim);
    int64_t factor = time;
    if (ShapedType::isDynamic(time) || time > unrollBudget) {
      factor = std::min<int64_t>(unrollBudget, 4);
      op.emitRemark() << "unroll: "
                      << (ShapedType::isDynamic(time)
                              ? std::string(
                                    "the number of timesteps is dynamic")
                              : std::to_string(time) +
                                    " timesteps are more than the budget of " +
                                    std::to_string(unrollBudget))
                      << ", so the loop is unrolled by a factor of " << factor;
    }
    if (factor <= 1)
      return success();
    return LogicalResult(loopUnrollByFactor(loop, factor));
  }

  RecurOp op;
  OpBuilder b;
  Location loc;
  int64_t unrollBudget;
  bool skipMasked;
  int64_t units = 0, batch = 0, padded = 0, buffers = 1;
  Type element;
  bool isOnlyStep = false;
  memref::CopyOp lastCopy;
  /// The state's own memory with padded rows, where it is used.
  Value ownState;
  Value states, update, resetState, preactivations, seen;
  Value dropoutMask, droppedState;
  Value bytes, rowScale; ///< What quantized products read.
};

/// Moves a copy behind all that has nothing to do with its two buffers.
void sink(memref::CopyOp copy) {
  Value from = getRoot(copy.getSource()), to = getRoot(copy.getTarget());
  auto concerns = [&](Operation *op) {
    return op
        ->walk([&](Operation *inner) {
          for (Value operand : inner->getOperands())
            if (isa<MemRefType>(operand.getType()))
              if (Value root = getRoot(operand); root == from || root == to)
                return WalkResult::interrupt();
          return WalkResult::advance();
        })
        .wasInterrupted();
  };
  Operation *last = copy;
  while (!last->getNextNode()->hasTrait<OpTrait::IsTerminator>() &&
         !concerns(last->getNextNode()))
    last = last->getNextNode();
  copy->moveAfter(last);
}

struct ConvertRecurToLoopsPass
    : gru::impl::ConvertRecurToLoopsPassBase<ConvertRecurToLoopsPass> {
  using ConvertRecurToLoopsPassBase::ConvertRecurToLoopsPassBase;

  void runOnOperation() override {
    SmallVector<RecurOp> ops;
    SmallVector<memref::CopyOp> copies;
    getOperation().walk([&](RecurOp op) { ops.push_back(op); });
    for (RecurOp op : ops) {
      if (!isa<MemRefType>(op.getState().getType())) {
        op.emitError() << "is on tensors, expected memrefs";
        return signalPassFailure();
      }
      RecurLowering lowering(op, unrollBudget, skipMasked);
      if (failed(lowering.run()))
        return signalPassFailure();
      if (memref::CopyOp copy = lowering.getLastCopy())
        copies.push_back(copy);
    }
    // Members of a team wait for each other at what only one of them does, so
    // it stands together. The first goes last, or the others would stop before
    // it.
    for (memref::CopyOp copy : llvm::reverse(copies))
      sink(copy);
  }
};
} // namespace
