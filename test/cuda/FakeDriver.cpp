//===- FakeDriver.cpp - a CUDA driver without a GPU -----------------------===//
//
// A test double for machines without a device, loaded through GRU_CUDA_DRIVER:
// one device of compute capability 9.0 with three small multiprocessors, whose
// kernels are interpreted.
//
//===----------------------------------------------------------------------===//

#include "FakeDevice.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace fake;

//===----------------------------------------------------------------------===//
// The device and its context
//===----------------------------------------------------------------------===//

namespace {
bool started = false;
int retained = 0;
int contextPlace;
thread_local std::vector<CUcontext> current;

CUcontext primary() { return reinterpret_cast<CUcontext>(&contextPlace); }
} // namespace

CUresult fake::ready() {
  if (!started)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (current.empty() || retained == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  return Stream::contextError();
}
EXPORT CUresult cuInit(unsigned flags) {
  started = flags == 0;
  return started ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
EXPORT CUresult cuDriverGetVersion(int *version) {
  const char *found = std::getenv("GRU_FAKE_DRIVER_VERSION");
  *version = found ? std::atoi(found) : 13000;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
  switch (error) {
  case CUDA_ERROR_NOT_SUPPORTED:
    *text = "operation not supported";
    return CUDA_SUCCESS;
  case CUDA_ERROR_INVALID_VALUE:
    *text = "invalid argument";
    return CUDA_SUCCESS;
  case CUDA_ERROR_INVALID_CONTEXT:
    *text = "invalid device context";
    return CUDA_SUCCESS;
  case CUDA_ERROR_INVALID_HANDLE:
    *text = "invalid resource handle";
    return CUDA_SUCCESS;
  case CUDA_ERROR_INVALID_PTX:
    *text = "a PTX JIT compilation failed";
    return CUDA_SUCCESS;
  case CUDA_ERROR_LAUNCH_FAILED:
    *text = "unspecified launch failure";
    return CUDA_SUCCESS;
  default:
    *text = "some error";
    return CUDA_SUCCESS;
  }
}
EXPORT CUresult cuDeviceGetCount(int *count) {
  if (!started)
    return CUDA_ERROR_NOT_INITIALIZED;
  const char *found = std::getenv("GRU_FAKE_DEVICES");
  *count = found ? std::atoi(found) : 1;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  if (!started)
    return CUDA_ERROR_NOT_INITIALIZED;
  *device = 0;
  return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice device) {
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(name, size, "double");
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
                                     CUdevice device) {
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  const char *capability = std::getenv("GRU_FAKE_CAPABILITY");
  switch (attribute) {
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
    *value = kProcessors;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
    *value = kMostSharedBytes;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
    *value = 1;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
    *value = capability ? std::atoi(capability) : 9;
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
    *value = 0;
    return CUDA_SUCCESS;
  default:
    complain("an attribute of devices that nobody has asked for yet");
    return CUDA_ERROR_INVALID_VALUE;
  }
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  if (!started)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  ++retained;
  *context = primary();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice) {
  if (retained == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  --retained;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxPushCurrent(CUcontext context) {
  if (context != primary() || retained == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  current.push_back(context);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxPopCurrent(CUcontext *context) {
  if (current.empty())
    return CUDA_ERROR_INVALID_CONTEXT;
  if (context)
    *context = current.back();
  current.pop_back();
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Streams and graphs
//===----------------------------------------------------------------------===//

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  NEEDS_CONTEXT;
  if (flags != CU_STREAM_DEFAULT && flags != CU_STREAM_NON_BLOCKING)
    return CUDA_ERROR_INVALID_VALUE;
  *stream = reinterpret_cast<CUstream>(Stream::create());
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamDestroy(CUstream handle) {
  Stream *stream = Stream::find(handle);
  if (!stream || reinterpret_cast<uintptr_t>(handle) <= 2)
    return CUDA_ERROR_INVALID_HANDLE;
  Stream::destroy(stream);
  return CUDA_SUCCESS;
}
/// For tests: how often the host has waited, how often a graph was launched.
extern "C" {
__attribute__((visibility("default"))) int gru_fake_num_waits = 0;
__attribute__((visibility("default"))) int gru_fake_num_graphs = 0;
}
EXPORT CUresult cuStreamSynchronize(CUstream handle) {
  FIND_STREAM(stream, handle);
  if (stream->isCapturing())
    return stream->invalidateCapture();
  ++gru_fake_num_waits;
  return stream->finish();
}
EXPORT CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode) {
  FIND_STREAM(stream, handle);
  // The default streams do not capture.
  if (reinterpret_cast<uintptr_t>(handle) <= 1)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return stream->beginCapture();
}
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};
EXPORT CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph) {
  FIND_STREAM(stream, handle);
  std::vector<Work> work;
  *graph = nullptr;
  if (CUresult result = stream->endCapture(work))
    return result;
  *graph = new CUgraph_st{std::move(work)};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph,
                                            unsigned long long) {
  MAY_WAIT;
  if (!graph)
    return CUDA_ERROR_INVALID_VALUE;
  if (mustFail("cuGraphInstantiateWithFlags"))
    return CUDA_ERROR_NOT_SUPPORTED;
  *exec = new CUgraphExec_st{graph->work};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphDestroy(CUgraph graph) {
  delete graph;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) {
  delete exec;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream handle) {
  FIND_STREAM(stream, handle);
  if (!exec)
    return CUDA_ERROR_INVALID_VALUE;
  ++gru_fake_num_graphs;
  for (const Work &work : exec->work)
    stream->add(work);
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static void *pointer(CUdeviceptr address) {
  return reinterpret_cast<void *>(address);
}
/// Whether memory of the device is where a copy wants it.
static bool isDevice(CUdeviceptr address, size_t bytes) {
  if (Memory::get().has(pointer(address), bytes))
    return true;
  complain("a copy goes beyond an allocation of the device");
  return false;
}
static bool isHost(const void *address) {
  return address && !Memory::get().has(address);
}

EXPORT CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
  MAY_WAIT;
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (mustFail("cuMemAlloc"))
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(Memory::get().allocate(bytes));
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFree(CUdeviceptr address) {
  MAY_WAIT;
  Stream::finishAll();
  return Memory::get().release(pointer(address)) ? CUDA_SUCCESS
                                                 : CUDA_ERROR_INVALID_VALUE;
}
EXPORT CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute,
                                      CUdeviceptr address) {
  if (!started)
    return CUDA_ERROR_NOT_INITIALIZED;
  // Memory that the driver has not made is unknown to it.
  if (!Memory::get().has(pointer(address)))
    return CUDA_ERROR_INVALID_VALUE;
  const char *ordinal = std::getenv("GRU_FAKE_POINTERS_DEVICE");
  switch (attribute) {
  case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    *static_cast<unsigned *>(data) = CU_MEMORYTYPE_DEVICE;
    return CUDA_SUCCESS;
  case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    *static_cast<unsigned *>(data) = 0;
    return CUDA_SUCCESS;
  case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
    *static_cast<int *>(data) = ordinal ? std::atoi(ordinal) : 0;
    return CUDA_SUCCESS;
  default:
    complain("an attribute of pointers that nobody has asked for yet");
    return CUDA_ERROR_INVALID_VALUE;
  }
}
EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from,
                                  size_t bytes, CUstream handle) {
  FIND_STREAM(stream, handle);
  if (!isDevice(to, bytes) || !isHost(from))
    return CUDA_ERROR_INVALID_VALUE;
  // Pageable memory is read before the call returns, and so by no graph.
  if (stream->isCapturing())
    return stream->invalidateCapture();
  auto *begin = static_cast<const char *>(from);
  stream->add([to, staged = std::vector<char>(begin, begin + bytes)] {
    std::memcpy(pointer(to), staged.data(), staged.size());
    return std::string();
  });
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
  if (CUresult result = cuMemcpyHtoDAsync(to, from, bytes, nullptr))
    return result;
  return Stream::find(nullptr)->finish();
}
EXPORT CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes,
                                  CUstream handle) {
  FIND_STREAM(stream, handle);
  if (!isDevice(from, bytes) || !isHost(to))
    return CUDA_ERROR_INVALID_VALUE;
  if (stream->isCapturing())
    return stream->invalidateCapture();
  // To pageable memory the call returns when the copy is done.
  if (CUresult result = stream->finish())
    return result;
  Memory::Open open;
  std::memcpy(to, pointer(from), bytes);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
  return cuMemcpyDtoHAsync(to, from, bytes, nullptr);
}
EXPORT CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from,
                                  size_t bytes, CUstream handle) {
  FIND_STREAM(stream, handle);
  if (!isDevice(to, bytes) || !isDevice(from, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  stream->add([=] {
    std::memcpy(pointer(to), pointer(from), bytes);
    return std::string();
  });
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value,
                                size_t bytes, CUstream handle) {
  FIND_STREAM(stream, handle);
  if (!isDevice(to, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  stream->add([=] {
    std::memset(pointer(to), value, bytes);
    return std::string();
  });
  return CUDA_SUCCESS;
}
