//===- KerasConfig.cpp - a Keras model config as a plain graph ------------===//

#include "compiler/import/keras/KerasConfig.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/KerasNesting.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Arguments of calls
//===----------------------------------------------------------------------===//

bool Argument::isNone() const {
  if (kind == Literal)
    return literal.getAsNull().has_value();
  return kind == List && all_of(elements, [](const Argument &element) {
           return element.isNone();
         });
}

static Error collectTensors(const Argument &argument,
                            std::vector<TensorRef> &tensors) {
  switch (argument.kind) {
  case Argument::Tensor:
    tensors.push_back(argument.tensor);
    return Error::success();
  case Argument::List:
    for (const Argument &element : argument.elements)
      if (Error error = collectTensors(element, tensors))
        return error;
    return Error::success();
  case Argument::Literal:
    if (argument.isNone())
      return Error::success();
    std::string text;
    raw_string_ostream(text) << argument.literal;
    return importError("", "found " + printable(text) + ", expected a tensor");
  }
  llvm_unreachable("unknown kind of argument");
}

Expected<std::vector<TensorRef>> Argument::getTensors() const {
  std::vector<TensorRef> tensors;
  if (Error error = collectTensors(*this, tensors))
    return error;
  return tensors;
}

/// ["name", 0, 0]: the form of Keras 2, of Keras 3's keras_history, and of
/// input_layers and output_layers.
static std::optional<TensorRef> parseTriple(const json::Value &value) {
  const json::Array *array = value.getAsArray();
  if (!array || array->size() < 3)
    return std::nullopt;
  std::optional<StringRef> name = (*array)[0].getAsString();
  std::optional<int64_t> node = (*array)[1].getAsInteger();
  std::optional<int64_t> tensor = (*array)[2].getAsInteger();
  if (!name || !node || !tensor || *node < 0 || *tensor < 0)
    return std::nullopt;
  return TensorRef{name->str(), *node, *tensor};
}

Argument gru::keras::tensorArgument(TensorRef ref) {
  Argument argument;
  argument.kind = Argument::Tensor;
  argument.tensor = std::move(ref);
  return argument;
}

/// Keras 3: tensors are {"class_name": "__keras_tensor__", ...}.
static Argument parseArgument3(const json::Value &value) {
  if (const json::Object *object = value.getAsObject()) {
    if (object->getString("class_name") == StringRef("__keras_tensor__"))
      if (const json::Object *config = object->getObject("config"))
        if (const json::Value *history = config->get("keras_history"))
          if (std::optional<TensorRef> ref = parseTriple(*history))
            return tensorArgument(std::move(*ref));
  } else if (const json::Array *array = value.getAsArray()) {
    Argument list;
    list.kind = Argument::List;
    for (const json::Value &element : *array)
      list.elements.push_back(parseArgument3(element));
    return list;
  }
  Argument literal;
  literal.literal = value;
  return literal;
}

/// Keras 2: a tensor among the keyword arguments is ["name", 0, 0].
static Argument parseArgument2(const json::Value &value) {
  if (std::optional<TensorRef> ref = parseTriple(value))
    return tensorArgument(std::move(*ref));
  if (const json::Array *array = value.getAsArray()) {
    Argument list;
    list.kind = Argument::List;
    for (const json::Value &element : *array)
      list.elements.push_back(parseArgument2(element));
    return list;
  }
  Argument literal;
  literal.literal = value;
  return literal;
}

/// The names of an object in alphabetical order, which is also the order in
/// which Keras flattens dictionaries.
static std::vector<StringRef> sortedKeys(const json::Object &object) {
  std::vector<StringRef> keys;
  for (const auto &entry : object)
    keys.push_back(entry.first);
  llvm::sort(keys);
  return keys;
}

static void addNamed(Node &node, const json::Object &named,
                     Argument (*parse)(const json::Value &)) {
  for (StringRef key : sortedKeys(named)) {
    Argument argument = parse(*named.get(key));
    // Keras 2 repeats the keyword arguments with each tensor of a call.
    if (none_of(node.named, [&](auto &entry) { return entry.first == key; }))
      node.named.emplace_back(key.str(), std::move(argument));
  }
}

/// One entry of inbound_nodes.
static Expected<Node> parseNode(StringRef where, const json::Value &value) {
  Node node;
  if (const json::Object *object = value.getAsObject()) {
    const json::Array *args = object->getArray("args");
    if (!args)
      return importError(where, "inbound_nodes: found a call without args");
    for (const json::Value &argument : *args)
      node.positional.push_back(parseArgument3(argument));
    if (const json::Object *named = object->getObject("kwargs"))
      addNamed(node, *named, parseArgument3);
    return node;
  }
  const json::Array *array = value.getAsArray();
  if (!array)
    return importError(where, "inbound_nodes: found a call that is neither a "
                              "list nor an object");
  // A call with one tensor may stand without the list around it.
  bool single = parseTriple(value).has_value();
  Argument inputs;
  inputs.kind = Argument::List;
  for (const json::Value &entry : single ? json::Array{value} : *array) {
    const json::Array *parts = entry.getAsArray();
    std::optional<TensorRef> ref = parseTriple(entry);
    if (!ref)
      return importError(where, "inbound_nodes: found an input that is not "
                                "[layer, node, tensor]");
    inputs.elements.push_back(tensorArgument(std::move(*ref)));
    if (parts->size() > 3)
      if (const json::Object *named = (*parts)[3].getAsObject())
        addNamed(node, *named, parseArgument2);
  }
  node.positional.push_back(std::move(inputs));
  return node;
}

/// input_layers and output_layers: one triple, or lists or objects of them.
static Error parseEnds(StringRef where, const json::Value &value,
                       std::vector<TensorRef> &ends) {
  if (std::optional<TensorRef> ref = parseTriple(value)) {
    ends.push_back(std::move(*ref));
    return Error::success();
  }
  if (const json::Array *array = value.getAsArray()) {
    for (const json::Value &element : *array)
      if (Error error = parseEnds(where, element, ends))
        return error;
    return Error::success();
  }
  if (const json::Object *object = value.getAsObject()) {
    for (StringRef key : sortedKeys(*object))
      if (Error error = parseEnds(where, *object->get(key), ends))
        return error;
    return Error::success();
  }
  return importError(where, "expected [layer, node, tensor]");
}

//===----------------------------------------------------------------------===//
// Layers and models
//===----------------------------------------------------------------------===//

std::string Model::getOutputName(size_t index) const {
  return outputNames.empty() ? "output_" + std::to_string(index)
                             : outputNames[index];
}

/// "GRU" for Keras's own, "package.GRU" for a class of somebody else, which
/// must not be taken for Keras's because of its name.
static std::string qualifiedClassName(const json::Object &object) {
  std::string name = object.getString("class_name").value_or("").str();
  StringRef module = object.getString("module").value_or("");
  StringRef first = module.split('.').first;
  if (module.empty() || first == "keras" || first == "tf_keras" ||
      first == "tensorflow" || first == "builtins")
    return name;
  return (module + "." + name).str();
}

std::optional<ObjectConfig>
gru::keras::getObjectConfig(const json::Value &value) {
  const json::Object *object = value.getAsObject();
  if (!object || !object->getString("class_name"))
    return std::nullopt;
  const json::Object *config = object->getObject("config");
  static const json::Object empty;
  return ObjectConfig{qualifiedClassName(*object), config ? config : &empty};
}

/// Keras 3's operations live in a module of their own, which its legacy format
/// does not write. Concatenate is a layer too; a layer's config has a dtype,
/// and so has that of Cast, which is none.
static bool isOperation(const json::Object &layer, unsigned version) {
  if (std::optional<StringRef> module = layer.getString("module"))
    return module->starts_with("keras.src.ops.");
  static constexpr StringLiteral names[] = {
      "Any",       "Concatenate", "ConvertToTensor", "ExpandDims", "LogicalAnd",
      "LogicalOr", "NotEqual",    "OnesLike",        "ZerosLike"};
  const json::Object *config = layer.getObject("config");
  StringRef name = layer.getString("class_name").value_or("");
  return version == 3 && (name == "Cast" || (config && !config->get("dtype") &&
                                             is_contained(names, name)));
}

static Expected<Layer> parseLayer(StringRef where, const json::Value &value,
                                  size_t index, unsigned version) {
  const json::Object *object = value.getAsObject();
  if (!object || !object->getString("class_name"))
    return importError(where, "layer " + Twine(index) +
                                  ": expected an object with class_name");
  Layer layer;
  layer.className = qualifiedClassName(*object);
  layer.isOperation = isOperation(*object, version);
  if (const json::Object *config = object->getObject("config"))
    layer.config = *config;
  if (std::optional<StringRef> name = layer.config.getString("name"))
    layer.name = name->str();
  else if (std::optional<StringRef> name = object->getString("name"))
    layer.name = name->str();
  else
    return importError(where, "layer " + Twine(index) + ": has no name");
  const json::Value *shared = object->get("shared_object_id");
  layer.isRepeated = shared && !shared->getAsNull();
  std::string layerWhere =
      (where + ": layer '" + printable(layer.name) + "'").str();
  if (const json::Value *nodes = object->get("inbound_nodes")) {
    const json::Array *array = nodes->getAsArray();
    if (!array)
      return importError(layerWhere, "inbound_nodes is not a list");
    for (const json::Value &entry : *array) {
      Expected<Node> node = parseNode(layerWhere, entry);
      if (!node)
        return node.takeError();
      layer.nodes.push_back(std::move(*node));
    }
  }
  return layer;
}

/// Connects the layers of a Sequential model one after the other.
static Error connectSequential(StringRef where, const json::Object &root,
                               const json::Object *config, Model &model) {
  if (model.layers.empty())
    return importError(where, "the model has no layers");
  if (model.layers.front().className != "InputLayer") {
    Layer &first = model.layers.front();
    const json::Array *shape = nullptr;
    for (StringRef key : {"batch_input_shape", "batch_shape"})
      if (!shape)
        shape = first.config.getArray(key);
    if (!shape && config)
      shape = config->getArray("build_input_shape");
    if (!shape)
      if (const json::Object *build = root.getObject("build_config"))
        shape = build->getArray("input_shape");
    if (!shape)
      return importError(where, "layer '" + printable(first.name) +
                                    "': the model has no input shape, expected "
                                    "batch_input_shape or build_input_shape");
    Layer input;
    input.className = "InputLayer";
    // The names that Keras gives to such inputs.
    input.name = model.version == 2 ? first.name + "_input" : "input_layer";
    input.config = json::Object{{"name", input.name},
                                {"batch_shape", json::Array(*shape)}};
    if (std::optional<StringRef> type = first.config.getString("input_dtype"))
      input.config["dtype"] = *type;
    model.layers.insert(model.layers.begin(), std::move(input));
  }
  for (auto [previous, layer] :
       llvm::zip(model.layers, drop_begin(model.layers))) {
    Node node;
    node.positional.push_back(tensorArgument({previous.name, 0, 0}));
    layer.nodes.assign(1, std::move(node));
  }
  model.inputs = {{model.layers.front().name, 0, 0}};
  model.outputs = {{model.layers.back().name, 0, 0}};
  return Error::success();
}

unsigned gru::keras::guessVersion(const json::Object &root) {
  if (std::optional<StringRef> version = root.getString("keras_version"))
    return version->starts_with("3") ? 3 : 2;
  // Keras 2 writes a recurrent layer's implementation, Keras 3 does not. A
  // layer's own config names no version.
  const json::Object *config = root.getObject("config");
  const json::Array *cells = config ? config->getArray("cells") : nullptr;
  if (const json::Object *cell = config ? config->getObject("cell") : nullptr)
    if ((config = cell->getObject("config")))
      cells = config->getArray("cells");
  if (cells && !cells->empty())
    if (const json::Object *cell = cells->front().getAsObject())
      config = cell->getObject("config");
  if (config && config->get("units"))
    return config->get("implementation") ? 2 : 3;
  StringRef module = root.getString("module").value_or("");
  if (module.starts_with("tf_keras") || module.starts_with("tensorflow"))
    return 2;
  return module.empty() ? 2 : 3;
}

Expected<Model> gru::keras::parseModel(StringRef where,
                                       const json::Object &root,
                                       unsigned version) {
  std::optional<StringRef> className = root.getString("class_name");
  if (!className)
    return importError(where, "found no class_name, expected the config of a "
                              "Keras model");
  Model model;
  model.version = version ? version : guessVersion(root);
  model.sequential = *className == "Sequential";
  if (!isModelClass(*className))
    return importError(where, "found a model of class '" +
                                  printable(*className) +
                                  "', expected Sequential or Functional; a "
                                  "subclassed model has no graph in its file");
  // Before 2.2.3 the config of a Sequential model was the list of its layers.
  const json::Object *config = root.getObject("config");
  const json::Array *layers =
      config ? config->getArray("layers") : root.getArray("config");
  if (!layers)
    return importError(where, "config: has no list of layers");

  StringSet<> names;
  StringMap<Model> inner;
  for (auto [index, value] : llvm::enumerate(*layers)) {
    Expected<Layer> layer = parseLayer(where, value, index, model.version);
    if (!layer)
      return layer.takeError();
    if (!names.insert(layer->name).second)
      return importError(where, "two layers have the name '" +
                                    printable(layer->name) + "'");
    if (isModelClass(layer->className)) {
      Expected<Model> parsed =
          parseModel((where + ": model '" + printable(layer->name) + "'").str(),
                     *value.getAsObject(), model.version);
      if (!parsed)
        return parsed.takeError();
      inner[layer->name] = std::move(*parsed);
    }
    model.layers.push_back(std::move(*layer));
  }
  if (model.sequential) {
    if (Error error = connectSequential(where, root, config, model))
      return error;
    if (Error error = inlineModels(where, inner, model))
      return error;
    return model;
  }
  for (auto [key, ends] : {std::pair("input_layers", &model.inputs),
                           std::pair("output_layers", &model.outputs)}) {
    const json::Value *value = config ? config->get(key) : nullptr;
    if (!value)
      return importError(where, "config: has no " + Twine(key));
    if (Error error = parseEnds((where + ": " + key).str(), *value, *ends))
      return error;
    if (ends->empty())
      return importError(where, "config: " + Twine(key) + " is empty");
  }
  renumberCalls(inner, model);
  if (Error error = inlineModels(where, inner, model))
    return error;
  return model;
}
