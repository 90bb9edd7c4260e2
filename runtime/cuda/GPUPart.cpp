//===- GPUPart.cpp - a layer in one launch of our own kernel --------------===//
//
// The kernel and the order of its arguments: lowering/gpu/LayerKernel.h.
//
//===----------------------------------------------------------------------===//

#include "Part.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

namespace {

constexpr unsigned kWarp = 32;

class GPUPart final : public Part {
public:
  GPUPart(const gru_plan_part &part, int64_t maxTimesteps,
          const DeviceContext &context)
      : part(part), maxTimesteps(maxTimesteps), context(context),
        element(gru_dtype_size(part.dtype)),
        stateBytes(uint64_t(part.batch) * part.units * element) {}

  gru_status create(const Plan &plan, const char *weights) {
    if (gru_status status = module.load(plan.code(part)))
      return status;
    if (gru_status status = module.get("gru_project", project))
      return status;
    if (gru_status status = chooseKernel())
      return status;
    // The barrier counts arrivals, two rounds a step at most and one before.
    if (maxTimesteps >
        (std::numeric_limits<int32_t>::max() / numBlocks - 1) / 2)
      return fail(GRU_INVALID_ARGUMENT, "session options: max_timesteps is ",
                  maxTimesteps, ", more than a gpu kernel counts");
    uint64_t steps = uint64_t(maxTimesteps) * part.batch;
    for (auto [block, bytes] :
         {std::pair<DeviceBlock *, uint64_t>{&projection,
                                             steps * 3 * part.units * element},
          {&state, 2 * stateBytes},
          {&gates, 2 * stateBytes},
          {&emit, part.flags & GRU_PART_MASK ? steps : 0},
          {&counter, sizeof(int32_t)}})
      if (gru_status status = block->allocate(bytes))
        return status;
    return upload(plan, weights);
  }

  gru_status run(int64_t timesteps, const PartBuffers &buffers) override {
    if (gru_status status = makeProjection(buffers.input, timesteps))
      return status;
    if (buffers.initialStates)
      GRU_DRIVER(cuMemcpyDtoDAsync, state.get(), buffers.initialStates[0],
                 stateBytes, context.stream);
    else
      GRU_DRIVER(cuMemsetD8Async, state.get(), 0, stateBytes, context.stream);
    GRU_DRIVER(cuMemsetD8Async, counter.get(), 0, sizeof(int32_t),
               context.stream);
    auto first = [](const CUdeviceptr *addresses) {
      return addresses ? *addresses : 0;
    };
    CUdeviceptr pointers[] = {recurrent.get(),      bias.get(),
                              projection.get(),     state.get(),
                              gates.get(),          buffers.mask,
                              emit.get(),           first(buffers.sequences),
                              first(buffers.lasts), first(buffers.states),
                              counter.get()};
    void *arguments[std::size(pointers) + 2];
    for (size_t i = 0; i < std::size(pointers); ++i)
      arguments[i] = &pointers[i];
    arguments[std::size(pointers)] = &timesteps;
    arguments[std::size(pointers) + 1] = &resident;
    GRU_DRIVER(cuLaunchCooperativeKernel, function, numBlocks, 1, 1, numThreads,
               1, 1, sharedBytes, context.stream, arguments);
    return GRU_OK;
  }

private:
  /// By cuBLAS, if it is there, or by our own kernel.
  gru_status makeProjection(CUdeviceptr input, int64_t timesteps) {
    int64_t rows = timesteps * part.batch, columns = 3 * part.units;
    if (context.products && hasLargeProjection(part) &&
        rows <= std::numeric_limits<int>::max())
      return context.products->multiply(
          int(rows), int(columns), int(part.features), input, kernel.get(),
          projection.get(), (part.flags & GRU_PART_TF32) != 0);
    CUdeviceptr operands[] = {input, kernel.get(), projection.get()};
    void *arguments[] = {&operands[0], &operands[1], &operands[2], &timesteps};
    int64_t tiles =
        ((rows + kTile - 1) / kTile) * ((columns + kTile - 1) / kTile);
    GRU_DRIVER(cuLaunchKernel, project, blocksFor(tiles * kThreads, context), 1,
               1, kThreads, 1, 1, 0, context.stream, arguments, nullptr);
    return GRU_OK;
  }

  /// Rows and columns of a tile of the projection.
  static constexpr int64_t kTile = 64;

  /// One block on each multiprocessor, or on as many as there are units: all
  /// have to be there at once.
  gru_status chooseKernel() {
    numBlocks = unsigned(std::min<int64_t>(context.processors, part.units));
    int64_t owned = (part.units + numBlocks - 1) / numBlocks;
    if (fitsInRegisters(owned))
      return GRU_OK;
    if (gru_status status = module.get("gru_layer", function))
      return status;
    // A block's part of the recurrent kernel goes to shared memory if it fits.
    int shared = 0;
    GRU_DRIVER(cuDeviceGetAttribute, &shared,
               CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
               context.device);
    uint64_t bytes = uint64_t(owned) * 3 * part.units * element;
    resident = bytes <= uint64_t(shared);
    sharedBytes = resident ? unsigned(bytes) : 0;
    numThreads = kThreads;
    if (resident)
      GRU_DRIVER(cuFuncSetAttribute, function,
                 CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                 int(sharedBytes));
    if (!fitsAtOnce())
      return fail(GRU_DEVICE_FAILED,
                  "gpu: the kernel needs more of a multiprocessor than there "
                  "is");
    return GRU_OK;
  }

  /// Takes the kernel whose warps keep a unit each, where there is one and a
  /// block's units fit into it. Few warps with many rows each would be slower
  /// than `gru_layer`, which shares rows, too.
  bool fitsInRegisters(int64_t owned) {
    constexpr int64_t kFewRows = 4;
    constexpr int64_t kMostUnits = 1024; // See lowering/gpu/LayerKernel.h.
    int most = 0;
    if (part.units > kMostUnits ||
        (part.batch > kFewRows && owned * kWarp < kThreads) ||
        module.get("gru_layer_in_registers", function) ||
        driver().cuFuncGetAttribute(
            &most, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function) ||
        owned * kWarp > most)
      return false;
    numThreads = unsigned(owned * kWarp);
    return fitsAtOnce();
  }

  bool fitsAtOnce() {
    int perProcessor = 0;
    return !driver().cuOccupancyMaxActiveBlocksPerMultiprocessor(
               &perProcessor, function, int(numThreads), sharedBytes) &&
           perProcessor >= 1;
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
          std::memcpy(packed.data() + ((unit * 3 + gate) * units + k) * element,
                      source + (k * columns + gate * units + unit) * element,
                      element);
    if (gru_status status = copy(recurrent, packed.data(), packed.size()))
      return status;
    return uploadBias(part.weights_per_cell == 3
                          ? weights + plan.weightOffset(part, 0, 2)
                          : nullptr);
  }

  /// z and r only ever see the sum of both biases.
  gru_status uploadBias(const char *from) {
    size_t units = part.units, columns = 3 * units;
    bool resetAfter = (part.flags & GRU_PART_RESET_AFTER) != 0;
    std::vector<float> read((resetAfter ? 2 : 1) * columns),
        made((resetAfter ? 4 : 3) * units);
    if (from)
      std::memcpy(read.data(), from, read.size() * sizeof(float));
    for (size_t i = 0; i < columns; ++i)
      made[i] = read[i] + (resetAfter && i < 2 * units ? read[columns + i] : 0);
    for (size_t unit = 0; resetAfter && unit < units; ++unit)
      made[columns + unit] = read[columns + 2 * units + unit];
    return copy(bias, reinterpret_cast<const char *>(made.data()),
                made.size() * sizeof(float));
  }

  gru_status copy(DeviceBlock &to, const char *from, uint64_t bytes) {
    if (gru_status status = to.allocate(bytes))
      return status;
    GRU_DRIVER(cuMemcpyHtoDAsync, to.get(), from, bytes, context.stream);
    GRU_DRIVER(cuStreamSynchronize, context.stream);
    return GRU_OK;
  }

  const gru_plan_part &part;
  const int64_t maxTimesteps;
  const DeviceContext &context;
  const uint64_t element, stateBytes;
  Module module;
  CUfunction project = nullptr, function = nullptr;
  unsigned numBlocks = 0, numThreads = 0, sharedBytes = 0;
  int32_t resident = 0;
  DeviceBlock kernel, recurrent, bias, projection, state, gates, emit, counter;
};

} // namespace

gru_status cuda::createGPUPart(const Plan &plan, const gru_plan_part &part,
                               const char *weights, int64_t maxTimesteps,
                               const DeviceContext &context,
                               std::unique_ptr<Part> &result) {
  if (part.layers != 1 || part.directions != 1 || part.dtype != GRU_F32)
    return fail(GRU_DAMAGED, "plan: a gpu part has ", part.layers,
                " layers of ", part.directions, " directions in ",
                gru_dtype_name(part.dtype), ", expected one in f32");
  auto created = std::make_unique<GPUPart>(part, maxTimesteps, context);
  if (gru_status status = created->create(plan, weights))
    return status;
  result = std::move(created);
  return GRU_OK;
}
