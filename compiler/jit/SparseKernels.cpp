//===- SparseKernels.cpp - recurrent kernels with zeros to leave out ------===//

#include "compiler/jit/SparseKernels.h"

#include "dialect/GRUDialect.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/FormatVariadic.h"

#include <cstring>

using namespace gru;

/// Above it, reading some lines one by one takes longer than reading all of them
/// in a row (docs/performance.md).
constexpr double kDensestSparse = 0.5;

/// Whether a weight is a recurrent kernel [H, 3H] with units enough.
static bool isCandidate(const WeightTensor &weight) {
  return llvm::StringRef(weight.name).ends_with("recurrent_kernel") &&
         weight.shape.size() == 2 && weight.shape[0] >= kFewestSparseUnits &&
         weight.shape[1] == 3 * weight.shape[0];
}

/// Of any floating-point type: no bit is set but the sign's, which the
/// products with zeros and ones that prune a kernel leave.
template <typename Bits> static bool isZero(const char *number) {
  Bits bits;
  std::memcpy(&bits, number, sizeof(bits));
  return Bits(bits << 1) == 0;
}

/// The part of a kernel's blocks in which a number is not zero.
template <typename Bits>
static double getDensity(const WeightTensor &kernel, int64_t blockUnits) {
  int64_t units = kernel.shape[0], count = 0, filled = 0;
  const char *row = kernel.data.data();
  for (int64_t i = 0; i < 3 * units; ++i, row += units * sizeof(Bits))
    for (int64_t unit = 0; unit < units; unit += blockUnits, ++count) {
      auto block = llvm::seq(unit, std::min(unit + blockUnits, units));
      filled += !llvm::all_of(block, [&](int64_t at) {
        return isZero<Bits>(row + at * sizeof(Bits));
      });
    }
  return double(filled) / double(count);
}

static double getDensity(const WeightTensor &kernel, int64_t blockUnits) {
  switch (getWeightTypeSize(kernel.dtype)) {
  case 2:
    return getDensity<uint16_t>(kernel, blockUnits);
  case 4:
    return getDensity<uint32_t>(kernel, blockUnits);
  default:
    return getDensity<uint64_t>(kernel, blockUnits);
  }
}

void gru::chooseSparseKernels(llvm::ArrayRef<WeightTensor> weights,
                              CompileTarget &target,
                              const RemarkObserver &remark) {
  // Bytes gain more than zeros that are left out.
  if (target.backend != "cpu" || target.weightType == "int8")
    return;
  for (auto [place, weight] : llvm::enumerate(weights)) {
    if (!isCandidate(weight))
      continue;
    int64_t blockUnits = kSparseBlockBytes / getWeightTypeSize(weight.dtype);
    double density = getDensity(weight, blockUnits);
    bool pays = density <= kDensestSparse;
    if (pays)
      target.sparseKernels.push_back(place);
    constexpr double kWorthMentioning = 0.9;
    if (remark && density <= kWorthMentioning)
      remark(llvm::formatv(
                 "{0}: {1:f0} % of its blocks of {2} units are not zero, {3}",
                 weight.name, 100 * density, blockUnits,
                 pays ? "and the products leave the others out"
                      : "too many to gain by leaving the others out")
                 .str());
  }
}

void gru::markSparseKernels(mlir::ModuleOp module,
                            const CompileTarget &target) {
  auto main = module.lookupSymbol<mlir::func::FuncOp>("main");
  if (!main)
    return;
  size_t place = 0;
  for (unsigned i = 0, e = main.getNumArguments(); i != e; ++i)
    if (main.getArgAttr(i, kWeightAttr) &&
        llvm::is_contained(target.sparseKernels, place++))
      main.setArgAttr(i, kSparseAttr, mlir::UnitAttr::get(module.getContext()));
}
