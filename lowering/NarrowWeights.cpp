//===- NarrowWeights.cpp - weights of fewer bytes than they are used with --===//

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
    if (type != "bf16" && type != "int8") {
      getOperation().emitError()
          << "type is '" << type << "', expected bf16 or int8";
      return signalPassFailure();
    }
    if (type == "int8") {
      getOperation().walk([](RecurOp op) { quantize(op); });
      return;
    }
    getOperation().walk([](PackOp op) {
      if (isMatrixOfModel(op) && llvm::all_of(op->getUsers(), waitsForWeights))
        op.getResult().setType(cast<RankedTensorType>(op.getResult().getType())
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

  /// A product of many rows uses what it has loaded many times, and would widen it
  /// as often.
  static bool waitsForWeights(Operation *user) {
    if (isa<RecurOp>(user))
      return true;
    auto product = dyn_cast<PackedDenseOp>(user);
    if (!product)
      return false;
    constexpr int64_t kFewRows = 4;
    ArrayRef<int64_t> leading = product.getInputType().getShape().drop_back();
    return llvm::none_of(leading, ShapedType::isDynamic) &&
           llvm::product_of(leading) <= kFewRows;
  }

  static void quantize(RecurOp op) {
    SmallVector<Value> kernels, scales;
    for (Value kernel : op.getKernels()) {
      auto pack = kernel.getDefiningOp<PackOp>();
      if (!pack || !isMatrixOfModel(pack))
        return;
      OpBuilder b(pack);
      auto packed = cast<RankedTensorType>(pack.getResult().getType());
      SmallVector<int64_t> shape(packed.getShape());
      shape.erase(shape.begin() + 1);
      auto quantized = QuantizedPackOp::create(
          b, pack.getLoc(), packed.clone(b.getI8Type()),
          RankedTensorType::get(shape, b.getF32Type()), pack.getSource(),
          pack.getPart(), pack.getGates(), pack.getWidth());
      kernels.push_back(quantized.getResult());
      scales.push_back(quantized.getScale());
    }
    SmallVector<Value> packs(op.getKernels());
    op.getKernelsMutable().assign(kernels);
    op.getKernelScalesMutable().assign(scales);
    // What has no use would be packed all the same.
    for (Value pack : packs)
      if (pack.use_empty())
        pack.getDefiningOp()->erase();
  }
};
} // namespace
