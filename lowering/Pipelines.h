//===- Pipelines.h - every pipeline of the project --------------*- C++ -*-===//

#ifndef GRU_LOWERING_PIPELINES_H
#define GRU_LOWERING_PIPELINES_H

#include "lowering/backends/DeviceProblems.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

#include <optional>
#include <string>

namespace gru {

/// Phases of the cpu pipeline, in order. After each the program can be printed,
/// or handed to the reference lowering (see PipelineOptions::stopAfter).
enum class Phase {
  Specialize,
  Legalize,
  Sequence,
  Buffers,
  Loops,
  Vector,
  LLVM
};

/// "specialize", "legalize", ..., or nothing.
std::optional<Phase> parsePhase(llvm::StringRef name);
/// The names that parsePhase takes, for messages.
llvm::StringRef phaseNames();

struct PipelineOptions {
  std::string backend = "cpu";
  std::string requireBackend;    ///< not empty: of every recurrent layer
  DeviceProblems deviceProblems; ///< of auto; for messages
  TargetDescription target;
  int64_t batch = 0;      ///< 0: as in the program
  int64_t timesteps = 0;  ///< 0: as in the program
  int64_t width = 0;      ///< units per block; 0: the cost model chooses
  int64_t rows = 0;       ///< rows computed together; 0: the cost model chooses
  std::string weightType; ///< cpu: bf16 or int8, as float32 kernels are stored
  bool f64Outputs = false; ///< reference only: outputs in float64
  bool allowTF32 = false;  ///< cudnn and gpu only
  /// LLVM's intrinsic that layers are timed with; empty: not
  std::string clock;
  std::string halideSchedule; ///< halide only: schedules given by hand
  /// cpu: the last phase to run. reference: how far the cpu pipeline goes, in
  /// float64, before the reference loops take over; nothing means not at all.
  std::optional<Phase> stopAfter;

  bool operator==(const PipelineOptions &) const = default;
};

/// The pipeline of `options.backend`.
void buildPipeline(mlir::OpPassManager &pm, const PipelineOptions &options);
void buildCPUPipeline(mlir::OpPassManager &pm, const PipelineOptions &options);
void buildHalidePipeline(mlir::OpPassManager &pm,
                         const PipelineOptions &options);
void buildReferencePipeline(mlir::OpPassManager &pm,
                            const PipelineOptions &options);

/// Registers our passes and the pipelines gru-to-cpu, gru-to-halide and
/// gru-to-reference.
void registerPassesAndPipelines();

/// Everything that a context needs to import and compile a model.
void registerCompilerDialects(mlir::DialectRegistry &registry);

} // namespace gru

#endif // GRU_LOWERING_PIPELINES_H
