//===- Verify.h - what verifiers share ------------------------------------===//
//
// Private to this folder.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_DIALECT_VERIFY_H
#define GRU_DIALECT_VERIFY_H

#include "dialect/GRUDialect.h"
#include "dialect/ShapeText.h"

namespace gru {

/// Whether the sizes are equal or one of them is dynamic.
bool fits(int64_t found, int64_t expected);

llvm::ArrayRef<int64_t> shapeOf(mlir::Value value);

/// Checks an operand's shape; `meaning` says where the expected sizes come
/// from. An absent operand passes.
llvm::LogicalResult checkShape(mlir::Operation *op, llvm::StringRef argument,
                               mlir::Value value,
                               llvm::ArrayRef<int64_t> expected,
                               llvm::StringRef meaning);

/// Checks that all have the element type of `reference`, the input.
llvm::LogicalResult checkElementTypes(
    mlir::Operation *op, mlir::Value reference,
    llvm::ArrayRef<std::pair<llvm::StringRef, mlir::Value>> others);

/// Effects of a destination-style operation on memrefs: reads of inputs, writes
/// of destinations; destinations in `readInits` are read too. Tensors have
/// none.
void destinationEffects(mlir::DestinationStyleOpInterface op,
                        llvm::ArrayRef<mlir::Value> readInits,
                        llvm::SmallVectorImpl<mlir::SideEffects::EffectInstance<
                            mlir::MemoryEffects::Effect>> &effects);

/// Checks that the results of a destination-style operation are its tensor
/// destinations, in order.
llvm::LogicalResult verifyResults(mlir::DestinationStyleOpInterface op);

} // namespace gru

#endif // GRU_DIALECT_VERIFY_H
