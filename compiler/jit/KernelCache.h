//===- KernelCache.h - compiled kernels, by what they were made of --------===//

#ifndef GRU_COMPILER_JIT_KERNELCACHE_H
#define GRU_COMPILER_JIT_KERNELCACHE_H

#include "compiler/jit/Compiler.h"
#include "compiler/jit/KernelLoader.h"

namespace gru {

/// A loaded kernel, which stays loaded as long as this object, and its plan
/// under the names of one model.
struct Kernel {
  std::shared_ptr<const LoadedCode> code;
  std::string plan;
};

/// The kernel for a model's structure and a target: from memory, from the
/// folder `directory` (empty: none), or compiled now and kept in both. The last
/// used 128 stay in memory. Thread-safe; threads that ask for the same kernel
/// at the same time wait for one compilation, which only the first one's
/// observer sees. A folder that cannot be written to is a remark.
llvm::Expected<std::shared_ptr<const Kernel>>
getKernel(const ModelSource &source, const CompileTarget &target,
          llvm::StringRef directory, const CompileObserver &observer);

/// Compiles `source` for `better`, which differs from `target` in what the cost
/// model decides, and keeps the kernel where whoever asks for `target` finds
/// it: in `directory`, so processes that have a kernel for `target` go on with
/// theirs.
llvm::Error keepInPlaceOf(const ModelSource &source,
                          const CompileTarget &target,
                          const CompileTarget &better,
                          llvm::StringRef directory);

} // namespace gru

#endif // GRU_COMPILER_JIT_KERNELCACHE_H
