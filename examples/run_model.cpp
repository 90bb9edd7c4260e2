//===- run_model.cpp - load a model file, compile it, run it --------------===//
//
// Usage: run_model MODEL [TIMESTEPS]
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <cstdio>
#include <cstdlib>

static int fail(const std::string &message) {
  std::fprintf(stderr, "run_model: error: %s\n", message.c_str());
  return 1;
}

static size_t count(const std::vector<int64_t> &dims) {
  size_t elements = 1;
  for (int64_t dim : dims)
    elements *= dim;
  return elements;
}

int main(int argc, char **argv) {
  if (argc < 2)
    return fail("expected run_model MODEL [TIMESTEPS]");
  int64_t timesteps = argc > 2 ? std::atoll(argv[2]) : 10;

  auto model = gru::Model::load(argv[1]);
  if (!model)
    return fail(model.error().message());
  // The slow step. Code is made for this batch; the number of timesteps stays
  // open and may differ from run to run.
  auto program = gru::compile(*model, {.batch = 1});
  if (!program)
    return fail(program.error().message());
  gru::Session session = program->session({.max_timesteps = timesteps});
  if (!session)
    return fail(session.error().message());

  // Memory is the host's. Inputs: a ramp from -1 to 1.
  std::vector<std::vector<float>> memory;
  std::vector<gru::TensorView> inputs, outputs;
  for (const gru::TensorInfo &input : program->inputs()) {
    if (input.dtype != gru::DType::f32)
      return fail("input '" + input.name + "': expected f32, found " +
                  gru::dtypeName(input.dtype));
    std::vector<int64_t> dims = input.dims;
    for (int64_t &dim : dims)
      if (dim < 0)
        dim = timesteps;
    std::vector<float> &x = memory.emplace_back(count(dims));
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = 2 * float(i) / float(x.size()) - 1;
    inputs.emplace_back(x.data(), dims);
  }
  std::vector<gru::TensorInfo> infos = program->outputs();
  for (size_t i = 0; i < infos.size(); ++i) {
    auto dims = program->output_shape(inputs, i);
    if (!dims)
      return fail(dims.error().message());
    std::vector<float> &y = memory.emplace_back(count(*dims));
    outputs.emplace_back(y.data(), *dims);
  }

  if (auto done = session.run(inputs, outputs); !done)
    return fail(done.error().message());

  for (size_t i = 0; i < infos.size(); ++i) {
    std::printf("%s [", infos[i].name.c_str());
    for (int64_t dim : outputs[i].dims())
      std::printf(" %lld", static_cast<long long>(dim));
    std::printf(" ] = ");
    const float *y = static_cast<const float *>(outputs[i].data());
    size_t size = memory[inputs.size() + i].size();
    for (size_t k = 0; k < size && k < 4; ++k)
      std::printf("%.6f ", y[k]);
    std::printf("...\n");
  }
  return 0;
}
