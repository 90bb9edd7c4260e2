//===- CudnnPart.cpp - layers in one call of cudnnRNNForward --------------===//

#include "../Half.h"
#include "CudnnDescriptor.h"
#include "CudnnWeights.h"
#include "Part.h"
#include "Sequences.h"
#include "Tuning.h"

#include <chrono>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <vector>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

namespace {

cudnnDataType_t dataType(gru_dtype type) {
  switch (type) {
  case GRU_F64:
    return CUDNN_DATA_DOUBLE;
  case GRU_F16:
    return CUDNN_DATA_HALF;
  case GRU_BF16:
    return CUDNN_DATA_BFLOAT16;
  default:
    return CUDNN_DATA_FLOAT;
  }
}

/// Sums of half types are kept in float32.
cudnnDataType_t mathPrecision(gru_dtype type) {
  return type == GRU_F64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
}

/// cuDNN's default rounds float32 to TF32, 10 bits of mantissa, which has to be
/// asked for. For what is not float32 or f16 only the default is documented.
cudnnMathType_t mathType(const gru_plan_part &part) {
  if (part.dtype == GRU_F16)
    return CUDNN_TENSOR_OP_MATH;
  return part.dtype == GRU_F32 && !(part.flags & GRU_PART_TF32)
             ? CUDNN_FMA_MATH
             : CUDNN_DEFAULT_MATH;
}

class CudnnPart final : public Part {
public:
  CudnnPart(const Plan &plan, const gru_plan_part &part, const char *weights,
            int64_t maxTimesteps, const DeviceContext &context)
      : plan(plan), part(part), weights(weights), maxTimesteps(maxTimesteps),
        context(context), handle(context.handle),
        element(gru_dtype_size(part.dtype)),
        cells(part.layers * part.directions),
        lengths(part.batch, int32_t(maxTimesteps)), used(part.batch),
        stateBytes(uint64_t(part.batch) * part.units * element) {}

  gru_status create() {
    if (gru_status status = loadKernels())
      return status;
    GRU_CREATE(dropout, Dropout);
    GRU_CUDNN(cudnnSetDropoutDescriptor, dropout, handle, 0, nullptr, 0, 0);
    GRU_CREATE(rnn, RNN);
    GRU_CREATE(inputDesc, RNNData);
    GRU_CREATE(outputDesc, RNNData);
    GRU_CREATE(stateDesc, Tensor);
    int dims[3] = {int(cells), int(part.batch), int(part.units)};
    int strides[3] = {int(part.batch * part.units), int(part.units), 1};
    GRU_CUDNN(cudnnSetTensorNdDescriptor, stateDesc, dataType(part.dtype), 3,
              dims, strides);

    uint64_t steps = uint64_t(maxTimesteps) * part.batch;
    bool ownsOutput = finish || !(part.flags & GRU_PART_SEQUENCES);
    for (auto [block, bytes] :
         {std::pair<DeviceBlock *, uint64_t>{
              &reversed, start ? steps * part.features * element : 0},
          {&output,
           ownsOutput ? steps * part.directions * part.units * element : 0},
          {&initial,
           part.flags & GRU_PART_INITIAL_STATES ? cells * stateBytes : 0},
          {&states, cells * stateBytes},
          {&deviceLengths, finish ? part.batch * sizeof(int32_t) : 0}})
      if (gru_status status = block->allocate(bytes))
        return status;
    return chooseAlgorithm();
  }

  gru_status run(int64_t timesteps, const PartBuffers &buffers) override {
    if (gru_status status = prepare(timesteps, buffers.hostMask))
      return status;
    CUdeviceptr input = buffers.input;
    if (start) {
      CUdeviceptr addresses[] = {input, deviceLengths.get(), reversed.get()};
      if (gru_status status = launch(start, addresses, timesteps,
                                     timesteps * part.batch * part.features))
        return status;
      input = reversed.get();
    }
    for (uint32_t cell = 0; buffers.initialStates && cell < cells; ++cell)
      GRU_DRIVER(cuMemcpyDtoDAsync, initial.get() + cell * stateBytes,
                 buffers.initialStates[cell], stateBytes, context.stream);
    CUdeviceptr y =
        finish || !buffers.sequences ? output.get() : buffers.sequences[0];
    CUdeviceptr h0 = buffers.initialStates ? initial.get() : 0;
    if (gru_status status = forward(input, y, h0)) {
      // What it took when it was measured it may not take with other lengths;
      // the standard one takes all.
      if (algorithm == CUDNN_RNN_ALGO_STANDARD ||
          configure(CUDNN_RNN_ALGO_STANDARD) ||
          prepare(timesteps, buffers.hostMask) || forward(input, y, h0))
        return status;
    }
    return finish ? writeByRules(timesteps, buffers, y) : copyStates(buffers);
  }

private:
  Steps stepsOf(int64_t timesteps) const {
    return {part.batch, timesteps, (part.flags & GRU_PART_TIME_MAJOR) != 0};
  }

  /// Tables and descriptors for a run; they stay where nothing has changed.
  gru_status prepare(int64_t timesteps, const uint8_t *hostMask) {
    if (timesteps == described && !hostMask && !masked)
      return GRU_OK;
    Steps steps = stepsOf(timesteps);
    readLengths(steps, hostMask, lengths.data());
    masked = hostMask != nullptr;
    if (gru_status status = describe(steps))
      return status;
    if (finish)
      GRU_DRIVER(cuMemcpyHtoDAsync, deviceLengths.get(), lengths.data(),
                 part.batch * sizeof(int32_t), context.stream);
    return GRU_OK;
  }

  /// Where cuDNN's results are not yet Keras's:
  /// lowering/cudnn/SequenceKernels.h.
  gru_status loadKernels() {
    bool isBackward = (part.flags & GRU_PART_GO_BACKWARDS) != 0;
    if (!isBackward && part.directions == 1 && !(part.flags & GRU_PART_MASK))
      return GRU_OK;
    if (gru_status status = module.load(plan.code(part)))
      return status;
    if (isBackward)
      if (gru_status status = module.get("gru_start", start))
        return status;
    finishArguments.resize(4 + 2 * part.directions + cells);
    arguments.resize(finishArguments.size() + 1);
    return module.get("gru_finish", finish);
  }

  gru_status launch(CUfunction function, std::span<CUdeviceptr> addresses,
                    int64_t timesteps, int64_t items) {
    for (size_t i = 0; i < addresses.size(); ++i)
      arguments[i] = &addresses[i];
    arguments[addresses.size()] = &timesteps;
    GRU_DRIVER(cuLaunchKernel, function, blocksFor(items, context), 1, 1,
               kThreads, 1, 1, 0, context.stream, arguments.data(), nullptr);
    return GRU_OK;
  }

  gru_status writeByRules(int64_t timesteps, const PartBuffers &buffers,
                          CUdeviceptr y) {
    size_t count = 0;
    auto add = [&](const CUdeviceptr *from, uint32_t number) {
      for (uint32_t i = 0; from && i < number; ++i)
        finishArguments[count++] = from[i];
    };
    CUdeviceptr first[] = {deviceLengths.get(), y, states.get(),
                           buffers.initialStates ? initial.get() : 0};
    add(first, 4);
    add(buffers.sequences, part.directions);
    add(buffers.lasts, part.directions);
    add(buffers.states, cells);
    return launch(finish, std::span(finishArguments).first(count), timesteps,
                  timesteps * part.batch * part.units);
  }

  gru_status copyStates(const PartBuffers &buffers) {
    if (buffers.lasts)
      GRU_DRIVER(cuMemcpyDtoDAsync, buffers.lasts[0],
                 states.get() + (cells - 1) * stateBytes, stateBytes,
                 context.stream);
    for (uint32_t cell = 0; buffers.states && cell < cells; ++cell)
      GRU_DRIVER(cuMemcpyDtoDAsync, buffers.states[cell],
                 states.get() + cell * stateBytes, stateBytes, context.stream);
    return GRU_OK;
  }

  /// cuDNN rejects rows of length 0; they run one step, of which nothing is
  /// kept.
  gru_status describe(const Steps &steps) {
    for (int64_t row = 0; row < part.batch; ++row)
      used[row] = lengths[row] > 0 ? lengths[row] : 1;
    cudnnRNNDataLayout_t layout =
        steps.timeMajor ? CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED
                        : CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED;
    uint64_t zero = 0; // of any type
    described = -1;
    // Unpacked rows may have their lengths in any order.
    GRU_CUDNN(cudnnSetRNNDataDescriptor, inputDesc, dataType(part.dtype),
              layout, int(steps.time), int(part.batch), int(part.features),
              used.data(), &zero);
    GRU_CUDNN(cudnnSetRNNDataDescriptor, outputDesc, dataType(part.dtype),
              layout, int(steps.time), int(part.batch),
              int(part.directions * part.units), used.data(), &zero);
    described = steps.time;
    return GRU_OK;
  }

  gru_status forward(CUdeviceptr x, CUdeviceptr y, CUdeviceptr h0) {
    auto pointer = [](CUdeviceptr address) {
      return reinterpret_cast<void *>(address);
    };
    GRU_CUDNN(cudnnRNNForward, handle, rnn, CUDNN_FWD_MODE_INFERENCE,
              /*devSeqLengths=*/nullptr, inputDesc, pointer(x), outputDesc,
              pointer(y), stateDesc, pointer(h0), states.pointer(),
              /*cDesc=*/nullptr, nullptr, nullptr, weightBytes,
              deviceWeights.pointer(), workBytes,
              workBytes ? work.pointer() : nullptr, 0, nullptr);
    return GRU_OK;
  }

  /// Everything that depends on the algorithm.
  gru_status configure(cudnnRNNAlgo_t wanted) {
    algorithm = wanted;
    GRU_CUDNN(cudnnSetRNNDescriptor_v8, rnn, algorithm, CUDNN_GRU,
              CUDNN_RNN_DOUBLE_BIAS,
              part.directions == 2 ? CUDNN_BIDIRECTIONAL : CUDNN_UNIDIRECTIONAL,
              CUDNN_LINEAR_INPUT, dataType(part.dtype),
              mathPrecision(part.dtype), mathType(part), int32_t(part.features),
              int32_t(part.units),
              /*projSize=*/int32_t(part.units), int32_t(part.layers), dropout,
              CUDNN_RNN_PADDED_IO_ENABLED);
    if (algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC)
      GRU_CUDNN(cudnnBuildRNNDynamic, handle, rnn, int(part.batch));
    for (int32_t &length : lengths)
      length = int32_t(maxTimesteps);
    if (gru_status status = describe(stepsOf(maxTimesteps)))
      return status;
    size_t reserve;
    GRU_CUDNN(cudnnGetRNNTempSpaceSizes, handle, rnn, CUDNN_FWD_MODE_INFERENCE,
              inputDesc, &workBytes, &reserve);
    described = -1; // The device does not know these lengths.
    if (gru_status status = work.allocate(workBytes))
      return status;
    return uploadWeights();
  }

  gru_status uploadWeights() {
    GRU_CUDNN(cudnnGetRNNWeightSpaceSize, handle, rnn, &weightBytes);
    if (gru_status status = deviceWeights.allocate(weightBytes))
      return status;
    std::vector<char> space(weightBytes);
    Descriptor<cudnnTensorDescriptor_t> matrixDesc, biasDesc;
    GRU_CREATE(matrixDesc, Tensor);
    GRU_CREATE(biasDesc, Tensor);
    for (uint32_t cell = 0; cell < cells; ++cell)
      for (bool recurrent : {false, true})
        for (Gate gate : {Gate::z, Gate::r, Gate::h}) {
          void *matrix = nullptr, *bias = nullptr;
          GRU_CUDNN(cudnnGetRNNWeightParams, handle, rnn, int32_t(cell),
                    weightBytes, deviceWeights.pointer(),
                    cudnnLinearLayer(gate, recurrent), matrixDesc, &matrix,
                    biasDesc, &bias);
          int64_t inputs = recurrent ? part.units
                           : cell < part.directions
                               ? part.features
                               : part.directions * part.units;
          char *place;
          if (gru_status status =
                  locate(space, matrix, inputs * part.units, matrixDesc, place))
            return status;
          copyGateMatrix(weights + plan.weightOffset(part, cell, recurrent),
                         inputs, part.units, gate, element, place);
          if (part.weights_per_cell < 3)
            continue;
          if (gru_status status =
                  locate(space, bias, part.units, biasDesc, place))
            return status;
          copyGateBias(weights + plan.weightOffset(part, cell, 2), part.units,
                       gate, recurrent, element, place);
        }
    GRU_DRIVER(cuMemcpyHtoDAsync, deviceWeights.get(), space.data(),
               weightBytes, context.stream);
    GRU_DRIVER(cuStreamSynchronize, context.stream);
    return GRU_OK;
  }

  /// Where an address in the device's weight space is in the host's copy of it.
  gru_status locate(std::vector<char> &space, void *address, int64_t elements,
                    cudnnTensorDescriptor_t descriptor, char *&place) {
    cudnnDataType_t type;
    int rank = 0, dims[3] = {1, 1, 1}, strides[3] = {1, 1, 1};
    GRU_CUDNN(cudnnGetTensorNdDescriptor, descriptor, 3, &type, &rank, dims,
              strides);
    int64_t found = int64_t(dims[0]) * dims[1] * dims[2];
    uint64_t offset =
        reinterpret_cast<CUdeviceptr>(address) - deviceWeights.get();
    bool isDense = (dims[2] == 1 || strides[2] == 1) &&
                   (dims[1] == 1 || strides[1] == dims[2]);
    if (!address || found != elements || !isDense ||
        type != dataType(part.dtype) || offset > space.size() ||
        elements * element > space.size() - offset)
      return fail(GRU_DEVICE_FAILED,
                  "cuDNN: cudnnGetRNNWeightParams: a weight has ", found,
                  " elements at byte ", offset, ", expected ", elements,
                  " within ", space.size());
    place = space.data() + offset;
    return GRU_OK;
  }

  /// What an algorithm's time depends on.
  std::string describeKind() const {
    std::string text = "cudnn " + std::to_string(cudnn().cudnnGetVersion()) +
                       " " + context.name;
    for (int64_t number :
         {int64_t(part.dtype), int64_t(part.flags), int64_t(part.layers),
          int64_t(part.directions), part.features, part.units, part.batch,
          measuredSteps()})
      text += " " + std::to_string(number);
    return text;
  }
  int64_t measuredSteps() const {
    return maxTimesteps < 32 ? maxTimesteps : 32;
  }

  /// Times every algorithm that takes the part, where that is not known yet.
  /// One whose numbers are not those of the first, the standard one, is left
  /// alone.
  gru_status chooseAlgorithm() {
    std::string kind = describeKind();
    if (std::optional<int32_t> known = findTuning(kind))
      // It may come from another build of the library.
      if (!configure(cudnnRNNAlgo_t(*known)))
        return GRU_OK;
    cudnnRNNAlgo_t best = CUDNN_RNN_ALGO_STANDARD;
    double fastest = -1;
    std::vector<char> first, result;
    for (cudnnRNNAlgo_t algorithm :
         {CUDNN_RNN_ALGO_STANDARD, CUDNN_RNN_ALGO_PERSIST_STATIC,
          CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H,
          CUDNN_RNN_ALGO_PERSIST_DYNAMIC}) {
      double time;
      // Most algorithms refuse some sizes or types. That the standard one
      // does is told below.
      if (configure(algorithm) || measure(time, result))
        continue;
      if (first.empty())
        first = result;
      if (!agree(first, result))
        continue;
      if (fastest < 0 || time < fastest) {
        fastest = time;
        best = algorithm;
      }
    }
    if (fastest >= 0)
      setTuning(kind, best);
    return configure(best);
  }

  double numberAt(const std::vector<char> &data, size_t i) const {
    auto as = [&](auto type) {
      std::memcpy(&type, data.data() + i * sizeof(type), sizeof(type));
      return type;
    };
    switch (part.dtype) {
    case GRU_F64:
      return as(double());
    case GRU_F16:
      return Half::decode(as(uint16_t()));
    case GRU_BF16:
      return BFloat::decode(as(uint16_t()));
    default:
      return as(float());
    }
  }

  /// Whether two algorithms have computed the same, but for how they round.
  /// Outputs are between -1 and 1.
  bool agree(const std::vector<char> &a, const std::vector<char> &b) const {
    bool isExact = part.dtype == GRU_F64 ||
                   (part.dtype == GRU_F32 && !(part.flags & GRU_PART_TF32));
    double tolerance = isExact ? 1e-3 : 0.1;
    for (size_t i = 0; i < a.size() / element; ++i)
      if (!(std::abs(numberAt(a, i) - numberAt(b, i)) <= tolerance))
        return false;
    return true;
  }

  gru_status measure(double &best, std::vector<char> &result) {
    Steps steps = stepsOf(measuredSteps());
    readLengths(steps, nullptr, lengths.data());
    // Whoever is to take masks shows that it can.
    if (part.flags & GRU_PART_MASK)
      for (int64_t row = 0; row < part.batch; row += 2)
        lengths[row] = int32_t((steps.time + 1) / 2);
    if (gru_status status = describe(steps))
      return status;
    DeviceBlock x, y;
    uint64_t rows = steps.time * steps.batch;
    if (gru_status status = x.allocate(rows * part.features * element))
      return status;
    if (gru_status status =
            y.allocate(rows * part.directions * part.units * element))
      return status;
    // In each type a number that is neither zero nor large.
    GRU_DRIVER(cuMemsetD8Async, x.get(), 0x3c, rows * part.features * element,
               context.stream);
    best = -1;
    for (int i = 0; i < 4; ++i) {
      GRU_DRIVER(cuStreamSynchronize, context.stream);
      auto begin = std::chrono::steady_clock::now();
      if (gru_status status = forward(x.get(), y.get(), 0))
        return status;
      GRU_DRIVER(cuStreamSynchronize, context.stream);
      double time = std::chrono::duration<double>(
                        std::chrono::steady_clock::now() - begin)
                        .count();
      // The first run warms up.
      if (i > 0 && (best < 0 || time < best))
        best = time;
    }
    described = -1;
    result.resize(rows * part.directions * part.units * element);
    GRU_DRIVER(cuMemcpyDtoHAsync, result.data(), y.get(), result.size(),
               context.stream);
    GRU_DRIVER(cuStreamSynchronize, context.stream);
    return GRU_OK;
  }

  const Plan &plan;
  const gru_plan_part &part;
  const char *const weights; ///< The packed blob, which outlives the part.
  const int64_t maxTimesteps;
  const DeviceContext &context;
  const cudnnHandle_t handle;
  const uint64_t element;
  const uint32_t cells;
  std::vector<int32_t> lengths, used;
  const uint64_t stateBytes;

  Descriptor<cudnnDropoutDescriptor_t> dropout;
  Descriptor<cudnnRNNDescriptor_t> rnn;
  Descriptor<cudnnRNNDataDescriptor_t> inputDesc, outputDesc;
  Descriptor<cudnnTensorDescriptor_t> stateDesc;
  cudnnRNNAlgo_t algorithm = CUDNN_RNN_ALGO_STANDARD;
  size_t weightBytes = 0, workBytes = 0;
  DeviceBlock deviceWeights, work, reversed, output, initial, states,
      deviceLengths;
  Module module;
  CUfunction start = nullptr, finish = nullptr; ///< Null where not needed.
  std::vector<CUdeviceptr> finishArguments;
  std::vector<void *> arguments; ///< Of a launch; room for the most.
  int64_t described = -1;        ///< Timesteps that the descriptors are set to.
  bool masked = false;           ///< Whether their lengths come from a mask.
};

} // namespace

gru_status cuda::createCudnnPart(const Plan &plan, const gru_plan_part &part,
                                 const char *weights, int64_t maxTimesteps,
                                 const DeviceContext &context,
                                 std::unique_ptr<Part> &result) {
  auto created =
      std::make_unique<CudnnPart>(plan, part, weights, maxTimesteps, context);
  if (gru_status status = created->create())
    return status;
  result = std::move(created);
  return GRU_OK;
}
