//===- Layers.cpp - layers and their attributes in the C interface --------===//

#include "compiler/api/Model.h"

#include "gru/gru.h"
#include "runtime/Error.h"

#include <cstring>

using namespace gru;
using runtime::fail;

static const LayerSpec *findLayer(const gru_model *model, size_t layer) {
  if (!model || layer >= model->source->getLayers().size())
    return nullptr;
  return &model->source->getLayers()[layer];
}

static gru_status failNoLayer(const gru_model *model, size_t layer) {
  if (!model)
    return fail(GRU_INVALID_ARGUMENT, "model: is null");
  return fail(GRU_INVALID_ARGUMENT, "layer: is ", layer, ", expected below ",
              model->source->getLayers().size());
}

size_t gru_model_num_layers(const gru_model *model) {
  return model ? model->source->getLayers().size() : 0;
}

const char *gru_model_layer_name(const gru_model *model, size_t layer) {
  const LayerSpec *spec = findLayer(model, layer);
  return spec ? spec->name.c_str() : nullptr;
}

gru_status gru_model_layer_attribute(const gru_model *model, size_t layer,
                                     const char *attribute, const char **text) {
  if (!text)
    return fail(GRU_INVALID_ARGUMENT, "text: is null");
  *text = nullptr;
  const LayerSpec *spec = findLayer(model, layer);
  if (!spec)
    return failNoLayer(model, layer);
  if (!attribute)
    return fail(GRU_INVALID_ARGUMENT, "attribute: is null");
  auto found = spec->attributes.find(attribute);
  if (found != spec->attributes.end()) {
    *text = found->second.c_str();
    return GRU_OK;
  }
  std::string known;
  for (const auto &[name, value] : spec->attributes)
    known += (known.empty() ? "" : ", ") + name;
  return fail(GRU_INVALID_ARGUMENT, "layer '", spec->name,
              "': has no attribute '", attribute, "', expected one of ", known);
}

gru_status gru_model_initial_state(const gru_model *model, size_t layer,
                                   size_t state, const gru_buffer *inputs,
                                   int64_t batch_size, gru_dtype dtype,
                                   gru_tensor_info *info, void *data,
                                   size_t size) {
  if (!info)
    return fail(GRU_INVALID_ARGUMENT, "info: is null");
  *info = {};
  const LayerSpec *spec = findLayer(model, layer);
  if (!spec)
    return failNoLayer(model, layer);
  auto what = [&] { return "layer '" + spec->name + "': get_initial_state: "; };
  if (state >= spec->stateSizes.size())
    return fail(GRU_INVALID_ARGUMENT, what(), "state ", state,
                " does not exist, the layer has ", spec->stateSizes.size());
  if (batch_size < 0)
    return fail(GRU_INVALID_ARGUMENT, what(), "batch_size is ", batch_size,
                ", expected a positive number");
  if (inputs && (!inputs->rank || !inputs->dims))
    return fail(GRU_INVALID_ARGUMENT, what(),
                "inputs have no batch, expected at least 1 dimension");
  if (!inputs && !batch_size)
    return fail(GRU_INVALID_ARGUMENT, what(),
                "found neither inputs nor batch_size, expected one of them");
  int64_t batch = batch_size ? batch_size : inputs->dims[0];
  if (inputs && inputs->dims[0] != batch)
    return fail(GRU_INVALID_ARGUMENT, what(), "batch_size is ", batch_size,
                ", but inputs have ", inputs->dims[0], " rows");
  if (dtype > GRU_BF16)
    return fail(GRU_INVALID_ARGUMENT, what(), "dtype is ",
                gru_dtype_name(dtype), ", expected f32, f64, f16 or bf16");
  info->name = spec->name.c_str();
  info->dtype = dtype ? dtype : spec->stateType;
  info->rank = 2;
  info->dims[0] = batch;
  info->dims[1] = spec->stateSizes[state];
  if (!data && !size)
    return GRU_OK;
  uint64_t bytes = gru_dtype_size(info->dtype) * info->dims[1];
  if (__builtin_mul_overflow(bytes, uint64_t(batch), &bytes) || bytes != size)
    return fail(GRU_INVALID_ARGUMENT, what(), "wrong size, found ", size,
                " bytes, expected ", bytes);
  if (!data)
    return fail(GRU_INVALID_ARGUMENT, what(), "data is null");
  std::memset(data, 0, size);
  return GRU_OK;
}
