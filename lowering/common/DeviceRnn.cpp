//===- DeviceRnn.cpp - building gru.device_rnn from layers ----------------===//

#include "lowering/common/DeviceRnn.h"

#include "lowering/common/Buffers.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gru;

DeviceRnnBuilder::DeviceRnnBuilder(llvm::StringRef library,
                                   ArrayRef<DeviceRnnCell> cells,
                                   bool bidirectional, bool writesWhereRead,
                                   bool required)
    : library(library), cells(cells), bidirectional(bidirectional),
      writesWhereRead(writesWhereRead), required(required) {
  auto addKind = [&](bool lastLayerOnly, auto getResult) -> size_t {
    SmallVector<DeviceRnnResult> kind;
    bool used = false;
    for (const DeviceRnnCell &cell : cells) {
      if (lastLayerOnly && !cell.isLastLayer)
        continue;
      GRUOp layer = cell.layer;
      Value result = getResult(layer);
      bool isSequence = result == layer.getSequence();
      kind.push_back({result, isSequence && layer.getGoBackwards() &&
                                  (bidirectional || writesWhereRead)});
      used |= !result.use_empty();
    }
    if (!used)
      return 0;
    llvm::append_range(results, kind);
    return kind.size();
  };
  numSequences = addKind(true, [](GRUOp op) { return op.getSequence(); });
  numLasts = addKind(true, [](GRUOp op) { return op.getLast(); });
  numStates = addKind(false, [](GRUOp op) { return op.getState(); });
}

SmallVector<Value> DeviceRnnBuilder::createDestinations(OpBuilder &b,
                                                        Location loc,
                                                        bool ofBranches) const {
  GRUOp first = cells.front().layer;
  SmallVector<Value> destinations;
  for (const DeviceRnnResult &result : results) {
    auto type = cast<RankedTensorType>(result.original.getType());
    SmallVector<Value> sizes;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      // Batch is static, so what is open is the number of timesteps.
      if (type.isDynamicDim(dim))
        sizes.push_back(tensor::DimOp::create(b, loc, first.getInput(),
                                              first.getTimeDim()));
    // Each writer of a tensor.empty would get one of its own.
    if (ofBranches)
      destinations.push_back(
          bufferization::AllocTensorOp::create(b, loc, type, sizes));
    else
      destinations.push_back(tensor::EmptyOp::create(
          b, loc, type.getShape(), type.getElementType(), sizes));
  }
  return destinations;
}

SmallVector<Value>
DeviceRnnBuilder::create(OpBuilder &b, Location loc,
                         ArrayRef<Value> destinations) const {
  GRUOp first = cells.front().layer, last = cells.back().layer;
  SmallVector<Value> weights, initialStates;
  for (const DeviceRnnCell &cell : cells) {
    GRUOp layer = cell.layer;
    weights.append({layer.getKernel(), layer.getRecurrentKernel()});
    if (layer.getBias())
      weights.push_back(layer.getBias());
    if (layer.getInitialState())
      initialStates.push_back(layer.getInitialState());
  }
  UnitAttr yes = b.getUnitAttr(), no;
  int64_t directions = bidirectional ? 2 : 1;
  auto op = DeviceRnnOp::create(
      b, loc, TypeRange(ValueRange(destinations)), b.getStringAttr(library),
      first.getInput(), weights, initialStates, last.getMask(),
      destinations.take_front(numSequences),
      destinations.slice(numSequences, numLasts),
      destinations.take_back(numStates),
      b.getI64IntegerAttr(cells.size() / directions), bidirectional ? yes : no,
      !bidirectional && first.getGoBackwards() ? yes : no,
      !bidirectional && writesWhereRead ? yes : no, first.getTimeMajorAttr(),
      last.getZeroOutputForMaskAttr(), last.getResetAfterAttr(),
      last.getActivationAttr(), last.getRecurrentActivationAttr(),
      last.getClipAttr(), required ? yes : no, /*code=*/StringAttr());
  return SmallVector<Value>(op.getResults());
}

void DeviceRnnBuilder::replaceResults(ArrayRef<Value> values,
                                      ArrayRef<Operation *> reversals) const {
  for (auto [result, value] : llvm::zip_equal(results, values)) {
    if (result.writtenWhereRead)
      for (Operation *reverse : reversals)
        reverse->getResult(0).replaceAllUsesWith(value);
    else
      Value(result.original).replaceAllUsesWith(value);
  }
  for (Operation *reverse : reversals)
    reverse->erase();
}

Value gru::emitIsRightPadded(OpBuilder &b, Location loc, Value mask,
                             int64_t timeDim) {
  auto size = [&](int64_t dim) {
    return tensor::DimOp::create(b, loc, mask, dim).getResult();
  };
  Value zero = indexConstant(b, loc, 0), one = indexConstant(b, loc, 1);
  Value yes = arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
  Value time = size(timeDim);
  auto rows = scf::ForOp::create(b, loc, zero, size(1 - timeDim), one, yes);
  OpBuilder inRow = OpBuilder::atBlockBegin(rows.getBody());
  // ok, and whether the step before was true.
  auto steps = scf::ForOp::create(
      inRow, loc, zero, time, one, ValueRange{rows.getRegionIterArg(0), yes},
      [&](OpBuilder &b, Location loc, Value t, ValueRange carried) {
        SmallVector<Value> at{rows.getInductionVar(), t};
        if (timeDim == 0)
          std::swap(at[0], at[1]);
        Value step = tensor::ExtractOp::create(b, loc, mask, at);
        Value wrong = arith::XOrIOp::create(
            b, loc,
            arith::OrIOp::create(b, loc, carried[1],
                                 arith::XOrIOp::create(b, loc, step, yes)),
            yes);
        Value ok = arith::AndIOp::create(
            b, loc, carried[0], arith::XOrIOp::create(b, loc, wrong, yes));
        scf::YieldOp::create(b, loc, ValueRange{ok, step});
      });
  inRow.setInsertionPointAfter(steps);
  scf::YieldOp::create(inRow, loc, steps.getResult(0));
  return rows.getResult(0);
}
