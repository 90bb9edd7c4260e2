//===- FakeCudnn.cpp - a cuDNN without a GPU ------------------------------===//
//
// A test double, loaded through GRU_CUDNN. Recurrent networks are computed in
// double precision as cuDNN's documentation defines them: zeros in padded
// outputs, states at each row's length, no row of length 0, gates r, z, h. The
// weight space has a layout of its own, so that only what asks for it finds its
// way.
//
//===----------------------------------------------------------------------===//

#include "FakeDevice.h"

#include <cudnn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

using namespace fake;

struct cudnnContext {
  Stream *stream;
};
struct cudnnDropoutStruct {
  bool set;
};
struct cudnnRNNStruct {
  cudnnRNNAlgo_t algorithm;
  cudnnDirectionMode_t direction;
  cudnnDataType_t type;
  int64_t input, hidden, layers; ///< 0 layers: not set.
  int64_t directions() const {
    return direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
  }
  int64_t inputs(int64_t cell) const {
    return cell < directions() ? input : directions() * hidden;
  }
};
struct cudnnRNNDataStruct {
  cudnnDataType_t type;
  cudnnRNNDataLayout_t layout;
  int64_t time, batch, vector; ///< 0: not set.
  std::vector<int> lengths;
  int64_t at(int64_t row, int64_t t) const {
    return (layout == CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED
                ? row * time + t
                : t * batch + row) *
           vector;
  }
  int64_t size() const { return time * batch * vector; }
};
struct cudnnTensorStruct {
  cudnnDataType_t type;
  std::vector<int> dims, strides;
};

//===----------------------------------------------------------------------===//
// Numbers and errors
//===----------------------------------------------------------------------===//

static size_t sizeOf(cudnnDataType_t type) {
  return type == CUDNN_DATA_DOUBLE ? 8 : type == CUDNN_DATA_FLOAT ? 4 : 2;
}

static double readNumber(cudnnDataType_t type, const void *data, int64_t i) {
  switch (type) {
  case CUDNN_DATA_DOUBLE:
    return static_cast<const double *>(data)[i];
  case CUDNN_DATA_FLOAT:
    return static_cast<const float *>(data)[i];
  case CUDNN_DATA_HALF:
    return static_cast<const _Float16 *>(data)[i];
  default: {
    uint32_t bits = uint32_t(static_cast<const uint16_t *>(data)[i]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  }
}

static void writeNumber(cudnnDataType_t type, void *data, int64_t i,
                        double value) {
  switch (type) {
  case CUDNN_DATA_DOUBLE:
    static_cast<double *>(data)[i] = value;
    return;
  case CUDNN_DATA_FLOAT:
    static_cast<float *>(data)[i] = float(value);
    return;
  case CUDNN_DATA_HALF:
    static_cast<_Float16 *>(data)[i] = _Float16(value);
    return;
  default: {
    float narrow = float(value);
    uint32_t bits;
    std::memcpy(&bits, &narrow, sizeof(bits));
    static_cast<uint16_t *>(data)[i] =
        uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  }
}

static thread_local std::string lastError;

static cudnnStatus_t refuse(cudnnStatus_t status, const std::string &why) {
  lastError = why;
  return status;
}
static cudnnStatus_t badParam(const std::string &why) {
  return refuse(CUDNN_STATUS_BAD_PARAM, why);
}
static cudnnStatus_t notSupported(const std::string &why) {
  return refuse(CUDNN_STATUS_NOT_SUPPORTED, why);
}
#define REFUSE_IF(condition)                                                   \
  if (condition)                                                               \
  return badParam(std::string(__func__) + ": " #condition)

EXPORT const char *cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_BAD_PARAM       ? "CUDNN_STATUS_BAD_PARAM"
         : status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
         : status == CUDNN_STATUS_EXECUTION_FAILED
             ? "CUDNN_STATUS_EXECUTION_FAILED"
             : "CUDNN_STATUS_INTERNAL_ERROR";
}
EXPORT void cudnnGetLastErrorString(char *message, size_t size) {
  std::snprintf(message, size, "%s", lastError.c_str());
  lastError.clear();
}
EXPORT size_t cudnnGetVersion() { return 90000; }

//===----------------------------------------------------------------------===//
// Descriptors
//===----------------------------------------------------------------------===//

EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  *handle = new cudnnContext{Stream::find(nullptr)};
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  REFUSE_IF(!handle || !Stream::find(stream));
  handle->stream = Stream::find(stream);
  return CUDNN_STATUS_SUCCESS;
}

#define DESCRIPTOR(kind, type)                                                 \
  EXPORT cudnnStatus_t cudnnCreate##kind##Descriptor(type *descriptor) {       \
    *descriptor = new std::remove_pointer_t<type>{};                           \
    return CUDNN_STATUS_SUCCESS;                                               \
  }                                                                            \
  EXPORT cudnnStatus_t cudnnDestroy##kind##Descriptor(type descriptor) {       \
    delete descriptor;                                                         \
    return CUDNN_STATUS_SUCCESS;                                               \
  }
DESCRIPTOR(Dropout, cudnnDropoutDescriptor_t)
DESCRIPTOR(RNN, cudnnRNNDescriptor_t)
DESCRIPTOR(RNNData, cudnnRNNDataDescriptor_t)
DESCRIPTOR(Tensor, cudnnTensorDescriptor_t)

EXPORT cudnnStatus_t cudnnSetDropoutDescriptor(cudnnDropoutDescriptor_t dropout,
                                               cudnnHandle_t handle, float rate,
                                               void *states, size_t,
                                               unsigned long long) {
  REFUSE_IF(!dropout || !handle);
  // Without states nothing can be drawn.
  REFUSE_IF(rate != 0 && !states);
  dropout->set = true;
  return CUDNN_STATUS_SUCCESS;
}

/// Combinations that the documentation lists.
static bool isTyped(cudnnDataType_t type, cudnnDataType_t precision,
                    cudnnMathType_t math) {
  switch (type) {
  case CUDNN_DATA_HALF:
    return (precision == CUDNN_DATA_HALF || precision == CUDNN_DATA_FLOAT) &&
           math != CUDNN_FMA_MATH;
  case CUDNN_DATA_BFLOAT16:
    return precision == CUDNN_DATA_FLOAT && math == CUDNN_DEFAULT_MATH;
  case CUDNN_DATA_FLOAT:
    return precision == CUDNN_DATA_FLOAT && math != CUDNN_TENSOR_OP_MATH;
  case CUDNN_DATA_DOUBLE:
    return precision == CUDNN_DATA_DOUBLE && math == CUDNN_DEFAULT_MATH;
  default:
    return false;
  }
}

EXPORT cudnnStatus_t cudnnSetRNNDescriptor_v8(
    cudnnRNNDescriptor_t rnn, cudnnRNNAlgo_t algorithm, cudnnRNNMode_t mode,
    cudnnRNNBiasMode_t bias, cudnnDirectionMode_t direction,
    cudnnRNNInputMode_t inputMode, cudnnDataType_t type,
    cudnnDataType_t precision, cudnnMathType_t mathType, int32_t input,
    int32_t hidden, int32_t projection, int32_t layers,
    cudnnDropoutDescriptor_t dropout, uint32_t auxFlags) {
  REFUSE_IF(!rnn || (dropout && !dropout->set));
  // What this double computes.
  REFUSE_IF(mode != CUDNN_GRU || bias != CUDNN_RNN_DOUBLE_BIAS ||
            inputMode != CUDNN_LINEAR_INPUT);
  REFUSE_IF(algorithm < 0 || algorithm >= CUDNN_RNN_ALGO_COUNT);
  REFUSE_IF(direction != CUDNN_UNIDIRECTIONAL &&
            direction != CUDNN_BIDIRECTIONAL);
  REFUSE_IF(input < 1 || hidden < 1 || layers < 1);
  // Projections are for LSTMs.
  REFUSE_IF(projection != hidden);
  // Layouts with padding need it.
  REFUSE_IF(auxFlags != CUDNN_RNN_PADDED_IO_ENABLED);
  REFUSE_IF(!isTyped(type, precision, mathType));
  // A test says where it asks for TF32.
  if (type == CUDNN_DATA_FLOAT &&
      mathType !=
          (std::getenv("GRU_FAKE_TF32") ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH))
    return badParam("TF32 is allowed, or not, against the test's wish");
  bool persistent = algorithm != CUDNN_RNN_ALGO_STANDARD;
  if (persistent && type == CUDNN_DATA_DOUBLE)
    return notSupported("persistent algorithms have no doubles");
  if (algorithm == CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H && hidden > 192)
    return notSupported("the hidden size is not small");
  *rnn = {algorithm, direction, type, input, hidden, layers};
  return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBuildRNNDynamic(cudnnHandle_t handle,
                                          cudnnRNNDescriptor_t rnn, int batch) {
  REFUSE_IF(!handle || !rnn || rnn->layers == 0 || batch < 1);
  REFUSE_IF(rnn->algorithm != CUDNN_RNN_ALGO_PERSIST_DYNAMIC);
  return notSupported("there is no run-time compiler");
}

EXPORT cudnnStatus_t cudnnSetRNNDataDescriptor(cudnnRNNDataDescriptor_t data,
                                               cudnnDataType_t type,
                                               cudnnRNNDataLayout_t layout,
                                               int time, int batch, int vector,
                                               const int lengths[], void *) {
  REFUSE_IF(!data || time < 1 || batch < 1 || vector < 1 || !lengths);
  REFUSE_IF(layout != CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED &&
            layout != CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED);
  for (int row = 0; row < batch; ++row)
    REFUSE_IF(lengths[row] < 1 || lengths[row] > time);
  *data = {type,  layout, time,
           batch, vector, std::vector<int>(lengths, lengths + batch)};
  return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensor,
                                                cudnnDataType_t type, int rank,
                                                const int dims[],
                                                const int strides[]) {
  REFUSE_IF(!tensor || rank < 3 || rank > CUDNN_DIM_MAX);
  for (int i = 0; i < rank; ++i)
    REFUSE_IF(dims[i] < 1 || strides[i] < 1);
  *tensor = {type, std::vector<int>(dims, dims + rank),
             std::vector<int>(strides, strides + rank)};
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnGetTensorNdDescriptor(
    const cudnnTensorDescriptor_t tensor, int asked, cudnnDataType_t *type,
    int *rank, int dims[], int strides[]) {
  REFUSE_IF(!tensor || asked < 0 || asked > CUDNN_DIM_MAX);
  *type = tensor->type;
  *rank = tensor->dims.size();
  for (int i = 0; i < asked && i < *rank; ++i) {
    dims[i] = tensor->dims[i];
    strides[i] = tensor->strides[i];
  }
  return CUDNN_STATUS_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Weights and other memory
//===----------------------------------------------------------------------===//

/// Of all rows and steps, so that what was made for fewer does not do.
static size_t workBytes(const cudnnRNNDataStruct &x) {
  return 64 + 8 * size_t(x.batch * x.time);
}

EXPORT cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t handle,
                                               cudnnRNNDescriptor_t rnn,
                                               cudnnForwardMode_t mode,
                                               cudnnRNNDataDescriptor_t x,
                                               size_t *work, size_t *reserve) {
  REFUSE_IF(!handle || !rnn || rnn->layers == 0 || !x || x->time == 0);
  REFUSE_IF(mode != CUDNN_FWD_MODE_INFERENCE);
  REFUSE_IF(x->type != rnn->type || x->vector != rnn->input);
  if (work)
    *work = workBytes(*x);
  if (reserve)
    *reserve = 0;
  return CUDNN_STATUS_SUCCESS;
}

/// All biases, then the matrices of one linear layer of all cells after those
/// of another: not what anybody would guess.
static int64_t offsetOf(const cudnnRNNStruct &rnn, int64_t cell, int64_t linear,
                        bool bias) {
  int64_t cells = rnn.layers * rnn.directions(), offset = 7;
  if (bias)
    return offset + ((5 - linear) * cells + cell) * rnn.hidden;
  offset += 6 * cells * rnn.hidden;
  for (int64_t l = 0; l < 6; ++l)
    for (int64_t c = 0; c < cells; ++c) {
      if (l == linear && c == cell)
        return offset;
      offset += rnn.hidden * (l < 3 ? rnn.inputs(c) : rnn.hidden) + 3;
    }
  return offset; // linear 6: the end
}
static size_t weightBytes(const cudnnRNNStruct &rnn) {
  return offsetOf(rnn, 0, 6, false) * sizeOf(rnn.type);
}
EXPORT cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t handle,
                                                cudnnRNNDescriptor_t rnn,
                                                size_t *size) {
  REFUSE_IF(!handle || !rnn || rnn->layers == 0 || !size);
  *size = weightBytes(*rnn);
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnGetRNNWeightParams(
    cudnnHandle_t handle, cudnnRNNDescriptor_t rnn, int32_t cell, size_t bytes,
    const void *space, int32_t linear, cudnnTensorDescriptor_t matrixDesc,
    void **matrix, cudnnTensorDescriptor_t biasDesc, void **bias) {
  REFUSE_IF(!handle || !rnn || rnn->layers == 0);
  REFUSE_IF(cell < 0 || cell >= rnn->layers * rnn->directions());
  REFUSE_IF(linear < 0 || linear > 5 || bytes < weightBytes(*rnn));
  REFUSE_IF(!matrixDesc != !matrix || !biasDesc != !bias);
  auto *base = static_cast<char *>(const_cast<void *>(space));
  int inputs = linear < 3 ? rnn->inputs(cell) : rnn->hidden;
  int hidden = rnn->hidden;
  if (matrix) {
    *matrix = base + offsetOf(*rnn, cell, linear, false) * sizeOf(rnn->type);
    *matrixDesc = {
        rnn->type, {1, hidden, inputs}, {hidden * inputs, inputs, 1}};
  }
  if (bias) {
    *bias = base + offsetOf(*rnn, cell, linear, true) * sizeOf(rnn->type);
    *biasDesc = {rnn->type, {1, hidden, 1}, {hidden, 1, 1}};
  }
  return CUDNN_STATUS_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

namespace {
/// All that one call is about, as it was when it was made.
struct Forward {
  cudnnRNNStruct rnn;
  cudnnRNNDataStruct xDesc, yDesc;
  const void *x, *hx, *space;
  void *y, *hy;

  /// One row, in one direction, of one cell.
  void runRow(int64_t cell, int64_t length, bool backward,
              std::vector<double> &state,
              const std::vector<std::vector<double>> &input,
              std::vector<std::vector<double>> &output, int64_t column) const {
    int64_t hidden = rnn.hidden, inputs = rnn.inputs(cell);
    auto weight = [&](int64_t linear, int64_t i, bool bias) {
      return readNumber(rnn.type, space, offsetOf(rnn, cell, linear, bias) + i);
    };
    // Found once: all that a step needs.
    std::vector<std::vector<double>> matrices(6), biases(6);
    for (int64_t linear = 0; linear < 6; ++linear) {
      int64_t size = hidden * (linear < 3 ? inputs : hidden);
      int64_t place = offsetOf(rnn, cell, linear, false);
      for (int64_t i = 0; i < size; ++i)
        matrices[linear].push_back(readNumber(rnn.type, space, place + i));
      for (int64_t u = 0; u < hidden; ++u)
        biases[linear].push_back(weight(linear, u, true));
    }
    auto gate = [&](int64_t linear, int64_t u, const std::vector<double> &x) {
      double sum = biases[linear][u];
      const double *row = &matrices[linear][u * x.size()];
      for (size_t k = 0; k < x.size(); ++k)
        sum += row[k] * x[k];
      return sum;
    };
    auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    for (int64_t i = 0; i < length; ++i) {
      int64_t t = backward ? length - 1 - i : i;
      std::vector<double> next(hidden);
      for (int64_t u = 0; u < hidden; ++u) {
        double r = sigmoid(gate(0, u, input[t]) + gate(3, u, state));
        double z = sigmoid(gate(1, u, input[t]) + gate(4, u, state));
        double n = std::tanh(gate(2, u, input[t]) + r * gate(5, u, state));
        next[u] = (1 - z) * n + z * state[u];
      }
      state = next;
      for (int64_t u = 0; u < hidden; ++u)
        output[t][column + u] = state[u];
    }
  }

  void run() const {
    int64_t directions = rnn.directions(), hidden = rnn.hidden,
            batch = xDesc.batch;
    for (int64_t row = 0; row < batch; ++row) {
      int64_t length = xDesc.lengths[row];
      std::vector<std::vector<double>> input(length);
      for (int64_t t = 0; t < length; ++t)
        for (int64_t f = 0; f < rnn.input; ++f)
          input[t].push_back(readNumber(rnn.type, x, xDesc.at(row, t) + f));
      for (int64_t layer = 0; layer < rnn.layers; ++layer) {
        std::vector<std::vector<double>> output(
            length, std::vector<double>(directions * hidden));
        for (int64_t d = 0; d < directions; ++d) {
          int64_t cell = layer * directions + d;
          std::vector<double> state(hidden);
          int64_t place = (cell * batch + row) * hidden;
          for (int64_t u = 0; hx && u < hidden; ++u)
            state[u] = readNumber(rnn.type, hx, place + u);
          runRow(cell, length, d == 1, state, input, output, d * hidden);
          for (int64_t u = 0; hy && u < hidden; ++u)
            writeNumber(rnn.type, hy, place + u, state[u]);
        }
        input = std::move(output);
      }
      for (int64_t t = 0; t < yDesc.time; ++t)
        for (int64_t u = 0; u < directions * hidden; ++u)
          writeNumber(rnn.type, y, yDesc.at(row, t) + u,
                      t < length ? input[t][u] : 0.0);
    }
  }
};

bool isOnDevice(const void *address, size_t bytes) {
  return Memory::get().has(address, bytes);
}
} // namespace

EXPORT cudnnStatus_t cudnnRNNForward(
    cudnnHandle_t handle, cudnnRNNDescriptor_t rnn, cudnnForwardMode_t mode,
    const int32_t *devSeqLengths, cudnnRNNDataDescriptor_t xDesc, const void *x,
    cudnnRNNDataDescriptor_t yDesc, void *y, cudnnTensorDescriptor_t hDesc,
    const void *hx, void *hy, cudnnTensorDescriptor_t, const void *cx, void *cy,
    size_t weightSpaceSize, const void *space, size_t workSpaceSize, void *work,
    size_t reserveSize, void *reserve) {
  if (mustFail("cudnnRNNForward"))
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "wanted by a test");
  REFUSE_IF(!handle || !rnn || rnn->layers == 0 || !xDesc || !yDesc || !hDesc);
  REFUSE_IF(mode != CUDNN_FWD_MODE_INFERENCE || reserve || reserveSize);
  int64_t directions = rnn->directions(), cells = rnn->layers * directions;
  int64_t hidden = rnn->hidden, batch = xDesc->batch;
  REFUSE_IF(xDesc->type != rnn->type || yDesc->type != rnn->type);
  REFUSE_IF(xDesc->vector != rnn->input ||
            yDesc->vector != directions * hidden);
  REFUSE_IF(xDesc->time != yDesc->time || xDesc->layout != yDesc->layout ||
            xDesc->lengths != yDesc->lengths);
  REFUSE_IF(hDesc->type != rnn->type ||
            hDesc->dims !=
                (std::vector<int>{int(cells), int(batch), int(hidden)}) ||
            hDesc->strides !=
                (std::vector<int>{int(batch * hidden), int(hidden), 1}));
  // A GRU has no cells' states.
  REFUSE_IF(cx || cy);
  size_t element = sizeOf(rnn->type);
  size_t stateBytes = size_t(cells * batch * hidden) * element;
  REFUSE_IF(devSeqLengths && !isOnDevice(devSeqLengths, batch * 4));
  REFUSE_IF(!isOnDevice(x, xDesc->size() * element));
  REFUSE_IF(!isOnDevice(y, yDesc->size() * element));
  REFUSE_IF(hx && !isOnDevice(hx, stateBytes));
  REFUSE_IF(hy && !isOnDevice(hy, stateBytes));
  REFUSE_IF(weightSpaceSize < weightBytes(*rnn) ||
            !isOnDevice(space, weightSpaceSize));
  REFUSE_IF(workSpaceSize < workBytes(*xDesc) ||
            !isOnDevice(work, workSpaceSize));
  bool varies = false;
  for (int length : xDesc->lengths)
    varies |= length != xDesc->time;
  if (rnn->algorithm != CUDNN_RNN_ALGO_STANDARD && varies)
    return notSupported("persistent algorithms take rows of one length");
  Forward forward{*rnn, *xDesc, *yDesc, x, hx, space, y, hy};
  handle->stream->add([forward] {
    forward.run();
    return std::string();
  });
  return CUDNN_STATUS_SUCCESS;
}
