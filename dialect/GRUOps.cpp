//===- GRUOps.cpp - verifiers, inference and folds of layers --------------===//
//
// Tags such as gru_gru_c3 name the rules listed in GRUOps.td.
//
//===----------------------------------------------------------------------===//

#include "dialect/Verify.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace gru;

#define GET_OP_CLASSES
#include "dialect/GRUOps.cpp.inc"

/// Rules c1 to c4 and c9 that gru.gru and gru.cell share.
template <typename OpTy>
static LogicalResult verifyWeights(OpTy op, int64_t features) {
  Operation *raw = op.getOperation();
  ArrayRef<int64_t> kernel = shapeOf(op.getKernel());
  ArrayRef<int64_t> recurrent = shapeOf(op.getRecurrentKernel());
  int64_t units = recurrent[0];
  if (ShapedType::isDynamic(units) || units < 1)
    return op.emitOpError() << "recurrent_kernel is " << shapeText(recurrent)
                            << ", expected a static number of units";
  // gru_gru_c1
  if (!fits(kernel[0], features))
    return op.emitOpError()
           << "kernel is " << shapeText(kernel)
           << ", expected its rows to be the " << shapeText({features})
           << " features of the input";
  // gru_gru_c3
  if (recurrent[1] != 3 * units)
    return op.emitOpError()
           << "recurrent_kernel is " << shapeText(recurrent) << ", expected "
           << shapeText({units, 3 * units}) << " (units x 3*units)";
  // gru_gru_c2
  if (kernel[1] != 3 * units)
    return op.emitOpError()
           << "kernel is " << shapeText(kernel) << ", expected "
           << shapeText({features, 3 * units}) << " (features x 3*units)";
  // gru_gru_c4
  if (op.getResetAfter()) {
    if (failed(checkShape(raw, "bias", op.getBias(), {2, 3 * units},
                          "2 x 3*units with reset_after")))
      return failure();
  } else if (failed(checkShape(raw, "bias", op.getBias(), {3 * units},
                               "3*units without reset_after"))) {
    return failure();
  }
  // gru_gru_c9
  if (op.getClip() && !(op.getClipAttr().getValueAsDouble() > 0))
    return op.emitOpError() << "clip is " << op.getClipAttr().getValueAsDouble()
                            << ", expected a positive number";
  return success();
}

/// Rule c7 and the dropout masks of c5, which gru.gru and gru.cell share.
template <typename OpTy>
static LogicalResult verifyDropout(OpTy op, int64_t batch, int64_t features) {
  // gru_gru_c7
  int64_t implementation = op.getImplementation();
  if (implementation != 1 && implementation != 2)
    return op.emitOpError()
           << "implementation is " << implementation << ", expected 1 or 2";
  // gru_gru_c5
  if (failed(checkShape(op, "dropout_mask", op.getDropoutMask(),
                        {implementation == 1 ? 3 : 1, batch, features},
                        "gates x batch x features; 3 gates for "
                        "implementation 1, 1 for 2")))
    return failure();
  return checkShape(op, "recurrent_dropout_mask", op.getRecurrentDropoutMask(),
                    {3, batch, op.getUnits()}, "3 x batch x units");
}

//===----------------------------------------------------------------------===//
// gru.gru
//===----------------------------------------------------------------------===//

LogicalResult GRUOp::verify() {
  ArrayRef<int64_t> input = shapeOf(getInput());
  int64_t batch = input[getBatchDim()], time = input[getTimeDim()];
  int64_t features = input[2];
  if (failed(verifyWeights(*this, features)))
    return failure();
  int64_t units = getUnits();
  Operation *op = getOperation();
  SmallVector<int64_t> batchTime = getTimeMajor()
                                       ? SmallVector<int64_t>{time, batch}
                                       : SmallVector<int64_t>{batch, time};
  StringRef maskMeaning =
      getTimeMajor() ? "timesteps x batch" : "batch x timesteps";
  // gru_gru_c5
  if (failed(checkShape(op, "initial_state", getInitialState(), {batch, units},
                        "batch x units")) ||
      failed(checkShape(op, "mask", getMask(), batchTime, maskMeaning)) ||
      failed(checkShape(op, "lengths", getLengths(), {batch}, "batch")) ||
      failed(checkShape(op, "reset", getReset(), batchTime, maskMeaning)))
    return failure();
  // gru_gru_c6
  if (getMask() && getLengths())
    return emitOpError() << "has both mask and lengths, expected one of them";
  if (failed(verifyDropout(*this, batch, features)))
    return failure();
  // gru_gru_c8
  for (auto [name, rate] :
       {std::pair<StringRef, double>{"dropout", getDropout().convertToDouble()},
        {"recurrent_dropout", getRecurrentDropout().convertToDouble()}})
    if (!(rate >= 0 && rate <= 1))
      return emitOpError() << name << " is " << rate
                           << ", expected a rate from 0 to 1";
  return checkElementTypes(
      op, getInput(),
      {{"kernel", getKernel()},
       {"recurrent_kernel", getRecurrentKernel()},
       {"bias", getBias()},
       {"initial_state", getInitialState()},
       {"dropout_mask", getDropoutMask()},
       {"recurrent_dropout_mask", getRecurrentDropoutMask()}});
}

LogicalResult GRUOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                      ValueRange operands,
                                      DictionaryAttr attributes,
                                      OpaqueProperties properties,
                                      RegionRange regions,
                                      SmallVectorImpl<Type> &types) {
  Adaptor adaptor(operands, attributes, properties, regions);
  auto input = cast<RankedTensorType>(adaptor.getInput().getType());
  int64_t units = shapeOf(adaptor.getRecurrentKernel())[0];
  SmallVector<int64_t> sequence(input.getShape());
  sequence[2] = units;
  int64_t batch = sequence[adaptor.getTimeMajor() ? 1 : 0];
  Type element = input.getElementType();
  auto row = RankedTensorType::get({batch, units}, element);
  types.assign({RankedTensorType::get(sequence, element), row, row});
  return success();
}

LogicalResult GRUOp::reifyResultShapes(OpBuilder &b,
                                       ReifiedRankedShapedTypeDims &shapes) {
  auto size = [&](int64_t dim) {
    return tensor::getMixedSize(b, getLoc(), getInput(), dim);
  };
  OpFoldResult units = b.getIndexAttr(getUnits());
  shapes.assign({{size(0), size(1), units},
                 {size(getBatchDim()), units},
                 {size(getBatchDim()), units}});
  return success();
}

int64_t GRUOp::getUnits() { return shapeOf(getRecurrentKernel())[0]; }
int64_t GRUOp::getFeatures() { return shapeOf(getKernel())[0]; }
ActAttr GRUOp::getCandidateActivation() { return getActivation(); }
ActAttr GRUOp::getGateActivation() { return getRecurrentActivation(); }
bool GRUOp::isResetAfter() { return getResetAfter(); }
bool GRUOp::isGoBackwards() { return getGoBackwards(); }
bool GRUOp::isMasked() { return getMask() || getLengths(); }

namespace {
/// A constant operand that changes nothing: an all-true mask, a dropout mask of
/// ones (inactive dropout), an initial state of zeros.
struct DropNeutralOperands : OpRewritePattern<GRUOp> {
  using OpRewritePattern::OpRewritePattern;

  static bool isSplat(Value value, double number) {
    DenseElementsAttr attr;
    if (!value || !matchPattern(value, m_Constant(&attr)) || !attr.isSplat())
      return false;
    if (isa<FloatType>(attr.getElementType()))
      return attr.getSplatValue<APFloat>().convertToDouble() == number;
    return attr.getSplatValue<APInt>().getZExtValue() == uint64_t(number);
  }

  LogicalResult matchAndRewrite(GRUOp op,
                                PatternRewriter &rewriter) const override {
    bool changed = false;
    auto dropIf = [&](Value value, double neutral,
                      MutableOperandRange (GRUOp::*operand)()) {
      if (!isSplat(value, neutral))
        return;
      // Asked for anew each time: clearing one moves those behind it.
      rewriter.modifyOpInPlace(op, [&] { (op.*operand)().clear(); });
      changed = true;
    };
    dropIf(op.getMask(), 1, &GRUOp::getMaskMutable);
    dropIf(op.getReset(), 0, &GRUOp::getResetMutable);
    dropIf(op.getDropoutMask(), 1, &GRUOp::getDropoutMaskMutable);
    dropIf(op.getRecurrentDropoutMask(), 1,
           &GRUOp::getRecurrentDropoutMaskMutable);
    dropIf(op.getInitialState(), 0, &GRUOp::getInitialStateMutable);
    return success(changed);
  }
};
} // namespace

void GRUOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                        MLIRContext *context) {
  patterns.add<DropNeutralOperands>(context);
}

//===----------------------------------------------------------------------===//
// gru.cell
//===----------------------------------------------------------------------===//

LogicalResult CellOp::verify() {
  ArrayRef<int64_t> input = shapeOf(getInput());
  if (failed(verifyWeights(*this, input[1])))
    return failure();
  if (failed(checkShape(getOperation(), "state", getStateIn(),
                        {input[0], getUnits()}, "batch x units")) ||
      failed(verifyDropout(*this, input[0], input[1])))
    return failure();
  return checkElementTypes(
      getOperation(), getInput(),
      {{"state", getStateIn()},
       {"kernel", getKernel()},
       {"recurrent_kernel", getRecurrentKernel()},
       {"bias", getBias()},
       {"dropout_mask", getDropoutMask()},
       {"recurrent_dropout_mask", getRecurrentDropoutMask()}});
}

LogicalResult CellOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                       ValueRange operands,
                                       DictionaryAttr attributes,
                                       OpaqueProperties properties,
                                       RegionRange regions,
                                       SmallVectorImpl<Type> &types) {
  Adaptor adaptor(operands, attributes, properties, regions);
  types.assign({adaptor.getStateIn().getType()});
  return success();
}

int64_t CellOp::getUnits() { return shapeOf(getRecurrentKernel())[0]; }
int64_t CellOp::getFeatures() { return shapeOf(getKernel())[0]; }
ActAttr CellOp::getCandidateActivation() { return getActivation(); }
ActAttr CellOp::getGateActivation() { return getRecurrentActivation(); }
bool CellOp::isResetAfter() { return getResetAfter(); }
bool CellOp::isGoBackwards() { return false; }
bool CellOp::isMasked() { return false; }

//===----------------------------------------------------------------------===//
// gru.dense
//===----------------------------------------------------------------------===//

LogicalResult DenseOp::verify() {
  ArrayRef<int64_t> input = shapeOf(getInput()), kernel = shapeOf(getKernel());
  // gru_dense_c1
  if (input.empty() || !fits(kernel[0], input.back()))
    return emitOpError() << "kernel is " << shapeText(kernel)
                         << ", expected its rows to be the last dimension of "
                            "the input, which is "
                         << shapeText(input);
  // gru_dense_c2
  if (failed(checkShape(getOperation(), "bias", getBias(), {kernel[1]},
                        "columns of the kernel")))
    return failure();
  return checkElementTypes(getOperation(), getInput(),
                           {{"kernel", getKernel()}, {"bias", getBias()}});
}

LogicalResult DenseOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                        ValueRange operands,
                                        DictionaryAttr attributes,
                                        OpaqueProperties properties,
                                        RegionRange regions,
                                        SmallVectorImpl<Type> &types) {
  Adaptor adaptor(operands, attributes, properties, regions);
  auto input = cast<RankedTensorType>(adaptor.getInput().getType());
  if (input.getRank() == 0)
    return failure();
  SmallVector<int64_t> shape(input.getShape());
  shape.back() = shapeOf(adaptor.getKernel())[1];
  types.assign({RankedTensorType::get(shape, input.getElementType())});
  return success();
}

LogicalResult DenseOp::reifyResultShapes(OpBuilder &b,
                                         ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes =
      tensor::getMixedSizes(b, getLoc(), getInput());
  sizes.back() = tensor::getMixedSize(b, getLoc(), getKernel(), 1);
  shapes.assign({sizes});
  return success();
}

//===----------------------------------------------------------------------===//
// gru.activation
//===----------------------------------------------------------------------===//

LogicalResult ActivationOp::verify() {
  // gru_activation_c1
  if (getKind().isRowwise()) {
    auto type = dyn_cast<RankedTensorType>(getType());
    if (!type || type.getRank() == 0)
      return emitOpError() << "'"
                           << stringifyActivationKind(getKind().getKind())
                           << "' acts on rows: expected a tensor of rank 1 or "
                              "more, found "
                           << getType();
  }
  return success();
}

OpFoldResult ActivationOp::fold(FoldAdaptor) {
  if (getKind().getKind() == ActivationKind::linear)
    return getInput();
  return {};
}

//===----------------------------------------------------------------------===//
// gru.reverse
//===----------------------------------------------------------------------===//

LogicalResult ReverseOp::verify() {
  int64_t rank = cast<RankedTensorType>(getType()).getRank();
  // gru_reverse_c1
  if (int64_t dim = getDim(); dim < 0 || dim >= rank)
    return emitOpError() << "dim is " << dim << ", expected 0 to " << rank - 1;
  return success();
}

OpFoldResult ReverseOp::fold(FoldAdaptor) {
  auto inner = getInput().getDefiningOp<ReverseOp>();
  if (inner && inner.getDim() == getDim())
    return inner.getInput();
  return {};
}
