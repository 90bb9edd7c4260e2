//===- ChooseBackends.cpp - records which backend takes each layer --------===//

#include "lowering/DevicePasses.h"
#include "lowering/backends/Backends.h"
#include "lowering/gpu/LayerKernel.h"

namespace gru {
#define GEN_PASS_DEF_CHOOSEBACKENDSPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct ChooseBackendsPass
    : gru::impl::ChooseBackendsPassBase<ChooseBackendsPass> {
  using ChooseBackendsPassBase::ChooseBackendsPassBase;

  void runOnOperation() override {
    bool refused = false;
    getOperation().walk([&](RecurrentOpInterface layer) {
      BackendChoice choice =
          chooseBackend(layer, target, {cudnnProblem, gpuProblem});
      if (!requireBackend.empty() && choice.chosen != requireBackend) {
        refused |= failed(refuse(layer, choice));
        return;
      }
      layer->setAttr(kBackendAttr,
                     StringAttr::get(&getContext(), choice.chosen));
      remark(layer, choice);
    });
    if (refused)
      signalPassFailure();
  }

  /// Nothing leaves a device silently.
  void remark(RecurrentOpInterface layer, const BackendChoice &choice) {
    if (target != "cudnn" && target != "gpu")
      return;
    if (choice.chosen != target)
      layer->emitRemark() << target << ": "
                          << choice[target].refusals.front().condition
                          << ", so " << choice.chosen << " is used";
    if (choice.chosen == "gpu" && layer.getUnits() > kMaxUnitsInRegisters)
      layer->emitRemark()
          << "gpu: recurrent weights stay in registers for up to "
          << kMaxUnitsInRegisters << " units, found " << layer.getUnits()
          << "; they are in shared memory where they fit";
    if (choice.chosen == "cudnn" && target == "cudnn" &&
        areMasksDecidedPerCall(layer))
      layer->emitRemark()
          << "cudnn: takes the calls whose mask is right-padded, "
          << (requireBackend == "cudnn"
                  ? "which is required"
                  : (chooseBackend(layer, "gpu", {}).chosen + " the others")
                        .str());
  }

  LogicalResult refuse(RecurrentOpInterface layer,
                       const BackendChoice &choice) {
    InFlightDiagnostic error = layer->emitError();
    error << "require_backend is '" << requireBackend
          << "', but the layer is compiled for '" << choice.chosen << "'";
    for (const Candidate &candidate : choice.candidates)
      if (candidate.backend == requireBackend && !candidate.isAccepted()) {
        const Refusal &first = candidate.refusals.front();
        error << ": " << first.condition << " (" << first.fix << ")";
      }
    return error;
  }
};
} // namespace
