//===- Replay.cpp - runs compiled programs on stored arrays ---------------===//
//
// The part of test/gpu/run that goes to a machine with a GPU and nothing else:
// it links our runtime alone, and takes programs that gru-opt --emit=shared
// made.
//
//   replay FILE [FIRST]           the cases of FILE, from number FIRST on
//   replay --time BATCH TIMESTEPS PROGRAM
//
// FILE has a line per thing, its words separated by blanks:
//
//   case NAME PROGRAM ATOL RTOL   a session of its own
//   call | reset                  the next run; with reset, states are cleared
//   value ARRAY                   of a state, in order: what reset sets it to
//   input NAME ARRAY
//   expected NAME ARRAY           in float64
//
// For each case it prints a line "run NUMBER NAME" when it begins, and "ok", or
// "failed: why", when it ends: a crash is the one without an end.
//
//===----------------------------------------------------------------------===//

#include "gru/plan.h"
#include "gru/runtime.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>

using namespace gru;

namespace {

struct Array {
  DType dtype = DType::f64;
  std::vector<int64_t> shape;
  std::vector<char> data;

  int64_t size() const {
    int64_t count = 1;
    for (int64_t dim : shape)
      count *= dim;
    return count;
  }
  void allocate() { data.resize(size() * dtypeSize(dtype)); }
  TensorView view() {
    return {static_cast<void *>(data.data()), dtype,
            std::span<const int64_t>(shape)};
  }
};

[[noreturn]] void fail(const std::string &why) {
  throw std::runtime_error(why);
}

template <typename T> T check(Result<T> result) {
  if (!result)
    fail(result.error().message());
  if constexpr (!std::is_void_v<T>)
    return std::move(*result);
}

//===--- Elements --------------------------------------------------------===//

double get(const Array &array, int64_t i) {
  auto as = [&](auto type) {
    decltype(type) value;
    std::memcpy(&value, array.data.data() + i * sizeof(value), sizeof(value));
    return value;
  };
  switch (array.dtype) {
  case DType::f32:
    return as(float());
  case DType::f64:
    return as(double());
  case DType::f16:
    return double(as(_Float16()));
  case DType::bf16: {
    uint32_t bits = uint32_t(as(uint16_t())) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  case DType::boolean:
    return as(char()) != 0;
  case DType::i32:
    return as(int32_t());
  case DType::i64:
    return double(as(int64_t()));
  }
  fail("an array has an unknown type");
}

void set(Array &array, int64_t i, double number) {
  auto as = [&](auto value) {
    std::memcpy(array.data.data() + i * sizeof(value), &value, sizeof(value));
  };
  switch (array.dtype) {
  case DType::f32:
    return as(float(number));
  case DType::f64:
    return as(number);
  case DType::f16:
    return as(_Float16(number));
  case DType::bf16: {
    float value = float(number);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    // To nearest, ties to even; no NaN is stored.
    return as(uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
  }
  case DType::boolean:
    return as(char(number != 0));
  case DType::i32:
    return as(int32_t(number));
  case DType::i64:
    return as(int64_t(number));
  }
}

Array convert(const Array &from, DType dtype) {
  if (from.dtype == dtype)
    return from;
  Array to{dtype, from.shape, {}};
  to.allocate();
  for (int64_t i = 0; i < from.size(); ++i)
    set(to, i, get(from, i));
  return to;
}

//===--- NumPy's files ---------------------------------------------------===//

Array readArray(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0)
    fail(path + ": is no .npy file");
  size_t begin = bytes[6] == 1 ? 10 : 12;
  size_t length = uint8_t(bytes[8]) | uint8_t(bytes[9]) << 8;
  std::string header = bytes.substr(begin, length);
  auto after = [&](const std::string &key) {
    size_t at = header.find(key);
    if (at == std::string::npos)
      fail(path + ": has no " + key);
    return header.substr(at + key.size());
  };
  if (after("'fortran_order': ").compare(0, 5, "False") != 0)
    fail(path + ": has its first dimension inmost");
  std::string type = after("'descr': '").substr(0, 3);
  Array array;
  bool found = false;
  for (auto [name, dtype] : {std::pair<const char *, DType>{"<f4", DType::f32},
                             {"<f8", DType::f64},
                             {"<f2", DType::f16},
                             {"|b1", DType::boolean},
                             {"<i4", DType::i32},
                             {"<i8", DType::i64}})
    if (type == name) {
      array.dtype = dtype;
      found = true;
    }
  if (!found)
    fail(path + ": has elements of type " + type);
  std::string dims = after("'shape': (");
  for (char &c : dims)
    if (c == ',')
      c = ' ';
  std::istringstream numbers(dims.substr(0, dims.find(')')));
  for (int64_t dim; numbers >> dim;)
    array.shape.push_back(dim);
  array.allocate();
  if (bytes.size() - begin - length != array.data.size())
    fail(path + ": is not as long as its header says");
  std::memcpy(array.data.data(), bytes.data() + begin + length,
              array.data.size());
  return array;
}

//===--- Cases -----------------------------------------------------------===//

struct Named {
  std::string name, path;
};
struct Call {
  bool reset = false;
  std::vector<std::string> values;
  std::vector<Named> inputs, expected;
};
struct Case {
  std::string name, program;
  double atol = 0, rtol = 0;
  std::vector<Call> calls;
};

std::vector<Case> readCases(const std::string &path) {
  std::ifstream file(path);
  if (!file)
    fail(path + ": cannot be read");
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "case") {
      Case &added = cases.emplace_back();
      words >> added.name >> added.program >> added.atol >> added.rtol;
    } else if (cases.empty()) {
      fail(path + ": begins with " + kind + ", expected a case");
    } else if (kind == "call" || kind == "reset") {
      cases.back().calls.emplace_back().reset = kind == "reset";
    } else if (cases.back().calls.empty()) {
      fail(path + ": " + kind + " stands before a call");
    } else if (kind == "value") {
      words >> cases.back().calls.back().values.emplace_back();
    } else if (kind == "input" || kind == "expected") {
      Call &call = cases.back().calls.back();
      Named &added =
          (kind == "input" ? call.inputs : call.expected).emplace_back();
      words >> added.name >> added.path;
    } else {
      fail(path + ": has a line that begins with '" + kind + "'");
    }
    if (!words)
      fail(path + ": is incomplete at '" + line + "'");
  }
  return cases;
}

const Named &find(const std::vector<Named> &list, const std::string &name) {
  for (const Named &named : list)
    if (named.name == name)
      return named;
  fail("'" + name + "' is missing");
}

/// Where the program has more dimensions, a batch of one.
Array readInput(const Call &call, const TensorInfo &info) {
  Array array =
      convert(readArray(find(call.inputs, info.name).path), info.dtype);
  if (array.shape.size() + 1 == info.dims.size())
    array.shape.insert(array.shape.begin(), 1);
  return array;
}

void compare(const Case &test, const std::string &name, const Array &found,
             const Array &expected) {
  if (found.size() != expected.size())
    fail(name + ": has " + std::to_string(found.size()) +
         " elements, expected " + std::to_string(expected.size()));
  for (int64_t i = 0; i < found.size(); ++i) {
    double value = get(found, i), wanted = get(expected, i);
    if (!(std::abs(value - wanted) <= test.atol + test.rtol * std::abs(wanted)))
      fail(name + ": element " + std::to_string(i) + " is " +
           std::to_string(value) + ", expected " + std::to_string(wanted));
  }
}

std::vector<Array> makeOutputs(const Program &program,
                               std::vector<Array> &inputs) {
  std::vector<TensorView> views;
  for (Array &array : inputs)
    views.push_back(array.view());
  std::vector<Array> outputs;
  for (const TensorInfo &info : program.outputs()) {
    Array &array = outputs.emplace_back();
    array.dtype = info.dtype;
    array.shape = check(program.output_shape(views, outputs.size() - 1));
    array.allocate();
  }
  return outputs;
}

void runOnce(Session &session, std::vector<Array> &inputs,
             std::vector<Array> &outputs) {
  std::vector<TensorView> in, out;
  for (Array &array : inputs)
    in.push_back(array.view());
  for (Array &array : outputs)
    out.push_back(array.view());
  check(session.run(in, out));
}

void runCase(const Case &test) {
  Program program = check(Program::load(test.program));
  std::vector<TensorInfo> infos = program.inputs(), outs = program.outputs();
  std::vector<std::vector<Array>> inputs;
  SessionOptions options{.max_timesteps = 1};
  for (const Call &call : test.calls)
    for (std::vector<Array> &arrays = inputs.emplace_back();
         const TensorInfo &info : infos) {
      arrays.push_back(readInput(call, info));
      for (size_t d = 0; d < info.dims.size(); ++d)
        if (info.dims[d] < 0)
          options.max_timesteps =
              std::max(options.max_timesteps, arrays.back().shape[d]);
    }
  Session session = program.session(options);
  if (!session)
    fail(session.error().message());
  for (size_t c = 0; c < test.calls.size(); ++c) {
    const Call &call = test.calls[c];
    std::vector<Array> values;
    std::vector<TensorView> views;
    std::vector<TensorInfo> states = program.states();
    for (size_t i = 0; i < call.values.size() && i < states.size(); ++i)
      values.push_back(convert(readArray(call.values[i]), states[i].dtype));
    for (Array &array : values)
      views.push_back(array.view());
    if (call.reset && !states.empty())
      check(values.empty() ? session.reset_states()
                           : session.reset_states(views));
    std::vector<Array> outputs = makeOutputs(program, inputs[c]);
    runOnce(session, inputs[c], outputs);
    for (size_t i = 0; i < outs.size(); ++i)
      compare(test, outs[i].name, outputs[i],
              readArray(find(call.expected, outs[i].name).path));
  }
}

int runCases(const std::string &path, size_t first) {
  std::vector<Case> cases = readCases(path);
  bool failed = false;
  for (size_t i = first; i < cases.size(); ++i) {
    std::cout << "run " << i << ' ' << cases[i].name << std::endl;
    try {
      runCase(cases[i]);
      std::cout << "ok" << std::endl;
    } catch (const std::exception &problem) {
      std::cout << "failed: " << problem.what() << std::endl;
      failed = true;
    }
  }
  return failed ? 1 : 0;
}

//===--- Times -----------------------------------------------------------===//

Array makeRandom(DType dtype, std::vector<int64_t> shape, double scale,
                 std::mt19937 &generator) {
  Array array{dtype, std::move(shape), {}};
  array.allocate();
  std::uniform_real_distribution<double> numbers(-scale, scale);
  for (int64_t i = 0; i < array.size(); ++i)
    set(array, i, numbers(generator));
  return array;
}

struct Weight {
  std::string name;
  Array array;
};

/// Weights of a program that has none, as its plan describes them.
std::vector<Weight> makeWeights(const std::string &path,
                                std::mt19937 &generator) {
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const auto *artifact = library ? static_cast<const gru_artifact *>(
                                       dlsym(library, "gru_shared_artifact"))
                                 : nullptr;
  if (!artifact)
    fail(path + ": is no compiled model");
  const auto *plan = static_cast<const char *>(artifact->plan);
  gru_plan_header header;
  std::memcpy(&header, plan, sizeof(header));
  const char *strings = plan + header.size - header.strings_size;
  const char *at =
      plan + sizeof(header) +
      sizeof(gru_plan_tensor) *
          (header.num_inputs + header.num_outputs + header.num_states);
  std::vector<Weight> weights;
  for (uint32_t i = 0; i < header.num_weights; ++i) {
    gru_plan_tensor tensor;
    std::memcpy(&tensor, at + i * sizeof(tensor), sizeof(tensor));
    std::vector<int64_t> shape(tensor.dims, tensor.dims + tensor.rank);
    double scale = 1 / std::sqrt(double(shape.back()) / 3);
    weights.push_back(
        {strings + tensor.name,
         makeRandom(DType(tensor.dtype), shape, scale, generator)});
  }
  return weights;
}

/// Memory of the first device, as a host program that has some would make it.
class DeviceMemory {
public:
  DeviceMemory() {
    const char *other = std::getenv("GRU_CUDA_DRIVER");
    library = dlopen(other && *other ? other : "libcuda.so.1", RTLD_NOW);
    void *context = nullptr;
    if (!library || get<int(unsigned)>("cuInit")(0) ||
        get<int(void **, int)>("cuDevicePrimaryCtxRetain")(&context, 0) ||
        get<int(void *)>("cuCtxPushCurrent_v2")(context))
      fail("the driver gives no context");
  }
  /// Lives as long as the process.
  TensorView allocate(const Array &array) {
    uint64_t address = 0;
    if (get<int(uint64_t *, size_t)>("cuMemAlloc_v2")(&address,
                                                      array.data.size()) ||
        get<int(uint64_t, const void *, size_t)>("cuMemcpyHtoD_v2")(
            address, array.data.data(), array.data.size()))
      fail("the driver gives no memory");
    return {reinterpret_cast<void *>(address), array.dtype,
            std::span<const int64_t>(array.shape)};
  }

  /// What is there, of the shape of another array.
  Array read(const TensorView &from, const Array &like) {
    Array to{like.dtype, like.shape, {}};
    to.allocate();
    if (get<int(void *, uint64_t, size_t)>("cuMemcpyDtoH_v2")(
            to.data.data(), reinterpret_cast<uint64_t>(from.data()),
            to.data.size()))
      fail("the driver copies nothing");
    return to;
  }

private:
  template <typename F> F *get(const char *name) {
    auto *function = reinterpret_cast<F *>(dlsym(library, name));
    if (!function)
      fail(std::string("the driver has no ") + name);
    return function;
  }
  void *library;
};

/// Whether the device has what the host has: equal runs on the device's memory
/// have become one launch, those on the host's have not.
void compareMemories(DeviceMemory &device, std::span<const TensorView> onDevice,
                     std::vector<Array> &onHost) {
  for (size_t i = 0; i < onHost.size(); ++i) {
    Array found = device.read(onDevice[i], onHost[i]);
    for (int64_t k = 0; k < found.size(); ++k)
      if (!(std::abs(get(found, k) - get(onHost[i], k)) <= 1e-5))
        fail("element " + std::to_string(k) + " is " +
             std::to_string(get(found, k)) + " in the device's memory and " +
             std::to_string(get(onHost[i], k)) + " in the host's");
  }
}

/// The median of a call's microseconds.
double timeCalls(Session &session, std::span<const TensorView> inputs,
                 std::span<const TensorView> outputs) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  Clock::time_point end = Clock::now() + std::chrono::seconds(2);
  for (int i = 0; i < 5 || (i < 500 && Clock::now() < end); ++i) {
    Clock::time_point begin = Clock::now();
    check(session.run(inputs, outputs));
    std::chrono::duration<double, std::micro> time = Clock::now() - begin;
    if (i >= 3) // the first ones warm up
      times.push_back(time.count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Prints the median of a call's microseconds, from the device's memory to it,
/// and from host arrays to host arrays.
void timeProgram(int64_t batch, int64_t timesteps, const std::string &path) {
  std::mt19937 generator(1);
  std::vector<Weight> made = makeWeights(path, generator);
  std::vector<gru_weight> weights;
  for (const Weight &weight : made)
    weights.push_back({weight.name.c_str(), gru_dtype(weight.array.dtype),
                       uint32_t(weight.array.shape.size()),
                       weight.array.shape.data(), weight.array.data.data()});
  Program program = check(Program::load(path, weights));
  std::vector<Array> inputs;
  for (const TensorInfo &info : program.inputs()) {
    std::vector<int64_t> shape = info.dims;
    for (int64_t &dim : shape)
      if (dim < 0)
        dim = timesteps;
    if (std::find(shape.begin(), shape.end(), batch) == shape.end())
      fail(path + ": is for another batch than " + std::to_string(batch));
    inputs.push_back(makeRandom(info.dtype, shape, 1, generator));
  }
  Session session = program.session({.max_timesteps = timesteps});
  if (!session)
    fail(session.error().message());
  std::vector<Array> outputs = makeOutputs(program, inputs);
  DeviceMemory device;
  std::vector<TensorView> hostViews[2], deviceViews[2];
  std::vector<Array> *arrays[2] = {&inputs, &outputs};
  for (int i = 0; i < 2; ++i)
    for (Array &array : *arrays[i]) {
      hostViews[i].push_back(array.view());
      deviceViews[i].push_back(device.allocate(array));
    }
  double onDevice = timeCalls(session, deviceViews[0], deviceViews[1]);
  double onHost = timeCalls(session, hostViews[0], hostViews[1]);
  compareMemories(device, deviceViews[1], outputs);
  std::printf("%.2f %.2f\n", onDevice, onHost);
}

} // namespace

int main(int argc, char **argv) {
  try {
    if (argc == 5 && !std::strcmp(argv[1], "--time")) {
      timeProgram(std::stoll(argv[2]), std::stoll(argv[3]), argv[4]);
      return 0;
    }
    if (argc == 2 || argc == 3)
      return runCases(argv[1], argc == 3 ? std::stoul(argv[2]) : 0);
    std::cerr << "replay: error: expected FILE [FIRST], or --time BATCH "
                 "TIMESTEPS PROGRAM\n";
  } catch (const std::exception &problem) {
    std::cerr << "replay: error: " << problem.what() << '\n';
  }
  return 1;
}
