//===- KernelCache.cpp - compiled kernels of this process ------------------===//

#include "compiler/jit/KernelCache.h"

#include "lowering/Pipelines.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <future>
#include <map>
#include <mutex>

using namespace mlir;
using namespace gru;

namespace {

/// Functions that kernels may call. Everything else is an error at link time.
/// The memory functions are what LLVM makes of plain loops; the mathematical
/// ones serve the reference target and float64.
const std::pair<const char *, void *> *allowedSymbols(size_t &count) {
  using D1 = double (*)(double);
#define GRU_MATH(name) {#name, reinterpret_cast<void *>(D1(std::name))}
  static const std::pair<const char *, void *> symbols[] = {
      {"memcpy", reinterpret_cast<void *>(std::memcpy)},
      {"memmove", reinterpret_cast<void *>(std::memmove)},
      {"memset", reinterpret_cast<void *>(std::memset)},
      GRU_MATH(exp),
      GRU_MATH(expm1),
      GRU_MATH(log),
      GRU_MATH(log1p),
      GRU_MATH(tanh),
      GRU_MATH(erf),
      {"fma", reinterpret_cast<void *>(
                  static_cast<double (*)(double, double, double)>(std::fma))},
  };
#undef GRU_MATH
  count = std::size(symbols);
  return symbols;
}

/// What one thread compiles with. A context grows with every attribute made in
/// it, so a worker retires after a number of compilations.
struct Worker {
  Worker() : context(makeRegistry(), MLIRContext::Threading::DISABLED) {
    context.loadAllAvailableDialects();
  }

  static DialectRegistry makeRegistry() {
    DialectRegistry registry;
    registerCompilerDialects(registry);
    registerBuiltinDialectTranslation(registry);
    registerLLVMDialectTranslation(registry);
    return registry;
  }

  static constexpr int maxUses = 64;
  MLIRContext context;
  int uses = 0;
};

class Cache {
public:
  static Cache &get() {
    // Never destroyed: kernels may run until the process ends.
    static Cache *cache = new Cache;
    return *cache;
  }

  llvm::Expected<Kernel> find(const ModelSource &source,
                              const CompileTarget &target,
                              const CompileObserver &observer) {
    std::string key = makeKey(source, target);
    std::promise<Outcome> promise;
    std::shared_future<Outcome> future;
    bool mine = false;
    {
      std::lock_guard lock(mutex);
      auto [it, inserted] = kernels.try_emplace(key);
      if (inserted)
        it->second = promise.get_future().share();
      future = it->second;
      mine = inserted;
      ++(mine ? statistics.compiled : statistics.found);
    }
    if (mine) {
      llvm::Expected<Kernel> kernel = compile(source, target, observer);
      if (kernel) {
        promise.set_value({*kernel, {}});
      } else {
        // A failure is told to all who wait, and forgotten.
        promise.set_value({{}, llvm::toString(kernel.takeError())});
        std::lock_guard lock(mutex);
        kernels.erase(key);
      }
    }
    const Outcome &outcome = future.get();
    if (!outcome.error.empty())
      return llvm::createStringError(outcome.error);
    return outcome.kernel;
  }

  KernelCacheStatistics getStatistics() {
    std::lock_guard lock(mutex);
    return statistics;
  }

private:
  struct Outcome {
    Kernel kernel;
    std::string error;
  };

  static std::string makeKey(const ModelSource &source,
                             const CompileTarget &target) {
    std::string bytes;
    llvm::raw_string_ostream os(bytes);
    source.hashStructure(os);
    os << '\0' << target.backend << '\0' << target.triple << '\0' << target.cpu
       << '\0' << target.batch << '\0' << target.timesteps << '\0'
       << target.width << '\0' << target.rows << '\0' << target.f64Outputs
       << '\0' << target.stopAfter << '\0' << target.halideSchedule;
    llvm::SHA256 hash;
    hash.update(bytes);
    return llvm::toHex(hash.final());
  }

  std::unique_ptr<Worker> takeWorker() {
    {
      std::lock_guard lock(mutex);
      if (!workers.empty()) {
        std::unique_ptr<Worker> worker = std::move(workers.back());
        workers.pop_back();
        return worker;
      }
    }
    return std::make_unique<Worker>();
  }

  void giveBack(std::unique_ptr<Worker> worker) {
    if (++worker->uses >= Worker::maxUses)
      return;
    std::lock_guard lock(mutex);
    workers.push_back(std::move(worker));
  }

  llvm::Expected<Kernel> compile(const ModelSource &source,
                                 const CompileTarget &target,
                                 const CompileObserver &observer) {
    std::unique_ptr<Worker> worker = takeWorker();
    llvm::Expected<Kernel> kernel =
        compileWith(*worker, source, target, observer);
    giveBack(std::move(worker));
    return kernel;
  }

  llvm::Expected<Kernel> compileWith(Worker &worker, const ModelSource &source,
                                     const CompileTarget &target,
                                     const CompileObserver &observer) {
    auto begin = std::chrono::steady_clock::now();
    auto phase = [&](StringRef name) {
      auto now = std::chrono::steady_clock::now();
      if (observer.phase)
        observer.phase(name, std::chrono::duration<double, std::milli>(now - begin)
                           .count());
      begin = now;
    };
    llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
        createTargetMachine(target);
    if (!machine)
      return machine.takeError();
    ImportOptions import;
    import.batch = target.batch;
    import.timesteps = target.timesteps;
    llvm::Expected<OwningOpRef<ModuleOp>> module =
        source.import(worker.context, import);
    if (!module)
      return module.takeError();
    phase("import");
    if (llvm::Error error = lowerModule(**module, target, **machine,
                                        observer.remark))
      return error;
    phase("lower");
    llvm::LLVMContext context;
    llvm::Expected<std::unique_ptr<llvm::Module>> llvmModule =
        translateModule(**module, context, **machine, observer.phase);
    if (!llvmModule)
      return llvmModule.takeError();
    begin = std::chrono::steady_clock::now();
    uint64_t planSize = 0;
    if (llvm::GlobalVariable *plan = (*llvmModule)->getNamedGlobal("gru_plan"))
      planSize = plan->getValueType()->getArrayNumElements();
    llvm::SmallVector<char, 0> object;
    if (llvm::Error error = emitCode(
            **llvmModule, **machine, llvm::CodeGenFileType::ObjectFile, object))
      return error;
    phase("codegen");
    llvm::Expected<Kernel> kernel = load(object, planSize);
    phase("link");
    return kernel;
  }

  llvm::Expected<Kernel> load(llvm::SmallVectorImpl<char> &object,
                              uint64_t planSize) {
    std::lock_guard lock(linkMutex);
    if (!jit) {
      auto created = llvm::orc::LLJITBuilder().create();
      if (!created)
        return created.takeError();
      jit = std::move(*created);
    }
    auto dylib = jit->createJITDylib("kernel" + std::to_string(numLoaded++));
    if (!dylib)
      return dylib.takeError();
    size_t count;
    const auto *symbols = allowedSymbols(count);
    llvm::orc::SymbolMap map;
    for (size_t i = 0; i < count; ++i)
      map[jit->mangleAndIntern(symbols[i].first)] = {
          llvm::orc::ExecutorAddr::fromPtr(symbols[i].second),
          llvm::JITSymbolFlags::Exported};
    if (llvm::Error error =
            dylib->define(llvm::orc::absoluteSymbols(std::move(map))))
      return error;
    if (llvm::Error error = jit->addObjectFile(
            *dylib, llvm::MemoryBuffer::getMemBufferCopy(
                        StringRef(object.data(), object.size()), "kernel")))
      return error;
    auto entry = jit->lookup(*dylib, "gru_kernel");
    if (!entry)
      return entry.takeError();
    auto plan = jit->lookup(*dylib, "gru_plan");
    if (!plan)
      return plan.takeError();
    return Kernel{entry->toPtr<gru_kernel>(), plan->toPtr<const void *>(),
                  planSize};
  }

  std::mutex mutex, linkMutex;
  std::map<std::string, std::shared_future<Outcome>> kernels;
  std::vector<std::unique_ptr<Worker>> workers;
  KernelCacheStatistics statistics;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  int numLoaded = 0;
};
} // namespace

llvm::Expected<Kernel> gru::getKernel(const ModelSource &source,
                                      const CompileTarget &target,
                                      const CompileObserver &observer) {
  return Cache::get().find(source, target, observer);
}

KernelCacheStatistics gru::getKernelCacheStatistics() {
  return Cache::get().getStatistics();
}
