//===- gru/gru.hpp - the compiler's C++ interface ---------------*- C++ -*-===//
//
// A thin layer over gru/gru.h.
//
//   auto model = gru::Model::load("denoise.keras");
//   if (!model)
//     return fail(model.error().message());
//   auto program = gru::compile(*model, {.batch = 1});
//   gru::Session session = program->session();
//   session.run({{x, {1, 10, 42}}}, {{y, {1, 10, 22}}});
//
//===----------------------------------------------------------------------===//

#ifndef GRU_GRU_HPP
#define GRU_GRU_HPP

#include "gru/gru.h"
#include "gru/runtime.hpp"

#include <functional>
#include <optional>

namespace gru {

/// Keras's arguments of a GRU layer with Keras's defaults. An empty
/// activation is linear (Keras's None).
struct GRU {
  int64_t units = 0;
  std::string activation = "tanh";
  std::string recurrent_activation = "sigmoid";
  bool use_bias = true;
  std::string kernel_initializer = "glorot_uniform";
  std::string recurrent_initializer = "orthogonal";
  std::string bias_initializer = "zeros";
  std::string kernel_regularizer = {};
  std::string recurrent_regularizer = {};
  std::string bias_regularizer = {};
  std::string activity_regularizer = {};
  std::string kernel_constraint = {};
  std::string recurrent_constraint = {};
  std::string bias_constraint = {};
  double dropout = 0;
  double recurrent_dropout = 0;
  std::optional<int64_t> seed = {};
  bool return_sequences = false;
  bool return_state = false;
  bool go_backwards = false;
  bool stateful = false;
  bool unroll = false;
  bool reset_after = true;
  bool time_major = false;
  bool zero_output_for_mask = false;
  int implementation = 2;
  std::string name = "gru";
  std::string dtype = "float32";
  unsigned keras_version = 3;
};

/// Weights of a GRU layer in Keras's form (see gru_model_build_gru); copied.
struct GRUWeights {
  std::span<const float> kernel;
  std::span<const float> recurrent_kernel;
  std::span<const float> bias = {};
};

/// A weight of a model, owned by the model.
struct WeightView {
  std::string name;
  DType dtype;
  std::vector<int64_t> dims;
  const void *data;
};

/// What state of a layer begins as; see gru_model_initial_state.
struct InitialState {
  DType dtype;
  std::vector<int64_t> dims;
  std::vector<std::byte> data;
};

/// The arguments of get_initial_state, of which at least inputs or batch_size is
/// given.
struct InitialStateOptions {
  std::optional<TensorView> inputs = {};
  int64_t batch_size = 0;
  std::optional<DType> dtype = {};
};

/// A model with its weights. Move-only; may be used by many threads at once.
class Model {
public:
  /// `call_arguments` matters for the config of a single layer only: see
  /// gru_model_load_layer.
  static Result<Model>
  load(const std::string &path, const std::string &weights = {},
       const std::vector<std::string> &call_arguments = {}) {
    std::vector<const char *> arguments;
    for (const std::string &argument : call_arguments)
      arguments.push_back(argument.c_str());
    gru_model *model;
    if (gru_status status = gru_model_load_layer(
            path.c_str(), weights.empty() ? nullptr : weights.c_str(),
            arguments.data(), arguments.size(), &model))
      return Error::last(status);
    return Model(model);
  }

  /// A model of one layer without a file; the number of features follows from
  /// the kernel.
  static Result<Model> build(const GRU &layer, const GRUWeights &weights) {
    gru_gru_options raw;
    gru_gru_options_init(&raw);
    auto text = [](const std::string &s) {
      return s.empty() ? nullptr : s.c_str();
    };
    raw.keras_version = layer.keras_version;
    raw.units = layer.units;
    raw.activation = text(layer.activation);
    raw.recurrent_activation = text(layer.recurrent_activation);
    raw.kernel_initializer = text(layer.kernel_initializer);
    raw.recurrent_initializer = text(layer.recurrent_initializer);
    raw.bias_initializer = text(layer.bias_initializer);
    raw.kernel_regularizer = text(layer.kernel_regularizer);
    raw.recurrent_regularizer = text(layer.recurrent_regularizer);
    raw.bias_regularizer = text(layer.bias_regularizer);
    raw.activity_regularizer = text(layer.activity_regularizer);
    raw.kernel_constraint = text(layer.kernel_constraint);
    raw.recurrent_constraint = text(layer.recurrent_constraint);
    raw.bias_constraint = text(layer.bias_constraint);
    raw.dropout = layer.dropout;
    raw.recurrent_dropout = layer.recurrent_dropout;
    raw.has_seed = layer.seed.has_value();
    raw.seed = layer.seed.value_or(0);
    raw.use_bias = layer.use_bias;
    raw.reset_after = layer.reset_after;
    raw.return_sequences = layer.return_sequences;
    raw.return_state = layer.return_state;
    raw.go_backwards = layer.go_backwards;
    raw.stateful = layer.stateful;
    raw.unroll = layer.unroll;
    raw.time_major = layer.time_major;
    raw.zero_output_for_mask = layer.zero_output_for_mask;
    raw.implementation = layer.implementation;
    raw.name = layer.name.c_str();
    raw.dtype = layer.dtype.c_str();

    int64_t columns = 3 * layer.units;
    auto rows = [&](std::span<const float> weight) {
      return columns > 0 ? static_cast<int64_t>(weight.size()) / columns : 0;
    };
    int64_t kernel[] = {rows(weights.kernel), columns};
    int64_t recurrent[] = {rows(weights.recurrent_kernel), columns};
    int64_t bias[] = {rows(weights.bias), columns};
    gru_weight list[] = {
        {"kernel", GRU_F32, 2, kernel, weights.kernel.data()},
        {"recurrent_kernel", GRU_F32, 2, recurrent,
         weights.recurrent_kernel.data()},
        {"bias", GRU_F32, layer.reset_after ? 2u : 1u,
         layer.reset_after ? bias : bias + 1, weights.bias.data()}};
    // A length that is no whole number of rows would pass unnoticed.
    for (auto [name, weight] :
         {std::pair{"kernel", weights.kernel},
          std::pair{"recurrent_kernel", weights.recurrent_kernel},
          std::pair{"bias", weights.bias}})
      if (columns > 0 && weight.size() % columns != 0)
        return Error(GRU_INVALID_ARGUMENT,
                     "layer '" + layer.name + "': " + name + " has " +
                         std::to_string(weight.size()) +
                         " elements, expected a multiple of 3*units = " +
                         std::to_string(columns));
    gru_model *model;
    if (gru_status status =
            gru_model_build_gru(&raw, kernel[0], list,
                                weights.bias.empty() ? 2 : 3, &model))
      return Error::last(status);
    return Model(model);
  }

  Model(Model &&other) noexcept
      : handle(std::exchange(other.handle, nullptr)) {}
  Model &operator=(Model &&other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Model() { gru_model_destroy(handle); }

  /// For the C interface; stays owned by this object.
  gru_model *get() const { return handle; }

  std::vector<TensorInfo> inputs() const { return tensors(GRU_KIND_INPUT); }
  std::vector<TensorInfo> outputs() const { return tensors(GRU_KIND_OUTPUT); }
  /// See gru_model_batch_dim, gru_model_time_dim, gru_model_needs_timesteps.
  int batch_dim(size_t input) const {
    return gru_model_batch_dim(handle, input);
  }
  int time_dim(size_t input) const { return gru_model_time_dim(handle, input); }
  bool needs_timesteps() const { return gru_model_needs_timesteps(handle); }
  std::vector<WeightView> weights() const {
    std::vector<WeightView> result;
    std::vector<TensorInfo> infos = tensors(GRU_KIND_WEIGHT);
    for (size_t i = 0; i < infos.size(); ++i)
      result.push_back({infos[i].name, infos[i].dtype, infos[i].dims,
                        gru_model_weight_data(handle, i)});
    return result;
  }

  /// Names of the layers; see gru_model_num_layers.
  std::vector<std::string> layers() const {
    std::vector<std::string> result;
    for (size_t i = 0, e = gru_model_num_layers(handle); i < e; ++i)
      result.emplace_back(gru_model_layer_name(handle, i));
    return result;
  }
  /// An attribute under Keras's name, as JSON text; see
  /// gru_model_layer_attribute.
  Result<std::string> attribute(std::string_view layer,
                                const std::string &name) const {
    Result<size_t> index = layer_index(layer);
    if (!index)
      return index.error();
    const char *text;
    if (gru_status status =
            gru_model_layer_attribute(handle, *index, name.c_str(), &text))
      return Error::last(status);
    return std::string(text);
  }
  /// Every state of a layer; see gru_model_initial_state.
  Result<std::vector<InitialState>>
  get_initial_state(std::string_view layer,
                    const InitialStateOptions &options) const {
    Result<size_t> index = layer_index(layer);
    if (!index)
      return index.error();
    gru_buffer inputs{};
    if (options.inputs)
      inputs = options.inputs->buffer();
    std::vector<InitialState> result;
    gru_tensor_info info;
    for (size_t state = 0;; ++state) {
      gru_status status = gru_model_initial_state(
          handle, *index, state, options.inputs ? &inputs : nullptr,
          options.batch_size,
          options.dtype ? static_cast<gru_dtype>(*options.dtype) : 0, &info,
          nullptr, 0);
      if (status && state > 0)
        return result; // There are no more.
      if (status)
        return Error::last(status);
      InitialState &entry = result.emplace_back();
      entry.dtype = static_cast<DType>(info.dtype);
      entry.dims.assign(info.dims, info.dims + info.rank);
      entry.data.resize(info.dims[0] * info.dims[1] *
                        dtypeSize(entry.dtype));
    }
  }

  /// See gru_model_has_initial_weights, gru_model_draw_weight,
  /// gru_model_constrain_weight.
  bool has_initial_weights() const {
    return gru_model_has_initial_weights(handle);
  }
  Result<void> draw_weight(size_t index, uint64_t seed,
                           std::span<std::byte> values) const {
    return Result<void>::of(gru_model_draw_weight(handle, index, seed,
                                                  values.data(),
                                                  values.size()));
  }
  Result<void> constrain_weight(size_t index,
                                std::span<std::byte> values) const {
    return Result<void>::of(gru_model_constrain_weight(
        handle, index, values.data(), values.size()));
  }

  size_t num_activities() const { return gru_model_num_activities(handle); }
  /// Keras's `losses`, of the model's own weights; see gru_model_losses.
  Result<std::vector<double>>
  losses(std::span<const TensorView> activities = {}) const {
    std::vector<gru_buffer> buffers;
    for (const TensorView &view : activities)
      buffers.push_back(view.buffer());
    std::vector<double> result(gru_model_num_losses(handle));
    if (gru_status status = gru_model_losses(handle, nullptr, 0, buffers.data(),
                                             buffers.size(), result.data(),
                                             result.size()))
      return Error::last(status);
    return result;
  }

private:
  explicit Model(gru_model *model) : handle(model) {}

  Result<size_t> layer_index(std::string_view name) const {
    for (size_t i = 0, e = gru_model_num_layers(handle); i < e; ++i)
      if (name == gru_model_layer_name(handle, i))
        return i;
    return Error(GRU_INVALID_ARGUMENT,
                 "no layer '" + std::string(name) + "' in the model");
  }

  std::vector<TensorInfo> tensors(gru_tensor_kind kind) const {
    std::vector<TensorInfo> result;
    gru_tensor_info info;
    for (size_t i = 0, e = gru_model_num_tensors(handle, kind); i < e; ++i)
      if (gru_model_tensor(handle, kind, i, &info) == GRU_OK)
        result.emplace_back(info);
    return result;
  }

  gru_model *handle = nullptr;
};

/// A dropout mask that runs get as an input (see gru_compile_options.masks).
struct MaskInfo {
  std::string name;
  std::vector<int64_t> dims;
};

/// See gru_compile_options.
struct CompileOptions {
  int64_t batch = 0;
  int64_t timesteps = 0;
  int threads = 1;
  std::string target = "auto";
  std::string mcpu = {};
  std::string require_backend = {};
  std::string stop_after = {};
  bool f64_outputs = false;
  bool activities = false;
  bool training = false;
  std::vector<MaskInfo> masks = {};
  std::function<void(std::string_view phase, double milliseconds)> on_phase =
      {};
  std::function<void(std::string_view text)> on_remark = {};
  std::optional<std::string> cache_dir = {};
  /// Of the program and its weights; null: the C library's. Copied.
  const gru_allocator *allocator = nullptr;
  std::string halide_schedule = {};
  std::string weight_type = {};
  bool allow_tf32 = false;
  bool profile = false;
  int block_width = 0, block_rows = 0;
};

namespace detail {
/// Calls `function` with the options in the form of the C interface, which refers
/// to `options`.
template <typename Function>
gru_status with_options(const CompileOptions &options, Function function) {
  gru_compile_options raw{};
  raw.struct_size = sizeof(raw);
  raw.threads = options.threads;
  raw.batch = options.batch;
  raw.timesteps = options.timesteps;
  raw.target = options.target.c_str();
  raw.mcpu = options.mcpu.c_str();
  raw.require_backend = options.require_backend.c_str();
  raw.stop_after = options.stop_after.c_str();
  raw.f64_outputs = options.f64_outputs;
  raw.activities = options.activities;
  raw.allow_tf32 = options.allow_tf32;
  raw.training = options.training;
  std::vector<gru_tensor_info> masks;
  for (const MaskInfo &mask : options.masks) {
    gru_tensor_info &info = masks.emplace_back();
    info.name = mask.name.c_str();
    info.rank = static_cast<uint32_t>(mask.dims.size());
    for (size_t d = 0; d < mask.dims.size() && d < GRU_MAX_RANK; ++d)
      info.dims[d] = mask.dims[d];
  }
  raw.masks = masks.data();
  raw.num_masks = masks.size();
  raw.allocator = options.allocator;
  raw.context = const_cast<CompileOptions *>(&options);
  raw.cache_dir = options.cache_dir ? options.cache_dir->c_str() : nullptr;
  raw.halide_schedule = options.halide_schedule.c_str();
  raw.weight_type = options.weight_type.c_str();
  raw.profile = options.profile;
  raw.block_width = options.block_width;
  raw.block_rows = options.block_rows;
  if (options.on_phase)
    raw.on_phase = [](void *context, const char *phase, double milliseconds) {
      static_cast<CompileOptions *>(context)->on_phase(phase, milliseconds);
    };
  if (options.on_remark)
    raw.on_remark = [](void *context, const char *text) {
      static_cast<CompileOptions *>(context)->on_remark(text);
    };
  return function(raw);
}
} // namespace detail

inline Result<Program> compile(const Model &model,
                               const CompileOptions &options = {}) {
  gru_program *program;
  if (gru_status status = detail::with_options(
          options, [&](const gru_compile_options &raw) {
            return gru_compile(model.get(), &raw, &program);
          }))
    return Error::last(status);
  return Program::adopt(program);
}

/// Readies a session for `run(in, out, {.training = true})`, with the model and
/// the options of its program; see gru_session_prepare_training.
inline Result<void> prepare_training(Session &session, const Model &model,
                                     const CompileOptions &options = {}) {
  return Result<void>::of(detail::with_options(
      options, [&](const gru_compile_options &raw) {
        return gru_session_prepare_training(session.get(), model.get(), &raw);
      }));
}

} // namespace gru

#endif // GRU_GRU_HPP
