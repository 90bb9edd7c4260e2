//===- BuildId.h - which compiler this is -----------------------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_BUILDID_H
#define GRU_COMPILER_JIT_BUILDID_H

#include "llvm/ADT/StringRef.h"

namespace gru {

/// Text that differs whenever the code of this compiler, LLVM or MLIR differs:
/// the linker's build id of each file that holds one of them, or the file's
/// size and time where it has none. A version number would let a rebuilt
/// compiler take the kernels of the one before.
llvm::StringRef getBuildId();

} // namespace gru

#endif // GRU_COMPILER_JIT_BUILDID_H
