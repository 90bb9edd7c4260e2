//===- _gru.cpp - the C++ interface for Python ------------------------------===//
//
// The least that gru/__init__.py needs: arrays come as anything that speaks
// DLPack or the buffer protocol, dense, in memory of the host or of a CUDA device.
// The interpreter's lock is released while compiling and running.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

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
    {gru::DType::i64, {uint8_t(nb::dlpack::dtype_code::Int), 64, 1}}};

/// Programs for devices take the first device's memory, too; what is elsewhere none.
template <typename A> void checkDevice(const A &array) {
  int device = array.device_type();
  bool onHost = device == nb::device::cpu::value ||
                device == nb::device::cuda_host::value;
  bool onDevice = device == nb::device::cuda::value ||
                  device == nb::device::cuda_managed::value;
  if (!onHost && !(onDevice && array.device_id() == 0))
    throw nb::type_error("array: is on a device other than the CPU and the first "
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
std::vector<gru::TensorView> views(const std::vector<A> &arrays, bool readOnly) {
  std::vector<gru::TensorView> result;
  for (const A &array : arrays)
    result.push_back(view(array, readOnly));
  return result;
}

/// (name, dtype, shape); -1: open.
nb::list describe(const std::vector<gru::TensorInfo> &tensors) {
  nb::list result;
  for (const gru::TensorInfo &tensor : tensors)
    result.append(nb::make_tuple(tensor.name, gru::dtypeName(tensor.dtype),
                                 nb::tuple(nb::cast(tensor.dims))));
  return result;
}

gru::Program compile(const gru::Model &model, int64_t batch, int64_t timesteps,
                     const std::string &target, const std::string &mcpu,
                     int threads, const std::string &weightType) {
  nb::gil_scoped_release unlocked;
  auto program = gru::compile(model, {.batch = batch,
                                      .timesteps = timesteps,
                                      .threads = threads,
                                      .target = target,
                                      .mcpu = mcpu,
                                      .weight_type = weightType});
  nb::gil_scoped_acquire locked;
  return take(std::move(program));
}

void runSession(gru::Session &session, const std::vector<Array> &inputs,
         const std::vector<WritableArray> &outputs) {
  std::vector<gru::TensorView> in = views(inputs, true);
  std::vector<gru::TensorView> out = views(outputs, false);
  gru::Result<void> done;
  {
    nb::gil_scoped_release unlocked;
    done = session.run(in, out);
  }
  check(done);
}

} // namespace

NB_MODULE(_gru, m) {
  nb::class_<gru::Model>(m, "Model")
      .def_static("load",
                  [](const std::string &path, const std::string &weights) {
                    return take(gru::Model::load(path, weights));
                  })
      .def("inputs", [](gru::Model &m) { return describe(m.inputs()); })
      .def("outputs", [](gru::Model &m) { return describe(m.outputs()); })
      .def("batch_dim", &gru::Model::batch_dim)
      .def("time_dim", &gru::Model::time_dim)
      .def("needs_timesteps", &gru::Model::needs_timesteps)
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
      .def("set_stream",
           [](gru::Session &s, uintptr_t stream) {
             check(s.set_stream(reinterpret_cast<void *>(stream)));
           })
      .def("reset_states", [](gru::Session &s) { check(s.reset_states()); })
      .def("max_timesteps", &gru::Session::max_timesteps)
      .def("save_state",
           [](gru::Session &s) {
             std::vector<std::byte> bytes = take(s.save_state());
             return nb::bytes(bytes.data(), bytes.size());
           })
      .def("restore_state", [](gru::Session &s, nb::bytes bytes) {
        check(s.restore_state(
            {static_cast<const std::byte *>(bytes.data()), bytes.size()}));
      });
  m.def("abi_version", &gru_abi_version);
}
