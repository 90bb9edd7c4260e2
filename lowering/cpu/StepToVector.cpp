//===- StepToVector.cpp - one timestep as register-blocked vector code -----===//
//
// With letters as in gru.gru, per block of units and rows:
//
//   z = s(p_z + h Uz)    r = s(p_r + h Ur)
//   hh = g(p_h + r * (c + h Uh))            phase all
//   u = r * h; hh = g(p_h + u Uh)           phases gates, candidate
//   h' = hh + z * (h - hh)
//
// With recurrent dropout the products read h * m_z, h * m_r and h * m_h, and u is
// r * h * m_h; the last line reads h itself.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/RegisterBlock.h"

#include "mlir/Dialect/Math/IR/Math.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTSTEPTOVECTORPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
class StepLowering {
public:
  StepLowering(StepOp op, int64_t vectorBytes)
      : op(op), b(op), loc(op.getLoc()), columns(op.getKernel(), vectorBytes) {
  }

  void run() {
    auto projection = cast<MemRefType>(op.getProjection().getType());
    batch = projection.getDimSize(0);
    numBlocks = projection.getDimSize(1);
    if (op.getRecurrentDropoutMask())
      emitDroppedState();
    auto perBlock = [&](OpBuilder &b, Location loc, Value block) {
      forRowBlocks(
          b, loc, indexConstant(b, loc, batch), batch, op.getRows().value_or(1),
          [&](OpBuilder &b, Location loc, Value first, int64_t count) {
            emitBlock(b, loc, block, first, count);
          });
    };
    if (numBlocks == 1)
      perBlock(b, loc, indexConstant(b, loc, 0));
    else
      forEach(b, loc, indexConstant(b, loc, numBlocks), perBlock);
    if (op.hasRowwiseActivation())
      emitRows();
    op.erase();
  }

private:
  //===--------------------------------------------------------------------===//
  // Recurrent dropout
  //===--------------------------------------------------------------------===//

  /// m[gate, row, block, v].
  Value loadDropoutMask(OpBuilder &b, Location loc, int64_t gate, Value row,
                        Value block, int64_t v) {
    return vector::LoadOp::create(
        b, loc, columns.vector, op.getRecurrentDropoutMask(),
        ValueRange{indexConstant(b, loc, gate), row,
                   columnOf(b, loc, block, columns.width, v * columns.lanes)});
  }

  /// dropped_state[gate] = state * m[gate], once per step: the product of each
  /// block of units reads all of it.
  void emitDroppedState() {
    forEach(b, loc, indexConstant(b, loc, batch),
            [&](OpBuilder &b, Location loc, Value row) {
              forVectors(b, loc, [&](OpBuilder &b, Location loc, Value block,
                                     int64_t v) {
                Value h = loadPadded(b, loc, op.getState(), row, block, v);
                Value column =
                    columnOf(b, loc, block, columns.width, v * columns.lanes);
                for (int64_t gate = 0; gate < columns.gates; ++gate) {
                  Value m = loadDropoutMask(b, loc, gate, row, block, v);
                  vector::StoreOp::create(
                      b, loc, arith::MulFOp::create(b, loc, h, m),
                      op.getDroppedState(),
                      ValueRange{indexConstant(b, loc, gate), row, column});
                }
              });
            });
  }

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  /// p[row, block, gate, v].
  Value loadProjection(OpBuilder &b, Location loc, Value row, Value block,
                       int64_t gate, int64_t v) {
    return loadVector(b, loc, columns.vector, op.getProjection(),
                      ValueRange{row, block, indexConstant(b, loc, gate)},
                      v * columns.lanes);
  }

  /// What the sum of a gate starts from. With reset_after the candidate's
  /// projection is added later, because r multiplies only the recurrent part.
  Value initialSum(OpBuilder &b, Location loc, Value row, Value block,
                   int64_t gate, int64_t v) {
    switch (op.getPhase()) {
    case StepPhase::gates:
      return loadProjection(b, loc, row, block, gate, v);
    case StepPhase::candidate:
      return loadProjection(b, loc, row, block, 2, v);
    case StepPhase::all:
      if (gate < 2)
        return loadProjection(b, loc, row, block, gate, v);
      if (op.getRecurrentBias())
        return loadVector(b, loc, columns.vector, op.getRecurrentBias(),
                          ValueRange{block, indexConstant(b, loc, 0)},
                          v * columns.lanes);
      return floatConstant(b, loc, columns.vector, 0);
    }
    llvm_unreachable("covered switch");
  }

  void emitBlock(OpBuilder &b, Location loc, Value block, Value first,
                 int64_t count) {
    SmallVector<Value> sums, rowIndices;
    for (int64_t row = 0; row < count; ++row) {
      rowIndices.push_back(plus(b, loc, first, row));
      for (int64_t gate = 0; gate < columns.gates; ++gate)
        for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
          sums.push_back(
              initialSum(b, loc, rowIndices.back(), block, gate, v));
    }
    Value dropped = op.getDroppedState();
    Value left = op.getPhase() == StepPhase::candidate ? op.getResetState()
                                                       : op.getState();
    sums = emitProduct(
        b, loc, columns, block, count, sums, /*leftPerGate=*/bool(dropped),
        [&](OpBuilder &b, Location loc, int64_t row, int64_t gate,
            Value k) -> Value {
          if (dropped)
            return memref::LoadOp::create(
                b, loc, dropped,
                ValueRange{indexConstant(b, loc, gate), rowIndices[row], k});
          return memref::LoadOp::create(b, loc, left,
                                        ValueRange{rowIndices[row], k});
        });
    for (int64_t row = 0; row < count; ++row)
      for (int64_t v = 0; v < columns.vectorsPerGate(); ++v) {
        SmallVector<Value> gates;
        for (int64_t gate = 0; gate < columns.gates; ++gate)
          gates.push_back(sums[columns.position(row, gate, v)]);
        if (op.hasRowwiseActivation())
          storeSums(b, loc, gates, rowIndices[row], block, v);
        else
          finish(b, loc, gates, rowIndices[row], block, v);
      }
  }

  //===--------------------------------------------------------------------===//
  // Finishing in registers
  //===--------------------------------------------------------------------===//

  Value clipped(OpBuilder &b, Location loc, Value x) {
    if (!op.getClip())
      return x;
    double bound = op.getClipAttr().getValueAsDouble();
    Value high = floatConstant(b, loc, x.getType(), bound);
    Value low = floatConstant(b, loc, x.getType(), -bound);
    x = arith::MinimumFOp::create(b, loc, x, high);
    return arith::MaximumFOp::create(b, loc, x, low);
  }

  Value activate(OpBuilder &b, Location loc, ActAttr activation, Value x) {
    return ActivationOp::create(b, loc, x.getType(), clipped(b, loc, x),
                                activation);
  }

  Value loadPadded(OpBuilder &b, Location loc, Value buffer, Value row,
                   Value block, int64_t v) {
    return vector::LoadOp::create(
        b, loc, columns.vector, buffer,
        ValueRange{row, columnOf(b, loc, block, columns.width,
                                 v * columns.lanes)});
  }

  void storePadded(OpBuilder &b, Location loc, Value value, Value buffer,
                   Value row, Value block, int64_t v) {
    vector::StoreOp::create(
        b, loc, value, buffer,
        ValueRange{row, columnOf(b, loc, block, columns.width,
                                 v * columns.lanes)});
  }

  void finish(OpBuilder &b, Location loc, ArrayRef<Value> sums, Value row,
              Value block, int64_t v) {
    ActAttr gate = op.getRecurrentActivation();
    if (op.getPhase() == StepPhase::gates) {
      storeGates(b, loc, activate(b, loc, gate, sums[0]),
                 activate(b, loc, gate, sums[1]), row, block, v);
      return;
    }
    Value z, candidate;
    if (op.getPhase() == StepPhase::all) {
      z = activate(b, loc, gate, sums[0]);
      Value r = activate(b, loc, gate, sums[1]);
      Value x = loadProjection(b, loc, row, block, 2, v);
      candidate = vector::FMAOp::create(b, loc, r, sums[2], x);
    } else {
      z = loadPadded(b, loc, op.getUpdate(), row, block, v);
      candidate = sums[0];
    }
    candidate = activate(b, loc, op.getActivation(), candidate);
    blend(b, loc, z, candidate, row, block, v);
  }

  /// z and r * h, or r * h * m_h, for the second phase.
  void storeGates(OpBuilder &b, Location loc, Value z, Value r, Value row,
                  Value block, int64_t v) {
    Value h = loadPadded(b, loc, op.getState(), row, block, v);
    if (op.getRecurrentDropoutMask())
      h = arith::MulFOp::create(b, loc, h,
                                loadDropoutMask(b, loc, 2, row, block, v));
    storePadded(b, loc, z, op.getUpdate(), row, block, v);
    storePadded(b, loc, arith::MulFOp::create(b, loc, r, h),
                op.getResetState(), row, block, v);
  }

  /// h' = hh + z (h - hh), masked, stored.
  void blend(OpBuilder &b, Location loc, Value z, Value candidate, Value row,
             Value block, int64_t v) {
    Value h = loadPadded(b, loc, op.getState(), row, block, v);
    Value difference = arith::SubFOp::create(b, loc, h, candidate);
    Value next = vector::FMAOp::create(b, loc, z, difference, candidate);
    if (op.getMask()) {
      Value keep = memref::LoadOp::create(b, loc, op.getMask(), row);
      next = arith::SelectOp::create(b, loc, keep, next, h);
    }
    storePadded(b, loc, next, op.getNewState(), row, block, v);
    if (!op.getOutput())
      return;
    if (op.getEmit()) {
      Value emit = memref::LoadOp::create(b, loc, op.getEmit(), row);
      Value zero = floatConstant(b, loc, columns.vector, 0);
      next = arith::SelectOp::create(b, loc, emit, next, zero);
    }
    storeColumns(b, loc, next, op.getOutput(), row, block, numBlocks,
                 columns.width, v, op.getUnits());
  }

  //===--------------------------------------------------------------------===//
  // Finishing in a second pass, for activations over whole rows
  //===--------------------------------------------------------------------===//

  void storeSums(OpBuilder &b, Location loc, ArrayRef<Value> sums, Value row,
                 Value block, int64_t v) {
    for (auto [gate, sum] : llvm::enumerate(sums))
      storeSum(b, loc, sum, row, gate, block, v);
  }

  void storeSum(OpBuilder &b, Location loc, Value sum, Value row, int64_t gate,
                Value block, int64_t v) {
    vector::StoreOp::create(
        b, loc, sum, op.getPreactivations(),
        ValueRange{row, indexConstant(b, loc, gate),
                   columnOf(b, loc, block, columns.width, v * columns.lanes)});
  }

  /// Calls body for every vector of a row.
  void forVectors(OpBuilder &b, Location loc,
                  function_ref<void(OpBuilder &, Location, Value block,
                                    int64_t v)>
                      body) {
    forEach(b, loc, indexConstant(b, loc, numBlocks),
            [&](OpBuilder &b, Location loc, Value block) {
              for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
                body(b, loc, block, v);
            });
  }

  Value loadSum(OpBuilder &b, Location loc, Value row, int64_t gate,
                Value block, int64_t v) {
    return vector::LoadOp::create(
        b, loc, columns.vector, op.getPreactivations(),
        ValueRange{row, indexConstant(b, loc, gate),
                   columnOf(b, loc, block, columns.width, v * columns.lanes)});
  }

  /// preactivations[row, gate] = activation(preactivations[row, gate]).
  void activateRow(OpBuilder &b, Location loc, ActAttr activation, Value row,
                   int64_t gate) {
    bool rowwise = activation.isRowwise();
    if (!rowwise || op.getClip())
      forVectors(b, loc,
                 [&](OpBuilder &b, Location loc, Value block, int64_t v) {
                   Value x = clipped(b, loc, loadSum(b, loc, row, gate, block, v));
                   if (!rowwise)
                     x = ActivationOp::create(b, loc, x.getType(), x,
                                              activation);
                   storeSum(b, loc, x, row, gate, block, v);
                 });
    if (rowwise)
      emitRowwiseActivation(
          b, loc, activation,
          rowOf(b, loc, op.getPreactivations(),
                ValueRange{row, indexConstant(b, loc, gate)}),
          indexConstant(b, loc, op.getUnits()));
  }

  void emitRows() {
    forEach(b, loc, indexConstant(b, loc, batch),
            [&](OpBuilder &b, Location loc, Value row) {
              emitRow(b, loc, row);
            });
  }

  void emitRow(OpBuilder &b, Location loc, Value row) {
    ActAttr gate = op.getRecurrentActivation();
    if (op.getPhase() != StepPhase::candidate) {
      activateRow(b, loc, gate, row, 0);
      activateRow(b, loc, gate, row, 1);
    }
    if (op.getPhase() == StepPhase::gates) {
      forVectors(b, loc,
                 [&](OpBuilder &b, Location loc, Value block, int64_t v) {
                   storeGates(b, loc, loadSum(b, loc, row, 0, block, v),
                              loadSum(b, loc, row, 1, block, v), row, block, v);
                 });
      return;
    }
    bool all = op.getPhase() == StepPhase::all;
    int64_t candidateGate = all ? 2 : 0;
    if (all)
      forVectors(b, loc,
                 [&](OpBuilder &b, Location loc, Value block, int64_t v) {
                   Value r = loadSum(b, loc, row, 1, block, v);
                   Value recurrent = loadSum(b, loc, row, 2, block, v);
                   Value x = loadProjection(b, loc, row, block, 2, v);
                   Value sum =
                       vector::FMAOp::create(b, loc, r, recurrent, x);
                   storeSum(b, loc, sum, row, 2, block, v);
                 });
    activateRow(b, loc, op.getActivation(), row, candidateGate);
    forVectors(b, loc, [&](OpBuilder &b, Location loc, Value block, int64_t v) {
      Value z = all ? loadSum(b, loc, row, 0, block, v)
                    : loadPadded(b, loc, op.getUpdate(), row, block, v);
      blend(b, loc, z, loadSum(b, loc, row, candidateGate, block, v), row,
            block, v);
    });
  }

  StepOp op;
  OpBuilder b;
  Location loc;
  PackedColumns columns;
  int64_t batch = 0, numBlocks = 0;
};

struct ConvertStepToVectorPass
    : gru::impl::ConvertStepToVectorPassBase<ConvertStepToVectorPass> {
  using ConvertStepToVectorPassBase::ConvertStepToVectorPassBase;

  void runOnOperation() override {
    SmallVector<StepOp> ops;
    getOperation().walk([&](StepOp op) { ops.push_back(op); });
    for (StepOp op : ops)
      StepLowering(op, vectorBytes).run();
  }
};
} // namespace
