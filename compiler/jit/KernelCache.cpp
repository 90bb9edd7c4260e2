//===- KernelCache.cpp - compiled kernels, by what they were made of ------===//

#include "compiler/jit/KernelCache.h"

#include "compiler/jit/CompileWorker.h"
#include "compiler/jit/DiskCache.h"
#include "compiler/jit/KernelKey.h"
#include "compiler/jit/OnceCache.h"

#include <chrono>

using namespace gru;
using llvm::StringRef;

namespace {

/// Code and plan as a compilation leaves them, under the names of whichever
/// model was compiled.
struct Compiled {
  KernelEntry entry;
  std::shared_ptr<const LoadedCode> code;
};

class Cache {
public:
  static Cache &get() {
    // Never destroyed: programs may be compiled and released until the process
    // ends.
    static Cache *cache = new Cache;
    return *cache;
  }

  static constexpr size_t capacity = 128;
  OnceCache<Kernel> kernels{capacity};
  OnceCache<Compiled> modules{capacity};
};

/// One request that memory could not answer.
class Request {
public:
  Request(const ModelSource &source, const CompileTarget &target,
          StringRef directory, const CompileObserver &observer)
      : source(source), target(target), disk(directory), observer(observer) {}

  OnceCache<Kernel>::Result run(StringRef sourceKey);

private:
  std::shared_ptr<const Compiled> readFromDisk(StringRef key);
  OnceCache<Compiled>::Result compile(CompileWorker &worker,
                                      mlir::ModuleOp module);
  void store(StringRef key, const KernelEntry &entry);
  void phase(StringRef name);

  const ModelSource &source;
  const CompileTarget &target;
  DiskCache disk;
  bool diskWorks = true;
  const CompileObserver &observer;
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin = Clock::now();
};
} // namespace

void Request::phase(StringRef name) {
  auto now = Clock::now();
  if (observer.phase)
    observer.phase(
        name, std::chrono::duration<double, std::milli>(now - begin).count());
  begin = now;
}

std::shared_ptr<const Compiled> Request::readFromDisk(StringRef key) {
  std::optional<KernelEntry> entry = disk.read(key);
  if (!entry)
    return nullptr;
  llvm::Expected<std::shared_ptr<const LoadedCode>> code =
      LoadedCode::load(entry->object);
  if (!code) {
    // As good as damaged: it is made again.
    llvm::consumeError(code.takeError());
    return nullptr;
  }
  return std::make_shared<Compiled>(Compiled{std::move(*entry), *code});
}

void Request::store(StringRef key, const KernelEntry &entry) {
  // A full disk is told once.
  if (!diskWorks)
    return;
  if (llvm::Error error = disk.write(key, entry)) {
    diskWorks = false;
    std::string text = llvm::toString(std::move(error));
    if (observer.remark)
      observer.remark(text);
  }
}

OnceCache<Compiled>::Result Request::compile(CompileWorker &worker,
                                             mlir::ModuleOp module) {
  llvm::Expected<KernelEntry> entry = worker.compile(module, target, observer);
  if (!entry)
    return entry.takeError();
  begin = Clock::now();
  llvm::Expected<std::shared_ptr<const LoadedCode>> code =
      LoadedCode::load(entry->object);
  if (!code)
    return code.takeError();
  phase("link");
  return std::make_shared<Compiled>(Compiled{std::move(*entry), *code});
}

OnceCache<Kernel>::Result Request::run(StringRef sourceKey) {
  if (std::shared_ptr<const Compiled> found = readFromDisk(sourceKey)) {
    phase("cache");
    return std::make_shared<Kernel>(Kernel{found->code, found->entry.plan});
  }
  std::unique_ptr<CompileWorker> worker = CompileWorker::take();
  llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>> module =
      worker->import(source, target);
  if (!module)
    return module.takeError();
  phase("import");
  TensorNames names;
  std::string moduleKey = makeModuleKey(**module, target, names);
  bool mine = false;
  OnceCache<Compiled>::Result compiled =
      Cache::get().modules.get(moduleKey, [&]() -> OnceCache<Compiled>::Result {
        if (auto found = readFromDisk(moduleKey)) {
          phase("cache");
          return found;
        }
        mine = true;
        return compile(*worker, **module);
      });
  if (!compiled)
    return compiled.takeError();
  std::shared_ptr<const Compiled> result = *compiled;
  if (mine) {
    store(moduleKey, result->entry);
  } else {
    std::optional<std::string> plan = renamePlan(result->entry.plan, names);
    if (!plan) {
      // Tensors that the kernel does not have cannot be told from others.
      compiled = compile(*worker, **module);
      if (!compiled)
        return compiled.takeError();
      result = *compiled;
    } else {
      auto renamed = std::make_shared<Compiled>(*result);
      renamed->entry.plan = std::move(*plan);
      result = renamed;
    }
  }
  store(sourceKey, result->entry);
  if (disk.isOn())
    phase("store");
  // The module lives in the worker, which may retire now.
  module->release().erase();
  CompileWorker::giveBack(std::move(worker));
  return std::make_shared<Kernel>(Kernel{result->code, result->entry.plan});
}

llvm::Expected<std::shared_ptr<const Kernel>>
gru::getKernel(const ModelSource &source, const CompileTarget &target,
               StringRef directory, const CompileObserver &observer) {
  std::string key = makeSourceKey(source, target);
  return Cache::get().kernels.get(key, [&] {
    return Request(source, target, directory, observer).run(key);
  });
}

llvm::Error gru::keepInPlaceOf(const ModelSource &source,
                               const CompileTarget &target,
                               const CompileTarget &better,
                               StringRef directory) {
  std::unique_ptr<CompileWorker> worker = CompileWorker::take();
  auto module = worker->import(source, target);
  if (!module)
    return module.takeError();
  TensorNames names;
  std::string moduleKey = makeModuleKey(**module, target, names);
  llvm::Expected<KernelEntry> entry =
      worker->compile(**module, better, CompileObserver());
  if (!entry)
    return entry.takeError();
  DiskCache disk(directory);
  if (llvm::Error error = disk.write(moduleKey, *entry))
    return error;
  return disk.write(makeSourceKey(source, target), *entry);
}
