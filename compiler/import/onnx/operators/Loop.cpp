//===- Loop.cpp - loops whose length is known -----------------------------===//
//
// tf2onnx leaves a recurrent layer that it does not know as a GRU, such as any
// of Keras 3, as a Loop over its steps. Where the number of steps is known, so
// is every counter, and the loop is its body so many times over.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/Graph.h"
#include "compiler/import/onnx/operators/Operators.h"
#include "third_party/onnx/onnx-ml.pb.h"

#include <limits>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

/// A condition that follows from the file and from shapes.
static Expected<bool> getCondition(Node &node, const Tensor &tensor) {
  std::optional<double> known = node.getScalar(tensor);
  if (!known)
    return node.openSize(
        "when the loop ends is computed while the model runs, "
        "which is not supported; export a layer that becomes a "
        "GRU node, or give the Keras file itself");
  return *known != 0;
}

static Tensor makeCounter(int64_t number, DataType type) {
  Tensor tensor;
  tensor.type = type;
  tensor.numbers.emplace(1, Size(number));
  return tensor;
}

Expected<Tensors> gru::onnx::importLoop(Node &node) {
  constexpr int64_t mostSteps = 1024, mostNodes = 65536;
  const ::onnx::GraphProto *body = node.getGraph("body");
  if (!body)
    return node.error("has no body");
  int64_t steps = std::numeric_limits<int64_t>::max();
  if (node.hasInput(0)) {
    SmallVector<int64_t> numbers;
    GRU_TAKE(numbers, node.getNumbers(node.getInput(0), "the number of steps"));
    if (numbers.size() != 1)
      return node.error("the number of steps is no scalar");
    steps = numbers[0];
  }
  bool condition = true;
  if (node.hasInput(1))
    GRU_TAKE(condition, getCondition(node, node.getInput(1)));
  Tensors carried;
  for (size_t i = 2; i < node.getNumInputs(); ++i) {
    if (!node.hasInput(i))
      return node.error("input " + Twine(i) + " is missing");
    carried.push_back(node.getInput(i));
  }
  size_t outputs = body->output_size();
  if (outputs < 1 + carried.size())
    return node.error("the body has " + Twine(outputs) +
                      " outputs, expected a condition and " +
                      Twine(carried.size()) + " carried values");
  SmallVector<Tensors> scans(outputs - 1 - carried.size());
  for (int64_t step = 0; step < steps && condition; ++step) {
    if (step == mostSteps || step * body->node_size() > mostNodes)
      return node.error("runs " + Twine(step) + " steps of " +
                        Twine(body->node_size()) +
                        " nodes and more, expected fewer");
    Tensors inputs{makeCounter(step, DataType::i64),
                   makeCounter(1, DataType::i1)};
    inputs.append(carried);
    Tensors results;
    GRU_TAKE(results, node.graph.runBody(node, *body, inputs));
    GRU_TAKE(condition, getCondition(node, results[0]));
    for (size_t i = 0; i < carried.size(); ++i)
      carried[i] = results[1 + i];
    for (size_t i = 0; i < scans.size(); ++i) {
      const Tensor &result = results[1 + carried.size() + i];
      Sizes shape{Size(1)};
      shape.append(result.shape);
      GRU_TAKE(scans[i].emplace_back(), emitReshape(node, result, shape));
    }
  }
  Tensors results = carried;
  for (const Tensors &scan : scans) {
    if (scan.empty())
      return node.error("runs no step");
    for (const Tensor &tensor : scan)
      if (!(tensor.shape == scan[0].shape) || tensor.type != scan[0].type)
        return node.error("steps give " + shapeText(scan[0].shape) + " and " +
                          shapeText(tensor.shape));
    GRU_TAKE(results.emplace_back(), emitConcat(node, scan, 0));
  }
  return results;
}
