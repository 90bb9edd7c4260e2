//===- PackedDenseToVector.cpp - packed products as vector code -----------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/RegisterBlock.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/Dialect/Math/IR/Math.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTPACKEDDENSETOVECTORPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
class DenseLowering {
public:
  DenseLowering(PackedDenseOp op, const TargetDescription &target)
      : op(op), b(op), loc(op.getLoc()), target(target),
        columns(op.getKernel(), target.vectorBytes) {}

  void run() {
    auto input = cast<MemRefType>(op.getInput().getType());
    numBlocks = op.getKernelType().getDimSize(0);
    bool isOneRow = llvm::all_of(input.getShape().drop_back(),
                                 [](int64_t size) { return size == 1; });
    columns.inChains = isOneRow && !isWorthSharing(countProducts());
    int64_t leading = input.getRank() - 1;
    rows = op.getRows().value_or(4);
    blockedDim = chooseBlockedDim(input, leading);
    forColumnBlocks(
        b, loc, numBlocks,
        choosePartsOf(op, target, numBlocks, countProducts()), countProducts(),
        /*turn=*/Value(), [&](OpBuilder &b, Location loc, Value block) {
          SmallVector<Value> sizes;
          for (int64_t dim = 0; dim < leading; ++dim)
            if (dim != blockedDim)
              sizes.push_back(sizeOf(b, loc, op.getInput(), dim));
          forEachIndex(b, loc, sizes,
                       [&](OpBuilder &b, Location loc, ValueRange outer) {
                         emitRows(b, loc, block, outer);
                       });
        });
    op.erase();
  }

private:
  /// Multiplications, of a sequence of some length where that is dynamic.
  int64_t countProducts() {
    int64_t products = numBlocks * columns.width * columns.gates;
    for (int64_t size : cast<MemRefType>(op.getInput().getType()).getShape())
      products *= ShapedType::isDynamic(size) ? kUsualTimesteps : size;
    return products;
  }

  /// The dimension whose rows are computed together: the first static one with
  /// rows enough, else a dynamic one, else the largest.
  int64_t chooseBlockedDim(MemRefType input, int64_t leading) {
    for (int64_t dim = 0; dim < leading; ++dim)
      if (!input.isDynamicDim(dim) && input.getDimSize(dim) >= rows)
        return dim;
    for (int64_t dim = 0; dim < leading; ++dim)
      if (input.isDynamicDim(dim))
        return dim;
    int64_t best = 0;
    for (int64_t dim = 1; dim < leading; ++dim)
      if (input.getDimSize(dim) > input.getDimSize(best))
        best = dim;
    return best;
  }

  void emitRows(OpBuilder &b, Location loc, Value block, ValueRange outer) {
    auto input = cast<MemRefType>(op.getInput().getType());
    if (input.getRank() == 1)
      return emitBlock(b, loc, block, outer, Value(), 1);
    int64_t size = input.getDimSize(blockedDim);
    Value sizeValue = sizeOf(b, loc, op.getInput(), blockedDim);
    forRowBlocks(b, loc, sizeValue, ShapedType::isDynamic(size) ? -1 : size,
                 rows,
                 [&](OpBuilder &b, Location loc, Value first, int64_t count) {
                   emitBlock(b, loc, block, outer, first, count);
                 });
  }

  /// Leading indices of row `row` of the block in the input.
  SmallVector<Value> inputIndices(OpBuilder &b, Location loc, ValueRange outer,
                                  Value first, int64_t row) {
    SmallVector<Value> indices(outer);
    if (first)
      indices.insert(indices.begin() + blockedDim, plus(b, loc, first, row));
    return indices;
  }

  void emitBlock(OpBuilder &b, Location loc, Value block, ValueRange outer,
                 Value first, int64_t count) {
    SmallVector<SmallVector<Value>> indices;
    for (int64_t row = 0; row < count; ++row)
      indices.push_back(inputIndices(b, loc, outer, first, row));

    int64_t atOnce = holdsAllGates(columns, count, target) ? columns.gates : 1;
    for (int64_t gate = 0; gate < columns.gates; gate += atOnce)
      emitGates(b, loc, block, indices, columns.ofGates(gate, atOnce));
  }

  void emitGates(OpBuilder &b, Location loc, Value block,
                 ArrayRef<SmallVector<Value>> indices,
                 const PackedColumns &part) {
    SmallVector<Value> sums;
    for (size_t row = 0; row < indices.size(); ++row)
      for (int64_t gate : part.gateNumbers())
        for (int64_t v = 0; v < columns.vectorsPerGate(); ++v)
          sums.push_back(
              op.getBias()
                  ? loadVector(b, loc, columns.vector, op.getBias(),
                               ValueRange{block, indexConstant(b, loc, gate)},
                               v * columns.lanes)
                  : floatConstant(b, loc, columns.vector, 0));
    sums =
        columns.isBytes()
            ? emitByteProduct(b, loc, part, op.getKernelScale(), block,
                              {op.getInput(), op.getRowScale(), indices}, sums)
            : addProduct(b, loc, block, indices, sums, part);

    bool linear = op.getActivation().getKind() == ActivationKind::linear;
    for (size_t row = 0; row < indices.size(); ++row)
      for (int64_t gate = 0; gate < part.gates; ++gate)
        for (int64_t v = 0; v < columns.vectorsPerGate(); ++v) {
          Value y = sums[part.position(row, gate, v)];
          if (!linear)
            y = ActivationOp::create(b, loc, columns.vector, y,
                                     op.getActivation());
          store(b, loc, y, indices[row], block, part.firstGate + gate, v);
        }
  }

  SmallVector<Value> addProduct(OpBuilder &b, Location loc, Value block,
                                ArrayRef<SmallVector<Value>> rows,
                                ArrayRef<Value> sums,
                                const PackedColumns &part) {
    return emitProduct(
        b, loc, part, block, rows.size(), sums, /*leftPerGate=*/false,
        [&](OpBuilder &b, Location loc, int64_t row, int64_t,
            Value k) -> Value {
          SmallVector<Value> at(rows[row]);
          at.push_back(k);
          return broadcastElement(b, loc, columns.vector, op.getInput(), at);
        });
  }

  void store(OpBuilder &b, Location loc, Value y, ArrayRef<Value> row,
             Value block, int64_t gate, int64_t v) {
    if (op.isProjection()) {
      // [T, B, NB, G, W] from [B, T, K] or [T, B, K].
      SmallVector<Value> at(row);
      if (!op.getTimeMajor())
        std::swap(at[0], at[1]);
      int64_t ratio = op.getInitType().getDimSize(4) / columns.width;
      Value column = indexConstant(b, loc, v * columns.lanes);
      if (ratio > 1) {
        // The destination's blocks are several of the weight's.
        Value wide = indexConstant(b, loc, ratio);
        Value part = arith::RemUIOp::create(b, loc, block, wide);
        block = arith::DivUIOp::create(b, loc, block, wide);
        column = columnOf(b, loc, part, columns.width, v * columns.lanes);
      }
      at.append({block, indexConstant(b, loc, gate), column});
      storeVector(b, loc, y, op.getInit(), at);
      return;
    }
    storeColumns(b, loc, y, op.getInit(), row,
                 columnOf(b, loc, block, columns.width, v * columns.lanes),
                 numBlocks * columns.width, op.getInitType().getShape().back());
  }

  PackedDenseOp op;
  OpBuilder b;
  Location loc;
  TargetDescription target;
  PackedColumns columns;
  int64_t numBlocks = 0, rows = 1, blockedDim = 0;
};

struct ConvertPackedDenseToVectorPass
    : gru::impl::ConvertPackedDenseToVectorPassBase<
          ConvertPackedDenseToVectorPass> {
  using ConvertPackedDenseToVectorPassBase::ConvertPackedDenseToVectorPassBase;

  void runOnOperation() override {
    SmallVector<PackedDenseOp> ops;
    getOperation().walk([&](PackedDenseOp op) { ops.push_back(op); });
    for (PackedDenseOp op : ops) {
      if (!isa<MemRefType>(op.getInit().getType())) {
        op.emitError() << "is on tensors, expected memrefs";
        return signalPassFailure();
      }
      TargetDescription target;
      target.vectorBytes = vectorBytes;
      target.registers = registers;
      target.threads = threads;
      DenseLowering(op, target).run();
    }
  }
};
} // namespace
