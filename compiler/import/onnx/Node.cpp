//===- Node.cpp - what an operator's import function sees -----------------===//

#include "compiler/import/onnx/Node.h"

#include "compiler/import/onnx/Graph.h"
#include "third_party/onnx/onnx-ml.pb.h"

#include "llvm/Support/MathExtras.h"

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

using ::onnx::AttributeProto;

char OpenSizeError::ID;

static std::string chooseName(Graph &graph, const ::onnx::NodeProto &proto) {
  StringRef name = proto.name();
  if (name.empty() && proto.output_size())
    name = proto.output(0);
  return graph.makeNodeName(name.empty() ? StringRef(proto.op_type()) : name);
}

Node::Node(Graph &graph, const ::onnx::NodeProto &proto, int64_t opset)
    : name(chooseName(graph, proto)), graph(graph), opset(opset),
      b(graph.getBuilder()),
      loc(mlir::NameLoc::get(graph.getBuilder().getStringAttr(name))),
      proto(proto) {}

StringRef Node::getOperator() const { return proto.op_type(); }

size_t Node::getNumOutputs() const { return proto.output_size(); }

StringRef Node::getOutputName(size_t index) const {
  return proto.output(index);
}

static std::string describe(const Node &node, StringRef file,
                            const Twine &text) {
  return (file + ": node '" + printable(node.getName()) + "' (" +
          printable(node.getOperator()) + ", opset " + Twine(node.opset) +
          "): " + text)
      .str();
}

Error Node::error(const Twine &message) const {
  return importError("", describe(*this, graph.getFile(), message));
}

Error Node::openSize(const Twine &message) const {
  return make_error<OpenSizeError>(describe(*this, graph.getFile(), message));
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

bool Node::hasAttribute(StringRef name) {
  return any_of(proto.attribute(),
                [&](const AttributeProto &a) { return a.name() == name; });
}

/// The kind that an attribute has; old files do not say it.
static int kindOf(const AttributeProto &attribute) {
  if (attribute.type() != AttributeProto::UNDEFINED)
    return attribute.type();
  return attribute.has_f()          ? AttributeProto::FLOAT
         : attribute.has_i()        ? AttributeProto::INT
         : attribute.has_s()        ? AttributeProto::STRING
         : attribute.has_t()        ? AttributeProto::TENSOR
         : attribute.has_g()        ? AttributeProto::GRAPH
         : attribute.floats_size()  ? AttributeProto::FLOATS
         : attribute.ints_size()    ? AttributeProto::INTS
         : attribute.strings_size() ? AttributeProto::STRINGS
                                    : AttributeProto::UNDEFINED;
}

const AttributeProto *Node::find(StringRef name, int kind) {
  asked.insert(name);
  for (const AttributeProto &attribute : proto.attribute()) {
    if (attribute.name() != name)
      continue;
    if (kindOf(attribute) == kind && attribute.ref_attr_name().empty())
      return &attribute;
    // An empty list of an old file.
    if (kindOf(attribute) == AttributeProto::UNDEFINED)
      return nullptr;
    if (attributeError.empty())
      attributeError =
          (Twine("attribute ") + name + " has type " +
           StringRef(AttributeProto::AttributeType_Name(
                         AttributeProto::AttributeType(kindOf(attribute))))
               .lower() +
           ", expected " +
           StringRef(AttributeProto::AttributeType_Name(
                         AttributeProto::AttributeType(kind)))
               .lower())
              .str();
  }
  return nullptr;
}

int64_t Node::getInt(StringRef name, int64_t otherwise) {
  const AttributeProto *attribute = find(name, AttributeProto::INT);
  return attribute ? attribute->i() : otherwise;
}

double Node::getFloat(StringRef name, double otherwise) {
  const AttributeProto *attribute = find(name, AttributeProto::FLOAT);
  return attribute ? double(attribute->f()) : otherwise;
}

std::string Node::getString(StringRef name, StringRef otherwise) {
  const AttributeProto *attribute = find(name, AttributeProto::STRING);
  return attribute ? attribute->s() : otherwise.str();
}

SmallVector<int64_t> Node::getInts(StringRef name) {
  const AttributeProto *attribute = find(name, AttributeProto::INTS);
  if (!attribute)
    return {};
  return SmallVector<int64_t>(attribute->ints().begin(),
                              attribute->ints().end());
}

SmallVector<double> Node::getFloats(StringRef name) {
  const AttributeProto *attribute = find(name, AttributeProto::FLOATS);
  if (!attribute)
    return {};
  return SmallVector<double>(attribute->floats().begin(),
                             attribute->floats().end());
}

std::vector<std::string> Node::getStrings(StringRef name) {
  const AttributeProto *attribute = find(name, AttributeProto::STRINGS);
  if (!attribute)
    return {};
  return {attribute->strings().begin(), attribute->strings().end()};
}

std::shared_ptr<const Literal> Node::getValueAttribute() {
  // Read when the file was opened.
  if (!find("value", AttributeProto::TENSOR))
    return nullptr;
  return graph.getAttributeValue(proto);
}

const ::onnx::GraphProto *Node::getGraph(StringRef name) {
  const AttributeProto *attribute = find(name, AttributeProto::GRAPH);
  return attribute ? &attribute->g() : nullptr;
}

Error Node::takeAttributeError() {
  for (const AttributeProto &attribute : proto.attribute())
    if (!asked.contains(attribute.name()) && attributeError.empty())
      attributeError =
          "attribute '" + printable(attribute.name()) + "' is not supported";
  if (!attributeError.empty())
    return error(attributeError);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Known values
//===----------------------------------------------------------------------===//

Expected<Sizes> Node::getSizes(const Tensor &tensor, StringRef what) {
  if (tensor.numbers)
    return *tensor.numbers;
  return error(what +
               " is computed while the model runs, expected numbers that "
               "follow from the file and from shapes");
}

Expected<SmallVector<int64_t>> Node::getNumbers(const Tensor &tensor,
                                                StringRef what) {
  Expected<Sizes> sizes = getSizes(tensor, what);
  if (!sizes)
    return sizes.takeError();
  std::optional<SmallVector<int64_t>> numbers = onnx::getNumbers(*sizes);
  if (!numbers)
    return openSize(what + " depends on a size that is open");
  return std::move(*numbers);
}

std::optional<double> Node::getScalar(const Tensor &tensor) {
  if (tensor.splat)
    return tensor.splat;
  if (tensor.numbers && tensor.numbers->size() == 1 &&
      tensor.numbers->front().isNumber())
    return double(tensor.numbers->front().getNumber());
  return std::nullopt;
}

Expected<int64_t> Node::getAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return error("axis is " + Twine(axis) + ", expected one of a tensor with " +
                 Twine(rank) + " dimensions");
  return axis < 0 ? axis + rank : axis;
}

Expected<SmallVector<int64_t>> Node::getAxes(ArrayRef<int64_t> axes,
                                             int64_t rank) {
  SmallVector<int64_t> result;
  for (int64_t given : axes) {
    int64_t axis = 0;
    GRU_TAKE(axis, getAxis(given, rank));
    if (is_contained(result, axis))
      return error("axes hold " + Twine(given) + " twice");
    result.push_back(axis);
  }
  return result;
}

Expected<std::optional<SmallVector<int64_t>>>
Node::getAxesArgument(size_t index, int64_t rank) {
  SmallVector<int64_t> axes = getInts("axes");
  bool given = hasAttribute("axes");
  if (hasInput(index)) {
    GRU_TAKE(axes, getNumbers(getInput(index), "axes"));
    given = true;
  }
  if (!given)
    return std::nullopt;
  GRU_TAKE(axes, getAxes(axes, rank));
  return axes;
}

Error Node::checkShape(ArrayRef<Size> shape) {
  constexpr int64_t most = int64_t(1) << 31, mostDims = 16;
  if (shape.size() > mostDims)
    return error("a tensor has " + Twine(shape.size()) +
                 " dimensions, expected at most " + Twine(mostDims));
  int64_t count = 1;
  for (const Size &size : shape) {
    if (!size.isNumber()) {
      if (!size.getSymbol())
        return openSize("a size is computed from one that is open, and is not "
                        "that size itself");
      continue;
    }
    if (size.getNumber() <= 0)
      return error("a tensor is " + onnx::shapeText(shape) +
                   ", expected no dimension below 1");
    if (MulOverflow(count, size.getNumber(), count) || count > most)
      return error("a tensor is " + onnx::shapeText(shape) +
                   ", expected at most 2^31 elements");
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

mlir::RankedTensorType Node::getTensorType(ArrayRef<Size> shape,
                                           DataType type) {
  SmallVector<int64_t> dims;
  for (const Size &size : shape)
    dims.push_back(size.isNumber() ? size.getNumber() : kDynamicSize);
  return mlir::RankedTensorType::get(dims, getType(type));
}

Value Node::getIndex(const Size &size) {
  using namespace mlir::arith;
  Value sum;
  for (const Size::Term &term : size.getTerms()) {
    Value product;
    for (unsigned symbol : term.symbols) {
      Value value = graph.getSymbolValue(symbol);
      product = product ? b.createOrFold<MulIOp>(loc, product, value) : value;
    }
    if (!product)
      product = indexConstant(b, loc, term.factor);
    else if (term.factor != 1)
      product = b.createOrFold<MulIOp>(loc, product,
                                       indexConstant(b, loc, term.factor));
    sum = sum ? b.createOrFold<AddIOp>(loc, sum, product) : product;
  }
  return sum ? sum : indexConstant(b, loc, 0);
}

mlir::OpFoldResult Node::getFoldResult(const Size &size) {
  if (size.isNumber())
    return b.getIndexAttr(size.getNumber());
  return getIndex(size);
}

SmallVector<mlir::OpFoldResult> Node::getFoldResults(ArrayRef<Size> sizes) {
  SmallVector<mlir::OpFoldResult> results;
  for (const Size &size : sizes)
    results.push_back(getFoldResult(size));
  return results;
}

Expected<Value> Node::getValue(const Tensor &tensor) {
  if (tensor.value)
    return tensor.value;
  if (Error error = checkShape(tensor.shape))
    return error;
  mlir::RankedTensorType type = getTensorType(tensor.shape, tensor.type);
  mlir::Type element = type.getElementType();
  if (tensor.splat) {
    Value empty = mlir::tensor::EmptyOp::create(
        b, loc, getFoldResults(tensor.shape), element);
    Value number = numberConstant(b, loc, element, *tensor.splat);
    return mlir::linalg::FillOp::create(b, loc, number, empty).getResult(0);
  }
  if (tensor.numbers) {
    SmallVector<Value> elements;
    for (const Size &size : *tensor.numbers)
      elements.push_back(
          size.isNumber()
              ? mlir::arith::ConstantOp::create(
                    b, loc, b.getIntegerAttr(element, size.getNumber()))
                    .getResult()
              : mlir::arith::IndexCastOp::create(b, loc, element,
                                                 getIndex(size))
                    .getResult());
    return mlir::tensor::FromElementsOp::create(b, loc, type, elements)
        .getResult();
  }
  const Literal &literal = *tensor.literal;
  if (!isFloat(literal.type))
    return error("constant '" + printable(literal.name) + "' is " +
                 onnx::shapeText(tensor.shape) + " of " +
                 onnx::getName(literal.type) + ", expected at most " +
                 Twine(mostNumbers) + " integers");
  return getWeight(literal.name, literal.type, literal.shape,
                   [&](std::vector<char> &bytes) { bytes = literal.bytes; });
}

Value Node::getWeight(const Twine &name, DataType type, ArrayRef<int64_t> shape,
                      Fill fill) {
  return graph.addWeight(name.str(), type, shape, loc, fill);
}
