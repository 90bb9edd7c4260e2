//===- KernelBuilder.cpp - what all device kernels are written with -------===//

#include "lowering/gpu/KernelBuilder.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace gru;

KernelBuilder::Values KernelBuilder::beginKernel(gpu::GPUModuleOp module,
                                                 StringRef name,
                                                 ArrayRef<Type> types,
                                                 int64_t threads,
                                                 bool anyNumber) {
  b.setInsertionPointToEnd(module.getBody());
  auto func =
      gpu::GPUFuncOp::create(b, loc, name, b.getFunctionType(types, {}));
  func->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  if (anyNumber)
    func->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(),
                  b.getDenseI32ArrayAttr({int32_t(threads)}));
  else
    func.setKnownBlockSizeAttr(
        b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  b.setInsertionPointToStart(&func.getBody().front());
  return Values(func.getArguments().begin(), func.getArguments().end());
}

Value KernelBuilder::loadFlag(Value base, Value at) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne,
                               load(b.getI8Type(), base, at),
                               zero(b.getI8Type()));
}

void KernelBuilder::storeFlag(Value flag, Value base, Value at) {
  store(arith::ExtUIOp::create(b, loc, b.getI8Type(), flag), base, at);
}

KernelBuilder::Values
KernelBuilder::loop(Value from, Value to, Value step, ValueRange carried,
                    llvm::function_ref<Values(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(
      b, loc, from, to, step, carried,
      [&](OpBuilder &inner, Location, Value i, ValueRange values) {
        OpBuilder::InsertionGuard guard(b);
        b.restoreInsertionPoint(inner.saveInsertionPoint());
        Values next = body(i, values);
        scf::YieldOp::create(b, loc, next);
      });
  return Values(loop.getResults());
}

void KernelBuilder::loop(Value from, Value to, Value step,
                         llvm::function_ref<void(Value)> body) {
  loop(from, to, step, {}, [&](Value i, ValueRange) {
    body(i);
    return Values{};
  });
}

void KernelBuilder::when(Value condition, llvm::function_ref<void()> body) {
  auto branch = scf::IfOp::create(b, loc, condition, false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  body();
}

Value KernelBuilder::whenElse(Value condition, Value otherwise,
                              llvm::function_ref<Value()> body) {
  auto branch =
      scf::IfOp::create(b, loc, TypeRange{otherwise.getType()}, condition,
                        /*addThenBlock=*/true, /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  Value value = body();
  scf::YieldOp::create(b, loc, value);
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, loc, otherwise);
  return branch.getResult(0);
}

void KernelBuilder::forEachItem(Value count,
                                llvm::function_ref<void(Value)> body) {
  Value size = blockSize();
  loop(add(mul(blockId(), size), threadId()), count, mul(gridSize(), size),
       body);
}

Value KernelBuilder::addressOf(LLVM::GlobalOp shared) {
  Value base = LLVM::AddressOfOp::create(b, loc, shared);
  return LLVM::AddrSpaceCastOp::create(b, loc, pointer, base);
}
