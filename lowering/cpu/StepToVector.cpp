//===- StepToVector.cpp - one timestep as register-blocked vector code ----===//
//
// With letters as in gru.gru, per block of units and rows:
//
//   z = s(p_z + h Uz)    r = s(p_r + h Ur)
//   hh = g(p_h + r * (c + h Uh))            phase all
//   u = r * h; hh = g(p_h + u Uh)           phases gates, candidate
//   h' = (1 - z) * hh + z * h
//
// With recurrent dropout the products read h * m_z, h * m_r and h * m_h, and u
// is r * h * m_h; the last line reads h itself.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/RowGroups.h"
#include "lowering/common/TargetDescription.h"
#include "lowering/cpu/StepTiles.h"

#include "mlir/Dialect/Math/IR/Math.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTSTEPTOVECTORPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
class StepLowering : StepTiles {
public:
  StepLowering(StepOp op, const TargetDescription &target)
      : StepTiles({op.getKernel(), target.vectorBytes}), op(op), b(op),
        loc(op.getLoc()), target(target), inputColumns(columns) {
    largestTile = target.registers >= 32 && hasFewProducts() ? 4 : 2;
    // Of vectors that fill a register in part there are more in a tile.
    int64_t bytes = columns.lanes * columns.vector.getElementTypeBitWidth() / 8;
    largestTile *= std::max<int64_t>(1, target.vectorBytes / bytes);
    if (!op.getInput())
      return;
    inputColumns = PackedColumns(op.getInputKernel(), target.vectorBytes);
    inputColumns.gates = columns.gates;
    inputColumns.firstGate = op.getPhase() == StepPhase::candidate ? 2 : 0;
  }

  void run() {
    batch = cast<MemRefType>(op.getState().getType()).getDimSize(0);
    int64_t inner = columns.inner + (op.getInput() ? inputColumns.inner : 0);
    int64_t products = batch * numBlocks * columns.width * columns.gates;
    parts = choosePartsOf(op, target, numBlocks, products * inner);
    columns.inChains = inputColumns.inChains =
        batch == 1 && !isWorthSharing(products * columns.inner);
    if (!op.hasRowwiseActivation() && !op.getKernelScale() &&
        !op.getKernelRows())
      rowsPerGroup = getRowsPerGroup(columns, target.vectorBytes);
    int64_t rows = op.getRows().value_or(1);
    if (rowsPerGroup > 1) {
      // Of each group a register holds the state beside the sums of its gates.
      int64_t groups = (target.registers - 6) / (columns.gates + 1);
      rows = rowsPerGroup * llvm::bit_floor(uint64_t(groups));
    }
    rows = std::min(rows, batch);
    if ((rows > 1 || !finishesInRegisters(1)) && !op.hasRowwiseActivation())
      allocateSums(rows);
    if (op.getRecurrentDropoutMask())
      emitDroppedState();
    forColumnBlocks(
        b, loc, numBlocks, parts, products * inner, op.getTurn(),
        [&](OpBuilder &b, Location loc, Value block) {
          forRowBlocks(
              b, loc, indexConstant(b, loc, batch), batch, rows,
              [&](OpBuilder &b, Location loc, Value first, int64_t count) {
                if (!isWorthAsking(count * inner))
                  return emitRowBlock(b, loc, block, first, count);
                scf::IfOp::create(
                    b, loc, anyRow(b, loc, first, count),
                    [&](OpBuilder &b, Location loc) {
                      emitRowBlock(b, loc, block, first, count);
                      scf::YieldOp::create(b, loc);
                    },
                    [&](OpBuilder &b, Location loc) {
                      keepState(b, loc, block, first, count);
                      scf::YieldOp::create(b, loc);
                    });
              });
        });
    if (op.hasRowwiseActivation())
      emitRows();
    op.erase();
  }

private:
  void emitRowBlock(OpBuilder &b, Location loc, Value block, Value first,
                    int64_t count) {
    int64_t grouped = rowsPerGroup > 1 ? count - count % rowsPerGroup : 0;
    if (grouped)
      emitGroups(b, loc, block, first, grouped);
    if (grouped < count)
      emitBlock(b, loc, block, plus(b, loc, first, grouped), count - grouped);
  }

  //===--------------------------------------------------------------------===//
  // Rows that the mask leaves out
  //===--------------------------------------------------------------------===//

  /// Whether to look if the mask leaves anything of a block to be computed,
  /// which costs as much as the products of a row of few units. What a whole
  /// row is needed for is computed of all rows.
  bool isWorthAsking(int64_t productsPerColumn) {
    constexpr int64_t kWorthAsking = 4096;
    return op.getMask() && !op.hasRowwiseActivation() &&
           productsPerColumn * columns.gates * columns.width >= kWorthAsking;
  }

  Value anyRow(OpBuilder &b, Location loc, Value first, int64_t count) {
    Value any;
    for (int64_t row = 0; row < count; ++row) {
      Value flag = memref::LoadOp::create(b, loc, op.getMask(),
                                          plus(b, loc, first, row));
      any = any ? arith::OrIOp::create(b, loc, any, flag).getResult() : flag;
    }
    return any;
  }

  void keepState(OpBuilder &b, Location loc, Value block, Value first,
                 int64_t count) {
    if (op.getPhase() == StepPhase::gates)
      return;
    for (int64_t row = 0; row < count; ++row)
      for (int64_t v = 0; v < columns.vectorsPerGate(); ++v) {
        Tile tile = oneVector(b, loc, plus(b, loc, first, row), v);
        storeState(b, loc, loadPadded(b, loc, op.getState(), tile, block), tile,
                   block);
      }
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

  /// A vector of a bias [NB, G, W], or zeros.
  Value loadBias(OpBuilder &b, Location loc, Value bias, Value block,
                 int64_t gate, int64_t v) {
    if (!bias)
      return floatConstant(b, loc, columns.vector, 0);
    return loadVector(b, loc, columns.vector, bias,
                      ValueRange{block, indexConstant(b, loc, gate)},
                      v * columns.lanes);
  }

  /// With reset_after the candidate's projection is added to a sum of its own,
  /// because r multiplies only the recurrent part.
  bool isApart(int64_t gate) {
    return op.getPhase() == StepPhase::all && gate == 2;
  }

  /// What the sums start from: the projection, with all of its biases.
  SmallVector<Value> initialSums(OpBuilder &b, Location loc,
                                 ArrayRef<Value> rows, Value block,
                                 const PackedColumns &part) {
    SmallVector<Value> sums;
    int64_t firstGate = op.getPhase() == StepPhase::candidate ? 2 : 0;
    for (Value row : rows)
      for (int64_t gate : part.gateNumbers())
        for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
          if (op.getInput())
            sums.push_back(loadBias(b, loc, op.getInputBias(), block,
                                    firstGate + gate, v));
          else if (isApart(gate))
            sums.push_back(
                loadBias(b, loc, op.getRecurrentBias(), block, 0, v));
          else
            sums.push_back(
                loadProjection(b, loc, row, block, firstGate + gate, v));
    if (!op.getInput())
      return sums;
    return emitProduct(b, loc, inputColumns.ofGates(part.firstGate, part.gates),
                       block, rows.size(), sums,
                       /*leftPerGate=*/false,
                       [&](OpBuilder &b, Location loc, int64_t row, int64_t,
                           Value k) -> Value {
                         return broadcastElement(b, loc, columns.vector,
                                                 op.getInput(),
                                                 ValueRange{rows[row], k});
                       });
  }

  void emitBlock(OpBuilder &b, Location loc, Value block, Value first,
                 int64_t count) {
    SmallVector<Value> rowIndices;
    for (int64_t row = 0; row < count; ++row)
      rowIndices.push_back(plus(b, loc, first, row));
    int64_t atOnce = holdsAllGates(columns, count, target) ? columns.gates : 1;
    for (int64_t gate = 0; gate < columns.gates; gate += atOnce) {
      PackedColumns part = columns.ofGates(gate, atOnce);
      SmallVector<Value> candidate;
      SmallVector<Value> sums =
          emitSums(b, loc, block, rowIndices, part, candidate);
      if (op.hasRowwiseActivation())
        storePreactivations(b, loc, sums, rowIndices, block, part);
      else if (finishesInRegisters(count))
        return finishRow(b, loc, sums, candidate, rowIndices[0], block);
      else
        storeSums(b, loc, sums, count, part);
    }
    if (!op.hasRowwiseActivation())
      finishStoredRows(b, loc, block, first, count);
  }

  /// The sums of some gates. Of the candidate's, where its projection is made
  /// here, that part is given apart, in registers or in the buffer of sums.
  SmallVector<Value> emitSums(OpBuilder &b, Location loc, Value block,
                              ArrayRef<Value> rows, const PackedColumns &part,
                              SmallVector<Value> &candidate) {
    SmallVector<Value> sums = initialSums(b, loc, rows, block, part);
    for (int64_t gate : part.gateNumbers())
      if (op.getInput() && isApart(gate))
        for (size_t row = 0; row < rows.size(); ++row)
          for (int64_t v = 0; v < columns.vectorsPerGate(); ++v) {
            Value &sum = sums[part.position(row, gate - part.firstGate, v)];
            if (finishesInRegisters(rows.size()))
              candidate.push_back(sum);
            else
              storeVector(b, loc, sum, sumsBuffer,
                          sumIndices(b, loc, kProjectionSlot, row, v));
            sum = loadBias(b, loc, op.getRecurrentBias(), block, 0, v);
          }
    return columns.isBytes() ? addByteProduct(b, loc, block, rows, sums, part)
                             : addProduct(b, loc, block, rows, sums, part);
  }

  SmallVector<Value> addProduct(OpBuilder &b, Location loc, Value block,
                                ArrayRef<Value> rows, ArrayRef<Value> sums,
                                const PackedColumns &part) {
    Value dropped = op.getDroppedState();
    Value left = op.getPhase() == StepPhase::candidate ? op.getResetState()
                                                       : op.getState();
    auto state = [&](OpBuilder &b, Location loc, int64_t row, int64_t gate,
                     Value k) -> Value {
      if (dropped)
        return broadcastElement(
            b, loc, columns.vector, dropped,
            ValueRange{indexConstant(b, loc, part.firstGate + gate), rows[row],
                       k});
      return broadcastElement(b, loc, columns.vector, left,
                              ValueRange{rows[row], k});
    };
    if (Value lists = op.getKernelRows())
      // Enough that a sum does not wait for itself. How many follows from the
      // batch, so that all threads add up in the same order.
      return emitSparseProduct(b, loc, part, lists, block, rows.size(),
                               /*chains=*/batch == 1 ? 4
                               : batch < 4           ? 2
                                                     : 1,
                               sums, state);
    return emitProduct(b, loc, part, block, rows.size(), sums,
                       /*leftPerGate=*/bool(dropped), state);
  }

  SmallVector<Value> addByteProduct(OpBuilder &b, Location loc, Value block,
                                    ArrayRef<Value> rows,
                                    ArrayRef<Value> others,
                                    const PackedColumns &part) {
    SmallVector<SmallVector<Value>> indices;
    for (Value row : rows)
      indices.push_back({row});
    return emitByteProduct(b, loc, part, op.getKernelScale(), block,
                           {op.getBytes(), op.getRowScale(), indices}, others);
  }

  //===--------------------------------------------------------------------===//
  // Products of rows that share registers
  //===--------------------------------------------------------------------===//

  Value loadGroupOfInput(OpBuilder &b, Location loc, Value first, Value k,
                         int64_t count) {
    SmallVector<Value> rows;
    for (int64_t row = 0; row < rowsPerGroup; ++row)
      rows.push_back(loadColumns(b, loc, columns.vector, op.getInput(),
                                 {plus(b, loc, first, row), k}, count));
    return joinRows(b, loc, rows);
  }

  void emitGroups(OpBuilder &b, Location loc, Value block, Value first,
                  int64_t count) {
    int64_t groups = count / rowsPerGroup;
    int64_t firstGate = op.getPhase() == StepPhase::candidate ? 2 : 0;
    auto rowOfGroup = [&](OpBuilder &b, Location loc, int64_t group) {
      return plus(b, loc, first, group * rowsPerGroup);
    };
    auto bias = [&](Value from, int64_t gate) {
      return repeatRows(b, loc, loadBias(b, loc, from, block, gate, 0),
                        rowsPerGroup);
    };
    SmallVector<Value> sums;
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t gate = 0; gate < columns.gates; ++gate)
        if (op.getInput()) {
          sums.push_back(bias(op.getInputBias(), firstGate + gate));
        } else if (isApart(gate)) {
          sums.push_back(bias(op.getRecurrentBias(), 0));
        } else {
          SmallVector<Value> rows;
          for (int64_t row = 0; row < rowsPerGroup; ++row)
            rows.push_back(loadProjection(
                b, loc, plus(b, loc, rowOfGroup(b, loc, group), row), block,
                firstGate + gate, 0));
          sums.push_back(joinRows(b, loc, rows));
        }
    auto store = [&](int64_t group, int64_t slot, Value sum) {
      storeVector(b, loc, sum, sumsBuffer,
                  sumIndices(b, loc, slot, group * rowsPerGroup, 0));
    };
    if (op.getInput()) {
      sums =
          emitGroupedProduct(b, loc, inputColumns, rowsPerGroup, groups, sums,
                             /*leftPerGate=*/false,
                             [&](OpBuilder &b, Location loc, int64_t group,
                                 int64_t, Value k, int64_t count) {
                               return loadGroupOfInput(
                                   b, loc, rowOfGroup(b, loc, group), k, count);
                             });
      if (isApart(2))
        for (int64_t group = 0; group < groups; ++group) {
          Value &sum = sums[group * columns.gates + 2];
          store(group, kProjectionSlot, sum);
          sum = bias(op.getRecurrentBias(), 0);
        }
    }
    Value dropped = op.getDroppedState();
    Value left = op.getPhase() == StepPhase::candidate ? op.getResetState()
                                                       : op.getState();
    VectorType type = groupType(columns, rowsPerGroup);
    sums = emitGroupedProduct(
        b, loc, columns, rowsPerGroup, groups, sums,
        /*leftPerGate=*/bool(dropped),
        [&](OpBuilder &b, Location loc, int64_t group, int64_t gate, Value k,
            int64_t) {
          // Rows of padded buffers lie behind each other.
          SmallVector<Value> at{rowOfGroup(b, loc, group), k};
          if (dropped)
            at.insert(at.begin(), indexConstant(b, loc, gate));
          return loadVector(b, loc, type, dropped ? dropped : left, at);
        });
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t gate = 0; gate < columns.gates; ++gate)
        store(group, gate, sums[group * columns.gates + gate]);
    finishStoredRows(b, loc, block, first, count);
  }

  //===--------------------------------------------------------------------===//
  // Recurrent dropout
  //===--------------------------------------------------------------------===//

  /// m[gate, tile].
  Value loadDropoutMask(OpBuilder &b, Location loc, int64_t gate,
                        const Tile &tile, Value block) {
    return loadTile(b, loc, op.getRecurrentDropoutMask(), tile, [&](Value row) {
      return gateIndices(b, loc, gate, row, tile, block);
    });
  }

  /// dropped_state[gate] = state * m[gate], once per step: the product of each
  /// block of units reads all of it.
  void emitDroppedState() {
    forEach(b, loc, indexConstant(b, loc, batch),
            [&](OpBuilder &b, Location loc, Value row) {
              forVectors(
                  b, loc,
                  [&](OpBuilder &b, Location loc, Value block, int64_t v) {
                    Tile tile = oneVector(b, loc, row, v);
                    Value h = loadPadded(b, loc, op.getState(), tile, block);
                    for (int64_t gate = 0; gate < columns.gates; ++gate) {
                      Value m = loadDropoutMask(b, loc, gate, tile, block);
                      storeVector(b, loc, arith::MulFOp::create(b, loc, h, m),
                                  op.getDroppedState(),
                                  gateIndices(b, loc, gate, row, tile, block));
                    }
                  });
            });
  }

  /// Where a row of a tile lies in a [gates, B, NB W] buffer.
  SmallVector<Value> gateIndices(OpBuilder &b, Location loc, int64_t gate,
                                 Value row, const Tile &tile, Value block) {
    return {indexConstant(b, loc, gate), row,
            columnOfTile(b, loc, tile, block)};
  }

  //===--------------------------------------------------------------------===//
  // Finishing in registers
  //===--------------------------------------------------------------------===//

  /// Whether finishing is a good part of the time, and the code that it takes
  /// to compile well spent.
  bool hasFewProducts() const {
    constexpr int64_t kFewProducts = 128;
    return columns.inner < kFewProducts;
  }

  /// The sums of an only row stay where they are, if there are few of them or
  /// their way through memory to a loop would be a part of the time.
  bool finishesInRegisters(int64_t rows) const {
    return rows == 1 && (hasFewProducts() || !areTilesEqual());
  }

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

  /// The sums of one row are finished where they are.
  void finishRow(OpBuilder &b, Location loc, ArrayRef<Value> sums,
                 ArrayRef<Value> candidate, Value row, Value block) {
    int64_t v = 0;
    forTiles(b, loc, /*inLoop=*/false,
             [&](OpBuilder &b, Location loc, Value offset, int64_t count) {
               Tile tile{{row}, offset, count};
               SmallVector<Value> gates;
               for (int64_t gate = 0; gate < columns.gates; ++gate)
                 gates.push_back(joinRows(
                     b, loc, sums.slice(columns.position(0, gate, v), count)));
               Value x;
               if (!candidate.empty())
                 x = joinRows(b, loc, candidate.slice(v, count));
               else if (isApart(2))
                 x = loadCandidateProjection(b, loc, tile, block);
               finish(b, loc, gates, x, tile, block);
               v += count;
             });
  }

  /// Other sums go through memory: a loop over tiles is a fraction of the code,
  /// and with the sums out of the way there are registers for the constants of
  /// the activations.
  void storeSums(OpBuilder &b, Location loc, ArrayRef<Value> sums, int64_t rows,
                 const PackedColumns &part) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t gate = 0; gate < part.gates; ++gate)
        for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
          storeVector(b, loc, sums[part.position(row, gate, v)], sumsBuffer,
                      sumIndices(b, loc, part.firstGate + gate, row, v));
  }

  void finishStoredRows(OpBuilder &b, Location loc, Value block, Value first,
                        int64_t count) {
    int64_t rowsPerTile = 1;
    if (columns.vectorsPerGate() == 1)
      rowsPerTile =
          std::min<int64_t>(largestTile, llvm::bit_floor(uint64_t(count)));
    forRowBlocks(
        b, loc, indexConstant(b, loc, count), count, rowsPerTile,
        [&](OpBuilder &b, Location loc, Value local, int64_t tileRows) {
          forTiles(
              b, loc, /*inLoop=*/true,
              [&](OpBuilder &b, Location loc, Value offset, int64_t vectors) {
                Tile tile{{}, offset, vectors};
                for (int64_t row = 0; row < tileRows; ++row)
                  tile.rows.push_back(
                      plus(b, loc, plus(b, loc, first, local), row));
                finishStored(b, loc, tile, block,
                             plus(b, loc,
                                  columnOf(b, loc, local, columns.width, 0),
                                  offset));
              });
        });
  }

  /// A tile whose sums stand in each slot from `column` on.
  void finishStored(OpBuilder &b, Location loc, const Tile &tile, Value block,
                    Value column) {
    auto load = [&](int64_t slot) {
      return loadVector(b, loc, tileType(tile.size()), sumsBuffer,
                        {indexConstant(b, loc, slot), column});
    };
    SmallVector<Value> gates;
    for (int64_t gate = 0; gate < columns.gates; ++gate)
      gates.push_back(load(gate));
    Value x;
    if (isApart(2))
      x = op.getInput() ? load(kProjectionSlot)
                        : loadCandidateProjection(b, loc, tile, block);
    finish(b, loc, gates, x, tile, block);
  }

  /// Where a sum waits: slots are the gates, and one for the candidate's
  /// projection.
  static constexpr int64_t kProjectionSlot = 3;
  SmallVector<Value> sumIndices(OpBuilder &b, Location loc, int64_t slot,
                                int64_t row, int64_t v) {
    return {indexConstant(b, loc, slot),
            indexConstant(b, loc, row * columns.width + v * columns.lanes)};
  }

  /// `x` is the candidate's projection where that is apart.
  void finish(OpBuilder &b, Location loc, ArrayRef<Value> sums, Value x,
              const Tile &tile, Value block) {
    ActAttr gate = op.getRecurrentActivation();
    if (op.getPhase() == StepPhase::gates) {
      storeGates(b, loc, activate(b, loc, gate, sums[0]),
                 activate(b, loc, gate, sums[1]), tile, block);
      return;
    }
    Value z, candidate;
    if (op.getPhase() == StepPhase::all) {
      z = activate(b, loc, gate, sums[0]);
      Value r = activate(b, loc, gate, sums[1]);
      candidate = vector::FMAOp::create(b, loc, r, sums[2], x);
    } else {
      z = loadPadded(b, loc, op.getUpdate(), tile, block);
      candidate = sums[0];
    }
    candidate = activate(b, loc, op.getActivation(), candidate);
    blend(b, loc, z, candidate, tile, block);
  }

  Value loadCandidateProjection(OpBuilder &b, Location loc, const Tile &tile,
                                Value block) {
    return loadTile(b, loc, op.getProjection(), tile, [&](Value row) {
      return SmallVector<Value>{row, block, indexConstant(b, loc, 2),
                                tile.offset};
    });
  }

  /// z and r * h, or r * h * m_h, for the second phase.
  void storeGates(OpBuilder &b, Location loc, Value z, Value r,
                  const Tile &tile, Value block) {
    Value h = loadPadded(b, loc, op.getState(), tile, block);
    if (op.getRecurrentDropoutMask())
      h = arith::MulFOp::create(b, loc, h,
                                loadDropoutMask(b, loc, 2, tile, block));
    storePadded(b, loc, z, op.getUpdate(), tile, block);
    storePadded(b, loc, arith::MulFOp::create(b, loc, r, h), op.getResetState(),
                tile, block);
  }

  /// h' = (1 - z) hh + z h, masked, stored. All but the last addition is there
  /// before the candidate is.
  void blend(OpBuilder &b, Location loc, Value z, Value candidate,
             const Tile &tile, Value block) {
    Value h = loadPadded(b, loc, op.getState(), tile, block);
    Value kept = arith::MulFOp::create(b, loc, z, h);
    Value one = floatConstant(b, loc, z.getType(), 1);
    Value taken = arith::SubFOp::create(b, loc, one, z);
    Value next = vector::FMAOp::create(b, loc, taken, candidate, kept);
    if (op.getMask())
      next = selectRows(b, loc, op.getMask(), tile, next, h);
    storeState(b, loc, next, tile, block);
  }

  /// The new state, and what it puts out.
  void storeState(OpBuilder &b, Location loc, Value next, const Tile &tile,
                  Value block) {
    storePadded(b, loc, next, op.getNewState(), tile, block);
    if (!op.getOutput())
      return;
    if (op.getEmit())
      next = selectRows(b, loc, op.getEmit(), tile, next,
                        floatConstant(b, loc, next.getType(), 0));
    for (int64_t i = 0; i < tile.size(); ++i)
      storeColumns(b, loc, part(b, loc, next, i), op.getOutput(),
                   tile.rows[tile.isOneRow() ? 0 : i],
                   plus(b, loc, columnOfTile(b, loc, tile, block),
                        tile.isOneRow() ? i * columns.lanes : 0),
                   numBlocks * columns.width, op.getUnits());
  }

  //===--------------------------------------------------------------------===//
  // Finishing in a second pass, for activations over whole rows
  //===--------------------------------------------------------------------===//

  void storePreactivations(OpBuilder &b, Location loc, ArrayRef<Value> sums,
                           ArrayRef<Value> rows, Value block,
                           const PackedColumns &part) {
    for (auto [r, row] : llvm::enumerate(rows))
      for (int64_t gate = 0; gate < part.gates; ++gate)
        for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
          storeSum(b, loc, sums[part.position(r, gate, v)], row,
                   part.firstGate + gate, block, v);
  }

  void storeSum(OpBuilder &b, Location loc, Value sum, Value row, int64_t gate,
                Value block, int64_t v) {
    storeVector(
        b, loc, sum, op.getPreactivations(),
        ValueRange{row, indexConstant(b, loc, gate),
                   columnOf(b, loc, block, columns.width, v * columns.lanes)});
  }

  /// Calls body for every vector of a row.
  void forVectors(
      OpBuilder &b, Location loc,
      function_ref<void(OpBuilder &, Location, Value block, int64_t v)> body) {
    forEach(b, loc, indexConstant(b, loc, numBlocks),
            [&](OpBuilder &b, Location loc, Value block) {
              for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
                body(b, loc, block, v);
            });
  }

  Value loadSum(OpBuilder &b, Location loc, Value row, int64_t gate,
                Value block, int64_t v) {
    return loadVector(
        b, loc, columns.vector, op.getPreactivations(),
        ValueRange{row, indexConstant(b, loc, gate),
                   columnOf(b, loc, block, columns.width, v * columns.lanes)});
  }

  /// preactivations[row, gate] = activation(preactivations[row, gate]).
  void activateRow(OpBuilder &b, Location loc, ActAttr activation, Value row,
                   int64_t gate) {
    bool rowwise = activation.isRowwise();
    if (!rowwise || op.getClip())
      forVectors(
          b, loc, [&](OpBuilder &b, Location loc, Value block, int64_t v) {
            Value x = clipped(b, loc, loadSum(b, loc, row, gate, block, v));
            if (!rowwise)
              x = ActivationOp::create(b, loc, x.getType(), x, activation);
            storeSum(b, loc, x, row, gate, block, v);
          });
    if (rowwise)
      emitRowwiseActivation(b, loc, activation,
                            rowOf(b, loc, op.getPreactivations(),
                                  ValueRange{row, indexConstant(b, loc, gate)}),
                            indexConstant(b, loc, op.getUnits()));
  }

  void emitRows() {
    forEach(
        b, loc, indexConstant(b, loc, batch),
        [&](OpBuilder &b, Location loc, Value row) { emitRow(b, loc, row); });
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
                              loadSum(b, loc, row, 1, block, v),
                              oneVector(b, loc, row, v), block);
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
                   Value sum = vector::FMAOp::create(b, loc, r, recurrent, x);
                   storeSum(b, loc, sum, row, 2, block, v);
                 });
    activateRow(b, loc, op.getActivation(), row, candidateGate);
    forVectors(b, loc, [&](OpBuilder &b, Location loc, Value block, int64_t v) {
      Tile tile = oneVector(b, loc, row, v);
      Value z = all ? loadSum(b, loc, row, 0, block, v)
                    : loadPadded(b, loc, op.getUpdate(), tile, block);
      blend(b, loc, z, loadSum(b, loc, row, candidateGate, block, v), tile,
            block);
    });
  }

  void allocateSums(int64_t rows) {
    auto func = op->getParentOfType<func::FuncOp>();
    OpBuilder top = OpBuilder::atBlockBegin(&func.getBody().front());
    auto type = MemRefType::get(
        {op.getInput() && isApart(2) ? kProjectionSlot + 1 : columns.gates,
         rows * columns.width},
        columns.vector.getElementType());
    // Threads that share the step need one each, so it lies on their stacks.
    if (parts > 1)
      sumsBuffer = memref::AllocaOp::create(
          top, loc, type, b.getI64IntegerAttr(target.vectorBytes));
    else
      sumsBuffer = memref::AllocOp::create(top, loc, type);
  }

  StepOp op;
  OpBuilder b;
  Location loc;
  TargetDescription target;
  PackedColumns inputColumns;
  int64_t batch = 0, parts = 1, rowsPerGroup = 1;
  Value sumsBuffer;
};

struct ConvertStepToVectorPass
    : gru::impl::ConvertStepToVectorPassBase<ConvertStepToVectorPass> {
  using ConvertStepToVectorPassBase::ConvertStepToVectorPassBase;

  void runOnOperation() override {
    SmallVector<StepOp> ops;
    getOperation().walk([&](StepOp op) { ops.push_back(op); });
    for (StepOp op : ops)
      StepLowering(op, {vectorBytes, registers, threads}).run();
  }
};
} // namespace
