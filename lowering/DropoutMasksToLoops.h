//===- DropoutMasksToLoops.h - draws dropout masks ----------------*- C++ -*-===//

#ifndef GRU_LOWERING_DROPOUTMASKSTOLOOPS_H
#define GRU_LOWERING_DROPOUTMASKSTOLOOPS_H

#include "mlir/Pass/Pass.h"

#include <memory>

namespace gru {

/// `gru.dropout_mask` on tensors becomes a buffer and a loop over groups of 64
/// elements, each from one evaluation of the generator on vectors of 16 counters;
/// what lies behind the last element is masked. All targets use it, so their
/// masks are equal.
std::unique_ptr<mlir::Pass> createDropoutMasksToLoopsPass();

} // namespace gru

#endif // GRU_LOWERING_DROPOUTMASKSTOLOOPS_H
