//===- Graph.h - the walk over the nodes of an ONNX graph -------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_ONNX_GRAPH_H
#define GRU_COMPILER_IMPORT_ONNX_GRAPH_H

#include "compiler/import/ModelSource.h"
#include "compiler/import/onnx/Node.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

#include <memory>
#include <string>
#include <vector>

namespace onnx {
class GraphProto;
class ModelProto;
class TensorProto;
} // namespace onnx

namespace gru::onnx {

/// What an open dimension of the inputs is.
enum class Role { batch, time, other };

/// An input of the model. Open dimensions are symbols of the model.
struct InputSpec {
  std::string name;
  DataType type;
  Sizes shape;
  /// -1 where there is none.
  int64_t batchDim = -1, timeDim = -1;
};

/// What is read once when a file is opened; constant afterwards.
struct ModelData {
  std::string file;
  /// Of the default domain.
  int64_t opset = 0;
  std::shared_ptr<const ::onnx::ModelProto> proto;
  /// Initializers of the graph, and of graphs inside of nodes.
  llvm::StringMap<std::shared_ptr<const Literal>> constants;
  llvm::DenseMap<const ::onnx::TensorProto *, std::shared_ptr<const Literal>>
      innerConstants;
  /// The attributes `value` of nodes.
  llvm::DenseMap<const ::onnx::NodeProto *, std::shared_ptr<const Literal>>
      attributeValues;
  std::vector<InputSpec> inputs;
  /// By symbol. All of role batch are one size, those of role time one each.
  std::vector<Role> symbols;
};

/// Makes the function of a model out of its nodes, one after the other.
class Graph {
public:
  /// `weights`, where not null, takes the weights in the order of the
  /// function's arguments.
  Graph(const ModelData &model, const ImportOptions &options,
        mlir::func::FuncOp function, std::vector<WeightTensor> *weights);

  llvm::Error run();

  /// After run: names, types and shapes of the outputs.
  llvm::ArrayRef<TensorSpec> getOutputs() const { return outputs; }
  /// After run: what was decided by looking at weights' values.
  llvm::StringRef getFacts() const { return facts; }

  llvm::StringRef getFile() const { return model.file; }
  mlir::OpBuilder &getBuilder() { return builder; }
  /// The attribute `value` of a node, null where there is none.
  std::shared_ptr<const Literal>
  getAttributeValue(const ::onnx::NodeProto &node) const {
    return model.attributeValues.lookup(&node);
  }
  /// A literal that was made here, or an equal one that was made before: the
  /// steps of a loop make the same ones again.
  std::shared_ptr<const Literal> keep(std::shared_ptr<Literal> literal);
  /// Imports the nodes of a graph inside of a node, once; gives its outputs.
  llvm::Expected<Tensors> runBody(Node &node, const ::onnx::GraphProto &body,
                                  llvm::ArrayRef<Tensor> inputs);
  void addFact(const llvm::Twine &fact) { facts += fact.str() + "\n"; }
  mlir::Value getSymbolValue(unsigned symbol);
  mlir::Value addWeight(const std::string &name, DataType type,
                        llvm::ArrayRef<int64_t> shape, mlir::Location loc,
                        Node::Fill fill);
  /// `name`, or with a number behind it if another node has it.
  std::string makeNodeName(llvm::StringRef name) {
    return makeUnique(name, nodeNames);
  }
  /// The same for weights that are made here and for those of the file.
  std::string makeWeightName(llvm::StringRef name) {
    return makeUnique(name, weightNames);
  }

private:
  const Tensor *find(llvm::StringRef name) const;
  llvm::Error addInputs();
  llvm::Error addOutputs();
  static std::string makeUnique(llvm::StringRef name, llvm::StringSet<> &names);
  llvm::Error addNode(const ::onnx::NodeProto &proto);

  const ModelData &model;
  const ImportOptions &options;
  mlir::func::FuncOp function;
  mlir::OpBuilder builder;
  std::vector<WeightTensor> *weights;

  /// The values of the graph, and of the graphs inside that are being run.
  std::vector<llvm::StringMap<Tensor>> scopes;
  llvm::StringMap<mlir::Value> weightArguments;
  llvm::DenseMap<uint64_t, std::shared_ptr<const Literal>> kept;
  int64_t numNodes = 0;
  llvm::StringSet<> nodeNames, weightNames;
  std::vector<mlir::Value> symbolValues;
  llvm::SmallVector<mlir::DictionaryAttr> argumentAttributes;
  std::vector<TensorSpec> outputs;
  std::string facts;
};

/// A tensor of a constant: small integers as numbers, one element as a splat.
Tensor makeKnown(std::shared_ptr<const Literal> literal);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_GRAPH_H
