//===- GRUDropoutOps.h - the source of dropout masks ------------*- C++ -*-===//

#ifndef GRU_DIALECT_GRUDROPOUTOPS_H
#define GRU_DIALECT_GRUDROPOUTOPS_H

#include "dialect/GRUDialect.h"

namespace gru {
/// `gru.name` of the state that dropout masks are drawn from.
inline constexpr llvm::StringLiteral kDropoutKeyName = "dropout_key";
} // namespace gru

#define GET_OP_CLASSES
#include "dialect/GRUDropoutOps.h.inc"

#endif // GRU_DIALECT_GRUDROPOUTOPS_H
