//===- GRURandomOps.h - the sources of random numbers -----------*- C++ -*-===//

#ifndef GRU_DIALECT_GRURANDOMOPS_H
#define GRU_DIALECT_GRURANDOMOPS_H

#include "dialect/GRUDialect.h"

namespace gru {
/// `gru.name` of the state that random numbers are drawn from.
inline constexpr llvm::StringLiteral kDropoutKeyName = "dropout_key";
} // namespace gru

#define GET_OP_CLASSES
#include "dialect/GRURandomOps.h.inc"

#endif // GRU_DIALECT_GRURANDOMOPS_H
