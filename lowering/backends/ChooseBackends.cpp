//===- ChooseBackends.cpp - records which backend takes each layer ---------===//

#include "lowering/DevicePasses.h"
#include "lowering/backends/Backends.h"

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
      BackendChoice choice = chooseBackend(layer, target, deviceProblem);
      if (requireBackend.empty() || choice.chosen == requireBackend)
        layer->setAttr(kBackendAttr,
                       StringAttr::get(&getContext(), choice.chosen));
      else
        refused |= failed(refuse(layer, choice));
    });
    if (refused)
      signalPassFailure();
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
