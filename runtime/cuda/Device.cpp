//===- Device.cpp - what a session runs on a device ------------------------===//

#include "Device.h"

#include "../Error.h"
#include "Driver.h"

#ifdef GRU_HAS_CUDNN
#include "Part.h"
#endif

#include <memory>
#include <new>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

#ifdef GRU_HAS_CUDNN

gru_status cuda::driverFailure(const char *call, CUresult result) {
  const char *text = nullptr;
  if (driver().cuGetErrorString(result, &text) || !text)
    text = "unknown error";
  return fail(result == CUDA_ERROR_OUT_OF_MEMORY ? GRU_OUT_OF_MEMORY
                                                 : GRU_DEVICE_FAILED,
              "CUDA driver: ", call, ": ", text);
}

gru_status cuda::cudnnFailure(const char *call, cudnnStatus_t result) {
  return fail(GRU_DEVICE_FAILED, "cuDNN: ", call, ": ",
              cudnn().cudnnGetErrorString(result));
}

PartBuffers PartBuffers::read(const gru_plan_part &part,
                              void *const *buffers) {
  uint32_t cells = part.layers * part.directions;
  auto take = [&](uint32_t flag, uint32_t count) -> void *const * {
    if (flag && !(part.flags & flag))
      return nullptr;
    void *const *taken = buffers;
    buffers += count;
    return taken;
  };
  PartBuffers result;
  result.input = static_cast<const char *>(*take(0, 1));
  result.initialStates = take(GRU_PART_INITIAL_STATES, cells);
  void *const *mask = take(GRU_PART_MASK, 1);
  result.mask = mask ? static_cast<const uint8_t *>(*mask) : nullptr;
  result.sequences = take(GRU_PART_SEQUENCES, part.directions);
  result.lasts = take(GRU_PART_LASTS, part.directions);
  result.states = take(GRU_PART_STATES, cells);
  return result;
}

namespace {

/// Makes the device's context the thread's own for a while.
class Current {
public:
  explicit Current(CUcontext context)
      : result(driver().cuCtxPushCurrent(context)) {}
  ~Current() {
    CUcontext ignored;
    if (!result)
      driver().cuCtxPopCurrent(&ignored);
  }
  const CUresult result;
};

class CudaDevice final : public Device {
public:
  CudaDevice() {
    run = [](gru_device *self, int32_t part, int64_t timesteps,
             void *const *buffers) {
      static_cast<CudaDevice *>(self)->runPart(part, timesteps, buffers);
    };
  }

  ~CudaDevice() override {
    if (!context)
      return;
    {
      Current current(context);
      parts.reset();
      if (handle)
        cudnn().cudnnDestroy(handle);
      if (stream)
        driver().cuStreamDestroy(stream);
    }
    driver().cuDevicePrimaryCtxRelease(device);
  }

  gru_status create(const Plan &plan, const char *weights,
                    int64_t maxTimesteps) {
    // The first device; CUDA_VISIBLE_DEVICES says which that is.
    GRU_DRIVER(cuDeviceGet, &device, 0);
    GRU_DRIVER(cuDevicePrimaryCtxRetain, &context, device);
    Current current(context);
    if (current.result)
      return driverFailure("cuCtxPushCurrent", current.result);
    GRU_DRIVER(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
    count = plan.parts().size();
    records = plan.parts().data();
    parts.reset(new (std::nothrow) std::unique_ptr<Part>[count]);
    if (!parts)
      return fail(GRU_OUT_OF_MEMORY, "device: cannot allocate ", count,
                  " parts");
    for (size_t i = 0; i < count; ++i) {
      const gru_plan_part &part = records[i];
      int64_t longest = part.timesteps ? part.timesteps : maxTimesteps;
      if (part.library == GRU_PART_CUDNN) {
        if (!handle) {
          GRU_CUDNN(cudnnCreate, &handle);
          GRU_CUDNN(cudnnSetStream, handle, stream);
        }
        if (gru_status status = createCudnnPart(plan, part, weights, longest,
                                                stream, handle, parts[i]))
          return status;
      } else if (gru_status status =
                     createGPUPart(plan, part, weights, longest, stream,
                                   device, parts[i])) {
        return status;
      }
    }
    return GRU_OK;
  }

private:
  /// After a failure nothing more is tried; the run ends with it.
  void runPart(int32_t part, int64_t timesteps, void *const *buffers) {
    if (status)
      return;
    if (part < 0) {
      ++numMaskFallbacks;
      return;
    }
    Current current(context);
    if (current.result) {
      status = driverFailure("cuCtxPushCurrent", current.result);
      return;
    }
    status = parts[part]->run(timesteps,
                              PartBuffers::read(records[part], buffers));
  }

  CUdevice device = 0;
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  cudnnHandle_t handle = nullptr;
  size_t count = 0;
  const gru_plan_part *records = nullptr;
  std::unique_ptr<std::unique_ptr<Part>[]> parts;
};

} // namespace

gru_status cuda::createDevice(const Plan &plan, const char *weights,
                              int64_t maxTimesteps,
                              std::unique_ptr<Device> &device) {
  bool usesCudnn = false;
  for (const gru_plan_part &part : plan.parts())
    usesCudnn |= part.library == GRU_PART_CUDNN;
  const std::string &problem = usesCudnn ? cudnnProblem() : deviceProblem();
  if (!problem.empty())
    return fail(GRU_UNSUPPORTED,
                "program: was compiled for a device, which this machine cannot "
                "run: ",
                problem);
  std::unique_ptr<CudaDevice> created(new (std::nothrow) CudaDevice);
  if (!created)
    return fail(GRU_OUT_OF_MEMORY, "device: cannot allocate ",
                sizeof(CudaDevice), " bytes");
  try {
    if (gru_status status = created->create(plan, weights, maxTimesteps))
      return status;
  } catch (const std::bad_alloc &) {
    return fail(GRU_OUT_OF_MEMORY, "device: cannot allocate its tables");
  }
  device = std::move(created);
  return GRU_OK;
}

#else

gru_status cuda::createDevice(const Plan &, const char *, int64_t,
                              std::unique_ptr<Device> &) {
  return fail(GRU_UNSUPPORTED,
              "program: was compiled for a device, which this machine cannot "
              "run: ",
              deviceProblem());
}

#endif // GRU_HAS_CUDNN
