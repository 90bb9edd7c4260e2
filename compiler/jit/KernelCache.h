//===- KernelCache.h - compiled kernels of this process -----------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_KERNELCACHE_H
#define GRU_COMPILER_JIT_KERNELCACHE_H

#include "compiler/jit/Compiler.h"

#include "gru/plan.h"

namespace gru {

/// A loaded kernel. Kernels stay loaded until the process ends: they hold no
/// weights, so a process has few and they are small.
struct Kernel {
  gru_kernel entry = nullptr;
  const void *plan = nullptr;
  uint64_t planSize = 0;
};

/// The kernel for a model's structure and a target: from memory, or compiled
/// now. Thread-safe; threads that ask for the same kernel at the same time wait
/// for one compilation, which only the first one's observer sees.
llvm::Expected<Kernel> getKernel(const ModelSource &source,
                                 const CompileTarget &target,
                                 const CompileObserver &observer);

/// How many kernels were compiled, and how many requests memory answered.
struct KernelCacheStatistics {
  uint64_t compiled = 0, found = 0;
};
KernelCacheStatistics getKernelCacheStatistics();

} // namespace gru

#endif // GRU_COMPILER_JIT_KERNELCACHE_H
