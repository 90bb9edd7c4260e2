//===- Bufferization.h - bufferisation of the sequence level ----*- C++ -*-===//

#ifndef GRU_LOWERING_BUFFERIZATION_H
#define GRU_LOWERING_BUFFERIZATION_H

#include "mlir/IR/DialectRegistry.h"

namespace gru {
/// gru.recur and gru.packed_dense bufferise in place, as destination-style
/// operations do.
void registerBufferizableOpInterfaceModels(mlir::DialectRegistry &registry);
} // namespace gru

#endif // GRU_LOWERING_BUFFERIZATION_H
