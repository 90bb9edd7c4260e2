//===- ConvertToHalide.cpp - steps and products become calls --------------===//
//
// Says what Halide is to generate; does not need Halide itself.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/halide/Kernels.h"
#include "lowering/halide/Passes.h"
#include "lowering/halide/Schedule.h"

#include "llvm/Support/FormatVariadic.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTTOHALIDEPASS
#include "lowering/halide/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;
using llvm::formatv;

namespace {
/// One function that Halide is to generate, and what it is called with.
struct Call {
  Operation *op;
  std::string kind, name;
  HalideShape shape;
  SmallVector<Value> operands;
  SmallVector<StringRef> names;
  SmallVector<NamedAttribute> attributes;

  void add(StringRef name, Value value) {
    if (!value)
      return;
    names.push_back(name);
    operands.push_back(value);
  }
};

struct ConvertToHalidePass
    : gru::impl::ConvertToHalidePassBase<ConvertToHalidePass> {
  using ConvertToHalidePassBase::ConvertToHalidePassBase;

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<StepOp, PackedDenseOp>(op))
        ops.push_back(op);
    });
    llvm::Expected<HalideScheduleFile> file =
        HalideScheduleFile::parse(schedule);
    if (!file)
      return fail(getOperation(), file.takeError());
    schedules = std::move(*file);
    for (Operation *op : ops) {
      std::string refusal = checkHalide(op, cuda);
      if (!refusal.empty()) {
        op->emitRemark() << "halide: " << refusal
                         << ", so the cpu target's code is used";
        ++numRefused;
        continue;
      }
      auto step = dyn_cast<StepOp>(op);
      if (llvm::Error error = replace(step ? describe(step)
                                           : describe(cast<PackedDenseOp>(op))))
        return fail(op, std::move(error));
      ++numConverted;
    }
    if (llvm::Error error = schedules.finish())
      return fail(getOperation(), std::move(error));
  }

private:
  void fail(Operation *op, llvm::Error error) {
    op->emitError() << llvm::toString(std::move(error));
    signalPassFailure();
  }

  Call describe(StepOp op) {
    Builder b(op.getContext());
    auto kernel = cast<MemRefType>(op.getKernel().getType());
    int64_t batch = cast<MemRefType>(op.getState().getType()).getDimSize(0);
    int64_t units = op.getUnits();
    Call call;
    call.op = op;
    call.kind = stringifyStepPhase(op.getPhase()).str();
    call.name = formatv("halide_step_{0}_b{1}_h{2}", call.kind, batch, units);
    // With one block of units the new state may take the place of the old one,
    // of which every sum reads all.
    bool inPlace = op.getPhase() == StepPhase::all && kernel.getDimSize(0) == 1;
    call.shape = {kernel.getDimSize(3),
                  kernel.getDimSize(2),
                  batch,
                  kernel.getElementTypeBitWidth() / 8,
                  inPlace,
                  /*waits=*/op.getPhase() == StepPhase::all && op.getInput()};
    if (op.getInput())
      call.name += formatv(
          "_f{0}",
          cast<MemRefType>(op.getInputKernel().getType()).getDimSize(1));
    call.add("projection", op.getProjection());
    call.add("input", op.getInput());
    call.add("input_kernel", op.getInputKernel());
    call.add("input_bias", op.getInputBias());
    call.add("kernel", op.getKernel());
    call.add("recurrent_bias", op.getRecurrentBias());
    call.add("state", op.getState());
    call.add("recurrent_dropout_mask", op.getRecurrentDropoutMask());
    call.add("mask", op.getMask());
    call.add("emit", op.getEmit());
    call.add("update", op.getUpdate());
    call.add("reset_state", op.getResetState());
    call.add("new_state", op.getNewState());
    call.add("output", op.getOutput());
    call.attributes = {b.getNamedAttr("units", b.getI64IntegerAttr(units)),
                       b.getNamedAttr("activation", op.getActivationAttr()),
                       b.getNamedAttr("recurrent_activation",
                                      op.getRecurrentActivationAttr())};
    if (op.getClip())
      call.attributes.push_back(b.getNamedAttr("clip", op.getClipAttr()));
    return call;
  }

  Call describe(PackedDenseOp op) {
    Builder b(op.getContext());
    auto input = cast<MemRefType>(op.getInput().getType());
    auto kernel = cast<MemRefType>(op.getKernel().getType());
    ArrayRef<int64_t> leading = input.getShape().drop_back();
    int64_t columns = op.isProjection()
                          ? kernel.getDimSize(0) * kernel.getDimSize(3)
                          : op.getInitType().getShape().back();
    Call call;
    call.op = op;
    call.kind = op.isProjection() ? "projection" : "dense";
    call.name =
        formatv("halide_{0}_k{1}_n{2}", call.kind, kernel.getDimSize(1),
                columns * (op.isProjection() ? kernel.getDimSize(2) : 1));
    int64_t blocked = getHalideRowDim(leading);
    call.shape = {kernel.getDimSize(3), kernel.getDimSize(2),
                  leading.empty()                           ? 1
                  : ShapedType::isDynamic(leading[blocked]) ? -1
                                                            : leading[blocked],
                  kernel.getElementTypeBitWidth() / 8};
    call.add("input", op.getInput());
    call.add("kernel", op.getKernel());
    call.add("bias", op.getBias());
    call.add("out", op.getInit());
    call.attributes = {
        b.getNamedAttr("units", b.getI64IntegerAttr(columns)),
        b.getNamedAttr("blocked_dim", b.getI64IntegerAttr(blocked)),
        b.getNamedAttr("activation", op.getActivationAttr())};
    if (op.getTimeMajor())
      call.attributes.push_back(b.getNamedAttr("time_major", b.getUnitAttr()));
    return call;
  }

  /// Equal operations on equally laid out buffers share one function.
  llvm::Error replace(Call call) {
    OpBuilder b(call.op);
    Location loc = call.op->getLoc();
    auto type = b.getFunctionType(ValueRange(call.operands).getTypes(), {});
    call.attributes.push_back(
        b.getNamedAttr("kind", b.getStringAttr(call.kind)));
    call.attributes.push_back(
        b.getNamedAttr("operands", b.getStrArrayAttr(call.names)));
    call.attributes.push_back(b.getNamedAttr("type", TypeAttr::get(type)));
    if (cuda)
      call.attributes.push_back(b.getNamedAttr("cuda", b.getUnitAttr()));
    DictionaryAttr what = b.getDictionaryAttr(call.attributes);
    auto [it, isNew] = functions.try_emplace(what);
    if (isNew) {
      // Names say kind and shape; a second one of the same is numbered.
      unsigned count = numOfName[call.name]++;
      std::string name =
          count ? call.name + "_" + std::to_string(count) : call.name;
      HalideSchedule chosen =
          cuda ? chooseHalideDeviceSchedule(call.shape)
               : chooseHalideSchedule(call.shape, {vectorBytes, registers});
      if (llvm::Error error = schedules.apply(name, call.shape, chosen))
        return error;
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToEnd(getOperation().getBody());
      auto function =
          func::FuncOp::create(b, getOperation().getLoc(), name, type);
      function.setPrivate();
      SmallVector<NamedAttribute> all(call.attributes);
      all.push_back(b.getNamedAttr("schedule", b.getStringAttr(chosen.str())));
      function->setAttr(kHalideAttr, b.getDictionaryAttr(all));
      it->second = function;
    }
    func::CallOp::create(b, loc, it->second, call.operands);
    call.op->erase();
    return llvm::Error::success();
  }

  HalideScheduleFile schedules;
  DenseMap<Attribute, func::FuncOp> functions;
  std::map<std::string, unsigned> numOfName;
};
} // namespace

int64_t gru::getHalideRowDim(ArrayRef<int64_t> leading) {
  int64_t best = 0, dynamic = -1;
  for (auto [dim, size] : llvm::enumerate(leading)) {
    if (ShapedType::isDynamic(size)) {
      if (dynamic < 0)
        dynamic = dim;
    } else if (ShapedType::isDynamic(leading[best]) || size > leading[best]) {
      best = dim;
    }
  }
  bool small = leading.empty() || leading[best] < 4;
  return dynamic >= 0 && small ? dynamic : best;
}

/// Operands of these names are all that the generator knows.
static bool knowsOperands(Operation *op) {
  if (auto step = dyn_cast<StepOp>(op)) {
    const Value values[] = {step.getProjection(),
                            step.getInput(),
                            step.getInputKernel(),
                            step.getInputBias(),
                            step.getKernel(),
                            step.getRecurrentBias(),
                            step.getRecurrentDropoutMask(),
                            step.getDroppedState(),
                            step.getState(),
                            step.getPreactivations(),
                            step.getUpdate(),
                            step.getResetState(),
                            step.getNewState(),
                            step.getOutput(),
                            step.getMask(),
                            step.getEmit(),
                            step.getTurn()};
    unsigned known =
        llvm::count_if(values, [](Value value) { return bool(value); });
    return known == op->getNumOperands();
  }
  auto dense = cast<PackedDenseOp>(op);
  return op->getNumOperands() == (dense.getBias() ? 4u : 3u);
}

static bool isFullyDescribed(MemRefType memref) {
  SmallVector<int64_t> strides;
  int64_t offset, elements = 1;
  if (failed(memref.getStridesAndOffset(strides, offset)))
    return false;
  for (int64_t size : memref.getShape())
    if (!ShapedType::isDynamic(size))
      elements *= size;
  // Halide counts positions in 32 bits per dimension.
  return elements < (int64_t(1) << 31);
}

static std::string activationRefusal(StringRef argument, ActAttr activation) {
  if (!activation.isRowwise())
    return "";
  return formatv("{0} {1} acts on whole rows", argument,
                 stringifyActivationKind(activation.getKind()));
}

std::string gru::checkHalideLayer(ActAttr activation, ActAttr recurrent,
                                  Type element, bool cuda) {
  for (auto [argument, act] : {std::pair{"activation", activation},
                               std::pair{"recurrent_activation", recurrent}})
    if (std::string refusal = activationRefusal(argument, act);
        !refusal.empty())
      return refusal;
  if (!element.isF32() && !element.isF64()) {
    std::string text;
    llvm::raw_string_ostream(text) << element;
    return "there is no arithmetic in " + text;
  }
  // Its formulas take functions from libm.
  if (cuda && element.isF64())
    return "there are no functions of f64 on its device";
  return "";
}

std::string gru::checkHalide(Operation *op, bool cuda) {
  if (!knowsOperands(op))
    return "the operation has an operand that Halide's generator does not know";
  SmallVector<MemRefType> types;
  for (Value operand : op->getOperands())
    if (auto type = dyn_cast<MemRefType>(operand.getType()))
      types.push_back(type);
    // A Halide loop has one direction.
    else if (auto step = dyn_cast<StepOp>(op);
             !step || operand != step.getTurn())
      return "operands are not buffers yet";
  Type element = types[0].getElementType();
  auto step = dyn_cast<StepOp>(op);
  ActAttr activation =
      step ? step.getActivation() : cast<PackedDenseOp>(op).getActivation();
  bool usesGates = step && step.getPhase() != StepPhase::candidate;
  bool usesCandidate = !step || step.getPhase() != StepPhase::gates;
  Builder b(op->getContext());
  auto linear = ActAttr::get(op->getContext(), ActivationKind::linear);
  std::string refusal = checkHalideLayer(
      usesCandidate ? activation : linear,
      usesGates ? step.getRecurrentActivation() : linear, element, cuda);
  if (!refusal.empty())
    return refusal;
  for (MemRefType type : types) {
    Type each = type.getElementType();
    if (each != element && !each.isInteger(1))
      return "operands have several element types";
    if (!isFullyDescribed(type))
      return "a buffer has no strides or too many elements";
  }
  return "";
}
