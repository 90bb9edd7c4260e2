//===- DropoutTest.cpp - dropout masks: drawn, kept, given, reset ---------===//
//
// Names that start with Keras are facts about Keras's cells; their comments say
// what was called there, and which entries of errors.json they are (as in
// KerasErrorsTest.cpp).
//
//===----------------------------------------------------------------------===//

#include "test/unit/DrawnTensors.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

using namespace gru;

namespace {

//===----------------------------------------------------------------------===//
// Cells
//===----------------------------------------------------------------------===//

CellDropout makeCell(const CellDropout::Options &options) {
  Result<CellDropout> cell = CellDropout::create(options);
  EXPECT_TRUE(cell) << cell.error().message();
  return std::move(*cell);
}

std::vector<float> copy(const Result<Masks> &masks) {
  EXPECT_TRUE(masks) << masks.error().message();
  return {masks->data.begin(), masks->data.end()};
}

const int64_t kSmall[] = {2, 3}, kLarge[] = {9, 9};

// GRUCell(dropout=.5).get_dropout_mask(x) and get_dropout_mask_for_cell(x,
// True) are one mask of x's shape. errors.json: keras3 dropout_mask_impl2,
// tf_keras dropout_mask_count1.
TEST(KerasCell, OneMask) {
  CellDropout cell = makeCell({.dropout = 0.5});
  Result<Masks> masks = cell.get_dropout_mask_for_cell(kSmall, true);
  ASSERT_TRUE(masks);
  EXPECT_EQ(masks->count, 1u);
  EXPECT_EQ(masks->dims, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(masks->data.size(), 6u);
}

// implementation=1 asks for three, and so does a cell with recurrent_dropout.
// errors.json: keras3 dropout_mask_impl1, keras3 dropout_mask_with_recurrent,
// keras3 recurrent_dropout_mask, tf_keras dropout_mask_count3,
// tf_keras recurrent_dropout_mask_count3.
TEST(KerasCell, ThreeMasks) {
  CellDropout cell = makeCell({.dropout = 0.5, .recurrent_dropout = 0.5});
  Result<Masks> masks = cell.get_dropout_mask_for_cell(kSmall, true, 3);
  ASSERT_TRUE(masks);
  EXPECT_EQ(masks->count, 3u);
  EXPECT_EQ(masks->data.size(), 18u);
  const int64_t state[] = {2, 4};
  masks = cell.get_recurrent_dropout_mask_for_cell(state, true, 3);
  ASSERT_TRUE(masks);
  EXPECT_EQ(masks->count, 3u);
  EXPECT_EQ(masks->dims, (std::vector<int64_t>{2, 4}));
}

// get_dropout_mask_for_cell(x, False, count=2) is [[[1, 1, 1]], [[1, 1, 1]]].
// errors.json: tf_keras dropout_mask_not_training.
TEST(KerasCell, NotTraining) {
  CellDropout cell = makeCell({.dropout = 0.5});
  const int64_t row[] = {1, 3};
  Result<Masks> masks = cell.get_dropout_mask_for_cell(row, false, 2);
  EXPECT_EQ(masks->count, 2u);
  EXPECT_EQ(copy(masks), std::vector<float>(6, 1.0f));
  // They are not kept: what is drawn for training afterwards drops.
  std::vector<float> drawn = copy(cell.get_dropout_mask_for_cell(kLarge, true));
  EXPECT_EQ(std::count(drawn.begin(), drawn.end(), 1.0f), 0);
  // Nor is a drawn one given to who is not training.
  EXPECT_EQ(copy(cell.get_dropout_mask_for_cell(row, false)),
            std::vector<float>(3, 1.0f));
}

// GRUCell(4).get_dropout_mask(x) is None.
// errors.json: both dropout_mask_rate_zero.
TEST(KerasCell, RateZero) {
  CellDropout cell = makeCell({});
  Result<Masks> masks = cell.get_dropout_mask_for_cell(kSmall, true);
  ASSERT_TRUE(masks);
  EXPECT_EQ(masks->count, 0u);
  EXPECT_EQ(masks->data.data(), nullptr);
  EXPECT_EQ(cell.get_recurrent_dropout_mask_for_cell(kSmall, true)->count, 0u);
}

// All of three masks are the same objects when asked for again, and a mask of
// (2, 3) is given to who asks for (9, 9).
// errors.json: both dropout_mask_cached.
TEST(KerasCell, Kept) {
  CellDropout cell = makeCell({.dropout = 0.5});
  Result<Masks> first = cell.get_dropout_mask_for_cell(kSmall, true, 3);
  Result<Masks> second = cell.get_dropout_mask_for_cell(kLarge, true, 3);
  EXPECT_EQ(first->data.data(), second->data.data());
  EXPECT_EQ(second->dims, (std::vector<int64_t>{2, 3}));
}

// After count=1, count=3 still gives the one mask of two rows: its len is 2.
// errors.json: tf_keras dropout_mask_cached_ignores_count.
TEST(KerasCell, KeptWhateverTheCount) {
  CellDropout cell = makeCell({.dropout = 0.5});
  (void)cell.get_dropout_mask_for_cell(kSmall, true, 1);
  Result<Masks> masks = cell.get_dropout_mask_for_cell(kSmall, true, 3);
  EXPECT_EQ(masks->count, 1u);
  EXPECT_EQ(masks->dims.front(), 2);
}

// reset_dropout_mask: the next mask is another; the recurrent one stays.
// errors.json: both dropout_mask_reset.
TEST(KerasCell, Reset) {
  CellDropout cell = makeCell({.dropout = 0.5, .recurrent_dropout = 0.5});
  std::vector<float> mask = copy(cell.get_dropout_mask_for_cell(kLarge, true));
  std::vector<float> recurrent =
      copy(cell.get_recurrent_dropout_mask_for_cell(kLarge, true));
  cell.reset_dropout_mask();
  EXPECT_NE(copy(cell.get_dropout_mask_for_cell(kLarge, true)), mask);
  EXPECT_EQ(copy(cell.get_recurrent_dropout_mask_for_cell(kLarge, true)),
            recurrent);
  cell.reset_recurrent_dropout_mask();
  EXPECT_NE(copy(cell.get_recurrent_dropout_mask_for_cell(kLarge, true)),
            recurrent);
}

// The values of GRUCell(4, dropout=.2)'s mask are 0 and 1.25.
// errors.json: both dropout_mask_values.
TEST(KerasCell, Values) {
  CellDropout cell = makeCell({.dropout = 0.2});
  const int64_t dims[] = {50, 50};
  std::vector<float> mask = copy(cell.get_dropout_mask_for_cell(dims, true));
  EXPECT_EQ(std::set<float>(mask.begin(), mask.end()),
            (std::set<float>{0.0f, 1.25f}));
}

// A fused layer of tf_keras asks with its whole input: masks of (2, 4, 3).
// errors.json: tf_keras dropout_mask_fused_layer_is_per_timestep.
TEST(KerasCell, PerTimestep) {
  CellDropout cell = makeCell({.dropout = 0.5});
  const int64_t sequence[] = {2, 4, 3};
  Result<Masks> masks = cell.get_dropout_mask_for_cell(sequence, true, 3);
  EXPECT_EQ(masks->count, 3u);
  EXPECT_EQ(masks->dims, (std::vector<int64_t>{2, 4, 3}));
}

// dropout=1.5 is 1.0, dropout=-0.5 is 0.0; a rate of 1 fails in training only.
TEST(KerasCell, RatesAreClamped) {
  EXPECT_EQ(makeCell({.dropout = -0.5})
                .get_dropout_mask_for_cell(kSmall, true)
                ->count,
            0u);
  CellDropout cell = makeCell({.dropout = 1.5, .recurrent_dropout = 7});
  EXPECT_TRUE(cell.get_dropout_mask_for_cell(kSmall, false));
  Result<Masks> masks = cell.get_dropout_mask_for_cell(kSmall, true);
  ASSERT_FALSE(masks);
  EXPECT_EQ(masks.error().message(),
            "dropout: rate is 1 in training, expected a rate below 1");
  EXPECT_FALSE(cell.get_recurrent_dropout_mask_for_cell(kSmall, true));
}

TEST(Cell, BadArguments) {
  CellDropout cell = makeCell({.dropout = 0.5});
  const int64_t negative[] = {2, -3}, huge[] = {1 << 30, 1 << 30};
  EXPECT_FALSE(cell.get_dropout_mask_for_cell(negative, true));
  EXPECT_FALSE(cell.get_dropout_mask_for_cell(huge, true));
  EXPECT_FALSE(cell.get_dropout_mask_for_cell(kSmall, true, 0));
  EXPECT_FALSE(CellDropout::create({.dropout = std::nan("")}));
  EXPECT_EQ(gru_cell_dropout_create(nullptr, nullptr), GRU_INVALID_ARGUMENT);
  gru_cell_dropout_reset_mask(nullptr);
  gru_cell_dropout_reset_recurrent_mask(nullptr);
  gru_cell_dropout_destroy(nullptr);
}

//===----------------------------------------------------------------------===//
// The generator
//===----------------------------------------------------------------------===//

// The vectors that the authors of the generator publish.
TEST(Philox, KnownAnswers) {
  using runtime::Counter;
  EXPECT_EQ(runtime::philox({0, 0, 0, 0}, 0, 0),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(runtime::philox({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(runtime::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                            0xa4093822, 0x299f31d0),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

Program compileMask(int64_t rows, int64_t columns, double rate,
                    const char *target) {
  return compileDrawing(
      "gru.dropout_mask",
      attributePair("rate", rate, "scale", float(1 / (1 - rate))), rows,
      columns, target);
}

// 10^6 draws: the rate within four standard deviations, and nothing but 0 and
// 1/(1 - rate).
TEST(DrawnMask, Rate) {
  for (double rate : {0.1, 0.3, 0.5, 0.75}) {
    Program program = compileMask(1000, 1000, rate, "cpu");
    Session session = program.session();
    set_seed(session, 42);
    for (int run = 0; run < 2; ++run) {
      std::vector<float> mask = drawOnce(session, 1000, 1000);
      double n = mask.size();
      double dropped = std::count(mask.begin(), mask.end(), 0.0f);
      double kept = std::count(mask.begin(), mask.end(), float(1 / (1 - rate)));
      EXPECT_EQ(dropped + kept, n);
      EXPECT_LE(std::fabs(dropped / n - rate),
                4 * std::sqrt(rate * (1 - rate) / n));
    }
  }
}

// Both targets draw what the runtime draws, and each run draws anew.
TEST(DrawnMask, SameOnEveryTarget) {
  for (auto [rows, columns] : kDrawnSizes) {
    for (const char *target : {"cpu", "reference"}) {
      Program program = compileMask(rows, columns, 0.3, target);
      Session session = program.session();
      uint64_t seed = 0x123456789abcdefull;
      set_seed(session, seed);
      for (uint64_t draw = 0; draw < 3; ++draw) {
        std::vector<float> mask = drawOnce(session, rows, columns);
        for (size_t i = 0; i < mask.size(); ++i) {
          bool dropped = runtime::dropoutBits(i, seed, draw, kStream) <
                         uint32_t(0.3 * 0x1p32);
          EXPECT_EQ(mask[i], dropped ? 0.0f : float(1 / 0.7)) << target << i;
        }
      }
    }
  }
}

TEST(DrawnMask, SeedAndReset) {
  Program program = compileMask(20, 20, 0.5, "cpu");
  Session a = program.session(), b = program.session();
  set_seed(a, 1);
  set_seed(b, 1);
  std::vector<float> first = drawOnce(a, 20, 20);
  EXPECT_EQ(drawOnce(b, 20, 20), first);
  std::vector<float> second = drawOnce(a, 20, 20);
  EXPECT_NE(second, first);
  // A new sequence is no new stream of masks.
  b.reset_states();
  EXPECT_EQ(drawOnce(b, 20, 20), second);
  // The same seed starts over, another one is another.
  set_seed(a, 1);
  EXPECT_EQ(drawOnce(a, 20, 20), first);
  set_seed(a, 2);
  EXPECT_NE(drawOnce(a, 20, 20), first);
  // What is saved goes on where it was.
  set_seed(a, 1);
  auto saved = a.save_state();
  (void)drawOnce(a, 20, 20);
  ASSERT_TRUE(a.restore_state(*saved));
  EXPECT_EQ(drawOnce(a, 20, 20), first);
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

struct BuiltModel {
  std::vector<float> kernel, recurrent, bias;
  Result<Model> model;

  BuiltModel(const GRU &layer, int64_t features)
      : kernel(random(features * 3 * layer.units)),
        recurrent(random(layer.units * 3 * layer.units)),
        bias(random(6 * layer.units)),
        model(Model::build(layer, {kernel, recurrent, bias})) {
    EXPECT_TRUE(model) << model.error().message();
  }

  static std::vector<float> random(size_t n) {
    std::minstd_rand generator(n);
    std::vector<float> values(n);
    for (float &value : values)
      value = float(generator()) / float(generator.max()) - 0.5f;
    return values;
  }
};

constexpr int64_t kBatch = 3, kTime = 4, kFeatures = 5, kUnits = 6;

std::vector<float> runOn(Session &session, std::vector<float> &x) {
  std::vector<float> y(kBatch * kTime * kUnits);
  Result<void> ran = session.run({{x.data(), {kBatch, kTime, kFeatures}}},
                                 {{y.data(), {kBatch, kTime, kUnits}}});
  EXPECT_TRUE(ran) << ran.error().message();
  return y;
}

// training is a flag of the call: both kinds of calls go on with the same
// states, and draw and compute what programs of their own would.
TEST(TrainingCall, IsAFlag) {
  GRU layer{.units = kUnits};
  layer.dropout = 0.4;
  layer.return_sequences = true;
  layer.stateful = true;
  BuiltModel built(layer, kFeatures);
  CompileOptions options;
  options.batch = kBatch;
  Result<Program> program = compile(*built.model, options);
  ASSERT_TRUE(program) << program.error().message();
  Session session = program->session({.max_timesteps = kTime});
  std::vector<float> x = BuiltModel::random(kBatch * kTime * kFeatures);
  std::vector<float> y(kBatch * kTime * kUnits);
  auto train = [&] {
    return session.run({{x.data(), {kBatch, kTime, kFeatures}}},
                       {{y.data(), {kBatch, kTime, kUnits}}},
                       {.training = true});
  };
  Result<void> unprepared = train();
  ASSERT_FALSE(unprepared);
  EXPECT_NE(unprepared.error().message().find("gru_session_prepare_training"),
            std::string::npos)
      << unprepared.error().message();

  set_seed(session, 7); // before there is anything to draw
  Result<void> prepared = prepare_training(session, *built.model, options);
  ASSERT_TRUE(prepared) << prepared.error().message();
  gru_program *training = gru_session_training_program(session.get());
  ASSERT_TRUE(prepare_training(session, *built.model, options));
  EXPECT_EQ(gru_session_training_program(session.get()), training);

  options.training = true;
  Result<Program> trained = compile(*built.model, options);
  ASSERT_TRUE(trained) << trained.error().message();
  Session a = program->session(), b = trained->session();
  set_seed(b, 7);
  std::vector<std::byte> state(kBatch * kUnits * sizeof(float));
  for (bool isTraining : {false, true, true, false, true}) {
    Session &own = isTraining ? b : a, &other = isTraining ? a : b;
    std::vector<float> expected = runOn(own, x);
    ASSERT_TRUE(own.get_state(0, state));
    ASSERT_TRUE(other.set_state(0, state));
    if (isTraining) {
      Result<void> ran = train();
      ASSERT_TRUE(ran) << ran.error().message();
    } else {
      y = runOn(session, x);
    }
    EXPECT_EQ(y, expected);
  }
  session.reset_states();
  a.reset_states();
  EXPECT_EQ(runOn(session, x), runOn(a, x));
}

TEST(TrainingCall, WrongProgram) {
  GRU layer{.units = kUnits};
  layer.return_sequences = true;
  BuiltModel built(layer, kFeatures), wider(layer, kFeatures + 1);
  CompileOptions options;
  options.batch = kBatch;
  Session session = compile(*built.model, options)->session();
  options.training = true;
  Result<void> done =
      session.set_training_program(*compile(*wider.model, options));
  ASSERT_FALSE(done);
  EXPECT_EQ(
      done.error().message(),
      "training program: input 0: found 'x' f32 [3, ?, 6], expected 'x' f32 "
      "[3, ?, 5] as in the session's program");
}

// A program that draws, against one that is given the masks which the runtime
// draws for a cell of the same seed: once per call, the same for its timesteps.
TEST(TrainedLayer, DrawsWhatACellDraws) {
  for (bool resetAfter : {true, false}) {
    GRU layer{.units = kUnits};
    layer.dropout = 0.4;
    layer.recurrent_dropout = 0.3;
    layer.return_sequences = true;
    layer.reset_after = resetAfter;
    BuiltModel built(layer, kFeatures);
    if (!resetAfter) {
      built.bias.resize(3 * kUnits);
      built.model =
          Model::build(layer, {built.kernel, built.recurrent, built.bias});
    }
    CompileOptions options;
    options.batch = kBatch;
    options.training = true;
    Result<Program> drawing = compile(*built.model, options);
    ASSERT_TRUE(drawing) << drawing.error().message();
    options.masks = {{"recurrent_dropout_mask", {3, kBatch, kUnits}},
                     {"gru/dropout_mask", {3, kBatch, kFeatures}}};
    Result<Program> given = compile(*built.model, options);
    ASSERT_TRUE(given) << given.error().message();
    std::vector<TensorInfo> inputs = given->inputs();
    ASSERT_EQ(inputs.size(), 3u);
    EXPECT_EQ(inputs[1].name, "gru/dropout_mask");
    EXPECT_EQ(inputs[2].name, "recurrent_dropout_mask");

    CellDropout cell = makeCell(
        {.dropout = 0.4, .recurrent_dropout = 0.3, .seed = 11, .stream = 0});
    Session a = drawing->session(), b = given->session();
    set_seed(a, 11);
    std::vector<float> x = BuiltModel::random(kBatch * kTime * kFeatures), last;
    for (int call = 0; call < 3; ++call) {
      std::vector<float> y = runOn(a, x), expected(y.size());
      EXPECT_NE(y, last);
      last = y;
      const int64_t input[] = {kBatch, kFeatures}, state[] = {kBatch, kUnits};
      std::vector<float> mask =
          copy(cell.get_dropout_mask_for_cell(input, true, 3));
      std::vector<float> recurrent =
          copy(cell.get_recurrent_dropout_mask_for_cell(state, true, 3));
      Result<void> ran = b.run({{x.data(), {kBatch, kTime, kFeatures}},
                                {mask.data(), {3, kBatch, kFeatures}},
                                {recurrent.data(), {3, kBatch, kUnits}}},
                               {{expected.data(), {kBatch, kTime, kUnits}}});
      ASSERT_TRUE(ran) << ran.error().message();
      EXPECT_EQ(y, expected);
      cell.reset_dropout_mask();
      cell.reset_recurrent_dropout_mask();
    }
  }
}

/// What training gives for the rates, or the error.
Result<std::vector<float>> train(GRU layer, bool training) {
  layer.units = kUnits;
  layer.return_sequences = true;
  BuiltModel built(layer, kFeatures);
  CompileOptions options;
  options.batch = kBatch;
  options.training = training;
  Result<Program> program = compile(*built.model, options);
  if (!program)
    return program.error();
  Session session = program->session();
  std::vector<float> x = BuiltModel::random(kBatch * kTime * kFeatures);
  return runOn(session, x);
}

// GRU(4, dropout=1.0)(x, training=True) and recurrent_dropout=1.0: Keras 3
// drops nothing, tf_keras raises. errors.json: both dropout_one_inference, both
// dropout_one_training, both recurrent_dropout_one_training.
TEST(KerasLayer, RateOne) {
  std::vector<float> plain = *train({}, false);
  EXPECT_EQ(*train({.dropout = 1.0}, false), plain);
  EXPECT_EQ(*train({.dropout = 1.5}, true), plain);
  EXPECT_EQ(*train({.recurrent_dropout = 1.0}, true), plain);
  for (auto [layer, name] :
       {std::pair{GRU{.dropout = 1.0, .keras_version = 2}, "dropout"},
        {GRU{.recurrent_dropout = 1.0, .keras_version = 2},
         "recurrent_dropout"}}) {
    EXPECT_EQ(*train(layer, false), plain);
    Result<std::vector<float>> result = train(layer, true);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message(),
              std::string("layer 'gru': ") + name +
                  " is 1 in training, expected a rate below 1");
  }
}

// dropout=-0.5 is 0.0.
TEST(KerasLayer, NegativeRate) {
  EXPECT_EQ(*train({.dropout = -0.5}, true), *train({}, false));
}

// GRU(4, dropout=.3, implementation=1)(x, training=True): Keras 3 raises,
// tf_keras does not, and with recurrent_dropout neither does. errors.json: both
// implementation1_dropout_training.
TEST(KerasLayer, Implementation1) {
  Result<std::vector<float>> result =
      train({.dropout = 0.3, .implementation = 1}, true);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("implementation 1 fails in Keras 3"),
            std::string::npos);
  EXPECT_TRUE(
      train({.dropout = 0.3, .implementation = 1, .keras_version = 2}, true));
  EXPECT_TRUE(train(
      {.dropout = 0.3, .recurrent_dropout = 0.1, .implementation = 1}, true));
}

// GRUCell(4, recurrent_dropout=.1, implementation=2).implementation is 1: the
// input masks that the program takes are three.
TEST(KerasLayer, RecurrentDropoutIsImplementation1) {
  GRU layer{.units = kUnits, .dropout = 0.3, .recurrent_dropout = 0.1};
  BuiltModel built(layer, kFeatures);
  CompileOptions options;
  options.batch = kBatch;
  options.training = true;
  options.masks = {{"dropout_mask", {7}}};
  Result<Program> program = compile(*built.model, options);
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().message(),
            "layer 'gru': dropout_mask is 7, expected 3x3x5 or 3x5");
}

} // namespace
