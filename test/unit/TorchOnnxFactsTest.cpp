//===- TorchOnnxFactsTest.cpp - what PyTorch and ONNX Runtime reject ------===//
//
// Rows and comments name entries of errors.json, as in KerasErrorsTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "test/unit/KerasConfigs.h"

#include "third_party/onnx/onnx-ml.pb.h"

using namespace gru;

namespace {

//===----------------------------------------------------------------------===//
// PyTorch
//===----------------------------------------------------------------------===//

/// A stored module of 4 features and 5 units, for two rows.
Program torchProgram(const std::string &name,
                     const std::vector<std::string> &arguments) {
  const std::string folder = GRU_TEST_DATA_DIR "/torch/" + name + "/";
  return compileFor(Model::load(folder + "module.json",
                                folder + "weights.safetensors", arguments));
}

TEST(TorchErrors, Calls) {
  Program gru = torchProgram("gru_packed_sorted_h0", {"x", "h0", "lengths"});
  Program cell = torchProgram("cell_no_h", {"x", "h0"});
  using Shapes = std::vector<std::vector<int64_t>>;
  struct {
    const char *id;
    const Program &program;
    Shapes shapes;
    const char *message;
  } cases[] = {
      {"torch input_rank_4",
       gru,
       {{1, 2, 3, 4}, {1, 2, 5}, {2}},
       "input 'x': wrong shape, found [1, 2, 3, 4], expected [?, 2, 4]"},
      {"torch input_features",
       gru,
       {{6, 2, 5}, {1, 2, 5}, {2}},
       "input 'x': wrong shape, found [6, 2, 5], expected [?, 2, 4]"},
      {"torch hx_wrong_shape",
       gru,
       {{6, 2, 4}, {2, 2, 5}, {2}},
       "input 'h0': wrong shape, found [2, 2, 5], expected [1, 2, 5]"},
      {"torch hx_rank",
       gru,
       {{6, 2, 4}, {2, 5}, {2}},
       "input 'h0': wrong shape, found [2, 5], expected [1, 2, 5]"},
      {"torch timesteps_zero",
       gru,
       {{0, 2, 4}, {1, 2, 5}, {2}},
       "input 'x': dimension 0 is empty"},
      {"torch batch_zero",
       gru,
       {{6, 0, 4}, {1, 0, 5}, {0}},
       "input 'x': wrong shape, found [6, 0, 4], expected [?, 2, 4]"},
      {"torch cell_features",
       cell,
       {{2, 5}, {2, 5}},
       "input 'x': wrong shape, found [2, 5], expected [2, 4]"},
      {"torch cell_hx",
       cell,
       {{2, 4}, {3, 5}},
       "input 'h0': wrong batch, found 3 in [3, 5], expected 2"},
  };
  EXPECT_EQ(callError(gru, {{6, 2, 4}, {1, 2, 5}, {2}}), "");
  EXPECT_EQ(callError(cell, {{2, 4}, {2, 5}}), "");
  for (const auto &row : cases)
    EXPECT_HAS(callError(row.program, row.shapes), row.message) << row.id;
}

// PyTorch packs no row of length 0. Here it has no step: outputs are zeros, and
// the state is what it was. Lengths beyond the sequence mean all of it.
TEST(TorchErrors, Lengths) {
  // errors.json: torch packed_length_zero.
  Program program =
      torchProgram("gru_packed_sorted_h0", {"x", "h0", "lengths"});
  std::vector<float> x(3 * 2 * 4, 0.5f), h0(2 * 5, 0.25f);
  auto run = [&](int64_t first, int64_t second) {
    std::vector<float> values(3 * 2 * 5 + 2 * 5);
    const int64_t lengths[] = {first, second};
    Result<void> done = program.session().run(
        {{x.data(), {3, 2, 4}}, {h0.data(), {1, 2, 5}}, {lengths, {2}}},
        {{values.data(), {3, 2, 5}}, {values.data() + 30, {1, 2, 5}}});
    EXPECT_TRUE(bool(done)) << done.error().message();
    return values;
  };
  std::vector<float> values = run(3, 0);
  for (int step = 0; step < 3; ++step)
    for (int unit = 0; unit < 5; ++unit) {
      EXPECT_NE(values[step * 10 + unit], 0);
      EXPECT_EQ(values[step * 10 + 5 + unit], 0);
    }
  EXPECT_EQ(std::vector<float>(values.begin() + 35, values.end()),
            std::vector<float>(5, 0.25f));
  EXPECT_EQ(run(3, -7), values);
  EXPECT_EQ(run(1000, 0), values);
}

//===----------------------------------------------------------------------===//
// ONNX
//===----------------------------------------------------------------------===//

/// A GRU node of 3 features and 4 units, for sequences of 2 steps and 2 rows.
struct Node {
  std::vector<int64_t> x = {2, 2, 3}, w = {1, 12, 3}, r = {1, 12, 4};
  int64_t lengths = 0; ///< Elements of sequence_lens; 0: none.
  std::function<void(onnx::NodeProto &)> change = [](onnx::NodeProto &) {};
};

onnx::AttributeProto *addAttribute(onnx::NodeProto &node, const char *name,
                                   onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto *attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(type);
  return attribute;
}

auto text(const char *name, std::string value) {
  return [=](onnx::NodeProto &node) {
    addAttribute(node, name, onnx::AttributeProto::STRING)->set_s(value);
  };
}
auto integer(const char *name, int64_t value) {
  return [=](onnx::NodeProto &node) {
    addAttribute(node, name, onnx::AttributeProto::INT)->set_i(value);
  };
}
auto activations(std::vector<std::string> names) {
  return [=](onnx::NodeProto &node) {
    onnx::AttributeProto *attribute =
        addAttribute(node, "activations", onnx::AttributeProto::STRINGS);
    for (const std::string &name : names)
      attribute->add_strings(name);
  };
}
void clipBelowZero(onnx::NodeProto &node) {
  addAttribute(node, "clip", onnx::AttributeProto::FLOAT)->set_f(-1);
}

Result<Model> loadNode(const Node &options) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto &graph = *model.mutable_graph();
  auto addValue = [&](onnx::ValueInfoProto *value, const char *name, int type,
                      const std::vector<int64_t> &dims) {
    value->set_name(name);
    auto *tensor = value->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    for (int64_t dim : dims)
      tensor->mutable_shape()->add_dim()->set_dim_value(dim);
  };
  auto addWeight = [&](const char *name, const std::vector<int64_t> &dims) {
    onnx::TensorProto *tensor = graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    int64_t count = 1;
    for (int64_t dim : dims) {
      tensor->add_dims(dim);
      count *= dim;
    }
    for (int64_t i = 0; i < count; ++i)
      tensor->add_float_data(0.1f);
  };
  addValue(graph.add_input(), "X", onnx::TensorProto::FLOAT, options.x);
  addWeight("W", options.w);
  addWeight("R", options.r);
  onnx::NodeProto &node = *graph.add_node();
  node.set_name("gru");
  node.set_op_type("GRU");
  for (const char *input : {"X", "W", "R"})
    node.add_input(input);
  if (options.lengths) {
    node.add_input("");
    node.add_input("lens");
    addValue(graph.add_input(), "lens", onnx::TensorProto::INT32,
             {options.lengths});
  }
  node.add_output("Y");
  node.add_output("Y_h");
  onnx::AttributeProto *units =
      addAttribute(node, "hidden_size", onnx::AttributeProto::INT);
  units->set_i(4);
  options.change(node);
  for (const char *output : {"Y", "Y_h"})
    graph.add_output()->set_name(output);
  for (onnx::ValueInfoProto &output : *graph.mutable_output())
    output.mutable_type()->mutable_tensor_type()->set_elem_type(
        onnx::TensorProto::FLOAT);
  std::string path = testing::TempDir() + "OnnxErrors.onnx";
  std::ofstream(path, std::ios::binary) << model.SerializeAsString();
  return Model::load(path);
}

TEST(OnnxErrors, Nodes) {
  struct {
    const char *id;
    Node node;
    const char *message; ///< Empty: it is accepted.
  } cases[] = {
      {"onnxruntime ok", {}, ""},
      {"onnxruntime layout1",
       {.w = {1, 12, 3}, .change = integer("layout", 1)},
       ""},
      {"onnxruntime direction_bad",
       {.change = text("direction", "sideways")},
       "direction is 'sideways', expected forward, reverse or bidirectional"},
      {"onnxruntime activations_wrong_count",
       {.change = activations({"Sigmoid"})},
       "activations has 1 names, expected 2: two per direction"},
      {"onnxruntime activation_unknown",
       {.change = activations({"Foo", "Tanh"})},
       "activation 'Foo' is not supported, expected one of Relu"},
      {"onnxruntime w_shape_wrong",
       {.w = {1, 11, 3}},
       "W is 1x11x3, expected 1x12x3 (directions x 3*units x features)"},
      {"onnxruntime x_features_wrong",
       {.x = {2, 2, 5}},
       "W is 1x12x3, expected 1x12x5"},
      {"onnxruntime x_rank_wrong",
       {.x = {2, 3}},
       "X is 2x3, W 1x12x3 and R 1x12x4, expected three dimensions each"},
      {"onnxruntime sequence_lens_wrong_count",
       {.lengths = 1},
       "sequence_lens is 1, expected 2 (batch)"},
      {"onnxruntime bidirectional_needs_two",
       {.change = text("direction", "bidirectional")},
       "W is 1x12x3, expected 2x12x3"},
      {"onnxruntime hidden_size_wrong",
       {.change =
            [](onnx::NodeProto &node) { node.mutable_attribute(0)->set_i(5); }},
       "W is 1x12x3, expected 1x15x3"},
      {"onnxruntime clip_negative",
       {.change = clipBelowZero},
       "clip is -1.000000, expected a number that is not negative"},
  };
  for (const auto &row : cases) {
    Result<Model> model = loadNode(row.node);
    if (!*row.message) {
      EXPECT_TRUE(bool(model)) << row.id << model.error().message();
      continue;
    }
    ASSERT_FALSE(bool(model)) << row.id;
    EXPECT_HAS(model.error().message(), row.message) << row.id;
    EXPECT_HAS(model.error().message(), "OnnxErrors.onnx: node 'gru' (GRU, ");
  }
}

// A size of 0 in a file says nothing; in a call it is refused.
TEST(OnnxErrors, NoSteps) {
  // errors.json: onnxruntime timesteps_zero.
  Program program = compileFor(loadNode({.x = {0, 2, 3}}), 0);
  ASSERT_TRUE(bool(program));
  EXPECT_EQ(callError(program, {{5, 2, 3}}), "");
  EXPECT_HAS(callError(program, {{0, 2, 3}}),
             "input 'X': dimension 0 is empty");
}

// ONNX Runtime refuses lengths beyond the sequence; here they mean all of it,
// and negative ones none, in both directions.
TEST(OnnxErrors, Lengths) {
  // errors.json: onnxruntime sequence_lens_too_long,
  // onnxruntime sequence_lens_zero.
  for (const char *direction : {"forward", "reverse"}) {
    Program program = compileFor(
        loadNode({.lengths = 2, .change = text("direction", direction)}), 0);
    ASSERT_TRUE(bool(program));
    const float x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    auto run = [&](int32_t first, int32_t second) {
      std::vector<float> values(2 * 2 * 4 + 2 * 4);
      const int32_t lengths[] = {first, second};
      Result<void> done = program.session().run(
          {{x, {2, 2, 3}}, {lengths, {2}}},
          {{values.data(), {2, 1, 2, 4}}, {values.data() + 16, {1, 2, 4}}});
      EXPECT_TRUE(bool(done)) << done.error().message();
      return values;
    };
    std::vector<float> zero = run(2, 0);
    for (int unit = 0; unit < 4; ++unit)
      EXPECT_TRUE(zero[4 + unit] == 0 && zero[12 + unit] == 0 &&
                  zero[20 + unit] == 0 && zero[unit] != 0);
    EXPECT_EQ(run(2, -1), zero);
    EXPECT_EQ(run(INT32_MAX, INT32_MIN), zero);
    EXPECT_EQ(run(2, 5), run(2, 2));
  }
}

} // namespace
