//===- Model.cpp - models of the C interface ------------------------------===//

#include "compiler/api/Model.h"

#include "gru/gru.h"
#include "runtime/Error.h"

#include "llvm/Support/JSON.h"

#include <cstring>

using namespace gru;
using runtime::fail;

static gru_status finish(llvm::Expected<std::unique_ptr<ModelSource>> source,
                         gru_status status, gru_model **model) {
  if (!source)
    return fail(status, llvm::toString(source.takeError()));
  *model = new gru_model{std::move(*source)};
  return GRU_OK;
}

gru_status gru_model_load(const char *path, const char *weights_path,
                          gru_model **model) {
  return gru_model_load_layer(path, weights_path, nullptr, 0, model);
}

gru_status gru_model_load_layer(const char *path, const char *weights_path,
                                const char *const *call_arguments,
                                size_t num_call_arguments, gru_model **model) {
  if (!model)
    return fail(GRU_INVALID_ARGUMENT, "model: is null");
  *model = nullptr;
  if (!path)
    return fail(GRU_INVALID_ARGUMENT, "path: is null");
  std::vector<std::string> arguments;
  for (size_t i = 0; i < num_call_arguments; ++i)
    if (call_arguments && call_arguments[i])
      arguments.push_back(call_arguments[i]);
  return finish(openModel(path, weights_path ? weights_path : "", arguments),
                GRU_IO, model);
}

void gru_gru_options_init(gru_gru_options *options) {
  *options = {};
  options->struct_size = sizeof(*options);
  options->keras_version = 3;
  options->activation = "tanh";
  options->recurrent_activation = "sigmoid";
  options->kernel_initializer = "glorot_uniform";
  options->recurrent_initializer = "orthogonal";
  options->bias_initializer = "zeros";
  options->use_bias = 1;
  options->reset_after = 1;
  options->implementation = 2;
  options->name = "gru";
  options->dtype = "float32";
}

/// A Keras identifier, or an object where the text is JSON. JSON values only
/// refer to what is not a std::string, and the model outlives the options.
static llvm::json::Value identifier(const char *text) {
  if (!text)
    return nullptr;
  if (text[0] == '{') {
    llvm::Expected<llvm::json::Value> value = llvm::json::parse(text);
    if (value)
      return *value;
    // Not JSON after all: an unknown name, which the importer reports.
    llvm::consumeError(value.takeError());
  }
  return std::string(text);
}

static llvm::json::Object makeConfig(const gru_gru_options &options) {
  llvm::json::Object config{
      {"name", std::string(options.name ? options.name : "gru")},
      {"dtype", std::string(options.dtype ? options.dtype : "float32")},
      {"units", options.units},
      {"activation", identifier(options.activation)},
      {"recurrent_activation", identifier(options.recurrent_activation)},
      {"kernel_initializer", identifier(options.kernel_initializer)},
      {"recurrent_initializer", identifier(options.recurrent_initializer)},
      {"bias_initializer", identifier(options.bias_initializer)},
      {"kernel_regularizer", identifier(options.kernel_regularizer)},
      {"recurrent_regularizer", identifier(options.recurrent_regularizer)},
      {"bias_regularizer", identifier(options.bias_regularizer)},
      {"activity_regularizer", identifier(options.activity_regularizer)},
      {"kernel_constraint", identifier(options.kernel_constraint)},
      {"recurrent_constraint", identifier(options.recurrent_constraint)},
      {"bias_constraint", identifier(options.bias_constraint)},
      {"dropout", options.dropout},
      {"recurrent_dropout", options.recurrent_dropout},
      {"use_bias", options.use_bias != 0},
      {"reset_after", options.reset_after != 0},
      {"return_sequences", options.return_sequences != 0},
      {"return_state", options.return_state != 0},
      {"go_backwards", options.go_backwards != 0},
      {"stateful", options.stateful != 0},
      {"unroll", options.unroll != 0},
      {"zero_output_for_mask", options.zero_output_for_mask != 0},
      {"implementation", int64_t(options.implementation)},
  };
  if (options.has_seed)
    config["seed"] = options.seed;
  // Keras 3 does not know the argument, and the importer says so.
  if (options.time_major || options.keras_version == 2)
    config["time_major"] = options.time_major != 0;
  return config;
}

gru_status gru_model_build_gru(const gru_gru_options *given, int64_t features,
                               const gru_weight *weights, size_t num_weights,
                               gru_model **model) {
  if (!model)
    return fail(GRU_INVALID_ARGUMENT, "model: is null");
  *model = nullptr;
  if (!given)
    return fail(GRU_INVALID_ARGUMENT, "options: is null");
  gru_gru_options options;
  if (gru_status status = runtime::readVersioned(given, "options", options))
    return status;
  if (!weights && num_weights)
    return fail(GRU_INVALID_ARGUMENT, "weights: is null");
  std::vector<WeightTensor> tensors;
  for (size_t i = 0; i < num_weights; ++i) {
    const gru_weight &weight = weights[i];
    std::string where = "weight " + std::to_string(i);
    if (!weight.name || (weight.rank && !weight.dims) || !weight.data)
      return fail(GRU_INVALID_ARGUMENT, where + ": name, dims or data is null");
    where = std::string("weight '") + weight.name + "'";
    if (weight.dtype < GRU_F32 || weight.dtype > GRU_BF16)
      return fail(GRU_INVALID_ARGUMENT, where + ": dtype is " +
                                            gru_dtype_name(weight.dtype) +
                                            ", expected f32, f64, f16 or bf16");
    if (weight.rank > GRU_MAX_RANK)
      return fail(GRU_INVALID_ARGUMENT, where + ": rank is " +
                                            std::to_string(weight.rank) +
                                            ", expected 1 or 2");
    WeightTensor tensor;
    tensor.name = weight.name;
    tensor.dtype = static_cast<WeightType>(weight.dtype);
    size_t elements = 1;
    for (uint32_t d = 0; d < weight.rank; ++d) {
      if (weight.dims[d] < 0 || weight.dims[d] > (int64_t(1) << 31))
        return fail(GRU_INVALID_ARGUMENT, where + ": dimension " +
                                              std::to_string(d) + " is " +
                                              std::to_string(weight.dims[d]));
      tensor.shape.push_back(weight.dims[d]);
      elements *= weight.dims[d];
    }
    size_t bytes = elements * gru_dtype_size(weight.dtype);
    const char *data = static_cast<const char *>(weight.data);
    tensor.data.assign(data, data + bytes);
    tensors.push_back(std::move(tensor));
  }
  return finish(buildKerasLayerModel(makeConfig(options), std::move(tensors),
                                     features, options.keras_version),
                GRU_INVALID_ARGUMENT, model);
}

void gru_model_destroy(gru_model *model) { delete model; }

static llvm::ArrayRef<TensorSpec> specs(const gru_model *model,
                                        gru_tensor_kind kind) {
  if (!model)
    return {};
  return kind == GRU_KIND_INPUT    ? model->source->getInputs()
         : kind == GRU_KIND_OUTPUT ? model->source->getOutputs()
                                   : llvm::ArrayRef<TensorSpec>();
}

size_t gru_model_num_tensors(const gru_model *model, gru_tensor_kind kind) {
  if (model && kind == GRU_KIND_WEIGHT)
    return model->source->getWeights().size();
  return specs(model, kind).size();
}

static const TensorSpec *findInput(const gru_model *model, size_t index) {
  llvm::ArrayRef<TensorSpec> inputs = specs(model, GRU_KIND_INPUT);
  return index < inputs.size() ? &inputs[index] : nullptr;
}

int32_t gru_model_batch_dim(const gru_model *model, size_t index) {
  const TensorSpec *input = findInput(model, index);
  return input ? model->source->getBatchDim(*input) : 0;
}

int32_t gru_model_time_dim(const gru_model *model, size_t index) {
  const TensorSpec *input = findInput(model, index);
  return input ? model->source->getTimeDim(*input) : -1;
}

int32_t gru_model_needs_timesteps(const gru_model *model) {
  return model && model->source->needsTimesteps();
}

static gru_status describe(const std::string &name, uint32_t dtype,
                           llvm::ArrayRef<int64_t> shape,
                           gru_tensor_info *info) {
  *info = {};
  info->name = name.c_str();
  info->dtype = dtype;
  info->rank = std::min<size_t>(shape.size(), GRU_MAX_RANK);
  for (uint32_t d = 0; d < info->rank; ++d)
    info->dims[d] = shape[d] < 0 ? -1 : shape[d];
  return GRU_OK;
}

gru_status gru_model_tensor(const gru_model *model, gru_tensor_kind kind,
                            size_t index, gru_tensor_info *info) {
  if (!model || !info)
    return fail(GRU_INVALID_ARGUMENT, "model or info: is null");
  if (index >= gru_model_num_tensors(model, kind))
    return fail(GRU_INVALID_ARGUMENT,
                "index: is " + std::to_string(index) + ", expected below " +
                    std::to_string(gru_model_num_tensors(model, kind)));
  if (kind == GRU_KIND_WEIGHT) {
    const WeightTensor &weight = model->source->getWeights()[index];
    return describe(weight.name, uint32_t(weight.dtype), weight.shape, info);
  }
  const TensorSpec &spec = specs(model, kind)[index];
  return describe(spec.name, spec.dtype, spec.shape, info);
}

const void *gru_model_weight_data(const gru_model *model, size_t index) {
  if (!model || index >= model->source->getWeights().size())
    return nullptr;
  return model->source->getWeights()[index].data.data();
}
