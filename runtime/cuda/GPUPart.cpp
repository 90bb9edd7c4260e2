//===- GPUPart.cpp - a layer in one launch of our own kernel ---------------===//
//
// The kernel and the order of its arguments: lowering/gpu/LayerKernel.h.
//
//===----------------------------------------------------------------------===//

#include "Part.h"

#include <algorithm>
#include <cstring>
#include <vector>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

namespace {

constexpr unsigned kThreads = 256;

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
    GRU_DRIVER(cuModuleLoadData, &module, code);
    return GRU_OK;
  }
  CUmodule get() const { return module; }

private:
  CUmodule module = nullptr;
};

class GPUPart final : public Part {
public:
  GPUPart(const gru_plan_part &part, int64_t maxTimesteps, CUstream stream)
      : part(part), maxTimesteps(maxTimesteps), stream(stream),
        element(gru_dtype_size(part.dtype)),
        stateBytes(uint64_t(part.batch) * part.units * element) {}

  gru_status create(const Plan &plan, const char *weights, CUdevice device) {
    if (gru_status status = module.load(plan.code(part)))
      return status;
    GRU_DRIVER(cuModuleGetFunction, &function, module.get(), "gru_layer");
    if (gru_status status = chooseGrid(device))
      return status;
    uint64_t steps = uint64_t(maxTimesteps) * part.batch;
    for (auto [block, bytes] :
         {std::pair<DeviceBlock *, uint64_t>{&input,
                                             steps * part.features * element},
          {&projection, steps * 3 * part.units * element},
          {&state, 2 * stateBytes},
          {&gates, 2 * stateBytes},
          {&mask, has(GRU_PART_MASK) ? steps : 0},
          {&emit, has(GRU_PART_MASK) ? steps : 0},
          {&sequence,
           has(GRU_PART_SEQUENCES) ? steps * part.units * element : 0},
          {&last, has(GRU_PART_LASTS) ? stateBytes : 0},
          {&newState, has(GRU_PART_STATES) ? stateBytes : 0},
          {&counter, sizeof(int32_t)}})
      if (gru_status status = block->allocate(bytes))
        return status;
    return upload(plan, weights);
  }

  gru_status run(int64_t timesteps, const PartBuffers &buffers) override {
    uint64_t steps = uint64_t(timesteps) * part.batch;
    GRU_DRIVER(cuMemcpyHtoDAsync, input.get(), buffers.input,
               steps * part.features * element, stream);
    if (buffers.initialStates)
      GRU_DRIVER(cuMemcpyHtoDAsync, state.get(), buffers.initialStates[0],
                 stateBytes, stream);
    else
      GRU_DRIVER(cuMemsetD8Async, state.get(), 0, stateBytes, stream);
    if (buffers.mask)
      GRU_DRIVER(cuMemcpyHtoDAsync, mask.get(), buffers.mask, steps, stream);
    GRU_DRIVER(cuMemsetD8Async, counter.get(), 0, sizeof(int32_t), stream);

    CUdeviceptr pointers[] = {
        input.get(), kernel.get(),   recurrent.get(), bias.get(),
        projection.get(), state.get(), gates.get(),   mask.get(),
        emit.get(),  sequence.get(), last.get(),      newState.get(),
        counter.get()};
    void *arguments[std::size(pointers) + 2];
    for (size_t i = 0; i < std::size(pointers); ++i)
      arguments[i] = &pointers[i];
    arguments[std::size(pointers)] = &timesteps;
    arguments[std::size(pointers) + 1] = &resident;
    GRU_DRIVER(cuLaunchCooperativeKernel, function, numBlocks, 1, 1, kThreads,
               1, 1, sharedBytes, stream, arguments);

    if (buffers.sequences)
      GRU_DRIVER(cuMemcpyDtoHAsync, buffers.sequences[0], sequence.get(),
                 steps * part.units * element, stream);
    if (buffers.lasts)
      GRU_DRIVER(cuMemcpyDtoHAsync, buffers.lasts[0], last.get(), stateBytes,
                 stream);
    if (buffers.states)
      GRU_DRIVER(cuMemcpyDtoHAsync, buffers.states[0], newState.get(),
                 stateBytes, stream);
    GRU_DRIVER(cuStreamSynchronize, stream);
    return GRU_OK;
  }

private:
  bool has(uint32_t flag) const { return (part.flags & flag) != 0; }

  /// One block on each multiprocessor, or on as many as there are units: all
  /// have to be there at once. Their part of the recurrent kernel goes to shared
  /// memory if it fits.
  gru_status chooseGrid(CUdevice device) {
    int processors = 0, shared = 0;
    GRU_DRIVER(cuDeviceGetAttribute, &processors,
               CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
    GRU_DRIVER(cuDeviceGetAttribute, &shared,
               CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device);
    numBlocks = unsigned(std::min<int64_t>(processors, part.units));
    int64_t owned = (part.units + numBlocks - 1) / numBlocks;
    uint64_t bytes = uint64_t(owned) * 3 * part.units * element;
    resident = bytes <= uint64_t(shared);
    sharedBytes = resident ? unsigned(bytes) : 0;
    if (resident)
      GRU_DRIVER(cuFuncSetAttribute, function,
                 CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                 int(sharedBytes));
    int perProcessor = 0;
    GRU_DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor, &perProcessor,
               function, int(kThreads), sharedBytes);
    if (perProcessor < 1)
      return fail(GRU_DEVICE_FAILED,
                  "gpu: the kernel needs more of a multiprocessor than there "
                  "is");
    return GRU_OK;
  }

  gru_status upload(const Plan &plan, const char *weights) {
    uint64_t units = part.units, columns = 3 * units;
    const char *source = weights + plan.weightOffset(part, 0, 0);
    uint64_t bytes = part.features * columns * element;
    if (gru_status status = copy(kernel, source, bytes))
      return status;
    // [k][gate, unit] -> [unit][gate][k]: a unit's weights side by side.
    source = weights + plan.weightOffset(part, 0, 1);
    std::vector<char> packed(units * columns * element);
    for (uint64_t k = 0; k < units; ++k)
      for (uint64_t gate = 0; gate < 3; ++gate)
        for (uint64_t unit = 0; unit < units; ++unit)
          std::memcpy(
              packed.data() + ((unit * 3 + gate) * units + k) * element,
              source + (k * columns + gate * units + unit) * element, element);
    if (gru_status status = copy(recurrent, packed.data(), packed.size()))
      return status;
    bytes = (has(GRU_PART_RESET_AFTER) ? 2 : 1) * columns * element;
    std::vector<char> zeros(bytes);
    return copy(bias,
                part.weights_per_cell == 3
                    ? weights + plan.weightOffset(part, 0, 2)
                    : zeros.data(),
                bytes);
  }

  gru_status copy(DeviceBlock &to, const char *from, uint64_t bytes) {
    if (gru_status status = to.allocate(bytes))
      return status;
    GRU_DRIVER(cuMemcpyHtoDAsync, to.get(), from, bytes, stream);
    GRU_DRIVER(cuStreamSynchronize, stream);
    return GRU_OK;
  }

  const gru_plan_part &part;
  const int64_t maxTimesteps;
  const CUstream stream;
  const uint64_t element, stateBytes;
  Module module;
  CUfunction function = nullptr;
  unsigned numBlocks = 0, sharedBytes = 0;
  int32_t resident = 0;
  DeviceBlock kernel, recurrent, bias, input, projection, state, gates, mask,
      emit, sequence, last, newState, counter;
};

} // namespace

gru_status cuda::createGPUPart(const Plan &plan, const gru_plan_part &part,
                               const char *weights, int64_t maxTimesteps,
                               CUstream stream, CUdevice device,
                               std::unique_ptr<Part> &result) {
  if (part.layers != 1 || part.directions != 1)
    return fail(GRU_DAMAGED, "plan: a gpu part has ", part.layers, " layers of ",
                part.directions, " directions, expected one");
  auto created = std::make_unique<GPUPart>(part, maxTimesteps, stream);
  if (gru_status status = created->create(plan, weights, device))
    return status;
  result = std::move(created);
  return GRU_OK;
}
