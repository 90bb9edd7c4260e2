//===- Device.cpp - what a session runs on a device -----------------------===//

#include "Device.h"

#include "../Error.h"
#include "../FloatEnvironment.h"
#include "Driver.h"

#ifdef GRU_HAS_CUDNN
#include "Mirrors.h"
#include "Part.h"
#include "RunGraph.h"
#endif

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

#ifdef GRU_HAS_CUDNN

gru_status cuda::driverFailure(const char *call, CUresult result,
                               const char *log) {
  const char *text = nullptr;
  if (driver().cuGetErrorString(result, &text) || !text)
    text = "unknown error";
  return fail(result == CUDA_ERROR_OUT_OF_MEMORY ? GRU_OUT_OF_MEMORY
                                                 : GRU_DEVICE_FAILED,
              "CUDA driver: ", call, ": ", text, *log ? ": " : "", log);
}

gru_status cuda::cudnnFailure(const char *call, cudnnStatus_t result) {
  // What exactly it did not like, which is cleared by asking.
  char detail[512] = "";
  cudnn().cudnnGetLastErrorString(detail, sizeof(detail));
  return fail(GRU_DEVICE_FAILED, "cuDNN: ", call, ": ",
              cudnn().cudnnGetErrorString(result), *detail ? ": " : "", detail);
}

/// Addresses that a part gets.
static size_t countBuffers(const gru_plan_part &part) {
  if (part.library == GRU_PART_KERNEL)
    return part.num_buffers;
  size_t cells = part.layers * part.directions;
  auto count = [&](uint32_t flag, size_t number) {
    return part.flags & flag ? number : 0;
  };
  return 1 + count(GRU_PART_INITIAL_STATES, cells) + count(GRU_PART_MASK, 1) +
         count(GRU_PART_SEQUENCES, part.directions) +
         count(GRU_PART_LASTS, part.directions) + count(GRU_PART_STATES, cells);
}

PartBuffers PartBuffers::read(const gru_plan_part &part,
                              const CUdeviceptr *addresses,
                              void *const *buffers) {
  uint32_t cells = part.layers * part.directions;
  auto take = [&](uint32_t flag, uint32_t count) -> const CUdeviceptr * {
    if (flag && !(part.flags & flag))
      return nullptr;
    const CUdeviceptr *taken = addresses;
    addresses += count;
    buffers += count;
    return taken;
  };
  PartBuffers result;
  result.input = *take(0, 1);
  result.initialStates = take(GRU_PART_INITIAL_STATES, cells);
  result.hostMask = part.flags & GRU_PART_MASK
                        ? static_cast<const uint8_t *>(*buffers)
                        : nullptr;
  const CUdeviceptr *mask = take(GRU_PART_MASK, 1);
  result.mask = mask ? *mask : 0;
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

#define GRU_MAKE_CURRENT                                                       \
  Current current(primary);                                                    \
  if (current.result)                                                          \
  return driverFailure("cuCtxPushCurrent", current.result)

class CudaDevice final : public Device {
public:
  CudaDevice(const Plan &plan, const SessionMemory &memory)
      : plan(plan), memory(memory), graph(plan) {
    run = [](gru_device *self, int32_t part, int64_t size,
             void *const *buffers) {
      auto &device = *static_cast<CudaDevice *>(self);
      // After a failure nothing more is tried; the run ends with it.
      if (!device.status)
        device.status = device.runPart(part, size, buffers);
    };
    move = [](gru_device *self, void *data, uint64_t bytes, int32_t direction) {
      auto &device = *static_cast<CudaDevice *>(self);
      if (!device.status)
        device.status = device.moveData(data, bytes, direction == GRU_TO_HOST);
    };
  }

  ~CudaDevice() override {
    if (!primary)
      return;
    {
      Current current(primary);
      graph.forget();
      kernels.reset();
      cublas.reset();
      mirrors.reset();
      if (context.handle)
        cudnn().cudnnDestroy(context.handle);
      if (ownStream)
        driver().cuStreamDestroy(ownStream);
    }
    driver().cuDevicePrimaryCtxRelease(context.device);
  }

  gru_status create(int64_t maxTimesteps) {
    // The first device; CUDA_VISIBLE_DEVICES says which that is.
    GRU_DRIVER(cuDeviceGet, &context.device, 0);
    GRU_DRIVER(cuDevicePrimaryCtxRetain, &primary, context.device);
    GRU_MAKE_CURRENT;
    GRU_DRIVER(cuStreamCreate, &ownStream, CU_STREAM_NON_BLOCKING);
    context.stream = ownStream;
    int cooperative = 0;
    GRU_DRIVER(cuDeviceGetAttribute, &cooperative,
               CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, context.device);
    if (!cooperative)
      return fail(
          GRU_UNSUPPORTED,
          "device: does not launch kernels whose blocks are all there at "
          "once");
    GRU_DRIVER(cuDeviceGetAttribute, &context.processors,
               CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, context.device);
    char name[128] = "";
    GRU_DRIVER(cuDeviceGetName, name, sizeof(name), context.device);
    context.name = name;
    mirrors = std::make_unique<Mirrors>();
    if (gru_status status =
            mirrors->create(plan, memory, maxTimesteps, context.stream))
      return status;
    size_t count = plan.parts().size(), most = 0;
    kernels = std::make_unique<Entry[]>(count);
    for (size_t i = 0; i < count; ++i) {
      const gru_plan_part &part = plan.parts()[i];
      most = std::max(most, countBuffers(part) + part.num_values);
      if (gru_status status = createPart(part, maxTimesteps, kernels[i]))
        return status;
    }
    slots.resize(most);
    arguments.resize(most);
    for (size_t i = 0; i < most; ++i)
      arguments[i] = &slots[i];
    return GRU_OK;
  }

  gru_status call(gru_kernel kernel, const gru_call &of) override {
    gru_call call = of;
    status = GRU_OK;
    GRU_MAKE_CURRENT;
    if (gru_status status = mirrors->begin(plan, call, context.stream))
      return status;
    // Where no code on the host sees data, equal calls are equal work.
    if (mirrors->isAllOnDevice() && plan.header().state_bytes == 0) {
      if (graph.isSame(call) && !graph.isTried())
        capture(kernel, call);
      if (graph.isReady()) {
        if (gru_status status = graph.launch(context.stream))
          return status;
        return finish();
      }
    } else {
      graph.forget();
    }
    invoke(kernel, call);
    if (!status)
      return finish();
    // Nobody's memory is in use behind a failure, either.
    driver().cuStreamSynchronize(context.stream);
    return status;
  }

  gru_status setStream(void *stream) override {
    GRU_MAKE_CURRENT;
    GRU_DRIVER(cuStreamSynchronize, context.stream);
    return workIn(stream ? static_cast<CUstream>(stream) : ownStream);
  }

private:
  gru_status finish() {
    if (gru_status status = mirrors->end(context.stream))
      return status;
    // What is all on the device is in the order of the caller's stream.
    if (context.stream == ownStream || mirrors->touchesHost())
      GRU_DRIVER(cuStreamSynchronize, context.stream);
    return GRU_OK;
  }

  gru_status workIn(CUstream stream) {
    context.stream = stream;
    if (context.handle)
      GRU_CUDNN(cudnnSetStream, context.handle, stream);
    return context.products ? context.products->setStream(stream) : GRU_OK;
  }

  /* Kernels carry no type information for the sanitizer of indirect calls. */
#ifdef __clang__
  __attribute__((no_sanitize("function")))
#endif
  static void invoke(gru_kernel kernel, const gru_call &call) {
    FloatEnvironment environment;
    kernel(&call, /*member=*/0);
  }

  /// Makes a graph of a call; if that fails, there is none. The caller's stream
  /// may be capturing itself, and the default stream cannot.
  void capture(gru_kernel kernel, const gru_call &call) {
    CUstream before = context.stream;
    if (workIn(ownStream))
      status = GRU_DEVICE_FAILED;
    else if (graph.begin(ownStream)) {
      invoke(kernel, call);
      if (!graph.end(ownStream) || status)
        graph.refuse();
    }
    if (workIn(before))
      graph.refuse();
    status = GRU_OK;
  }

  /// A part, or the function of one of our kernels.
  struct Entry {
    std::unique_ptr<Part> part;
    Module module;
    CUfunction function = nullptr;
  };

  gru_status createPart(const gru_plan_part &part, int64_t maxTimesteps,
                        Entry &entry) {
    if (part.library == GRU_PART_KERNEL) {
      if (gru_status status = entry.module.load(plan.code(part)))
        return status;
      return entry.module.get("gru_kernel", entry.function);
    }
    int64_t longest = part.timesteps ? part.timesteps : maxTimesteps;
    if (part.library == GRU_PART_GPU && hasLargeProjection(part) && !cublas) {
      cublas = std::make_unique<Cublas>();
      if (cublas->create(context.stream))
        context.products = cublas.get();
    }
    if (part.library == GRU_PART_GPU)
      return createGPUPart(plan, part, memory.weights, longest, context,
                           entry.part);
    if (!context.handle) {
      GRU_CUDNN(cudnnCreate, &context.handle);
      GRU_CUDNN(cudnnSetStream, context.handle, context.stream);
    }
    return createCudnnPart(plan, part, memory.weights, longest, context,
                           entry.part);
  }

  gru_status runPart(int32_t number, int64_t size, void *const *buffers) {
    if (number < 0) {
      ++numMaskFallbacks;
      if (plan.parts()[~number].flags & GRU_PART_REQUIRED)
        return fail(
            GRU_UNSUPPORTED,
            "mask: is not right-padded, which cuDNN does not take, and "
            "require_backend is 'cudnn'; pad at the end of each row, or "
            "compile without require_backend");
      return GRU_OK;
    }
    const gru_plan_part &part = plan.parts()[number];
    size_t count = countBuffers(part);
    for (size_t i = 0; i < count; ++i)
      if (!(slots[i] = mirrors->find(buffers[i])))
        return fail(GRU_DAMAGED, "plan: buffer ", i, " of part ", number,
                    " has no mirror on the device");
    GRU_MAKE_CURRENT;
    if (part.library != GRU_PART_KERNEL)
      return kernels[number].part->run(
          size, PartBuffers::read(part, slots.data(), buffers));
    for (size_t i = count; i < count + part.num_values; ++i)
      slots[i] = reinterpret_cast<CUdeviceptr>(buffers[i]);
    if (size > 0)
      GRU_DRIVER(cuLaunchKernel, kernels[number].function,
                 blocksFor(size, context), 1, 1, kThreads, 1, 1, 0,
                 context.stream, arguments.data(), nullptr);
    return GRU_OK;
  }

  gru_status moveData(void *data, uint64_t bytes, bool toHost) {
    CUdeviceptr mirror = mirrors->find(data);
    if (!mirror)
      return fail(GRU_DAMAGED, "plan: moves what has no mirror on the device");
    // The caller's own memory on the device.
    if (mirror == reinterpret_cast<CUdeviceptr>(data) || bytes == 0)
      return GRU_OK;
    graph.refuse();
    GRU_MAKE_CURRENT;
    if (!toHost) {
      GRU_DRIVER(cuMemcpyHtoDAsync, mirror, data, bytes, context.stream);
      return GRU_OK;
    }
    GRU_DRIVER(cuMemcpyDtoHAsync, data, mirror, bytes, context.stream);
    GRU_DRIVER(cuStreamSynchronize, context.stream);
    return GRU_OK;
  }

  const Plan &plan;
  const SessionMemory memory;
  CUcontext primary = nullptr;
  CUstream ownStream = nullptr;
  DeviceContext context;
  RunGraph graph;
  std::unique_ptr<Cublas> cublas;
  std::unique_ptr<Mirrors> mirrors;
  std::unique_ptr<Entry[]> kernels; ///< One for each part.
  std::vector<CUdeviceptr> slots;   ///< The arguments of a part,
  std::vector<void *> arguments;    ///< and where they are.
};

} // namespace

gru_status cuda::createDevice(const Plan &plan, const SessionMemory &memory,
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
  try {
    auto created = std::make_unique<CudaDevice>(plan, memory);
    if (gru_status status = created->create(maxTimesteps))
      return status;
    device = std::move(created);
  } catch (const std::bad_alloc &) {
    return fail(GRU_OUT_OF_MEMORY, "device: cannot allocate its tables");
  }
  return GRU_OK;
}

#else

gru_status cuda::createDevice(const Plan &, const SessionMemory &, int64_t,
                              std::unique_ptr<Device> &) {
  return fail(GRU_UNSUPPORTED,
              "program: was compiled for a device, which this machine cannot "
              "run: ",
              deviceProblem());
}

#endif // GRU_HAS_CUDNN
