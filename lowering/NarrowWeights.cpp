//===- NarrowWeights.cpp - weights of fewer bytes than they are used with -===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

namespace gru {
#define GEN_PASS_DEF_NARROWWEIGHTSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct NarrowWeightsPass : gru::impl::NarrowWeightsPassBase<NarrowWeightsPass> {
  using NarrowWeightsPassBase::NarrowWeightsPassBase;

  void runOnOperation() override {
    getOperation().walk([](PackOp op) {
      if (isMatrixOfModel(op) && llvm::all_of(op->getUsers(), waitsForWeights))
        op.getResult().setType(
            cast<RankedTensorType>(op.getResult().getType())
                .clone(Builder(op.getContext()).getBF16Type()));
    });
  }

private:
  /// Of float32, and packed when a program is opened.
  static bool isMatrixOfModel(PackOp op) {
    auto source = dyn_cast<BlockArgument>(op.getSource());
    auto func = op->getParentOfType<func::FuncOp>();
    if (!source || source.getOwner() != &func.getBody().front() ||
        !func.getArgAttr(source.getArgNumber(), kWeightAttr))
      return false;
    auto type = cast<RankedTensorType>(source.getType());
    return type.getRank() == 2 && op.getResult().getType().getRank() == 4 &&
           type.getElementType().isF32();
  }

  /// A product of many rows uses what it has loaded many times, and would widen
  /// it as often.
  static bool waitsForWeights(Operation *user) {
    if (isa<RecurOp, NonzeroRowsOp>(user))
      return true;
    auto product = dyn_cast<PackedDenseOp>(user);
    if (!product)
      return false;
    constexpr int64_t kFewRows = 4;
    ArrayRef<int64_t> leading = product.getInputType().getShape().drop_back();
    return llvm::none_of(leading, ShapedType::isDynamic) &&
           llvm::product_of(leading) <= kFewRows;
  }
};
} // namespace
