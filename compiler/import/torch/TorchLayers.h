//===- TorchLayers.h - modules of torch.nn that Keras has no layer for ----===//

#ifndef GRU_COMPILER_IMPORT_TORCH_TORCHLAYERS_H
#define GRU_COMPILER_IMPORT_TORCH_TORCHLAYERS_H

#include "compiler/import/keras/KerasLayers.h"

namespace gru::torch {

/// torch.nn.GRU. Its input is [T, B, F], with batch_first [B, T, F], or [T, F].
/// Named arguments: h0 [layers * directions, B, H] and lengths [B]. Outputs:
/// what `result` says, and h_n in the form of h0.
extern const keras::LayerClass kGRU;
/// torch.nn.GRUCell on [B, F] or [F], with the argument h0. Output: h_1.
extern const keras::LayerClass kGRUCell;
/// The first input and the first `skip` features of the second.
extern const keras::LayerClass kSkip;

} // namespace gru::torch

#endif // GRU_COMPILER_IMPORT_TORCH_TORCHLAYERS_H
