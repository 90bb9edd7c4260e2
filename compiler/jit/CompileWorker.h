//===- CompileWorker.h - what one thread compiles with ----------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_COMPILEWORKER_H
#define GRU_COMPILER_JIT_COMPILEWORKER_H

#include "compiler/jit/Compiler.h"
#include "compiler/jit/KernelEntry.h"

#include "mlir/IR/MLIRContext.h"

namespace gru {

/// An MLIR context with its dialects, the passes that lower, and a target
/// machine. All are slow to make and serve one thread at a time, so those that
/// are not in use wait in a pool.
class CompileWorker {
public:
  /// One from the pool, or a new one. Thread-safe.
  static std::unique_ptr<CompileWorker> take();
  /// To the pool, for the next compilation. Thread-safe. One that has failed is
  /// better destroyed.
  static void giveBack(std::unique_ptr<CompileWorker> worker);

  /// The module lives in this worker's context.
  llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  import(const ModelSource &source, const CompileTarget &target);

  /// Lowers the module in place and makes code of it.
  llvm::Expected<KernelEntry> compile(mlir::ModuleOp module,
                                      const CompileTarget &target,
                                      const CompileObserver &observer);

private:
  CompileWorker();
  llvm::Expected<llvm::TargetMachine *> getMachine(const CompileTarget &target);
  llvm::Expected<mlir::PassManager *> getPasses(const CompileTarget &target);

  mlir::MLIRContext context;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::string machineName;
  /// Those of the last compilation; patterns are frozen in them.
  std::unique_ptr<mlir::PassManager> passes;
  PipelineOptions passOptions;
  int uses = 0;
};

} // namespace gru

#endif // GRU_COMPILER_JIT_COMPILEWORKER_H
