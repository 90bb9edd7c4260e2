//===- DeviceToCalls.cpp - device operations become calls of the runtime --===//
//
// The record that the runtime reads is gru_plan_part in
// runtime/include/gru/plan.h.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDeviceOps.h"
#include "lowering/DevicePasses.h"
#include "lowering/common/Buffers.h"
#include "lowering/gpu/DeviceBuffers.h"

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
/// Calls of the functions of a gru_device.
class Calls {
public:
  Calls(Operation *op, Value device)
      : op(op), device(device), b(op), loc(op->getLoc()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {}

  void run(int64_t number, DeviceRnnOp rnn) {
    SmallVector<Value> buffers{rnn.getInput()};
    llvm::append_range(buffers, rnn.getInitialStates());
    if (rnn.getMask())
      buffers.push_back(rnn.getMask());
    llvm::append_range(buffers, rnn.getSequences());
    llvm::append_range(buffers, rnn.getLasts());
    llvm::append_range(buffers, rnn.getStates());
    for (Value &buffer : buffers)
      buffer = addressOf(buffer);
    Value time = sizeOf(b, loc, rnn.getInput(), rnn.getTimeDim());
    emitRun(number, time, makeArray(buffers));
    // A mask that cuDNN cannot take is told to the device, which counts.
    auto branch = dyn_cast<scf::IfOp>(rnn->getParentOp());
    if (!branch || rnn.getLibrary() != kCudnn)
      return;
    b.setInsertionPointToStart(getElseBlock(branch));
    emitRun(~number, sizeOf(b, loc, rnn.getInput(), rnn.getTimeDim()),
            LLVM::ZeroOp::create(b, loc, pointer));
  }

  void run(int64_t number, DeviceKernelOp kernel) {
    SmallVector<Value> arguments;
    for (ValueRange buffers : {kernel.getReads(), kernel.getWrites()})
      for (Value buffer : buffers)
        arguments.push_back(addressOf(buffer));
    for (Value value : kernel.getValues())
      arguments.push_back(
          LLVM::IntToPtrOp::create(b, loc, pointer, toI64(value)));
    emitRun(number, kernel.getItems(), makeArray(arguments));
  }

  void move(DeviceMoveOp move) {
    Value buffer = move.getBuffer();
    auto type = cast<MemRefType>(buffer.getType());
    Value bytes = indexConstant(
        b, loc, llvm::divideCeil(type.getElementTypeBitWidth(), 8));
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      bytes = arith::MulIOp::create(b, loc, bytes, sizeOf(b, loc, buffer, dim));
    emitCall(1, {addressOf(buffer), toI64(bytes),
                 i32(move.getToHost() ? GRU_TO_HOST : GRU_TO_DEVICE)});
  }

private:
  Value i32(int64_t value) {
    return LLVM::ConstantOp::create(b, loc, b.getI32Type(),
                                    b.getI32IntegerAttr(value));
  }
  Value toI64(Value index) {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
  }

  /// Of a buffer's first element.
  Value addressOf(Value buffer) {
    Value index =
        memref::ExtractAlignedPointerAsIndexOp::create(b, loc, buffer);
    auto type = cast<MemRefType>(buffer.getType());
    if (!type.getLayout().isIdentity()) {
      auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, buffer);
      Value bytes = arith::MulIOp::create(
          b, loc, metadata.getOffset(),
          indexConstant(b, loc,
                        llvm::divideCeil(type.getElementTypeBitWidth(), 8)));
      index = arith::AddIOp::create(b, loc, index, bytes);
    }
    return LLVM::IntToPtrOp::create(b, loc, pointer, toI64(index));
  }

  Value makeArray(ArrayRef<Value> values) {
    Value array;
    {
      // At the top, so that the stack does not grow with each pass through
      // here.
      OpBuilder::InsertionGuard guard(b);
      Block &entry = op->getParentOfType<func::FuncOp>().getBody().front();
      b.setInsertionPointToStart(&entry);
      Value count = LLVM::ConstantOp::create(
          b, loc, b.getI64Type(), b.getI64IntegerAttr(values.size()));
      array = LLVM::AllocaOp::create(b, loc, pointer, pointer, count);
    }
    for (auto [position, value] : llvm::enumerate(values)) {
      Value place =
          LLVM::GEPOp::create(b, loc, pointer, pointer, array,
                              ArrayRef<LLVM::GEPArg>{int32_t(position)});
      LLVM::StoreOp::create(b, loc, value, place);
    }
    return array;
  }

  void emitRun(int64_t number, Value size, Value buffers) {
    emitCall(0, {i32(number), toI64(size), buffers});
  }

  /// device->functions[position](device, arguments).
  void emitCall(int32_t position, ArrayRef<Value> arguments) {
    Value index =
        memref::ExtractAlignedPointerAsIndexOp::create(b, loc, device);
    Value self = LLVM::IntToPtrOp::create(b, loc, pointer, toI64(index));
    Value place = LLVM::GEPOp::create(b, loc, pointer, pointer, self,
                                      ArrayRef<LLVM::GEPArg>{position});
    Value function = LLVM::LoadOp::create(b, loc, pointer, place);
    SmallVector<Value> operands{function, self};
    llvm::append_range(operands, arguments);
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(b.getContext()),
        SmallVector<Type>(ValueRange(operands).drop_front().getTypes()));
    LLVM::CallOp::create(b, loc, type, operands);
  }

  Operation *op;
  Value device;
  OpBuilder b;
  Location loc;
  const Type pointer;
};

struct ConvertDeviceToCallsPass
    : gru::impl::ConvertDeviceToCallsPassBase<ConvertDeviceToCallsPass> {
  using ConvertDeviceToCallsPassBase::ConvertDeviceToCallsPassBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    SmallVector<Operation *> ops;
    SmallVector<DeviceMoveOp> moves;
    func.walk([&](Operation *op) {
      if (isDeviceOp(op))
        ops.push_back(op);
      else if (auto move = dyn_cast<DeviceMoveOp>(op))
        moves.push_back(move);
    });
    if (ops.empty())
      return;
    Builder b(&getContext());
    SmallVector<Attribute> parts;
    for (Operation *op : ops) {
      auto rnn = dyn_cast<DeviceRnnOp>(op);
      FailureOr<Attribute> part =
          rnn ? describe(func, rnn) : describe(cast<DeviceKernelOp>(op));
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
    Value device = func.getArgument(index);
    for (auto [number, op] : llvm::enumerate(ops)) {
      Calls calls(op, device);
      if (auto kernel = dyn_cast<DeviceKernelOp>(op))
        calls.run(number, kernel);
      else
        calls.run(number, cast<DeviceRnnOp>(op));
      op->erase();
    }
    for (DeviceMoveOp move : moves) {
      Calls(move, device).move(move);
      move.erase();
    }
    func->setAttr(kDevicePartsAttr, b.getArrayAttr(parts));
  }

private:
  NamedAttribute number(StringRef name, int64_t value) {
    Builder b(&getContext());
    return b.getNamedAttr(name, b.getI64IntegerAttr(value));
  }

  Attribute describe(DeviceKernelOp op) {
    Builder b(&getContext());
    return b.getDictionaryAttr(
        {number("library", GRU_PART_KERNEL),
         number("buffers", op.getReads().size() + op.getWrites().size()),
         number("values", op.getValues().size()),
         b.getNamedAttr("code", op.getCodeAttr())});
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
    add(op.getRequired(), GRU_PART_REQUIRED);
    add(allowTF32, GRU_PART_TF32);
    SmallVector<NamedAttribute> fields{
        number("library",
               op.getLibrary() == kCudnn ? GRU_PART_CUDNN : GRU_PART_GPU),
        b.getNamedAttr("type",
                       TypeAttr::get(op.getInputType().getElementType())),
        number("flags", flags),
        number("layers", op.getLayers()),
        number("directions", op.getDirections()),
        number("weights_per_cell", op.getWeightsPerCell()),
        number("features", op.getFeatures()),
        number("units", op.getUnits()),
        number("batch", op.getBatch()),
        number("timesteps", std::max<int64_t>(0, op.getInputType().getDimSize(
                                                     op.getTimeDim()))),
        b.getNamedAttr("offsets", b.getDenseI64ArrayAttr(offsets))};
    if (op.getCodeAttr())
      fields.push_back(b.getNamedAttr("code", op.getCodeAttr()));
    return Attribute(b.getDictionaryAttr(fields));
  }
};
} // namespace
