//===- GateOrder.h - weights of other frameworks in Keras's form ----------===//
//
// The one place that knows how the frameworks order a GRU's gates and lay out
// its weights. With H units, K inputs of a matrix (features, or units for the
// recurrent one) and the gates z (update), r (reset) and h (candidate, which
// PyTorch calls n):
//
//   | framework | matrix  | gates   | biases                                  |
//   | --------- | ------- | ------- | --------------------------------------- |
//   | Keras     | [K, 3H] | z, r, h | [2, 3H]: input, recurrent (reset_after) |
//   | ONNX      | [3H, K] | z, r, h | [6H]: input, then recurrent             |
//   | PyTorch   | [3H, K] | r, z, h | [3H] and [3H]: input and recurrent      |
//   | CuDNNGRU  | [K, 3H] | z, r, h | [6H]: input, then recurrent             |
//
// CuDNNGRU's matrices have Keras's shape, but the [K, H] of each gate holds the
// transposed [H, K].
//
// PyTorch's h' = (1 - z) n + z h and Keras's z h + (1 - z) hh are the same.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_GATEORDER_H
#define GRU_COMPILER_IMPORT_GATEORDER_H

#include "compiler/import/ModelSource.h"

namespace gru {

/// The order in which a framework keeps the gates.
enum class GateOrder { zrh, rzh };

/// [3H, K] with the gates by rows in `order` -> Keras's [K, 3H]. The name
/// stays.
WeightTensor toKerasMatrix(const WeightTensor &rows, GateOrder order);

/// Two biases [3H] of the same type in `order` -> Keras's [2, 3H] for
/// reset_after. The name is that of `input`.
WeightTensor toKerasBias(const WeightTensor &input,
                         const WeightTensor &recurrent, GateOrder order);

/// Turns a kernel of Keras's old layer CuDNNGRU into that of a GRU, in place.
void transposeCudnnGates(WeightTensor &kernel);

/// [R, C] -> [C, R], for the matrices of layers without gates.
WeightTensor transpose(const WeightTensor &matrix);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_GATEORDER_H
