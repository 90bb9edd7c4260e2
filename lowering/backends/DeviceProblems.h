//===- DeviceProblems.h - why a machine has no device -----------*- C++ -*-===//

#ifndef GRU_LOWERING_BACKENDS_DEVICEPROBLEMS_H
#define GRU_LOWERING_BACKENDS_DEVICEPROBLEMS_H

#include <string>

namespace gru {

/// Why a machine cannot run the targets cudnn and gpu; empty where it can.
struct DeviceProblems {
  std::string cudnn, gpu;
  bool any() const { return !cudnn.empty() || !gpu.empty(); }
  bool operator==(const DeviceProblems &) const = default;
};

} // namespace gru

#endif // GRU_LOWERING_BACKENDS_DEVICEPROBLEMS_H
