//===- ReferenceLoops.cpp - the yardstick: plain scalar loops -------------===//
//
// Every gru operation as the loops that its formula says; that of a step stands
// in Recurrence.h.
//
//===----------------------------------------------------------------------===//

#include "lowering/reference/ReferenceLoops.h"

#include "lowering/Passes.h"

#include "llvm/ADT/TypeSwitch.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTTOREFERENCELOOPSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct ConvertToReferenceLoopsPass
    : gru::impl::ConvertToReferenceLoopsPassBase<ConvertToReferenceLoopsPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<GRUOp, CellOp, DenseOp, PackOp, QuantizedPackOp, QuantizeRowsOp,
              PackedDenseOp, RecurOp, StepOp>(op))
        ops.push_back(op);
    });
    SmallVector<NonzeroRowsOp> lists;
    getOperation().walk([&](NonzeroRowsOp op) { lists.push_back(op); });
    for (Operation *op : ops) {
      OpBuilder b(op);
      reference::Scalar s(b, op->getLoc());
      llvm::TypeSwitch<Operation *>(op)
          .Case<GRUOp, CellOp, DenseOp, PackOp, QuantizedPackOp, QuantizeRowsOp,
                PackedDenseOp, RecurOp, StepOp>(
              [&](auto typed) { reference::lower(s, typed); });
      op->erase();
    }
    // All rows are read here, those of zeros too.
    for (NonzeroRowsOp op : lists)
      op.erase();
  }
};
} // namespace
