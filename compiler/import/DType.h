//===- DType.h - element types of programs ----------------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_DTYPE_H
#define GRU_COMPILER_IMPORT_DTYPE_H

#include "mlir/IR/Types.h"

#include <cstdint>

namespace gru {

/// The number of a `gru_dtype` (gru/plan.h); 0 for a type that programs cannot
/// have.
uint32_t getDType(mlir::Type type);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_DTYPE_H
