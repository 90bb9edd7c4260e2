//===- KernelSymbols.cpp - the functions that kernels may call ------------===//

#include "compiler/jit/KernelSymbols.h"

#include <cmath>
#include <cstring>

using namespace gru;

llvm::ArrayRef<KernelSymbol> gru::getKernelSymbols() {
  using D1 = double (*)(double);
#define GRU_MATH(name)                                                         \
  {                                                                            \
    #name, reinterpret_cast<void *>(D1(std::name))                             \
  }
  static const KernelSymbol symbols[] = {
      {"memcpy", reinterpret_cast<void *>(std::memcpy)},
      {"memmove", reinterpret_cast<void *>(std::memmove)},
      {"memset", reinterpret_cast<void *>(std::memset)},
      GRU_MATH(exp),
      GRU_MATH(expm1),
      GRU_MATH(log),
      GRU_MATH(log1p),
      GRU_MATH(tanh),
      GRU_MATH(erf),
      {"fma", reinterpret_cast<void *>(
                  static_cast<double (*)(double, double, double)>(std::fma))},
  };
#undef GRU_MATH
  return symbols;
}
