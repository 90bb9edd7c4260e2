//===- EntryPoints.cpp - the functions that C calls -----------------------===//
//
// A stream's memory is a head, the state and the scratch. The functions are
// made here rather than written in the header, so that a shared library has
// them too and a host's compiler settings do not reach them.
//
//===----------------------------------------------------------------------===//

#include "compiler/aot/Artifact.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicsAArch64.h"
#include "llvm/IR/IntrinsicsX86.h"

using namespace gru;
using namespace llvm;

namespace {

class EntryPoints {
public:
  EntryPoints(Module &module, const Artifact &artifact)
      : module(module), artifact(artifact), b(module.getContext()),
        pointer(b.getPtrTy()), i64(b.getInt64Ty()),
        headType(StructType::get(b.getContext(), {i64, pointer})) {}

  void add(bool shared) {
    kernel = module.getFunction("gru_kernel");
    kernel->setName(artifact.getName() + "_kernel");
    kernel->setLinkage(GlobalValue::InternalLinkage);
    kernel->addFnAttr(Attribute::NoInline);
    module.getNamedGlobal("gru_plan")->eraseFromParent();
    plan = addConstant("plan", artifact.getPlanBytes(), 8);
    if (artifact.hasOwnWeights())
      weights = addConstant("weights", artifact.getPackedWeights(),
                            runtime::kAlignment);
    if (artifact.getPlan().parts().empty())
      addFunctions();
    addArtifact(shared);
  }

private:
  void addFunctions() {
    addInit();
    addRun();
    addReset();
    addState();
    if (artifact.takesWeights())
      addSetWeights();
  }

  /// Fields of the head.
  enum { MaxTimesteps, Weights };

  GlobalVariable *addConstant(StringRef name, StringRef bytes,
                              uint64_t alignment) {
    Constant *data = ConstantDataArray::getString(module.getContext(), bytes,
                                                  /*AddNull=*/false);
    auto *global = new GlobalVariable(
        module, data->getType(), /*isConstant=*/true,
        GlobalValue::InternalLinkage, data, artifact.getName() + "_" + name);
    global->setAlignment(Align(alignment));
    return global;
  }

  Function *addFunction(StringRef name, Type *result, ArrayRef<Type *> types) {
    Function *function = Function::Create(
        FunctionType::get(result, types, /*isVarArg=*/false),
        GlobalValue::ExternalLinkage, artifact.getName() + "_" + name, module);
    // As for the kernel: no larger vectors or other rounding than its own.
    for (StringRef attribute :
         {"target-cpu", "target-features", "prefer-vector-width"})
      if (kernel->hasFnAttribute(attribute))
        function->addFnAttr(kernel->getFnAttribute(attribute));
    function->addFnAttr(Attribute::NoUnwind);
    b.SetInsertPoint(BasicBlock::Create(b.getContext(), "entry", function));
    return function;
  }

  BasicBlock *block(StringRef name) {
    return BasicBlock::Create(b.getContext(), name,
                              b.GetInsertBlock()->getParent());
  }

  /// Returns `result` if the condition holds, else goes on.
  void returnIf(Value *condition, Value *result) {
    BasicBlock *out = block("refused"), *next = block("next");
    b.CreateCondBr(condition, out, next);
    b.SetInsertPoint(out);
    b.CreateRet(result);
    b.SetInsertPoint(next);
  }

  Value *offset(Value *base, uint64_t bytes) {
    return b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), base, bytes);
  }
  Value *headField(Value *stream, unsigned field) {
    return b.CreateStructGEP(headType, stream, field);
  }

  /// Bytes of the memory of a stream that promises this many timesteps.
  Value *streamBytes(Value *timesteps) {
    std::vector<uint64_t> coefficients = artifact.getStreamBytes();
    Value *sum = b.getInt64(0);
    for (uint64_t coefficient : llvm::reverse(coefficients))
      sum = b.CreateAdd(b.CreateMul(sum, timesteps), b.getInt64(coefficient));
    return sum;
  }

  /// A loop, since a call of memset would be one more symbol to link. The size
  /// is a multiple of 64 above 0, and so is the address.
  void clear(Value *begin, Value *bytes) {
    Type *line = FixedVectorType::get(i64, runtime::kAlignment / 8);
    BasicBlock *before = b.GetInsertBlock();
    BasicBlock *loop = block("clear"), *done = block("cleared");
    b.CreateBr(loop);
    b.SetInsertPoint(loop);
    PHINode *position = b.CreatePHI(i64, 2);
    b.CreateAlignedStore(Constant::getNullValue(line),
                         b.CreateInBoundsPtrAdd(begin, position),
                         Align(runtime::kAlignment));
    Value *next = b.CreateAdd(position, b.getInt64(runtime::kAlignment));
    position->addIncoming(b.getInt64(0), before);
    position->addIncoming(next, loop);
    b.CreateCondBr(b.CreateICmpULT(next, bytes), loop, done);
    b.SetInsertPoint(done);
  }

  /// NAME *NAME_init(void *memory, size_t size, int64_t max_timesteps
  ///                 [, const void *weights])
  void addInit() {
    bool hasSymbols = !artifact.getPlan().symbols().empty();
    SmallVector<Type *> types{pointer, i64};
    if (hasSymbols)
      types.push_back(i64);
    bool takes = !artifact.hasOwnWeights() && artifact.takesWeights();
    if (takes)
      types.push_back(pointer);
    Function *function = addFunction("init", pointer, types);
    Value *memory = function->getArg(0), *size = function->getArg(1);
    Value *timesteps = hasSymbols ? cast<Value>(function->getArg(2))
                                  : cast<Value>(b.getInt64(1));
    Value *null = ConstantPointerNull::get(pointer);
    auto misaligned = [&](Value *address) {
      Value *number = b.CreatePtrToInt(address, i64);
      return b.CreateOr(
          b.CreateICmpEQ(number, b.getInt64(0)),
          b.CreateICmpNE(b.CreateAnd(number, runtime::kAlignment - 1),
                         b.getInt64(0)));
    };
    returnIf(misaligned(memory), null);
    if (takes)
      returnIf(misaligned(function->getArg(types.size() - 1)), null);
    if (hasSymbols)
      returnIf(b.CreateICmpUGE(b.CreateSub(timesteps, b.getInt64(1)),
                               b.getInt64(artifact.getLargestTimesteps())),
               null);
    Value *bytes = streamBytes(timesteps);
    returnIf(b.CreateICmpULT(size, bytes), null);
    clear(memory, bytes);
    b.CreateStore(timesteps, headField(memory, MaxTimesteps));
    Value *blob = takes     ? cast<Value>(function->getArg(types.size() - 1))
                  : weights ? cast<Value>(weights)
                            : null;
    b.CreateStore(blob, headField(memory, Weights));
    b.CreateRet(memory);
  }

  /// int NAME_run(NAME *stream, int64_t sizes..., const IN *..., OUT *...)
  void addRun() {
    const runtime::Plan &plan = artifact.getPlan();
    size_t numSymbols = plan.symbols().size(), numIn = plan.inputs().size();
    size_t numOut = plan.outputs().size();
    SmallVector<Type *> types{pointer};
    types.append(numSymbols, i64);
    types.append(numIn + numOut, pointer);
    Function *function = addFunction("run", b.getInt32Ty(), types);
    Value *stream = function->getArg(0);
    Value *refused = b.getInt32(-1);
    if (numSymbols != 0) {
      Value *most = b.CreateLoad(i64, headField(stream, MaxTimesteps));
      for (size_t s = 0; s < numSymbols; ++s)
        // Below 1 wraps round to more than any promise.
        returnIf(b.CreateICmpUGE(
                     b.CreateSub(function->getArg(1 + s), b.getInt64(1)), most),
                 refused);
    }
    auto table = [&](Type *type, size_t first, size_t count) -> Value * {
      Value *array = b.CreateAlloca(ArrayType::get(type, count));
      for (size_t i = 0; i < count; ++i)
        b.CreateStore(function->getArg(first + i),
                      b.CreateConstInBoundsGEP1_64(type, array, i));
      return array;
    };
    Value *dims = table(i64, 1, numSymbols);
    Value *in = table(pointer, 1 + numSymbols, numIn);
    Value *out = table(pointer, 1 + numSymbols + numIn, numOut);
    // The fields of gru_call.
    Value *null = ConstantPointerNull::get(pointer);
    SmallVector<Value *> fields{
        in,
        out,
        b.CreateLoad(pointer, headField(stream, Weights)),
        offset(stream, Artifact::kStateOffset),
        offset(stream, artifact.getScratchOffset()),
        dims};
    fields.resize(sizeof(gru_call) / sizeof(void *), null);
    Value *call = b.CreateAlloca(ArrayType::get(pointer, fields.size()));
    for (auto [i, field] : llvm::enumerate(fields))
      b.CreateStore(field, b.CreateConstInBoundsGEP1_64(pointer, call, i));
    Value *environment = enterFloatEnvironment();
    b.CreateCall(kernel, {call, b.getInt32(0)});
    leaveFloatEnvironment(environment);
    b.CreateRet(b.getInt32(0));
  }

  /// As runtime/FloatEnvironment.h does it.
  Value *enterFloatEnvironment() {
    if (module.getTargetTriple().isX86()) {
      Value *saved = b.CreateAlloca(b.getInt32Ty());
      b.CreateIntrinsic(Intrinsic::x86_sse_stmxcsr, {saved});
      Value *ours = b.CreateAlloca(b.getInt32Ty());
      b.CreateStore(b.getInt32(0x9fc0), ours);
      b.CreateIntrinsic(Intrinsic::x86_sse_ldmxcsr, {ours});
      return saved;
    }
    if (module.getTargetTriple().isAArch64()) {
      Value *saved = b.CreateIntrinsic(Intrinsic::aarch64_get_fpcr, {});
      b.CreateIntrinsic(Intrinsic::aarch64_set_fpcr,
                        {b.getInt64(uint64_t(1) << 24)});
      return saved;
    }
    return nullptr;
  }

  void leaveFloatEnvironment(Value *saved) {
    if (module.getTargetTriple().isX86())
      b.CreateIntrinsic(Intrinsic::x86_sse_ldmxcsr, {saved});
    if (module.getTargetTriple().isAArch64())
      b.CreateIntrinsic(Intrinsic::aarch64_set_fpcr, {saved});
  }

  /// void NAME_reset(NAME *stream)
  void addReset() {
    Function *function = addFunction("reset", b.getVoidTy(), {pointer});
    if (uint64_t bytes = artifact.getScratchOffset() - Artifact::kStateOffset)
      clear(offset(function->getArg(0), Artifact::kStateOffset),
            b.getInt64(bytes));
    b.CreateRetVoid();
  }

  /// void *NAME_state(NAME *stream)
  void addState() {
    Function *function = addFunction("state", pointer, {pointer});
    b.CreateRet(offset(function->getArg(0), Artifact::kStateOffset));
  }

  /// void NAME_set_weights(NAME *stream, const void *weights)
  void addSetWeights() {
    Function *function =
        addFunction("set_weights", b.getVoidTy(), {pointer, pointer});
    b.CreateStore(function->getArg(1), headField(function->getArg(0), Weights));
    b.CreateRetVoid();
  }

  /// const gru_artifact NAME_artifact, for the runtime. A program for a device
  /// has nothing else: only the runtime can give it one.
  void addArtifact(bool shared) {
    Constant *null = ConstantPointerNull::get(pointer);
    uint64_t bytes = artifact.getPlan().header().weights_bytes;
    static_assert(sizeof(gru_artifact) == 72, "a field is missing below");
    Constant *fields[] = {b.getInt32(sizeof(gru_artifact)),
                          b.getInt32(0),
                          kernel,
                          plan,
                          b.getInt64(artifact.getPlanBytes().size()),
                          null,
                          null,
                          weights ? cast<Constant>(weights) : null,
                          b.getInt64(weights ? bytes : 0),
                          null};
    Constant *value = ConstantStruct::getAnon(fields);
    auto *global =
        new GlobalVariable(module, value->getType(),
                           /*isConstant=*/true, GlobalValue::ExternalLinkage,
                           value, artifact.getName() + "_artifact");
    if (shared)
      GlobalAlias::create("gru_shared_artifact", global);
  }

  Module &module;
  const Artifact &artifact;
  IRBuilder<> b;
  PointerType *pointer;
  Type *i64;
  StructType *headType;
  Function *kernel = nullptr;
  GlobalVariable *plan = nullptr, *weights = nullptr;
};

} // namespace

void gru::addEntryPoints(Module &module, const Artifact &artifact,
                         bool shared) {
  EntryPoints(module, artifact).add(shared);
}
