//===- ExpandMath.cpp - the passes from activations to arithmetic ----------===//

#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/ApproximateMath.h"

#include "mlir/Conversion/MathToLibm/MathToLibm.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_CALLLIBMPASS
#define GEN_PASS_DEF_EXPANDACTIVATIONSPASS
#define GEN_PASS_DEF_APPROXIMATEMATHPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct ExpandActivationsPass
    : gru::impl::ExpandActivationsPassBase<ExpandActivationsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateExpandActivationPatterns(patterns);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

struct ApproximateMathPass
    : gru::impl::ApproximateMathPassBase<ApproximateMathPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateApproximateMathPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

struct CallLibmPass : gru::impl::CallLibmPassBase<CallLibmPass> {
  void runOnOperation() override {
    ConversionTarget target(getContext());
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    target.addIllegalOp<math::ExpOp, math::ExpM1Op, math::LogOp, math::Log1pOp,
                        math::TanhOp, math::ErfOp>();
    RewritePatternSet patterns(&getContext());
    populateMathToLibmConversionPatterns(patterns);
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
