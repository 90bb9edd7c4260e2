//===- ApiTest.cpp - load, build, compile, run ----------------------------===//

#include "gru/gru.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>
#include <thread>

using namespace gru;
using testing::AllOf, testing::HasSubstr, testing::StartsWith;

namespace {
std::atomic<long> allocations{0};
} // namespace

// Every allocation of the process passes here; `run` must make none.
void *operator new(std::size_t size) {
  ++allocations;
  if (void *p = std::malloc(size ? size : 1))
    return p;
  std::abort();
}
void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
  ++allocations;
  return std::malloc(size ? size : 1);
}
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, std::size_t) noexcept { std::free(p); }

namespace {

struct Weights {
  std::vector<float> kernel, recurrent, bias;
  GRUWeights view() const { return {kernel, recurrent, bias}; }
};

std::vector<float> random(size_t n, unsigned seed, float scale) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(n);
  for (float &value : values)
    value = uniform(generator);
  return values;
}

Weights makeWeights(int64_t features, int64_t units, bool resetAfter,
                    unsigned seed = 1) {
  float scale = 1.5f / std::sqrt(float(units));
  return {random(features * 3 * units, seed, scale),
          random(units * 3 * units, seed + 1, scale),
          random((resetAfter ? 6 : 3) * units, seed + 2, 0.3f)};
}

/// The formula, in double, for one layer that returns sequences.
std::vector<double> reference(const GRU &layer, const Weights &weights,
                              const std::vector<float> &x, int64_t batch,
                              int64_t time, int64_t features) {
  int64_t units = layer.units, columns = 3 * units;
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  std::vector<double> y(batch * time * units);
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<double> h(units, 0.0);
    for (int64_t i = 0; i < time; ++i) {
      int64_t t = layer.go_backwards ? time - 1 - i : i;
      auto input = [&](int64_t column) {
        double sum = weights.bias[column];
        for (int64_t f = 0; f < features; ++f)
          sum += double(x[(b * time + t) * features + f]) *
                 weights.kernel[f * columns + column];
        return sum;
      };
      auto recurrent = [&](const std::vector<double> &state, int64_t column) {
        double sum = layer.reset_after ? weights.bias[columns + column] : 0;
        for (int64_t k = 0; k < units; ++k)
          sum += state[k] * weights.recurrent[k * columns + column];
        return sum;
      };
      std::vector<double> z(units), r(units), next(units), gated(units);
      for (int64_t u = 0; u < units; ++u) {
        z[u] = sigmoid(input(u) + recurrent(h, u));
        r[u] = sigmoid(input(units + u) + recurrent(h, units + u));
        gated[u] = r[u] * h[u];
      }
      for (int64_t u = 0; u < units; ++u) {
        int64_t column = 2 * units + u;
        double inner = layer.reset_after ? r[u] * recurrent(h, column)
                                         : recurrent(gated, column);
        double candidate = std::tanh(input(column) + inner);
        next[u] = z[u] * h[u] + (1 - z[u]) * candidate;
      }
      h = next;
      std::copy(h.begin(), h.end(), y.begin() + (b * time + i) * units);
    }
  }
  return y;
}

double largestError(const std::vector<float> &y,
                    const std::vector<double> &expected) {
  double error = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    double e = std::fabs(y[i] - expected[i]);
    // A NaN must not hide.
    error = e > error || std::isnan(e) ? e : error;
  }
  return error;
}

class BuiltLayer
    : public testing::TestWithParam<std::tuple<int, int, int, bool, bool>> {};

TEST_P(BuiltLayer, AgreesWithFormula) {
  auto [units, batch, features, resetAfter, backwards] = GetParam();
  GRU layer{.units = units};
  layer.return_sequences = true;
  layer.reset_after = resetAfter;
  layer.go_backwards = backwards;
  Weights weights = makeWeights(features, units, resetAfter);
  auto model = Model::build(layer, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  int64_t time = 7;
  std::vector<float> x = random(batch * time * features, 9, 1);
  std::vector<double> expected =
      reference(layer, weights, x, batch, time, features);
  for (const char *target : {"cpu", "reference"}) {
    auto program = compile(*model, {.batch = batch, .target = target});
    ASSERT_TRUE(program) << program.error().message();
    Session session = program->session({.max_timesteps = time});
    std::vector<float> y(batch * time * units, -1), kept = x;
    auto done = session.run({{x.data(), {batch, time, features}}},
                            {{y.data(), {batch, time, units}}});
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(x, kept) << "the input was written";
    // float32 sums of up to 100 terms of magnitude 1.
    EXPECT_LE(largestError(y, expected), 3e-6) << target;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BuiltLayer,
                         testing::Combine(testing::Values(1, 5, 16, 33, 70),
                                          testing::Values(1, 3, 9),
                                          testing::Values(1, 6),
                                          testing::Bool(), testing::Bool()));

/// Rounded weights give other results, near the exact ones, and unknown types
/// none.
TEST(Compile, StoresKernelsInFewerBytes) {
  int64_t units = 70, features = 5, batch = 2, time = 7;
  Weights weights = makeWeights(features, units, true);
  GRU layer{.units = units};
  layer.return_sequences = true;
  auto model = Model::build(layer, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  std::vector<float> x = random(batch * time * features, 9, 1);
  std::vector<double> expected =
      reference(layer, weights, x, batch, time, features);
  uint64_t bytes = ~uint64_t(0);
  for (const char *type : {"", "bf16", "int8"}) {
    auto program =
        compile(*model, {.batch = batch, .target = "cpu", .weight_type = type});
    ASSERT_TRUE(program) << program.error().message();
    EXPECT_LT(program->weights_bytes(), bytes) << type;
    bytes = program->weights_bytes();
    Session session = program->session({.max_timesteps = time});
    std::vector<float> y(batch * time * units);
    auto done = session.run({{x.data(), {batch, time, features}}},
                            {{y.data(), {batch, time, units}}});
    ASSERT_TRUE(done) << done.error().message();
    double error = largestError(y, expected);
    EXPECT_LE(error, *type ? 0.02 : 3e-6) << type;
    EXPECT_GE(error, *type ? 1e-5 : 0) << type;
  }
  // A row that holds something that is not a number gives nothing else, as
  // exact products do, and the other row is not touched.
  x[3] = std::numeric_limits<float>::quiet_NaN();
  auto program =
      compile(*model, {.batch = batch, .target = "cpu", .weight_type = "int8"});
  Session session = program->session({.max_timesteps = time});
  std::vector<float> y(batch * time * units);
  ASSERT_TRUE(session.run({{x.data(), {batch, time, features}}},
                          {{y.data(), {batch, time, units}}}));
  for (int64_t i = 0; i < batch * time * units; ++i)
    EXPECT_EQ(std::isnan(y[i]), i < time * units) << i;

  auto unknown = compile(*model, {.target = "cpu", .weight_type = "int4"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message(),
            "weight-type: is 'int4', expected bf16, int8, or nothing");
}

/// Zeros of recurrent kernels are left out where that pays, and said to be.
TEST(Compile, LeavesZerosOfSparseKernelsOut) {
  int64_t units = 70, features = 5, time = 7;
  struct Case {
    int64_t zeros; ///< Of ten runs of 32 units.
    const char *remark;
  };
  for (Case c : {Case{0, nullptr},
                 {3, "too many to gain by leaving"},
                 {9, "and the products leave the others out"}})
    for (int64_t batch : {1, 2, 5})
      for (bool resetAfter : {true, false}) {
        Weights weights = makeWeights(features, units, resetAfter);
        for (size_t i = 0; i < weights.recurrent.size(); ++i)
          if (int64_t(i) / 32 % 10 < c.zeros)
            weights.recurrent[i] *= 0; // Some become -0.
        GRU layer{.units = units, .reset_after = resetAfter};
        layer.return_sequences = true;
        auto model = Model::build(layer, weights.view());
        ASSERT_TRUE(model) << model.error().message();
        std::vector<std::string> remarks;
        auto program =
            compile(*model, {.batch = batch,
                             .target = "cpu",
                             .on_remark = [&](std::string_view text) {
                               remarks.emplace_back(text);
                             }});
        ASSERT_TRUE(program) << program.error().message();
        ASSERT_EQ(remarks.size(), c.remark ? 1u : 0u);
        if (c.remark)
          EXPECT_THAT(
              remarks[0],
              AllOf(StartsWith("gru/recurrent_kernel: "),
                    HasSubstr("% of its blocks of 16 units are not zero"),
                    HasSubstr(c.remark)));
        std::vector<float> x = random(batch * time * features, 9, 1);
        Session session = program->session({.max_timesteps = time});
        std::vector<float> y(batch * time * units);
        auto done = session.run({{x.data(), {batch, time, features}}},
                                {{y.data(), {batch, time, units}}});
        ASSERT_TRUE(done) << done.error().message();
        EXPECT_LE(largestError(
                      y, reference(layer, weights, x, batch, time, features)),
                  3e-6);
      }
}

class RunOf : public testing::TestWithParam<const char *> {
protected:
  /// A program for the target; a test without it is skipped.
  void SetUp() override {
    Weights weights = makeWeights(1, 1, true);
    auto model = Model::build(GRU{.units = 1}, weights.view());
    auto program = compile(*model, {.target = GetParam()});
    if (!program && program.error().message().find("without Halide") !=
                        std::string_view::npos)
      GTEST_SKIP() << program.error().message();
  }
};
INSTANTIATE_TEST_SUITE_P(Target, RunOf, testing::Values("cpu", "halide"));

TEST_P(RunOf, AllocatesNothing) {
  Weights weights = makeWeights(4, 24, true);
  GRU layer{.units = 24};
  layer.return_sequences = true;
  auto model = Model::build(layer, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  auto program = compile(*model, {.target = GetParam()});
  ASSERT_TRUE(program) << program.error().message();
  Session session = program->session({.max_timesteps = 16});
  std::vector<float> x = random(16 * 4, 3, 1), y(16 * 24);
  int64_t in[] = {1, 16, 4}, out[] = {1, 16, 24};
  TensorView input(x.data(), in), output(y.data(), out);
  long before = allocations;
  bool ok = bool(session.run({&input, 1}, {&output, 1}));
  long after = allocations;
  EXPECT_TRUE(ok);
  EXPECT_EQ(after - before, 0);
}

TEST_P(RunOf, ManyStepsAreOneSequence) {
  // With the state carried, T runs of one step are one run of T steps, bit for
  // bit: summation order must not depend on how a stream is cut.
  Weights weights = makeWeights(3, 20, true);
  GRU layer{.units = 20};
  layer.return_sequences = true;
  layer.stateful = true;
  auto model = Model::build(layer, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  auto program = compile(*model, {.batch = 2, .target = GetParam()});
  ASSERT_TRUE(program) << program.error().message();
  int64_t time = 9;
  std::vector<float> x = random(2 * time * 3, 4, 1);
  std::vector<float> whole(2 * time * 20), step(2 * 20);
  Session one = program->session({.max_timesteps = time});
  ASSERT_TRUE(
      one.run({{x.data(), {2, time, 3}}}, {{whole.data(), {2, time, 20}}}));
  Session many = program->session({.max_timesteps = 1});
  for (int64_t t = 0; t < time; ++t) {
    float xt[2 * 3];
    for (int b = 0; b < 2; ++b)
      std::copy_n(&x[(b * time + t) * 3], 3, &xt[b * 3]);
    ASSERT_TRUE(many.run({{xt, {2, 1, 3}}}, {{step.data(), {2, 1, 20}}}));
    for (int b = 0; b < 2; ++b)
      for (int u = 0; u < 20; ++u)
        ASSERT_EQ(step[b * 20 + u], whole[(b * time + t) * 20 + u])
            << "t=" << t << " b=" << b << " u=" << u;
  }
  // After a reset the sequence begins anew.
  many.reset_states();
  float first[2 * 3];
  for (int b = 0; b < 2; ++b)
    std::copy_n(&x[b * time * 3], 3, &first[b * 3]);
  ASSERT_TRUE(many.run({{first, {2, 1, 3}}}, {{step.data(), {2, 1, 20}}}));
  EXPECT_EQ(step[0], whole[0]);
}

TEST(Compile, ManyThreadsShareOneKernel) {
  Weights weights = makeWeights(5, 12, false);
  GRU layer{.units = 12};
  layer.reset_after = false;
  auto model = Model::build(layer, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  std::atomic<int> compiled{0}, failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      bool mine = false;
      auto program = compile(
          *model, {.batch = 2,
                   .on_phase = [&](std::string_view, double) { mine = true; }});
      compiled += mine;
      failed += !program;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(compiled, 1) << "equal requests compile once";
}

TEST(Compile, RetrainedModelReusesKernel) {
  GRU layer{.units = 12};
  Weights first = makeWeights(5, 12, true, 1),
          second = makeWeights(5, 12, true, 7);
  std::vector<float> x = random(3 * 5, 2, 1), y(12);
  int phases = 0;
  for (const Weights *weights : {&first, &second}) {
    auto model = Model::build(layer, weights->view());
    ASSERT_TRUE(model) << model.error().message();
    phases = 0;
    auto program = compile(
        *model, {.on_phase = [&](std::string_view, double) { ++phases; }});
    ASSERT_TRUE(program) << program.error().message();
    Session session = program->session();
    ASSERT_TRUE(session.run({{x.data(), {1, 3, 5}}}, {{y.data(), {1, 12}}}));
    GRU sequences = layer;
    sequences.return_sequences = true;
    std::vector<double> all = reference(sequences, *weights, x, 1, 3, 5);
    std::vector<double> last(all.end() - 12, all.end());
    EXPECT_LE(largestError(y, last), 2e-6);
  }
  EXPECT_EQ(phases, 0) << "only the weights differ";
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST(Errors, NameWhatIsWrong) {
  auto missing = Model::load("no-such-file.keras");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("no-such-file.keras"),
            std::string::npos);

  GRU layer{.units = 4};
  Weights weights = makeWeights(3, 4, true);
  layer.activation = "wobble";
  auto unknown = Model::build(layer, weights.view());
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message().find("wobble"), std::string::npos);

  layer.activation = "tanh";
  layer.units = 0;
  EXPECT_FALSE(Model::build(layer, weights.view()));
  layer.units = 4;
  weights.bias.pop_back();
  auto uneven = Model::build(layer, weights.view());
  ASSERT_FALSE(uneven);
  EXPECT_NE(uneven.error().message().find("bias"), std::string::npos);
}

TEST(Errors, OptionsAreChecked) {
  Weights weights = makeWeights(3, 4, true);
  auto model = Model::build({.units = 4}, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_FALSE(compile(*model, {.batch = -1}));
  EXPECT_FALSE(compile(*model, {.timesteps = -3}));
  EXPECT_FALSE(compile(*model, {.target = "toaster"}));
  EXPECT_FALSE(compile(*model, {.mcpu = "toaster"}));
  EXPECT_FALSE(compile(*model, {.target = "reference", .stop_after = "lunch"}));
  EXPECT_FALSE(compile(*model, {.require_backend = "cudnn"}));
  EXPECT_TRUE(compile(*model, {.require_backend = "cpu"}));
}

TEST(Errors, RunChecksShapes) {
  Weights weights = makeWeights(3, 4, true);
  auto model = Model::build({.units = 4}, weights.view());
  ASSERT_TRUE(model) << model.error().message();
  auto program = compile(*model, {.batch = 2});
  ASSERT_TRUE(program) << program.error().message();
  Session session = program->session({.max_timesteps = 5});
  std::vector<float> x(1000), y(1000);
  EXPECT_TRUE(session.run({{x.data(), {2, 5, 3}}}, {{y.data(), {2, 4}}}));
  // Another batch, another number of features, too long, empty, no output.
  EXPECT_FALSE(session.run({{x.data(), {3, 5, 3}}}, {{y.data(), {3, 4}}}));
  EXPECT_FALSE(session.run({{x.data(), {2, 5, 4}}}, {{y.data(), {2, 4}}}));
  EXPECT_FALSE(session.run({{x.data(), {2, 6, 3}}}, {{y.data(), {2, 4}}}));
  EXPECT_FALSE(session.run({{x.data(), {2, 0, 3}}}, {{y.data(), {2, 4}}}));
  EXPECT_FALSE(session.run({{x.data(), {2, 5, 3}}}, {}));
}

//===----------------------------------------------------------------------===//
// Every stage of the pipeline is the same function
//===----------------------------------------------------------------------===//

TEST(Bisect, EveryPhaseAgrees) {
  for (bool resetAfter : {true, false}) {
    Weights weights = makeWeights(5, 19, resetAfter);
    GRU layer{.units = 19};
    layer.return_sequences = true;
    layer.reset_after = resetAfter;
    layer.go_backwards = true;
    auto model = Model::build(layer, weights.view());
    ASSERT_TRUE(model) << model.error().message();
    std::vector<float> x = random(3 * 6 * 5, 2, 1);
    std::vector<double> expected = reference(layer, weights, x, 3, 6, 5);
    for (const char *phase :
         {"specialize", "legalize", "sequence", "buffers", "loops"}) {
      auto program = compile(*model, {.batch = 3,
                                      .target = "reference",
                                      .stop_after = phase,
                                      .f64_outputs = true});
      ASSERT_TRUE(program) << phase << ": " << program.error().message();
      Session session = program->session();
      std::vector<double> y(3 * 6 * 19);
      auto done =
          session.run({{x.data(), {3, 6, 5}}}, {{y.data(), {3, 6, 19}}});
      ASSERT_TRUE(done) << done.error().message();
      double error = 0;
      for (size_t i = 0; i < y.size(); ++i)
        error = std::max(error, std::fabs(y[i] - expected[i]));
      EXPECT_LE(error, 1e-13) << phase;
    }
  }
}

} // namespace
