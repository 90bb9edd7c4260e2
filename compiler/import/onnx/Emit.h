//===- Emit.h - operations that operators are made of -----------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_ONNX_EMIT_H
#define GRU_COMPILER_IMPORT_ONNX_EMIT_H

#include "compiler/import/onnx/Node.h"

namespace gru::onnx {

/// A tensor that is read in loops, with an affine expression of the loops per
/// dimension.
struct Operand {
  Value value;
  llvm::SmallVector<AffineExpr> indices;
};

/// Makes one element out of the operands' elements, and for a reduction, as the
/// last value, of what has been accumulated. It may ask for linalg.index.
using Body = llvm::function_ref<Value(OpBuilder &, Location, ValueRange)>;

/// Loops over `sizes`, the last `numReductions` of which are reductions that
/// start with `init`. The result has the dimensions of the other loops.
Tensor emitLoops(Node &node, llvm::ArrayRef<Size> sizes, unsigned numReductions,
                 llvm::ArrayRef<Operand> operands, DataType type, double init,
                 Body body);

/// The tensor in its own dimensions, which are the first loops.
llvm::Expected<Operand> readAsIs(Node &node, const Tensor &tensor);

/// What NumPy makes of two shapes. A size that is open is taken to be equal to
/// another open one.
llvm::Expected<Sizes> broadcast(Node &node, llvm::ArrayRef<Size> a,
                                llvm::ArrayRef<Size> b);

/// One element from each tensor, broadcast as in NumPy.
llvm::Expected<Tensor> emitElementwise(Node &node,
                                       llvm::ArrayRef<Tensor> tensors,
                                       DataType type, Body body);

/// Moves elements: for a known tensor `source` gives the row-major index that
/// each element of the result comes from, for others `emit` makes the result's
/// value.
llvm::Expected<Tensor>
emitMove(Node &node, const Tensor &tensor, Sizes shape,
         llvm::function_ref<int64_t(llvm::ArrayRef<int64_t>)> source,
         llvm::function_ref<llvm::Expected<Value>(Value)> emit);

/// The same elements in row-major order in another shape.
llvm::Expected<Tensor> emitReshape(Node &node, const Tensor &tensor,
                                   llvm::ArrayRef<Size> shape);
/// result dimension i is dimension order[i] of the tensor.
llvm::Expected<Tensor> emitTranspose(Node &node, const Tensor &tensor,
                                     llvm::ArrayRef<int64_t> order);
/// `sizes` elements from `offsets`, every `steps`-th; steps may be negative.
llvm::Expected<Tensor> emitSlice(Node &node, const Tensor &tensor,
                                 llvm::ArrayRef<Size> offsets,
                                 llvm::ArrayRef<Size> sizes,
                                 llvm::ArrayRef<int64_t> steps);
/// One position of a dimension, which is gone from the result.
llvm::Expected<Tensor> emitSelect(Node &node, const Tensor &tensor, int64_t dim,
                                  const Size &position);
llvm::Expected<Tensor> emitConcat(Node &node, llvm::ArrayRef<Tensor> tensors,
                                  int64_t dim);
/// Repeats dimensions of size 1.
llvm::Expected<Tensor> emitBroadcast(Node &node, const Tensor &tensor,
                                     llvm::ArrayRef<Size> shape);
/// `value` around the tensor.
llvm::Expected<Tensor> emitPad(Node &node, const Tensor &tensor,
                               llvm::ArrayRef<int64_t> before,
                               llvm::ArrayRef<int64_t> after, double value);
/// Another element type, as C converts.
llvm::Expected<Tensor> emitCast(Node &node, const Tensor &tensor,
                                DataType type);

/// Tensor of a value with a shape.
Tensor makeTensor(Value value, Sizes shape, DataType type);
/// A known scalar.
Tensor makeScalar(double number, DataType type);
/// An error unless the elements are floats.
llvm::Error checkFloat(Node &node, const Tensor &tensor);
/// Strides of a row-major tensor.
llvm::SmallVector<int64_t> getStrides(llvm::ArrayRef<int64_t> shape);
/// Calls `visit` with the indices of all elements in row-major order.
void forEachElement(llvm::ArrayRef<int64_t> shape,
                    llvm::function_ref<void(llvm::ArrayRef<int64_t>)> visit);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_EMIT_H
