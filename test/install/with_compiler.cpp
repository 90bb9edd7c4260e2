#include <gru/gru.hpp>

#include <cstdio>

int main(int argc, char **argv) {
  auto model = gru::Model::load(argc > 1 ? argv[1] : "");
  if (!model)
    return std::fprintf(stderr, "%s\n", model.error().message().c_str()), 1;
  auto program = gru::compile(*model, {.batch = 1});
  if (!program)
    return std::fprintf(stderr, "%s\n", program.error().message().c_str()), 1;
  static float x[42], gains[22], speech[1];
  auto done = program->session().run(
      {{x, {1, 1, 42}}}, {{gains, {1, 1, 22}}, {speech, {1, 1, 1}}});
  std::printf("%.6f\n", static_cast<double>(speech[0]));
  return done ? 0 : 1;
}
