//===- GRUDeviceOps.cpp - verifiers and effects on devices ----------------===//
//
// Tags such as gru_device_rnn_c1 name the rules listed in GRUDeviceOps.td.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDeviceOps.h"

#include "dialect/Verify.h"

using namespace mlir;
using namespace gru;

#define GET_OP_CLASSES
#include "dialect/GRUDeviceOps.cpp.inc"

MutableOperandRange DeviceRnnOp::getDpsInitsMutable() {
  auto [begin, ignored] = getODSOperandIndexAndLength(4);
  return MutableOperandRange(getOperation(), begin, getNumOperands() - begin);
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
                          getResetAfter() ? SmallVector<int64_t>{2, 3 * units}
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
  for (ValueRange values : {ValueRange(getInitialStates()),
                            ValueRange(getLasts()), ValueRange(getStates())})
    for (Value value : values)
      if (failed(
              checkShape(op, "state", value, {batch, units}, "batch x units")))
        return failure();
  return verifyResults(cast<DestinationStyleOpInterface>(getOperation()));
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
