//===- InputRoles.cpp - which dimensions are batch and time ---------------===//

#include "compiler/import/onnx/InputRoles.h"

#include "third_party/onnx/onnx-ml.pb.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

using ::onnx::NodeProto;

/// Before anything says what a symbol is.
using MaybeRole = std::optional<Role>;

static MaybeRole roleOfName(StringRef given) {
  std::string name = given.lower();
  auto has = [&](StringRef part) { return StringRef(name).contains(part); };
  if (has("batch") || name == "n" || name == "b" || name == "bs")
    return Role::batch;
  if (has("time") || has("seq") || has("frame") || has("step") ||
      has("length") || name == "t" || name == "l")
    return Role::time;
  return std::nullopt;
}

static Expected<InputSpec> readInput(const ModelData &model,
                                     const ::onnx::ValueInfoProto &proto,
                                     StringMap<unsigned> &names,
                                     std::vector<MaybeRole> &roles) {
  auto fail = [&](const Twine &message) {
    return importError(model.file,
                       "input '" + printable(proto.name()) + "' " + message);
  };
  if (proto.name().empty())
    return fail("has no name");
  if (!proto.type().has_tensor_type())
    return fail("is no tensor");
  const auto &type = proto.type().tensor_type();
  std::optional<DataType> element = getDataType(type.elem_type());
  if (!element)
    return fail("is a tensor of " + getDataTypeName(type.elem_type()) +
                ", expected float, double, float16, bfloat16, bool, int32 or "
                "int64");
  if (!type.has_shape())
    return fail("has no shape, expected a known number of dimensions");
  constexpr int mostDims = 6; // GRU_MAX_RANK
  constexpr int64_t largest = std::numeric_limits<int32_t>::max();
  if (type.shape().dim_size() > mostDims)
    return fail("has " + Twine(type.shape().dim_size()) +
                " dimensions, expected at most " + Twine(mostDims));
  InputSpec input{proto.name(), *element, {}};
  for (const auto &dim : type.shape().dim()) {
    if (dim.has_dim_value() && dim.dim_value() > 0) {
      if (dim.dim_value() > largest)
        return fail("has a dimension of " + Twine(dim.dim_value()) +
                    ", expected at most " + Twine(largest));
      input.shape.push_back(dim.dim_value());
      continue;
    }
    // 0, -1 or nothing at all: open, and equal to no other.
    unsigned symbol = roles.size();
    if (!dim.dim_param().empty())
      symbol = names.try_emplace(dim.dim_param(), symbol).first->second;
    if (symbol == roles.size())
      roles.push_back(std::nullopt);
    input.shape.push_back(Size::ofSymbol(symbol));
  }
  return input;
}

namespace {
/// Follows what GRU nodes read back to the model's inputs.
class Tracer {
public:
  Tracer(const ModelData &model, std::vector<MaybeRole> &roles) : roles(roles) {
    for (const NodeProto &node : model.proto->graph().node())
      for (const std::string &output : node.output())
        producers[output] = &node;
    for (const InputSpec &input : model.inputs)
      inputs[input.name] = &input;
  }

  void mark(StringRef value, int64_t axis, Role role) {
    // As many steps as a chain can be long.
    for (size_t steps = 0; steps <= producers.size(); ++steps) {
      if (const InputSpec *input = inputs.lookup(value)) {
        if (axis >= int64_t(input->shape.size()))
          return;
        std::optional<unsigned> symbol = input->shape[axis].getSymbol();
        if (symbol && !roles[*symbol])
          roles[*symbol] = role;
        return;
      }
      const NodeProto *node = producers.lookup(value);
      if (!node || node->input_size() == 0)
        return;
      StringRef op = node->op_type();
      if (op == "Transpose") {
        SmallVector<int64_t> order;
        for (const auto &attribute : node->attribute())
          if (attribute.name() == "perm")
            order.assign(attribute.ints().begin(), attribute.ints().end());
        if (axis >= int64_t(order.size()))
          return;
        axis = order[axis];
        if (axis < 0)
          return;
      } else if (op == "GRU") {
        // Y is [time, directions, batch, units]; a stack squeezes it, which
        // ends the trace, unless the model says its layout otherwise.
        return;
      } else if (op != "Identity" && op != "Cast" && op != "Dropout" &&
                 op != "MatMul" && op != "Add" && op != "Relu" &&
                 op != "LayerNormalization" && op != "Tanh") {
        return;
      }
      value = node->input(0);
    }
  }

private:
  std::vector<MaybeRole> &roles;
  StringMap<const NodeProto *> producers;
  StringMap<const InputSpec *> inputs;
};
} // namespace

static void markByNodes(const ModelData &model, std::vector<MaybeRole> &roles) {
  Tracer tracer(model, roles);
  for (const NodeProto &node : model.proto->graph().node()) {
    if (node.op_type() != "GRU")
      continue;
    bool batchFirst = false;
    for (const auto &attribute : node.attribute())
      batchFirst |= attribute.name() == "layout" && attribute.i() == 1;
    auto mark = [&](int input, int64_t axis, Role role) {
      if (input < node.input_size())
        tracer.mark(node.input(input), axis, role);
    };
    mark(0, batchFirst ? 0 : 1, Role::batch);
    mark(0, batchFirst ? 1 : 0, Role::time);
    mark(4, 0, Role::batch);
    mark(5, batchFirst ? 0 : 1, Role::batch);
  }
}

/// The first open dimension is the batch, the second the time.
static void markByPlace(const ModelData &model, std::vector<MaybeRole> &roles) {
  for (const InputSpec &input : model.inputs) {
    bool hasBatch = false, hasTime = false;
    for (const Size &size : input.shape)
      if (std::optional<unsigned> symbol = size.getSymbol()) {
        hasBatch |= roles[*symbol] == Role::batch;
        hasTime |= roles[*symbol] == Role::time;
      }
    for (const Size &size : input.shape) {
      std::optional<unsigned> symbol = size.getSymbol();
      if (!symbol || roles[*symbol])
        continue;
      roles[*symbol] = !hasBatch  ? Role::batch
                       : !hasTime ? Role::time
                                  : Role::other;
      hasTime |= hasBatch;
      hasBatch = true;
    }
  }
}

Error gru::onnx::readInputs(ModelData &model) {
  StringMap<unsigned> names;
  std::vector<MaybeRole> roles;
  for (const auto &proto : model.proto->graph().input()) {
    // Old files list initializers among the inputs.
    if (model.constants.count(proto.name()))
      continue;
    Expected<InputSpec> input = readInput(model, proto, names, roles);
    if (!input)
      return input.takeError();
    if (any_of(model.inputs, [&](const InputSpec &other) {
          return other.name == input->name;
        }))
      return importError(model.file, "input '" + printable(input->name) +
                                         "' is listed twice");
    model.inputs.push_back(std::move(*input));
  }
  markByNodes(model, roles);
  for (const auto &entry : names)
    if (!roles[entry.second])
      roles[entry.second] = roleOfName(entry.first());
  markByPlace(model, roles);

  // However many names the batch has, it is one size.
  std::optional<unsigned> batch;
  for (auto [symbol, role] : enumerate(roles)) {
    model.symbols.push_back(*role);
    if (role == Role::batch && !batch)
      batch = symbol;
  }
  for (InputSpec &input : model.inputs)
    for (auto [dim, size] : enumerate(input.shape)) {
      std::optional<unsigned> symbol = size.getSymbol();
      if (!symbol)
        continue;
      if (roles[*symbol] == Role::batch) {
        size = Size::ofSymbol(*batch);
        if (input.batchDim < 0)
          input.batchDim = dim;
      } else if (roles[*symbol] == Role::time && input.timeDim < 0) {
        input.timeDim = dim;
      }
    }
  return Error::success();
}
