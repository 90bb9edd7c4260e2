//===- RTNeuralLayers.h - layers that Keras's table does not have ---------===//

#ifndef GRU_COMPILER_IMPORT_RTNEURAL_RTNEURALLAYERS_H
#define GRU_COMPILER_IMPORT_RTNEURAL_RTNEURALLAYERS_H

#include "compiler/import/keras/KerasLayers.h"

namespace gru::rtneural {

/// A causal convolution over [B, T, C] that keeps the last steps of its input
/// in the session, so that a stream may be cut anywhere. Arguments as Keras's
/// Conv1D.
extern const keras::LayerClass kConv1D;
/// x where it is positive, else alpha x, with one alpha per feature or one for
/// all.
extern const keras::LayerClass kPReLU;

} // namespace gru::rtneural

#endif // GRU_COMPILER_IMPORT_RTNEURAL_RTNEURALLAYERS_H
