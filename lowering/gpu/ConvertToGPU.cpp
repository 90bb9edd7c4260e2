//===- ConvertToGPU.cpp - layers become calls of our own kernel -----------===//

#include "lowering/DevicePasses.h"
#include "lowering/backends/Backends.h"
#include "lowering/common/DeviceRnn.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTTOGPUPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct ConvertToGPUPass : gru::impl::ConvertToGPUPassBase<ConvertToGPUPass> {
  void runOnOperation() override {
    SmallVector<GRUOp> layers;
    getOperation().walk([&](GRUOp op) {
      auto backend = op->getAttrOfType<StringAttr>(kBackendAttr);
      auto type = cast<RankedTensorType>(op.getInput().getType());
      if (backend && backend.getValue() == "gpu" &&
          !type.isDynamicDim(op.getBatchDim()))
        layers.push_back(op);
    });
    for (GRUOp layer : layers)
      convert(layer);
  }

  static void convert(GRUOp layer) {
    // A backward layer whose sequence is only reversed writes it that way.
    SmallVector<Operation *> reversals;
    if (layer.getGoBackwards())
      for (Operation *user : layer.getSequence().getUsers()) {
        auto reverse = dyn_cast<ReverseOp>(user);
        if (!reverse || int64_t(reverse.getDim()) != layer.getTimeDim()) {
          reversals.clear();
          break;
        }
        reversals.push_back(reverse);
      }
    OpBuilder b(layer);
    Location loc = layer.getLoc();
    DeviceRnnBuilder builder(kGPU, {{layer, true}},
                             /*bidirectional=*/false, !reversals.empty());
    SmallVector<Value> results =
        builder.create(b, loc, builder.createDestinations(b, loc));
    builder.replaceResults(results, reversals);
    layer.erase();
  }
};
} // namespace
