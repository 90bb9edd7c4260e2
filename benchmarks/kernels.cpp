//===- kernels.cpp - single layers by size --------------------------------===//
//
// One GRU layer per line, for looking at one kernel while working on it:
//
//   kernels --benchmark_filter='sequence/.*/units:256'
//
// Time is that of one timestep; FLOP/s counts products and sums.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

using namespace gru;

namespace {

std::vector<float> random(size_t size, float scale) {
  static std::minstd_rand generator(1);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(size);
  for (float &value : values)
    value = uniform(generator);
  return values;
}

/// Compiles a layer and runs `timesteps` per call.
void runLayer(benchmark::State &state, int64_t timesteps, bool stateful) {
  int64_t batch = state.range(0), features = state.range(1),
          units = state.range(2);
  bool resetAfter = state.range(3);
  GRU layer{.units = units};
  layer.return_sequences = true;
  layer.stateful = stateful;
  layer.reset_after = resetAfter;
  float scale = 1 / std::sqrt(float(units));
  std::vector<float> kernel = random(features * 3 * units, scale),
                     recurrent = random(units * 3 * units, scale),
                     bias = random((resetAfter ? 6 : 3) * units, scale);
  auto model = Model::build(layer, {kernel, recurrent, bias});
  if (!model)
    return state.SkipWithError(model.error().message().c_str());
  CompileOptions options;
  options.batch = batch;
  options.timesteps = stateful ? timesteps : 0;
  auto program = compile(*model, options);
  if (!program)
    return state.SkipWithError(program.error().message().c_str());
  Session session = program->session({.max_timesteps = timesteps});
  std::vector<float> x = random(batch * timesteps * features, 1),
                     y(batch * timesteps * units);
  TensorView in(x.data(), {batch, timesteps, features});
  TensorView out(y.data(), {batch, timesteps, units});
  for (auto _ : state)
    if (auto done = session.run({&in, 1}, {&out, 1}); !done)
      return state.SkipWithError(done.error().message().c_str());
  double steps = double(state.iterations()) * timesteps;
  using benchmark::Counter;
  state.counters["step"] = Counter(steps, Counter::kIsRate | Counter::kInvert);
  state.counters["FLOP/s"] =
      Counter(steps * 6 * batch * units * (features + units), Counter::kIsRate);
}

void sequence(benchmark::State &state) { runLayer(state, 32, false); }
void stream(benchmark::State &state) { runLayer(state, 1, true); }

void sizes(benchmark::internal::Benchmark *benchmark,
           std::initializer_list<int64_t> batches) {
  benchmark->ArgNames({"batch", "features", "units", "reset_after"});
  for (int64_t batch : batches)
    for (auto [features, units] : {std::pair<int64_t, int64_t>{1, 8},
                                   {1, 40},
                                   {16, 64},
                                   {80, 256},
                                   {96, 100}})
      for (int64_t resetAfter : {1, 0})
        benchmark->Args({batch, features, units, resetAfter});
}

BENCHMARK(sequence)->Apply([](auto *b) { sizes(b, {1, 8, 32}); });
BENCHMARK(stream)->Apply([](auto *b) { sizes(b, {1}); });

} // namespace

BENCHMARK_MAIN();
