//===- GRUOps.cpp - verifiers, type inference, effects ---------------------===//
//
// Tags such as gru_gru_c3 name the rules listed in GRUOps.td.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDeviceOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace gru;

#define GET_OP_CLASSES
#include "dialect/GRUOps.cpp.inc"
#define GET_OP_CLASSES
#include "dialect/GRUDeviceOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Shapes in messages
//===----------------------------------------------------------------------===//

/// "64x?x192", the way users write shapes; "scalar" for rank 0.
static std::string shapeText(ArrayRef<int64_t> shape) {
  if (shape.empty())
    return "scalar";
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleave(
      shape, os,
      [&](int64_t size) {
        if (ShapedType::isDynamic(size))
          os << '?';
        else
          os << size;
      },
      "x");
  return text;
}

static bool fits(int64_t found, int64_t expected) {
  return ShapedType::isDynamic(found) || ShapedType::isDynamic(expected) ||
         found == expected;
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<ShapedType>(value.getType()).getShape();
}

/// Checks an operand's shape; `meaning` says where the expected sizes come from.
static LogicalResult checkShape(Operation *op, StringRef argument, Value value,
                                ArrayRef<int64_t> expected,
                                StringRef meaning) {
  if (!value)
    return success();
  ArrayRef<int64_t> found = shapeOf(value);
  if (found.size() == expected.size() &&
      llvm::all_of(llvm::zip(found, expected),
                   [](auto p) { return fits(std::get<0>(p), std::get<1>(p)); }))
    return success();
  return op->emitOpError() << argument << " is " << shapeText(found)
                           << ", expected " << shapeText(expected) << " ("
                           << meaning << ")";
}

static LogicalResult checkElementTypes(Operation *op, Value reference,
                                       ArrayRef<std::pair<StringRef, Value>> others) {
  Type expected = getElementTypeOrSelf(reference.getType());
  for (auto [name, value] : others)
    if (value && getElementTypeOrSelf(value.getType()) != expected)
      return op->emitOpError()
             << name << " has element type "
             << getElementTypeOrSelf(value.getType()) << ", expected "
             << expected << " like the input";
  return success();
}

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
    return op.emitOpError() << "kernel is " << shapeText(kernel)
                            << ", expected its rows to be the "
                            << shapeText({features}) << " features of the input";
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
    return op.emitOpError() << "implementation is " << implementation
                            << ", expected 1 or 2";
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
  SmallVector<int64_t> batchTime =
      getTimeMajor() ? SmallVector<int64_t>{time, batch}
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
      return emitOpError() << "'" << stringifyActivationKind(getKind().getKind())
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
    return emitOpError() << "dim is " << dim << ", expected 0 to "
                         << rank - 1;
  return success();
}

OpFoldResult ReverseOp::fold(FoldAdaptor) {
  auto inner = getInput().getDefiningOp<ReverseOp>();
  if (inner && inner.getDim() == getDim())
    return inner.getInput();
  return {};
}

//===----------------------------------------------------------------------===//
// gru.pack
//===----------------------------------------------------------------------===//

/// Shape of the packed result, or why there is none.
static FailureOr<SmallVector<int64_t>>
packedShape(std::optional<Location> loc, ArrayRef<int64_t> source,
            PackPart part, int64_t gates, int64_t width) {
  auto error = [&]() -> InFlightDiagnostic {
    return emitError(*loc) << "'gru.pack' op ";
  };
  auto fail = [&](auto message) -> FailureOr<SmallVector<int64_t>> {
    if (loc)
      error() << message;
    return failure();
  };
  // gru_pack_c3
  if (width < 1)
    return fail("width is " + std::to_string(width) + ", expected 1 or more");
  // gru_pack_c1
  int64_t columns = source.back();
  if (gates < 1 || ShapedType::isDynamic(columns) || columns % gates != 0)
    return fail("source is " + shapeText(source) +
                ", expected columns that are a multiple of gates = " +
                std::to_string(gates));
  int64_t blocks = llvm::divideCeilSigned(columns / gates, width);
  // gru_pack_c2
  switch (part) {
  case PackPart::all:
    if (source.size() == 1)
      return SmallVector<int64_t>{blocks, gates, width};
    return SmallVector<int64_t>{blocks, source[0], gates, width};
  case PackPart::gates:
  case PackPart::candidate:
    if (source.size() != 2 || gates != 3)
      break;
    return SmallVector<int64_t>{blocks, source[0],
                                part == PackPart::gates ? 2 : 1, width};
  case PackPart::input_bias:
  case PackPart::recurrent_bias:
    if (source.size() != 2 || source[0] != 2 || gates != 3)
      break;
    return SmallVector<int64_t>{blocks, part == PackPart::input_bias ? 3 : 1,
                                width};
  }
  return fail("source is " + shapeText(source) + " of " +
              std::to_string(gates) + " gates, not what part '" +
              stringifyPackPart(part).str() + "' takes");
}

/// Rows of a quantized kernel for as many of its source: one that sums begin with,
/// then four in one.
static int64_t getQuantizedRows(int64_t rows) {
  return 1 + llvm::divideCeilSigned(rows, 4);
}

LogicalResult PackOp::verify() {
  FailureOr<SmallVector<int64_t>> shape = packedShape(
      getLoc(), shapeOf(getSource()), getPart(), getGates(), getWidth());
  if (failed(shape))
    return failure();
  return checkShape(getOperation(), "result", getResult(), *shape,
                    "blocks of width units");
}

LogicalResult QuantizedPackOp::verify() {
  FailureOr<SmallVector<int64_t>> shape = packedShape(
      getLoc(), shapeOf(getSource()), getPart(), getGates(), getWidth());
  if (failed(shape))
    return failure();
  if (shape->size() != 4)
    return emitOpError() << "part is '" << stringifyPackPart(getPart())
                         << "', expected all, gates or candidate";
  // gru_quantized_pack_c1
  constexpr int64_t kMostRows = 65536;
  int64_t rows = (*shape)[1];
  if (rows > kMostRows)
    return emitOpError() << "source has " << rows << " rows, expected at most "
                         << kMostRows << ", whose sums fit an i32";
  if (failed(checkShape(getOperation(), "result", getResult(),
                        {(*shape)[0], getQuantizedRows(rows), (*shape)[2],
                         4 * (*shape)[3]},
                        "blocks of width units, four rows in one")))
    return failure();
  shape->erase(shape->begin() + 1);
  return checkShape(getOperation(), "scale", getScale(), *shape,
                    "blocks of width units");
}

LogicalResult PackOp::inferReturnTypes(MLIRContext *,
                                       std::optional<Location> loc,
                                       ValueRange operands,
                                       DictionaryAttr attributes,
                                       OpaqueProperties properties,
                                       RegionRange regions,
                                       SmallVectorImpl<Type> &types) {
  Adaptor adaptor(operands, attributes, properties, regions);
  auto source = cast<RankedTensorType>(adaptor.getSource().getType());
  FailureOr<SmallVector<int64_t>> shape =
      packedShape(loc, source.getShape(), adaptor.getPart(),
                  adaptor.getGates(), adaptor.getWidth());
  if (failed(shape))
    return failure();
  types.assign({RankedTensorType::get(*shape, source.getElementType())});
  return success();
}

bool PackOp::isCompatibleReturnTypes(TypeRange inferred, TypeRange actual) {
  if (inferred == actual)
    return true;
  if (inferred.size() != 1 || actual.size() != 1)
    return false;
  auto from = dyn_cast<RankedTensorType>(inferred[0]);
  auto to = dyn_cast<RankedTensorType>(actual[0]);
  return from && to && from.getShape() == to.getShape() &&
         from.getElementType().isF32() && to.getElementType().isBF16();
}

//===----------------------------------------------------------------------===//
// Destination style: effects of the memref form
//===----------------------------------------------------------------------===//

/// Reads of inputs, writes of destinations; destinations in `read` are read
/// too. Tensors have no effects.
static void destinationEffects(
    DestinationStyleOpInterface op, ArrayRef<Value> readInits,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  auto add = [&](OpOperand &operand, MemoryEffects::Effect *effect) {
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(effect, &operand, SideEffects::DefaultResource::get());
  };
  for (OpOperand *operand : op.getDpsInputOperands())
    add(*operand, MemoryEffects::Read::get());
  for (OpOperand &operand : op.getDpsInitsMutable()) {
    if (llvm::is_contained(readInits, operand.get()))
      add(operand, MemoryEffects::Read::get());
    add(operand, MemoryEffects::Write::get());
  }
}

/// Results of a destination-style op are its tensor destinations, in order.
template <typename OpTy>
static LogicalResult verifyResults(OpTy op) {
  SmallVector<Type> expected;
  for (OpOperand &init : op.getDpsInitsMutable())
    if (isa<TensorType>(init.get().getType()))
      expected.push_back(init.get().getType());
  if (llvm::equal(op->getResultTypes(), expected))
    return success();
  return op.emitOpError() << "has " << op->getNumResults()
                          << " results, expected one of the same type per "
                             "tensor destination";
}

//===----------------------------------------------------------------------===//
// gru.packed_dense
//===----------------------------------------------------------------------===//

void PackedDenseOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  destinationEffects(cast<DestinationStyleOpInterface>(getOperation()), {},
                     effects);
}

LogicalResult PackedDenseOp::verify() {
  ArrayRef<int64_t> input = shapeOf(getInput()), kernel = shapeOf(getKernel());
  ArrayRef<int64_t> init = shapeOf(getInit());
  SmallVector<int64_t> unpacked;
  if (isQuantized()) {
    // gru_packed_dense_c4
    if (!getElementTypeOrSelf(getInput().getType()).isInteger() ||
        !getElementTypeOrSelf(getKernel().getType()).isInteger() ||
        !isProjection() || input.size() != 3 || kernel[3] % 4 != 0 ||
        getActivation().getKind() != ActivationKind::linear)
      return emitOpError() << "expected scales for a projection of bytes by bytes "
                              "without an activation only";
    if (!fits(input.back(), QuantizeRowsOp::getPaddedColumns(4 * (kernel[1] - 1))))
      return emitOpError() << "kernel is " << shapeText(kernel)
                           << ", expected a quarter of the columns of the input, "
                              "which is "
                           << shapeText(input) << ", and one as its second";
    unpacked = {kernel[0], input.back(), kernel[2], kernel[3] / 4};
    kernel = unpacked;
    if (failed(checkShape(getOperation(), "row_scale", getRowScale(),
                          {input[0], input[1]}, "rows of the input")) ||
        failed(checkShape(getOperation(), "kernel_scale", getKernelScale(),
                          {kernel[0], kernel[2], kernel[3]},
                          "blocks x gates x width")))
      return failure();
  } else if (getElementTypeOrSelf(getInput().getType()).isInteger() ||
             getElementTypeOrSelf(getKernel().getType()).isInteger()) {
    return emitOpError() << "expected scales with operands of i8";
  }
  // gru_packed_dense_c1
  if (input.empty() || !fits(input.back(), kernel[1]))
    return emitOpError() << "kernel is " << shapeText(kernel)
                         << ", expected the last dimension of the input, "
                            "which is "
                         << shapeText(input) << ", as its second";
  // gru_packed_dense_c2
  if (failed(checkShape(getOperation(), "bias", getBias(),
                        {kernel[0], kernel[2], kernel[3]},
                        "blocks x gates x width of the kernel")))
    return failure();
  // gru_packed_dense_c3
  if (isProjection()) {
    if (input.size() != 3)
      return emitOpError() << "input is " << shapeText(input)
                           << ", expected rank 3 for a projection";
    int64_t time = input[getTimeMajor() ? 0 : 1],
            batch = input[getTimeMajor() ? 1 : 0];
    int64_t width = init[4], blocks = kernel[0];
    int64_t columns = kernel[0] * kernel[3];
    if (width > 0 && width % kernel[3] == 0 && columns % width == 0)
      blocks = columns / width;
    else
      width = kernel[3];
    if (failed(checkShape(getOperation(), "destination", getInit(),
                          {time, batch, blocks, kernel[2], width},
                          "timesteps x batch x blocks x gates x width")))
      return failure();
  } else {
    SmallVector<int64_t> expected(input);
    expected.back() = init.empty() ? 0 : init.back();
    if (failed(checkShape(getOperation(), "destination", getInit(), expected,
                          "leading dimensions of the input x columns")))
      return failure();
    if (kernel[2] != 1 || init.back() > kernel[0] * kernel[3])
      return emitOpError() << "kernel is " << shapeText(kernel)
                           << ", expected blocks of one gate that cover the "
                           << init.back() << " columns of the destination";
  }
  return verifyResults(*this);
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

/// A kernel of the shape [NB, H, G, W], or of bytes of such a shape.
static LogicalResult checkKernel(Operation *op, Value kernel,
                                 ArrayRef<int64_t> shape) {
  if (!getElementTypeOrSelf(kernel.getType()).isInteger())
    return checkShape(op, "kernel", kernel, shape,
                      "blocks x units x gates x width");
  return checkShape(op, "kernel", kernel,
                    {shape[0], getQuantizedRows(shape[1]), shape[2], 4 * shape[3]},
                    "blocks x a quarter of the units and one x gates x four widths");
}

void QuantizeRowsOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  destinationEffects(cast<DestinationStyleOpInterface>(getOperation()), {},
                     effects);
}

LogicalResult QuantizeRowsOp::verify() {
  // gru_quantize_rows_c1
  SmallVector<int64_t> shape(shapeOf(getInput()));
  if (ShapedType::isDynamic(shape.back()))
    return emitOpError() << "input is " << shapeText(shape)
                         << ", expected a fixed number of columns";
  SmallVector<int64_t> rows(ArrayRef(shape).drop_back());
  shape.back() = getPaddedColumns(shape.back());
  if (failed(checkShape(getOperation(), "bytes", getBytes(), shape,
                        "the input's, its columns to a multiple of 16")) ||
      failed(checkShape(getOperation(), "scale", getScale(), rows,
                        "rows of the input")))
    return failure();
  return verifyResults(*this);
}

LogicalResult DotBytesOp::verify() {
  int64_t bytes = cast<VectorType>(getLeft().getType()).getNumElements();
  int64_t lanes = cast<VectorType>(getAcc().getType()).getNumElements();
  if (bytes == 4 * lanes)
    return success();
  return emitOpError() << "has " << bytes << " bytes for " << lanes
                       << " lanes, expected four to a lane";
}

//===----------------------------------------------------------------------===//
// gru.recur
//===----------------------------------------------------------------------===//

MutableOperandRange RecurOp::getDpsInitsMutable() {
  unsigned begin = getStateMutable().getOperandNumber();
  return MutableOperandRange(getOperation(), begin,
                             getNumOperands() - begin);
}

MutableOperandRange DeviceRnnOp::getDpsInitsMutable() {
  auto [begin, ignored] = getODSOperandIndexAndLength(4);
  return MutableOperandRange(getOperation(), begin,
                             getNumOperands() - begin);
}

void DeviceRnnOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  destinationEffects(cast<DestinationStyleOpInterface>(getOperation()), {},
                     effects);
}

LogicalResult DeviceRnnOp::verify() {
  Operation *op = getOperation();
  int64_t cells = getCells(), directions = getDirections();
  if (getLibrary() != kCudnn && getLibrary() != kGPU)
    return emitOpError() << "library is '" << getLibrary()
                         << "', expected cudnn or gpu";
  // gru_device_rnn_c1
  int64_t perCell = cells > 0 ? getWeights().size() / cells : 0;
  if (getLayers() < 1 || getWeights().size() != size_t(perCell * cells) ||
      (perCell != 2 && perCell != 3))
    return emitOpError() << "has " << getWeights().size() << " weights for "
                         << getLayers() << " layers of " << directions
                         << " directions, expected two or three per cell";
  // gru_device_rnn_c2
  auto checkCount = [&](StringRef kind, size_t found,
                        int64_t expected) -> LogicalResult {
    if (found == 0 || found == size_t(expected))
      return success();
    return emitOpError() << "has " << found << " " << kind
                         << ", expected none or " << expected;
  };
  if (failed(checkCount("initial states", getInitialStates().size(), cells)) ||
      failed(checkCount("sequences", getSequences().size(), directions)) ||
      failed(checkCount("last outputs", getLasts().size(), directions)) ||
      failed(checkCount("states", getStates().size(), cells)))
    return failure();
  // gru_device_rnn_c3
  ArrayRef<int64_t> input = shapeOf(getInput());
  int64_t batch = input[getTimeMajor() ? 1 : 0];
  int64_t time = input[getTimeDim()], units = getUnits();
  SmallVector<int64_t> batchTime{batch, time}, sequence{batch, time, units};
  if (getTimeMajor()) {
    std::swap(batchTime[0], batchTime[1]);
    std::swap(sequence[0], sequence[1]);
  }
  for (int64_t cell = 0; cell < cells; ++cell) {
    int64_t features = cell < directions ? input[2] : directions * units;
    auto weights = getWeights().slice(cell * perCell, perCell);
    if (failed(checkShape(op, "kernel", weights[0], {features, 3 * units},
                          "features x 3*units")) ||
        failed(checkShape(op, "recurrent_kernel", weights[1],
                          {units, 3 * units}, "units x 3*units")))
      return failure();
    if (perCell == 3 &&
        failed(checkShape(op, "bias", weights[2],
                          getResetAfter()
                              ? SmallVector<int64_t>{2, 3 * units}
                              : SmallVector<int64_t>{3 * units},
                          "the form that reset_after asks for")))
      return failure();
  }
  if (failed(checkShape(op, "mask", getMask(), batchTime, "batch, timesteps")))
    return failure();
  for (Value value : getSequences())
    if (failed(checkShape(op, "sequence", value, sequence,
                          "batch x timesteps x units")))
      return failure();
  for (ValueRange values :
       {ValueRange(getInitialStates()), ValueRange(getLasts()),
        ValueRange(getStates())})
    for (Value value : values)
      if (failed(checkShape(op, "state", value, {batch, units},
                            "batch x units")))
        return failure();
  return verifyResults(*this);
}

void DeviceKernelOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : getReadsMutable())
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
  for (OpOperand &operand : getWritesMutable())
    effects.emplace_back(MemoryEffects::Write::get(), &operand);
}

void DeviceMoveOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  // A mirror is no value of its own: nothing may pass a move.
  effects.emplace_back(MemoryEffects::Read::get(), &getBufferMutable());
  effects.emplace_back(MemoryEffects::Write::get(), &getBufferMutable());
}

void RecurOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  destinationEffects(cast<DestinationStyleOpInterface>(getOperation()),
                     {getState()}, effects);
}

LogicalResult RecurOp::verify() {
  Operation *op = getOperation();
  int64_t units = getUnits();
  // gru_recur_c2
  size_t numKernels = getResetAfter() ? 1 : 2;
  if (getKernels().size() != numKernels)
    return emitOpError() << "has " << getKernels().size()
                         << " kernels, expected " << numKernels
                         << (getResetAfter() ? " with" : " without")
                         << " reset_after";
  // gru_recur_c3
  if (!getProjection() == !getInput() || (getInputBias() && !getInput()))
    return emitOpError() << "expected either a projection or an input with its "
                            "kernel";
  auto [timeSource, timeDim] = getTimeDim();
  int64_t time = shapeOf(timeSource)[timeDim],
          batch = shapeOf(timeSource)[1 - timeDim];
  int64_t blocks = getBlocks(), width = getWidth();
  // gru_recur_c1
  if (Value source = getProjection()) {
    ArrayRef<int64_t> projection = shapeOf(source);
    blocks = projection[2];
    width = projection[4];
    if (ShapedType::isDynamic(units) || projection[3] != 3 ||
        ShapedType::isDynamic(blocks) || ShapedType::isDynamic(width) ||
        blocks != llvm::divideCeilSigned(units, width))
      return emitOpError()
             << "projection is " << shapeText(projection)
             << ", expected timesteps x batch x blocks x 3 x width "
                "with blocks that cover the "
             << shapeText({units}) << " units of the state";
  } else if (failed(checkShape(op, "input_kernel", getInputKernel(),
                               {blocks, shapeOf(getInput())[2], 3, width},
                               "blocks x features x 3 x width")) ||
             failed(checkShape(op, "input_bias", getInputBias(),
                               {blocks, 3, width}, "blocks x 3 x width"))) {
    return failure();
  }
  // gru_recur_c4
  if (isQuantized() && (getRecurrentDropoutMask() || getElementType().getIntOrFloatBitWidth() < 32))
    return emitOpError() << "expected kernels of i8 without recurrent dropout and "
                            "with a state of f32";
  for (auto [index, kernel] : llvm::enumerate(getKernels())) {
    int64_t gates = getResetAfter() ? 3 : (index == 0 ? 2 : 1);
    if (getElementTypeOrSelf(kernel.getType()).isInteger() !=
        (index < getKernelScales().size()))
      return emitOpError() << "expected a scale for each kernel of i8 and none "
                              "for others";
    if (failed(checkKernel(op, kernel, {blocks, units, gates, width})))
      return failure();
    if (index < getKernelScales().size() &&
        failed(checkShape(op, "kernel_scale", getKernelScales()[index],
                          {blocks, gates, width}, "blocks x gates x width")))
      return failure();
  }
  SmallVector<int64_t> batchTime =
      getTimeMajor() ? SmallVector<int64_t>{time, batch}
                     : SmallVector<int64_t>{batch, time};
  SmallVector<int64_t> sequence(batchTime);
  sequence.push_back(units);
  if (getRecurrentBias() && !getResetAfter())
    return emitOpError() << "has a recurrent bias, expected none without "
                            "reset_after";
  if (failed(checkShape(op, "recurrent_bias", getRecurrentBias(),
                        {blocks, 1, width}, "blocks x 1 x width")) ||
      failed(checkShape(op, "mask", getMask(), batchTime, "batch, timesteps")) ||
      failed(checkShape(op, "reset", getReset(), batchTime, "batch, timesteps")) ||
      failed(checkShape(op, "recurrent_dropout_mask", getRecurrentDropoutMask(),
                        {3, batch, units}, "3 x batch x units")) ||
      failed(checkShape(op, "state", getState(), {batch, units},
                        "batch x units")) ||
      failed(checkShape(op, "sequence", getSequence(), sequence,
                        "batch, timesteps, units")) ||
      failed(checkShape(op, "last", getLast(), {batch, units},
                        "batch x units")))
    return failure();
  return verifyResults(*this);
}

//===----------------------------------------------------------------------===//
// gru.step
//===----------------------------------------------------------------------===//

void StepOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  auto *resource = SideEffects::DefaultResource::get();
  for (OpOperand &operand : getOperation()->getOpOperands()) {
    Value value = operand.get();
    bool intermediate = value == getUpdate() || value == getResetState();
    bool written = value == getNewState() || value == getOutput() ||
                   value == getPreactivations() ||
                   value == getDroppedState() ||
                   (intermediate && getPhase() == StepPhase::gates);
    effects.emplace_back(written ? static_cast<MemoryEffects::Effect *>(
                                       MemoryEffects::Write::get())
                                 : MemoryEffects::Read::get(),
                         &operand, resource);
  }
}

LogicalResult StepOp::verify() {
  Operation *op = getOperation();
  if (!getProjection() == !getInput() || (getInputBias() && !getInput()))
    return emitOpError() << "expected either a projection or an input with its "
                            "kernel";
  int64_t batch = shapeOf(getState())[0], blocks = shapeOf(getKernel())[0],
          width = getWidth(), units = getUnits();
  if (llvm::any_of(shapeOf(getState()), ShapedType::isDynamic) ||
      llvm::any_of(shapeOf(getKernel()), ShapedType::isDynamic))
    return emitOpError() << "state is " << shapeText(shapeOf(getState()))
                         << " and kernel " << shapeText(shapeOf(getKernel()))
                         << ", expected fixed sizes";
  if (getInput() &&
      (failed(checkShape(op, "input", getInput(),
                         {batch, shapeOf(getInputKernel())[1]},
                         "batch x features")) ||
       failed(checkShape(op, "input_kernel", getInputKernel(),
                         {blocks, shapeOf(getInput())[1], 3, width},
                         "blocks x features x 3 x width")) ||
       failed(checkShape(op, "input_bias", getInputBias(), {blocks, 3, width},
                         "blocks x 3 x width"))))
    return failure();
  if (getElementTypeOrSelf(getKernel().getType()).isInteger() !=
      bool(getKernelScale()))
    return emitOpError() << "expected a kernel_scale for a kernel of i8 and none "
                            "for others";
  if (bool(getKernelScale()) != bool(getBytes()) ||
      bool(getBytes()) != bool(getRowScale()) ||
      (getBytes() && getRecurrentDropoutMask()))
    return emitOpError() << "expected bytes and row_scale with a kernel of i8, and no "
                            "recurrent dropout then";
  bool all = getPhase() == StepPhase::all;
  int64_t gates = all ? 3 : (getPhase() == StepPhase::gates ? 2 : 1);
  SmallVector<int64_t> padded{batch, blocks * width};
  if (failed(checkShape(op, "projection", getProjection(),
                        {batch, blocks, 3, width},
                        "batch x blocks x 3 x width")) ||
      failed(checkKernel(op, getKernel(), {blocks, units, gates, width})) ||
      failed(checkShape(op, "kernel_scale", getKernelScale(),
                        {blocks, gates, width}, "blocks x gates x width")) ||
      failed(checkShape(op, "bytes", getBytes(),
                        {batch, QuantizeRowsOp::getPaddedColumns(units)},
                        "batch x units, to a multiple of 16")) ||
      failed(checkShape(op, "row_scale", getRowScale(), {batch}, "batch")) ||
      failed(checkShape(op, "recurrent_bias", getRecurrentBias(),
                        {blocks, 1, width}, "blocks x 1 x width")) ||
      failed(checkShape(op, "state", getState(), padded, "batch x padded units")) ||
      failed(checkShape(op, "recurrent_dropout_mask", getRecurrentDropoutMask(),
                        {3, batch, blocks * width}, "3 x batch x padded units")) ||
      failed(checkShape(op, "dropped_state", getDroppedState(),
                        {gates, batch, blocks * width},
                        "gates of the kernel x batch x padded units")) ||
      failed(checkShape(op, "preactivations", getPreactivations(),
                        {batch, 3, blocks * width},
                        "batch x 3 x padded units")) ||
      failed(checkShape(op, "update", getUpdate(), padded, "batch x padded units")) ||
      failed(checkShape(op, "reset_state", getResetState(), padded,
                        "batch x padded units")) ||
      failed(checkShape(op, "new_state", getNewState(), padded,
                        "batch x padded units")) ||
      failed(checkShape(op, "output", getOutput(), {batch, units},
                        "batch x units")) ||
      failed(checkShape(op, "mask", getMask(), {batch}, "batch")) ||
      failed(checkShape(op, "emit", getEmit(), {batch}, "batch")))
    return failure();
  bool finishes = getPhase() != StepPhase::gates;
  if (finishes != bool(getNewState()))
    return emitOpError() << "phase " << stringifyStepPhase(getPhase())
                         << (finishes ? " needs" : " takes no") << " new_state";
  bool dropout = bool(getRecurrentDropoutMask());
  if (dropout && getPhase() == StepPhase::candidate)
    return emitOpError() << "phase candidate takes no recurrent_dropout_mask";
  if (dropout != bool(getDroppedState()))
    return emitOpError() << (dropout ? "has a recurrent_dropout_mask and needs "
                                     : "has no recurrent_dropout_mask and takes "
                                       "no ")
                         << "dropped_state";
  if (hasRowwiseActivation() && !getPreactivations())
    return emitOpError() << "has a row-wise activation and needs "
                            "preactivations";
  if (!all != bool(getUpdate()) || !all != bool(getResetState()))
    return emitOpError() << "phase " << stringifyStepPhase(getPhase())
                         << (all ? " takes no" : " needs")
                         << " update and reset_state";
  return success();
}
