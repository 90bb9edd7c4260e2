//===- RowwiseToLoops.cpp - softmax and its like over whole tensors -------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/Buffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_ROWWISETOLOOPSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct RowwiseToLoops : OpRewritePattern<ActivationOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ActivationOp op,
                                PatternRewriter &rewriter) const override {
    auto type = dyn_cast<RankedTensorType>(op.getType());
    if (!type || !op.getKind().isRowwise())
      return failure();
    Location loc = op.getLoc();
    Value source = asBuffer(rewriter, loc, op.getInput());
    Value result = allocLike(rewriter, loc, source);
    memref::CopyOp::create(rewriter, loc, source, result);
    emitRowwiseActivationOnRows(rewriter, loc, op.getKind(), result);
    rewriter.replaceOp(op, asTensor(rewriter, loc, result));
    return success();
  }
};

struct RowwiseToLoopsPass
    : gru::impl::RowwiseToLoopsPassBase<RowwiseToLoopsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<RowwiseToLoops>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
