//===- Mirrors.h - the device's copies of a session's memory ----*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_MIRRORS_H
#define GRU_RUNTIME_CUDA_MIRRORS_H

#include "../Plan.h"
#include "Device.h"
#include "DeviceMemory.h"

#include <vector>

namespace gru::runtime::cuda {

/// Of weights, state and scratch, and of each input and output, for which a
/// caller's memory on the device may stand in.
class Mirrors {
public:
  /// With the context current; weights are copied.
  [[nodiscard]] gru_status create(const Plan &plan, const SessionMemory &memory,
                                  int64_t maxTimesteps, CUstream stream);
  /// As Device::begin.
  [[nodiscard]] gru_status begin(const Plan &plan, gru_call &call,
                                 CUstream stream);
  /// What begin has replaced goes to the caller.
  [[nodiscard]] gru_status end(CUstream stream);

  /// Where an address of the host has its mirror; 0 for one that has none.
  CUdeviceptr find(const void *address) const;
  /// Whether a caller's output, or an input, was memory of the host.
  bool touchesHost() const { return usesHost; }
  /// Whether inputs and outputs are all used where the caller has them, on the
  /// device.
  bool isAllOnDevice() const { return !usesHost && !usesStands; }

private:
  struct Range {
    const char *host = nullptr;
    uint64_t bytes = 0;
    CUdeviceptr device = 0;
  };
  /// An input or output.
  struct Tensor {
    DeviceBlock block; ///< Its mirror, of the largest size.
    Range range;       ///< In this run.
    bool onHost = false;
    std::vector<char> stand; ///< For code on the host, if the caller's is not.
    CUdeviceptr caller = 0;  ///< What `stand` stands in for.
  };
  [[nodiscard]] gru_status bind(Tensor &tensor, const Plan &plan,
                                const gru_plan_tensor &shape,
                                const int64_t *symbols, const void *&address);

  DeviceBlock weights, state, scratch;
  Range blobs[3];
  std::vector<Tensor> inputs, outputs;
  std::vector<const void *> in; ///< What the kernel gets.
  std::vector<void *> out;
  bool usesHost = true, usesStands = false;
};

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_MIRRORS_H
