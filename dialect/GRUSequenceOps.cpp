//===- GRUSequenceOps.cpp - packed weights and the recurrence -------------===//
//
// Tags such as gru_pack_c1 name the rules listed in GRUOps.td.
//
//===----------------------------------------------------------------------===//

#include "dialect/Verify.h"

using namespace mlir;
using namespace gru;

//===----------------------------------------------------------------------===//
// gru.pack
//===----------------------------------------------------------------------===//

/// Shape of the packed result, or why there is none.
static FailureOr<SmallVector<int64_t>> packedShape(std::optional<Location> loc,
                                                   ArrayRef<int64_t> source,
                                                   PackPart part, int64_t gates,
                                                   int64_t width) {
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
  if (failed(checkShape(
          getOperation(), "result", getResult(),
          {(*shape)[0], getPackedRows(rows), (*shape)[2], 4 * (*shape)[3]},
          "blocks of width units, four rows in one")))
    return failure();
  shape->erase(shape->begin() + 1);
  return checkShape(getOperation(), "scale", getScale(), *shape,
                    "blocks of width units");
}

LogicalResult
PackOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc,
                         ValueRange operands, DictionaryAttr attributes,
                         OpaqueProperties properties, RegionRange regions,
                         SmallVectorImpl<Type> &types) {
  Adaptor adaptor(operands, attributes, properties, regions);
  auto source = cast<RankedTensorType>(adaptor.getSource().getType());
  FailureOr<SmallVector<int64_t>> shape =
      packedShape(loc, source.getShape(), adaptor.getPart(), adaptor.getGates(),
                  adaptor.getWidth());
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
// gru.nonzero_rows
//===----------------------------------------------------------------------===//

LogicalResult NonzeroRowsOp::inferReturnTypes(MLIRContext *context,
                                              std::optional<Location>,
                                              ValueRange operands,
                                              DictionaryAttr, OpaqueProperties,
                                              RegionRange,
                                              SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> kernel = shapeOf(operands[0]);
  types.assign({RankedTensorType::get({kernel[0], kernel[2], 1 + kernel[1]},
                                      IntegerType::get(context, 32))});
  return success();
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
      return emitOpError()
             << "expected scales for a projection of bytes by bytes "
                "without an activation only";
    if (!fits(input.back(),
              QuantizeRowsOp::getPaddedColumns(4 * (kernel[1] - 1))))
      return emitOpError()
             << "kernel is " << shapeText(kernel)
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
  return verifyResults(cast<DestinationStyleOpInterface>(getOperation()));
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
  return checkShape(
      op, "kernel", kernel,
      {shape[0], QuantizedPackOp::getPackedRows(shape[1]), shape[2],
       4 * shape[3]},
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
  return verifyResults(cast<DestinationStyleOpInterface>(getOperation()));
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
  return MutableOperandRange(getOperation(), begin, getNumOperands() - begin);
}

void RecurOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  destinationEffects(cast<DestinationStyleOpInterface>(getOperation()),
                     {getState()}, effects);
}

int64_t RecurOp::countProducts(int64_t openTimesteps) {
  auto count = [](Value kernel) {
    return cast<ShapedType>(kernel.getType()).getNumElements();
  };
  int64_t products = getInputKernel() ? count(getInputKernel()) : 0;
  for (Value kernel : getKernels())
    products += count(kernel);
  auto [source, dim] = getTimeDim();
  int64_t timesteps = shapeOf(source)[dim];
  return products * getBatch() *
         (ShapedType::isDynamic(timesteps) ? openTimesteps : timesteps);
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
  // The reference computes in f64.
  if (isQuantized() && (getRecurrentDropoutMask() ||
                        getElementType().getIntOrFloatBitWidth() < 32))
    return emitOpError()
           << "expected kernels of i8 without recurrent dropout and "
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
    // gru_recur_c5
    if (!getKernelRows().empty() &&
        (isQuantized() || getKernelRows().size() != numKernels))
      return emitOpError() << "has " << getKernelRows().size()
                           << " kernel_rows, expected one for each kernel, or "
                              "none, as of kernels of i8";
    if (index < getKernelRows().size() &&
        failed(checkShape(op, "kernel_rows", getKernelRows()[index],
                          {blocks, gates, 1 + units},
                          "blocks x gates x one and the units")))
      return failure();
  }
  SmallVector<int64_t> batchTime = getTimeMajor()
                                       ? SmallVector<int64_t>{time, batch}
                                       : SmallVector<int64_t>{batch, time};
  SmallVector<int64_t> sequence(batchTime);
  sequence.push_back(units);
  if (getRecurrentBias() && !getResetAfter())
    return emitOpError() << "has a recurrent bias, expected none without "
                            "reset_after";
  if (failed(checkShape(op, "recurrent_bias", getRecurrentBias(),
                        {blocks, 1, width}, "blocks x 1 x width")) ||
      failed(
          checkShape(op, "mask", getMask(), batchTime, "batch, timesteps")) ||
      failed(
          checkShape(op, "reset", getReset(), batchTime, "batch, timesteps")) ||
      failed(checkShape(op, "recurrent_dropout_mask", getRecurrentDropoutMask(),
                        {3, batch, units}, "3 x batch x units")) ||
      failed(checkShape(op, "state", getState(), {batch, units},
                        "batch x units")) ||
      failed(checkShape(op, "sequence", getSequence(), sequence,
                        "batch, timesteps, units")) ||
      failed(
          checkShape(op, "last", getLast(), {batch, units}, "batch x units")))
    return failure();
  return verifyResults(cast<DestinationStyleOpInterface>(getOperation()));
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
                   value == getPreactivations() || value == getDroppedState() ||
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
    return emitOpError()
           << "expected a kernel_scale for a kernel of i8 and none "
              "for others";
  if (bool(getKernelScale()) != bool(getBytes()) ||
      bool(getBytes()) != bool(getRowScale()) ||
      (getBytes() && getRecurrentDropoutMask()))
    return emitOpError()
           << "expected bytes and row_scale with a kernel of i8, and no "
              "recurrent dropout then";
  if (getKernelRows() && getBytes())
    return emitOpError() << "expected no kernel_rows of a kernel of i8";
  bool all = getPhase() == StepPhase::all;
  int64_t gates = all ? 3 : (getPhase() == StepPhase::gates ? 2 : 1);
  SmallVector<int64_t> padded{batch, blocks * width};
  if (failed(checkShape(op, "projection", getProjection(),
                        {batch, blocks, 3, width},
                        "batch x blocks x 3 x width")) ||
      failed(checkKernel(op, getKernel(), {blocks, units, gates, width})) ||
      failed(checkShape(op, "kernel_scale", getKernelScale(),
                        {blocks, gates, width}, "blocks x gates x width")) ||
      failed(checkShape(op, "kernel_rows", getKernelRows(),
                        {blocks, gates, 1 + units},
                        "blocks x gates x one and the units")) ||
      failed(checkShape(op, "bytes", getBytes(),
                        {batch, QuantizeRowsOp::getPaddedColumns(units)},
                        "batch x units, to a multiple of 16")) ||
      failed(checkShape(op, "row_scale", getRowScale(), {batch}, "batch")) ||
      failed(checkShape(op, "recurrent_bias", getRecurrentBias(),
                        {blocks, 1, width}, "blocks x 1 x width")) ||
      failed(checkShape(op, "state", getState(), padded,
                        "batch x padded units")) ||
      failed(checkShape(op, "recurrent_dropout_mask", getRecurrentDropoutMask(),
                        {3, batch, blocks * width},
                        "3 x batch x padded units")) ||
      failed(checkShape(op, "dropped_state", getDroppedState(),
                        {gates, batch, blocks * width},
                        "gates of the kernel x batch x padded units")) ||
      failed(checkShape(op, "preactivations", getPreactivations(),
                        {batch, 3, blocks * width},
                        "batch x 3 x padded units")) ||
      failed(checkShape(op, "update", getUpdate(), padded,
                        "batch x padded units")) ||
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
    return emitOpError() << (dropout
                                 ? "has a recurrent_dropout_mask and needs "
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
