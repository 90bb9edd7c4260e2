//===- Request.h - what the library around Halide is asked ------*- C++ -*-===//
//
// Plain data, and formulas in upstream dialects: the library has its own copy
// of nothing but Halide, so no type of the gru dialect may cross this border.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_HALIDE_GENERATOR_REQUEST_H
#define GRU_LOWERING_HALIDE_GENERATOR_REQUEST_H

#include "lowering/halide/Kernels.h"
#include "lowering/halide/Schedule.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <optional>
#include <string>
#include <vector>

namespace gru {

/// A buffer, innermost dimension first. Negative numbers are dynamic.
struct HalideBuffer {
  std::string name;
  bool isMask; ///< Bytes 0 and 1; otherwise floats of `bits`.
  int bits;
  std::vector<int64_t> extents, strides;
};

struct HalideFunction {
  std::string name;
  /// all, gates, candidate: a step or a phase of one. dense, projection: the
  /// two forms of gru.packed_dense.
  std::string kind;
  std::vector<HalideBuffer> buffers;
  int64_t units = 0;      ///< Columns that are written.
  int64_t blockedDim = 0; ///< Leading dimension whose rows form blocks.
  bool timeMajor = false;
  std::optional<double> clip;
  /// Formulas of one value, in arith and math; null for the identity.
  mlir::func::FuncOp activation, recurrentActivation;
  HalideSchedule schedule;
  bool cuda = false; ///< As in the request.
};

struct HalideRequest {
  std::string arch, os;              ///< As in an LLVM triple.
  std::vector<std::string> features; ///< LLVM's names of those enabled.
  bool cuda = false; ///< Kernels for a device; the functions launch them.
  std::vector<HalideFunction> functions;
  HalideOutput output;
};

/// The library's one entry point. True and the result, or false and an error.
using HalideGenerate = bool(const HalideRequest &request, std::string &result);

} // namespace gru

extern "C" __attribute__((
    visibility("default"))) gru::HalideGenerate gru_halide_generate;

#endif // GRU_LOWERING_HALIDE_GENERATOR_REQUEST_H
