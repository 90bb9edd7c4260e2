//===- ExpandMath.cpp - the two passes from activations to arithmetic ------===//

#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/ApproximateMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace gru {
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
} // namespace
