//===- KernelSymbols.h - the functions that kernels may call ----*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_KERNELSYMBOLS_H
#define GRU_COMPILER_JIT_KERNELSYMBOLS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace gru {

/// A function of the C library. Neither allocates, locks nor calls the system,
/// which is why it may be on the list.
struct KernelSymbol {
  llvm::StringLiteral name;
  void *address;
};

/// The whole list: the JIT links against nothing else, and ahead of time an
/// object that needs anything else is an error. The memory functions are what
/// LLVM makes of plain loops; the mathematical ones serve the reference target
/// and float64.
llvm::ArrayRef<KernelSymbol> getKernelSymbols();

} // namespace gru

#endif // GRU_COMPILER_JIT_KERNELSYMBOLS_H
