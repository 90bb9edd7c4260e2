//===- Backends.cpp - what each backend accepts ---------------------------===//

#include "lowering/backends/Backends.h"

#include "lowering/halide/Kernels.h"

#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace gru;

std::string gru::getLayerName(Operation *layer) {
  if (auto name = layer->getLoc()->findInstanceOf<NameLoc>())
    return name.getName().str();
  return "";
}

const Candidate &BackendChoice::operator[](StringRef backend) const {
  return *llvm::find_if(candidates, [&](const Candidate &candidate) {
    return candidate.backend == backend;
  });
}

//===----------------------------------------------------------------------===//
// What is asked of a layer
//===----------------------------------------------------------------------===//

static bool hasBias(RecurrentOpInterface layer) {
  if (auto gru = dyn_cast<GRUOp>(layer.getOperation()))
    return gru.getBias() != nullptr;
  return cast<CellOp>(layer.getOperation()).getBias() != nullptr;
}

static Type getLayerType(RecurrentOpInterface layer) {
  return mlir::getElementTypeOrSelf(layer->getOperand(0).getType());
}

static std::string text(ActAttr activation) {
  return stringifyActivationKind(activation.getKind()).str();
}

/// As Keras writes it in a layer's config.
static std::string quoted(ActivationKind kind) {
  return "'" + stringifyActivationKind(kind).str() + "'";
}

bool gru::areMasksDecidedPerCall(RecurrentOpInterface layer) {
  return layer.isMasked();
}

llvm::SmallVector<std::string>
gru::getKerasCudnnReasons(RecurrentOpInterface layer) {
  llvm::SmallVector<std::string> reasons;
  auto gru = dyn_cast<GRUOp>(layer.getOperation());
  if (!gru)
    reasons.push_back("a cell is never run by cuDNN");
  else if (gru.getFromCell())
    reasons.push_back("RNN(GRUCell) never uses cuDNN");
  else if (gru->hasAttr(kTimeDistributedAttr))
    reasons.push_back("not outermost: inside TimeDistributed");
  if (layer.getCandidateActivation().getKind() != ActivationKind::tanh)
    reasons.push_back("activation != tanh");
  if (layer.getGateActivation().getKind() != ActivationKind::sigmoid)
    reasons.push_back("recurrent_activation != sigmoid");
  if (gru && !gru.getRecurrentDropout().isZero())
    reasons.push_back("recurrent_dropout != 0");
  if (gru && gru.getUnroll())
    reasons.push_back("unroll");
  if (!hasBias(layer))
    reasons.push_back("use_bias is False");
  if (!layer.isResetAfter())
    reasons.push_back("reset_after is False");
  return reasons;
}

//===----------------------------------------------------------------------===//
// Backends
//===----------------------------------------------------------------------===//

namespace {
/// Collects what a backend refuses.
class Questions {
public:
  explicit Questions(Refusals &refusals) : refusals(refusals) {}

  void require(bool condition, const Twine &found, const Twine &fix) {
    if (!condition)
      refusals.push_back({found.str(), fix.str()});
  }

private:
  Refusals &refusals;
};
} // namespace

/// Whether an operand is no trained weight but comes from a call or another
/// operation. Devices get their weights before the first run.
static bool isComputed(Value weight) {
  if (!weight)
    return false;
  auto argument = dyn_cast<BlockArgument>(weight);
  if (!argument)
    return true;
  auto func = dyn_cast<FunctionOpInterface>(argument.getOwner()->getParentOp());
  return !func || func.getArgAttr(argument.getArgNumber(), kNameAttr) ||
         func.getArgAttr(argument.getArgNumber(), kStateAttr);
}

/// What neither device has: computed weights, and operands that only training
/// or ONNX graphs with resets use.
template <typename LayerOp>
static void askForOperands(LayerOp op, Questions &ask) {
  ask.require(!isComputed(op.getKernel()) &&
                  !isComputed(op.getRecurrentKernel()) &&
                  !isComputed(op.getBias()),
              "weights are computed in each call",
              "store them in the model as they are used");
  ask.require(!op.getDropoutMask() && !op.getRecurrentDropoutMask(),
              "dropout masks are applied", "run for inference");
}

static void askForDevice(RecurrentOpInterface layer, Questions &ask) {
  auto gru = dyn_cast<GRUOp>(layer.getOperation());
  if (!gru)
    return askForOperands(cast<CellOp>(layer.getOperation()), ask);
  askForOperands(gru, ask);
  ask.require(!gru.getReset(), "states are reset inside the sequence",
              "call the layer once for each part of the sequence");
  ask.require(
      !(gru.getUnroll() && gru.getGoBackwards() && gru.getZeroOutputForMask() &&
        gru.getMask()),
      "an unrolled backward layer zeroes outputs by the unreversed mask",
      "set unroll=False");
}

static bool isClipped(RecurrentOpInterface layer) {
  if (auto gru = dyn_cast<GRUOp>(layer.getOperation()))
    return gru.getClipAttr() != nullptr;
  return cast<CellOp>(layer.getOperation()).getClipAttr() != nullptr;
}

/// cuDNN's real limits, which are wider than Keras's rule: a missing bias is
/// zeros, and how a layer would have been unrolled does not matter.
static Refusals askCudnn(RecurrentOpInterface layer) {
  Refusals refusals;
  Questions ask(refusals);
  ask.require(layer.getCandidateActivation().getKind() == ActivationKind::tanh,
              "activation is " + text(layer.getCandidateActivation()) +
                  ", cuDNN has only tanh",
              "set activation=" + quoted(ActivationKind::tanh));
  ask.require(layer.getGateActivation().getKind() == ActivationKind::sigmoid,
              "recurrent_activation is " + text(layer.getGateActivation()) +
                  ", cuDNN has only sigmoid",
              "set recurrent_activation=" + quoted(ActivationKind::sigmoid));
  ask.require(layer.isResetAfter(),
              "reset_after is False, cuDNN applies the reset gate after the "
              "product only",
              "set reset_after=True and train again");
  ask.require(!isClipped(layer), "the pre-activations are clipped",
              "export the model without clip");
  askForDevice(layer, ask);
  return refusals;
}

/// Our own kernel: any activation of single elements, both forms, any mask.
static Refusals askGPU(RecurrentOpInterface layer) {
  Refusals refusals;
  Questions ask(refusals);
  for (auto [name, activation] :
       {std::pair<StringRef, ActAttr>{"activation",
                                      layer.getCandidateActivation()},
        {"recurrent_activation", layer.getGateActivation()}})
    ask.require(!activation.isRowwise(),
                name + " is " + text(activation) +
                    ", which needs all units of a row at once",
                "use an activation of single elements");
  Type element = getLayerType(layer);
  ask.require(element.isF32(),
              "the layer computes in another type than float32, the kernel's",
              "use the dtype policy float32");
  askForDevice(layer, ask);
  return refusals;
}

static Refusals askHalide(RecurrentOpInterface layer, bool cuda) {
  std::string refusal =
      checkHalideLayer(layer.getCandidateActivation(),
                       layer.getGateActivation(), getLayerType(layer), cuda);
  if (refusal.empty())
    return {};
  return {{refusal, cuda ? "there is no function for it"
                         : "the cpu target's step is taken"}};
}

llvm::SmallVector<CudnnCondition>
gru::getCudnnConditions(RecurrentOpInterface layer) {
  using Answer = CudnnCondition::Answer;
  auto gru = dyn_cast<GRUOp>(layer.getOperation());
  llvm::SmallVector<CudnnCondition> conditions;
  auto add = [&](StringRef condition, const Twine &found, bool keras, bool ours,
                 StringRef fix) {
    conditions.push_back(
        {condition, found.str(), Answer(keras), Answer(ours), fix});
  };
  auto pythonBool = [](bool value) { return value ? "True" : "False"; };
  bool isTanh =
      layer.getCandidateActivation().getKind() == ActivationKind::tanh;
  add("activation='tanh'", text(layer.getCandidateActivation()), isTanh, isTanh,
      "set activation='tanh' and train again");
  bool isSigmoid =
      layer.getGateActivation().getKind() == ActivationKind::sigmoid;
  add("recurrent_activation='sigmoid'", text(layer.getGateActivation()),
      isSigmoid, isSigmoid,
      "set recurrent_activation='sigmoid' and train again");
  bool hasRate = gru && !gru.getRecurrentDropout().isZero();
  // Only training draws masks.
  bool isDropped = gru && gru.getRecurrentDropoutMask();
  add("recurrent_dropout=0", hasRate ? "not 0" : "0", !hasRate, !isDropped,
      "set recurrent_dropout=0");
  bool unroll = gru && gru.getUnroll();
  add("unroll=False", pythonBool(unroll), !unroll, true, "set unroll=False");
  add("use_bias=True", pythonBool(hasBias(layer)), hasBias(layer), true,
      "set use_bias=True");
  add("reset_after=True", pythonBool(layer.isResetAfter()),
      layer.isResetAfter(), layer.isResetAfter(),
      "set reset_after=True and train again");
  bool isWrapped = gru && gru->hasAttr(kTimeDistributedAttr);
  add("an outermost layer",
      !gru                ? "a cell"
      : gru.getFromCell() ? "RNN(GRUCell)"
      : isWrapped         ? "inside TimeDistributed"
                          : "outermost",
      gru && !gru.getFromCell() && !isWrapped, true,
      isWrapped ? "call the layer without TimeDistributed"
                : "use a GRU layer instead of a cell");
  bool isMasked = areMasksDecidedPerCall(layer);
  Answer mask = isMasked ? Answer::PerCall : Answer::Yes;
  conditions.push_back({"a right-padded mask, or none",
                        isMasked ? "a mask" : "none", mask, mask,
                        "pad at the end of each row"});
  return conditions;
}

//===----------------------------------------------------------------------===//
// The choice
//===----------------------------------------------------------------------===//

BackendChoice gru::chooseBackend(RecurrentOpInterface layer, StringRef target,
                                 const DeviceProblems &problems) {
  BackendChoice choice;
  bool cuda = target == "halide-cuda";
  choice.candidates = {
      {"cudnn", askCudnn(layer)},
      {"gpu", askGPU(layer)},
      {cuda ? "halide-cuda" : "halide", askHalide(layer, cuda)},
      {"cpu", {}},
      {"reference", {}}};
  // The first one allowed; cpu and what stands before it are fallen back to in
  // this order.
  StringRef first = target == "auto" ? "cudnn" : target;
  if (target == "auto")
    for (Candidate &candidate : choice.candidates) {
      bool cudnn = candidate.backend == "cudnn";
      if (!cudnn && candidate.backend != "gpu")
        continue;
      const std::string &problem = cudnn ? problems.cudnn : problems.gpu;
      if (!problem.empty())
        candidate.refusals.push_back(
            {problem, cudnn ? "run on a machine with an NVIDIA GPU, its driver "
                              "and cuDNN 9"
                            : "run on a machine with an NVIDIA GPU and its "
                              "driver"});
    }
  bool reached = false;
  for (const Candidate &candidate : choice.candidates) {
    reached |= candidate.backend == first;
    // Halide is taken by those who ask for it; the yardstick too, which is a
    // hundred times slower.
    bool onlyAsked = StringRef(candidate.backend).starts_with("halide") ||
                     candidate.backend == "reference";
    if (reached && candidate.isAccepted() &&
        (!onlyAsked || candidate.backend == first)) {
      choice.chosen = candidate.backend;
      break;
    }
  }
  // A target that is not asked here takes what it takes.
  if (choice.chosen.empty())
    choice.chosen = target;
  return choice;
}
