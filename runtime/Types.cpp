//===- Types.cpp - element types and the version --------------------------===//

#include "gru/runtime.h"

uint32_t gru_abi_version(void) { return GRU_ABI_VERSION; }

size_t gru_dtype_size(gru_dtype dtype) {
  switch (dtype) {
  case GRU_BOOL:
  case GRU_I8:
    return 1;
  case GRU_F16:
  case GRU_BF16:
    return 2;
  case GRU_F32:
  case GRU_I32:
    return 4;
  case GRU_F64:
  case GRU_I64:
    return 8;
  }
  return 0;
}

const char *gru_dtype_name(gru_dtype dtype) {
  switch (dtype) {
  case GRU_F32:
    return "f32";
  case GRU_F64:
    return "f64";
  case GRU_F16:
    return "f16";
  case GRU_BF16:
    return "bf16";
  case GRU_I8:
    return "i8";
  case GRU_BOOL:
    return "bool";
  case GRU_I32:
    return "i32";
  case GRU_I64:
    return "i64";
  }
  return "unknown";
}
