//===- Pack.h - executes the pack program -----------------------*- C++ -*-===//

#ifndef GRU_RUNTIME_PACK_H
#define GRU_RUNTIME_PACK_H

#include "gru/runtime.h"

namespace gru::runtime {

class Plan;

/// Whether pack `index` of the plan is in order: it reads only elements of its
/// weight, writes only bytes of the weights blob, and is not longer than both.
/// The plan's weights have been checked before.
[[nodiscard]] gru_status checkPack(const gru_plan_pack &pack, size_t index,
                                   const Plan &plan);

/// Copies from the weight's dense elements (of any alignment) into the blob.
/// The pack has been checked.
void runPack(const gru_plan_pack &pack, const void *weight, void *blob);

} // namespace gru::runtime

#endif // GRU_RUNTIME_PACK_H
