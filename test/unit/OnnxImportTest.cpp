//===- OnnxImportTest.cpp - what operators of ONNX compute -----------------===//
//
// Forms that exporters rarely write; test/fuzz/onnx_random.py compares the others
// with ONNX Runtime.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"
#include "third_party/onnx/onnx-ml.pb.h"

#include <gtest/gtest.h>

#include <fstream>

using namespace gru;

namespace {

/// ScatterND into x [100, 3] of an update per row of `indices`, whose number of
/// columns is `depth`: update i is made of the numbers 1000 + i.
Result<Model> loadScatter(const std::vector<int64_t> &indices, int64_t depth) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto &graph = *model.mutable_graph();
  auto *x = graph.add_input();
  x->set_name("x");
  auto *type = x->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  for (int64_t dim : {100, 3})
    type->mutable_shape()->add_dim()->set_dim_value(dim);
  auto count = static_cast<int64_t>(indices.size()) / depth;
  onnx::TensorProto *places = graph.add_initializer();
  places->set_name("indices");
  places->set_data_type(onnx::TensorProto::INT64);
  places->add_dims(count);
  places->add_dims(depth);
  for (int64_t index : indices)
    places->add_int64_data(index);
  onnx::TensorProto *updates = graph.add_initializer();
  updates->set_name("updates");
  updates->set_data_type(onnx::TensorProto::FLOAT);
  updates->add_dims(count);
  if (depth == 1)
    updates->add_dims(3);
  for (int64_t i = 0; i < count * (depth == 1 ? 3 : 1); ++i)
    updates->add_float_data(float(1000 + i / (depth == 1 ? 3 : 1)));
  onnx::NodeProto &node = *graph.add_node();
  node.set_op_type("ScatterND");
  for (const char *input : {"x", "indices", "updates"})
    node.add_input(input);
  node.add_output("y");
  auto *y = graph.add_output();
  y->set_name("y");
  y->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::FLOAT);
  std::string path = testing::TempDir() + "OnnxScatter.onnx";
  std::ofstream(path, std::ios::binary) << model.SerializeAsString();
  return Model::load(path);
}

// Rows or elements in any order and number, negative ones counted from the end; of
// equal ones the last counts.
TEST(OnnxScatter, AnyPlaces) {
  for (int64_t depth : {1, 2}) {
    std::vector<int64_t> indices;
    std::vector<float> expected(300);
    for (int i = 0; i < 300; ++i)
      expected[i] = float(i);
    for (int i = 0; i < 80; ++i) {
      int64_t row = i * 37 % 100, column = i % 3;
      indices.push_back(i % 2 ? row : row - 100);
      if (depth == 2)
        indices.push_back(column);
      for (int64_t c = 0; c < 3; ++c)
        if (depth == 1 || c == column)
          expected[row * 3 + c] = float(1000 + i);
    }
    // Once more where the second one wrote, whose row is not negative.
    indices.insert(indices.end(), indices.begin() + depth,
                   indices.begin() + 2 * depth);
    for (int64_t c = 0; c < 3; ++c)
      if (depth == 1 || c == 1)
        expected[37 * 3 + c] = 1080;
    auto model = loadScatter(indices, depth);
    ASSERT_TRUE(bool(model)) << model.error().message();
    for (const char *target : {"cpu", "reference"}) {
      auto program = compile(*model, {.target = target});
      ASSERT_TRUE(bool(program)) << program.error().message();
      std::vector<float> x(300), y(300);
      for (int i = 0; i < 300; ++i)
        x[i] = float(i);
      Result<void> done = program->session().run({{x.data(), {100, 3}}},
                                                 {{y.data(), {100, 3}}});
      ASSERT_TRUE(bool(done)) << done.error().message();
      EXPECT_EQ(y, expected) << target << ' ' << depth;
    }
  }
}

} // namespace
