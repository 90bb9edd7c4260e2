//===- Explain.cpp - which backend, and why -------------------------------===//

#include "compiler/explain/Explain.h"

#include "compiler/explain/MachineBounds.h"
#include "compiler/jit/DiskCache.h"
#include "dialect/GRUDialect.h"
#include "lowering/backends/Backends.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace gru;

namespace {
struct LayerRow {
  std::string name, operation;
  llvm::SmallVector<std::string> kerasReasons;
  llvm::SmallVector<CudnnCondition> conditions;
  bool maskDecides;
  BackendChoice choice;
  /// Of one timestep of the batch that is compiled for.
  int64_t flops, bytes;
  /// The least time of such a step, where this machine has been measured.
  std::optional<double> boundNanoseconds;
};
} // namespace

static std::vector<LayerRow> collect(ModuleOp module,
                                     const ExplainOptions &options) {
  std::vector<LayerRow> rows;
  std::optional<MachineBounds> machine =
      MachineBounds::load(DiskCache::getDefaultDirectory());
  module.walk([&](RecurrentOpInterface layer) {
    LayerRow row;
    row.name = getLayerName(layer);
    // A layer that is called several times is one layer.
    auto known = llvm::find_if(rows, [&](const LayerRow &other) {
      return !row.name.empty() && other.name == row.name;
    });
    if (known != rows.end()) {
      known->maskDecides |= areMasksDecidedPerCall(layer);
      return;
    }
    row.operation = layer->getName().getStringRef();
    row.kerasReasons = getKerasCudnnReasons(layer);
    row.conditions = getCudnnConditions(layer);
    row.maskDecides = areMasksDecidedPerCall(layer);
    row.choice = chooseBackend(layer, options.target, options.deviceProblems);
    int64_t units = layer.getUnits(), features = layer.getFeatures();
    auto input = cast<ShapedType>(layer->getOperand(0).getType());
    int64_t batch = std::max<int64_t>(options.batch, 1);
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

static std::string kerasAnswer(const LayerRow &row) {
  if (!row.kerasReasons.empty())
    return "not take cuDNN: " + llvm::join(row.kerasReasons, ", ");
  return row.maskDecides
             ? "take cuDNN in each call whose mask is strictly right-padded"
             : "take cuDNN";
}

static StringRef answer(CudnnCondition::Answer answer) {
  constexpr StringLiteral words[] = {"no", "yes", "per call"};
  return words[answer];
}

/// Keras's conditions for cuDNN, with its own answers and ours side by side.
static void writeConditions(ArrayRef<CudnnCondition> conditions,
                            llvm::raw_ostream &os) {
  os << llvm::formatv("  {0,-32} {1,-24} {2,-9} {3}\n", "for cuDNN", "found",
                      "Keras", "here");
  for (const CudnnCondition &row : conditions) {
    os << llvm::formatv("    {0,-30} {1,-24} {2,-9} {3,-9}", row.condition,
                        row.found, answer(row.keras), answer(row.ours))
              .str();
    if (row.keras != CudnnCondition::Yes || row.ours != CudnnCondition::Yes)
      os << " " << row.fix;
    os << "\n";
  }
}

void gru::explainAsText(ModuleOp module, const ExplainOptions &options,
                        llvm::raw_ostream &os) {
  for (const LayerRow &row : collect(module, options)) {
    os << "layer '" << row.name << "' (" << row.operation
       << "): " << row.choice.chosen << "\n";
    for (const Candidate &candidate : row.choice.candidates) {
      // Nothing falls back to Halide, so only who asks for it wants to know.
      if (llvm::StringRef(candidate.backend).starts_with("halide") &&
          options.target != candidate.backend)
        continue;
      for (const Refusal &refusal : candidate.refusals)
        os << "  " << candidate.backend << " refuses: " << refusal.condition
           << "; " << refusal.fix << "\n";
      if (candidate.backend == "cudnn" && candidate.isAccepted() &&
          row.maskDecides)
        os << "  cudnn takes calls whose mask is right-padded, the next backend "
              "the others\n";
    }
    os << "  Keras would " << kerasAnswer(row) << "\n";
    writeConditions(row.conditions, os);
    os << llvm::formatv("  per step: {0} FLOP, {1} bytes of weights", row.flops,
                        row.bytes);
    if (row.boundNanoseconds)
      os << llvm::formatv(", at least {0:f0} ns", *row.boundNanoseconds);
    os << "\n";
  }
}

static void writeCandidate(llvm::json::OStream &json,
                           const Candidate &candidate) {
  json.object([&] {
    json.attribute("backend", candidate.backend);
    json.attribute("accepted", candidate.isAccepted());
    json.attributeArray("unmet", [&] {
      for (const Refusal &refusal : candidate.refusals)
        json.value(refusal.condition);
    });
    json.attribute("fix",
                   llvm::join(llvm::map_range(candidate.refusals,
                                              [](const Refusal &refusal) {
                                                return refusal.fix;
                                              }),
                              "; "));
  });
}

void gru::explainAsJSON(ModuleOp module, const ExplainOptions &options,
                        llvm::raw_ostream &os) {
  llvm::json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attributeArray("layers", [&] {
      for (const LayerRow &row : collect(module, options))
        json.object([&] {
          json.attribute("name", row.name);
          json.attribute("op", row.operation);
          json.attribute("backend", row.choice.chosen);
          json.attribute("keras_cudnn_eligible", row.kerasReasons.empty());
          json.attributeArray("keras_cudnn_reasons", [&] {
            for (const std::string &reason : row.kerasReasons)
              json.value(reason);
          });
          json.attributeArray("cudnn_conditions", [&] {
            for (const CudnnCondition &condition : row.conditions)
              json.object([&] {
                json.attribute("condition", condition.condition);
                json.attribute("found", condition.found);
                json.attribute("keras", answer(condition.keras));
                json.attribute("ours", answer(condition.ours));
                json.attribute("fix", condition.fix);
              });
          });
          json.attribute("mask_decided_per_call", row.maskDecides);
          json.attributeArray("candidates", [&] {
            for (const Candidate &candidate : row.choice.candidates)
              writeCandidate(json, candidate);
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
