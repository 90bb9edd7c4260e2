//===- FakeCuda.cpp - a driver and a cuDNN without a GPU -------------------===//
//
// A test double for machines without a device, loaded through GRU_CUDA_DRIVER and
// GRU_CUDNN. Memory of the "device" is the host's, but closed to it outside of the
// driver's calls, and recurrent networks are
// computed in double precision as cuDNN's documentation defines them: zeros in
// padded outputs, states at each row's length, no row of length 0, gates r, z, h.
// The weight space has a layout of its own, so that only what asks for it finds
// its way.
//
// It says nothing about speed, streams or the real library's numbers.
//
//===----------------------------------------------------------------------===//

#include "PtxInterpreter.h"

#include <cuda.h>
#include <cudnn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include <sys/mman.h>

/// Whether a test wants this function to fail.
static bool mustFail(const char *name) {
  const char *failing = std::getenv("GRU_FAKE_FAIL");
  return failing && !std::strcmp(failing, name);
}

#define EXPORT extern "C" __attribute__((visibility("default")))

//===----------------------------------------------------------------------===//
// The driver
//===----------------------------------------------------------------------===//

EXPORT CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
  *text = error == CUDA_ERROR_NOT_SUPPORTED ? "operation not supported"
                                            : "some error";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int *count) {
  const char *found = std::getenv("GRU_FAKE_DEVICES");
  *count = found ? std::atoi(found) : 1;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice *device, int) {
  *device = 0;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice) {
  std::snprintf(name, size, "double");
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
                                     CUdevice) {
  // Shared memory is small enough for some layers to do without it.
  *value = attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT ? 3 : 2048;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
  static int place;
  *context = reinterpret_cast<CUcontext>(&place);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
static thread_local int depth = 0;
EXPORT CUresult cuCtxPushCurrent(CUcontext) {
  ++depth;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxPopCurrent(CUcontext *) {
  return depth-- > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}
/// Calls that need a current context fail without one, as the driver's do.
#define NEEDS_CONTEXT                                                          \
  if (depth == 0)                                                              \
  return CUDA_ERROR_INVALID_CONTEXT
EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned) {
  NEEDS_CONTEXT;
  *stream = reinterpret_cast<CUstream>(std::malloc(1));
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamDestroy(CUstream stream) {
  std::free(stream);
  return CUDA_SUCCESS;
}
/// How often the host has waited, for tests.
extern "C" {
__attribute__((visibility("default"))) int gru_fake_num_waits = 0;
}
EXPORT CUresult cuStreamSynchronize(CUstream) {
  ++gru_fake_num_waits;
  return CUDA_SUCCESS;
}
/// Memory of the device: pages that nobody may touch outside of the driver's calls.
class DeviceMemory {
public:
  static DeviceMemory &get() {
    static DeviceMemory memory;
    return memory;
  }
  /// Filled with NaNs: nothing may read what nothing has written.
  void *allocate(size_t bytes) {
    std::lock_guard lock(mutex);
    size_t size = (bytes + kPage - 1) / kPage * kPage;
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return nullptr;
    std::memset(memory, 0xff, size);
    blocks[static_cast<char *>(memory)] = size;
    protect(memory, size);
    return memory;
  }
  void release(void *memory) {
    std::lock_guard lock(mutex);
    auto it = blocks.find(static_cast<char *>(memory));
    if (it == blocks.end())
      return;
    munmap(it->first, it->second);
    blocks.erase(it);
  }
  bool has(const void *address) {
    std::lock_guard lock(mutex);
    auto *at = static_cast<const char *>(address);
    auto it = blocks.upper_bound(const_cast<char *>(at));
    return it != blocks.begin() && (--it, at < it->first + it->second);
  }
  /// While one of these lives, memory is open.
  struct Open {
    Open() { get().change(+1); }
    ~Open() { get().change(-1); }
  };

private:
  static constexpr size_t kPage = 4096;

  void change(int by) {
    std::lock_guard lock(mutex);
    bool was = users > 0;
    users += by;
    if (was != (users > 0))
      for (auto [memory, size] : blocks)
        protect(memory, size);
  }
  void protect(void *memory, size_t size) {
    mprotect(memory, size, users > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
  }

  std::mutex mutex;
  std::map<char *, size_t> blocks;
  int users = 0;
};
#define TOUCHES_DEVICE DeviceMemory::Open open

EXPORT CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
  NEEDS_CONTEXT;
  if (mustFail("cuMemAlloc"))
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address =
      reinterpret_cast<CUdeviceptr>(DeviceMemory::get().allocate(bytes));
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFree(CUdeviceptr address) {
  DeviceMemory::get().release(reinterpret_cast<void *>(address));
  return CUDA_SUCCESS;
}
EXPORT CUresult cuPointerGetAttribute(void *data, CUpointer_attribute,
                                      CUdeviceptr address) {
  NEEDS_CONTEXT;
  // Memory that the driver has not made is unknown to it.
  if (!DeviceMemory::get().has(reinterpret_cast<void *>(address)))
    return CUDA_ERROR_INVALID_VALUE;
  *static_cast<unsigned *>(data) = CU_MEMORYTYPE_DEVICE;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from,
                                  size_t bytes, CUstream) {
  NEEDS_CONTEXT;
  TOUCHES_DEVICE;
  std::memcpy(reinterpret_cast<void *>(to), from, bytes);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
  return cuMemcpyHtoDAsync(to, from, bytes, nullptr);
}
EXPORT CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes,
                                  CUstream) {
  NEEDS_CONTEXT;
  TOUCHES_DEVICE;
  std::memcpy(to, reinterpret_cast<void *>(from), bytes);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                                  CUstream) {
  NEEDS_CONTEXT;
  TOUCHES_DEVICE;
  std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value,
                                size_t bytes, CUstream) {
  TOUCHES_DEVICE;
  std::memset(reinterpret_cast<void *>(to), value, bytes);
  return CUDA_SUCCESS;
}

// Kernels are interpreted; a module is its text.
struct LoadedKernel {
  ptx::KernelPtr kernel;
};
static void complain(const std::string &problem) {
  std::fprintf(stderr, "fake CUDA driver: %s\n", problem.c_str());
}
EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *code) {
  NEEDS_CONTEXT;
  *module = reinterpret_cast<CUmodule>(
      new std::string(static_cast<const char *>(code)));
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleUnload(CUmodule module) {
  delete reinterpret_cast<std::string *>(module);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module,
                                    const char *name) {
  std::string problem;
  ptx::KernelPtr kernel =
      ptx::parse(*reinterpret_cast<std::string *>(module), name, problem);
  if (!kernel) {
    complain(problem);
    return CUDA_ERROR_INVALID_PTX;
  }
  // Lives as long as the process, like the driver's until the module goes.
  *function = reinterpret_cast<CUfunction>(new LoadedKernel{std::move(kernel)});
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncGetAttribute(int *value, CUfunction_attribute,
                                   CUfunction) {
  // Few enough for some layers not to fit into registers.
  *value = 128;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) {
  return CUDA_SUCCESS;
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks,
                                                            CUfunction, int,
                                                            size_t) {
  *blocks = 1;
  return CUDA_SUCCESS;
}
static CUresult launch(CUfunction function, unsigned blocks, unsigned threads,
                       unsigned sharedBytes, void **arguments) {
  TOUCHES_DEVICE;
  std::string problem =
      ptx::launch(*reinterpret_cast<LoadedKernel *>(function)->kernel, blocks,
                  threads, sharedBytes, arguments);
  if (problem.empty())
    return CUDA_SUCCESS;
  complain(problem);
  return CUDA_ERROR_LAUNCH_FAILED;
}
EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned blocks, unsigned,
                               unsigned, unsigned threads, unsigned, unsigned,
                               unsigned sharedBytes, CUstream, void **arguments,
                               void **) {
  NEEDS_CONTEXT;
  if (mustFail("cuLaunchKernel"))
    return CUDA_ERROR_NOT_SUPPORTED;
  return launch(function, blocks, threads, sharedBytes, arguments);
}
EXPORT CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned blocks,
                                          unsigned, unsigned, unsigned threads,
                                          unsigned, unsigned,
                                          unsigned sharedBytes, CUstream,
                                          void **arguments) {
  NEEDS_CONTEXT;
  if (mustFail("cuLaunchCooperativeKernel"))
    return CUDA_ERROR_NOT_SUPPORTED;
  return launch(function, blocks, threads, sharedBytes, arguments);
}

//===----------------------------------------------------------------------===//
// cuDNN
//===----------------------------------------------------------------------===//

struct cudnnContext {
  CUstream stream;
};
struct cudnnDropoutStruct {
  bool set;
};
struct cudnnRNNStruct {
  cudnnRNNAlgo_t algorithm;
  cudnnDirectionMode_t direction;
  cudnnDataType_t type;
  int64_t input, hidden, layers;
  int64_t directions() const { return direction == CUDNN_BIDIRECTIONAL ? 2 : 1; }
  int64_t inputs(int64_t cell) const {
    return cell < directions() ? input : directions() * hidden;
  }
};
struct cudnnRNNDataStruct {
  cudnnDataType_t type;
  cudnnRNNDataLayout_t layout;
  int64_t time, batch, vector;
  std::vector<int> lengths;
  int64_t at(int64_t row, int64_t t) const {
    return (layout == CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED
                ? row * time + t
                : t * batch + row) *
           vector;
  }
};
struct cudnnTensorStruct {
  cudnnDataType_t type;
  std::vector<int> dims, strides;
};

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

EXPORT const char *cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_BAD_PARAM       ? "CUDNN_STATUS_BAD_PARAM"
         : status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
         : status == CUDNN_STATUS_EXECUTION_FAILED
             ? "CUDNN_STATUS_EXECUTION_FAILED"
                                                : "CUDNN_STATUS_INTERNAL_ERROR";
}
EXPORT size_t cudnnGetVersion() { return 90000; }
EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  *handle = new cudnnContext{};
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
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

EXPORT cudnnStatus_t cudnnSetDropoutDescriptor(cudnnDropoutDescriptor_t d,
                                               cudnnHandle_t handle,
                                               float rate, void *, size_t,
                                               unsigned long long) {
  if (!handle || rate != 0)
    return CUDNN_STATUS_BAD_PARAM;
  d->set = true;
  return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnSetRNNDescriptor_v8(
    cudnnRNNDescriptor_t rnn, cudnnRNNAlgo_t algorithm, cudnnRNNMode_t mode,
    cudnnRNNBiasMode_t bias, cudnnDirectionMode_t direction,
    cudnnRNNInputMode_t inputMode, cudnnDataType_t type, cudnnDataType_t,
    cudnnMathType_t mathType, int32_t input, int32_t hidden,
    int32_t projection, int32_t layers, cudnnDropoutDescriptor_t dropout,
    uint32_t flags) {
  if (mode != CUDNN_GRU || bias != CUDNN_RNN_DOUBLE_BIAS ||
      inputMode != CUDNN_LINEAR_INPUT || input < 1 || hidden < 1 ||
      projection != hidden || layers < 1 || !dropout->set ||
      !(flags & CUDNN_RNN_PADDED_IO_ENABLED))
    return CUDNN_STATUS_BAD_PARAM;
  // A test says where it asks for TF32.
  bool tf32 = std::getenv("GRU_FAKE_TF32") != nullptr;
  if (type == CUDNN_DATA_FLOAT &&
      mathType != (tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH))
    return CUDNN_STATUS_BAD_PARAM;
  if (algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC ||
      (algorithm == CUDNN_RNN_ALGO_PERSIST_STATIC && type == CUDNN_DATA_DOUBLE))
    return CUDNN_STATUS_NOT_SUPPORTED;
  *rnn = {algorithm, direction, type, input, hidden, layers};
  return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBuildRNNDynamic(cudnnHandle_t, cudnnRNNDescriptor_t,
                                          int) {
  return CUDNN_STATUS_NOT_SUPPORTED;
}

EXPORT cudnnStatus_t cudnnSetRNNDataDescriptor(
    cudnnRNNDataDescriptor_t data, cudnnDataType_t type,
    cudnnRNNDataLayout_t layout, int time, int batch, int vector,
    const int lengths[], void *fill) {
  if (time < 1 || batch < 1 || vector < 1 ||
      layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED || !fill)
    return CUDNN_STATUS_BAD_PARAM;
  for (int row = 0; row < batch; ++row)
    if (lengths[row] < 1 || lengths[row] > time)
      return CUDNN_STATUS_BAD_PARAM;
  *data = {type,  layout, time,
           batch, vector, std::vector<int>(lengths, lengths + batch)};
  return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensor,
                                                cudnnDataType_t type, int rank,
                                                const int dims[],
                                                const int strides[]) {
  *tensor = {type, std::vector<int>(dims, dims + rank),
             std::vector<int>(strides, strides + rank)};
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t
cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t tensor, int asked,
                           cudnnDataType_t *type, int *rank, int dims[],
                           int strides[]) {
  *type = tensor->type;
  *rank = tensor->dims.size();
  for (int i = 0; i < asked && i < *rank; ++i) {
    dims[i] = tensor->dims[i];
    strides[i] = tensor->strides[i];
  }
  return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t handle,
                                               cudnnRNNDescriptor_t,
                                               cudnnForwardMode_t mode,
                                               cudnnRNNDataDescriptor_t,
                                               size_t *work, size_t *reserve) {
  if (!handle || mode != CUDNN_FWD_MODE_INFERENCE)
    return CUDNN_STATUS_BAD_PARAM;
  *work = 256;
  *reserve = 0;
  return CUDNN_STATUS_SUCCESS;
}

/// All biases, then the matrices of one linear layer of all cells after those of
/// another: not what anybody would guess.
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
EXPORT cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t handle,
                                                cudnnRNNDescriptor_t rnn,
                                                size_t *size) {
  if (!handle)
    return CUDNN_STATUS_BAD_PARAM;
  *size = offsetOf(*rnn, 0, 6, false) * sizeOf(rnn->type);
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnGetRNNWeightParams(
    cudnnHandle_t handle, cudnnRNNDescriptor_t rnn, int32_t cell, size_t,
    const void *space, int32_t linear, cudnnTensorDescriptor_t matrixDesc,
    void **matrix, cudnnTensorDescriptor_t biasDesc, void **bias) {
  int64_t cells = rnn->layers * rnn->directions();
  if (!handle || cell < 0 || cell >= cells || linear < 0 || linear > 5)
    return CUDNN_STATUS_BAD_PARAM;
  auto *base = static_cast<char *>(const_cast<void *>(space));
  int inputs = linear < 3 ? rnn->inputs(cell) : rnn->hidden;
  int hidden = rnn->hidden;
  *matrix = base + offsetOf(*rnn, cell, linear, false) * sizeOf(rnn->type);
  *bias = base + offsetOf(*rnn, cell, linear, true) * sizeOf(rnn->type);
  *matrixDesc = {rnn->type, {1, hidden, inputs}, {hidden * inputs, inputs, 1}};
  *biasDesc = {rnn->type, {1, hidden, 1}, {hidden, 1, 1}};
  return CUDNN_STATUS_SUCCESS;
}

/// One row, in one direction, of one cell.
static void runRow(const cudnnRNNStruct &rnn, int64_t cell, const void *space,
                   int64_t length, bool backward, std::vector<double> &state,
                   const std::vector<std::vector<double>> &input,
                   std::vector<std::vector<double>> &output, int64_t column) {
  int64_t hidden = rnn.hidden, inputs = rnn.inputs(cell);
  auto weight = [&](int64_t linear, int64_t i, bool bias) {
    return readNumber(rnn.type, space, offsetOf(rnn, cell, linear, bias) + i);
  };
  auto gate = [&](int64_t linear, int64_t u, const std::vector<double> &x,
                  int64_t count) {
    double sum = weight(linear, u, true);
    for (int64_t k = 0; k < count; ++k)
      sum += weight(linear, u * count + k, false) * x[k];
    return sum;
  };
  auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  for (int64_t i = 0; i < length; ++i) {
    int64_t t = backward ? length - 1 - i : i;
    std::vector<double> next(hidden);
    for (int64_t u = 0; u < hidden; ++u) {
      double r = sigmoid(gate(0, u, input[t], inputs) + gate(3, u, state, hidden));
      double z = sigmoid(gate(1, u, input[t], inputs) + gate(4, u, state, hidden));
      double n = std::tanh(gate(2, u, input[t], inputs) +
                           r * gate(5, u, state, hidden));
      next[u] = (1 - z) * n + z * state[u];
    }
    state = next;
    for (int64_t u = 0; u < hidden; ++u)
      output[t][column + u] = state[u];
  }
}

EXPORT cudnnStatus_t cudnnRNNForward(
    cudnnHandle_t handle, cudnnRNNDescriptor_t rnn, cudnnForwardMode_t mode,
    const int32_t *, cudnnRNNDataDescriptor_t xDesc, const void *x,
    cudnnRNNDataDescriptor_t yDesc, void *y, cudnnTensorDescriptor_t hDesc,
    const void *hx, void *hy, cudnnTensorDescriptor_t, const void *, void *,
    size_t weightBytes, const void *space, size_t, void *, size_t, void *) {
  if (mustFail("cudnnRNNForward"))
    return CUDNN_STATUS_EXECUTION_FAILED;
  TOUCHES_DEVICE;
  int64_t directions = rnn->directions(), cells = rnn->layers * directions;
  int64_t hidden = rnn->hidden, batch = xDesc->batch;
  size_t expected;
  cudnnGetRNNWeightSpaceSize(handle, rnn, &expected);
  if (mode != CUDNN_FWD_MODE_INFERENCE || weightBytes != expected ||
      xDesc->vector != rnn->input || yDesc->vector != directions * hidden ||
      xDesc->time != yDesc->time || xDesc->lengths != yDesc->lengths ||
      hDesc->dims != std::vector<int>{int(cells), int(batch), int(hidden)})
    return CUDNN_STATUS_BAD_PARAM;
  for (int64_t row = 0; row < batch; ++row) {
    int64_t length = xDesc->lengths[row];
    std::vector<std::vector<double>> input(length);
    for (int64_t t = 0; t < length; ++t)
      for (int64_t f = 0; f < rnn->input; ++f)
        input[t].push_back(readNumber(rnn->type, x, xDesc->at(row, t) + f));
    for (int64_t layer = 0; layer < rnn->layers; ++layer) {
      std::vector<std::vector<double>> output(
          length, std::vector<double>(directions * hidden));
      for (int64_t d = 0; d < directions; ++d) {
        int64_t cell = layer * directions + d;
        std::vector<double> state(hidden);
        for (int64_t u = 0; hx && u < hidden; ++u)
          state[u] =
              readNumber(rnn->type, hx, (cell * batch + row) * hidden + u);
        runRow(*rnn, cell, space, length, d == 1, state, input, output,
               d * hidden);
        for (int64_t u = 0; u < hidden; ++u)
          writeNumber(rnn->type, hy, (cell * batch + row) * hidden + u,
                      state[u]);
      }
      input = std::move(output);
    }
    for (int64_t t = 0; t < yDesc->time; ++t)
      for (int64_t u = 0; u < directions * hidden; ++u)
        writeNumber(rnn->type, y, yDesc->at(row, t) + u,
                    t < length ? input[t][u] : 0.0);
  }
  return CUDNN_STATUS_SUCCESS;
}
