//===- ExpandMath.cpp - the passes from activations to arithmetic ---------===//

#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/ApproximateMath.h"

#include "mlir/Conversion/MathToLibm/MathToLibm.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace gru {
#define GEN_PASS_DEF_CALLLIBMPASS
#define GEN_PASS_DEF_EXPANDARITHMETICPASS
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
    // The canonicaliser comes anyway.
    GreedyRewriteConfig config;
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled)
        .enableFolding(false)
        .enableConstantCSE(false);
    if (failed(
            applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      signalPassFailure();
  }
};

/// Upstream's passes match patterns against every operation, and mostly there
/// is none to expand.
struct ExpandArithmeticPass
    : gru::impl::ExpandArithmeticPassBase<ExpandArithmeticPass> {
  using ExpandArithmeticPassBase::ExpandArithmeticPassBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    makePipeline(/*hasSmallFloats=*/true).getDependentDialects(registry);
  }

  void runOnOperation() override {
    bool hasSmallFloats = false, hasComposed = false;
    getOperation().walk([&](Operation *op) {
      hasComposed |=
          isa<arith::CeilDivSIOp, arith::CeilDivUIOp, arith::FloorDivSIOp,
              arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp,
              arith::MinNumFOp, arith::ScalingExtFOp, arith::ScalingTruncFOp>(
              op);
      hasSmallFloats |= llvm::any_of(op->getOperandTypes(), isSmallFloat) ||
                        llvm::any_of(op->getResultTypes(), isSmallFloat);
    });
    if (!hasSmallFloats && !hasComposed)
      return;
    OpPassManager passes = makePipeline(hasSmallFloats);
    if (failed(runPipeline(passes, getOperation())))
      signalPassFailure();
  }

private:
  /// Anything but what CPUs have operations or conversions for.
  static bool isSmallFloat(Type type) {
    Type element = getElementTypeOrSelf(type);
    return isa<FloatType>(element) &&
           !isa<Float16Type, Float32Type, Float64Type>(element);
  }

  static OpPassManager makePipeline(bool hasSmallFloats) {
    OpPassManager pm(func::FuncOp::getOperationName());
    if (hasSmallFloats) {
      // Most CPUs only convert bf16, and many not even that; LLVM would call a
      // library for what they lack.
      arith::ArithEmulateUnsupportedFloatsOptions emulate;
      emulate.sourceTypeStrs = {"bf16"};
      pm.addPass(arith::createArithEmulateUnsupportedFloats(emulate));
      // sqrt and its like, which no approximation replaces.
      math::MathExtendToSupportedTypesOptions extend;
      extend.extraTypeStrs = {"f16"};
      pm.addPass(math::createMathExtendToSupportedTypes(extend));
    }
    arith::ArithExpandOpsPassOptions expand;
    expand.includeBf16 = true;
    pm.addPass(arith::createArithExpandOpsPass(expand));
    return pm;
  }
};

struct CallLibmPass : gru::impl::CallLibmPassBase<CallLibmPass> {
  void runOnOperation() override {
    bool calls = getOperation()
                     .walk([](Operation *op) {
                       return isa<math::ExpOp, math::ExpM1Op, math::LogOp,
                                  math::Log1pOp, math::TanhOp, math::ErfOp>(op)
                                  ? WalkResult::interrupt()
                                  : WalkResult::advance();
                     })
                     .wasInterrupted();
    if (!calls)
      return;
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
