//===- ShareRows.cpp - steps and products in parts of rows ----------------===//
//
// Rows do not depend on each other, so what a part computes does not depend on
// how many parts there are.
//
//===----------------------------------------------------------------------===//

#include "lowering/common/Buffers.h"
#include "lowering/common/TargetDescription.h"
#include "lowering/halide/Kernels.h"
#include "lowering/halide/Passes.h"

#include "mlir/IR/IRMapping.h"

namespace gru {
#define GEN_PASS_DEF_SHAREROWSPASS
#include "lowering/halide/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// An operand that has rows, and its dimension of them.
using RowOperand = std::pair<Value, int64_t>;

/// An operation that may be cut, and where.
struct Cut {
  Operation *op;
  SmallVector<RowOperand> operands;
  int64_t rows; ///< Negative where that is dynamic.
  /// Multiplications, of a usual length where that is dynamic.
  int64_t products;

  Cut(StepOp op) : op(op) {
    for (Value value :
         {op.getProjection(), op.getInput(), op.getState(),
          op.getPreactivations(), op.getUpdate(), op.getResetState(),
          op.getNewState(), op.getOutput(), op.getMask(), op.getEmit()})
      add(value, 0);
    for (Value value : {op.getRecurrentDropoutMask(), op.getDroppedState()})
      add(value, 1);
    rows = cast<MemRefType>(op.getState().getType()).getDimSize(0);
    products =
        rows * cast<MemRefType>(op.getKernel().getType()).getNumElements();
    if (op.getInput())
      products +=
          rows *
          cast<MemRefType>(op.getInputKernel().getType()).getNumElements();
  }

  Cut(PackedDenseOp op) : op(op) {
    ArrayRef<int64_t> leading = op.getInputType().getShape().drop_back();
    products = op.getKernelType().getNumElements();
    for (int64_t size : leading)
      products *= ShapedType::isDynamic(size) ? kUsualTimesteps : size;
    rows = 1;
    if (leading.empty())
      return;
    int64_t dim = getHalideRowDim(leading);
    rows = leading[dim];
    add(op.getInput(), dim);
    // [B, T] becomes [T, B].
    add(op.getInit(), op.isProjection() && !op.getTimeMajor() ? 1 - dim : dim);
  }

  void add(Value value, int64_t dim) {
    if (value)
      operands.emplace_back(value, dim);
  }

  /// The operation on `size` rows from `first` on.
  void clone(OpBuilder &b, Value first, OpFoldResult size) const {
    IRMapping map;
    for (auto [value, dim] : operands) {
      if (map.contains(value))
        continue;
      int64_t rank = cast<MemRefType>(value.getType()).getRank();
      SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)),
          strides(rank, b.getIndexAttr(1)),
          sizes = memref::getMixedSizes(b, op->getLoc(), value);
      offsets[dim] = first;
      sizes[dim] = size;
      map.map(value, memref::SubViewOp::create(b, op->getLoc(), value, offsets,
                                               sizes, strides)
                         .getResult());
    }
    b.clone(*op, map);
  }

  void share(int64_t parts) const {
    OpBuilder b(op);
    Location loc = op->getLoc();
    Value zero = indexConstant(b, loc, 0), one = indexConstant(b, loc, 1);
    Value numParts = indexConstant(b, loc, parts);
    Value dynamicRows;
    if (rows < 0)
      dynamicRows = sizeOf(b, loc, operands[0].first, operands[0].second);
    auto parallel = scf::ParallelOp::create(
        b, loc, zero, numParts, one,
        [&](OpBuilder &b, Location loc, ValueRange index) {
          Value part = index[0];
          if (rows < 0) {
            auto begin = [&](Value part) -> Value {
              return arith::DivUIOp::create(
                  b, loc, arith::MulIOp::create(b, loc, part, dynamicRows),
                  numParts);
            };
            Value first = begin(part),
                  end = begin(arith::AddIOp::create(b, loc, part, one));
            return clone(b, first,
                         arith::SubIOp::create(b, loc, end, first).getResult());
          }
          // Sizes stay constants: one function for the parts with a row more,
          // one for the others.
          int64_t size = rows / parts, larger = rows % parts;
          auto emit = [&](OpBuilder &b, int64_t size, int64_t behind) {
            Value first = arith::MulIOp::create(b, loc, part,
                                                indexConstant(b, loc, size));
            first = arith::AddIOp::create(b, loc, first,
                                          indexConstant(b, loc, behind));
            clone(b, first, b.getIndexAttr(size));
          };
          if (!larger)
            return emit(b, size, 0);
          Value isLarger =
              arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, part,
                                    indexConstant(b, loc, larger));
          scf::IfOp::create(
              b, loc, isLarger,
              [&](OpBuilder &b, Location loc) {
                emit(b, size + 1, 0);
                scf::YieldOp::create(b, loc);
              },
              [&](OpBuilder &b, Location loc) {
                emit(b, size, larger);
                scf::YieldOp::create(b, loc);
              });
        });
    parallel->setAttr(kProductsAttr, b.getI64IntegerAttr(products));
    op->erase();
  }
};

struct ShareRowsPass : gru::impl::ShareRowsPassBase<ShareRowsPass> {
  using ShareRowsPassBase::ShareRowsPassBase;

  void runOnOperation() override {
    SmallVector<Cut> cuts;
    getOperation().walk([&](Operation *op) {
      if (!isa<StepOp, PackedDenseOp>(op) || !checkHalide(op).empty() ||
          op->getParentOfType<scf::ParallelOp>())
        return;
      if (auto step = dyn_cast<StepOp>(op))
        cuts.emplace_back(step);
      else
        cuts.emplace_back(cast<PackedDenseOp>(op));
    });
    TargetDescription target;
    target.threads = threads;
    for (const Cut &cut : cuts) {
      int64_t most = cut.rows < 0 ? threads : cut.rows / kHalideRowsPerThread;
      if (int64_t parts = chooseParts(target, most, cut.products); parts > 1) {
        cut.share(parts);
        ++numShared;
      }
    }
  }
};
} // namespace
