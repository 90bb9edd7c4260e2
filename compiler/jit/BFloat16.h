//===- BFloat16.h - rounding to bfloat16 without a library --------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_BFLOAT16_H
#define GRU_COMPILER_JIT_BFLOAT16_H

namespace llvm {
class Module;
} // namespace llvm

namespace gru {

/// Code generators round to bfloat16 by calling __truncsfbf2 where the CPU has no
/// instruction for it, and few C libraries have that: a module with bfloat16 in
/// it gets its own.
void addBFloat16Rounding(llvm::Module &module);

} // namespace gru

#endif // GRU_COMPILER_JIT_BFLOAT16_H
