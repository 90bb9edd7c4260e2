//===- TuningFile.h - what was measured on devices, across processes ------===//

#ifndef GRU_COMPILER_JIT_TUNINGFILE_H
#define GRU_COMPILER_JIT_TUNINGFILE_H

#include "llvm/ADT/StringRef.h"

namespace gru {

/// Has the runtime keep what it measures on devices (gru_set_tuning_store) in a
/// file of this folder, beside compiled kernels. An empty name keeps nothing.
/// Thread-safe; a file that cannot be read or written costs the time to measure
/// again.
void keepTuningIn(llvm::StringRef directory);

} // namespace gru

#endif // GRU_COMPILER_JIT_TUNINGFILE_H
