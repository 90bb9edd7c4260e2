//===- TensorOpsToLinalg.cpp - activations and reversals to linalg --------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_TENSOROPSTOLINALGPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
Value emptyLike(OpBuilder &b, Location loc, Value tensor) {
  return tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, tensor),
      cast<RankedTensorType>(tensor.getType()).getElementType());
}

struct ActivationToLinalg : OpRewritePattern<ActivationOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ActivationOp op,
                                PatternRewriter &rewriter) const override {
    auto type = dyn_cast<RankedTensorType>(op.getType());
    if (!type || op.getKind().isRowwise())
      return failure();
    AffineMap identity = rewriter.getMultiDimIdentityMap(type.getRank());
    auto generic = linalg::GenericOp::create(
        rewriter, op.getLoc(), type, op.getInput(),
        emptyLike(rewriter, op.getLoc(), op.getInput()),
        ArrayRef<AffineMap>{identity, identity},
        SmallVector<utils::IteratorType>(type.getRank(),
                                         utils::IteratorType::parallel),
        [&](OpBuilder &b, Location loc, ValueRange args) {
          Value y = ActivationOp::create(b, loc, args[0].getType(), args[0],
                                         op.getKind());
          linalg::YieldOp::create(b, loc, y);
        });
    rewriter.replaceOp(op, generic.getResults());
    return success();
  }
};

struct ReverseToLinalg : OpRewritePattern<ReverseOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReverseOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<RankedTensorType>(op.getType());
    Value size = tensor::DimOp::create(rewriter, loc, op.getInput(),
                                       int64_t(op.getDim()));
    Value one = arith::ConstantIndexOp::create(rewriter, loc, 1);
    Value end = arith::SubIOp::create(rewriter, loc, size, one);
    auto generic = linalg::GenericOp::create(
        rewriter, loc, type, ValueRange{},
        emptyLike(rewriter, loc, op.getInput()),
        ArrayRef<AffineMap>{rewriter.getMultiDimIdentityMap(type.getRank())},
        SmallVector<utils::IteratorType>(type.getRank(),
                                         utils::IteratorType::parallel),
        [&](OpBuilder &b, Location loc, ValueRange) {
          SmallVector<Value> indices;
          for (int64_t dim = 0; dim < type.getRank(); ++dim) {
            Value i = linalg::IndexOp::create(b, loc, dim);
            if (dim == int64_t(op.getDim()))
              i = arith::SubIOp::create(b, loc, end, i);
            indices.push_back(i);
          }
          Value y = tensor::ExtractOp::create(b, loc, op.getInput(), indices);
          linalg::YieldOp::create(b, loc, y);
        });
    rewriter.replaceOp(op, generic.getResults());
    return success();
  }
};

struct TensorOpsToLinalgPass
    : gru::impl::TensorOpsToLinalgPassBase<TensorOpsToLinalgPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ActivationToLinalg, ReverseToLinalg>(&getContext());
    // A concatenation bufferises without a copy of its own once it is a chain
    // of insertions.
    tensor::populateDecomposeTensorConcatPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
