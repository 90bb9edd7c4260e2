//===- _gru.cpp - the C++ interface for Python ----------------------------===//
//
// The least that gru/__init__.py needs: arrays come as anything that speaks
// DLPack or the buffer protocol, dense, in memory of the host or of a CUDA
// device. The interpreter's lock is released while compiling and running.
//
//===----------------------------------------------------------------------===//

#include "gru/dropout.hpp"
#include "gru/gru.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <functional>
#include <map>

namespace nb = nanobind;
using Array = nb::ndarray<nb::ro, nb::c_contig>;
using WritableArray = nb::ndarray<nb::c_contig>;

namespace {

template <typename T> T take(gru::Result<T> result) {
  if (!result)
    throw nb::value_error(result.error().message().c_str());
  return std::move(*result);
}
void check(const gru::Result<void> &result) {
  if (!result)
    throw nb::value_error(result.error().message().c_str());
}

constexpr std::pair<gru::DType, nb::dlpack::dtype> kTypes[] = {
    {gru::DType::f32, {uint8_t(nb::dlpack::dtype_code::Float), 32, 1}},
    {gru::DType::f64, {uint8_t(nb::dlpack::dtype_code::Float), 64, 1}},
    {gru::DType::f16, {uint8_t(nb::dlpack::dtype_code::Float), 16, 1}},
    {gru::DType::bf16, {uint8_t(nb::dlpack::dtype_code::Bfloat), 16, 1}},
    {gru::DType::boolean, {uint8_t(nb::dlpack::dtype_code::Bool), 8, 1}},
    {gru::DType::i32, {uint8_t(nb::dlpack::dtype_code::Int), 32, 1}},
    {gru::DType::i64, {uint8_t(nb::dlpack::dtype_code::Int), 64, 1}},
    // NumPy has no bfloat16: such arrays come as their bits.
    {gru::DType::bf16, {uint8_t(nb::dlpack::dtype_code::UInt), 16, 1}}};

/// Programs for devices take the first device's memory, too; what is elsewhere
/// none.
template <typename A> void checkDevice(const A &array) {
  int device = array.device_type();
  bool onHost = device == nb::device::cpu::value ||
                device == nb::device::cuda_host::value;
  bool onDevice = device == nb::device::cuda::value ||
                  device == nb::device::cuda_managed::value;
  if (!onHost && !(onDevice && array.device_id() == 0))
    throw nb::type_error(
        "array: is on a device other than the CPU and the first "
        "CUDA device");
}

template <typename A> gru::TensorView view(const A &array, bool readOnly) {
  checkDevice(array);
  for (auto [type, dlpack] : kTypes)
    if (array.dtype() == dlpack) {
      // More dimensions than a view keeps are refused by run.
      std::vector<int64_t> dims;
      for (size_t d = 0; d < array.ndim(); ++d)
        dims.push_back(static_cast<int64_t>(array.shape(d)));
      void *data = const_cast<void *>(static_cast<const void *>(array.data()));
      if (readOnly)
        return gru::TensorView(static_cast<const void *>(data), type, dims);
      return gru::TensorView(data, type, dims);
    }
  throw nb::type_error("array: has an element type that models do not have");
}

template <typename A>
std::vector<gru::TensorView> views(const std::vector<A> &arrays,
                                   bool readOnly) {
  std::vector<gru::TensorView> result;
  for (const A &array : arrays)
    result.push_back(view(array, readOnly));
  return result;
}

/// (name, dtype, shape); -1: open.
template <typename Tensor>
nb::list describe(const std::vector<Tensor> &tensors) {
  nb::list result;
  for (const Tensor &tensor : tensors)
    result.append(nb::make_tuple(tensor.name, gru::dtypeName(tensor.dtype),
                                 nb::tuple(nb::cast(tensor.dims))));
  return result;
}

nb::bytes toBytes(const void *data, size_t size) {
  return nb::bytes(static_cast<const char *>(data), size);
}

using OptionSetter = std::function<void(gru::CompileOptions &, nb::handle)>;

template <typename T> OptionSetter setter(T gru::CompileOptions::*option) {
  return [option](gru::CompileOptions &options, nb::handle value) {
    options.*option = nb::cast<T>(value);
  };
}

/// Calls a Python function from a compilation, which has released the
/// interpreter. Nothing may be thrown through it, so an exception is printed.
template <typename... Args>
std::function<void(Args...)> callback(nb::handle given) {
  return [function = nb::borrow(given)](Args... args) {
    nb::gil_scoped_acquire locked;
    try {
      function(args...);
    } catch (nb::python_error &error) {
      error.discard_as_unraisable(function);
    }
  };
}

const std::map<std::string, OptionSetter> &optionSetters() {
  using Options = gru::CompileOptions;
  static const std::map<std::string, OptionSetter> setters = {
      {"batch", setter(&Options::batch)},
      {"timesteps", setter(&Options::timesteps)},
      {"target", setter(&Options::target)},
      {"mcpu", setter(&Options::mcpu)},
      {"threads", setter(&Options::threads)},
      {"weight_type", setter(&Options::weight_type)},
      {"require_backend", setter(&Options::require_backend)},
      {"halide_schedule", setter(&Options::halide_schedule)},
      {"stop_after", setter(&Options::stop_after)},
      {"f64_outputs", setter(&Options::f64_outputs)},
      {"allow_tf32", setter(&Options::allow_tf32)},
      {"profile", setter(&Options::profile)},
      {"block_width", setter(&Options::block_width)},
      {"block_rows", setter(&Options::block_rows)},
      {"training", setter(&Options::training)},
      {"activities", setter(&Options::activities)},
      {"cache_dir", setter(&Options::cache_dir)},
      {"on_phase",
       [](Options &options, nb::handle value) {
         options.on_phase = callback<std::string_view, double>(value);
       }},
      {"on_remark",
       [](Options &options, nb::handle value) {
         options.on_remark = callback<std::string_view>(value);
       }},
      {"masks", [](Options &options, nb::handle value) {
         for (auto [mask, dims] : nb::cast<nb::dict>(value))
           options.masks.push_back({nb::cast<std::string>(mask),
                                    nb::cast<std::vector<int64_t>>(dims)});
       }}};
  return setters;
}

/// The options of both ways to compile; what is not among `arguments` has its
/// default.
gru::CompileOptions compileOptions(const nb::dict &arguments) {
  gru::CompileOptions options;
  for (auto [key, value] : arguments) {
    std::string name = nb::cast<std::string>(key);
    auto setter = optionSetters().find(name);
    if (setter == optionSetters().end())
      throw nb::type_error(("compile has no argument " + name).c_str());
    try {
      setter->second(options, value);
    } catch (nb::cast_error &) {
      throw nb::type_error(("compile: " + name + " is " +
                            nb::cast<std::string>(nb::repr(value)) +
                            ", which has the wrong type")
                               .c_str());
    }
  }
  return options;
}

gru::Program compile(const gru::Model &model, const nb::dict &arguments) {
  gru::CompileOptions options = compileOptions(arguments);
  nb::gil_scoped_release unlocked;
  auto program = gru::compile(model, options);
  nb::gil_scoped_acquire locked;
  return take(std::move(program));
}

void prepareTraining(gru::Session &session, const gru::Model &model,
                     const nb::dict &arguments) {
  gru::CompileOptions options = compileOptions(arguments);
  gru::Result<void> done;
  {
    nb::gil_scoped_release unlocked;
    done = gru::prepare_training(session, model, options);
  }
  check(done);
}

void runSession(gru::Session &session, const std::vector<Array> &inputs,
                const std::vector<WritableArray> &outputs, bool training) {
  std::vector<gru::TensorView> in = views(inputs, true);
  std::vector<gru::TensorView> out = views(outputs, false);
  gru::Result<void> done;
  {
    nb::gil_scoped_release unlocked;
    done = session.run(in, out, {.training = training});
  }
  check(done);
}

/// (dtype, shape, bytes) of each state.
nb::list initialState(const gru::Model &model, const std::string &layer,
                      const std::optional<std::vector<int64_t>> &inputs,
                      int64_t batch, const std::string &dtype) {
  gru::InitialStateOptions options{.batch_size = batch};
  if (inputs)
    options.inputs =
        gru::TensorView(static_cast<const float *>(nullptr), *inputs);
  for (auto [type, dlpack] : kTypes)
    if (dtype == gru::dtypeName(type))
      options.dtype = type;
  nb::list result;
  for (const gru::InitialState &state :
       take(model.get_initial_state(layer, options)))
    result.append(nb::make_tuple(
        gru::dtypeName(state.dtype), nb::tuple(nb::cast(state.dims)),
        toBytes(state.data.data(), state.data.size())));
  return result;
}

nb::bytes weightData(const gru::Model &model, size_t index) {
  std::vector<gru::WeightView> weights = model.weights();
  if (index >= weights.size())
    throw nb::index_error("weight_data: there is no such weight");
  size_t size = gru::dtypeSize(weights[index].dtype);
  for (int64_t dim : weights[index].dims)
    size *= size_t(dim);
  return toBytes(weights[index].data, size);
}

/// Bytes of a weight that `change` has written or changed in place.
template <typename Function>
nb::bytes changed(std::vector<std::byte> bytes, Function change) {
  check(change(std::span(bytes)));
  return toBytes(bytes.data(), bytes.size());
}

std::vector<std::byte> fromBytes(const nb::bytes &bytes) {
  auto begin = static_cast<const std::byte *>(bytes.data());
  return {begin, begin + bytes.size()};
}

/// (count, shape, bytes of float32), or None without dropout.
nb::object masks(const gru::Result<gru::Masks> &result) {
  if (!result)
    throw nb::value_error(result.error().message().c_str());
  if (!result->count)
    return nb::none();
  return nb::make_tuple(
      result->count, nb::tuple(nb::cast(result->dims)),
      toBytes(result->data.data(), result->data.size_bytes()));
}

} // namespace

NB_MODULE(_gru, m) {
  nb::class_<gru::Model>(m, "Model")
      .def_static("load",
                  [](const std::string &path, const std::string &weights,
                     const std::vector<std::string> &callArguments) {
                    return take(gru::Model::load(path, weights, callArguments));
                  })
      .def("inputs", [](gru::Model &m) { return describe(m.inputs()); })
      .def("outputs", [](gru::Model &m) { return describe(m.outputs()); })
      .def("batch_dim", &gru::Model::batch_dim)
      .def("time_dim", &gru::Model::time_dim)
      .def("needs_timesteps", &gru::Model::needs_timesteps)
      .def("layers", &gru::Model::layers)
      .def(
          "attribute",
          [](gru::Model &m, const std::string &layer, const std::string &name) {
            return take(m.attribute(layer, name));
          })
      .def("initial_state", &initialState, nb::arg(), nb::arg().none(),
           nb::arg(), nb::arg())
      .def("weights", [](gru::Model &m) { return describe(m.weights()); })
      .def("weight_data", &weightData)
      .def("draw_weight",
           [](gru::Model &m, size_t index, uint64_t seed, size_t size) {
             return changed(std::vector<std::byte>(size),
                            [&](std::span<std::byte> bytes) {
                              return m.draw_weight(index, seed, bytes);
                            });
           })
      .def("constrain_weight",
           [](gru::Model &m, size_t index, const nb::bytes &values) {
             return changed(fromBytes(values), [&](std::span<std::byte> bytes) {
               return m.constrain_weight(index, bytes);
             });
           })
      .def("losses",
           [](gru::Model &m, const std::vector<Array> &activities) {
             return take(m.losses(views(activities, true)));
           })
      .def("compile", &compile);
  nb::class_<gru::Program>(m, "Program")
      .def_static("load",
                  [](const std::string &path) {
                    return take(gru::Program::load(path));
                  })
      .def("inputs", [](gru::Program &p) { return describe(p.inputs()); })
      .def("outputs", [](gru::Program &p) { return describe(p.outputs()); })
      .def("states", [](gru::Program &p) { return describe(p.states()); })
      .def("output_shape",
           [](gru::Program &p, const std::vector<Array> &inputs, size_t index) {
             return nb::tuple(
                 nb::cast(take(p.output_shape(views(inputs, true), index))));
           })
      .def("session", [](gru::Program &p, int64_t timesteps) {
        gru::Session session = p.session({.max_timesteps = timesteps});
        if (!session)
          throw nb::value_error(session.error().message().c_str());
        return session;
      });
  nb::class_<gru::Session>(m, "Session")
      .def("run", &runSession)
      .def("prepare_training", &prepareTraining)
      .def("set_stream",
           [](gru::Session &s, uintptr_t stream) {
             check(s.set_stream(reinterpret_cast<void *>(stream)));
           })
      .def("reset_states", [](gru::Session &s) { check(s.reset_states()); })
      .def("reset_states_to",
           [](gru::Session &s, const std::vector<Array> &values) {
             check(s.reset_states(views(values, true)));
           })
      .def("get_state",
           [](gru::Session &s, size_t index, size_t size) {
             std::vector<std::byte> bytes(size);
             check(s.get_state(index, bytes));
             return toBytes(bytes.data(), bytes.size());
           })
      .def("set_seed",
           [](gru::Session &s, uint64_t seed) { gru::set_seed(s, seed); })
      .def("reset_dropout_mask",
           [](gru::Session &s) { gru::reset_dropout_mask(s); })
      .def("reset_recurrent_dropout_mask",
           [](gru::Session &s) { gru::reset_recurrent_dropout_mask(s); })
      .def("max_timesteps", &gru::Session::max_timesteps)
      .def("save_state",
           [](gru::Session &s) {
             std::vector<std::byte> bytes = take(s.save_state());
             return toBytes(bytes.data(), bytes.size());
           })
      .def("restore_state", [](gru::Session &s, nb::bytes bytes) {
        check(s.restore_state(fromBytes(bytes)));
      });
  nb::class_<gru::CellDropout>(m, "CellDropout")
      .def_static("create",
                  [](double dropout, double recurrentDropout, uint64_t seed) {
                    return take(gru::CellDropout::create(
                        {.dropout = dropout,
                         .recurrent_dropout = recurrentDropout,
                         .seed = seed}));
                  })
      .def("get_mask",
           [](gru::CellDropout &c, const std::vector<int64_t> &dims,
              bool training, size_t count) {
             return masks(c.get_dropout_mask_for_cell(dims, training, count));
           })
      .def("get_recurrent_mask",
           [](gru::CellDropout &c, const std::vector<int64_t> &dims,
              bool training, size_t count) {
             return masks(
                 c.get_recurrent_dropout_mask_for_cell(dims, training, count));
           })
      .def("reset_mask", &gru::CellDropout::reset_dropout_mask)
      .def("reset_recurrent_mask",
           &gru::CellDropout::reset_recurrent_dropout_mask);
  m.def("abi_version", &gru_abi_version);
}
