//===- DType.cpp - element types of programs ------------------------------===//

#include "compiler/import/DType.h"

#include "gru/plan.h"

uint32_t gru::getDType(mlir::Type type) {
  if (type.isF32())
    return GRU_F32;
  if (type.isF64())
    return GRU_F64;
  if (type.isF16())
    return GRU_F16;
  if (type.isBF16())
    return GRU_BF16;
  if (type.isInteger(1))
    return GRU_BOOL;
  if (type.isInteger(32))
    return GRU_I32;
  if (type.isInteger(64))
    return GRU_I64;
  return 0;
}
