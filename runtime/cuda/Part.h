//===- Part.h - one device call of a program --------------------*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_PART_H
#define GRU_RUNTIME_CUDA_PART_H

#include "../Plan.h"
#include "Cublas.h"
#include "DeviceMemory.h"

#include <iterator>
#include <memory>
#include <string>

namespace gru::runtime::cuda {

/// The threads of a block of our kernels (lowering/gpu/KernelBuilder.h).
inline constexpr unsigned kThreads = 256;

/// What parts of one session have in common.
struct DeviceContext {
  CUdevice device = 0;
  CUstream stream = nullptr;
  cudnnHandle_t handle = nullptr; ///< Null where no part needs it.
  /// Null where no part needs it or it is not there.
  Cublas *products = nullptr;
  int processors = 0; ///< Multiprocessors.
  std::string name;   ///< Of the device and its libraries.
};

/// The buffers of one call by their roles, in the device's memory; see
/// gru_plan_part.
struct PartBuffers {
  CUdeviceptr input;
  const CUdeviceptr *initialStates; ///< null where there are none
  CUdeviceptr mask;                 ///< 0 where there is none
  const uint8_t *hostMask;          ///< the same on the host, of a cuDNN part
  const CUdeviceptr *sequences, *lasts, *states;

  static PartBuffers read(const gru_plan_part &part,
                          const CUdeviceptr *addresses, void *const *buffers);
};

class Part {
public:
  virtual ~Part() = default;
  /// Into the stream, with the context current.
  [[nodiscard]] virtual gru_status run(int64_t timesteps,
                                       const PartBuffers &buffers) = 0;
};

/// Code that the driver has compiled.
class Module {
public:
  Module() = default;
  Module(const Module &) = delete;
  Module &operator=(const Module &) = delete;
  ~Module() {
    if (module)
      driver().cuModuleUnload(module);
  }
  [[nodiscard]] gru_status load(const char *code) {
    char log[1024] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                              CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, reinterpret_cast<void *>(sizeof(log))};
    if (CUresult result = driver().cuModuleLoadDataEx(
            &module, code, unsigned(std::size(options)), options, values))
      return driverFailure("cuModuleLoadDataEx", result, log);
    return GRU_OK;
  }
  [[nodiscard]] gru_status get(const char *name, CUfunction &function) const {
    GRU_DRIVER(cuModuleGetFunction, &function, module, name);
    return GRU_OK;
  }

private:
  CUmodule module = nullptr;
};

/// Blocks for `items` items, of which a block takes kThreads and then others.
inline unsigned blocksFor(int64_t items, const DeviceContext &context) {
  int64_t blocks = (items + kThreads - 1) / kThreads;
  int64_t most = int64_t(context.processors) * 8;
  return unsigned(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

/// Whether cuBLAS is worth the time that loading it takes.
inline bool hasLargeProjection(const gru_plan_part &part) {
  constexpr int64_t kLarge = 64 * 64;
  return part.features * part.units >= kLarge;
}

[[nodiscard]] gru_status
createCudnnPart(const Plan &plan, const gru_plan_part &part,
                const char *weights, int64_t maxTimesteps,
                const DeviceContext &context, std::unique_ptr<Part> &result);
[[nodiscard]] gru_status
createGPUPart(const Plan &plan, const gru_plan_part &part, const char *weights,
              int64_t maxTimesteps, const DeviceContext &context,
              std::unique_ptr<Part> &result);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_PART_H
