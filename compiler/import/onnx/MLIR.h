//===- MLIR.h - what all that makes operations writes -----------*- C++ -*-===//
//
// The names that every function here writes, and the constants that most of
// them need.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_ONNX_MLIR_H
#define GRU_COMPILER_IMPORT_ONNX_MLIR_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"

namespace gru::onnx {

using mlir::AffineExpr;
using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

inline Value indexConstant(OpBuilder &b, Location loc, int64_t number) {
  return mlir::arith::ConstantIndexOp::create(b, loc, number);
}

/// A float or an integer, which is cut towards zero.
inline Value numberConstant(OpBuilder &b, Location loc, mlir::Type type,
                            double number) {
  if (llvm::isa<mlir::FloatType>(type))
    return mlir::arith::ConstantOp::create(b, loc,
                                           b.getFloatAttr(type, number));
  return mlir::arith::ConstantOp::create(
      b, loc, b.getIntegerAttr(type, int64_t(number)));
}

/// A number of the type of `like`.
inline Value numberLike(OpBuilder &b, Location loc, Value like, double number) {
  return numberConstant(b, loc, like.getType(), number);
}

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_MLIR_H
