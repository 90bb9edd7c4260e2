//===- CaseFile.h - workloads with weights and expected outputs -----------===//
//
// The binary case file that benchmarks of several programs share:
//
//   int32  0x47525531, stream, B, T, I, number of layers
//   int32  units, directions                        per layer
//   f32    kernel [F, 3H], recurrent_kernel [H, 3H], bias [2, 3H]
//                                                   per layer and direction
//   f32    x [B, T, I], reference [B, T, outputs]
//
// Gates are z, r, h; reset_after; little-endian.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TOOLS_GRUBENCH_CASEFILE_H
#define GRU_TOOLS_GRUBENCH_CASEFILE_H

#include "compiler/import/ModelSource.h"

namespace gru {

struct Case {
  struct Layer {
    int64_t units, directions;
  };

  bool stream = false; ///< T calls of one step each, instead of one of T.
  int64_t batch = 0, timesteps = 0, features = 0;
  std::vector<Layer> layers;
  std::vector<WeightTensor> weights;
  std::vector<float> x, reference;

  int64_t outputs() const {
    return layers.back().units * layers.back().directions;
  }

  /// The stack of layers as MLIR; a stream carries its states.
  std::string toMlir() const;
};

llvm::Expected<Case> readCase(llvm::StringRef path);

} // namespace gru

#endif // GRU_TOOLS_GRUBENCH_CASEFILE_H
