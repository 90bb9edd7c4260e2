//===- ShapeText.h - shapes in messages -------------------------*- C++ -*-===//
//
// Of the importers too, which know no MLIR where they need none.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_DIALECT_SHAPETEXT_H
#define GRU_DIALECT_SHAPETEXT_H

#include "llvm/ADT/ArrayRef.h"

#include <string>

namespace gru {

/// "64x?x192", the way users write shapes, with '?' for ShapedType::kDynamic;
/// "scalar" for rank 0.
std::string shapeText(llvm::ArrayRef<int64_t> shape);

} // namespace gru

#endif // GRU_DIALECT_SHAPETEXT_H
