//===- stream.cpp - a stateful layer, frame by frame ----------------------===//
//
// Builds a GRU layer without a file, feeds a stream to it one frame at a time,
// and shows that the results are those of one call over all frames, bit for
// bit; that reset_states() starts a new stream; and that a stream can be kept
// and gone on with later.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <cstdio>
#include <cstring>
#include <random>

static int fail(const std::string &message) {
  std::fprintf(stderr, "stream: error: %s\n", message.c_str());
  return 1;
}

static constexpr int64_t units = 32, features = 8, frames = 100;

int main() {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-0.3f, 0.3f);
  auto random = [&](size_t size) {
    std::vector<float> values(size);
    for (float &value : values)
      value = uniform(generator);
    return values;
  };
  std::vector<float> kernel = random(features * 3 * units);
  std::vector<float> recurrent_kernel = random(units * 3 * units);
  std::vector<float> bias = random(2 * 3 * units);

  auto model = gru::Model::build(
      gru::GRU{.units = units, .return_sequences = true, .stateful = true},
      {kernel, recurrent_kernel, bias});
  if (!model)
    return fail(model.error().message());
  auto program = gru::compile(*model, {.batch = 1});
  if (!program)
    return fail(program.error().message());

  // One call over the whole stream, to compare with.
  std::vector<float> x = random(frames * features), expected(frames * units);
  gru::Session whole = program->session({.max_timesteps = frames});
  if (auto done = whole.run({{x.data(), {1, frames, features}}},
                            {{expected.data(), {1, frames, units}}});
      !done)
    return fail(done.error().message());

  // One session per stream: it owns the state between calls.
  gru::Session session = program->session({.max_timesteps = 1});
  std::vector<float> y(frames * units);
  auto step = [&](int64_t frame) {
    return session.run({{&x[frame * features], {1, 1, features}}},
                       {{&y[frame * units], {1, 1, units}}});
  };
  for (int64_t frame = 0; frame < frames; ++frame)
    if (auto done = step(frame); !done)
      return fail(done.error().message());
  if (y != expected)
    return fail("frame by frame differs from one call");
  std::printf("%lld frames, one call each: the same bits as one call\n",
              static_cast<long long>(frames));

  // A new stream. Halfway its state is kept, and restored at the end.
  session.reset_states();
  std::vector<std::byte> kept;
  for (int64_t frame = 0; frame < frames; ++frame) {
    if (frame == frames / 2) {
      auto state = session.save_state();
      if (!state)
        return fail(state.error().message());
      kept = *state;
    }
    if (auto done = step(frame); !done)
      return fail(done.error().message());
  }
  if (y != expected)
    return fail("a stream after reset_states() differs from a first one");
  std::printf("after reset_states(): the same again\n");

  if (auto done = session.restore_state(kept); !done)
    return fail(done.error().message());
  std::fill(y.begin() + frames / 2 * units, y.end(), 0.0f);
  for (int64_t frame = frames / 2; frame < frames; ++frame)
    if (auto done = step(frame); !done)
      return fail(done.error().message());
  if (y != expected)
    return fail("a restored stream differs");
  std::printf("from a state of %zu bytes kept at frame %lld: the same again\n",
              kept.size(), static_cast<long long>(frames / 2));
  return 0;
}
