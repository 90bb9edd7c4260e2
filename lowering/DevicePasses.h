//===- DevicePasses.h - choosing backends, and the device targets ---------===//

#ifndef GRU_LOWERING_DEVICEPASSES_H
#define GRU_LOWERING_DEVICEPASSES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace gru {
#define GEN_PASS_DECL
#include "lowering/DevicePasses.h.inc"
#define GEN_PASS_REGISTRATION
#include "lowering/DevicePasses.h.inc"
} // namespace gru

#endif // GRU_LOWERING_DEVICEPASSES_H
