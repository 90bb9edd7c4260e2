#ifndef GRU_LOWERING_COMMON_ACTIVATIONS_H
#define GRU_LOWERING_COMMON_ACTIVATIONS_H
#include "dialect/GRUDialect.h"
#include "mlir/IR/PatternMatch.h"
namespace gru {
mlir::Value expandActivation(mlir::OpBuilder &, mlir::Location, ActAttr, mlir::Value);
void emitRowwiseActivation(mlir::OpBuilder &, mlir::Location, ActAttr, mlir::Value row, mlir::Value n);
void populateExpandActivationPatterns(mlir::RewritePatternSet &);
}
#endif
