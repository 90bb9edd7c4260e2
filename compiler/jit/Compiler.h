//===- Compiler.h - from a model's IR to machine code -----------*- C++ -*-===//
//
// The phases of a compilation, one function each; CompileWorker runs them.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_JIT_COMPILER_H
#define GRU_COMPILER_JIT_COMPILER_H

#include "compiler/import/ModelSource.h"
#include "lowering/Pipelines.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

#include <functional>
#include <memory>
#include <string>

namespace gru {

/// What a program is specialised for. Everything here shapes code, so all of it
/// is part of the key of the kernel cache.
struct CompileTarget {
  /// A backend; cudnn leaves to gpu and cpu, gpu and halide to cpu, what they
  /// refuse.
  std::string backend = "cpu";
  std::string requireBackend;    ///< not empty: of every recurrent layer
  DeviceProblems deviceProblems; ///< of auto; for messages
  std::string triple;            ///< empty: this machine
  std::string cpu;               ///< empty: this machine's
  int64_t batch = 0;             ///< 0: as in the model
  int64_t timesteps = 0;         ///< 0: dynamic
  int64_t width = 0, rows = 0;   ///< 0: the cost model chooses
  int64_t threads = 1;           ///< members of a team that share a run
  std::string weightType;        ///< bf16, int8: float32 kernels are stored so
  /// By their places: recurrent kernels whose zeros are left out.
  std::vector<size_t> sparseKernels = {};
  bool f64Outputs = false;
  std::string stopAfter; ///< a phase, for bisecting
  bool training = false;
  std::vector<MaskSpec> masks = {}; ///< with training: given, not drawn
  bool activities = false;          ///< see ImportOptions
  bool allowTF32 = false;           ///< of cuDNN and cuBLAS
  bool profile = false;             ///< layers are timed: see gru-time-layers
  std::string halideSchedule; ///< text of a file (lowering/halide/Schedule.h)
};

/// Called after each phase with its name and duration.
using PhaseObserver =
    std::function<void(llvm::StringRef phase, double milliseconds)>;

/// Asked once per process.
DeviceProblems getDeviceProblems();

/// The backend that a target's name stands for: auto (or "") is cudnn where
/// this machine can run it, gpu where it has a device but no cuDNN, else cpu.
/// Errors: an unknown name; one that this machine cannot run, unless
/// `forThisMachine` is false.
llvm::Expected<std::string> resolveTarget(llvm::StringRef target,
                                          bool forThisMachine);
/// The machine that a target stands for, with the host's features where it is
/// the host. Needs no LLVM target.
struct Machine {
  llvm::Triple triple;
  std::string cpu, features;
};
Machine getMachine(const CompileTarget &target);

/// A target machine for the triple and CPU, with the host's features where the
/// CPU is the host's.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const CompileTarget &target);

/// Options of the pipelines for a target. Errors: an unknown phase.
llvm::Expected<PipelineOptions>
getPipelineOptions(const CompileTarget &target,
                   const llvm::TargetMachine &machine);

/// Called with each choice that is worth knowing.
using RemarkObserver = std::function<void(llvm::StringRef text)>;

/// Who watches a compilation; either may be empty.
struct CompileObserver {
  PhaseObserver phase;
  RemarkObserver remark;
};

/// Diagnostics of MLIR while it is alive: the first error is kept as text,
/// remarks go to the observer.
class DiagnosticCollector {
public:
  explicit DiagnosticCollector(mlir::MLIRContext &context,
                               const RemarkObserver &remark = {});
  /// An error with what was collected, or `otherwise`.
  llvm::Error takeError(llvm::StringRef otherwise);

private:
  std::string text;
  RemarkObserver remark;
  mlir::ScopedDiagnosticHandler handler;
};

/// Lowers an imported module to the LLVM dialect, in place, by a pipeline of
/// lowering/Pipelines.h. The same one may lower any number of modules.
llvm::Error lowerModule(mlir::ModuleOp module, mlir::PassManager &passes,
                        const RemarkObserver &remark = {});

/// Translates a lowered module, adds the plan as the constant `gru_plan`, and
/// optimises.
llvm::Expected<std::unique_ptr<llvm::Module>>
translateModule(mlir::ModuleOp module, llvm::LLVMContext &context,
                llvm::TargetMachine &machine, const PhaseObserver &observer);

/// Machine code as an object file or as assembly.
llvm::Error emitCode(llvm::Module &module, llvm::TargetMachine &machine,
                     llvm::CodeGenFileType type,
                     llvm::SmallVectorImpl<char> &code);

} // namespace gru

#endif // GRU_COMPILER_JIT_COMPILER_H
