//===- FuseProjection.cpp - moves input projections into the steps --------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/FloatBuilder.h"

#include "mlir/IR/PatternMatch.h"

namespace gru {
#define GEN_PASS_DEF_FUSEPROJECTIONPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct FuseProjectionPass
    : gru::impl::FuseProjectionPassBase<FuseProjectionPass> {
  using FuseProjectionPassBase::FuseProjectionPassBase;

  void runOnOperation() override {
    SmallVector<RecurOp> ops;
    getOperation().walk([&](RecurOp op) { ops.push_back(op); });
    for (RecurOp op : ops)
      if (PackedDenseOp projection = getProjection(op); projection && pays(op))
        fuse(op, projection);
  }

  /// The product that makes the recurrence's projection and nothing else.
  static PackedDenseOp getProjection(RecurOp op) {
    if (!op.getProjection() || !op.getProjection().hasOneUse())
      return {};
    auto projection = op.getProjection().getDefiningOp<PackedDenseOp>();
    bool fits =
        projection && !projection.isQuantized() &&
        projection.getActivation().getKind() == ActivationKind::linear &&
        projection.getTimeMajor() == op.getTimeMajor() &&
        projection.getKernelType().getDimSize(3) == op.getWidth() &&
        !ShapedType::isDynamic(projection.getKernelType().getDimSize(1));
    return fits ? projection : PackedDenseOp();
  }

  bool pays(RecurOp op) const {
    // A second pass over the sums has no place for the candidate's projection.
    // Half types would round otherwise than in a product of its own, and the
    // cut of a stream into calls would show.
    if (op.hasRowwiseActivation() || isHalf(op.getElementType()))
      return false;
    auto projection = cast<ShapedType>(op.getProjection().getType());
    return projection.getDimSize(0) == 1 || op.getBatch() >= rows;
  }

  static void fuse(RecurOp op, PackedDenseOp projection) {
    op.getProjectionMutable().clear();
    op.getInputMutable().assign(projection.getInput());
    op.getInputKernelMutable().assign(projection.getKernel());
    if (projection.getBias())
      op.getInputBiasMutable().assign(projection.getBias());
    projection.erase();
  }
};
} // namespace
