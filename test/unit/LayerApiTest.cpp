//===- LayerApiTest.cpp - layers, states and losses through the API -------===//
//
// What Keras's pages list as attributes and methods of GRU, GRUCell and RNN, and
// what Keras rejects.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

using namespace gru;

namespace {

#define EXPECT_HAS(text, part)                                                 \
  EXPECT_NE((text).find(part), std::string::npos) << (text)

/// A Sequential model of layers given as JSON, without weights.
std::string writeModel(const std::string &layers,
                       const std::string &batchShape = "[null, null, 3]",
                       int version = 3) {
  std::string path = testing::TempDir() + "layer-api-" +
                     testing::UnitTest::GetInstance()
                         ->current_test_info()
                         ->name() +
                     ".json";
  std::ofstream(path) << R"({"class_name": "Sequential", "keras_version": ")"
                      << version << R"(.0.0", "config": {"name": "m",
      "layers": [{"class_name": "InputLayer", "config": {"name": "x",
      "batch_shape": )" << batchShape
                      << "}}, " << layers << "]}}";
  return path;
}

std::string layer(const std::string &className, const std::string &arguments,
                  const std::string &name = "a") {
  return R"({"class_name": ")" + className + R"(", "config": {"name": ")" +
         name + "\"" + (arguments.empty() ? "" : ", ") + arguments + "}}";
}

std::string gruLayer(const std::string &arguments) {
  return layer("GRU", arguments);
}

Result<Model> load(const std::string &layers,
                   const std::string &batchShape = "[null, null, 3]",
                   int version = 3) {
  return Model::load(writeModel(layers, batchShape, version));
}

/// Why such a model is refused; empty if it is not.
std::string loadError(const std::string &layers, int version = 3,
                      const std::string &batchShape = "[null, null, 3]") {
  Result<Model> model = load(layers, batchShape, version);
  return model ? "" : model.error().message();
}

std::string attribute(const Model &model, const std::string &name,
                      const std::string &layer = "a") {
  Result<std::string> text = model.attribute(layer, name);
  return text ? *text : "error: " + text.error().message();
}

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
  EXPECT_HAS(attribute(*model, "colour"),
             "layer 'a': has no attribute 'colour', expected one of activation");
  EXPECT_HAS(attribute(*model, "units", "b"), "no layer 'b'");
}

TEST(LayerAttributes, WhatKerasChanges) {
  // errors.json: dropout_above_one, dropout_negative,
  // implementation_with_recurrent_dropout, implementation_zero_from_config,
  // config_activation_none.
  auto model = load(gruLayer(R"("units": 4, "dropout": -0.5,
      "recurrent_dropout": 7, "implementation": 2, "activation": null,
      "seed": 7, "stateful": true)"), "[2, null, 3]");
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_EQ(attribute(*model, "dropout"), "0");
  EXPECT_EQ(attribute(*model, "recurrent_dropout"), "1");
  EXPECT_EQ(attribute(*model, "implementation"), "1");
  EXPECT_EQ(attribute(*model, "activation"), "\"linear\"");
  EXPECT_EQ(attribute(*model, "seed"), "7");
  EXPECT_EQ(attribute(*model, "states"), "[\"a\"]");
  model = load(gruLayer(R"("units": 4, "implementation": 0, "dropout": 1.5)"),
               "[null, null, 3]", 2);
  EXPECT_EQ(attribute(*model, "implementation"), "1");
  EXPECT_EQ(attribute(*model, "dropout"), "1");
}

TEST(LayerAttributes, PartsOfLayers) {
  auto model = load(
      layer("Bidirectional",
            R"("layer": {"class_name": "GRU", "config": {"name": "g",
               "units": 4, "return_sequences": true}})") +
      "," +
      layer("RNN", R"("cell": [{"class_name": "GRUCell", "config": {"units": 4}},
              {"class_name": "GRUCell", "config": {"units": 5,
               "kernel_initializer": "he_normal"}}])", "b"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_EQ(model->layers(),
            (std::vector<std::string>{"a", "a/forward", "a/backward", "b",
                                      "b/cell0", "b/cell1"}));
  // errors.json: bidirectional_forces_zero_output_seq, stacked_state_size.
  EXPECT_EQ(attribute(*model, "zero_output_for_mask", "a/backward"), "true");
  EXPECT_EQ(attribute(*model, "go_backwards", "a/forward"), "false");
  EXPECT_EQ(attribute(*model, "go_backwards", "a/backward"), "true");
  EXPECT_EQ(attribute(*model, "state_size", "b"), "[4,5]");
  EXPECT_EQ(attribute(*model, "output_size", "b"), "5");
  EXPECT_EQ(attribute(*model, "units", "b/cell1"), "5");
  EXPECT_EQ(attribute(*model, "kernel_initializer", "b/cell1"),
            "\"he_normal\"");
  EXPECT_EQ(attribute(*model, "kernel_initializer", "b/cell0"),
            "\"glorot_uniform\"");
}

TEST(InitialState, ThreeForms) {
  auto model = load(gruLayer(R"("units": 4, "dtype": "float16")"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto state = model->get_initial_state("a", {.batch_size = 3});
  ASSERT_TRUE(bool(state)) << state.error().message();
  ASSERT_EQ(state->size(), 1u);
  EXPECT_EQ(state->front().dims, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(state->front().dtype, DType::f16);
  EXPECT_EQ(state->front().data, std::vector<std::byte>(24));
  float none = 0;
  state = model->get_initial_state("a", {.inputs = TensorView(&none, {5, 2, 3})});
  ASSERT_TRUE(bool(state)) << state.error().message();
  EXPECT_EQ(state->front().dims, (std::vector<int64_t>{5, 4}));
  state = model->get_initial_state(
      "a", {.batch_size = 2, .dtype = DType::f64});
  ASSERT_TRUE(bool(state)) << state.error().message();
  EXPECT_EQ(state->front().dtype, DType::f64);

  // errors.json: cell_get_initial_state_nothing.
  state = model->get_initial_state("a", {});
  ASSERT_FALSE(bool(state));
  EXPECT_HAS(state.error().message(), "found neither inputs nor batch_size");
  state = model->get_initial_state("a", {.dtype = DType::f32});
  EXPECT_FALSE(bool(state));
  state = model->get_initial_state(
      "a", {.inputs = TensorView(&none, {5, 2, 3}), .batch_size = 4});
  ASSERT_FALSE(bool(state));
  EXPECT_HAS(state.error().message(), "batch_size is 4, but inputs have 5 rows");
  state = model->get_initial_state("a",
                                   {.batch_size = 1, .dtype = DType::i32});
  ASSERT_FALSE(bool(state));
  EXPECT_HAS(state.error().message(), "dtype is i32, expected f32");
}

TEST(InitialState, OfEachCell) {
  // errors.json: stack_get_initial_state.
  auto model =
      load(layer("RNN", R"("cell": [{"class_name": "GRUCell", "config":
          {"units": 4}}, {"class_name": "GRUCell", "config": {"units": 5}}])"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto states = model->get_initial_state("a", {.batch_size = 3});
  ASSERT_TRUE(bool(states)) << states.error().message();
  ASSERT_EQ(states->size(), 2u);
  EXPECT_EQ((*states)[0].dims, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ((*states)[1].dims, (std::vector<int64_t>{3, 5}));
}

TEST(ResetStates, Values) {
  auto model = load(gruLayer(R"("units": 4, "stateful": true)"), "[2, null, 3]");
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

  // errors.json: reset_states_wrong_shape, reset_states_wrong_number.
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
  EXPECT_HAS(error({TensorView(wide.data(), {2, 4})}), "found f64, expected f32");
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
  // errors.json: reset_states_not_stateful.
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
  // errors.json: stateful_unknown_batch, stateful_other_batch.
  auto model = load(gruLayer(R"("units": 4, "stateful": true)"));
  ASSERT_TRUE(bool(model)) << model.error().message();
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
  EXPECT_HAS(done.error().message(), "wrong batch, found 1 in [1, 1, 3], expected 2");
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
  // errors.json: weight_shapes_reset_after.
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
  auto done =
      model->draw_weight(0, 0, std::as_writable_bytes(std::span(few)));
  ASSERT_FALSE(bool(done));
  EXPECT_HAS(done.error().message(), "wrong size, found 12 bytes, expected 144");
}

TEST(InitialWeights, EveryLayer) {
  auto model = load(layer("Conv1D", R"("filters": 4, "kernel_size": [3],
      "padding": "causal")") + "," +
                    layer("BatchNormalization", "", "b") + "," +
                    layer("Bidirectional", R"("layer": {"class_name": "GRU",
      "config": {"name": "g", "units": 4}})", "c") + "," +
                    layer("Dense", R"("units": 2)", "d"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto program = compile(*model, {.batch = 1, .timesteps = 5});
  EXPECT_TRUE(bool(program)) << program.error().message();
}

TEST(Losses, OrderAndValues) {
  const char *l2 = R"({"class_name": "L2", "config": {"l2": 0.5}})";
  std::string layers =
      gruLayer(std::string(R"("units": 4, "return_state": false,
          "bias_initializer": "ones", "reset_after": true,
          "activity_regularizer": )") + l2 + R"(, "bias_regularizer": "l1")") +
      "," +
      layer("Dense", std::string(R"("units": 2, "kernel_initializer": "ones",
          "activity_regularizer": )") + l2 + R"(, "kernel_regularizer": )" + l2,
            "d");
  for (int version : {3, 2}) {
    auto model = load(layers, "[null, null, 3]", version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    EXPECT_EQ(model->num_activities(), 2u);
    std::vector<float> gru(2 * 4, 1), dense(2 * 2, 2);
    std::vector<TensorView> activities{{gru.data(), {2, 4}},
                                       {dense.data(), {2, 2}}};
    auto losses = model->losses(activities);
    ASSERT_TRUE(bool(losses)) << losses.error().message();
    // 8 * 0.5 / 2 and 16 * 0.5 / 2; 24 * 0.01 and 8 * 0.5.
    std::vector<double> expected =
        version == 3 ? std::vector<double>{2, 4, 0.24, 4}
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

//===----------------------------------------------------------------------===//
// What Keras rejects: ids of golden/errors.json
//===----------------------------------------------------------------------===//

struct Rejected {
  const char *id;
  std::string layers;
  const char *message;
  int version = 3;
  std::string batchShape = "[null, null, 3]";
};

std::string bidirectional(const std::string &forward,
                          const std::string &backward = "",
                          const std::string &more = "") {
  auto wrapped = [](const std::string &arguments) {
    return R"({"class_name": "GRU", "config": {"name": "g", )" + arguments +
           "}}";
  };
  return layer("Bidirectional",
               "\"layer\": " + wrapped(forward) +
                   (backward.empty()
                        ? ""
                        : ", \"backward_layer\": " + wrapped(backward)) +
                   more);
}

TEST(Errors, Configs) {
  const std::string units = R"("units": 4)";
  const std::string stack = R"({"class_name": "GRUCell", "config": )";
  const Rejected cases[] = {
      {"units_zero", gruLayer(R"("units": 0)"),
       "layer 'a': units is 0, expected a positive integer"},
      {"units_negative", gruLayer(R"("units": -1)"), "units is -1"},
      {"units_float", gruLayer(R"("units": 2.5)"),
       "units is 2.5, expected an integer"},
      {"units_missing", gruLayer(""), "units is missing"},
      {"cell_units_zero",
       layer("RNN", "\"cell\": " + stack + R"({"units": 0}})"), "units is 0"},
      {"cell_units_negative",
       layer("RNN", "\"cell\": " + stack + R"({"units": -3}})"), "units is -3"},
      {"activation_unknown", gruLayer(units + R"(, "activation": "foo")"),
       "activation: found 'foo'"},
      {"recurrent_activation_unknown",
       gruLayer(units + R"(, "recurrent_activation": "bar")"),
       "recurrent_activation: found 'bar'"},
      {"activation_glu", gruLayer(units + R"(, "activation": "glu")"), "glu"},
      {"activation_threshold",
       gruLayer(units + R"(, "activation": "threshold")"), "threshold"},
      {"activation_number", gruLayer(units + R"(, "activation": 3)"),
       "activation"},
      {"initializer_unknown",
       gruLayer(units + R"(, "kernel_initializer": "foo")"),
       "layer 'a': kernel_initializer is 'foo', expected one of zeros"},
      {"regularizer_unknown",
       gruLayer(units + R"(, "kernel_regularizer": "foo")"),
       "layer 'a': kernel_regularizer is 'foo', expected one of l1"},
      {"constraint_unknown",
       gruLayer(units + R"(, "kernel_constraint": "foo")"),
       "layer 'a': kernel_constraint is 'foo', expected one of max_norm"},
      {"unknown_keyword", gruLayer(units + R"(, "foo": 1)"),
       "found the argument 'foo', which GRU does not have"},
      {"unknown_keyword", gruLayer(units + R"(, "reset_afer": true)"),
       "did you mean 'reset_after'?"},
      {"time_major_keyword", gruLayer(units + R"(, "time_major": true)"),
       "time_major is set, which Keras 3 does not have"},
      {"input_rank_2", gruLayer(units), "expected 3 dimensions", 3,
       "[null, 3]"},
      {"input_rank_4", gruLayer(units), "expected 3 dimensions", 3,
       "[null, 3, 4, 5]"},
      {"merge_mode_unknown",
       bidirectional(units, "", R"(, "merge_mode": "foo")"),
       "merge_mode is 'foo', expected concat, sum, ave, mul or null"},
      {"bidirectional_not_a_layer", layer("Bidirectional", R"("layer": 3)"),
       "layer is 3, expected a GRU or an RNN"},
      {"bidirectional_go_backwards_layer",
       bidirectional(units + R"(, "go_backwards": true)"),
       "layer has go_backwards true, expected false"},
      {"bidirectional_same_direction",
       bidirectional(units, units + R"(, "go_backwards": false)"),
       "have go_backwards false both"},
      {"bidirectional_different_return",
       bidirectional(units, units + R"(, "go_backwards": true,
                                         "return_sequences": true)"),
       "agree in return_sequences, found false forward and true backward"},
      {"bidirectional_sum_different_units",
       bidirectional(units, R"("units": 5, "go_backwards": true)",
                     R"(, "merge_mode": "sum")"),
       "layer 'a'"},
      {"rnn_cell_without_state_size",
       layer("RNN",
             R"("cell": {"class_name": "Dense", "config": {"units": 3}})"),
       "cell is 'Dense', expected a GRUCell"},
      {"rnn_no_cell", layer("RNN", ""), "cell is missing"},
      {"l1_negative", gruLayer(units + R"(, "kernel_regularizer":
          {"class_name": "L1", "config": {"l1": -1.0}})"),
       "l1 -1, expected a number that is not negative"},
      {"bad_dtype", gruLayer(units + R"(, "dtype": "foo")"),
       "dtype policy 'foo' is not supported, expected float32"},
      {"use_cudnn_bad_value", gruLayer(units + R"(, "use_cudnn": "x")"),
       "use_cudnn is \"x\", expected true, false or 'auto'"},
      {"orthogonal on a bias of rank 1",
       gruLayer(units + R"(, "reset_after": false,
                              "bias_initializer": "orthogonal")"),
       "bias_initializer is orthogonal, which cannot initialise 12"},
      // Keras 2 says these too; it accepts a layer that goes backwards.
      {"tf_keras units_zero", gruLayer(R"("units": 0)"), "units is 0", 2},
      {"tf_keras initializer_unknown",
       gruLayer(units + R"(, "kernel_initializer": "foo")"), "'foo'", 2},
      {"tf_keras unknown_keyword", gruLayer(units + R"(, "foo": 1)"), "'foo'",
       2},
      {"tf_keras bidirectional_same_direction",
       bidirectional(units, units + R"(, "go_backwards": false)"),
       "have go_backwards false both", 2},
      {"tf_keras unroll_zero_output_mask_last",
       layer("Masking", "", "m") + "," +
           gruLayer(units + R"(, "unroll": true, "zero_output_for_mask": true)"),
       "need return_sequences", 2, "[null, 4, 3]"},
  };
  for (const Rejected &rejected : cases) {
    std::string error =
        loadError(rejected.layers, rejected.version, rejected.batchShape);
    EXPECT_NE(error.find(rejected.message), std::string::npos)
        << rejected.id << ": " << error;
  }
  // What only Keras 3 rejects.
  EXPECT_EQ(loadError(bidirectional(units + R"(, "go_backwards": true)"), 2),
            "");
  EXPECT_EQ(loadError(gruLayer(units + R"(, "time_major": true)"), 2), "");
  EXPECT_EQ(loadError(gruLayer(units + R"(, "kernel_regularizer":
      {"class_name": "L1", "config": {"l1": -1.0}})"),
                      2),
            "");
}

TEST(Errors, Losses) {
  // errors.json: orthogonal_regularizer_on_bias_rank1.
  auto model = load(gruLayer(R"("units": 4, "reset_after": false,
      "bias_regularizer": "orthogonal_regularizer")"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto losses = model->losses();
  ASSERT_FALSE(bool(losses));
  EXPECT_HAS(losses.error().message(),
             "weight 'a/bias': regularizer is orthogonal_regularizer on a "
             "tensor with 1 dimensions, expected 2");
}

TEST(Errors, Runs) {
  // errors.json: timesteps_zero, input_features_changed, batch of other size.
  auto model = load(gruLayer(R"("units": 4)"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto program = compile(*model, {.batch = 2});
  ASSERT_TRUE(bool(program)) << program.error().message();
  Session session = program->session();
  float x[2 * 4 * 5]{}, y[2 * 4];
  auto error = [&](std::initializer_list<int64_t> dims) {
    Result<void> done = session.run({{x, dims}}, {{y, {2, 4}}});
    return done ? std::string() : done.error().message();
  };
  EXPECT_EQ(error({2, 4, 3}), "");
  EXPECT_HAS(error({2, 0, 3}), "input 'x'");
  EXPECT_HAS(error({2, 4, 5}), "found [2, 4, 5], expected [2, ?, 3]");
  EXPECT_HAS(error({2, 3}), "input 'x'");
  EXPECT_HAS(error({3, 4, 3}), "wrong batch, found 3 in [3, 4, 3], expected 2");
}

} // namespace
