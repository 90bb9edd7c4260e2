//===- ConvertLayersToSequence.cpp - layers to pack, project, recur -------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTLAYERSTOSEQUENCEPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// The chosen or given block shape for one product.
struct BlockingChoice {
  TargetDescription target;
  int64_t width, rows;

  Blocking operator()(Type element, int64_t gates, int64_t units,
                      int64_t batch) const {
    int64_t bytes = std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8);
    return orGiven(chooseBlocking(target, bytes, gates, units, batch));
  }

  /// For a recurrent kernel whose zeros are left out.
  Blocking sparse(Type element, int64_t batch) const {
    return orGiven(chooseSparseBlocking(
        target, element.getIntOrFloatBitWidth() / 8, batch));
  }

private:
  Blocking orGiven(Blocking chosen) const {
    if (width)
      chosen.width = width;
    if (rows)
      chosen.rows = rows;
    return chosen;
  }
};

Value emptyTensor(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> sizes,
                  Type element) {
  return tensor::EmptyOp::create(b, loc, sizes, element);
}

Value zeros(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> sizes,
            Type element) {
  Value zero =
      arith::ConstantOp::create(b, loc, b.getZeroAttr(element)).getResult();
  return linalg::FillOp::create(b, loc, zero,
                                emptyTensor(b, loc, sizes, element))
      .getResult(0);
}

Value pack(OpBuilder &b, Location loc, Value source, PackPart part,
           int64_t gates, int64_t width) {
  return PackOp::create(b, loc, source, PackPartAttr::get(b.getContext(), part),
                        b.getI64IntegerAttr(gates), b.getI64IntegerAttr(width));
}

ActAttr linearAct(OpBuilder &b) {
  return ActAttr::get(b.getContext(), ActivationKind::linear);
}

/// value[:, ..., gate, :] with the gate's dimension kept, for a packed tensor
/// whose last two dimensions are gates and width.
Value sliceGate(OpBuilder &b, Location loc, Value value, int64_t gate) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, value);
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0)),
      strides(sizes.size(), b.getIndexAttr(1));
  offsets[sizes.size() - 2] = b.getIndexAttr(gate);
  sizes[sizes.size() - 2] = b.getIndexAttr(1);
  return tensor::ExtractSliceOp::create(b, loc, value, offsets, sizes, strides);
}

/// x times row `gate` of a [G, B, F] mask, the same at every timestep.
Value multiplyByMask(OpBuilder &b, Location loc, GRUOp op, int64_t gate) {
  Value x = op.getInput(), mask = op.getDropoutMask();
  auto type = cast<RankedTensorType>(x.getType());
  Value init = emptyTensor(b, loc, tensor::getMixedSizes(b, loc, x),
                           type.getElementType());
  MLIRContext *context = b.getContext();
  AffineExpr batch = b.getAffineDimExpr(op.getBatchDim());
  AffineMap maskMap = AffineMap::get(
      3, 0, {b.getAffineConstantExpr(gate), batch, b.getAffineDimExpr(2)},
      context);
  AffineMap identity = b.getMultiDimIdentityMap(3);
  return linalg::GenericOp::create(
             b, loc, init.getType(), ValueRange{x, mask}, ValueRange{init},
             ArrayRef<AffineMap>{identity, maskMap, identity},
             SmallVector<utils::IteratorType>(3, utils::IteratorType::parallel),
             [](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(
                   b, loc,
                   arith::MulFOp::create(b, loc, args[0], args[1]).getResult());
             })
      .getResult(0);
}

struct GRUToSequence : OpRewritePattern<GRUOp> {
  GRUToSequence(MLIRContext *context, const BlockingChoice &choose)
      : OpRewritePattern(context), choose(choose) {}

  LogicalResult matchAndRewrite(GRUOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto inputType = cast<RankedTensorType>(op.getInput().getType());
    Type element = inputType.getElementType();
    int64_t units = op.getUnits();
    int64_t batchSize = inputType.getDimSize(op.getBatchDim());
    bool sparse = isSparse(op);
    Blocking blocking = sparse ? choose.sparse(element, batchSize)
                               : choose(element, 3, units, batchSize);
    int64_t width = blocking.width;
    int64_t blocks = llvm::divideCeil(units, width);
    auto index = [&](int64_t n) -> OpFoldResult {
      return rewriter.getIndexAttr(n);
    };
    OpFoldResult batch =
        tensor::getMixedSize(rewriter, loc, op.getInput(), op.getBatchDim());
    OpFoldResult time =
        tensor::getMixedSize(rewriter, loc, op.getInput(), op.getTimeDim());

    // The input projection, all timesteps at once: many rows even for a batch
    // of one, so unless a block of the weight stays in the nearest cache anyway
    // it wants narrower ones than the recurrence.
    constexpr int64_t kNearBytes = 32 << 10;
    int64_t inputWidth = width;
    // Where it is dynamic the number is negative.
    int64_t features = std::max<int64_t>(inputType.getDimSize(2), 0);
    int64_t blockBytes =
        features * 3 * width * element.getIntOrFloatBitWidth() / 8;
    if (inputType.getDimSize(op.getTimeDim()) != 1 && blockBytes > kNearBytes)
      inputWidth = choose(element, 3, units, /*batch=*/-1).width;
    if (width % inputWidth != 0)
      inputWidth = width;
    Value kernel =
        pack(rewriter, loc, op.getKernel(), PackPart::all, 3, inputWidth);
    Value bias;
    if (op.getBias())
      bias = pack(rewriter, loc, op.getBias(),
                  op.getResetAfter() ? PackPart::input_bias : PackPart::all, 3,
                  inputWidth);
    Value init = emptyTensor(
        rewriter, loc, {time, batch, index(blocks), index(3), index(width)},
        element);
    auto project = [&](Value x, Value kernel, Value bias, Value init) -> Value {
      return PackedDenseOp::create(
                 rewriter, loc, TypeRange{init.getType()}, x, kernel, bias,
                 /*row_scale=*/Value(), /*kernel_scale=*/Value(), init,
                 linearAct(rewriter), op.getTimeMajorAttr(),
                 rewriter.getI64IntegerAttr(
                     projectionRows(element, features, inputWidth)))
          .getResult();
    };
    Value projection = init;
    if (!op.getDropoutMask()) {
      projection = project(op.getInput(), kernel, bias, init);
    } else if (op.getImplementation() == 2) {
      projection =
          project(multiplyByMask(rewriter, loc, op, 0), kernel, bias, init);
    } else {
      // A mask per gate means an input per gate, so there are three.
      for (int64_t gate = 0; gate < 3; ++gate) {
        Value part =
            project(multiplyByMask(rewriter, loc, op, gate),
                    sliceGate(rewriter, loc, kernel, gate),
                    bias ? sliceGate(rewriter, loc, bias, gate) : Value(),
                    sliceGate(rewriter, loc, projection, gate));
        SmallVector<OpFoldResult> sizes =
            tensor::getMixedSizes(rewriter, loc, part);
        SmallVector<OpFoldResult> offsets(5, index(0)), strides(5, index(1));
        offsets[3] = index(gate);
        projection = tensor::InsertSliceOp::create(
            rewriter, loc, part, projection, offsets, sizes, strides);
      }
    }

    // The recurrence.
    SmallVector<Value> kernels;
    Value recurrent = op.getRecurrentKernel();
    Value recurrentBias;
    if (op.getResetAfter()) {
      kernels = {pack(rewriter, loc, recurrent, PackPart::all, 3, width)};
      if (op.getBias())
        recurrentBias = pack(rewriter, loc, op.getBias(),
                             PackPart::recurrent_bias, 3, width);
    } else {
      kernels = {pack(rewriter, loc, recurrent, PackPart::gates, 3, width),
                 pack(rewriter, loc, recurrent, PackPart::candidate, 3, width)};
    }
    SmallVector<Value> kernelRows;
    if (sparse)
      for (Value kernel : kernels)
        kernelRows.push_back(NonzeroRowsOp::create(rewriter, loc, kernel));
    Value state = op.getInitialState();
    bool zeroState = !state;
    if (zeroState)
      state = zeros(rewriter, loc, {batch, index(units)}, element);

    // A reversal of the returned sequence is the same loop written elsewhere.
    TimeOrder order = op.getGoBackwards() ? TimeOrder::backward_processed
                                          : TimeOrder::forward;
    ReverseOp reverse;
    if (op.getGoBackwards() && op.getSequence().hasOneUse()) {
      reverse = dyn_cast<ReverseOp>(*op.getSequence().user_begin());
      if (reverse && int64_t(reverse.getDim()) == op.getTimeDim())
        order = TimeOrder::backward;
      else
        reverse = nullptr;
    }
    bool masked = op.getMask() != nullptr;
    SmallVector<Value> inits{state};
    Value sequence, last;
    if (!op.getSequence().use_empty()) {
      SmallVector<OpFoldResult> sizes{batch, time, index(units)};
      if (op.getTimeMajor())
        std::swap(sizes[0], sizes[1]);
      inits.push_back(sequence = emptyTensor(rewriter, loc, sizes, element));
    }
    // Only masks make the last output differ from the last state.
    if (masked && !op.getLast().use_empty())
      inits.push_back(
          last = emptyTensor(rewriter, loc, {batch, index(units)}, element));
    SmallVector<Type> types;
    for (Value value : inits)
      types.push_back(value.getType());
    auto recur = RecurOp::create(
        rewriter, loc, types, projection, /*input=*/Value(),
        /*input_kernel=*/Value(), /*input_bias=*/Value(), kernels,
        /*kernel_scales=*/ValueRange(), kernelRows, recurrentBias, op.getMask(),
        op.getReset(), op.getRecurrentDropoutMask(), state, sequence, last,
        op.getActivationAttr(), op.getRecurrentActivationAttr(),
        TimeOrderAttr::get(rewriter.getContext(), order),
        op.getResetAfterAttr(), op.getTimeMajorAttr(),
        op.getZeroOutputForMaskAttr(),
        op.getUnroll() && op.getGoBackwards() && op.getZeroOutputForMask()
            ? rewriter.getUnitAttr()
            : UnitAttr(),
        zeroState ? rewriter.getUnitAttr() : UnitAttr(), op.getUnrollAttr(),
        op.getClipAttr(), rewriter.getI64IntegerAttr(blocking.rows));

    Value finalState = recur->getResult(0);
    Value sequenceResult = sequence ? recur->getResult(1) : Value();
    Value lastResult = last ? recur->getResult(sequence ? 2 : 1) : finalState;
    if (reverse)
      rewriter.replaceOp(reverse, sequenceResult);
    if (sequence && !reverse)
      rewriter.replaceAllUsesWith(op.getSequence(), sequenceResult);
    rewriter.replaceAllUsesWith(op.getLast(), lastResult);
    rewriter.replaceAllUsesWith(op.getState(), finalState);
    rewriter.eraseOp(op);
    return success();
  }

  /// Whether the recurrent kernel is a weight that is marked as sparse, and has
  /// rows enough to leave some out.
  static bool isSparse(GRUOp op) {
    auto kernel = dyn_cast<BlockArgument>(op.getRecurrentKernel());
    auto func = op->getParentOfType<func::FuncOp>();
    return kernel && kernel.getOwner() == &func.getBody().front() &&
           func.getArgAttr(kernel.getArgNumber(), kSparseAttr) &&
           func.getArgAttr(kernel.getArgNumber(), kWeightAttr) &&
           op.getUnits() >= kFewestSparseUnits;
  }

  /// The projection runs over timesteps and batch rows alike, so it always has
  /// rows enough for a full register block.
  int64_t projectionRows(Type element, int64_t features, int64_t width) const {
    if (choose.rows)
      return choose.rows;
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    int64_t lanes = choose.target.getLanes(std::max<int64_t>(bytes, 4));
    return chooseRows(choose.target, /*gates=*/3,
                      llvm::divideCeil(width, lanes),
                      features * 3 * width * bytes);
  }

  const BlockingChoice &choose;
};

struct DenseToPacked : OpRewritePattern<DenseOp> {
  DenseToPacked(MLIRContext *context, const BlockingChoice &choose)
      : OpRewritePattern(context), choose(choose) {}

  LogicalResult matchAndRewrite(DenseOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<RankedTensorType>(op.getType());
    int64_t columns = type.getDimSize(type.getRank() - 1);
    if (ShapedType::isDynamic(columns))
      return rewriter.notifyMatchFailure(op, "dynamic number of columns");
    // Rows are all leading dimensions together; one row only where all are 1.
    bool oneRow = llvm::all_of(type.getShape().drop_back(),
                               [](int64_t size) { return size == 1; });
    Blocking blocking =
        choose(type.getElementType(), 1, columns, oneRow ? 1 : -1);
    Value kernel =
        pack(rewriter, loc, op.getKernel(), PackPart::all, 1, blocking.width);
    Value bias;
    if (op.getBias())
      bias =
          pack(rewriter, loc, op.getBias(), PackPart::all, 1, blocking.width);
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(rewriter, loc, op.getInput());
    sizes.back() = rewriter.getIndexAttr(columns);
    Value init = emptyTensor(rewriter, loc, sizes, type.getElementType());
    ActAttr activation = op.getActivation();
    bool rowwise = activation.isRowwise();
    Value result = PackedDenseOp::create(
                       rewriter, loc, TypeRange{type}, op.getInput(), kernel,
                       bias, /*row_scale=*/Value(),
                       /*kernel_scale=*/Value(), init,
                       rowwise ? linearAct(rewriter) : activation, UnitAttr(),
                       rewriter.getI64IntegerAttr(blocking.rows))
                       .getResult();
    if (rowwise)
      result = ActivationOp::create(rewriter, loc, type, result, activation);
    rewriter.replaceOp(op, result);
    return success();
  }

  const BlockingChoice &choose;
};

struct ConvertLayersToSequencePass
    : gru::impl::ConvertLayersToSequencePassBase<ConvertLayersToSequencePass> {
  using ConvertLayersToSequencePassBase::ConvertLayersToSequencePassBase;

  void runOnOperation() override {
    bool refused = false;
    if (width < 0 || rows < 0) {
      getOperation().emitError()
          << "width is " << width << " and rows is " << rows
          << ", expected 1 or more, or 0 to choose";
      return signalPassFailure();
    }
    getOperation().walk([&](GRUOp op) {
      if (op.getLengths()) {
        op.emitError() << "lengths are not supported by this pass (run "
                          "gru-legalize first)";
        refused = true;
      }
    });
    if (refused)
      return signalPassFailure();
    BlockingChoice choose{{vectorBytes, registers, threads}, width, rows};
    RewritePatternSet patterns(&getContext());
    patterns.add<GRUToSequence, DenseToPacked>(&getContext(), choose);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
