//===- Explain.cpp - which backend, and why --------------------------------===//

#include "compiler/explain/Explain.h"

#include "compiler/explain/MachineBounds.h"
#include "compiler/jit/DiskCache.h"
#include "dialect/GRUDialect.h"
#include "lowering/halide/Kernels.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace gru;

namespace {
struct Candidate {
  std::string backend;
  SmallVector<std::string> unmet;
  std::string fix;
};

struct LayerRow {
  std::string name, operation, backend;
  bool kerasCudnnEligible;
  SmallVector<std::string> kerasReasons;
  SmallVector<Candidate> candidates;
  /// Of one timestep of the batch that is compiled for.
  int64_t flops, bytes;
  /// The least time of such a step, where this machine has been measured.
  std::optional<double> boundNanoseconds;
};
} // namespace

static std::string nameOf(Operation *op) {
  if (auto name = op->getLoc()->findInstanceOf<NameLoc>())
    return name.getName().str();
  return "";
}

/// Keras's own rule for taking cuDNN, as far as the layer decides it. Masks are
/// looked at when the program runs.
static SmallVector<std::string> kerasCudnnReasons(RecurrentOpInterface layer) {
  SmallVector<std::string> reasons;
  if (layer.getCandidateActivation().getKind() != ActivationKind::tanh)
    reasons.push_back("activation != tanh");
  if (layer.getGateActivation().getKind() != ActivationKind::sigmoid)
    reasons.push_back("recurrent_activation != sigmoid");
  auto op = dyn_cast<GRUOp>(layer.getOperation());
  if (op && op.getRecurrentDropout().convertToDouble() != 0)
    reasons.push_back("recurrent_dropout != 0");
  if (op && op.getUnroll())
    reasons.push_back("unroll");
  bool hasBias = op ? op.getBias() != nullptr
                    : cast<CellOp>(layer.getOperation()).getBias() != nullptr;
  if (!hasBias)
    reasons.push_back("use_bias is False");
  if (!layer.isResetAfter())
    reasons.push_back("reset_after is False");
  if (!op || op.getFromCell())
    reasons.push_back("layer is an RNN around a cell");
  return reasons;
}

/// Why Halide would leave a layer's step to the cpu target.
static Candidate halideCandidate(RecurrentOpInterface layer) {
  Candidate halide{"halide", {}, ""};
  auto input = cast<ShapedType>(layer->getOperand(0).getType());
  std::string refusal =
      checkHalideLayer(layer.getCandidateActivation(),
                       layer.getGateActivation(), input.getElementType());
  if (!refusal.empty()) {
    halide.unmet.push_back(refusal);
    halide.fix = "the cpu target's step is taken";
  }
  return halide;
}

static std::vector<LayerRow> collect(ModuleOp module,
                                     const CompileTarget &target) {
  std::vector<LayerRow> rows;
  std::optional<MachineBounds> machine =
      MachineBounds::load(DiskCache::getDefaultDirectory());
  module.walk([&](RecurrentOpInterface layer) {
    LayerRow row;
    row.name = nameOf(layer);
    row.operation = layer->getName().getStringRef();
    row.kerasReasons = kerasCudnnReasons(layer);
    row.kerasCudnnEligible = row.kerasReasons.empty();
    row.candidates = {{"cpu", {}, ""}, halideCandidate(layer), {"reference", {}, ""}};
    row.backend = target.backend;
    if (row.backend == "halide" && !row.candidates[1].unmet.empty())
      row.backend = "cpu";
    int64_t units = layer.getUnits(), features = layer.getFeatures();
    auto input = cast<ShapedType>(layer->getOperand(0).getType());
    int64_t batch = std::max<int64_t>(target.batch, 1);
    int64_t bytes = std::max<int64_t>(1, input.getElementTypeBitWidth() / 8);
    // A multiply and an add per weight and row; every weight read once.
    row.flops = 2 * 3 * units * (units + features) * batch;
    row.bytes = 3 * units * (units + features) * bytes;
    // Bounds are measured in f32.
    if (machine && bytes == 4)
      row.boundNanoseconds =
          machine->getNanoseconds(row.flops, row.bytes, row.bytes);
    rows.push_back(std::move(row));
  });
  return rows;
}

void gru::explainAsText(ModuleOp module, const CompileTarget &target,
                        llvm::raw_ostream &os) {
  for (const LayerRow &row : collect(module, target)) {
    os << "layer '" << row.name << "' (" << row.operation
       << "): " << row.backend << "\n";
    for (const Candidate &candidate : row.candidates) {
      if (candidate.unmet.empty() ||
          (candidate.backend == "halide" && target.backend != "halide"))
        continue;
      os << "  " << candidate.backend
         << " refuses: " << llvm::join(candidate.unmet, ", ") << "; "
         << candidate.fix << "\n";
    }
    os << "  Keras would "
       << (row.kerasCudnnEligible
               ? std::string("take cuDNN, unless a mask is not right-padded")
               : "not take cuDNN: " + llvm::join(row.kerasReasons, ", "))
       << "\n";
    os << llvm::formatv("  per step: {0} FLOP, {1} bytes of weights",
                        row.flops, row.bytes);
    if (row.boundNanoseconds)
      os << llvm::formatv(", at least {0:f0} ns", *row.boundNanoseconds);
    os << "\n";
  }
}

void gru::explainAsJSON(ModuleOp module, const CompileTarget &target,
                        llvm::raw_ostream &os) {
  llvm::json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attributeArray("layers", [&] {
      for (const LayerRow &row : collect(module, target))
        json.object([&] {
          json.attribute("name", row.name);
          json.attribute("op", row.operation);
          json.attribute("backend", row.backend);
          json.attribute("keras_cudnn_eligible", row.kerasCudnnEligible);
          json.attributeArray("keras_cudnn_reasons", [&] {
            for (const std::string &reason : row.kerasReasons)
              json.value(reason);
          });
          json.attributeArray("candidates", [&] {
            for (const Candidate &candidate : row.candidates)
              json.object([&] {
                json.attribute("backend", candidate.backend);
                json.attribute("accepted", candidate.unmet.empty());
                json.attributeArray("unmet", [&] {
                  for (const std::string &unmet : candidate.unmet)
                    json.value(unmet);
                });
                json.attribute("fix", candidate.fix);
              });
          });
          json.attribute("flops", row.flops);
          json.attribute("bytes", row.bytes);
          // gru-bench measures machines.
          if (row.boundNanoseconds)
            json.attribute("bound_ns", *row.boundNanoseconds);
          else
            json.attribute("bound_ns", nullptr);
        });
    });
  });
  os << "\n";
}
