//===- CellDropout.h - dropout of recurrent cells in training ---*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_LAYERS_CELLDROPOUT_H
#define GRU_COMPILER_IMPORT_KERAS_LAYERS_CELLDROPOUT_H

#include "compiler/import/keras/KerasLayers.h"

namespace gru::keras {

/// What the config of a cell says about dropout.
struct CellDropout {
  double input = 0, recurrent = 0;
  int64_t implementation = 2;
  /// Keras 2's fused layers draw a mask for each timestep.
  bool perTimestep = false;
};

/// Reads dropout, recurrent_dropout and implementation as Keras does.
llvm::Expected<CellDropout> readCellDropout(LayerContext &context,
                                            const llvm::json::Object &config);

/// The seed that a layer's config has for a mask of this name; cells of an RNN
/// have their own.
std::optional<int64_t> getDropoutSeed(const Layer &layer, llvm::StringRef mask);

/// The masks of one cell in one call, as gru.gru and gru.cell take them; no
/// values where nothing is dropped.
struct CellMasks {
  Tensor input, recurrent;
  /// 1 for three input masks, 2 for one.
  int64_t implementation = 2;
};

/// `input` is what the cell is called on: [batch, features], or a sequence with
/// the batch in `batchDim`. `suffix` tells the cells of a stack apart. Masks
/// per timestep are applied to `input` here, since no operation knows them.
llvm::Expected<CellMasks> getCellMasks(LayerContext &context,
                                       const CellDropout &dropout,
                                       int64_t units, llvm::StringRef suffix,
                                       int64_t batchDim, Tensor &input);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_LAYERS_CELLDROPOUT_H
