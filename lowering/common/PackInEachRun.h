//===- PackInEachRun.h - packs of what is not a weight ----------*- C++ -*-===//

#ifndef GRU_LOWERING_COMMON_PACKINEACHRUN_H
#define GRU_LOWERING_COMMON_PACKINEACHRUN_H

#include "dialect/GRUDialect.h"

namespace gru {

/// Replaces a pack by a linalg.generic that does the same whenever the function
/// runs: for kernels that are inputs of the model, or computed.
void packInEachRun(PackOp op);

} // namespace gru

#endif // GRU_LOWERING_COMMON_PACKINEACHRUN_H
