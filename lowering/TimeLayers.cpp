//===- TimeLayers.cpp - how long each layer takes, as outputs -------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/backends/Backends.h"
#include "lowering/common/Buffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

namespace gru {
#define GEN_PASS_DEF_TIMELAYERSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// What operations do, as i64 values: sizes may be known to a run only.
struct Work {
  Value flops, bytes;
  Value distinctBytes; ///< What is read in each step counts once.
};

/// Counts where the operation stands.
class WorkCounter {
public:
  WorkCounter(OpBuilder &b, Location loc) : b(b), loc(loc) {}

  Work count(Operation *op) {
    if (auto recur = dyn_cast<RecurOp>(op))
      return countRecurrence(recur);
    if (auto dense = dyn_cast<PackedDenseOp>(op))
      return countDense(dense);
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
      return countLoops(linalgOp);
    if (auto copy = dyn_cast<memref::CopyOp>(op)) {
      Value bytes = add(bytesOf(copy.getSource()), bytesOf(copy.getTarget()));
      return {number(0), bytes, bytes};
    }
    return {number(0), number(0), number(0)};
  }

  /// The sum, of which one may be nothing yet.
  Work add(const Work &x, const Work &y) {
    if (!x.flops)
      return y;
    return {add(x.flops, y.flops), add(x.bytes, y.bytes),
            add(x.distinctBytes, y.distinctBytes)};
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }

private:
  Value number(int64_t value) {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
  }
  Value multiply(Value x, Value y) {
    return arith::MulIOp::create(b, loc, x, y);
  }
  Value size(Value buffer, int64_t dim) {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(),
                                      sizeOf(b, loc, buffer, dim));
  }
  static int64_t elementBytes(Value buffer) {
    return llvm::divideCeil(
        cast<MemRefType>(buffer.getType()).getElementTypeBitWidth(), 8);
  }
  /// Elements of dimensions [from, to).
  Value elements(Value buffer, int64_t from, int64_t to) {
    Value product = number(1);
    for (int64_t dim = from; dim < to; ++dim)
      product = multiply(product, size(buffer, dim));
    return product;
  }
  Value bytesOf(Value buffer) {
    int64_t rank = cast<MemRefType>(buffer.getType()).getRank();
    return multiply(elements(buffer, 0, rank), number(elementBytes(buffer)));
  }

  /// Each step reads all weights.
  Work countRecurrence(RecurOp op) {
    auto [source, timeDim] = op.getTimeDim();
    Value time = size(source, timeDim);
    int64_t units = op.getUnits(), inner = units;
    if (op.getInput()) {
      auto type = cast<MemRefType>(op.getInput().getType());
      inner += type.getDimSize(type.getRank() - 1);
    }
    Value weights = number(0);
    for (Value kernel : op.getKernels())
      weights = add(weights, bytesOf(kernel));
    if (op.getInputKernel())
      weights = add(weights, bytesOf(op.getInputKernel()));
    Value sequences = bytesOf(source);
    if (op.getSequence())
      sequences = add(sequences, bytesOf(op.getSequence()));
    return {multiply(time, number(2 * 3 * units * inner * op.getBatch())),
            add(multiply(time, weights), sequences), add(weights, sequences)};
  }

  Work countDense(PackedDenseOp op) {
    Value input = op.getInput();
    auto type = cast<MemRefType>(input.getType());
    auto kernel = cast<MemRefType>(op.getKernel().getType());
    Value rows = elements(input, 0, type.getRank() - 1);
    int64_t products = 1;
    for (int64_t dim = 0; dim < kernel.getRank(); ++dim)
      products *= kernel.getDimSize(dim);
    Value bytes = add(bytesOf(op.getKernel()),
                      add(bytesOf(input), bytesOf(op.getInit())));
    return {multiply(rows, number(2 * products)), bytes, bytes};
  }

  /// One operation for each in the body and each iteration.
  Work countLoops(linalg::LinalgOp op) {
    Value flops = number(1), bytes = number(0);
    llvm::SmallBitVector known(op.getNumLoops());
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<MemRefType>(operand.get().getType()))
        continue;
      bytes = add(bytes, bytesOf(operand.get()));
      AffineMap map = op.getMatchingIndexingMap(&operand);
      for (auto [dim, result] : llvm::enumerate(map.getResults())) {
        auto loop = dyn_cast<AffineDimExpr>(result);
        if (!loop || known.test(loop.getPosition()))
          continue;
        known.set(loop.getPosition());
        flops = multiply(flops, size(operand.get(), dim));
      }
    }
    int64_t operations = 0;
    for (Operation &inner : *op.getBlock())
      if (!inner.hasTrait<OpTrait::IsTerminator>() &&
          llvm::any_of(inner.getResultTypes(),
                       [](Type type) { return isa<FloatType>(type); }))
        ++operations;
    return {multiply(flops, number(operations)), bytes, bytes};
  }

  OpBuilder &b;
  Location loc;
};

struct TimeLayersPass : gru::impl::TimeLayersPassBase<TimeLayersPass> {
  using TimeLayersPassBase::TimeLayersPassBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration())
      return;
    if (func.getNumResults() != 0) {
      func.emitError() << "has results, expected buffers (see "
                          "gru-bind-buffers)";
      return signalPassFailure();
    }
    // Operations behind each other that belong to one layer are timed as one; a
    // layer that goes on behind another is one row all the same.
    struct Row {
      Value ticks;
      Work work;
    };
    llvm::MapVector<StringAttr, Row> rows;
    std::string name;
    SmallVector<Operation *> operations;
    Value begin;
    OpBuilder b(&getContext());
    auto time = [&] {
      if (operations.empty())
        return;
      Location loc = operations.back()->getLoc();
      b.setInsertionPoint(operations.front());
      if (!begin)
        begin = readClock(b, func.getLoc());
      Value before = readClock(b, loc);
      b.setInsertionPointAfter(operations.back());
      Value after = readClock(b, loc);
      Value ticks = arith::SubIOp::create(b, loc, after, before);
      WorkCounter counter(b, loc);
      Row &row = rows[StringAttr::get(&getContext(), name)];
      row.ticks = row.ticks ? counter.add(row.ticks, ticks) : ticks;
      for (Operation *op : operations)
        row.work = counter.add(row.work, counter.count(op));
      operations.clear();
    };
    for (Operation &op : llvm::make_early_inc_range(func.getBody().front())) {
      if (!isWork(op))
        continue;
      std::string next = getLayerName(&op);
      if (next.empty())
        next = op.getName().getStringRef();
      if (next != name || op.hasTrait<OpTrait::IsTerminator>())
        time();
      name = next;
      operations.push_back(&op);
    }
    if (rows.empty())
      return;
    Location loc = func.getLoc();
    b.setInsertionPoint(func.getBody().front().getTerminator());
    Value end = readClock(b, loc);
    Work sum;
    for (auto &[layer, row] : rows) {
      write(b, loc, layer.getValue(), row.ticks, row.work);
      sum = WorkCounter(b, loc).add(sum, row.work);
    }
    write(b, loc, "", arith::SubIOp::create(b, loc, end, begin), sum);
  }

private:
  static bool isWork(Operation &op) {
    return (!isMemoryEffectFree(&op) || op.hasTrait<OpTrait::IsTerminator>()) &&
           !isa<ViewLikeOpInterface, memref::AllocOp, memref::AllocaOp>(op);
  }

  Value readClock(OpBuilder &b, Location loc) {
    return LLVM::CallIntrinsicOp::create(b, loc, b.getI64Type(),
                                         b.getStringAttr(clock), ValueRange())
        .getResult(0);
  }

  /// An output of its own.
  void write(OpBuilder &b, Location loc, StringRef name, Value ticks,
             const Work &work) {
    func::FuncOp func = getOperation();
    auto type = MemRefType::get({4}, b.getI64Type());
    unsigned index = func.getNumArguments();
    auto attributes = b.getDictionaryAttr(
        {b.getNamedAttr(kNameAttr,
                        b.getStringAttr(Twine(kProfilePrefix) + name)),
         b.getNamedAttr(kOutputAttr, b.getUnitAttr()),
         b.getNamedAttr(kDimsAttr, b.getDenseI64ArrayAttr({4}))});
    (void)func.insertArgument(index, type, attributes, loc);
    for (auto [i, value] : llvm::enumerate(SmallVector<Value>{
             ticks, work.flops, work.bytes, work.distinctBytes}))
      memref::StoreOp::create(b, loc, value, func.getArgument(index),
                              indexConstant(b, loc, i));
  }
};
} // namespace
