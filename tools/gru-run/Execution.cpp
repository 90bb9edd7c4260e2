//===- Execution.cpp - from arrays to a model's outputs -------------------===//

#include "Execution.h"

#include "gru/dropout.hpp"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

using namespace gru;
using llvm::createStringError;
using llvm::Expected;
using llvm::Twine;

llvm::Error gru::toLLVM(const Error &error) {
  return createStringError(error.message());
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

std::string gru::describe(const std::vector<TensorInfo> &tensors) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(tensors, os, [&](const TensorInfo &tensor) {
    os << "'" << tensor.name << "' " << formatShape(tensor.dims) << ' '
       << dtypeName(tensor.dtype);
  });
  return tensors.empty() ? "none" : text;
}

static llvm::Error checkInput(const TensorInfo &info, const Array &array,
                              llvm::StringRef file) {
  // NumPy has no bfloat16.
  bool isWider = info.dtype == DType::bf16 && array.dtype == DType::f32;
  if (array.dtype != info.dtype && !isWider)
    return createStringError("input '" + info.name + "': dtype, found " +
                             dtypeName(array.dtype) + " in " + file +
                             ", expected " + dtypeName(info.dtype));
  bool matches = array.shape.size() == info.dims.size();
  for (size_t i = 0; matches && i < info.dims.size(); ++i)
    matches = info.dims[i] < 0 || info.dims[i] == array.shape[i];
  if (!matches)
    return createStringError("input '" + info.name + "': shape, found " +
                             formatShape(array.shape) + " in " + file +
                             ", expected " + formatShape(info.dims));
  if (llvm::is_contained(array.shape, 0))
    return createStringError("input '" + info.name + "': shape, found " +
                             formatShape(array.shape) + " in " + file +
                             ", expected at least one row and step");
  return llvm::Error::success();
}

/// Uniform in [-1, 1); integers and booleans are 0 or 1, which every embedding
/// has. Written out, since the library's distributions differ between machines.
static Expected<Array> makeRandom(const TensorInfo &info, int batchDim,
                                  const Arguments &arguments,
                                  std::mt19937_64 &generator) {
  constexpr int64_t defaultBatch = 1, defaultTimesteps = 16;
  constexpr int64_t mostElements = int64_t(1) << 30;
  Array array{info.dtype, info.dims, {}};
  for (size_t i = 0; i < array.shape.size(); ++i) {
    if (array.shape[i] >= 0)
      continue;
    bool isBatch = int64_t(i) == batchDim;
    int64_t given = isBatch ? arguments.batch : arguments.timesteps;
    array.shape[i] = given ? given : isBatch ? defaultBatch : defaultTimesteps;
  }
  int64_t count = 1;
  for (int64_t dim : array.shape)
    if (llvm::MulOverflow(count, dim, count) || count > mostElements)
      return createStringError("input '" + info.name + "': shape, found " +
                               formatShape(array.shape) +
                               ", expected at most 2^30 random elements");
  if (!isFloat(info.dtype)) {
    array.data.resize(count * dtypeSize(info.dtype));
    for (int64_t i = 0; i < count; ++i)
      array.data[i * dtypeSize(info.dtype)] = generator() & 1;
    return array;
  }
  Array values{DType::f64, array.shape, {}};
  values.data.resize(count * sizeof(double));
  for (int64_t i = 0; i < count; ++i) {
    double value = double(generator() >> 11) * 0x1p-52 - 1.0;
    std::memcpy(values.data.data() + i * sizeof(value), &value, sizeof(value));
  }
  return convertTo(values, info.dtype);
}

/// True if the first input that is given has one dimension less than the
/// model's: a call of PyTorch's without a batch.
static Expected<bool> lacksDimension(const Model &model,
                                     const Arguments &arguments) {
  for (const NamedFile &file : arguments.calls.front().inputs)
    for (const TensorInfo &info : model.inputs()) {
      if (info.name != file.name)
        continue;
      Expected<Array> array = readArray(file.file);
      if (!array)
        return array.takeError();
      return array->shape.size() + 1 == info.dims.size();
    }
  return false;
}

Expected<Model> gru::loadModel(const Arguments &arguments) {
  std::vector<std::string> names;
  for (const NamedFile &input : arguments.calls.front().inputs)
    names.push_back(input.name);
  Result<Model> model = Model::load(arguments.model, arguments.weights, names);
  if (!model)
    return toLLVM(model.error());
  Expected<bool> unbatched = lacksDimension(*model, arguments);
  if (!unbatched)
    return unbatched.takeError();
  if (!*unbatched)
    return std::move(*model);
  // Formats without such calls ignore the argument, and the shape is reported.
  names.push_back("unbatched");
  Result<Model> again = Model::load(arguments.model, arguments.weights, names);
  if (!again)
    return toLLVM(again.error());
  return std::move(*again);
}

/// dropout_mask, LAYER/recurrent_dropout_mask_cell1, LAYER/noise, ...
static bool isMaskName(llvm::StringRef name) {
  if (name.ends_with("/noise"))
    return true;
  name = name.substr(name.rfind('/') + 1);
  name.consume_front("recurrent_");
  if (!name.consume_front("dropout_mask"))
    return false;
  return name.empty() ||
         (name.consume_front("_cell") && llvm::all_of(name, llvm::isDigit));
}

Expected<std::vector<Call>> gru::loadCalls(const Model &model,
                                           const Arguments &arguments) {
  std::vector<TensorInfo> infos = model.inputs();
  std::mt19937_64 generator(arguments.seed);
  std::vector<Call> calls;
  for (const CallArguments &callArguments : arguments.calls) {
    Call &call = calls.emplace_back();
    call.resetStates = callArguments.resetStates;
    // The values of a reset come as inputs that the model does not have:
    // reset_states_value, or reset_states_value_0, ... for several states.
    for (const NamedFile &input : callArguments.inputs) {
      if (call.resetStates &&
          llvm::StringRef(input.name).starts_with("reset_states_value")) {
        Expected<Array> array = readArray(input.file);
        if (!array)
          return array.takeError();
        call.resetValues.push_back(std::move(*array));
        continue;
      }
      if (llvm::any_of(
              infos, [&](const TensorInfo &i) { return i.name == input.name; }))
        continue;
      if (isMaskName(input.name)) {
        Expected<Array> array = readArray(input.file);
        if (!array)
          return array.takeError();
        call.masks.emplace(input.name, std::move(*array));
        continue;
      }
      return createStringError(arguments.model + ": no input '" + input.name +
                               "', the model's inputs are " + describe(infos));
    }
    for (const TensorInfo &info : infos) {
      if (!arguments.hasInputs()) {
        Expected<Array> array = makeRandom(
            info, model.batch_dim(call.inputs.size()), arguments, generator);
        if (!array)
          return array.takeError();
        call.inputs.push_back(std::move(*array));
        continue;
      }
      auto input =
          llvm::find_if(callArguments.inputs, [&](const NamedFile &file) {
            return file.name == info.name;
          });
      if (input == callArguments.inputs.end())
        return createStringError(
            "call " + Twine(calls.size() - 1) + ": input '" + info.name +
            "' is missing, the model's inputs are " + describe(infos));
      Expected<Array> array = readArray(input->file);
      if (!array)
        return array.takeError();
      if (llvm::Error error = checkInput(info, *array, input->file))
        return std::move(error);
      call.inputs.push_back(std::move(*array));
    }
  }
  return calls;
}

CompileOptions gru::getCompileOptions(const Model &model,
                                      const Arguments &arguments,
                                      std::span<const Call> calls) {
  CompileOptions options;
  options.batch = arguments.batch;
  options.timesteps = arguments.timesteps;
  const std::vector<Array> &inputs = calls.front().inputs;
  auto sizeOf = [&](size_t input, int dim) -> int64_t {
    const std::vector<int64_t> &shape = inputs[input].shape;
    return dim >= 0 && size_t(dim) < shape.size() ? shape[dim] : 0;
  };
  for (size_t i = 0; i < inputs.size() && !options.batch; ++i)
    options.batch = sizeOf(i, model.batch_dim(i));
  if (model.needs_timesteps())
    for (size_t i = 0; i < inputs.size() && !options.timesteps; ++i)
      options.timesteps = sizeOf(i, model.time_dim(i));
  options.training = arguments.training;
  options.allow_tf32 = arguments.allowTF32;
  for (const auto &[name, mask] : calls.front().masks)
    options.masks.push_back({name, mask.shape});
  options.target = arguments.target;
  options.threads = arguments.threads;
  options.weight_type = arguments.weightType;
  options.mcpu = arguments.cpu;
  options.halide_schedule = arguments.halideSchedule;
  options.require_backend = arguments.requireBackend;
  options.activities = arguments.losses && model.num_activities();
  options.cache_dir = arguments.cacheDir;
  return options;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

namespace {
/// The tensors of one call in the form that a session takes.
struct Tensors {
  std::vector<Array> inputs, outputs;
  std::vector<TensorView> in, out;
};
} // namespace

static TensorView view(Array &array) {
  return {static_cast<void *>(array.data.data()), array.dtype,
          std::span<const int64_t>(array.shape)};
}

/// Sessions promise the longest of the dimensions that the program leaves open.
static Expected<Session> makeSession(const Program &program,
                                     std::span<const Call> calls,
                                     uint64_t seed) {
  SessionOptions options;
  options.max_timesteps = 1;
  std::vector<TensorInfo> infos = program.inputs();
  for (const Call &call : calls)
    for (auto [array, info] : llvm::zip(call.inputs, infos))
      for (auto [dim, open] : llvm::zip(array.shape, info.dims))
        if (open < 0)
          options.max_timesteps = std::max(options.max_timesteps, dim);
  Session session = program.session(options);
  if (!session)
    return toLLVM(session.error());
  set_seed(session, seed);
  return session;
}

static Expected<Tensors> makeTensors(const Program &program, const Call &call) {
  Tensors tensors;
  std::vector<TensorInfo> inputs = program.inputs(),
                          outputs = program.outputs();
  size_t used = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    // Behind the model's inputs come the dropout masks, in another order.
    auto mask = call.masks.find(inputs[i].name);
    bool isMask = i >= call.inputs.size();
    if (isMask && mask == call.masks.end())
      return createStringError("input '" + inputs[i].name +
                               "' is missing in one of the calls");
    used += isMask;
    Expected<Array> array =
        convertTo(isMask ? mask->second : call.inputs[i], inputs[i].dtype);
    if (!array)
      return array.takeError();
    tensors.inputs.push_back(std::move(*array));
  }
  if (used != call.masks.size())
    return createStringError("found " + Twine(call.masks.size()) +
                             " dropout masks in one of the calls, expected " +
                             Twine(used) + " as in the first");
  for (Array &array : tensors.inputs)
    tensors.in.push_back(view(array));
  for (size_t i = 0; i < outputs.size(); ++i) {
    Result<std::vector<int64_t>> shape = program.output_shape(tensors.in, i);
    if (!shape)
      return toLLVM(shape.error());
    Array &array = tensors.outputs.emplace_back();
    array.dtype = outputs[i].dtype;
    array.shape = *shape;
    array.data.resize(array.getNumElements() * dtypeSize(array.dtype));
  }
  for (Array &array : tensors.outputs)
    tensors.out.push_back(view(array));
  return tensors;
}

static llvm::Error resetStates(const Program &program, Session &session,
                               const Call &call) {
  if (call.resetValues.empty()) {
    Result<void> reset = session.reset_states();
    return reset ? llvm::Error::success() : toLLVM(reset.error());
  }
  std::vector<TensorInfo> states = program.states();
  std::vector<Array> arrays;
  std::vector<TensorView> values;
  for (auto [index, value] : llvm::enumerate(call.resetValues)) {
    // The targets keep states in different types; too many values are the
    // session's business.
    Expected<Array> array = convertTo(
        value, index < states.size() ? states[index].dtype : value.dtype);
    if (!array)
      return array.takeError();
    arrays.push_back(std::move(*array));
  }
  for (Array &array : arrays)
    values.push_back(view(array));
  Result<void> reset = session.reset_states(values);
  return reset ? llvm::Error::success() : toLLVM(reset.error());
}

Expected<Outputs> gru::runCalls(const Program &program,
                                std::span<const Call> calls, uint64_t seed) {
  Expected<Session> session = makeSession(program, calls, seed);
  if (!session)
    return session.takeError();
  Outputs outputs;
  for (const TensorInfo &info : program.outputs())
    outputs.names.push_back(info.name);
  for (const Call &call : calls) {
    if (call.resetStates)
      if (llvm::Error error = resetStates(program, *session, call))
        return std::move(error);
    Expected<Tensors> tensors = makeTensors(program, call);
    if (!tensors)
      return tensors.takeError();
    if (Result<void> ran = session->run(tensors->in, tensors->out); !ran)
      return toLLVM(ran.error());
    outputs.calls.push_back(std::move(tensors->outputs));
  }
  if (uint64_t left = session->num_mask_fallbacks())
    llvm::errs()
        << "gru-run: remark: a mask was not right-padded, so cuDNN was "
           "left for the next backend "
        << left << (left == 1 ? " time\n" : " times\n");
  return outputs;
}

//===----------------------------------------------------------------------===//
// Losses and constraints
//===----------------------------------------------------------------------===//

static Array makeDoubles(llvm::ArrayRef<double> values,
                         std::vector<int64_t> shape) {
  Array array{DType::f64, std::move(shape), {}};
  const char *bytes = reinterpret_cast<const char *>(values.data());
  array.data.assign(bytes, bytes + values.size() * sizeof(double));
  return array;
}

llvm::Error gru::addLosses(const Model &model, Outputs &outputs) {
  size_t numOutputs = outputs.names.size() - model.num_activities();
  for (std::vector<Array> &call : outputs.calls) {
    std::vector<TensorView> activities;
    for (Array &array : llvm::MutableArrayRef(call).drop_front(numOutputs))
      activities.push_back(view(array));
    Result<std::vector<double>> losses = model.losses(activities);
    if (!losses)
      return toLLVM(losses.error());
    double total = 0;
    for (double loss : *losses)
      total += loss;
    call.resize(numOutputs);
    call.push_back(makeDoubles(total, {}));
    call.push_back(makeDoubles(*losses, {int64_t(losses->size())}));
  }
  outputs.names.resize(numOutputs);
  outputs.names.push_back("loss_total");
  outputs.names.push_back("losses");
  return llvm::Error::success();
}

Expected<Outputs> gru::constrainWeights(const Model &model,
                                        std::span<const NamedFile> files) {
  std::vector<WeightView> weights = model.weights();
  // "kernel" for "gru/kernel" where no other layer has one.
  auto shortName = [](const WeightView &weight) {
    return llvm::StringRef(weight.name).split('/').second.str();
  };
  auto nameOf = [&](const WeightView &weight) {
    std::string name = shortName(weight);
    bool isUnique = llvm::count_if(weights, [&](const WeightView &other) {
                      return shortName(other) == name;
                    }) == 1;
    return isUnique && !name.empty() ? name : weight.name;
  };
  std::vector<std::string> names;
  for (const WeightView &weight : weights)
    names.push_back(nameOf(weight));
  Outputs outputs;
  outputs.calls.emplace_back();
  for (const NamedFile &file : files)
    if (llvm::none_of(llvm::seq(weights.size()), [&](size_t i) {
          return file.name == names[i] || file.name == weights[i].name;
        }))
      return createStringError("no weight '" + file.name +
                               "', the model's weights are " +
                               llvm::join(names, ", "));
  for (auto [index, weight] : llvm::enumerate(weights)) {
    Array array{weight.dtype, weight.dims, {}};
    const char *data = static_cast<const char *>(weight.data);
    array.data.assign(data,
                      data + array.getNumElements() * dtypeSize(weight.dtype));
    for (const NamedFile &file : files) {
      if (file.name != names[index] && file.name != weight.name)
        continue;
      Expected<Array> given = readArray(file.file);
      if (!given)
        return given.takeError();
      if (given->shape != array.shape)
        return createStringError("weight '" + file.name + "': shape, found " +
                                 formatShape(given->shape) + " in " +
                                 file.file + ", expected " +
                                 formatShape(array.shape));
      Expected<Array> converted = convertTo(*given, array.dtype);
      if (!converted)
        return converted.takeError();
      array = std::move(*converted);
    }
    std::span<char> bytes(array.data);
    if (Result<void> done =
            model.constrain_weight(index, std::as_writable_bytes(bytes));
        !done)
      return toLLVM(done.error());
    outputs.names.push_back(names[index] + "_after");
    outputs.calls.front().push_back(std::move(array));
  }
  return outputs;
}

llvm::Error gru::repeatCall(
    const Program &program, const Call &call,
    llvm::function_ref<void(double, const std::vector<Array> &)> observe) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds enough(200);
  constexpr size_t fewest = 5, most = 1'000'000;

  Expected<Session> session = makeSession(program, {&call, 1}, /*seed=*/0);
  if (!session)
    return session.takeError();
  Expected<Tensors> tensors = makeTensors(program, call);
  if (!tensors)
    return tensors.takeError();
  Clock::time_point begin = Clock::now();
  for (size_t run = 0;
       run < fewest || (run < most && Clock::now() - begin < enough); ++run) {
    Clock::time_point start = Clock::now();
    Result<void> ran = session->run(tensors->in, tensors->out);
    std::chrono::duration<double, std::nano> time = Clock::now() - start;
    if (!ran)
      return toLLVM(ran.error());
    observe(time.count(), tensors->outputs);
  }
  return llvm::Error::success();
}

Expected<Timing> gru::timeCall(const Program &program, const Call &call) {
  std::vector<double> times;
  if (llvm::Error error = repeatCall(
          program, call, [&](double nanoseconds, const std::vector<Array> &) {
            times.push_back(nanoseconds);
          }))
    return std::move(error);

  Timing timing;
  timing.calls = int64_t(times.size());
  auto middle = times.begin() + times.size() / 2;
  std::nth_element(times.begin(), middle, times.end());
  timing.median = *middle;
  timing.fastest = *std::min_element(times.begin(), times.end());
  // A sequence is [batch, time, features].
  for (const Array &array : call.inputs)
    if (array.shape.size() >= 3)
      timing.steps = std::max(timing.steps, array.shape[1]);
  return timing;
}
