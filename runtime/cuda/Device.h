//===- Device.h - what a session runs on a device ---------------*- C++ -*-===//
//
// One device per session that needs one: a stream, per part of the plan all
// descriptors, weights and buffers, and mirrors of all that a kernel sees, so
// that a run allocates nothing.
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

  /// Calls the program's kernel, or repeats what an equal call has done. The
  /// first failure is returned; its text is the thread's last error.
  [[nodiscard]] virtual gru_status call(gru_kernel kernel,
                                        const gru_call &call) = 0;

  /// As gru_session_set_stream; null: the device's own.
  [[nodiscard]] virtual gru_status setStream(void *stream) = 0;

protected:
  gru_status status = GRU_OK;
  uint64_t numMaskFallbacks = 0;
};

/// The memory of a session that kernels see.
struct SessionMemory {
  const char *weights; ///< The packed blob.
  char *state, *scratch;
  uint64_t scratchBytes;
};

/// A device for a plan with parts. Fails with one message where the machine has
/// no device, or where memory or a library does not suffice.
[[nodiscard]] gru_status createDevice(const Plan &plan,
                                      const SessionMemory &memory,
                                      int64_t maxTimesteps,
                                      std::unique_ptr<Device> &device);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_DEVICE_H
