//===- LLVMPasses.h - running passes on LLVM IR -----------------*- C++ -*-===//

#ifndef GRU_LOWERING_COMMON_LLVMPASSES_H
#define GRU_LOWERING_COMMON_LLVMPASSES_H

#include "llvm/Passes/PassBuilder.h"

namespace gru {

/// Runs the passes that `make` builds on a module for a machine.
inline void runLLVMPasses(
    llvm::Module &module, llvm::TargetMachine &machine,
    llvm::function_ref<llvm::ModulePassManager(llvm::PassBuilder &)> make) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);
  make(builder).run(module, modules);
}

} // namespace gru

#endif // GRU_LOWERING_COMMON_LLVMPASSES_H
