//===- forecast.cpp - what many sensors will read in an hour --------------===//
//
// Scores a table of sensors in batches: the last 24 readings of each go in, the
// next one comes out. The model (test/golden/models/sensors) is a PyTorch
// checkpoint. A program is compiled for one size of batch; the last batch,
// which is smaller, takes a second one.
//
//   example-forecast MODEL
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>

static constexpr int64_t sensors = 1000, hours = 24, batch = 64, units = 24;

static int fail(const std::string &message) {
  std::fprintf(stderr, "forecast: error: %s\n", message.c_str());
  return 1;
}

/// Readings of one sensor: a daily and a weekly wave, and drifting noise.
static std::vector<float> measure(int64_t sensor, int64_t count) {
  auto wave = [](int64_t hour, double period) {
    return std::sin(2 * std::numbers::pi * double(hour) / period);
  };
  uint64_t seed = uint64_t(12345 + 7919 * sensor);
  double drift = 0;
  std::vector<float> readings;
  for (int64_t hour = 0; hour < count; ++hour) {
    seed = (1103515245 * seed + 12345) % (uint64_t(1) << 31);
    drift = 0.8 * drift + 0.2 * (double(seed) / 2147483648.0 - 0.5);
    readings.push_back(
        float(0.6 * wave(hour + sensor, 24) + 0.2 * wave(hour, 168) + drift));
  }
  return readings;
}

int main(int argc, char **argv) {
  if (argc < 2)
    return fail("no model, expected forecast MODEL");
  auto model = gru::Model::load(argv[1]);
  if (!model)
    return fail(model.error().message());

  std::vector<float> x, actual, forecast(sensors);
  for (int64_t sensor = 0; sensor < sensors; ++sensor) {
    std::vector<float> readings = measure(sensor, 100 + hours + 1);
    x.insert(x.end(), readings.end() - hours - 1, readings.end() - 1);
    actual.push_back(readings.back());
  }

  // What the GRU remembers is an output too, h_n, which is of no use here.
  std::vector<float> state(batch * units);
  std::chrono::duration<double> time{};
  for (int64_t first = 0; first < sensors;) {
    // Equal structures take the kernel of the first one.
    int64_t rows = std::min(batch, sensors - first);
    auto program = gru::compile(*model, {.batch = rows, .timesteps = hours});
    if (!program)
      return fail(program.error().message());
    gru::Session session = program->session({.max_timesteps = hours});
    auto begin = std::chrono::steady_clock::now();
    for (; first + rows <= sensors; first += rows)
      if (auto done =
              session.run({{&x[size_t(first * hours)], {rows, hours, 1}}},
                          {{&forecast[size_t(first)], {rows, 1}},
                           {state.data(), {1, rows, units}}});
          !done)
        return fail(done.error().message());
    time += std::chrono::steady_clock::now() - begin;
  }

  // Compared with the guess that nothing changes.
  auto error = [&](auto guess) {
    double sum = 0;
    for (size_t i = 0; i < actual.size(); ++i)
      sum += std::pow(guess(i) - actual[i], 2);
    return std::sqrt(sum / double(actual.size()));
  };
  double ours = error([&](size_t i) { return forecast[i]; });
  double last = error([&](size_t i) { return x[(i + 1) * hours - 1]; });
  std::printf("%lld sensors, %.1f us each\n", static_cast<long long>(sensors),
              time.count() / sensors * 1e6);
  std::printf("error of the forecast %.4f, of the last reading %.4f\n", ours,
              last);
  if (!(ours < 0.75 * last))
    return fail("the forecast is no better than the last reading");
  return 0;
}
