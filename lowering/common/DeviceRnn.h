//===- DeviceRnn.h - building gru.device_rnn from layers --------*- C++ -*-===//

#ifndef GRU_LOWERING_COMMON_DEVICERNN_H
#define GRU_LOWERING_COMMON_DEVICERNN_H

#include "dialect/GRUDeviceOps.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gru {

/// One layer and direction of a call, in the order of gru.device_rnn's cells.
struct DeviceRnnCell {
  GRUOp layer;
  bool isLastLayer;
};

/// What a call computes in place of a layer's result.
struct DeviceRnnResult {
  mlir::Value original;
  /// The call writes in the order of time what the layer writes in the order of
  /// processing.
  bool writtenWhereRead;
};

/// Makes one gru.device_rnn out of layers that fit together. Results without a
/// use are not computed, except where a kind of result is all or none.
class DeviceRnnBuilder {
public:
  /// `writesWhereRead`: a single backward layer's sequence, in the order of
  /// time. `required`: no mask may keep the call from running.
  DeviceRnnBuilder(llvm::StringRef library, llvm::ArrayRef<DeviceRnnCell> cells,
                   bool bidirectional, bool writesWhereRead,
                   bool required = false);

  /// In the order of destinations and results of the call.
  llvm::ArrayRef<DeviceRnnResult> getResults() const { return results; }

  /// `ofBranches`: written by either branch of a condition.
  llvm::SmallVector<mlir::Value>
  createDestinations(mlir::OpBuilder &b, mlir::Location loc,
                     bool ofBranches = false) const;
  llvm::SmallVector<mlir::Value>
  create(mlir::OpBuilder &b, mlir::Location loc,
         llvm::ArrayRef<mlir::Value> destinations) const;

  /// Puts the values of a call in the place of the layers' results. `reversals`
  /// undo the order of processing, as the call does already, and are erased.
  void replaceResults(llvm::ArrayRef<mlir::Value> values,
                      llvm::ArrayRef<mlir::Operation *> reversals) const;

private:
  llvm::StringRef library;
  llvm::SmallVector<DeviceRnnCell> cells;
  bool bidirectional, writesWhereRead, required;
  llvm::SmallVector<DeviceRnnResult> results;
  size_t numSequences = 0, numLasts = 0, numStates = 0;
};

/// An i1: no row of the mask has a true step behind a false one.
mlir::Value emitIsRightPadded(mlir::OpBuilder &b, mlir::Location loc,
                              mlir::Value mask, int64_t timeDim);

} // namespace gru

#endif // GRU_LOWERING_COMMON_DEVICERNN_H
