//===- OnnxImporter.cpp - ONNX models -------------------------------------===//
//
// Reads a file, decides what its open dimensions are, and holds what is needed
// to import it; Graph.cpp makes operations of it.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/onnx/OnnxImporter.h"

#include "compiler/import/DType.h"
#include "compiler/import/onnx/Graph.h"
#include "compiler/import/onnx/InputRoles.h"
#include "dialect/GRUDialect.h"
#include "third_party/onnx/onnx-ml.pb.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/Path.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

using ::onnx::GraphProto;
using ::onnx::ModelProto;
using ::onnx::NodeProto;
using ::onnx::TensorProto;

namespace {
class OnnxSource final : public ModelSource {
public:
  explicit OnnxSource(ModelData model) : model(std::move(model)) {}

  Error load();

  Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  import(mlir::MLIRContext &context,
         const ImportOptions &options) const override;

  int64_t getBatchDim(const TensorSpec &input) const override {
    const InputSpec *spec = find(input);
    return spec ? spec->batchDim : -1;
  }
  int64_t getTimeDim(const TensorSpec &input) const override {
    const InputSpec *spec = find(input);
    return spec ? spec->timeDim : -1;
  }

  void hashStructure(raw_ostream &os) const override { os << structure; }

private:
  const InputSpec *find(const TensorSpec &input) const {
    auto found = find_if(model.inputs, [&](const InputSpec &spec) {
      return spec.name == input.name;
    });
    return found == model.inputs.end() ? nullptr : &*found;
  }
  bool hasRole(Role role) const { return is_contained(model.symbols, role); }
  Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  makeModule(mlir::MLIRContext &context, const ImportOptions &options,
             std::vector<WeightTensor> *weights,
             std::vector<TensorSpec> *outputs, std::string *facts) const;
  void writeStructure(raw_ostream &os, StringRef facts) const;

  ModelData model;
  std::string structure;
};
} // namespace

//===----------------------------------------------------------------------===//
// Import
//===----------------------------------------------------------------------===//

Expected<mlir::OwningOpRef<mlir::ModuleOp>>
OnnxSource::makeModule(mlir::MLIRContext &context, const ImportOptions &options,
                       std::vector<WeightTensor> *weights,
                       std::vector<TensorSpec> *outputs,
                       std::string *facts) const {
  context.loadDialect<GRUDialect, mlir::func::FuncDialect,
                      mlir::arith::ArithDialect, mlir::linalg::LinalgDialect,
                      mlir::math::MathDialect, mlir::tensor::TensorDialect>();
  std::string message;
  mlir::ScopedDiagnosticHandler handler(
      &context, [&](mlir::Diagnostic &diagnostic) {
        if (message.empty()) {
          raw_string_ostream os(message);
          if (auto name =
                  diagnostic.getLocation()->findInstanceOf<mlir::NameLoc>())
            os << "node '" << printable(name.getName()) << "': ";
          os << diagnostic;
        }
        return mlir::success();
      });
  auto location = mlir::FileLineColLoc::get(&context, model.file, 0, 0);
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(location);
  auto builder = mlir::OpBuilder::atBlockEnd(module->getBody());
  auto function = mlir::func::FuncOp::create(builder, location, "main",
                                             builder.getFunctionType({}, {}));
  Graph graph(model, options, function, weights);
  if (Error error = graph.run())
    return error;
  // The importer has checked every shape, but a module that does not verify
  // must not leave here.
  if (failed(mlir::verify(*module)))
    return importError(model.file, message);
  if (outputs)
    outputs->assign(graph.getOutputs().begin(), graph.getOutputs().end());
  if (facts)
    *facts = graph.getFacts().str();
  return module;
}

Expected<mlir::OwningOpRef<mlir::ModuleOp>>
OnnxSource::import(mlir::MLIRContext &context,
                   const ImportOptions &options) const {
  constexpr int64_t largest = std::numeric_limits<int32_t>::max();
  for (auto [name, size] :
       {std::pair<StringRef, int64_t>{"batch", options.batch},
        {"timesteps", options.timesteps}})
    if (size < 0 || size > largest)
      return importError(model.file, name + " is " + Twine(size) +
                                         ", expected a positive number, or 0 "
                                         "for a dynamic size");
  if (options.training)
    return importError(model.file,
                       "training is asked for, but an ONNX model is "
                       "for inference; give the Keras file");
  if (options.batch > 1 && !hasRole(Role::batch))
    return importError(
        model.file, "batch is " + Twine(options.batch) +
                        ", but the model's inputs have no open dimension for "
                        "it; export it with a dynamic batch");
  if (options.timesteps && !hasRole(Role::time) && options.timesteps != 1)
    return importError(
        model.file, "timesteps is " + Twine(options.timesteps) +
                        ", but the model's inputs have no open dimension for "
                        "it; export it with a dynamic time");
  return makeModule(context, options, nullptr, nullptr, nullptr);
}

/// Imports the model once to check it and to learn its weights and outputs:
/// with all sizes open if it can, which only the shapes of the outputs need.
Error OnnxSource::load() {
  for (const InputSpec &input : model.inputs) {
    TensorSpec &spec = inputs.emplace_back();
    spec.name = input.name;
    mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
    spec.dtype = getDType(getMLIRType(&context, input.type));
    for (const Size &size : input.shape)
      spec.shape.push_back(size.isNumber() ? size.getNumber() : -1);
  }
  // What stands for a number of timesteps that has to be known.
  constexpr int64_t probe = 64;
  ImportOptions attempts[3];
  attempts[1].batch = attempts[2].batch = 1;
  attempts[2].timesteps = probe;
  std::string facts;
  for (const ImportOptions &options : attempts) {
    mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
    weights.clear();
    auto module = makeModule(context, options, &weights, &outputs, &facts);
    if (!module) {
      Error error = module.takeError();
      bool open = error.isA<OpenSizeError>();
      if (open && &options != &attempts[2] &&
          (hasRole(Role::batch) || hasRole(Role::time))) {
        consumeError(std::move(error));
        continue;
      }
      return error;
    }
    fixedTime = options.timesteps && hasRole(Role::time);
    // Sizes that follow from those that were only tried are open.
    if (options.batch)
      for (TensorSpec &output : outputs)
        for (int64_t &size : output.shape)
          if ((size == 1 && hasRole(Role::batch)) ||
              (fixedTime && size % probe == 0))
            size = -1;
    raw_string_ostream os(structure);
    writeStructure(os, facts);
    return Error::success();
  }
  llvm_unreachable("the last attempt returns");
}

/// All literals of a graph, in the order of the file.
static void visitLiterals(const ModelData &model, const GraphProto &graph,
                          function_ref<void(const Literal &)> visit) {
  bool isOuter = &graph == &model.proto->graph();
  for (const TensorProto &tensor : graph.initializer())
    visit(isOuter ? *model.constants.lookup(tensor.name())
                  : *model.innerConstants.lookup(&tensor));
  for (const NodeProto &node : graph.node()) {
    if (auto value = model.attributeValues.lookup(&node))
      visit(*value);
    for (const auto &attribute : node.attribute())
      if (attribute.has_g())
        visitLiterals(model, attribute.g(), visit);
  }
}

/// The graph without names and values that only a reader sees, the values that
/// have become code, and the weights' types.
void OnnxSource::writeStructure(raw_ostream &os, StringRef facts) const {
  ModelProto proto;
  GraphProto &graph = *proto.mutable_graph();
  graph = model.proto->graph();
  graph.clear_doc_string();
  graph.clear_value_info();
  graph.clear_metadata_props();
  for (NodeProto &node : *graph.mutable_node()) {
    node.clear_doc_string();
    node.clear_metadata_props();
  }
  os << "onnx " << model.opset << '\n' << proto.SerializeAsString();
  visitLiterals(model, model.proto->graph(), [&](const Literal &literal) {
    os << '\n'
       << literal.name << ' ' << int(literal.type) << ' '
       << gru::shapeText(literal.shape) << ' ';
    // Other values are weights.
    if (!isFloat(literal.type) || literal.getNumElements() == 1)
      os.write(literal.bytes.data(), literal.bytes.size());
  });
  os << '\n' << facts;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Takes the data out of a tensor of the file.
static Expected<std::shared_ptr<const Literal>>
takeTensor(TensorProto &proto, StringRef name, StringRef folder) {
  Expected<Literal> literal = readTensor(proto, folder);
  if (!literal)
    return literal.takeError();
  proto.clear_raw_data();
  proto.clear_float_data();
  proto.clear_double_data();
  proto.clear_int32_data();
  proto.clear_int64_data();
  proto.clear_uint64_data();
  literal->name = name.str();
  return std::make_shared<const Literal>(std::move(*literal));
}

static Error readConstants(ModelData &model, const ModelProto &whole,
                           GraphProto &graph, StringSet<> &names) {
  StringRef folder = sys::path::parent_path(model.file);
  bool isOuter = &graph == &whole.graph();
  // Graphs inside of nodes may repeat the names of others.
  auto unique = [&](const std::string &name) {
    std::string result = name;
    for (int number = 1; !names.insert(result).second; ++number)
      result = name + "_" + std::to_string(number);
    return result;
  };
  if (graph.sparse_initializer_size())
    return importError(model.file, "sparse initializers are not supported");
  for (TensorProto &tensor : *graph.mutable_initializer()) {
    auto fail = [&](const Twine &message) {
      return importError(model.file, "initializer '" +
                                         printable(tensor.name()) +
                                         "': " + message);
    };
    if (tensor.name().empty())
      return fail("has no name");
    auto literal = takeTensor(tensor, unique(tensor.name()), folder);
    if (!literal)
      return fail(toString(literal.takeError()));
    if (!isOuter)
      model.innerConstants[&tensor] = std::move(*literal);
    else if (!model.constants.insert({tensor.name(), std::move(*literal)})
                  .second)
      return fail("is there twice");
  }
  for (NodeProto &node : *graph.mutable_node())
    for (auto &attribute : *node.mutable_attribute()) {
      if (attribute.has_g())
        if (Error error =
                readConstants(model, whole, *attribute.mutable_g(), names))
          return error;
      if (attribute.name() != "value" || !attribute.has_t() ||
          node.output_size() == 0)
        continue;
      auto literal =
          takeTensor(*attribute.mutable_t(), unique(node.output(0)), folder);
      if (!literal)
        return importError(
            model.file,
            "node '" +
                printable(node.name().empty() ? node.output(0) : node.name()) +
                "': value: " + toString(literal.takeError()));
      model.attributeValues[&node] = std::move(*literal);
    }
  return Error::success();
}

/// The names of values that a graph and the graphs inside of it read.
static void collectUsed(const GraphProto &graph, StringSet<> &used) {
  for (const NodeProto &node : graph.node()) {
    for (const std::string &name : node.input())
      used.insert(name);
    for (const auto &attribute : node.attribute())
      if (attribute.has_g())
        collectUsed(attribute.g(), used);
  }
  for (const auto &output : graph.output())
    used.insert(output.name());
}

/// A weight that nobody uses is a sign of a file that was put together wrongly.
/// Scalars and integers are what exporters leave behind when they fold.
static Error checkAllUsed(const ModelData &model) {
  StringSet<> used;
  collectUsed(model.proto->graph(), used);
  for (const TensorProto &tensor : model.proto->graph().initializer()) {
    const Literal &literal = *model.constants.lookup(tensor.name());
    if (!used.contains(tensor.name()) && isFloat(literal.type) &&
        literal.getNumElements() > 1)
      return importError(model.file, "initializer '" +
                                         printable(tensor.name()) +
                                         "' is used by no node");
  }
  return Error::success();
}

bool gru::onnx::mayBeOnnx(StringRef bytes) {
  // ir_version, and then one of the fields that follow it.
  constexpr unsigned char versionTag = 0x08, mostVersion = 0x20;
  return bytes.size() > 2 && bytes[0] == versionTag && bytes[1] > 0 &&
         bytes[1] <= mostVersion &&
         StringRef("\x12\x1a\x22\x28\x32\x3a\x42").contains(bytes[2]);
}

Expected<std::unique_ptr<ModelSource>> gru::onnx::openOnnx(StringRef path,
                                                           StringRef bytes) {
  constexpr uint64_t mostBytes = std::numeric_limits<int32_t>::max();
  if (bytes.size() > mostBytes)
    return importError(path, "is larger than 2 GB, which the format does not "
                             "allow; keep the weights in a file beside it");
  auto proto = std::make_shared<ModelProto>();
  google::protobuf::io::ArrayInputStream array(bytes.data(), bytes.size());
  google::protobuf::io::CodedInputStream stream(&array);
  stream.SetTotalBytesLimit(int(mostBytes));
  if (!proto->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    return importError(path, "found no protobuf message of an ONNX model, or a "
                             "damaged one");
  if (!proto->has_graph())
    return importError(path, "found a protobuf message without a graph, "
                             "expected an ONNX model");
  ModelData model;
  model.file = path.str();
  for (const auto &opset : proto->opset_import())
    if (opset.domain().empty() || opset.domain() == "ai.onnx")
      model.opset = opset.version();
  constexpr int64_t oldest = 7;
  if (model.opset < oldest)
    return importError(path, "opset_import is " + Twine(model.opset) +
                                 ", expected " + Twine(oldest) +
                                 " or later; convert the model with "
                                 "onnx.version_converter");
  StringSet<> names;
  if (Error error =
          readConstants(model, *proto, *proto->mutable_graph(), names))
    return error;
  model.proto = proto;
  if (Error error = readInputs(model))
    return error;
  if (Error error = checkAllUsed(model))
    return error;
  auto source = std::make_unique<OnnxSource>(std::move(model));
  if (Error error = source->load())
    return error;
  return source;
}
