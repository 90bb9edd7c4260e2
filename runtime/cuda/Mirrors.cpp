//===- Mirrors.cpp - the device's copies of a session's memory ------------===//

#include "Mirrors.h"

#include <new>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

/// Bytes of a tensor whose symbols have these values; the plan's largest for
/// null.
static uint64_t bytesOf(const gru_plan_tensor &tensor, const int64_t *symbols,
                        int64_t maxTimesteps) {
  uint64_t bytes = gru_dtype_size(tensor.dtype);
  for (uint32_t d = 0; d < tensor.rank; ++d) {
    int64_t dim = tensor.dims[d];
    bytes *= uint64_t(dim >= 0  ? dim
                      : symbols ? symbols[-1 - dim]
                                : maxTimesteps);
  }
  return bytes;
}

/// Whether the driver knows an address as the device's; the host's it need not
/// know.
static bool isOnDevice(const void *address, int &ordinal) {
  unsigned type = 0;
  auto place = reinterpret_cast<CUdeviceptr>(address);
  return address &&
         !driver().cuPointerGetAttribute(
             &type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, place) &&
         type == CU_MEMORYTYPE_DEVICE &&
         !driver().cuPointerGetAttribute(
             &ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, place);
}

gru_status Mirrors::create(const Plan &plan, const SessionMemory &memory,
                           int64_t maxTimesteps, CUstream stream) {
  // What only cuDNN reads lies in its own order elsewhere.
  bool needsWeights = false;
  for (const gru_plan_part &part : plan.parts())
    needsWeights |= part.library == GRU_PART_KERNEL;
  const gru_plan_header &header = plan.header();
  uint64_t weightBytes = needsWeights ? header.weights_bytes : 0;
  for (auto [block, range, host, bytes] :
       {std::tuple<DeviceBlock *, Range *, const char *, uint64_t>{
            &weights, &blobs[0], memory.weights, weightBytes},
        {&state, &blobs[1], memory.state, header.state_bytes},
        {&scratch, &blobs[2], memory.scratch, memory.scratchBytes}}) {
    if (gru_status status = block->allocate(bytes))
      return status;
    *range = {host, bytes, block->get()};
  }
  if (weightBytes) {
    GRU_DRIVER(cuMemcpyHtoDAsync, weights.get(), memory.weights, weightBytes,
               stream);
    GRU_DRIVER(cuStreamSynchronize, stream);
  }
  inputs = std::vector<Tensor>(plan.inputs().size());
  outputs = std::vector<Tensor>(plan.outputs().size());
  in.resize(inputs.size());
  out.resize(outputs.size());
  auto prepare = [&](std::vector<Tensor> &tensors,
                     std::span<const gru_plan_tensor> shapes) -> gru_status {
    for (size_t i = 0; i < tensors.size(); ++i) {
      tensors[i].onHost = (shapes[i].flags & GRU_TENSOR_ON_HOST) != 0;
      if (gru_status status = tensors[i].block.allocate(
              bytesOf(shapes[i], nullptr, maxTimesteps)))
        return status;
    }
    return GRU_OK;
  };
  if (gru_status status = prepare(inputs, plan.inputs()))
    return status;
  return prepare(outputs, plan.outputs());
}

gru_status Mirrors::bind(Tensor &tensor, const Plan &plan,
                         const gru_plan_tensor &shape, const int64_t *symbols,
                         const void *&address) {
  uint64_t bytes = bytesOf(shape, symbols, 0);
  int ordinal = 0;
  tensor.caller = 0;
  if (!isOnDevice(address, ordinal)) {
    tensor.range = {static_cast<const char *>(address), bytes,
                    tensor.block.get()};
    usesHost = true;
    return GRU_OK;
  }
  if (ordinal != 0)
    return fail(GRU_INVALID_ARGUMENT, "tensor '", plan.name(shape),
                "': lies in the memory of device ", ordinal,
                ", expected the host's or that of device 0");
  auto device = reinterpret_cast<CUdeviceptr>(address);
  if (!tensor.onHost) {
    tensor.range = {static_cast<const char *>(address), bytes, device};
    return GRU_OK;
  }
  // The only allocation of a run: once, for code that cannot read the device's
  // memory.
  if (tensor.stand.size() < bytes)
    try {
      tensor.stand.resize(bytes);
    } catch (const std::bad_alloc &) {
      return fail(GRU_OUT_OF_MEMORY, "device: cannot allocate ", bytes,
                  " bytes for an input or output");
    }
  usesStands = true;
  tensor.caller = device;
  tensor.range = {tensor.stand.data(), bytes, tensor.block.get()};
  address = tensor.stand.data();
  return GRU_OK;
}

gru_status Mirrors::begin(const Plan &plan, gru_call &call, CUstream stream) {
  usesHost = usesStands = false;
  bool waits = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Tensor &input = inputs[i];
    in[i] = call.in[i];
    if (gru_status status =
            bind(input, plan, plan.inputs()[i], call.dims, in[i]))
      return status;
    if (!input.caller)
      continue;
    GRU_DRIVER(cuMemcpyDtoHAsync, input.stand.data(), input.caller,
               input.range.bytes, stream);
    waits = true;
  }
  if (waits)
    GRU_DRIVER(cuStreamSynchronize, stream);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const void *address = call.out[i];
    if (gru_status status =
            bind(outputs[i], plan, plan.outputs()[i], call.dims, address))
      return status;
    out[i] = const_cast<void *>(address);
  }
  call.in = in.data();
  call.out = out.data();
  return GRU_OK;
}

gru_status Mirrors::end(CUstream stream) {
  for (Tensor &output : outputs)
    if (output.caller)
      GRU_DRIVER(cuMemcpyHtoDAsync, output.caller, output.stand.data(),
                 output.range.bytes, stream);
  return GRU_OK;
}

CUdeviceptr Mirrors::find(const void *address) const {
  auto within = [&](const Range &range) {
    auto at = reinterpret_cast<uintptr_t>(address);
    auto begin = reinterpret_cast<uintptr_t>(range.host);
    return range.host && at >= begin && at - begin < range.bytes;
  };
  auto mirrorIn = [&](const Range &range) {
    return range.device +
           CUdeviceptr(static_cast<const char *>(address) - range.host);
  };
  for (const Range &range : blobs)
    if (within(range))
      return mirrorIn(range);
  for (const std::vector<Tensor> *tensors : {&outputs, &inputs})
    for (const Tensor &tensor : *tensors)
      if (within(tensor.range))
        return mirrorIn(tensor.range);
  return 0;
}
