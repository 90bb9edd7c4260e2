//===- Recurrent.h - what recurrent layers and cells share ------*- C++ -*-===//
//
//   RecurrentConfig.cpp      their configuration
//   RecurrentAttributes.cpp  what programs may ask of it
//   Recurrent.cpp            GRU, CuDNNGRU, and RNN of GRU cells
//   Bidirectional.cpp        two of them
//   Cell.cpp                 one step of GRUCell and StackedRNNCells
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_KERAS_LAYERS_RECURRENT_H
#define GRU_COMPILER_IMPORT_KERAS_LAYERS_RECURRENT_H

#include "compiler/import/keras/layers/CellDropout.h"

namespace gru::keras {

/// What a GRUCell has, and a GRU layer too.
struct CellConfig {
  int64_t units = 0;
  Activation activation, recurrentActivation;
  bool useBias = true, resetAfter = false;
  CellDropout dropout;
  WeightType type = WeightType::f32;
  /// Where the weights lie, and what tells them from those of other cells.
  std::string folder, part;
  /// Speaks of the weights; outlives the import of the layer.
  const llvm::json::Object *config = nullptr;
};

/// A GRU layer, or an RNN around one cell or several.
struct RecurrentConfig {
  llvm::SmallVector<CellConfig> cells;
  /// The StackedRNNCells of Keras 2 casts to a type of its own in front of the
  /// first cell.
  std::optional<WeightType> stackType;
  /// "forward" or "backward" within a Bidirectional.
  llvm::StringRef direction;
  bool fromCell = false, cudnnForm = false;
  bool returnSequences = false, returnState = false, goBackwards = false;
  bool stateful = false, unroll = false, timeMajor = false;
  bool zeroOutputForMask = false;
};

/// What a recurrent layer computes; `states` in the order of the cells.
struct RecurrentResult {
  Tensor output;
  Tensors states;
};

/// The cell that `config` describes: that of a GRU layer, or of a cell.
llvm::Error readCell(LayerContext &context, const llvm::json::Object &config,
                     CellConfig &result);

/// The cells of a StackedRNNCells, whose weights lie below `folder`.
llvm::Error readStack(LayerContext &context,
                      llvm::ArrayRef<llvm::json::Value> cells,
                      llvm::StringRef folder,
                      llvm::SmallVector<CellConfig> &result);

/// The context's layer: a GRU, a CuDNNGRU or an RNN.
llvm::Expected<RecurrentConfig> readRecurrent(LayerContext &context);

/// Tells what the cell's attributes are where they are not what the config
/// says: absent entries have defaults, and Keras changes some.
void describeCell(LayerContext &context, const CellConfig &cell);
void describeLayer(LayerContext &context, const RecurrentConfig &config);

struct CellWeights {
  Tensor kernel, recurrentKernel, bias;
};

llvm::Expected<CellWeights> getCellWeights(LayerContext &context,
                                           const CellConfig &cell,
                                           int64_t features, bool cudnnForm);

/// `tensor` in the reverse order of dimension `dim`.
Tensor emitReverse(LayerContext &context, const Tensor &tensor, int64_t dim);

llvm::Expected<RecurrentResult> emitRecurrent(LayerContext &context,
                                              const RecurrentConfig &config);

/// The tensors that a call of the layer returns.
Tensors getOutputs(const RecurrentConfig &config,
                   const RecurrentResult &result);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_LAYERS_RECURRENT_H
