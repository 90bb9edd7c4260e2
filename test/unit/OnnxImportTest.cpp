//===- OnnxImportTest.cpp - what operators of ONNX compute ----------------===//
//
// Forms that exporters rarely write; test/fuzz/onnx_random.py compares the
// others with ONNX Runtime.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"
#include "third_party/onnx/onnx-ml.pb.h"

#include <gtest/gtest.h>

#include <fstream>

using namespace gru;

namespace {

onnx::TensorProto &addInitializer(onnx::GraphProto &graph, const char *name,
                                  onnx::TensorProto::DataType type,
                                  const std::vector<int64_t> &shape) {
  onnx::TensorProto &tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (int64_t dim : shape)
    tensor.add_dims(dim);
  return tensor;
}

void addIntegers(onnx::GraphProto &graph, const char *name,
                 const std::vector<int64_t> &shape,
                 const std::vector<int64_t> &numbers) {
  onnx::TensorProto &tensor =
      addInitializer(graph, name, onnx::TensorProto::INT64, shape);
  for (int64_t number : numbers)
    tensor.add_int64_data(number);
}

onnx::NodeProto &addNode(onnx::GraphProto &graph, const char *type,
                         const std::vector<const char *> &inputs,
                         const char *output) {
  onnx::NodeProto &node = *graph.add_node();
  node.set_op_type(type);
  for (const char *input : inputs)
    node.add_input(input);
  node.add_output(output);
  return node;
}

/// x -> y, with the nodes and initializers of `graph` between them.
Result<Model> load(onnx::GraphProto graph, const std::vector<int64_t> &shape) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  auto *x = graph.add_input();
  x->set_name("x");
  auto *type = x->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  for (int64_t dim : shape)
    type->mutable_shape()->add_dim()->set_dim_value(dim);
  auto *y = graph.add_output();
  y->set_name("y");
  y->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::FLOAT);
  *model.mutable_graph() = std::move(graph);
  std::string path = testing::TempDir() + "OnnxScatter.onnx";
  std::ofstream(path, std::ios::binary) << model.SerializeAsString();
  return Model::load(path);
}

/// What becomes of 0, 1, 2, ... on each target.
void expectOfCounting(const Result<Model> &model,
                      const std::vector<int64_t> &shape,
                      const std::vector<float> &expected) {
  ASSERT_TRUE(bool(model)) << model.error().message();
  std::vector<float> x(expected.size()), y(expected.size());
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = float(i);
  for (const char *target : {"cpu", "reference"}) {
    auto program = compile(*model, {.target = target});
    ASSERT_TRUE(bool(program)) << program.error().message();
    Result<void> done =
        program->session().run({{x.data(), shape}}, {{y.data(), shape}});
    ASSERT_TRUE(bool(done)) << done.error().message();
    EXPECT_EQ(y, expected) << target;
  }
}

/// ScatterND into x [100, 3] of an update per row of `indices`, whose number of
/// columns is `depth`: update i is made of the numbers 1000 + i.
Result<Model> loadScatter(const std::vector<int64_t> &indices, int64_t depth) {
  onnx::GraphProto graph;
  auto count = static_cast<int64_t>(indices.size()) / depth;
  addIntegers(graph, "indices", {count, depth}, indices);
  int64_t length = depth == 1 ? 3 : 1;
  std::vector<int64_t> shape{count};
  if (depth == 1)
    shape.push_back(length);
  onnx::TensorProto &updates =
      addInitializer(graph, "updates", onnx::TensorProto::FLOAT, shape);
  for (int64_t i = 0; i < count * length; ++i)
    updates.add_float_data(float(1000 + i / length));
  addNode(graph, "ScatterND", {"x", "indices", "updates"}, "y");
  return load(std::move(graph), {100, 3});
}

// Rows or elements in any order and number, negative ones counted from the end;
// of equal ones the last counts.
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
    expectOfCounting(loadScatter(indices, depth), {100, 3}, expected);
  }
}

// x[:, 1::2, :] = ..., as torch.onnx.export writes it: the index of each
// element, put together from those of its rows, columns and layers, which are
// more than a shape has numbers.
TEST(OnnxScatter, IndicesPutTogether) {
  const int64_t rows = 20, columns = 15, layers = 10;
  onnx::GraphProto graph;
  addIntegers(graph, "shape", {4}, {rows, columns, layers, 1});
  auto count = [](int64_t n, int64_t step) {
    std::vector<int64_t> numbers(n);
    for (int64_t i = 0; i < n; ++i)
      numbers[i] = (step - 1) + step * i;
    return numbers;
  };
  addIntegers(graph, "row", {rows, 1, 1, 1}, count(rows, 1));
  addIntegers(graph, "column", {columns, 1, 1}, count(columns, 2));
  addIntegers(graph, "layer", {layers, 1}, count(layers, 1));
  addNode(graph, "Expand", {"row", "shape"}, "rows");
  addNode(graph, "Expand", {"column", "shape"}, "columns");
  addNode(graph, "Expand", {"layer", "shape"}, "layers");
  auto *axis =
      addNode(graph, "Concat", {"rows", "columns", "layers"}, "indices")
          .add_attribute();
  axis->set_name("axis");
  axis->set_type(onnx::AttributeProto::INT);
  axis->set_i(-1);
  onnx::TensorProto &updates = addInitializer(
      graph, "updates", onnx::TensorProto::FLOAT, {rows, columns, layers});
  for (int64_t i = 0; i < rows * columns * layers; ++i)
    updates.add_float_data(float(-i));
  addNode(graph, "ScatterND", {"x", "indices", "updates"}, "y");
  std::vector<float> expected(rows * 2 * columns * layers);
  for (size_t i = 0; i < expected.size(); ++i)
    expected[i] = float(i);
  for (int64_t r = 0, i = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t l = 0; l < layers; ++l)
        expected[(r * 2 * columns + 2 * c + 1) * layers + l] = float(-i++);
  const std::vector<int64_t> shape{rows, 2 * columns, layers};
  expectOfCounting(load(std::move(graph), shape), shape, expected);
}

} // namespace
