//===- DeviceToCalls.cpp - gru.device_rnn becomes calls of the runtime -----===//
//
// The record that the runtime reads is gru_plan_part in runtime/include/gru/plan.h.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDeviceOps.h"
#include "lowering/DevicePasses.h"
#include "lowering/common/Buffers.h"

#include "runtime/include/gru/plan.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTDEVICETOCALLSPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct ConvertDeviceToCallsPass
    : gru::impl::ConvertDeviceToCallsPassBase<ConvertDeviceToCallsPass> {
  using ConvertDeviceToCallsPassBase::ConvertDeviceToCallsPassBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    SmallVector<DeviceRnnOp> ops;
    func.walk([&](DeviceRnnOp op) { ops.push_back(op); });
    if (ops.empty())
      return;
    Builder b(&getContext());
    SmallVector<Attribute> parts;
    for (DeviceRnnOp op : ops) {
      FailureOr<Attribute> part = describe(func, op);
      if (failed(part))
        return signalPassFailure();
      parts.push_back(*part);
    }
    unsigned index = func.getNumArguments();
    if (failed(func.insertArgument(
            index, MemRefType::get({ShapedType::kDynamic}, b.getI8Type()),
            b.getDictionaryAttr(b.getNamedAttr(kDeviceAttr, b.getUnitAttr())),
            func.getLoc())))
      return signalPassFailure();
    for (auto [number, op] : llvm::enumerate(ops)) {
      makeDense(op);
      Value device = func.getArgument(index);
      OpBuilder b(op);
      emitCall(b, op, device, number);
      // A mask that cuDNN cannot take is told to the device, which counts.
      auto branch = dyn_cast<scf::IfOp>(op->getParentOp());
      if (branch && op.getLibrary() == kCudnn) {
        b.setInsertionPointToStart(branch.elseBlock());
        Value none = LLVM::ZeroOp::create(
            b, op.getLoc(), LLVM::LLVMPointerType::get(&getContext()));
        emitRun(b, op, device, ~int64_t(number), none);
      }
      op.erase();
    }
    func->setAttr(kDevicePartsAttr, b.getArrayAttr(parts));
  }

  /// The runtime takes dense buffers; views of something larger are copied.
  static void makeDense(DeviceRnnOp op) {
    for (OpOperand &operand : op->getOpOperands()) {
      Value buffer = operand.get();
      if (cast<MemRefType>(buffer.getType()).getLayout().isIdentity())
        continue;
      OpBuilder b(op);
      Value dense = allocLike(b, op.getLoc(), buffer);
      bool isOutput =
          operand.getOperandNumber() >=
          op.getNumOperands() - op.getDpsInitsMutable().size();
      if (isOutput) {
        b.setInsertionPointAfter(op);
        memref::CopyOp::create(b, op.getLoc(), dense, buffer);
      } else {
        memref::CopyOp::create(b, op.getLoc(), buffer, dense);
      }
      operand.set(dense);
    }
  }

  FailureOr<Attribute> describe(func::FuncOp func, DeviceRnnOp op) {
    Builder b(&getContext());
    SmallVector<int64_t> offsets;
    for (Value weight : op.getWeights()) {
      auto argument = dyn_cast<BlockArgument>(weight);
      IntegerAttr offset;
      if (argument && argument.getOwner() == &func.getBody().front())
        offset = func.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(),
                                                    kPackedAttr);
      if (!offset)
        return op.emitError() << "computes with a weight that is no trained "
                                 "weight of the model";
      offsets.push_back(offset.getInt());
    }
    int64_t flags = 0;
    auto add = [&](bool condition, int64_t flag) {
      flags |= condition ? flag : 0;
    };
    add(!op.getInitialStates().empty(), GRU_PART_INITIAL_STATES);
    add(op.getMask() != nullptr, GRU_PART_MASK);
    add(!op.getSequences().empty(), GRU_PART_SEQUENCES);
    add(!op.getLasts().empty(), GRU_PART_LASTS);
    add(!op.getStates().empty(), GRU_PART_STATES);
    add(op.getTimeMajor(), GRU_PART_TIME_MAJOR);
    add(op.getGoBackwards(), GRU_PART_GO_BACKWARDS);
    add(op.getWritesWhereRead(), GRU_PART_WRITES_WHERE_READ);
    add(op.getZeroOutputForMask(), GRU_PART_ZERO_OUTPUT);
    add(op.getResetAfter(), GRU_PART_RESET_AFTER);
    add(allowTF32 && op.getLibrary() == kCudnn, GRU_PART_TF32);
    auto number = [&](StringRef name, int64_t value) {
      return b.getNamedAttr(name, b.getI64IntegerAttr(value));
    };
    SmallVector<NamedAttribute> fields{
        number("library", op.getLibrary() == kCudnn ? GRU_PART_CUDNN
                                                    : GRU_PART_GPU),
        b.getNamedAttr("type",
                       TypeAttr::get(op.getInputType().getElementType())),
        number("flags", flags),
        number("layers", op.getLayers()),
        number("directions", op.getDirections()),
        number("weights_per_cell", op.getWeightsPerCell()),
        number("features", op.getFeatures()),
        number("units", op.getUnits()),
        number("batch", op.getBatch()),
        number("timesteps", std::max<int64_t>(
                                0, op.getInputType().getDimSize(op.getTimeDim()))),
        b.getNamedAttr("offsets", b.getDenseI64ArrayAttr(offsets))};
    if (op.getCodeAttr())
      fields.push_back(b.getNamedAttr("code", op.getCodeAttr()));
    return Attribute(b.getDictionaryAttr(fields));
  }

  /// device->run(device, number, timesteps, addresses).
  static void emitCall(OpBuilder &b, DeviceRnnOp op, Value device,
                       int64_t number) {
    Location loc = op.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(b.getContext());
    SmallVector<Value> buffers{op.getInput()};
    llvm::append_range(buffers, op.getInitialStates());
    if (op.getMask())
      buffers.push_back(op.getMask());
    llvm::append_range(buffers, op.getSequences());
    llvm::append_range(buffers, op.getLasts());
    llvm::append_range(buffers, op.getStates());

    Value array;
    {
      // At the top, so that the stack does not grow with each pass through here.
      OpBuilder::InsertionGuard guard(b);
      Block &entry = op->getParentOfType<func::FuncOp>().getBody().front();
      b.setInsertionPointToStart(&entry);
      Value count = LLVM::ConstantOp::create(
          b, loc, b.getI64Type(), b.getI64IntegerAttr(buffers.size()));
      array = LLVM::AllocaOp::create(b, loc, pointer, pointer, count);
    }
    for (auto [position, buffer] : llvm::enumerate(buffers)) {
      Value place =
          LLVM::GEPOp::create(b, loc, pointer, pointer, array,
                              ArrayRef<LLVM::GEPArg>{int32_t(position)});
      LLVM::StoreOp::create(b, loc, addressOf(b, loc, buffer), place);
    }
    emitRun(b, op, device, number, array);
  }

  static Value addressOf(OpBuilder &b, Location loc, Value buffer) {
    Value index =
        memref::ExtractAlignedPointerAsIndexOp::create(b, loc, buffer);
    Value number = arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
    return LLVM::IntToPtrOp::create(
        b, loc, LLVM::LLVMPointerType::get(b.getContext()), number);
  }

  static void emitRun(OpBuilder &b, DeviceRnnOp op, Value device,
                      int64_t number, Value buffers) {
    Location loc = op.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(b.getContext());
    Value self = addressOf(b, loc, device);
    Value run = LLVM::LoadOp::create(b, loc, pointer, self);
    Value part = LLVM::ConstantOp::create(b, loc, b.getI32Type(),
                                          b.getI32IntegerAttr(number));
    Value time = arith::IndexCastOp::create(
        b, loc, b.getI64Type(),
        sizeOf(b, loc, op.getInput(), op.getTimeDim()));
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(b.getContext()),
        {pointer, b.getI32Type(), b.getI64Type(), pointer});
    LLVM::CallOp::create(b, loc, type,
                         ValueRange{run, self, part, time, buffers});
  }
};
} // namespace
