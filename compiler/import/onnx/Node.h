//===- Node.h - what an operator's import function sees ---------*- C++ -*-===//
//
// To add an operator, write one function in the file of its family under
// operators/, declare it in operators/Operators.h and enter it into the table
// in operators/Operators.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_ONNX_NODE_H
#define GRU_COMPILER_IMPORT_ONNX_NODE_H

#include "compiler/Take.h"
#include "compiler/import/ImportError.h"
#include "compiler/import/onnx/MLIR.h"
#include "compiler/import/onnx/Tensor.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringSet.h"

namespace onnx {
class AttributeProto;
class GraphProto;
class NodeProto;
} // namespace onnx

namespace gru::onnx {

class Graph;

/// The model needs a size that was left open: it may work for known ones.
class OpenSizeError : public llvm::ErrorInfo<OpenSizeError> {
public:
  static char ID;
  explicit OpenSizeError(std::string message) : message(std::move(message)) {}
  void log(llvm::raw_ostream &os) const override { os << message; }
  std::error_code convertToErrorCode() const override {
    return llvm::inconvertibleErrorCode();
  }

private:
  std::string message;
};

/// A node while it is imported.
class Node {
  std::string name;

public:
  Node(Graph &graph, const ::onnx::NodeProto &proto, int64_t opset);

  Graph &graph;
  /// Version of the operator set that the node's domain has in this model.
  const int64_t opset;
  OpBuilder &b;
  const Location loc;

  /// The node's name, or that of its first output; unique in the model.
  llvm::StringRef getName() const { return name; }
  llvm::StringRef getOperator() const;
  /// "FILE: node 'NAME' (Slice, opset 17): MESSAGE".
  llvm::Error error(const llvm::Twine &message) const;
  /// The same, as an OpenSizeError.
  llvm::Error openSize(const llvm::Twine &message) const;

  //===--- Inputs ---------------------------------------------------------===//

  size_t getNumInputs() const { return inputs.size(); }
  size_t getNumOutputs() const;
  llvm::StringRef getOutputName(size_t index) const;
  /// False for one that is left out.
  bool hasInput(size_t index) const {
    return index < inputs.size() && inputs[index];
  }
  /// Only of an input that is there.
  const Tensor &getInput(size_t index) const { return *inputs[index]; }
  void addInput(std::optional<Tensor> tensor) {
    inputs.push_back(std::move(tensor));
  }

  //===--- Attributes -----------------------------------------------------===//
  // One of another kind than asked for is remembered as the node's error, which
  // the walk reports; so is one that nobody has asked for.

  bool hasAttribute(llvm::StringRef name);
  int64_t getInt(llvm::StringRef name, int64_t otherwise);
  double getFloat(llvm::StringRef name, double otherwise);
  std::string getString(llvm::StringRef name, llvm::StringRef otherwise);
  llvm::SmallVector<int64_t> getInts(llvm::StringRef name);
  llvm::SmallVector<double> getFloats(llvm::StringRef name);
  std::vector<std::string> getStrings(llvm::StringRef name);
  /// The tensor attribute `value`, null where it is absent.
  std::shared_ptr<const Literal> getValueAttribute();
  /// Null where it is absent.
  const ::onnx::GraphProto *getGraph(llvm::StringRef name);
  /// For what changes no number.
  void ignoreAttribute(llvm::StringRef name) { asked.insert(name); }
  llvm::Error takeAttributeError();

  //===--- Known values ---------------------------------------------------===//

  /// The elements of a tensor of integers whose values follow from the file and
  /// from shapes; `what` names it in the message otherwise.
  llvm::Expected<Sizes> getSizes(const Tensor &tensor, llvm::StringRef what);
  /// The same, where they follow from the file alone.
  llvm::Expected<llvm::SmallVector<int64_t>> getNumbers(const Tensor &tensor,
                                                        llvm::StringRef what);
  /// The one element of a known tensor; nothing for other tensors.
  std::optional<double> getScalar(const Tensor &tensor);
  /// `axis` of a tensor of `rank` dimensions, counted from the front.
  llvm::Expected<int64_t> getAxis(int64_t axis, int64_t rank);
  /// Axes, each at most once.
  llvm::Expected<llvm::SmallVector<int64_t>>
  getAxes(llvm::ArrayRef<int64_t> axes, int64_t rank);
  /// Axes given as an attribute or, in newer operator sets, as input `index`;
  /// nothing where there is neither.
  llvm::Expected<std::optional<llvm::SmallVector<int64_t>>>
  getAxesArgument(size_t index, int64_t rank);
  /// An error unless the shape is one that a tensor can have.
  llvm::Error checkShape(llvm::ArrayRef<Size> shape);

  //===--- Values ---------------------------------------------------------===//

  llvm::Expected<Value> getValue(const Tensor &tensor);
  /// A weight argument made from a literal: `shape` and the bytes that `fill`
  /// writes, which are zeros before. Equal names are one weight.
  using Fill = llvm::function_ref<void(std::vector<char> &bytes)>;
  Value getWeight(const llvm::Twine &name, DataType type,
                  llvm::ArrayRef<int64_t> shape, Fill fill);
  mlir::Type getType(DataType type) {
    return onnx::getMLIRType(b.getContext(), type);
  }
  mlir::RankedTensorType getTensorType(llvm::ArrayRef<Size> shape,
                                       DataType type);
  mlir::OpFoldResult getFoldResult(const Size &size);
  llvm::SmallVector<mlir::OpFoldResult>
  getFoldResults(llvm::ArrayRef<Size> sizes);
  /// An index.
  Value getIndex(const Size &size);

private:
  const ::onnx::AttributeProto *find(llvm::StringRef name, int kind);

  const ::onnx::NodeProto &proto;
  llvm::SmallVector<std::optional<Tensor>> inputs;
  llvm::StringSet<> asked;
  std::string attributeError;
};

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_NODE_H
