//===- BFloat16.cpp - rounding to bfloat16 without a library ---------------===//

#include "compiler/jit/BFloat16.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Module.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace llvm;

static bool hasBFloat16(const Module &module) {
  return any_of(module, [](const Function &function) {
    return any_of(instructions(function), [](const Instruction &instruction) {
      return instruction.getType()->getScalarType()->isBFloatTy();
    });
  });
}

void gru::addBFloat16Rounding(Module &module) {
  if (!hasBFloat16(module))
    return;
  IRBuilder<> b(module.getContext());
  auto *function = Function::Create(
      FunctionType::get(b.getBFloatTy(), {b.getFloatTy()}, false),
      GlobalValue::InternalLinkage, "__truncsfbf2", module);
  b.SetInsertPoint(BasicBlock::Create(module.getContext(), "entry", function));
  Value *x = function->getArg(0);
  Value *bits = b.CreateBitCast(x, b.getInt32Ty());
  // To nearest even: half of the last place, less one if that place is even.
  Value *odd = b.CreateAnd(b.CreateLShr(bits, 16), 1);
  Value *rounded = b.CreateAdd(bits, b.CreateAdd(odd, b.getInt32(0x7fff)));
  // A NaN must not become an infinity.
  Value *result = b.CreateSelect(b.CreateFCmpUNO(x, x),
                                 b.CreateOr(bits, 0x400000), rounded);
  b.CreateRet(
      b.CreateBitCast(b.CreateTrunc(b.CreateLShr(result, 16), b.getInt16Ty()),
                      b.getBFloatTy()));
  // No instruction mentions it yet.
  appendToCompilerUsed(module, {function});
}
