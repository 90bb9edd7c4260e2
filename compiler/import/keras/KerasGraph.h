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

/// What a first walk over a graph finds out.
struct GraphContents {
  std::vector<WeightTensor> weights;
  /// One for each weight.
  std::vector<WeightRules> weightRules;
  std::vector<ActivitySpec> activities;
  std::vector<LossTerm> lossTerms;
  std::vector<LayerSpec> layers;
  std::string layerWithoutBatch;
  /// See Model.
  bool fixedTime = false;
  std::vector<TensorSpec> inputs, outputs;
};

/// Checks the graph and takes its weights out of `store`.
llvm::Expected<GraphContents> checkGraph(llvm::StringRef file,
                                         const Model &model, Weights &store);

/// Creates the body of `function`, whose weight arguments stand in the order in
/// which checkGraph listed the weights.
llvm::Error emitGraph(llvm::StringRef file, const Model &model,
                      const ImportOptions &options,
                      mlir::func::FuncOp function);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASGRAPH_H
