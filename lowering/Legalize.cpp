//===- Legalize.cpp - reduces layers to what the lowerings know -----------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_LEGALIZEPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// gru.cell is gru.gru with one timestep.
struct CellToGRU : OpRewritePattern<CellOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(CellOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto input = cast<RankedTensorType>(op.getInput().getType());
    auto sequence = RankedTensorType::get(
        {input.getDimSize(0), 1, input.getDimSize(1)}, input.getElementType());
    SmallVector<ReassociationIndices> reassociation{{0, 1}, {2}};
    Value x = tensor::ExpandShapeOp::create(
        rewriter, loc, sequence, op.getInput(), reassociation,
        SmallVector<OpFoldResult>{
            tensor::getMixedSize(rewriter, loc, op.getInput(), 0),
            rewriter.getIndexAttr(1),
            tensor::getMixedSize(rewriter, loc, op.getInput(), 1)});
    auto layer = GRUOp::create(
        rewriter, loc, x, op.getKernel(), op.getRecurrentKernel(), op.getBias(),
        op.getStateIn(), /*mask=*/{}, /*lengths=*/{}, /*reset=*/{},
        op.getDropoutMask(), op.getRecurrentDropoutMask(),
        op.getActivationAttr(), op.getRecurrentActivationAttr(),
        op.getResetAfterAttr(), /*go_backwards=*/{}, /*time_major=*/{},
        /*zero_output_for_mask=*/{}, /*unroll=*/{}, /*from_cell=*/{},
        op.getImplementationAttr(),
        /*dropout=*/rewriter.getF64FloatAttr(0),
        /*recurrent_dropout=*/rewriter.getF64FloatAttr(0), op.getClipAttr());
    layer->setDiscardableAttrs(op->getDiscardableAttrDictionary());
    rewriter.replaceOp(op, layer.getState());
    return success();
  }
};

/// lengths -> mask with the zero rule.
struct LengthsToMask : OpRewritePattern<GRUOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GRUOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.getLengths())
      return failure();
    Location loc = op.getLoc();
    SmallVector<OpFoldResult> sizes{
        tensor::getMixedSize(rewriter, loc, op.getInput(), 0),
        tensor::getMixedSize(rewriter, loc, op.getInput(), 1)};
    Value empty =
        tensor::EmptyOp::create(rewriter, loc, sizes, rewriter.getI1Type());
    MLIRContext *context = rewriter.getContext();
    AffineMap lengths = AffineMap::get(
        2, 0, {rewriter.getAffineDimExpr(op.getBatchDim())}, context);
    AffineMap identity = rewriter.getMultiDimIdentityMap(2);
    int64_t timeDim = op.getTimeDim();
    auto generic = linalg::GenericOp::create(
        rewriter, loc, empty.getType(), ValueRange{op.getLengths()},
        ValueRange{empty}, ArrayRef<AffineMap>{lengths, identity},
        SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
        [&](OpBuilder &b, Location loc, ValueRange args) {
          Value t = linalg::IndexOp::create(b, loc, timeDim);
          Value t32 = arith::IndexCastOp::create(b, loc, b.getI32Type(), t);
          Value valid = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                              t32, args[0]);
          linalg::YieldOp::create(b, loc, valid);
        });
    rewriter.modifyOpInPlace(op, [&] {
      op.getLengthsMutable().clear();
      op.getMaskMutable().assign(generic.getResult(0));
      op.setZeroOutputForMask(true);
    });
    return success();
  }
};

struct LegalizePass : gru::impl::LegalizePassBase<LegalizePass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<CellToGRU, LengthsToMask>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
