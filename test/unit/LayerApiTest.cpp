//===- LayerApiTest.cpp - layers, states and losses through the API -------===//
//
// What Keras's pages list as attributes and methods of GRU, GRUCell and RNN.
//
//===----------------------------------------------------------------------===//

#include "test/unit/KerasConfigs.h"

#include <cstring>

using namespace gru;

namespace {

TEST(LayerAttributes, Defaults) {
  auto model = load(gruLayer(R"("units": 4, "reset_after": true)"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_EQ(model->layers(), std::vector<std::string>{"a"});
  const std::pair<const char *, const char *> expected[] = {
      {"class_name", "\"GRU\""},
      {"name", "\"a\""},
      {"units", "4"},
      {"activation", "\"tanh\""},
      {"recurrent_activation", "\"sigmoid\""},
      {"use_bias", "true"},
      {"kernel_initializer", "\"glorot_uniform\""},
      {"recurrent_initializer", "\"orthogonal\""},
      {"bias_initializer", "\"zeros\""},
      {"kernel_regularizer", "null"},
      {"recurrent_regularizer", "null"},
      {"bias_regularizer", "null"},
      {"activity_regularizer", "null"},
      {"kernel_constraint", "null"},
      {"recurrent_constraint", "null"},
      {"bias_constraint", "null"},
      {"dropout", "0"},
      {"recurrent_dropout", "0"},
      {"implementation", "2"},
      {"reset_after", "true"},
      {"return_sequences", "false"},
      {"return_state", "false"},
      {"go_backwards", "false"},
      {"stateful", "false"},
      {"unroll", "false"},
      {"time_major", "false"},
      {"zero_output_for_mask", "false"},
      {"seed", "null"},
      {"states", "[null]"},
      {"state_size", "4"},
      {"output_size", "4"},
  };
  for (auto [name, value] : expected)
    EXPECT_EQ(attribute(*model, name), value) << name;
  EXPECT_HAS(
      attribute(*model, "colour"),
      "layer 'a': has no attribute 'colour', expected one of activation");
  EXPECT_HAS(attribute(*model, "units", "b"), "no layer 'b'");
}

TEST(LayerAttributes, WhatKerasChanges) {
  // errors.json: both dropout_above_one, both recurrent_dropout_above_one,
  // both dropout_negative, both implementation_with_recurrent_dropout,
  // tf_keras implementation_zero_from_config, both config_activation_none,
  // keras3 seed_serialized.
  auto model = load(gruLayer(R"("units": 4, "dropout": -0.5,
      "recurrent_dropout": 7, "implementation": 2, "activation": null,
      "seed": 7, "stateful": true)"),
                    ConfigInput{.shape = "[2, null, 3]"});
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_EQ(attribute(*model, "dropout"), "0");
  EXPECT_EQ(attribute(*model, "recurrent_dropout"), "1");
  EXPECT_EQ(attribute(*model, "implementation"), "1");
  EXPECT_EQ(attribute(*model, "activation"), "\"linear\"");
  EXPECT_EQ(attribute(*model, "seed"), "7");
  EXPECT_EQ(attribute(*model, "states"), "[\"a\"]");
  model = load(gruLayer(R"("units": 4, "implementation": 0, "dropout": 1.5)"),
               {}, 2);
  EXPECT_EQ(attribute(*model, "implementation"), "1");
  EXPECT_EQ(attribute(*model, "dropout"), "1");
}

TEST(LayerAttributes, PartsOfLayers) {
  auto model =
      load(layer("Bidirectional",
                 R"("layer": {"class_name": "GRU", "config": {"name": "g",
               "units": 4, "return_sequences": true}})") +
           "," +
           layer("RNN",
                 R"("cell": [{"class_name": "GRUCell", "config": {"units": 4}},
              {"class_name": "GRUCell", "config": {"units": 5,
               "kernel_initializer": "he_normal"}}])",
                 "b"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_EQ(model->layers(),
            (std::vector<std::string>{"a", "a/forward", "a/backward", "b",
                                      "b/cell0", "b/cell1"}));
  // errors.json: both bidirectional_forces_zero_output_seq,
  // both stacked_state_size, both cell_state_size.
  EXPECT_EQ(attribute(*model, "zero_output_for_mask", "a/backward"), "true");
  EXPECT_EQ(attribute(*model, "go_backwards", "a/forward"), "false");
  EXPECT_EQ(attribute(*model, "go_backwards", "a/backward"), "true");
  EXPECT_EQ(attribute(*model, "state_size", "b"), "[4,5]");
  EXPECT_EQ(attribute(*model, "output_size", "b"), "5");
  EXPECT_EQ(attribute(*model, "units", "b/cell1"), "5");
  EXPECT_EQ(attribute(*model, "state_size", "b/cell0"), "4");
  EXPECT_EQ(attribute(*model, "output_size", "b/cell0"), "4");
  EXPECT_EQ(attribute(*model, "kernel_initializer", "b/cell1"),
            "\"he_normal\"");
  EXPECT_EQ(attribute(*model, "kernel_initializer", "b/cell0"),
            "\"glorot_uniform\"");
}

TEST(InitialState, ThreeForms) {
  // errors.json: both layer_get_initial_state, keras3 initial_state_dtype_half.
  auto model = load(gruLayer(R"("units": 4, "dtype": "float16")"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto state = model->get_initial_state("a", {.batch_size = 3});
  ASSERT_TRUE(bool(state)) << state.error().message();
  ASSERT_EQ(state->size(), 1u);
  EXPECT_EQ(state->front().dims, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(state->front().dtype, DType::f16);
  EXPECT_EQ(state->front().data, std::vector<std::byte>(24));
  float none = 0;
  state =
      model->get_initial_state("a", {.inputs = TensorView(&none, {5, 2, 3})});
  ASSERT_TRUE(bool(state)) << state.error().message();
  EXPECT_EQ(state->front().dims, (std::vector<int64_t>{5, 4}));
  state = model->get_initial_state("a", {.batch_size = 2, .dtype = DType::f64});
  ASSERT_TRUE(bool(state)) << state.error().message();
  EXPECT_EQ(state->front().dtype, DType::f64);

  // errors.json: tf_keras cell_get_initial_state_nothing.
  state = model->get_initial_state("a", {});
  ASSERT_FALSE(bool(state));
  EXPECT_HAS(state.error().message(), "found neither inputs nor batch_size");
  state = model->get_initial_state("a", {.dtype = DType::f32});
  EXPECT_FALSE(bool(state));
  state = model->get_initial_state(
      "a", {.inputs = TensorView(&none, {5, 2, 3}), .batch_size = 4});
  ASSERT_FALSE(bool(state));
  EXPECT_HAS(state.error().message(),
             "batch_size is 4, but inputs have 5 rows");
  state = model->get_initial_state("a", {.batch_size = 1, .dtype = DType::i32});
  ASSERT_FALSE(bool(state));
  EXPECT_HAS(state.error().message(), "dtype is i32, expected f32");
}

TEST(InitialState, OfEachCell) {
  // errors.json: keras3 stack_get_initial_state, keras3 cell_get_initial_state,
  // tf_keras cell_get_initial_state_batch,
  // tf_keras cell_get_initial_state_inputs.
  auto model = load(layer("RNN", R"("cell": [{"class_name": "GRUCell", "config":
          {"units": 4}}, {"class_name": "GRUCell", "config": {"units": 5}}])"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  float none = 0;
  auto ofCell = model->get_initial_state("a/cell0",
                                         {.inputs = TensorView(&none, {5, 3})});
  ASSERT_TRUE(bool(ofCell)) << ofCell.error().message();
  ASSERT_EQ(ofCell->size(), 1u);
  EXPECT_EQ(ofCell->front().dims, (std::vector<int64_t>{5, 4}));
  auto states = model->get_initial_state("a", {.batch_size = 3});
  ASSERT_TRUE(bool(states)) << states.error().message();
  ASSERT_EQ(states->size(), 2u);
  EXPECT_EQ((*states)[0].dims, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ((*states)[1].dims, (std::vector<int64_t>{3, 5}));
}

TEST(ResetStates, Values) {
  auto model = load(gruLayer(R"("units": 4, "stateful": true)"),
                    ConfigInput{.shape = "[2, null, 3]"});
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto program = compile(*model, {});
  ASSERT_TRUE(bool(program)) << program.error().message();
  Session session = program->session();
  std::vector<float> ones(8, 1), found(8);
  TensorView value(ones.data(), {2, 4});
  auto done = session.reset_states(std::span(&value, 1));
  ASSERT_TRUE(bool(done)) << done.error().message();
  auto bytes = std::as_writable_bytes(std::span(found));
  ASSERT_TRUE(bool(session.get_state(0, bytes)));
  EXPECT_EQ(found, ones);

  // errors.json: both reset_states_with_value,
  // tf_keras reset_states_value_is_used, both reset_states_wrong_shape,
  // both reset_states_wrong_number.
  auto error = [&](std::vector<TensorView> values) {
    Result<void> done = session.reset_states(values);
    return done ? std::string() : done.error().message();
  };
  std::vector<float> more(10);
  std::vector<double> wide(8);
  EXPECT_HAS(error({TensorView(more.data(), {2, 5})}),
             "found [2, 5], expected [2, 4]");
  EXPECT_HAS(error({TensorView(ones.data(), {4, 2})}),
             "found [4, 2], expected [2, 4]");
  EXPECT_HAS(error({TensorView(wide.data(), {2, 4})}),
             "found f64, expected f32");
  EXPECT_HAS(error({value, value}),
             "wrong number of values, found 2, expected 1");
  EXPECT_HAS(error({}), "found 0, expected 1");
  // A call that fails has no effect.
  ASSERT_TRUE(bool(session.get_state(0, bytes)));
  EXPECT_EQ(found, ones);
  ASSERT_TRUE(bool(session.reset_states()));
  ASSERT_TRUE(bool(session.get_state(0, bytes)));
  EXPECT_EQ(found, std::vector<float>(8, 0));
}

TEST(ResetStates, NotStateful) {
  // errors.json: both reset_states_not_stateful.
  auto model = load(gruLayer(R"("units": 4)"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto program = compile(*model, {});
  ASSERT_TRUE(bool(program)) << program.error().message();
  Session session = program->session();
  Result<void> done = session.reset_states();
  ASSERT_FALSE(bool(done));
  EXPECT_HAS(done.error().message(), "the model has no stateful layer");
}

TEST(ResetStates, UnknownBatch) {
  // errors.json: both stateful_unknown_batch, both stateful_other_batch,
  // both reset_states_before_build, tf_keras states_property_before_build.
  auto model = load(gruLayer(R"("units": 4, "stateful": true)"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_EQ(attribute(*model, "states"), "[\"a\"]");
  auto program = compile(*model, {});
  ASSERT_FALSE(bool(program));
  EXPECT_HAS(program.error().message(),
             "layer 'a': is stateful, so it needs to know its batch size");
  program = compile(*model, {.batch = 2});
  ASSERT_TRUE(bool(program)) << program.error().message();
  Session session = program->session();
  float x[2 * 3]{}, y[2 * 4];
  EXPECT_TRUE(bool(session.run({{x, {2, 1, 3}}}, {{y, {2, 4}}})));
  Result<void> done = session.run({{x, {1, 1, 3}}}, {{y, {1, 4}}});
  ASSERT_FALSE(bool(done));
  EXPECT_HAS(done.error().message(),
             "wrong batch, found 1 in [1, 1, 3], expected 2");
}

TEST(InitialWeights, DrawnAndDrawnAgain) {
  std::string arguments = R"("units": 4, "reset_after": true,
      "kernel_initializer": {"class_name": "RandomNormal", "config":
      {"stddev": 0.1, "seed": 5}}, "bias_initializer": "ones")";
  auto model = load(gruLayer(arguments));
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_TRUE(model->has_initial_weights());
  std::vector<WeightView> weights = model->weights();
  ASSERT_EQ(weights.size(), 3u);
  EXPECT_EQ(weights[0].dims, (std::vector<int64_t>{3, 12}));
  EXPECT_EQ(weights[1].dims, (std::vector<int64_t>{4, 12}));
  EXPECT_EQ(weights[2].dims, (std::vector<int64_t>{2, 12}));
  EXPECT_EQ(static_cast<const float *>(weights[2].data)[23], 1.0f);

  auto draw = [&](size_t index, uint64_t seed) {
    std::vector<float> values(weights[index].dims[0] * 12);
    auto done = model->draw_weight(index, seed,
                                   std::as_writable_bytes(std::span(values)));
    EXPECT_TRUE(bool(done)) << done.error().message();
    return values;
  };
  // What the model has is seed 0; an own seed counts more than ours.
  std::vector<float> recurrent = draw(1, 0);
  EXPECT_EQ(std::memcmp(recurrent.data(), weights[1].data, 48 * 4), 0);
  EXPECT_NE(draw(1, 1), recurrent);
  EXPECT_EQ(draw(0, 0), draw(0, 1));
  std::vector<float> few(3);
  auto done = model->draw_weight(0, 0, std::as_writable_bytes(std::span(few)));
  ASSERT_FALSE(bool(done));
  EXPECT_HAS(done.error().message(),
             "wrong size, found 12 bytes, expected 144");
}

TEST(InitialWeights, EveryLayer) {
  auto model = load(layer("Conv1D", R"("filters": 4, "kernel_size": [3],
      "padding": "causal")") +
                    "," + layer("BatchNormalization", "", "b") + "," +
                    layer("Bidirectional", R"("layer": {"class_name": "GRU",
      "config": {"name": "g", "units": 4}})",
                          "c") +
                    "," + layer("Dense", R"("units": 2)", "d"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto program = compile(*model, {.batch = 1, .timesteps = 5});
  EXPECT_TRUE(bool(program)) << program.error().message();
}

TEST(InitialWeights, Bounded) {
  for (const char *units : {"10000000", "4611686018427387904"}) {
    auto model = load(layer("Dense", "\"units\": " + std::string(units)) + "," +
                      layer("Dense", "\"units\": 100", "b"));
    ASSERT_FALSE(bool(model));
    EXPECT_HAS(model.error().message(),
               "but no more than 268435456 elements are drawn");
  }
}

TEST(Losses, OrderAndValues) {
  const char *l2 = R"({"class_name": "L2", "config": {"l2": 0.5}})";
  std::string layers =
      gruLayer(std::string(R"("units": 4, "return_state": false,
          "bias_initializer": "ones", "reset_after": true,
          "activity_regularizer": )") +
               l2 + R"(, "bias_regularizer": "l1")") +
      "," +
      layer("Dense",
            std::string(R"("units": 2, "kernel_initializer": "ones",
          "activity_regularizer": )") +
                l2 + R"(, "kernel_regularizer": )" + l2,
            "d");
  for (int version : {3, 2}) {
    auto model = load(layers, {}, version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    EXPECT_EQ(model->num_activities(), 2u);
    std::vector<float> gru(2 * 4, 1), dense(2 * 2, 2);
    std::vector<TensorView> activities{{gru.data(), {2, 4}},
                                       {dense.data(), {2, 2}}};
    auto losses = model->losses(activities);
    ASSERT_TRUE(bool(losses)) << losses.error().message();
    // 8 * 0.5 / 2 and 16 * 0.5 / 2; 24 * 0.01 and 8 * 0.5.
    std::vector<double> expected = version == 3
                                       ? std::vector<double>{2, 4, 0.24, 4}
                                       : std::vector<double>{2, 0.24, 4, 4};
    ASSERT_EQ(losses->size(), 4u);
    for (size_t i = 0; i < 4; ++i)
      EXPECT_NEAR((*losses)[i], expected[i], 1e-12) << version << ' ' << i;
    auto wrong = model->losses();
    ASSERT_FALSE(bool(wrong));
    EXPECT_HAS(wrong.error().message(), "found 0, expected 2");
  }
}

TEST(Losses, ProgramGivesActivities) {
  auto model = load(gruLayer(R"("units": 4, "return_state": true,
      "return_sequences": true, "activity_regularizer": "l1")"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto plain = compile(*model, {.batch = 2});
  auto program = compile(*model, {.batch = 2, .activities = true});
  ASSERT_TRUE(bool(program)) << program.error().message();
  ASSERT_EQ(plain->outputs().size() + 2, program->outputs().size());
  EXPECT_EQ(program->outputs()[plain->outputs().size()].name, "a/activity");
}

TEST(Constraint, OfAWeight) {
  auto model = load(gruLayer(R"("units": 1, "reset_after": false,
      "bias_constraint": "non_neg")"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  std::vector<float> bias = {-1, 2, -3};
  auto constrain = [&](size_t index) {
    return bool(model->constrain_weight(
        index, std::as_writable_bytes(std::span(bias))));
  };
  EXPECT_TRUE(constrain(1)); // recurrent_kernel, [1, 3], without a constraint
  EXPECT_EQ(bias, (std::vector<float>{-1, 2, -3}));
  EXPECT_TRUE(constrain(2));
  EXPECT_EQ(bias, (std::vector<float>{0, 2, 0}));
  EXPECT_FALSE(constrain(3));
}

} // namespace
