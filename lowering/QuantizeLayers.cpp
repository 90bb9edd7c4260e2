//===- QuantizeLayers.cpp - recurrent layers that multiply bytes ----------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace gru {
#define GEN_PASS_DEF_QUANTIZELAYERSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// A kernel as bytes.
struct QuantizedKernel {
  Value bytes, scale;
};

struct QuantizeLayersPass
    : gru::impl::QuantizeLayersPassBase<QuantizeLayersPass> {
  using QuantizeLayersPassBase::QuantizeLayersPassBase;

  void runOnOperation() override {
    SmallVector<RecurOp> ops;
    getOperation().walk([&](RecurOp op) { ops.push_back(op); });
    for (RecurOp op : ops)
      if (isWorthwhile(op))
        quantize(op);
  }

private:
  /// The pack of a matrix of float32 that is packed when a program is opened.
  static PackOp getPack(Value kernel) {
    auto op = kernel.getDefiningOp<PackOp>();
    auto source =
        op ? dyn_cast<BlockArgument>(op.getSource()) : BlockArgument();
    if (!source)
      return {};
    auto func = op->getParentOfType<func::FuncOp>();
    auto type = cast<RankedTensorType>(source.getType());
    constexpr int64_t kMostRows = 65536; // See gru.quantized_pack.
    bool fits = source.getOwner() == &func.getBody().front() &&
                func.getArgAttr(source.getArgNumber(), kWeightAttr) &&
                type.getRank() == 2 &&
                op.getResult().getType().getRank() == 4 &&
                type.getElementType().isF32() &&
                op.getResult().getType().getElementType().isF32() &&
                type.getDimSize(0) <= kMostRows;
    return fits ? op : PackOp();
  }

  bool isWorthwhile(RecurOp op) const {
    if (op.isQuantized() || !op.getElementType().isF32() ||
        !llvm::all_of(op.getKernels(), getPack))
      return false;
    if (op.getRecurrentDropoutMask()) {
      op.emitRemark()
          << "int8: the layer stays float32, because recurrent dropout "
             "gives each gate a state of its own";
      return false;
    }
    if (!op.getKernelRows().empty()) {
      op.emitRemark() << "int8: the layer stays float32, because the zeros of "
                         "its recurrent kernel are left out";
      return false;
    }
    int64_t bytes = 3 * op.getUnits() * op.getUnits() * sizeof(float);
    if (bytes < minBytes)
      op.emitRemark() << "int8: the layer stays float32, because the " << bytes
                      << " bytes of its recurrent kernel are fewer than "
                      << int64_t(minBytes) << " and stay in the nearest cache";
    return bytes >= minBytes;
  }

  void quantize(RecurOp op) {
    SmallVector<Value> kernels, scales;
    for (Value kernel : op.getKernels()) {
      QuantizedKernel quantized = quantize(getPack(kernel));
      kernels.push_back(quantized.bytes);
      scales.push_back(quantized.scale);
    }
    SmallVector<Value> packs(op.getKernels());
    op.getKernelsMutable().assign(kernels);
    op.getKernelScalesMutable().assign(scales);
    ++numQuantized;
    if (auto projection =
            op.getProjection()
                ? op.getProjection().getDefiningOp<PackedDenseOp>()
                : PackedDenseOp()) {
      packs.push_back(projection.getKernel());
      quantize(projection);
    }
    // What has no use would be packed all the same.
    for (Value pack : packs)
      if (pack.use_empty())
        pack.getDefiningOp()->erase();
  }

  static QuantizedKernel quantize(PackOp pack) {
    OpBuilder b(pack);
    auto packed = cast<RankedTensorType>(pack.getResult().getType());
    ArrayRef<int64_t> shape = packed.getShape();
    auto quantized = QuantizedPackOp::create(
        b, pack.getLoc(),
        RankedTensorType::get({shape[0],
                               QuantizedPackOp::getPackedRows(shape[1]),
                               shape[2], 4 * shape[3]},
                              b.getI8Type()),
        RankedTensorType::get({shape[0], shape[2], shape[3]}, b.getF32Type()),
        pack.getSource(), pack.getPart(), pack.getGates(), pack.getWidth());
    return {quantized.getResult(), quantized.getScale()};
  }

  static void quantize(PackedDenseOp op) {
    auto type = dyn_cast<RankedTensorType>(op.getInput().getType());
    constexpr int64_t kFewFeatures = 4;
    PackOp pack = getPack(op.getKernel());
    if (!pack || !type || op.isQuantized() || type.isDynamicDim(2) ||
        type.getDimSize(2) < kFewFeatures || !op.isProjection() ||
        op.getActivation().getKind() != ActivationKind::linear)
      return;
    QuantizedKernel kernel = quantize(pack);
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(b, loc, op.getInput());
    ArrayRef<OpFoldResult> rows = ArrayRef(sizes).drop_back();
    Value scale = tensor::EmptyOp::create(b, loc, rows, b.getF32Type());
    sizes.back() =
        b.getIndexAttr(QuantizeRowsOp::getPaddedColumns(type.getDimSize(2)));
    Value bytes = tensor::EmptyOp::create(b, loc, sizes, b.getI8Type());
    auto input = QuantizeRowsOp::create(
        b, loc, TypeRange{bytes.getType(), scale.getType()}, op.getInput(),
        bytes, scale);
    op.getInputMutable().assign(input.getResult(0));
    op.getKernelMutable().assign(kernel.bytes);
    op.getRowScaleMutable().assign(input.getResult(1));
    op.getKernelScaleMutable().assign(kernel.scale);
  }
};
} // namespace
