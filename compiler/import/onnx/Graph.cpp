//===- Graph.cpp - the walk over the nodes of an ONNX graph ---------------===//

#include "compiler/import/onnx/Graph.h"

#include "compiler/import/DType.h"
#include "compiler/import/onnx/operators/Operators.h"
#include "dialect/GRUDialect.h"
#include "third_party/onnx/onnx-ml.pb.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/xxhash.h"

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

Tensor gru::onnx::makeKnown(std::shared_ptr<const Literal> literal) {
  Tensor tensor;
  for (int64_t size : literal->shape)
    tensor.shape.push_back(size);
  tensor.type = literal->type;
  int64_t count = literal->getNumElements();
  if (isFloat(literal->type)) {
    if (count == 1)
      tensor.splat = literal->getDouble(0);
  } else if (count <= mostNumbers) {
    tensor.numbers.emplace();
    for (int64_t i = 0; i < count; ++i)
      tensor.numbers->push_back(literal->getInteger(i));
  }
  if (!tensor.splat && !tensor.numbers)
    tensor.literal = std::move(literal);
  return tensor;
}

Graph::Graph(const ModelData &model, const ImportOptions &options,
             mlir::func::FuncOp function, std::vector<WeightTensor> *weights)
    : model(model), options(options), function(function),
      builder(mlir::OpBuilder::atBlockBegin(function.addEntryBlock())),
      weights(weights) {
  for (const auto &entry : model.constants)
    weightNames.insert(entry.second->name);
  for (const auto &entry : model.innerConstants)
    weightNames.insert(entry.second->name);
  for (const auto &entry : model.attributeValues)
    weightNames.insert(entry.second->name);
  scopes.emplace_back();
  for (const auto &entry : model.constants)
    scopes.back()[entry.first()] = makeKnown(entry.second);
}

std::string Graph::makeUnique(StringRef name, StringSet<> &names) {
  std::string unique = name.str();
  for (int number = 1; !names.insert(unique).second; ++number)
    unique = (name + "_" + Twine(number)).str();
  return unique;
}

//===----------------------------------------------------------------------===//
// Inputs and weights
//===----------------------------------------------------------------------===//

/// The size of an open dimension in this import.
static Size resolve(const ModelData &model, const ImportOptions &options,
                    const Size &size) {
  std::optional<unsigned> symbol = size.getSymbol();
  if (!symbol)
    return size;
  if (model.symbols[*symbol] == Role::batch && options.batch)
    return options.batch;
  if (model.symbols[*symbol] == Role::time && options.timesteps)
    return options.timesteps;
  return size;
}

Error Graph::addInputs() {
  symbolValues.resize(model.symbols.size());
  for (const InputSpec &input : model.inputs) {
    Tensor tensor;
    tensor.type = input.type;
    SmallVector<int64_t> dims;
    for (const Size &size : input.shape) {
      tensor.shape.push_back(resolve(model, options, size));
      const Size &resolved = tensor.shape.back();
      dims.push_back(resolved.isNumber() ? resolved.getNumber() : kDynamicSize);
    }
    mlir::Location loc = mlir::NameLoc::get(builder.getStringAttr(input.name));
    tensor.value = function.getBody().front().addArgument(
        mlir::RankedTensorType::get(
            dims, getMLIRType(builder.getContext(), input.type)),
        loc);
    // Without a dimension that is the batch none may be taken for it.
    argumentAttributes.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr(kNameAttr, builder.getStringAttr(input.name)),
         builder.getNamedAttr(kBatchDimAttr,
                              builder.getI64IntegerAttr(input.batchDim))}));
    for (auto [dim, size] : enumerate(tensor.shape))
      if (std::optional<unsigned> symbol = size.getSymbol())
        if (!symbolValues[*symbol])
          symbolValues[*symbol] = mlir::tensor::DimOp::create(
              builder, loc, tensor.value, int64_t(dim));
    scopes.back()[input.name] = std::move(tensor);
  }
  return Error::success();
}

mlir::Value Graph::getSymbolValue(unsigned symbol) {
  return symbolValues[symbol];
}

mlir::Value Graph::addWeight(const std::string &name, DataType type,
                             ArrayRef<int64_t> shape, mlir::Location loc,
                             Node::Fill fill) {
  mlir::Value &value = weightArguments[name];
  if (value)
    return value;
  argumentAttributes.push_back(builder.getDictionaryAttr(
      builder.getNamedAttr(kWeightAttr, builder.getStringAttr(name))));
  value = function.getBody().front().addArgument(
      mlir::RankedTensorType::get(shape,
                                  getMLIRType(builder.getContext(), type)),
      loc);
  if (weights) {
    WeightTensor &weight = weights->emplace_back();
    weight.name = name;
    weight.shape.assign(shape.begin(), shape.end());
    weight.dtype = type == DataType::f32   ? WeightType::f32
                   : type == DataType::f64 ? WeightType::f64
                   : type == DataType::f16 ? WeightType::f16
                                           : WeightType::bf16;
    int64_t count = 1;
    for (int64_t size : shape)
      count *= size;
    weight.data.resize(count * getByteSize(type));
    fill(weight.data);
  }
  return value;
}

//===----------------------------------------------------------------------===//
// Nodes and outputs
//===----------------------------------------------------------------------===//

/// The version of a node's operator set; nothing for a domain that the model
/// does not import or that is unknown here.
static std::optional<int64_t> findOpset(const ModelData &model,
                                        StringRef domain) {
  if (domain.empty() || domain == "ai.onnx")
    return model.opset;
  return std::nullopt;
}

std::shared_ptr<const Literal> Graph::keep(std::shared_ptr<Literal> literal) {
  uint64_t hash =
      xxh3_64bits(StringRef(literal->bytes.data(), literal->bytes.size()));
  std::shared_ptr<const Literal> &slot = kept[hash];
  if (slot && slot->type == literal->type && slot->shape == literal->shape &&
      slot->bytes == literal->bytes)
    return slot;
  literal->name = makeWeightName(literal->name);
  slot = std::move(literal);
  return slot;
}

const Tensor *Graph::find(StringRef name) const {
  for (const StringMap<Tensor> &scope : reverse(scopes))
    if (auto found = scope.find(name); found != scope.end())
      return &found->second;
  return nullptr;
}

Expected<Tensors> Graph::runBody(Node &node, const ::onnx::GraphProto &body,
                                 ArrayRef<Tensor> inputs) {
  if (int(inputs.size()) != body.input_size())
    return node.error("the graph inside has " + Twine(body.input_size()) +
                      " inputs, expected " + Twine(inputs.size()));
  StringMap<Tensor> &scope = scopes.emplace_back();
  for (auto [proto, tensor] : zip(body.input(), inputs))
    scope[proto.name()] = tensor;
  for (const ::onnx::TensorProto &tensor : body.initializer())
    scope[tensor.name()] = makeKnown(model.innerConstants.lookup(&tensor));
  for (const ::onnx::NodeProto &inner : body.node())
    if (Error error = addNode(inner))
      return error;
  Tensors results;
  for (const ::onnx::ValueInfoProto &output : body.output()) {
    const Tensor *found = find(output.name());
    if (!found)
      return node.error("output '" + printable(output.name()) +
                        "' of the graph inside is made by no node");
    results.push_back(*found);
  }
  scopes.pop_back();
  return results;
}

Error Graph::addNode(const ::onnx::NodeProto &proto) {
  constexpr int64_t mostNodes = 200000;
  if (++numNodes > mostNodes)
    return importError(model.file,
                       "has more than " + Twine(mostNodes) +
                           " nodes, those of loops counted for each "
                           "step");
  std::optional<int64_t> opset = findOpset(model, proto.domain());
  Node node(*this, proto, opset.value_or(model.opset));
  const Operator *op = opset ? findOperator(proto.op_type()) : nullptr;
  if (!op) {
    std::string found = proto.domain().empty()
                            ? proto.op_type()
                            : proto.domain() + "." + proto.op_type();
    if (const char *reason = opset ? explainRefusal(proto.op_type()) : nullptr)
      return node.error("operator " + printable(found) +
                        " is not supported: " + reason);
    return node.error("operator " + printable(found) +
                      " is not supported; supported: " + listOperators());
  }
  for (const std::string &name : proto.input()) {
    if (name.empty()) {
      node.addInput(std::nullopt);
      continue;
    }
    const Tensor *tensor = find(name);
    if (!tensor)
      return node.error("input '" + printable(name) +
                        "' is made by no node before it, and is no input or "
                        "initializer of the model");
    node.addInput(*tensor);
  }
  for (unsigned i = 0; i < op->minInputs; ++i)
    if (!node.hasInput(i))
      return node.error("input " + Twine(i) + " is missing");
  if (node.getNumInputs() > op->maxInputs)
    return node.error("has " + Twine(node.getNumInputs()) +
                      " inputs, expected at most " + Twine(op->maxInputs));
  if (proto.output_size() == 0)
    return node.error("has no outputs");
  Expected<Tensors> results = op->function(node);
  if (!results)
    return results.takeError();
  if (Error error = node.takeAttributeError())
    return error;
  for (auto [index, name] : enumerate(proto.output())) {
    if (name.empty())
      continue;
    if (index >= results->size())
      return node.error("output " + Twine(index) + " is not supported");
    if (scopes.back().count(name))
      return node.error("output '" + printable(name) +
                        "' has the name of another value");
    Tensor &result = (*results)[index];
    if (!result.isKnown())
      if (Error error = node.checkShape(result.shape))
        return error;
    scopes.back()[name] = std::move(result);
  }
  return Error::success();
}

Error Graph::addOutputs() {
  SmallVector<mlir::Value> values;
  SmallVector<mlir::DictionaryAttr> attributes;
  if (model.proto->graph().output().empty())
    return importError(model.file, "the graph has no outputs");
  StringSet<> seen;
  for (const ::onnx::ValueInfoProto &output : model.proto->graph().output()) {
    auto fail = [&](const Twine &message) {
      return importError(model.file, "output '" + printable(output.name()) +
                                         "' " + message);
    };
    const Tensor *found = find(output.name());
    if (!found)
      return fail("is made by no node");
    if (!seen.insert(output.name()).second)
      return fail("is listed twice");
    const Tensor tensor = *found;
    constexpr size_t mostDims = 6; // GRU_MAX_RANK
    if (tensor.getRank() > mostDims)
      return fail("has " + Twine(tensor.getRank()) +
                  " dimensions, expected at most " + Twine(mostDims));
    ::onnx::NodeProto proto;
    proto.set_name(output.name());
    proto.set_op_type("output");
    Node node(*this, proto, model.opset);
    Expected<mlir::Value> value = node.getValue(tensor);
    if (!value)
      return value.takeError();
    values.push_back(*value);
    attributes.push_back(builder.getDictionaryAttr(
        builder.getNamedAttr(kNameAttr, builder.getStringAttr(output.name()))));
    TensorSpec &spec = outputs.emplace_back();
    spec.name = output.name();
    spec.dtype = getDType(getMLIRType(builder.getContext(), tensor.type));
    for (const Size &size : tensor.shape)
      spec.shape.push_back(size.isNumber() ? size.getNumber() : -1);
  }
  mlir::func::ReturnOp::create(builder, function.getLoc(), values);
  mlir::Block &body = function.getBody().front();
  function.setFunctionType(builder.getFunctionType(
      body.getArgumentTypes(), mlir::ValueRange(values).getTypes()));
  function.setAllArgAttrs(argumentAttributes);
  function.setAllResultAttrs(attributes);
  return Error::success();
}

Error Graph::run() {
  if (Error error = addInputs())
    return error;
  for (const ::onnx::NodeProto &node : model.proto->graph().node())
    if (Error error = addNode(node))
      return error;
  return addOutputs();
}
