//===- Emit.h - gru-opt with a target: compile and print --------*- C++ -*-===//

#ifndef GRU_TOOLS_GRUOPT_EMIT_H
#define GRU_TOOLS_GRUOPT_EMIT_H

#include "compiler/aot/Artifact.h"
#include "compiler/jit/Compiler.h"

namespace gru {

enum class EmitKind {
  MLIR,
  LLVM,
  Assembly,
  PTX, ///< of the layers that the gpu target takes
  // Ahead of time; docs/aot.md.
  Object,
  Shared,
  Header,
  Weights,
  /// What Halide makes of its functions alone.
  HalideStatement,
  HalideAssembly,
  HalideObject,
  HalideHeader,
  HalideSchedule
};
enum class ExplainKind { None, Text, JSON };

struct EmitOptions {
  CompileTarget target;
  std::string askedTarget; ///< auto, or the name of a backend
  EmitKind kind = EmitKind::MLIR;
  ExplainKind explain = ExplainKind::None;
  bool time = false;
  ArtifactOptions artifact;
  /// None for MLIR text.
  llvm::ArrayRef<WeightTensor> weights;
};

/// Whether a file is a model rather than MLIR, by its first bytes or, where
/// those are damaged, by its name.
bool isModelFile(llvm::StringRef name, llvm::StringRef bytes);

/// The batch that a module is compiled for where none is given: its own, else 1
/// (as 0, "leave it", where it is fixed).
int64_t defaultBatch(mlir::ModuleOp module);

/// Lowers the module for the target and writes what was asked for.
llvm::Error emitModule(mlir::ModuleOp module, const EmitOptions &options,
                       llvm::raw_ostream &os);

} // namespace gru

#endif // GRU_TOOLS_GRUOPT_EMIT_H
