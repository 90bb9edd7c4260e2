//===- CompileWorker.cpp - what one thread compiles with ------------------===//

#include "compiler/jit/CompileWorker.h"

#include "compiler/jit/SparseKernels.h"
#include "lowering/Pipelines.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/IR/Constants.h"

#include <chrono>
#include <mutex>

using namespace mlir;
using namespace gru;

namespace {
struct Pool {
  static Pool &get() {
    // Never destroyed: a host's threads may compile while the process ends.
    static Pool *pool = new Pool;
    return *pool;
  }

  std::mutex mutex;
  std::vector<std::unique_ptr<CompileWorker>> workers;
};
} // namespace

static DialectRegistry makeRegistry() {
  DialectRegistry registry;
  registerCompilerDialects(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  return registry;
}

CompileWorker::CompileWorker()
    : context(makeRegistry(), MLIRContext::Threading::DISABLED) {
  context.loadAllAvailableDialects();
}

std::unique_ptr<CompileWorker> CompileWorker::take() {
  Pool &pool = Pool::get();
  {
    std::lock_guard lock(pool.mutex);
    if (!pool.workers.empty()) {
      std::unique_ptr<CompileWorker> worker = std::move(pool.workers.back());
      pool.workers.pop_back();
      return worker;
    }
  }
  return std::unique_ptr<CompileWorker>(new CompileWorker);
}

void CompileWorker::giveBack(std::unique_ptr<CompileWorker> worker) {
  // A context grows with every attribute that is made in it.
  constexpr int maxUses = 64;
  if (++worker->uses >= maxUses)
    return;
  Pool &pool = Pool::get();
  std::lock_guard lock(pool.mutex);
  pool.workers.push_back(std::move(worker));
}

llvm::Expected<OwningOpRef<ModuleOp>>
CompileWorker::import(const ModelSource &source, const CompileTarget &target) {
  ImportOptions options;
  options.batch = target.batch;
  options.timesteps = target.timesteps;
  options.activities = target.activities;
  options.training = target.training;
  options.masks = target.masks;
  llvm::Expected<OwningOpRef<ModuleOp>> module =
      source.import(context, options);
  if (module)
    markSparseKernels(**module, target);
  return module;
}

llvm::Expected<llvm::TargetMachine *>
CompileWorker::getMachine(const CompileTarget &target) {
  std::string name = target.triple + ' ' + target.cpu;
  if (!machine || machineName != name) {
    llvm::Expected<std::unique_ptr<llvm::TargetMachine>> created =
        createTargetMachine(target);
    if (!created)
      return created.takeError();
    machine = std::move(*created);
    machineName = name;
  }
  return machine.get();
}

llvm::Expected<PassManager *>
CompileWorker::getPasses(const CompileTarget &target) {
  llvm::Expected<PipelineOptions> options =
      getPipelineOptions(target, *machine);
  if (!options)
    return options.takeError();
  if (!passes || passOptions != *options) {
    passes = std::make_unique<PassManager>(&context);
#ifndef GRU_VERIFY_EACH
    // Compiling is on the user's clock; gru-opt and sanitizer builds verify.
    passes->enableVerifier(false);
#endif
    passOptions = std::move(*options);
    buildPipeline(*passes, passOptions);
  }
  return passes.get();
}

/// The plan's bytes, which leave the module.
static std::string takePlan(llvm::Module &module) {
  llvm::GlobalVariable *global = module.getNamedGlobal("gru_plan");
  if (!global)
    return "";
  std::string plan =
      llvm::cast<llvm::ConstantDataSequential>(global->getInitializer())
          ->getRawDataValues()
          .str();
  global->eraseFromParent();
  return plan;
}

llvm::Expected<KernelEntry>
CompileWorker::compile(ModuleOp module, const CompileTarget &target,
                       const CompileObserver &observer) {
  auto begin = std::chrono::steady_clock::now();
  auto phase = [&](StringRef name) {
    auto now = std::chrono::steady_clock::now();
    if (observer.phase)
      observer.phase(
          name, std::chrono::duration<double, std::milli>(now - begin).count());
    begin = now;
  };
  llvm::Expected<llvm::TargetMachine *> machine = getMachine(target);
  if (!machine)
    return machine.takeError();
  phase("target");
  llvm::Expected<PassManager *> passes = getPasses(target);
  if (!passes)
    return passes.takeError();
  if (llvm::Error error = lowerModule(module, **passes, observer.remark))
    return error;
  phase("lower");
  llvm::LLVMContext llvmContext;
  llvm::Expected<std::unique_ptr<llvm::Module>> llvmModule =
      translateModule(module, llvmContext, **machine, observer.phase);
  if (!llvmModule)
    return llvmModule.takeError();
  begin = std::chrono::steady_clock::now();
  KernelEntry entry;
  entry.target = target.backend + ", " + (*machine)->getTargetCPU().str();
  entry.plan = takePlan(**llvmModule);
  llvm::SmallVector<char, 0> object;
  if (llvm::Error error = emitCode(**llvmModule, **machine,
                                   llvm::CodeGenFileType::ObjectFile, object))
    return error;
  entry.object.assign(object.begin(), object.end());
  phase("codegen");
  return entry;
}
