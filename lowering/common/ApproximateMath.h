#ifndef GRU_LOWERING_COMMON_APPROXIMATEMATH_H
#define GRU_LOWERING_COMMON_APPROXIMATEMATH_H
#include "mlir/IR/PatternMatch.h"
namespace gru { void populateApproximateMathPatterns(mlir::RewritePatternSet &); }
#endif
