//===- TrainedLayersTest.cpp - which masks layers draw in training --------===//
//
// Each layer against masks that the runtime draws for cells of the same seed
// (DropoutTest looks at those themselves), and layers whose output shows the
// mask.
//
//===----------------------------------------------------------------------===//

#include "gru/dropout.hpp"
#include "test/unit/KerasConfigs.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace gru;

namespace {

/// B and T of all models here, whose inputs have 3 features.
constexpr int64_t kBatch = 2, kTime = 4;

Program compileTraining(const Model &model, CompileOptions options = {}) {
  options.batch = kBatch;
  options.training = true;
  Result<Program> program = compile(model, options);
  EXPECT_TRUE(bool(program)) << program.error().message();
  return program ? *program : Program();
}

/// A call with these inputs; the first output.
std::vector<float> run(const Program &program, Session &session,
                       std::span<const TensorView> inputs) {
  Result<std::vector<int64_t>> shape = program.output_shape(inputs, 0);
  EXPECT_TRUE(bool(shape)) << shape.error().message();
  if (!shape)
    return {};
  int64_t count = 1;
  for (int64_t size : *shape)
    count *= size;
  std::vector<float> y(count, -1.0f);
  TensorView output(y.data(), *shape);
  Result<void> done = session.run(inputs, std::span(&output, 1));
  EXPECT_TRUE(bool(done)) << done.error().message();
  return y;
}

/// A mask that a program takes, and the cell whose mask it has to be.
struct Mask {
  std::string name;
  std::vector<int64_t> dims;
  uint32_t stream; ///< Of the cell: its recurrent mask has the next number.
  bool recurrent = false;
};

struct Drawing {
  const char *what;
  std::string layers;
  std::vector<int64_t> input;
  std::vector<Mask> masks;
  int version = 3;
  uint64_t ownSeed = 0; ///< Of the layers; 0: the session's.
};

const std::string kRates =
    kUnits + R"(, "return_sequences": true, "dropout": 0.4,
                "recurrent_dropout": 0.3)";

const std::vector<Drawing> &drawings() {
  static const std::vector<Drawing> all = {
      {"bidirectional",
       bidirectional(kRates),
       {kBatch, kTime, 3},
       {{"forward/dropout_mask", {3, kBatch, 3}, 0},
        {"forward/recurrent_dropout_mask", {3, kBatch, 4}, 0, true},
        {"backward/dropout_mask", {3, kBatch, 3}, 2},
        {"backward/recurrent_dropout_mask", {3, kBatch, 4}, 2, true}}},
      {"bidirectional, one mask for all gates",
       bidirectional(kUnits + R"(, "dropout": 0.4)"),
       {kBatch, kTime, 3},
       {{"forward/dropout_mask", {kBatch, 3}, 0},
        {"backward/dropout_mask", {kBatch, 3}, 1}}},
      {"time_major",
       gruLayer(kRates + R"(, "time_major": true)"),
       {kTime, kBatch, 3},
       {{"dropout_mask", {3, kBatch, 3}, 0},
        {"recurrent_dropout_mask", {3, kBatch, 4}, 0, true}},
       2},
      {"time_major, another mask at each step",
       gruLayer(kUnits + R"(, "dropout": 0.4, "time_major": true,
                            "reset_after": true)"),
       {kTime, kBatch, 3},
       {{"dropout_mask", {kTime, kBatch, 3}, 0}},
       2},
      {"stacked cells",
       layer("RNN", R"("cell": [
           {"class_name": "GRUCell", "config": {"name": "c", "units": 4,
            "dropout": 0.4, "recurrent_dropout": 0.3}},
           {"class_name": "GRUCell", "config": {"name": "d", "units": 5,
            "dropout": 0.4, "recurrent_dropout": 0.3}}])"),
       {kBatch, kTime, 3},
       {{"dropout_mask_cell0", {3, kBatch, 3}, 0},
        {"recurrent_dropout_mask_cell0", {3, kBatch, 4}, 0, true},
        {"dropout_mask_cell1", {3, kBatch, 4}, 2},
        {"recurrent_dropout_mask_cell1", {3, kBatch, 5}, 2, true}}},
      {"seed of the layer",
       gruLayer(kRates + R"(, "seed": 99)"),
       {kBatch, kTime, 3},
       {{"dropout_mask", {3, kBatch, 3}, 0},
        {"recurrent_dropout_mask", {3, kBatch, 4}, 0, true}},
       3,
       99},
  };
  return all;
}

std::vector<float> sequence(const Drawing &drawing) {
  int64_t count = 1;
  for (int64_t size : drawing.input)
    count *= size;
  std::vector<float> x(count);
  for (int64_t i = 0; i < count; ++i)
    x[i] = std::sin(float(i + 1));
  return x;
}

// Three calls: each has masks of its own, those of a cell that was reset.
TEST(TrainedLayers, DrawWhatCellsDraw) {
  for (const Drawing &drawing : drawings()) {
    SCOPED_TRACE(drawing.what);
    auto model = load(drawing.layers, {}, drawing.version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    CompileOptions options;
    for (const Mask &mask : drawing.masks)
      options.masks.push_back({mask.name, mask.dims});
    Program drawn = compileTraining(*model),
            given = compileTraining(*model, options);
    ASSERT_TRUE(drawn && given);
    std::vector<TensorInfo> infos = given.inputs();
    ASSERT_EQ(infos.size(), 1 + drawing.masks.size());

    Session a = drawn.session(), b = given.session();
    set_seed(a, 11);
    std::vector<float> x = sequence(drawing), last;
    TensorView input(x.data(), drawing.input);
    for (uint64_t call = 0; call < 3; ++call) {
      std::vector<float> y = run(drawn, a, std::span(&input, 1));
      EXPECT_NE(y, last) << "call " << call;
      last = y;
      std::vector<std::vector<float>> values;
      std::vector<TensorView> inputs = {input};
      for (size_t i = 1; i < infos.size(); ++i) {
        const Mask &mask = *std::find_if(
            drawing.masks.begin(), drawing.masks.end(),
            [&](const Mask &mask) { return mask.name == infos[i].name; });
        Result<CellDropout> cell =
            CellDropout::create({.dropout = 0.4,
                                 .recurrent_dropout = 0.3,
                                 .seed = drawing.ownSeed ? drawing.ownSeed : 11,
                                 .stream = mask.stream});
        ASSERT_TRUE(bool(cell));
        for (uint64_t reset = 0; reset < call; ++reset) {
          cell->reset_dropout_mask();
          cell->reset_recurrent_dropout_mask();
        }
        Result<Masks> masks =
            mask.recurrent
                ? cell->get_recurrent_dropout_mask_for_cell(mask.dims, true)
                : cell->get_dropout_mask_for_cell(mask.dims, true);
        ASSERT_TRUE(bool(masks));
        values.emplace_back(masks->data.begin(), masks->data.end());
        inputs.emplace_back(values.back().data(), mask.dims);
      }
      EXPECT_EQ(run(given, b, inputs), y) << "call " << call;
    }
  }
}

// The same masks on both targets and for any number of threads.
TEST(TrainedLayers, SameMasksEverywhere) {
  for (const Drawing &drawing : drawings()) {
    SCOPED_TRACE(drawing.what);
    auto model = load(drawing.layers, {}, drawing.version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    std::vector<float> x = sequence(drawing);
    TensorView input(x.data(), drawing.input);
    auto calls = [&](const CompileOptions &options) {
      Program program = compileTraining(*model, options);
      Session session = program.session();
      set_seed(session, 5);
      std::vector<float> y;
      for (int call = 0; call < 3; ++call)
        for (float value : run(program, session, std::span(&input, 1)))
          y.push_back(value);
      return y;
    };
    std::vector<float> cpu = calls({.target = "cpu"});
    EXPECT_EQ(calls({.threads = 3, .target = "cpu"}), cpu);
    std::vector<float> reference = calls({.target = "reference"});
    ASSERT_EQ(reference.size(), cpu.size());
    for (size_t i = 0; i < cpu.size(); ++i)
      EXPECT_NEAR(cpu[i], reference[i], 1e-5) << i;
  }
}

// A layer's own seed stands for the session's, and layers of one seed draw
// masks of their own.
TEST(TrainedLayers, OwnSeed) {
  auto draw = [](const std::string &arguments, uint64_t seed) {
    auto model = load(gruLayer(kRates + arguments));
    EXPECT_TRUE(bool(model)) << model.error().message();
    Program program = compileTraining(*model);
    Session session = program.session();
    set_seed(session, seed);
    std::vector<float> x(kBatch * kTime * 3, 0.5f);
    TensorView input(x.data(), {kBatch, kTime, 3});
    return run(program, session, std::span(&input, 1));
  };
  EXPECT_EQ(draw(R"(, "seed": 7)", 1), draw(R"(, "seed": 7)", 2));
  EXPECT_NE(draw(R"(, "seed": 7)", 1), draw(R"(, "seed": 8)", 1));
  EXPECT_EQ(draw(R"(, "seed": 7)", 1), draw("", 7));
  EXPECT_NE(draw("", 1), draw("", 2));
  // As Keras 3 writes a generator.
  EXPECT_EQ(draw(R"(, "seed": {"class_name": "SeedGenerator", "config":
                      {"seed": 7}})",
                 1),
            draw("", 7));
}

TEST(TrainedLayers, OwnSeedWithoutAFile) {
  const std::vector<float> kernel(3 * 12, 0.1f), recurrent(4 * 12, 0.2f);
  auto draw = [&](std::optional<int64_t> own, uint64_t seed) {
    auto model = Model::build({.units = 4,
                               .use_bias = false,
                               .dropout = 0.4,
                               .recurrent_dropout = 0.3,
                               .seed = own},
                              {kernel, recurrent});
    EXPECT_TRUE(bool(model)) << model.error().message();
    EXPECT_EQ(attribute(*model, "seed", "gru"), own ? "7" : "null");
    Program program = compileTraining(*model);
    Session session = program.session();
    set_seed(session, seed);
    std::vector<float> x(kBatch * kTime * 3, 0.5f);
    TensorView input(x.data(), {kBatch, kTime, 3});
    return run(program, session, std::span(&input, 1));
  };
  EXPECT_EQ(draw(7, 1), draw({}, 7));
  EXPECT_NE(draw(7, 1), draw({}, 1));
}

/// What a layer makes of ones [B, T, F]: its mask.
struct ShownMask {
  int64_t batch, time, features;
  std::vector<float> values;
  float at(int64_t b, int64_t t, int64_t f) const {
    return values[(b * time + t) * features + f];
  }
};

ShownMask showMask(const std::string &layer, int64_t batch, int64_t time,
                   int64_t features, const std::string &target = "cpu",
                   int threads = 1, int calls = 1) {
  auto model =
      load(layer, {.shape = "[null, null, " + std::to_string(features) + "]"});
  EXPECT_TRUE(bool(model)) << model.error().message();
  if (!model)
    return {};
  auto program = compile(
      *model,
      {.batch = batch, .threads = threads, .target = target, .training = true});
  EXPECT_TRUE(bool(program)) << program.error().message();
  if (!program)
    return {};
  Session session = program->session({.max_timesteps = time});
  set_seed(session, 3);
  ShownMask mask{batch, time, features, {}};
  std::vector<float> ones(batch * time * features, 1.0f);
  TensorView input(ones.data(), {batch, time, features});
  for (int call = 0; call < calls; ++call)
    mask.values = run(*program, session, std::span(&input, 1));
  return mask;
}

// 10^6 draws within four standard deviations, and nothing but 0 and 1/(1 -
// rate). Values that one draw covers are equal.
TEST(DropoutLayers, RateAndShape) {
  struct {
    const char *what;
    std::string layer;
    int64_t batch, time, features;
    bool sharesBatch = false, sharesTime = false;
  } cases[] = {
      {"Dropout", layer("Dropout", R"("rate": 0.3)"), 100, 100, 100},
      {"SpatialDropout1D", layer("SpatialDropout1D", R"("rate": 0.3)"), 1000, 2,
       1000, false, true},
      {"noise_shape over time",
       layer("Dropout", R"("rate": 0.3, "noise_shape": [null, 1, null])"), 1000,
       2, 1000, false, true},
      {"noise_shape over the batch",
       layer("Dropout", R"("rate": 0.3, "noise_shape": [1, null, 1000])"), 2,
       1000, 1000, true},
  };
  for (const auto &row : cases) {
    ShownMask mask = showMask(row.layer, row.batch, row.time, row.features);
    ASSERT_EQ(mask.values.size(), size_t(row.batch * row.time * row.features));
    EXPECT_EQ(std::set<float>(mask.values.begin(), mask.values.end()),
              (std::set<float>{0.0f, float(1 / 0.7)}))
        << row.what;
    double dropped = 0, draws = 0, unequal = 0;
    for (int64_t b = 0; b < row.batch; ++b)
      for (int64_t t = 0; t < row.time; ++t)
        for (int64_t f = 0; f < row.features; ++f) {
          int64_t drawnAt = row.sharesBatch ? 0 : b;
          int64_t drawnTime = row.sharesTime ? 0 : t;
          unequal += mask.at(b, t, f) != mask.at(drawnAt, drawnTime, f);
          if (b != drawnAt || t != drawnTime)
            continue;
          ++draws;
          dropped += mask.at(b, t, f) == 0;
        }
    EXPECT_EQ(unequal, 0) << row.what;
    EXPECT_EQ(draws, 1e6) << row.what;
    EXPECT_LE(std::fabs(dropped / draws - 0.3), 4 * std::sqrt(0.21 / draws))
        << row.what;
  }
}

TEST(DropoutLayers, SameMasksEverywhereAndNewOnes) {
  for (const char *arguments :
       {R"("Dropout", "rate": 0.3)", R"("SpatialDropout1D", "rate": 0.3)",
        R"("Dropout", "rate": 0.3, "noise_shape": [null, 1, 7])"}) {
    std::string text = arguments;
    size_t comma = text.find(", ");
    std::string called =
        layer(text.substr(1, comma - 2), text.substr(comma + 2));
    std::vector<float> mask = showMask(called, 3, 5, 7).values;
    EXPECT_EQ(showMask(called, 3, 5, 7, "reference").values, mask) << text;
    EXPECT_EQ(showMask(called, 3, 5, 7, "cpu", 3).values, mask) << text;
    EXPECT_NE(showMask(called, 3, 5, 7, "cpu", 1, 2).values, mask) << text;
  }
}

// What noise_shape cannot be.
TEST(DropoutLayers, Errors) {
  for (auto [arguments, message] :
       {std::pair{R"("rate": 0.3, "noise_shape": [null, 1])",
                  "layer 'a': noise_shape is [null,1], expected null, 1 or the "
                  "size for each dimension of"},
        {R"("rate": 0.3, "noise_shape": [null, 1, 5])",
         "noise_shape is [null,1,5]"},
        {R"("rate": 1.5)", "layer 'a': rate is 1.5"}}) {
    auto model = load(layer("Dropout", arguments));
    if (model) {
      auto program = compile(*model, {.training = true});
      ASSERT_FALSE(bool(program)) << arguments;
      EXPECT_HAS(program.error().message(), message);
    } else {
      EXPECT_HAS(model.error().message(), message);
    }
  }
}

} // namespace
