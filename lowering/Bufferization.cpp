//===- Bufferization.cpp - bufferisation of the sequence level ------------===//

#include "lowering/Bufferization.h"

#include "dialect/GRUDeviceOps.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace gru;

namespace {
template <typename OpTy>
struct DestinationStyleModel
    : DstBufferizableOpInterfaceExternalModel<DestinationStyleModel<OpTy>,
                                              OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    auto destination = cast<DestinationStyleOpInterface>(op);
    if (!destination.isDpsInit(&operand))
      return true;
    // Only a state is read before it is written.
    auto recur = dyn_cast<RecurOp>(op);
    return recur && operand.get() == recur.getState();
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto destination = cast<DestinationStyleOpInterface>(op);
    rewriter.setInsertionPoint(op);
    SmallVector<Value> operands, results;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (isa<TensorType>(value.getType())) {
        FailureOr<Value> buffer = getBuffer(rewriter, value, options, state);
        if (failed(buffer))
          return failure();
        value = *buffer;
      }
      operands.push_back(value);
      if (destination.isDpsInit(&operand) &&
          isa<TensorType>(operand.get().getType()))
        results.push_back(value);
    }
    OperationState newState(op->getLoc(), op->getName(), operands, TypeRange{},
                            op->getAttrs());
    if (op->getPropertiesStorage())
      newState.propertiesAttr = op->getPropertiesAsAttribute();
    rewriter.create(newState);
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};
} // namespace

void gru::registerBufferizableOpInterfaceModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, GRUDialect *) {
    RecurOp::attachInterface<DestinationStyleModel<RecurOp>>(*context);
    DeviceRnnOp::attachInterface<DestinationStyleModel<DeviceRnnOp>>(*context);
    QuantizeRowsOp::attachInterface<DestinationStyleModel<QuantizeRowsOp>>(
        *context);
    PackedDenseOp::attachInterface<DestinationStyleModel<PackedDenseOp>>(
        *context);
  });
}
