//===- EliminateEmptyTensors.cpp - results are computed where they belong -===//

#include "lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"

namespace gru {
#define GEN_PASS_DEF_ELIMINATEEMPTYTENSORSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;

namespace {
struct EliminateEmptyTensorsPass
    : gru::impl::EliminateEmptyTensorsPassBase<EliminateEmptyTensorsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    bufferization::OneShotBufferizationOptions options;
    options.allowReturnAllocsFromLoops = true;
    options.bufferizeFunctionBoundaries = true;
    bufferization::OneShotAnalysisState state(module, options);
    if (failed(bufferization::analyzeModuleOp(module, state)))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    SmallVector<Operation *> results;
    module.walk([&](bufferization::MaterializeInDestinationOp op) {
      results.push_back(op);
    });
    for (Operation *op : results)
      if (failed(bufferization::eliminateEmptyTensors(rewriter, op, state)))
        return signalPassFailure();
    // The callers' buffers are there before everything that may be computed in
    // them.
    module.walk([](bufferization::ToTensorOp op) {
      if (auto argument = dyn_cast<BlockArgument>(op.getBuffer()))
        op->moveBefore(argument.getOwner(), argument.getOwner()->begin());
    });
    if (failed(bufferization::eliminateEmptyTensors(rewriter, module, state)))
      return signalPassFailure();
  }
};
} // namespace
