//===- Device.h - what a session runs on a device ----------------*- C++ -*-===//
//
// One device per session that needs one: a stream, and per part of the plan all
// descriptors, weights and buffers, so that a run allocates nothing.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_CUDA_DEVICE_H
#define GRU_RUNTIME_CUDA_DEVICE_H

#include "../Plan.h"

#include <memory>

namespace gru::runtime::cuda {

/// What kernels call and sessions own. Used by one thread at a time.
class Device : public gru_device {
public:
  virtual ~Device() = default;

  /// Parts of cuDNN that masks have kept from running.
  uint64_t getNumMaskFallbacks() const { return numMaskFallbacks; }

  /// The first failure since the last call of this; its text is the thread's
  /// last error.
  gru_status takeStatus() {
    gru_status taken = status;
    status = GRU_OK;
    return taken;
  }

protected:
  gru_status status = GRU_OK;
  uint64_t numMaskFallbacks = 0;
};

/// A device for a plan with parts. `weights` is the packed blob. Fails with one
/// message where the machine has no device, or where memory or a library does
/// not suffice.
[[nodiscard]] gru_status createDevice(const Plan &plan, const char *weights,
                                      int64_t maxTimesteps,
                                      std::unique_ptr<Device> &device);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_DEVICE_H
