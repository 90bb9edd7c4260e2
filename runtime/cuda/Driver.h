//===- Driver.h - the CUDA driver and cuDNN, loaded at run time -----------===//
//
// Nothing here is linked: one binary runs where a GPU is and where none is. The
// driver's interface is enough for memory, streams and kernels; cuDNN, whose
// own copy of the CUDA runtime uses the same primary context, is loaded beside
// it.
//
// The environment may name other libraries, GRU_CUDA_DRIVER and GRU_CUDNN;
// tests put a double there.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_CUDA_DRIVER_H
#define GRU_RUNTIME_CUDA_DRIVER_H

#include <string>

#ifdef GRU_HAS_CUDNN
#include <cuda.h>
#include <cudnn.h>
#endif

namespace gru::runtime::cuda {

/// Why this machine cannot run our own kernels: "" where it can. Answered once
/// per process, by loading the driver and asking for a device.
const std::string &deviceProblem();
/// The same for cuDNN, which needs its library besides.
const std::string &cudnnProblem();

/// Whether an address is memory of a device, or null where nothing in the
/// process has loaded a driver that could say so: this one does not.
using PointerQuery = bool (*)(const void *address);
PointerQuery findPointerQuery();

#ifdef GRU_HAS_CUDNN

#define GRU_CUDA_FUNCTIONS(X)                                                  \
  X(cuInit)                                                                    \
  X(cuDriverGetVersion)                                                        \
  X(cuGetErrorString)                                                          \
  X(cuDeviceGetCount)                                                          \
  X(cuDeviceGet)                                                               \
  X(cuDeviceGetName)                                                           \
  X(cuDeviceGetAttribute)                                                      \
  X(cuDevicePrimaryCtxRetain)                                                  \
  X(cuDevicePrimaryCtxRelease)                                                 \
  X(cuCtxPushCurrent)                                                          \
  X(cuCtxPopCurrent)                                                           \
  X(cuStreamCreate)                                                            \
  X(cuStreamDestroy)                                                           \
  X(cuStreamSynchronize)                                                       \
  X(cuStreamBeginCapture)                                                      \
  X(cuStreamEndCapture)                                                        \
  X(cuGraphInstantiateWithFlags)                                               \
  X(cuGraphLaunch)                                                             \
  X(cuGraphDestroy)                                                            \
  X(cuGraphExecDestroy)                                                        \
  X(cuMemAlloc)                                                                \
  X(cuMemFree)                                                                 \
  X(cuMemcpyHtoDAsync)                                                         \
  X(cuMemcpyDtoHAsync)                                                         \
  X(cuMemcpyDtoDAsync)                                                         \
  X(cuMemsetD8Async)                                                           \
  X(cuPointerGetAttribute)                                                     \
  X(cuModuleLoadDataEx)                                                        \
  X(cuModuleUnload)                                                            \
  X(cuModuleGetFunction)                                                       \
  X(cuFuncSetAttribute)                                                        \
  X(cuFuncGetAttribute)                                                        \
  X(cuLaunchKernel)                                                            \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor)                               \
  X(cuLaunchCooperativeKernel)

#define GRU_CUDNN_FUNCTIONS(X)                                                 \
  X(cudnnGetVersion)                                                           \
  X(cudnnGetErrorString)                                                       \
  X(cudnnGetLastErrorString)                                                   \
  X(cudnnCreate)                                                               \
  X(cudnnDestroy)                                                              \
  X(cudnnSetStream)                                                            \
  X(cudnnCreateDropoutDescriptor)                                              \
  X(cudnnDestroyDropoutDescriptor)                                             \
  X(cudnnSetDropoutDescriptor)                                                 \
  X(cudnnCreateRNNDescriptor)                                                  \
  X(cudnnDestroyRNNDescriptor)                                                 \
  X(cudnnSetRNNDescriptor_v8)                                                  \
  X(cudnnCreateRNNDataDescriptor)                                              \
  X(cudnnDestroyRNNDataDescriptor)                                             \
  X(cudnnSetRNNDataDescriptor)                                                 \
  X(cudnnCreateTensorDescriptor)                                               \
  X(cudnnDestroyTensorDescriptor)                                              \
  X(cudnnSetTensorNdDescriptor)                                                \
  X(cudnnGetTensorNdDescriptor)                                                \
  X(cudnnGetRNNWeightSpaceSize)                                                \
  X(cudnnGetRNNWeightParams)                                                   \
  X(cudnnGetRNNTempSpaceSizes)                                                 \
  X(cudnnBuildRNNDynamic)                                                      \
  X(cudnnRNNForward)

/// The functions under their own names, without the versions that cuda.h gives
/// some of them.
struct Driver {
#define GRU_MEMBER(name) decltype(&::name) name = nullptr;
  GRU_CUDA_FUNCTIONS(GRU_MEMBER)
#undef GRU_MEMBER
};
struct Cudnn {
#define GRU_MEMBER(name) decltype(&::name) name = nullptr;
  GRU_CUDNN_FUNCTIONS(GRU_MEMBER)
#undef GRU_MEMBER
};

/// Only where deviceProblem() is empty.
const Driver &driver();
/// Only where cudnnProblem() is empty.
const Cudnn &cudnn();

#endif // GRU_HAS_CUDNN

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_DRIVER_H
