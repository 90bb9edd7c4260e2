//===- DeviceMemory.h - owners of what the driver hands out -----*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_DEVICEMEMORY_H
#define GRU_RUNTIME_CUDA_DEVICEMEMORY_H

#include "../Error.h"
#include "../Memory.h"
#include "Driver.h"

namespace gru::runtime::cuda {

/// A failure of the driver in its own words.
[[nodiscard]] gru_status driverFailure(const char *call, CUresult result,
                                       const char *log = "");
[[nodiscard]] gru_status cudnnFailure(const char *call, cudnnStatus_t result);

#define GRU_DRIVER(name, ...)                                                  \
  do {                                                                         \
    if (CUresult result_ = driver().name(__VA_ARGS__))                         \
      return driverFailure(#name, result_);                                    \
  } while (false)
#define GRU_CUDNN(name, ...)                                                   \
  do {                                                                         \
    if (cudnnStatus_t result_ = cudnn().name(__VA_ARGS__))                     \
      return cudnnFailure(#name, result_);                                     \
  } while (false)

/// Memory of the device; never null once allocated.
class DeviceBlock {
public:
  DeviceBlock() = default;
  DeviceBlock(const DeviceBlock &) = delete;
  DeviceBlock &operator=(const DeviceBlock &) = delete;
  ~DeviceBlock() { release(); }

  [[nodiscard]] gru_status allocate(uint64_t size) {
    release();
    GRU_DRIVER(cuMemAlloc, &address, size ? size : 1);
    return GRU_OK;
  }
  CUdeviceptr get() const { return address; }
  void *pointer() const { return reinterpret_cast<void *>(address); }

private:
  void release() {
    if (address)
      driver().cuMemFree(address);
    address = 0;
  }
  CUdeviceptr address = 0;
};

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_DEVICEMEMORY_H
