//===- FakeKernels.cpp - modules and launches of the fake driver ----------===//

#include "FakeDevice.h"
#include "PtxInterpreter.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

using namespace fake;

namespace {
struct LoadedKernel {
  ptx::KernelPtr kernel;
  /// What a block may have, of a device with few registers.
  int threads;
  int sharedBytes = kSharedBytes;
};
struct LoadedModule {
  std::string text;
  std::vector<std::shared_ptr<LoadedKernel>> kernels;
};
std::vector<std::shared_ptr<LoadedKernel>> loaded;

std::shared_ptr<LoadedKernel> findKernel(CUfunction function) {
  for (const std::shared_ptr<LoadedKernel> &kernel : loaded)
    if (kernel.get() == reinterpret_cast<LoadedKernel *>(function))
      return kernel;
  return nullptr;
}
} // namespace

EXPORT CUresult cuModuleLoadDataEx(CUmodule *module, const void *code,
                                   unsigned count, CUjit_option *options,
                                   void **values) {
  MAY_WAIT;
  auto *text = static_cast<const char *>(code);
  std::string problem = ptx::checkHeader(text);
  if (mustFail("cuModuleLoadDataEx"))
    problem = "ptxas application ptx input, line 1; fatal : wanted by a test";
  if (problem.empty()) {
    *module = reinterpret_cast<CUmodule>(new LoadedModule{text, {}});
    return CUDA_SUCCESS;
  }
  // The log goes where the caller has room for it.
  char *log = nullptr;
  size_t size = 0;
  for (unsigned i = 0; i < count; ++i)
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
      log = static_cast<char *>(values[i]);
    else if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
      size = size_t(reinterpret_cast<uintptr_t>(values[i]));
  if (log && size)
    std::snprintf(log, size, "%s", problem.c_str());
  return CUDA_ERROR_INVALID_PTX;
}
EXPORT CUresult cuModuleUnload(CUmodule handle) {
  MAY_WAIT;
  auto *module = reinterpret_cast<LoadedModule *>(handle);
  for (const std::shared_ptr<LoadedKernel> &kernel : module->kernels)
    std::erase(loaded, kernel);
  delete module;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule handle,
                                    const char *name) {
  NEEDS_CONTEXT;
  auto *module = reinterpret_cast<LoadedModule *>(handle);
  if (module->text.find(std::string(".entry ") + name + "(") ==
      std::string::npos)
    return CUDA_ERROR_NOT_FOUND;
  std::string problem;
  ptx::KernelPtr kernel = ptx::parse(module->text, name, problem);
  if (!kernel) {
    complain(problem);
    return CUDA_ERROR_INVALID_PTX;
  }
  int threads = ptx::mostThreads(*kernel);
  if (std::string(name).find("_in_registers") != std::string::npos)
    threads = std::min(threads, kThreadsInRegisters);
  auto made = std::make_shared<LoadedKernel>(std::move(kernel), threads);
  module->kernels.push_back(made);
  loaded.push_back(made);
  *function = reinterpret_cast<CUfunction>(made.get());
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute,
                                   CUfunction function) {
  NEEDS_CONTEXT;
  std::shared_ptr<LoadedKernel> kernel = findKernel(function);
  if (!kernel)
    return CUDA_ERROR_INVALID_HANDLE;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
    return CUDA_ERROR_INVALID_VALUE;
  *value = kernel->threads;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction function,
                                   CUfunction_attribute attribute, int value) {
  NEEDS_CONTEXT;
  std::shared_ptr<LoadedKernel> kernel = findKernel(function);
  if (!kernel)
    return CUDA_ERROR_INVALID_HANDLE;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ||
      value < 0 || value > kMostSharedBytes)
    return CUDA_ERROR_INVALID_VALUE;
  kernel->sharedBytes = std::max(kernel->sharedBytes, value);
  return CUDA_SUCCESS;
}
static int occupancy(const LoadedKernel &kernel, unsigned threads,
                     size_t sharedBytes) {
  return int(threads) <= kernel.threads &&
                 sharedBytes <= size_t(kernel.sharedBytes)
             ? 1
             : 0;
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(
    int *blocks, CUfunction function, int threads, size_t sharedBytes) {
  NEEDS_CONTEXT;
  std::shared_ptr<LoadedKernel> kernel = findKernel(function);
  if (!kernel)
    return CUDA_ERROR_INVALID_HANDLE;
  if (threads <= 0)
    return CUDA_ERROR_INVALID_VALUE;
  *blocks = occupancy(*kernel, unsigned(threads), sharedBytes);
  return CUDA_SUCCESS;
}

/// A launch is checked at once and runs when its stream does; arguments are
/// read now.
static CUresult launch(CUfunction function, unsigned blocks, unsigned threads,
                       unsigned sharedBytes, CUstream handle, void **arguments,
                       bool cooperative) {
  FIND_STREAM(stream, handle);
  std::shared_ptr<LoadedKernel> kernel = findKernel(function);
  if (!kernel)
    return CUDA_ERROR_INVALID_HANDLE;
  if (blocks == 0 || threads == 0 || !arguments)
    return CUDA_ERROR_INVALID_VALUE;
  if (!occupancy(*kernel, threads, sharedBytes))
    return threads > unsigned(kernel->threads)
               ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
               : CUDA_ERROR_INVALID_VALUE;
  // All blocks have to be there at once.
  if (cooperative && blocks > unsigned(kProcessors))
    return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
  stream->add([=, values = ptx::readArguments(*kernel->kernel, arguments)] {
    return ptx::launch(*kernel->kernel, blocks, threads, sharedBytes, values,
                       cooperative);
  });
  return CUDA_SUCCESS;
}
EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned blocks, unsigned y,
                               unsigned z, unsigned threads, unsigned threadsY,
                               unsigned threadsZ, unsigned sharedBytes,
                               CUstream stream, void **arguments,
                               void **extra) {
  if (mustFail("cuLaunchKernel"))
    return CUDA_ERROR_NOT_SUPPORTED;
  if (y != 1 || z != 1 || threadsY != 1 || threadsZ != 1 || extra)
    return CUDA_ERROR_INVALID_VALUE;
  return launch(function, blocks, threads, sharedBytes, stream, arguments,
                false);
}
EXPORT CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned blocks,
                                          unsigned y, unsigned z,
                                          unsigned threads, unsigned threadsY,
                                          unsigned threadsZ,
                                          unsigned sharedBytes, CUstream stream,
                                          void **arguments) {
  if (mustFail("cuLaunchCooperativeKernel"))
    return CUDA_ERROR_NOT_SUPPORTED;
  if (y != 1 || z != 1 || threadsY != 1 || threadsZ != 1)
    return CUDA_ERROR_INVALID_VALUE;
  return launch(function, blocks, threads, sharedBytes, stream, arguments,
                true);
}
