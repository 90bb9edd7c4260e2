//===- Kernels.h - functions that Halide generates --------------*- C++ -*-===//
//
// `convert-gru-to-halide` leaves declarations with the attribute `gru.halide`.
// Here they are turned into code. Halide itself lives in a shared library of
// ours (generator/) that is loaded on first use: whoever does not ask for the
// target does not pay for it, and needs no Halide.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_HALIDE_KERNELS_H
#define GRU_LOWERING_HALIDE_KERNELS_H

#include "dialect/GRUDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <string>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace gru {

/// On a function declaration: what Halide is to generate for it.
inline constexpr llvm::StringLiteral kHalideAttr = "gru.halide";

/// Why Halide cannot take a `gru.step` or `gru.packed_dense`; empty if it can.
std::string checkHalide(mlir::Operation *op, bool cuda = false);
/// The same for a layer with these activations and this element type.
std::string checkHalideLayer(ActAttr activation, ActAttr recurrentActivation,
                             mlir::Type element, bool cuda = false);

/// The leading dimension of a product's input whose rows are computed together:
/// the largest static one, or the first dynamic one where those are small.
int64_t getHalideRowDim(llvm::ArrayRef<int64_t> leading);

/// Fewer rows do not pay for reading all weights once more, so threads share an
/// operation only where each gets as many.
inline constexpr int64_t kHalideRowsPerThread = 4;

/// Success where this build and this machine have Halide; else why not.
llvm::Error checkHalideAvailable();

/// Names the library around Halide, for keys of what it compiled; empty
/// without.
std::string getHalideId();

/// What Halide can make of its functions.
enum class HalideOutput { Bitcode, Statement, Assembly, Object, Header };

/// All functions of a module that `gru.halide` describes, in the form asked
/// for. The module may be lowered already. Thread-safe. Needs
/// checkHalideAvailable.
llvm::Expected<std::string> generateHalide(mlir::ModuleOp module,
                                           const llvm::TargetMachine &machine,
                                           HalideOutput output);

/// The kernels for a device, of functions that were converted for CUDA.
llvm::Expected<std::string>
generateHalidePTX(mlir::ModuleOp module, const llvm::TargetMachine &machine);

/// Generates them and links them into `code`, the translation of `module`, as
/// private functions. Does nothing where there are none.
llvm::Error linkHalide(mlir::ModuleOp module,
                       const llvm::TargetMachine &machine, llvm::Module &code);

/// One line per function: its name and schedule, in the form that
/// HalideScheduleFile reads.
std::string printHalideSchedules(mlir::ModuleOp module);

} // namespace gru

#endif // GRU_LOWERING_HALIDE_KERNELS_H
