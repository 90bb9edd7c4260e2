//===- KernelLoader.h - machine code into this process ----------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_KERNELLOADER_H
#define GRU_COMPILER_JIT_KERNELLOADER_H

#include "gru/plan.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>

namespace gru {

/// The code of one kernel, which stays in memory as long as this object.
class LoadedCode {
public:
  /// Links an object file. Fails where it needs a function that kernels may
  /// not call. Thread-safe.
  static llvm::Expected<std::shared_ptr<const LoadedCode>>
  load(llvm::StringRef object);

  ~LoadedCode();
  gru_kernel getEntry() const { return entry; }

private:
  struct Memory;
  LoadedCode();

  std::unique_ptr<Memory> memory;
  gru_kernel entry = nullptr;
};

} // namespace gru

#endif // GRU_COMPILER_JIT_KERNELLOADER_H
