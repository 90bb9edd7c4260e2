//===- characters.cpp - text, a character at a time -----------------------===//
//
// Embedding, GRU, Dense: a character goes in, what the next one may be comes
// out, and the state of the GRU goes out and in again, owned by this program.
// The model (test/golden/models/characters) knows one sonnet.
//
//   example-characters MODEL PROMPT [TEMPERATURE [SEED]]
//
// With temperature 0 (the default) the likeliest character comes next, with
// more a random one.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

static int fail(const std::string &message) {
  std::fprintf(stderr, "characters: error: %s\n", message.c_str());
  return 1;
}

/// Draws a number with probabilities exp(logits / temperature).
static size_t sample(const std::vector<float> &logits, float temperature,
                     std::mt19937 &generator) {
  auto likeliest = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0)
    return size_t(likeliest - logits.begin());
  std::vector<float> weights;
  for (float logit : logits)
    weights.push_back(std::exp((logit - *likeliest) / temperature));
  return std::discrete_distribution<size_t>(weights.begin(),
                                            weights.end())(generator);
}

int main(int argc, char **argv) {
  const std::string alphabet = "\n ',.:;?abcdefghijklmnopqrstuvwxyz";
  if (argc < 3)
    return fail("expected characters MODEL PROMPT [TEMPERATURE [SEED]]");
  std::string prompt = argv[2];
  if (prompt.empty() || prompt.find_first_not_of(alphabet) != std::string::npos)
    return fail("the prompt may hold small letters, blanks and ',.:;?'");
  float temperature = argc > 3 ? std::strtof(argv[3], nullptr) : 0;
  std::mt19937 generator(argc > 4 ? unsigned(std::atoi(argv[4])) : 1);

  auto model = gru::Model::load(argv[1]);
  if (!model)
    return fail(model.error().message());
  auto program = gru::compile(*model, {.batch = 1, .timesteps = 1});
  if (!program)
    return fail(program.error().message());
  gru::Session session = program->session();

  int32_t character = 0;
  std::vector<float> logits(alphabet.size()), state(64), next(64);
  const int64_t units = int64_t(state.size()), count = int64_t(logits.size());
  for (int i = 0; i < int(prompt.size()) + 200; ++i) {
    bool given = i < int(prompt.size());
    character = int32_t(given ? alphabet.find(prompt[size_t(i)])
                              : sample(logits, temperature, generator));
    std::putchar(alphabet[size_t(character)]);
    if (auto done = session.run(
            {{&character, {1, 1}}, {state.data(), {1, units}}},
            {{logits.data(), {1, 1, count}}, {next.data(), {1, units}}});
        !done)
      return fail(done.error().message());
    state.swap(next);
  }
  std::putchar('\n');
  return 0;
}
