//===- LowerCalls.cpp - buffers as arguments of private functions ---------===//

#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"
#include "lowering/common/Descriptors.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/StringSet.h"

namespace gru {
#define GEN_PASS_DEF_LOWERCALLSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct LowerCallsPass : gru::impl::LowerCallsPassBase<LowerCallsPass> {
  void runOnOperation() override {
    llvm::StringSet<> lowered;
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (func.isPrivate() && !func.isDeclaration()) {
        lowerArguments(func);
        lowered.insert(func.getName());
      }
    getOperation().walk([&](func::CallOp call) {
      if (lowered.contains(call.getCallee()))
        lowerOperands(call);
    });
  }

private:
  void lowerArguments(func::FuncOp func) {
    Block &body = func.getBody().front();
    OpBuilder b = OpBuilder::atBlockBegin(&body);
    Location loc = func.getLoc();
    LLVMTypeConverter converter(&getContext());
    unsigned numOld = body.getNumArguments();
    for (unsigned i = 0; i < numOld; ++i) {
      BlockArgument old = body.getArgument(i);
      auto type = dyn_cast<MemRefType>(old.getType());
      if (!type) {
        old.replaceAllUsesWith(body.addArgument(old.getType(), loc));
        continue;
      }
      Value address =
          body.addArgument(LLVM::LLVMPointerType::get(&getContext()), loc);
      SmallVector<Value> sizes;
      for (int64_t size : type.getShape())
        if (ShapedType::isDynamic(size))
          sizes.push_back(arith::IndexCastOp::create(
              b, loc, b.getI64Type(), body.addArgument(b.getIndexType(), loc)));
      old.replaceAllUsesWith(makeBufferAt(
          b, loc, converter, type, address, [&](int64_t dim) -> Value {
            if (type.isDynamicDim(dim))
              return sizes[type.getDynamicDimIndex(dim)];
            return LLVM::ConstantOp::create(
                b, loc, b.getI64Type(),
                b.getI64IntegerAttr(type.getDimSize(dim)));
          }));
    }
    body.eraseArguments(0, numOld);
    func.removeArgAttrsAttr();
    func.setFunctionType(
        b.getFunctionType(body.getArgumentTypes(), func.getResultTypes()));
  }

  void lowerOperands(func::CallOp call) {
    OpBuilder b(call);
    Location loc = call.getLoc();
    SmallVector<Value> operands;
    for (Value operand : call.getOperands()) {
      auto type = dyn_cast<MemRefType>(operand.getType());
      if (!type) {
        operands.push_back(operand);
        continue;
      }
      operands.push_back(
          UnrealizedConversionCastOp::create(
              b, loc, LLVM::LLVMPointerType::get(&getContext()), operand)
              .getResult(0));
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        if (type.isDynamicDim(dim))
          operands.push_back(memref::DimOp::create(b, loc, operand, dim));
    }
    call.getOperandsMutable().assign(operands);
  }
};
} // namespace
