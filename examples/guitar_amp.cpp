//===- guitar_amp.cpp - a guitar pedal, one sample at a time --------------===//
//
// Plays a plucked string through a neural amplifier and writes both to a WAV
// file: the string on the left, the amplifier on the right. Each sample is a
// call of its own, as in a plugin that may not wait for the next one; the
// session keeps the state of the network between calls.
//
//   example-guitar-amp MODEL [OUT.wav]
//
//===----------------------------------------------------------------------===//

#include "wav.h"

#include "gru/gru.hpp"

#include <chrono>
#include <cstdio>
#include <random>

static constexpr int sampleRate = 44100;

static int fail(const std::string &message) {
  std::fprintf(stderr, "guitar_amp: error: %s\n", message.c_str());
  return 1;
}

/// A string by Karplus and Strong: noise that runs round in a delay line.
static std::vector<float> pluckString(double frequency, size_t samples) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-0.5f, 0.5f);
  std::vector<float> line(size_t(sampleRate / frequency));
  for (float &value : line)
    value = uniform(generator);
  std::vector<float> sound(samples);
  for (size_t i = 0; i < samples; ++i) {
    float &value = line[i % line.size()];
    sound[i] = value;
    value = 0.498f * (value + line[(i + 1) % line.size()]);
  }
  return sound;
}

int main(int argc, char **argv) {
  if (argc < 2)
    return fail("no model, expected guitar_amp MODEL [OUT.wav]");
  auto model = gru::Model::load(argv[1]);
  if (!model)
    return fail(model.error().message());
  auto program = gru::compile(*model, {.batch = 1, .timesteps = 1});
  if (!program)
    return fail(program.error().message());
  gru::Session session = program->session({.max_timesteps = 1});

  std::vector<float> dry = pluckString(110, 2 * sampleRate), wet(dry.size());
  // Bound once, so that a sample pays for no checks.
  float in, out;
  if (auto done = session.bind({{&in, {1, 1, 1}}}, {{&out, {1, 1, 1}}}); !done)
    return fail(done.error().message());
  auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < dry.size(); ++i) {
    in = dry[i];
    if (auto done = session.run(); !done)
      return fail(done.error().message());
    wet[i] = out;
  }
  std::chrono::duration<double, std::nano> time =
      std::chrono::steady_clock::now() - begin;

  double perSample = time.count() / double(dry.size());
  auto loudest = [](float a, float b) { return std::abs(a) < std::abs(b); };
  std::printf("%zu samples, %.0f ns each: %.2f %% of the time there is\n",
              dry.size(), perSample, perSample * sampleRate / 1e7);
  float peak = *std::max_element(wet.begin(), wet.end(), loudest);
  std::printf("peak %.3f in, %.3f out\n",
              *std::max_element(dry.begin(), dry.end(), loudest), peak);
  if (!std::isfinite(peak) || peak == 0)
    return fail("the amplifier is silent");
  if (argc > 2 && !wav::write(argv[2], {sampleRate, {dry, wet}}))
    return fail(std::string(argv[2]) + ": cannot write");
  return 0;
}
