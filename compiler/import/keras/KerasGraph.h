//===- KerasGraph.h - the walk over a model's layers ------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASGRAPH_H
#define GRU_COMPILER_IMPORT_KERAS_KERASGRAPH_H

#include "compiler/import/ModelSource.h"
#include "compiler/import/keras/KerasConfig.h"
#include "compiler/import/keras/KerasWeights.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace gru::keras {

/// What the whole model says about its inputs' shapes.
struct ShapeRules {
  int64_t batch = 0, timesteps = 0;
  bool timeMajor = false, stateful = false, fixedTime = false;
};

ShapeRules getShapeRules(const Model &model, const ImportOptions &options);

/// Checks the graph, takes its weights out of `store` into `weights`, and tells
/// the model's inputs and outputs.
llvm::Error checkGraph(llvm::StringRef file, const Model &model, Weights &store,
                       std::vector<WeightTensor> &weights,
                       std::vector<TensorSpec> &inputs,
                       std::vector<TensorSpec> &outputs);

/// Creates the body of `function`, whose weight arguments stand in the order in
/// which checkGraph listed the weights.
llvm::Error emitGraph(llvm::StringRef file, const Model &model,
                      const ImportOptions &options,
                      mlir::func::FuncOp function);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASGRAPH_H
