//===- FuseElementwise.cpp - elementwise operations in a row become one ---===//

#include "lowering/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_FUSEELEMENTWISEPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;

namespace {
struct FuseElementwisePass
    : gru::impl::FuseElementwisePassBase<FuseElementwisePass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    linalg::populateElementwiseOpsFusionPatterns(
        patterns, [](OpOperand *operand) {
          // Each element that is made is read once.
          auto consumer = cast<linalg::LinalgOp>(operand->getOwner());
          AffineMap map = consumer.getMatchingIndexingMap(operand);
          return operand->get().hasOneUse() && map.isPermutation();
        });
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
