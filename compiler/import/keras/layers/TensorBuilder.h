//===- TensorBuilder.h - operations that layers are made of -----*- C++ -*-===//
//
// Each function works out the type of its result, and while emitting also
// creates the operation. So a layer is written once, for both of its runs.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_KERAS_LAYERS_TENSORBUILDER_H
#define GRU_COMPILER_IMPORT_KERAS_LAYERS_TENSORBUILDER_H

#include "compiler/import/keras/KerasLayers.h"

namespace gru::keras {

/// A size: a number, or that of a dimension of a tensor.
struct Size {
  Size(int64_t number) : number(number) {}
  Size(const Tensor &tensor, int64_t dim)
      : number(tensor.shape[dim]), source(tensor.value), dim(dim) {}

  int64_t number;
  mlir::Value source;
  int64_t dim = 0;
};
llvm::SmallVector<Size> getSizes(const Tensor &tensor);

/// A tensor that is read in loops: dimension i runs with loop `loops[i]`, or
/// stays at 0 where that is negative.
struct Operand {
  Tensor tensor;
  llvm::SmallVector<int64_t> loops;
};

/// Makes one element out of the operands' elements, and for a reduction, as the
/// last value, of what has been accumulated. It may ask for linalg.index.
using Body = llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                            mlir::ValueRange)>;

/// Loops over `sizes`, the last `numReductions` of which are reductions that
/// start with `init`. The result has the dimensions of the other loops.
Tensor emitLoops(LayerContext &context, llvm::ArrayRef<Size> sizes,
                 unsigned numReductions, llvm::ArrayRef<Operand> operands,
                 ElementType type, double init, Body body);

/// One element from each tensor, broadcast as in NumPy. Numbers take the type
/// of the first tensor.
llvm::Expected<Tensor> emitElementwise(LayerContext &context,
                                       llvm::ArrayRef<Tensor> tensors,
                                       ElementType type, Body body);

/// A tensor with a number where its mask, which has all dimensions but the
/// last, is false.
llvm::Expected<Tensor> emitMasked(LayerContext &context, const Tensor &tensor,
                                  const Tensor &mask, double number);

/// The products of floats, broadcast as in NumPy.
llvm::Expected<Tensor> emitProduct(LayerContext &context, const Tensor &a,
                                   const Tensor &b);

/// A tensor whose elements are made from their indices alone.
Tensor emitGenerate(LayerContext &context, llvm::ArrayRef<Size> sizes,
                    ElementType type, Body body);

/// Reductions over the last dimensions or over one dimension; the reduced ones
/// are gone from the result.
enum class Reduction { sum, max, any };
Tensor emitReduce(LayerContext &context, const Tensor &input, int64_t dim,
                  Reduction kind);

/// Where two tensors, or a tensor and a number, differ.
llvm::Expected<Tensor> emitNotEqual(LayerContext &context, const Tensor &a,
                                    const Tensor &b);

Tensor emitCast(LayerContext &context, const Tensor &tensor, ElementType type);

/// The same elements in row-major order in another shape. At most the batch
/// may be dynamic, and then stays first.
Tensor emitReshape(LayerContext &context, const Tensor &tensor,
                   llvm::ArrayRef<int64_t> shape);

/// Inserts a dimension of size 1 before dimension `dim`.
Tensor emitExpandDims(LayerContext &context, const Tensor &tensor, int64_t dim);

/// tensor[indices] inside a body.
mlir::Value extract(mlir::OpBuilder &b, mlir::Location loc,
                    const Tensor &tensor, mlir::ValueRange indices);
mlir::Value indexConstant(mlir::OpBuilder &b, mlir::Location loc,
                          int64_t number);
/// x y and x + y of floats.
mlir::Value multiply(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x,
                     mlir::Value y);
mlir::Value add(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x,
                mlir::Value y);
/// An integer or a bit as a float.
mlir::Value toFloat(mlir::OpBuilder &b, mlir::Location loc, mlir::Value integer,
                    mlir::Type type);
/// A number of the type of `like`.
mlir::Value numberLike(mlir::OpBuilder &b, mlir::Value like, double number);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_LAYERS_TENSORBUILDER_H
