//===- KerasFactsTest.cpp - what Keras returns ----------------------------===//
//
// Rows and comments name entries of errors.json, as in KerasErrorsTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "test/unit/KerasConfigs.h"

using namespace gru;

namespace {

TEST(KerasFacts, OutputShapes) {
  struct {
    const char *id;
    std::string layer;
    std::vector<std::vector<int64_t>> shapes;
  } cases[] = {
      {"both output_shape_last", gruLayer(kUnits), {{2, 4}}},
      {"both output_shape_seq_state",
       gruLayer(kUnits + R"(, "return_sequences": true, "return_state": true)"),
       {{2, 4, 4}, {2, 4}}},
      {"tf_keras time_major_keyword",
       gruLayer(kUnits + R"(, "time_major": true, "return_sequences": true)"),
       {{4, 2, 4}}},
  };
  for (const auto &row : cases)
    for (int version : versionsOf(row.id)) {
      Program program =
          compileFor(loadCall(row.layer, {{}}, "", version, row.shapes.size()));
      ASSERT_TRUE(bool(program)) << row.id;
      bool timeMajor = row.shapes[0][0] == 4;
      TensorView x(static_cast<const float *>(nullptr),
                   timeMajor ? std::initializer_list<int64_t>{4, 2, 3}
                             : std::initializer_list<int64_t>{2, 4, 3});
      for (size_t i = 0; i < row.shapes.size(); ++i) {
        auto shape = program.output_shape(std::span(&x, 1), i);
        ASSERT_TRUE(bool(shape)) << shape.error().message();
        EXPECT_EQ(*shape, row.shapes[i]) << row.id;
      }
    }
}

// Keras 3 unrolls with a mask and zeros for the last output, Keras 2 does not.
TEST(KerasFacts, UnrolledLastOutput) {
  // errors.json: keras3 unroll_zero_output_mask_last.
  Program program = compileFor(loadCall(
      gruLayer(kUnits + R"(, "unroll": true, "zero_output_for_mask": true)"),
      {{}, {"m", "[null, null]", "bool"}}, "mask"));
  ASSERT_TRUE(bool(program));
  std::vector<float> x(2 * 4 * 3, 0.5f), y(2 * 4, 9.0f);
  const bool mask[] = {true, true, true, true, true, false, false, false};
  Result<void> done = program.session().run(
      {{x.data(), {2, 4, 3}}, {mask, {2, 4}}}, {{y.data(), {2, 4}}});
  ASSERT_TRUE(bool(done)) << done.error().message();
  EXPECT_NE(y[0], 0);
  EXPECT_EQ(std::vector<float>(y.begin() + 4, y.end()), std::vector<float>(4));
}

TEST(KerasFacts, WeightShapesAndNames) {
  using Shapes = std::vector<std::vector<int64_t>>;
  const std::string after = kUnits + R"(, "reset_after": true)";
  struct {
    const char *id;
    std::string layer;
    Shapes shapes;
  } cases[] = {
      {"both weight_shapes_reset_after",
       gruLayer(after),
       {{3, 12}, {4, 12}, {2, 12}}},
      {"both weight_shapes_reset_before",
       gruLayer(kUnits + R"(, "reset_after": false)"),
       {{3, 12}, {4, 12}, {12}}},
      {"both weight_shapes_no_bias",
       gruLayer(kUnits + R"(, "use_bias": false)"),
       {{3, 12}, {4, 12}}},
      {"both bidirectional_weight_shapes",
       bidirectional(after),
       {{3, 12}, {4, 12}, {2, 12}, {3, 12}, {4, 12}, {2, 12}}},
  };
  for (const auto &row : cases)
    for (int version : versionsOf(row.id)) {
      auto model = load(row.layer, {}, version);
      ASSERT_TRUE(bool(model)) << model.error().message();
      Shapes shapes;
      for (const WeightView &weight : model->weights())
        shapes.push_back(weight.dims);
      EXPECT_EQ(shapes, row.shapes) << row.id;
    }
  // errors.json: both weight_names, without the cell that Keras puts between.
  auto model = load(gruLayer(after));
  ASSERT_EQ(model->weights().size(), 3u);
  EXPECT_EQ(model->weights()[0].name, "a/kernel");
  EXPECT_EQ(model->weights()[1].name, "a/recurrent_kernel");
  EXPECT_EQ(model->weights()[2].name, "a/bias");
}

TEST(KerasFacts, ConfigKeys) {
  // errors.json: both config_keys, both cell_config_keys,
  // both implementation_default, keras3 implementation_serialized.
  const char *ofCells[] = {"activation",
                           "bias_constraint",
                           "bias_initializer",
                           "bias_regularizer",
                           "dropout",
                           "dtype",
                           "implementation",
                           "kernel_constraint",
                           "kernel_initializer",
                           "kernel_regularizer",
                           "name",
                           "recurrent_activation",
                           "recurrent_constraint",
                           "recurrent_dropout",
                           "recurrent_initializer",
                           "recurrent_regularizer",
                           "reset_after",
                           "seed",
                           "trainable",
                           "units",
                           "use_bias"};
  const char *ofLayers[] = {"activity_regularizer",
                            "go_backwards",
                            "return_sequences",
                            "return_state",
                            "stateful",
                            "time_major",
                            "unroll",
                            "zero_output_for_mask"};
  const std::string cell = R"("cell": {"class_name": "GRUCell", "config":
      {"name": "c", "units": 4}})";
  for (int version : {3, 2}) {
    auto model = load(gruLayer(kUnits + R"(, "return_sequences": true)") + "," +
                          layer("RNN", cell, "b"),
                      {}, version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    for (const char *name : {"a", "b"})
      for (const char *key : ofCells)
        EXPECT_FALSE(attribute(*model, key, name).starts_with("error"))
            << attribute(*model, key, name);
    for (const char *key : ofLayers)
      EXPECT_FALSE(attribute(*model, key).starts_with("error"))
          << attribute(*model, key);
  }
  // Old files without the key are older than Keras 2's default of 2.
  EXPECT_EQ(GRU().implementation, 2);
}

TEST(KerasFacts, Bidirectional) {
  // errors.json: both bidirectional_forces_zero_output_last.
  for (int version : {3, 2}) {
    auto model =
        load(bidirectional(kUnits + R"(, "zero_output_for_mask": true)"), {},
             version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    for (const char *direction : {"a/forward", "a/backward"})
      EXPECT_EQ(attribute(*model, "zero_output_for_mask", direction), "false");
  }
}

// As an Activation layer alone, on both targets.
TEST(KerasFacts, ActivationValues) {
  struct {
    const char *id, *name;
    std::vector<float> x, y;
  } cases[] = {
      {"keras3 hard_sigmoid_values",
       "hard_sigmoid",
       {-3, -2.5, -1, 0, 1, 2.5, 3},
       {0, 0.083333f, 0.333333f, 0.5f, 0.666667f, 0.916667f, 1}},
      {"tf_keras hard_sigmoid_values",
       "hard_sigmoid",
       {-3, -2.5, -1, 0, 1, 2.5, 3},
       {0, 0, 0.3f, 0.5f, 0.7f, 1, 1}},
      {"both gelu_values",
       "gelu",
       {-1, -0.5, 0.5, 1},
       {-0.158655f, -0.154269f, 0.345731f, 0.841345f}},
      {"keras3 sparsemax_of_half_and_0_4",
       "sparsemax",
       {0.5, 0.4},
       {0.3f, 0.2f}},
      {"tf_keras activation_layer_class_name",
       "LeakyReLU",
       {-1, 2},
       {-0.3f, 2}},
  };
  for (auto &row : cases)
    for (int version : versionsOf(row.id)) {
      auto n = static_cast<int64_t>(row.x.size());
      auto model =
          load(layer("Activation",
                     "\"activation\": \"" + std::string(row.name) + "\""),
               {.shape = "[null, " + std::to_string(n) + "]"}, version);
      ASSERT_TRUE(bool(model)) << model.error().message();
      for (const char *target : {"cpu", "reference"}) {
        auto program = compile(*model, {.batch = 1, .target = target});
        ASSERT_TRUE(bool(program)) << program.error().message();
        std::vector<float> y(row.x.size());
        Result<void> done = program->session().run({{row.x.data(), {1, n}}},
                                                   {{y.data(), {1, n}}});
        ASSERT_TRUE(bool(done)) << done.error().message();
        for (size_t i = 0; i < y.size(); ++i)
          EXPECT_NEAR(y[i], row.y[i], 1e-6) << row.id << ' ' << row.x[i];
      }
    }
}

TEST(KerasFacts, ActivityOfStates) {
  // errors.json: keras3 activity_regularizer_on_states.
  auto model = loadCall(gruLayer(kUnits + R"(, "return_state": true,
      "activity_regularizer": {"class_name": "L2", "config": {"l2": 1.0}})"),
                        {{}}, "", 3, 2);
  ASSERT_TRUE(bool(model)) << model.error().message();
  auto program = compile(*model, {.batch = 2, .activities = true});
  ASSERT_TRUE(bool(program)) << program.error().message();
  std::vector<float> x(2 * 4 * 3, 0.5f), y[4];
  std::vector<TensorView> outputs;
  for (std::vector<float> &values : y) {
    values.resize(2 * 4);
    outputs.emplace_back(values.data(), std::initializer_list<int64_t>{2, 4});
  }
  TensorView input(x.data(), {2, 4, 3});
  Result<void> done = program->session().run(std::span(&input, 1), outputs);
  ASSERT_TRUE(bool(done)) << done.error().message();
  auto losses = model->losses(std::span(outputs).subspan(2));
  ASSERT_TRUE(bool(losses)) << losses.error().message();
  double sum = 0, expected = 0;
  for (double loss : *losses)
    sum += loss;
  for (int output : {0, 1})
    for (float value : y[output])
      expected += double(value) * value / 2;
  EXPECT_NEAR(sum, expected, 1e-9);
}

// A layer called twice, without and with an initial state, on what an Embedding
// masks: Keras 3 forgets the mask of the second call.
TEST(KerasFacts, ImplicitMaskAndInitialState) {
  // errors.json: both implicit_mask_applied_without_and_with_initial_state.
  for (int version : {3, 2}) {
    auto node = [&](const std::string &name, const char *shape,
                    const std::string &argument = "") {
      if (version == 2)
        return "[[\"" + name + "\", 0, 0, {" + argument + "}]]";
      return R"({"args": [{"class_name": "__keras_tensor__", "config": {"shape": )" +
             std::string(shape) +
             R"(, "dtype": "float32", "keras_history": [")" + name +
             "\", 0, 0]}}], \"kwargs\": {" + argument + "}}";
    };
    std::string state = version == 2 ? R"("initial_state": [["h", 0, 0]])"
                                     : R"("initial_state": [{"class_name":
        "__keras_tensor__", "config": {"shape": [null, 4], "dtype": "float32",
        "keras_history": ["h", 0, 0]}}])";
    auto model = loadConfig(
        "Functional",
        "\"layers\": [" + inputLayer({"i", "[null, 4]", "int32"}) + ", " +
            inputLayer({"h", "[null, 4]"}) +
            R"(, {"class_name": "Embedding", "name": "e", "config": {"name": "e",
              "input_dim": 5, "output_dim": 3, "mask_zero": true},
              "inbound_nodes": [)" +
            node("i", "[null, 4]") +
            R"(]}, {"class_name": "GRU", "name": "g", "config": {"name": "g",
              "units": 4, "return_sequences": true}, "inbound_nodes": [)" +
            node("e", "[null, 4, 3]") + ", " +
            node("e", "[null, 4, 3]", state) +
            R"(]}], "input_layers": [["i", 0, 0], ["h", 0, 0]],
               "output_layers": [["g", 0, 0], ["g", 1, 0]])",
        version);
    Program program = compileFor(model, 1);
    ASSERT_TRUE(bool(program));
    int32_t tokens[] = {1, 2, 0, 0};
    float h[4]{}, y[2][4][4];
    Result<void> done = program.session({.max_timesteps = 4})
                            .run({{tokens, {1, 4}}, {h, {1, 4}}},
                                 {{y[0][0], {1, 4, 4}}, {y[1][0], {1, 4, 4}}});
    ASSERT_TRUE(bool(done)) << done.error().message();
    auto repeats = [&](int call) {
      return std::equal(y[call][1], y[call][1] + 4, y[call][3]);
    };
    EXPECT_TRUE(repeats(0));
    EXPECT_EQ(repeats(1), version == 2);
  }
}

TEST(KerasFacts, StatefulWithInitialState) {
  // errors.json: both stateful_zero_batch_mismatch_initial_state.
  for (int version : {3, 2}) {
    Program program =
        compileFor(loadCall(gruLayer(kUnits + R"(, "stateful": true)"),
                            {{.shape = "[2, null, 3]"}, {"h", "[2, 4]"}},
                            "initial_state", version));
    ASSERT_TRUE(bool(program));
    EXPECT_EQ(callError(program, {{2, 4, 3}, {2, 4}}), "");
    EXPECT_EQ(program.outputs()[0].dims, (std::vector<int64_t>{2, 4}));
  }
}

} // namespace
