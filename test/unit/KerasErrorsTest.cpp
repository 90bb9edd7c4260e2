//===- KerasErrorsTest.cpp - what Keras rejects ---------------------------===//
//
// Each row and comment names the entries of the golden set's errors.json that
// it is the counterpart of: `keras3 ID`, `tf_keras ID`, or `both ID`, whose row
// runs for both versions. Others are in LayerApiTest and DropoutTest;
// test/references.py looks that none is left out, and docs/keras.md lists those
// without a counterpart.
//
//===----------------------------------------------------------------------===//

#include "test/unit/KerasConfigs.h"

using namespace gru;

namespace {

struct Rejected {
  std::string id, layers;
  const char *message;
  std::string shape = "[null, null, 3]";
};

TEST(KerasErrors, Configs) {
  const std::string stack = R"({"class_name": "GRUCell", "config": )";
  const Rejected cases[] = {
      {"both units_zero", gruLayer(R"("units": 0)"),
       "layer 'a': units is 0, expected a positive integer"},
      {"both units_negative", gruLayer(R"("units": -1)"), "units is -1"},
      {"keras3 units_float", gruLayer(R"("units": 2.5)"),
       "units is 2.5, expected an integer"},
      {"both units_missing", gruLayer(""), "units is missing"},
      {"both cell_units_zero",
       layer("RNN", "\"cell\": " + stack + R"({"units": 0}})"), "units is 0"},
      {"both cell_units_negative",
       layer("RNN", "\"cell\": " + stack + R"({"units": -3}})"), "units is -3"},
      {"both activation_unknown", gruLayer(kUnits + R"(, "activation": "foo")"),
       "activation: found 'foo'"},
      {"both recurrent_activation_unknown",
       gruLayer(kUnits + R"(, "recurrent_activation": "bar")"),
       "recurrent_activation: found 'bar'"},
      {"both activation_glu", gruLayer(kUnits + R"(, "activation": "glu")"),
       "activation: found 'glu', which halves the last axis"},
      {"both activation_threshold",
       gruLayer(kUnits + R"(, "activation": "threshold")"),
       "activation: found 'threshold', which has no default parameters"},
      {"both activation_number", gruLayer(kUnits + R"(, "activation": 3)"),
       "activation: found 3, expected one of"},
      {"both initializer_unknown",
       gruLayer(kUnits + R"(, "kernel_initializer": "foo")"),
       "layer 'a': kernel_initializer is 'foo', expected one of zeros"},
      {"keras3 regularizer_unknown",
       gruLayer(kUnits + R"(, "kernel_regularizer": "foo")"),
       "layer 'a': kernel_regularizer is 'foo', expected one of l1"},
      {"both constraint_unknown",
       gruLayer(kUnits + R"(, "kernel_constraint": "foo")"),
       "layer 'a': kernel_constraint is 'foo', expected one of max_norm"},
      {"both unknown_keyword", gruLayer(kUnits + R"(, "foo": 1)"),
       "found the argument 'foo', which GRU does not have"},
      {"both unknown_keyword", gruLayer(kUnits + R"(, "reset_afer": true)"),
       "did you mean 'reset_after'?"},
      {"keras3 time_major_keyword",
       gruLayer(kUnits + R"(, "time_major": true)"),
       "time_major is set, which Keras 3 does not have"},
      {"both input_rank_2", gruLayer(kUnits), "expected 3 dimensions",
       "[null, 3]"},
      {"both input_rank_4", gruLayer(kUnits), "expected 3 dimensions",
       "[null, 3, 4, 5]"},
      {"both merge_mode_unknown",
       bidirectional(kUnits, "", R"(, "merge_mode": "foo")"),
       "merge_mode is 'foo', expected concat, sum, ave, mul or null"},
      {"both bidirectional_not_a_layer",
       layer("Bidirectional", R"("layer": 3)"),
       "layer is 3, expected a GRU or an RNN"},
      {"keras3 bidirectional_go_backwards_layer",
       bidirectional(kUnits + R"(, "go_backwards": true)"),
       "layer has go_backwards true, expected false"},
      {"both bidirectional_same_direction",
       bidirectional(kUnits, kUnits + R"(, "go_backwards": false)"),
       "have go_backwards false both"},
      {"both bidirectional_different_return",
       bidirectional(kUnits, kUnits + R"(, "go_backwards": true,
                                         "return_sequences": true)"),
       "agree in return_sequences, found false forward and true backward"},
      {"both bidirectional_sum_different_units",
       bidirectional(kUnits, R"("units": 5, "go_backwards": true)",
                     R"(, "merge_mode": "sum")"),
       "layer 'a'"},
      {"both rnn_cell_without_state_size",
       layer("RNN",
             R"("cell": {"class_name": "Dense", "config": {"units": 3}})"),
       "cell is 'Dense', expected a GRUCell"},
      {"both rnn_no_cell", layer("RNN", ""), "cell is missing"},
      {"both, constants", layer("RNN", kStack + R"(, "num_constants": 1)"),
       "constants passed to the cell are not supported"},
      {"keras3 l1_negative", gruLayer(kUnits + R"(, "kernel_regularizer":
          {"class_name": "L1", "config": {"l1": -1.0}})"),
       "l1 -1, expected a number that is not negative"},
      {"both bad_dtype", gruLayer(kUnits + R"(, "dtype": "foo")"),
       "dtype policy 'foo' is not supported, expected float32"},
      {"keras3 use_cudnn_bad_value", gruLayer(kUnits + R"(, "use_cudnn": "x")"),
       "use_cudnn is \"x\", expected true, false or 'auto'"},
      {"keras3, orthogonal on a bias of rank 1",
       gruLayer(kUnits + R"(, "reset_after": false,
                              "bias_initializer": "orthogonal")"),
       "bias_initializer is orthogonal, which cannot initialise 12"},
      {"tf_keras v1_units_zero",
       layer("RNN", "\"cell\": " + stack +
                        R"({"units": 0, "reset_after": false,
                            "recurrent_activation": "hard_sigmoid"}})"),
       "units is 0"},
      {"tf_keras unroll_zero_output_mask_last",
       layer("Masking", "", "m") + "," +
           gruLayer(kUnits +
                    R"(, "unroll": true, "zero_output_for_mask": true)"),
       "need return_sequences", "[null, 4, 3]"},
  };
  for (const Rejected &row : cases)
    for (int version : versionsOf(row.id)) {
      Result<Model> model = load(row.layers, {.shape = row.shape}, version);
      ASSERT_FALSE(bool(model)) << row.id << ' ' << version;
      EXPECT_HAS(model.error().message(), row.message)
          << row.id << ' ' << version;
    }
  // errors.json: facts of what only Keras 3 rejects.
  const std::pair<const char *, std::string> accepted[] = {
      {"tf_keras bidirectional_go_backwards_layer",
       bidirectional(kUnits + R"(, "go_backwards": true)")},
      {"tf_keras time_major_keyword",
       gruLayer(kUnits + R"(, "time_major": true)")},
      {"tf_keras l1_negative", gruLayer(kUnits + R"(, "kernel_regularizer":
          {"class_name": "L1", "config": {"l1": -1.0}})")},
      {"tf_keras activation_layer_class_name",
       gruLayer(kUnits + R"(, "activation": "LeakyReLU")")}};
  for (const auto &[id, layers] : accepted) {
    Result<Model> model = load(layers, {}, 2);
    EXPECT_TRUE(bool(model)) << id << ": " << model.error().message();
  }
}

TEST(KerasErrors, Losses) {
  // errors.json: both orthogonal_regularizer_on_bias_rank1.
  for (int version : {3, 2}) {
    auto model = load(gruLayer(kUnits + R"(, "reset_after": false,
        "bias_regularizer": "orthogonal_regularizer")"),
                      {}, version);
    ASSERT_TRUE(bool(model)) << model.error().message();
    auto losses = model->losses();
    ASSERT_FALSE(bool(losses));
    EXPECT_HAS(losses.error().message(),
               "weight 'a/bias': regularizer is orthogonal_regularizer on a "
               "tensor with 1 dimensions, expected 2");
  }
}

// A call that fails when the model is read, or when it is run with inputs of
// these shapes, and that runs with the first ones.
TEST(KerasErrors, Calls) {
  const ConfigInput x, state{"h", "[null, 4]"}, other{"h2", "[null, 4]"},
      wide{"h", "[null, 5]"}, mask{"m", "[null, null]", "bool"},
      flat{"m", "[null]", "bool"};
  const std::string layer = gruLayer(kUnits), stack = gru::layer("RNN", kStack);
  using Shapes = std::vector<std::vector<int64_t>>;
  struct {
    std::string id, layer;
    std::vector<ConfigInput> inputs;
    std::string argument;
    Shapes good, bad;
    const char *message;
  } cases[] = {
      {"both timesteps_zero",
       layer,
       {x},
       "",
       {{2, 4, 3}},
       {{2, 0, 3}},
       "input 'x': dimension 1 is empty, found 0 in [2, 0, 3]"},
      {"both timesteps_zero_sequences",
       gruLayer(kUnits + R"(, "return_sequences": true)"),
       {x},
       "",
       {{2, 4, 3}},
       {{2, 0, 3}},
       "input 'x': dimension 1 is empty, found 0 in [2, 0, 3]"},
      {"both timesteps_zero_unroll",
       gruLayer(kUnits + R"(, "unroll": true)"),
       {x},
       "",
       {{2, 4, 3}},
       {{2, 0, 3}},
       "input 'x': dimension 1 is empty, found 0 in [2, 0, 3]"},
      {"both input_rank_2",
       layer,
       {x},
       "",
       {{2, 4, 3}},
       {{2, 3}},
       "input 'x': wrong shape, found [2, 3], expected [2, ?, 3]"},
      {"both input_rank_4",
       layer,
       {x},
       "",
       {{2, 4, 3}},
       {{2, 3, 4, 5}},
       "input 'x': wrong shape, found [2, 3, 4, 5], expected [2, ?, 3]"},
      {"both input_features_changed",
       layer,
       {x},
       "",
       {{2, 4, 3}},
       {{2, 4, 5}},
       "input 'x': wrong shape, found [2, 4, 5], expected [2, ?, 3]"},
      {"both batch_zero",
       layer,
       {x},
       "",
       {{2, 4, 3}},
       {{0, 4, 3}},
       "input 'x': wrong batch, found 0 in [0, 4, 3], expected 2"},
      {"both initial_state_wrong_units",
       layer,
       {x, wide},
       "initial_state",
       {},
       {},
       "layer 'a': initial_state is ?x5, expected ?x4 (batch x units)"},
      {"both initial_state_wrong_batch",
       layer,
       {x, state},
       "initial_state",
       {{2, 4, 3}, {2, 4}},
       {{2, 4, 3}, {3, 4}},
       "input 'h': wrong batch, found 3 in [3, 4], expected 2"},
      {"both initial_state_batch_one",
       layer,
       {x, state},
       "initial_state",
       {{2, 4, 3}, {2, 4}},
       {{2, 4, 3}, {1, 4}},
       "input 'h': wrong batch, found 1 in [1, 4], expected 2"},
      {"both initial_state_two_given",
       layer,
       {x, state, other},
       "initial_state",
       {},
       {},
       "layer 'a': found 2 initial states, expected 1"},
      {"both initial_state_too_few_for_stack",
       stack,
       {x, state},
       "initial_state",
       {},
       {},
       "layer 'a': found 1 initial states, expected 2"},
      {"both mask_wrong_length",
       layer,
       {x, mask},
       "mask",
       {{2, 4, 3}, {2, 4}},
       {{2, 4, 3}, {2, 3}},
       "input 'm': dimension 1 disagrees with input 'x', found 3, expected 4"},
      {"both mask_wrong_batch",
       layer,
       {x, mask},
       "mask",
       {{2, 4, 3}, {2, 4}},
       {{2, 4, 3}, {3, 4}},
       "input 'm': wrong batch, found 3 in [3, 4], expected 2"},
      {"both mask_rank_1",
       layer,
       {x, flat},
       "mask",
       {},
       {},
       "layer 'a': mask is ? bool, expected ?x? bool"},
  };
  for (const auto &row : cases)
    for (int version : versionsOf(row.id)) {
      Result<Model> model =
          loadCall(row.layer, row.inputs, row.argument, version);
      if (row.good.empty()) {
        ASSERT_FALSE(bool(model)) << row.id;
        EXPECT_HAS(model.error().message(), row.message) << row.id;
        continue;
      }
      Program program = compileFor(model);
      ASSERT_TRUE(bool(program)) << row.id;
      EXPECT_EQ(callError(program, row.good), "") << row.id;
      EXPECT_HAS(callError(program, row.bad), row.message) << row.id;
    }
}

// The C interface takes a tensor of the model's own type alone; inside a model
// Keras casts, but Keras 2 no integers.
TEST(KerasErrors, InputTypes) {
  struct {
    const char *id, *dtype, *message;
  } cases[] = {
      {"keras3 integer_input", "int32", ""},
      {"tf_keras integer_input", "int32",
       "layer 'a': input is int32, expected float32, the layer's own dtype"},
      {"both float64_input_float32_layer", "float64", ""},
  };
  for (const auto &row : cases)
    for (int version : versionsOf(row.id)) {
      Result<Model> model =
          load(gruLayer(kUnits), {.dtype = row.dtype}, version);
      EXPECT_EQ(bool(model), !*row.message) << row.id;
      if (!model)
        EXPECT_HAS(model.error().message(), row.message) << row.id;
      else
        EXPECT_EQ(compileFor(model).outputs()[0].dtype, DType::f32) << row.id;
    }
  Session session = compileFor(load(gruLayer(kUnits))).session();
  int32_t x[2 * 4 * 3]{};
  float y[2 * 4];
  Result<void> done = session.run({{x, {2, 4, 3}}}, {{y, {2, 4}}});
  ASSERT_FALSE(bool(done));
  EXPECT_HAS(done.error().message(),
             "input 'x': wrong type, found i32, expected f32");
}

TEST(KerasErrors, Weights) {
  // errors.json: both weights_wrong_number, both weights_wrong_shape.
  Program program =
      compileFor(load(gruLayer(kUnits + R"(, "reset_after": true)")));
  const float zeros[48]{};
  const int64_t kernel[] = {3, 12}, recurrent[] = {4, 12}, bias[] = {12};
  const gru_weight weights[] = {
      {"a/kernel", GRU_F32, 2, kernel, zeros},
      {"a/recurrent_kernel", GRU_F32, 2, recurrent, zeros},
      {"a/bias", GRU_F32, 1, bias, zeros}};
  Result<Program> swapped = program.with_weights(std::span(weights, 1));
  ASSERT_FALSE(bool(swapped));
  EXPECT_HAS(swapped.error().message(),
             "weight 'a/recurrent_kernel': is missing, expected f32 [4, 12]");
  swapped = program.with_weights(weights);
  ASSERT_FALSE(bool(swapped));
  EXPECT_HAS(swapped.error().message(),
             "weight 'a/bias': wrong shape, found [12], expected [2, 12]");
}

TEST(KerasErrors, Cell) {
  // errors.json: both cell_call_rank3, both cell_call_list_state,
  // both cell_call_tensor_state.
  const std::string folder = GRU_TEST_DATA_DIR "/keras_json/cell_train_both/";
  Program program = compileFor(Model::load(
      folder + "layer.json", folder + "weights.npz", {"x", "state"}));
  ASSERT_EQ(program.inputs().size(), 2u);
  std::vector<TensorInfo> outputs = program.outputs();
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].dims, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(outputs[1].dims, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(callError(program, {{2, 4}, {2, 5}}), "");
  EXPECT_HAS(callError(program, {{2, 4, 4}, {2, 5}}),
             "input 'x': wrong shape, found [2, 4, 4], expected [2, 4]");
  EXPECT_HAS(callError(program, {{2, 4}, {2, 4}}),
             "input 'state': wrong shape, found [2, 4], expected [2, 5]");
}

TEST(KerasErrors, UseCudnn) {
  // errors.json: keras3 use_cudnn_true_on_cpu. The hint itself changes nothing.
  auto model =
      load(gruLayer(kUnits + R"(, "use_cudnn": true, "unroll": true)"));
  ASSERT_TRUE(bool(model)) << model.error().message();
  EXPECT_TRUE(bool(compile(*model, {})));
  auto program = compile(*model, {.require_backend = "cudnn"});
  ASSERT_FALSE(bool(program));
  EXPECT_HAS(program.error().message(),
             "layer 'a': require_backend is 'cudnn'");
}

// What Keras rejects and we do not: docs/keras.md says why.
TEST(KerasErrors, OnlyKerasRejects) {
  // errors.json: both bfloat16_policy, both unroll_unknown_timesteps,
  // both unroll_unknown_timesteps_functional.
  for (int version : {3, 2})
    for (const char *argument :
         {R"("dtype": "bfloat16")", R"("unroll": true)"}) {
      const std::string called = gruLayer(kUnits + ", " + argument);
      EXPECT_TRUE(bool(compileFor(load(called, {}, version))));
      EXPECT_TRUE(bool(compileFor(loadCall(called, {{}}, "", version))));
    }
  // errors.json: both stateful_cell_stack, both stateful_cell_stack_reset.
  for (int version : {3, 2}) {
    Session session =
        compileFor(load(layer("RNN", kStack + R"(, "stateful": true)"),
                        {.shape = "[2, null, 3]"}, version))
            .session();
    std::vector<float> x(2 * 4 * 3, 0.5f), first(2 * 5), second(2 * 5);
    auto run = [&](std::vector<float> &y) {
      Result<void> done =
          session.run({{x.data(), {2, 4, 3}}}, {{y.data(), {2, 5}}});
      ASSERT_TRUE(bool(done)) << done.error().message();
    };
    run(first);
    run(second);
    EXPECT_NE(first, second);
    ASSERT_TRUE(bool(session.reset_states()));
    run(second);
    EXPECT_EQ(first, second);
  }
}

} // namespace
