//===- CudnnWeights.h - Keras's weights in cuDNN's order --------*- C++ -*-===//
//
// The one place that knows both orders.
//
// Keras: kernel [features, 3 units] and recurrent kernel [units, 3 units] with
// the gates z | r | h by columns, bias [2, 3 units]: row 0 of the input, row 1
// of the recurrent product.
//
// cuDNN: one matrix [units, inputs] and one vector [units] per "linear layer";
// 0 to 2 are those of the input, 3 to 5 those of the recurrent product, each in
// the order reset, update, new (r, z, h). Where each lies in the weight space
// is asked of cuDNN itself, which also says how large it is.
//
// The update gates mean the same: h' = z h + (1 - z) hh in both.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_CUDA_CUDNNWEIGHTS_H
#define GRU_RUNTIME_CUDA_CUDNNWEIGHTS_H

#include <cstddef>
#include <cstdint>

namespace gru::runtime::cuda {

/// A gate in Keras's order of columns.
enum class Gate : int32_t { z = 0, r = 1, h = 2 };

/// cuDNN's number of a gate's linear layer.
constexpr int32_t cudnnLinearLayer(Gate gate, bool recurrent) {
  constexpr int32_t order[] = {/*z=*/1, /*r=*/0, /*h=*/2};
  return order[int32_t(gate)] + (recurrent ? 3 : 0);
}

/// `to`[unit][input] = `kernel`[input][gate, unit].
void copyGateMatrix(const char *kernel, int64_t inputs, int64_t units,
                    Gate gate, size_t elementBytes, char *to);

/// `to`[unit] = `bias`[recurrent][gate, unit].
void copyGateBias(const char *bias, int64_t units, Gate gate, bool recurrent,
                  size_t elementBytes, char *to);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_CUDNNWEIGHTS_H
