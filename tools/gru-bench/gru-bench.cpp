//===- gru-bench.cpp - times a workload -----------------------------------===//
//
// Prints one JSON line a workload, in the form of other programs that read the
// same case files, so that figures of one session can be put side by side.
//
//===----------------------------------------------------------------------===//

#include "CaseFile.h"

#include "compiler/api/Tune.h"
#include "compiler/explain/MachineBounds.h"
#include "compiler/import/mlir/MlirSource.h"
#include "compiler/jit/DiskCache.h"
#include "gru/gru.hpp"
#include "tools/common/CommandLine.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <chrono>
#include <cmath>

using namespace gru;
namespace cl = llvm::cl;
using llvm::createStringError;

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

namespace {
struct Options {
  cl::OptionCategory category{"gru-bench"};
  cl::list<std::string> positional{
      cl::Positional, cl::cat(category),
      cl::desc("FILE [WORKLOAD [NAME [THREADS [SECONDS]]]]")};
  cl::opt<std::string> target{
      "target", cl::cat(category), cl::init("auto"),
      cl::desc("cpu, halide, cudnn, gpu, reference or auto")};
  cl::opt<std::string> weightType{
      "weight-type", cl::cat(category), cl::value_desc("bf16|int8"),
      cl::desc("Store float32 kernels in fewer bytes")};
  cl::opt<std::string> halideSchedule{
      "halide-schedule", cl::cat(category), cl::value_desc("file"),
      cl::desc("Schedules, as gru-opt --emit=halide-schedule prints them")};
  cl::opt<std::string> cpu{"mcpu", cl::cat(category),
                           cl::desc("LLVM's name of the CPU")};
  cl::opt<bool> tune{
      "tune", cl::cat(category),
      cl::desc("Try other register blocks than the cost model's and keep the "
               "fastest in the cache for later")};
  cl::opt<bool> measureMachine{
      "measure-machine", cl::cat(category),
      cl::desc("Measure again what this machine can do, instead of taking what "
               "was found before")};
  cl::opt<double> seconds{"seconds", cl::cat(category), cl::init(1),
                          cl::desc("How long to repeat a workload")};

  std::string get(size_t index, const std::string &otherwise) const {
    return index < positional.size() ? positional[index] : otherwise;
  }
};
} // namespace

/// A pass over all timesteps: one call, or of a stream a call each, on tensors
/// of one step that were bound before.
static gru_status runOnce(Session &session, Case &c, std::vector<float> &y) {
  int64_t steps = c.stream ? 1 : c.timesteps, width = c.outputs();
  int64_t inDims[] = {c.batch, steps, c.features};
  int64_t outDims[] = {c.batch, steps, width};
  gru_buffer in{c.x.data(), GRU_F32, 3, inDims};
  gru_buffer out{y.data(), GRU_F32, 3, outDims};
  if (!c.stream)
    return gru_session_run(session.get(), &in, 1, &out, 1);
  std::vector<float> oneIn(c.features), oneOut(width);
  in.data = oneIn.data();
  out.data = oneOut.data();
  (void)session.reset_states();
  if (gru_status status = gru_session_bind(session.get(), &in, 1, &out, 1))
    return status;
  const float *x = c.x.data();
  float *to = y.data();
  for (int64_t t = 0; t < c.timesteps; ++t) {
    std::copy_n(x, c.features, oneIn.data());
    if (gru_status status = gru_session_run_bound(session.get()))
      return status;
    std::copy_n(oneOut.data(), width, to);
    x += c.features;
    to += width;
  }
  return GRU_OK;
}

/// The least nanoseconds of a step: each layer's products at the core's peak,
/// or its weights read once, those of the input once for all steps of a
/// sequence. Products of bytes come four at a time.
static double getBound(const Case &c, const MachineBounds &machine,
                       llvm::StringRef weightType) {
  double bound = 0, all = 0;
  double bytesPerWeight = weightType == "int8"   ? 1
                          : weightType == "bf16" ? 2
                                                 : sizeof(float);
  double productsAtOnce = weightType == "int8" ? 4 : 1;
  auto visit = [&](auto layer) {
    int64_t features = c.features;
    for (auto [units, directions] : c.layers) {
      layer(double(units), double(features), double(directions));
      features = units * directions;
    }
  };
  double weightBytes = 3 * bytesPerWeight;
  visit([&](double units, double features, double directions) {
    all += weightBytes * units * (units + features) * directions;
  });
  visit([&](double units, double features, double directions) {
    double read = weightBytes * units * (c.stream ? units + features : units);
    double flops = 6 * units * (units + features) * c.batch / productsAtOnce;
    // The directions of a layer are walked one after the other.
    bound +=
        directions * machine.getNanoseconds(flops, read, c.stream ? all : read);
  });
  return bound;
}

static llvm::Error run(const Options &options) {
  std::string file = options.get(0, "");
  if (file.empty())
    return createStringError("no case file (see gru-bench --help)");
  llvm::Expected<Case> read = readCase(file);
  if (!read)
    return read.takeError();
  Case &c = *read;
  // A stream's steps lie behind each other only for one row.
  if (c.stream && c.batch != 1)
    return createStringError(file + ": is a stream of " +
                             std::to_string(c.batch) + " rows, expected 1");
  double seconds = options.seconds;
  int threads = 1;
  llvm::StringRef(options.get(3, "1")).getAsInteger(10, threads);
  llvm::StringRef(options.get(4, "")).getAsDouble(seconds);

  double begin = now(), compileSeconds = 0;
  llvm::Expected<std::unique_ptr<ModelSource>> source =
      openMlir(file, c.toMlir(), std::move(c.weights));
  if (!source)
    return source.takeError();
  gru_model model{std::move(*source)};
  gru_compile_options raw{};
  raw.struct_size = sizeof(raw);
  raw.threads = threads;
  raw.batch = c.batch;
  raw.timesteps = c.stream ? 1 : 0;
  raw.target = options.target.c_str();
  raw.mcpu = options.cpu.c_str();
  raw.weight_type = options.weightType.c_str();
  // What compiling takes is part of what is measured.
  raw.cache_dir = "";
  llvm::Expected<std::string> schedule =
      readOptionFile("halide-schedule", options.halideSchedule);
  if (!schedule)
    return schedule.takeError();
  raw.halide_schedule = schedule->c_str();
  if (options.tune) {
    raw.cache_dir = nullptr;
    if (llvm::Error error = tune(
            model, raw,
            [&](gru_program *program) -> llvm::Expected<double> {
              Session session = Program::adopt(gru_program_retain(program))
                                    .session({.max_timesteps = c.timesteps});
              std::vector<float> y(c.reference.size());
              double least = 0, end = now() + 0.1;
              for (int runs = 0; runs < 3 || now() < end; ++runs) {
                double before = now();
                if (runOnce(session, c, y))
                  return createStringError(gru_last_error());
                double time = (now() - before) * 1e9;
                least = runs ? std::min(least, time) : time;
              }
              return least;
            },
            llvm::errs()))
      return error;
    raw.cache_dir = "";
    begin = now();
  }
  raw.context = &compileSeconds;
  raw.on_phase = [](void *context, const char *, double milliseconds) {
    *static_cast<double *>(context) += milliseconds * 1e-3;
  };
  gru_program *program;
  if (gru_compile(&model, &raw, &program))
    return createStringError(gru_last_error());
  Session session = Program::adopt(program).session(
      {.max_timesteps = c.stream ? 1 : c.timesteps});
  std::vector<float> y(c.reference.size());
  if (runOnce(session, c, y))
    return createStringError(gru_last_error());
  double first = now() - begin;

  double error = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    double e = std::fabs(double(y[i]) - c.reference[i]);
    error = e > error || std::isnan(e) ? e : error;
  }
  std::vector<double> times;
  double end = now() + seconds;
  while (times.size() < 3 || (now() < end && times.size() < 20000)) {
    double before = now();
    (void)runOnce(session, c, y);
    times.push_back(now() - before);
  }
  std::sort(times.begin(), times.end());
  double median = times[times.size() / 2], step = median * 1e9 / c.timesteps;
  std::string directory = DiskCache::getDefaultDirectory();
  if (options.measureMachine && !directory.empty())
    if (llvm::Error failed = MachineBounds::measure().save(directory))
      return failed;
  double bound = getBound(c, MachineBounds::get(directory), options.weightType);
  std::string workload = options.get(1, llvm::sys::path::stem(file).str());
  llvm::outs() << llvm::formatv(
      "{{\"peer\": {0}, \"workload\": {1}, \"threads\": {2}, \"calls\": {3}, "
      "\"first_s\": {4:f4}, \"compile_s\": {5:f4}, \"min_us\": {6:f2}, "
      "\"median_us\": {7:f2}, \"per_step_ns\": {8:f1}, \"max_err\": {9}, "
      "\"bound_ns\": {10:f1}, \"fraction\": {11:f3}}\n",
      llvm::json::Value(options.get(2, "gru")), llvm::json::Value(workload),
      threads, times.size(), first, compileSeconds, times.front() * 1e6,
      median * 1e6, step, llvm::format("%.3g", error), bound, bound / step);
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  removeLLVMOptions();
  Options options;
  cl::HideUnrelatedOptions(options.category);
  cl::ParseCommandLineOptions(
      argc, argv,
      "times a workload: gru-bench FILE [WORKLOAD [NAME [THREADS [SECONDS]]]]\n\n"
      "FILE is a case file (tools/gru-bench/CaseFile.h has the layout). Prints "
      "one line of JSON: times of a pass over all timesteps, and the largest "
      "difference from the outputs in the file.\n");
  if (llvm::Error error = run(options)) {
    llvm::errs() << "gru-bench: error: " << llvm::toString(std::move(error))
                 << "\n";
    return 1;
  }
  return 0;
}
