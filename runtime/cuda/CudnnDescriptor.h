//===- CudnnDescriptor.h - owner of a descriptor of cuDNN -------*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_CUDNNDESCRIPTOR_H
#define GRU_RUNTIME_CUDA_CUDNNDESCRIPTOR_H

#include "DeviceMemory.h"

namespace gru::runtime::cuda {

/// cuDNN's descriptors have one shape of interface.
template <typename T> class Descriptor {
public:
  using Create = cudnnStatus_t (*)(T *);
  using Destroy = cudnnStatus_t (*)(T);
  Descriptor() = default;
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  ~Descriptor() {
    if (value)
      destroy(value);
  }
  [[nodiscard]] gru_status create(const char *name, Create creator,
                                  Destroy destroyer) {
    destroy = destroyer;
    if (cudnnStatus_t result = creator(&value))
      return cudnnFailure(name, result);
    return GRU_OK;
  }
  operator T() const { return value; }

private:
  T value = nullptr;
  Destroy destroy = nullptr;
};

#define GRU_CREATE(descriptor, kind)                                           \
  if (gru_status status_ =                                                     \
          descriptor.create("cudnnCreate" #kind "Descriptor",                  \
                            cudnn().cudnnCreate##kind##Descriptor,             \
                            cudnn().cudnnDestroy##kind##Descriptor))           \
  return status_

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_CUDNNDESCRIPTOR_H
