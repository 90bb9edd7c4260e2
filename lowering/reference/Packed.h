//===- Packed.h - packed weights and bytes, element by element ------------===//
//
// How the operations of the sequence level read what gru.pack,
// gru.quantized_pack and gru.quantize_rows write.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_REFERENCE_PACKED_H
#define GRU_LOWERING_REFERENCE_PACKED_H

#include "lowering/reference/Scalar.h"

namespace gru::reference {

/// A byte of gru.quantize_rows as the number that it stands for.
mlir::Value dequantized(Scalar &s, mlir::Value bytes, mlir::ValueRange at,
                        mlir::Value scale);

/// [NB, ..., W] at unit u: block u / W, lane u % W.
std::pair<mlir::Value, mlir::Value> blockAndLane(Scalar &s, mlir::Value unit,
                                                 int64_t width);

/// A kernel's element, times the scale of its column where it has one.
mlir::Value scaledWeight(Scalar &s, mlir::Type element, mlir::Value kernel,
                         mlir::Value scale, mlir::Value block, mlir::Value k,
                         mlir::Value gate, mlir::Value lane);

/// Input part of a gate: bias + sum over k of x[k] * kernel[k].
mlir::Value packedProjection(Scalar &s, mlir::Type element, mlir::Value kernel,
                             mlir::Value bias, int64_t gate, mlir::Value unit,
                             int64_t width,
                             llvm::function_ref<mlir::Value(mlir::Value k)> x);

/// x / scale to the nearest whole number, where scale is the largest
/// magnitude of a row divided by 127 and not all but zero.
mlir::Value quotient(Scalar &s, mlir::Value x, mlir::Value scale,
                     mlir::Value divides);

/// The scale of a row of bytes, and whether it divides.
std::pair<mlir::Value, mlir::Value>
rowScale(Scalar &s, mlir::Type element, mlir::Value size,
         llvm::function_ref<mlir::Value(mlir::Value k)> read);

/// A destination that may be written: a copy of a tensor, a memref as it is.
mlir::Value destination(Scalar &s, mlir::Value init);

} // namespace gru::reference

#endif // GRU_LOWERING_REFERENCE_PACKED_H
