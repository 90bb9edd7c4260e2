//===- ImportOnce.h - what a compilation does with an opened model --------===//

#ifndef GRU_TEST_FUZZ_IMPORTONCE_H
#define GRU_TEST_FUZZ_IMPORTONCE_H

#include "compiler/import/ModelSource.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"

namespace gru {

/// Imports the model for its own batch and some timesteps, if it has opened.
inline void importOnce(llvm::Expected<std::unique_ptr<ModelSource>> source) {
  if (!source) {
    llvm::consumeError(source.takeError());
    return;
  }
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  ImportOptions options;
  options.batch = (*source)->getDefaultBatch();
  if ((*source)->needsTimesteps())
    options.timesteps = 4;
  auto module = (*source)->import(context, options);
  if (!module)
    llvm::consumeError(module.takeError());
}

} // namespace gru

#endif // GRU_TEST_FUZZ_IMPORTONCE_H
