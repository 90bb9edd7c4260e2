//===- Layers.h - the import functions of all layers ------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_LAYERS_LAYERS_H
#define GRU_COMPILER_IMPORT_KERAS_LAYERS_LAYERS_H

#include "compiler/import/keras/KerasLayers.h"

namespace gru::keras {

// Recurrent.cpp, Bidirectional.cpp, Cell.cpp
llvm::Expected<Tensors> importRecurrent(LayerContext &context);
llvm::Expected<Tensors> importBidirectional(LayerContext &context);
llvm::Expected<Tensors> importCell(LayerContext &context);

// Core.cpp
llvm::Expected<Tensors> importDense(LayerContext &context);
llvm::Expected<Tensors> importActivation(LayerContext &context);
/// The input as it is.
llvm::Expected<Tensors> importIdentity(LayerContext &context);
/// The input, in the layer's own type where that is another.
llvm::Expected<Tensors> importPassThrough(LayerContext &context);
llvm::Expected<Tensors> importEmbedding(LayerContext &context);
llvm::Expected<Tensors> importMasking(LayerContext &context);
llvm::Expected<Tensors> importTimeDistributed(LayerContext &context);

// Dropout.cpp
llvm::Expected<Tensors> importDropout(LayerContext &context);
llvm::Expected<Tensors> importAlphaDropout(LayerContext &context);
llvm::Expected<Tensors> importGaussianNoise(LayerContext &context);
llvm::Expected<Tensors> importGaussianDropout(LayerContext &context);

// Merge.cpp
llvm::Expected<Tensors> importAdd(LayerContext &context);
llvm::Expected<Tensors> importSubtract(LayerContext &context);
llvm::Expected<Tensors> importMultiply(LayerContext &context);
llvm::Expected<Tensors> importAverage(LayerContext &context);
llvm::Expected<Tensors> importMaximum(LayerContext &context);
llvm::Expected<Tensors> importMinimum(LayerContext &context);
llvm::Expected<Tensors> importConcatenate(LayerContext &context);
llvm::Expected<Tensors> importDot(LayerContext &context);

// Normalization.cpp
llvm::Expected<Tensors> importBatchNormalization(LayerContext &context);
llvm::Expected<Tensors> importLayerNormalization(LayerContext &context);
llvm::Expected<Tensors> importNormalization(LayerContext &context);
llvm::Expected<Tensors> importRescaling(LayerContext &context);

// Convolution.cpp
llvm::Expected<Tensors> importConv1D(LayerContext &context);
llvm::Expected<Tensors> importMaxPooling1D(LayerContext &context);
llvm::Expected<Tensors> importAveragePooling1D(LayerContext &context);
llvm::Expected<Tensors> importGlobalMaxPooling1D(LayerContext &context);
llvm::Expected<Tensors> importGlobalAveragePooling1D(LayerContext &context);

// Reshaping.cpp
llvm::Expected<Tensors> importFlatten(LayerContext &context);
llvm::Expected<Tensors> importReshape(LayerContext &context);
llvm::Expected<Tensors> importPermute(LayerContext &context);
llvm::Expected<Tensors> importRepeatVector(LayerContext &context);
llvm::Expected<Tensors> importZeroPadding1D(LayerContext &context);
llvm::Expected<Tensors> importCropping1D(LayerContext &context);
llvm::Expected<Tensors> importUpSampling1D(LayerContext &context);

// Attention.cpp
llvm::Expected<Tensors> importAttention(LayerContext &context);
llvm::Expected<Tensors> importMultiHeadAttention(LayerContext &context);

// Operations.cpp
llvm::Expected<Tensors> importNotEqual(LayerContext &context);
llvm::Expected<Tensors> importAny(LayerContext &context);
llvm::Expected<Tensors> importExpandDims(LayerContext &context);
llvm::Expected<Tensors> importCast(LayerContext &context);
llvm::Expected<Tensors> importConstantLike(LayerContext &context);
llvm::Expected<Tensors> importLogical(LayerContext &context);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_LAYERS_LAYERS_H
