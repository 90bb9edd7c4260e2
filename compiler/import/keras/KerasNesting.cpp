//===- KerasNesting.cpp - models inside models ----------------------------===//

#include "compiler/import/keras/KerasNesting.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

bool gru::keras::isModelClass(StringRef className) {
  return className == "Sequential" || className == "Functional" ||
         className == "Model";
}

/// Replaces every reference to a tensor below `argument`.
static void mapTensors(Argument &argument,
                       function_ref<TensorRef(const TensorRef &)> map) {
  if (argument.kind == Argument::Tensor)
    argument.tensor = map(argument.tensor);
  for (Argument &element : argument.elements)
    mapTensors(element, map);
}

static void mapTensors(Node &node,
                       function_ref<TensorRef(const TensorRef &)> map) {
  for (Argument &argument : node.positional)
    mapTensors(argument, map);
  for (auto &[name, argument] : node.named)
    mapTensors(argument, map);
}

/// An input of floats, whose type is known.
static bool isCastingInput(const Layer &layer) {
  return layer.config.getString("dtype").value_or("").contains("float");
}

/// Connects the layers of `inner` for each call of the model `name`: call k of
/// a layer that the model calls n times has number k n + i.
static Error inlineCalls(StringRef where, StringRef name, const Model &inner,
                         ArrayRef<Node> calls, std::vector<Layer> &layers) {
  std::string layerWhere = (where + ": layer '" + printable(name) + "'").str();
  auto innerName = [&](StringRef layer) { return (name + "/" + layer).str(); };
  StringMap<int64_t> numNodes;
  for (const Layer &layer : inner.layers) {
    if (layer.className == "InputLayer" && !isCastingInput(layer))
      continue;
    numNodes[layer.name] = layer.nodes.size();
    Layer &copy = layers.emplace_back(layer);
    // An input of an inner model takes the type that it says, and the mask that
    // the model is called with.
    if (layer.className == "InputLayer") {
      numNodes[layer.name] = 1;
      copy.className = "Activation";
      copy.config = json::Object{{"activation", "linear"},
                                 {"dtype", *layer.config.get("dtype")}};
      copy.isRepeated = false;
    }
    copy.name = innerName(layer.name);
    copy.parent = layer.parent.empty() ? name.str() : innerName(layer.parent);
    copy.nodes.clear();
  }
  size_t first = layers.size() - numNodes.size();
  for (auto [index, call] : llvm::enumerate(calls)) {
    auto collect = [&](const Argument &argument,
                       std::vector<TensorRef> &target) -> Error {
      Expected<std::vector<TensorRef>> tensors = argument.getTensors();
      if (!tensors)
        return importError(layerWhere, toString(tensors.takeError()));
      target.insert(target.end(), tensors->begin(), tensors->end());
      return Error::success();
    };
    std::vector<TensorRef> inputs, masks;
    for (const Argument &argument : call.positional)
      if (Error error = collect(argument, inputs))
        return error;
    for (const auto &[key, argument] : call.named)
      if (key == "mask") {
        if (Error error = collect(argument, masks))
          return error;
      } else if (argument.kind != Argument::Literal && !argument.isNone())
        return importError(layerWhere,
                           "a model inside the model is called with '" +
                               printable(key) + "', which is not supported");
    if (inputs.size() != inner.inputs.size())
      return importError(layerWhere, "is called with " + Twine(inputs.size()) +
                                         " inputs, expected " +
                                         Twine(inner.inputs.size()));
    if (!masks.empty() && masks.size() != inputs.size())
      return importError(layerWhere, "is called with " + Twine(masks.size()) +
                                         " masks, expected " +
                                         Twine(inputs.size()));
    auto map = [&](const TensorRef &ref) {
      for (auto [input, outer] : llvm::zip(inner.inputs, inputs))
        if (input.layer == ref.layer && !numNodes.contains(ref.layer))
          return outer;
      int64_t base = int64_t(index) * numNodes.lookup(ref.layer);
      return TensorRef{innerName(ref.layer), base + ref.node, ref.tensor};
    };
    size_t position = first;
    for (const Layer &layer : inner.layers) {
      if (layer.className == "InputLayer") {
        if (!numNodes.contains(layer.name))
          continue;
        Node &node = layers[position++].nodes.emplace_back();
        for (auto [number, input] : llvm::enumerate(inner.inputs)) {
          if (input.layer != layer.name)
            continue;
          node.positional.push_back(tensorArgument(inputs[number]));
          if (!masks.empty())
            node.named.emplace_back("mask", tensorArgument(masks[number]));
        }
        continue;
      }
      Layer &copy = layers[position++];
      for (const Node &node : layer.nodes) {
        copy.nodes.push_back(node);
        mapTensors(copy.nodes.back(), map);
      }
    }
  }
  return Error::success();
}

Error gru::keras::inlineModels(StringRef where, const StringMap<Model> &inner,
                               Model &model) {
  if (inner.empty())
    return Error::success();
  std::vector<Layer> layers;
  for (Layer &layer : model.layers) {
    auto found = inner.find(layer.name);
    layers.push_back(std::move(layer));
    if (found == inner.end())
      continue;
    std::vector<Node> calls = std::move(layers.back().nodes);
    layers.back().nodes.clear();
    layers.back().isModel = true;
    if (Error error =
            inlineCalls(where, found->first(), found->second, calls, layers))
      return error;
  }
  // A model's output may be another model's output, or one of its own inputs'.
  auto map = [&](TensorRef ref) {
    auto found = inner.find(ref.layer);
    if (found == inner.end() ||
        ref.tensor >= int64_t(found->second.outputs.size()))
      return ref;
    const TensorRef &output = found->second.outputs[ref.tensor];
    int64_t numNodes = 1;
    for (const Layer &layer : found->second.layers)
      if (layer.name == output.layer)
        numNodes = layer.nodes.size();
    return TensorRef{ref.layer + "/" + output.layer,
                     ref.node * numNodes + output.node, output.tensor};
  };
  for (Layer &layer : layers)
    for (Node &node : layer.nodes)
      mapTensors(node, map);
  for (std::vector<TensorRef> *ends : {&model.inputs, &model.outputs})
    for (TensorRef &ref : *ends)
      ref = map(ref);
  model.layers = std::move(layers);
  return Error::success();
}

void gru::keras::renumberCalls(const StringMap<Model> &inner, Model &model) {
  auto isCounted = [&](const TensorRef &ref, bool isOutput) {
    auto found = inner.find(ref.layer);
    return found != inner.end() && ref.node > 0 &&
           (model.version == 2 || (isOutput && !found->second.sequential));
  };
  for (Layer &layer : model.layers)
    for (Node &node : layer.nodes)
      mapTensors(node, [&](TensorRef ref) {
        ref.node -= isCounted(ref, false);
        return ref;
      });
  for (TensorRef &output : model.outputs)
    output.node -= isCounted(output, true);
}

//===----------------------------------------------------------------------===//
// Layers that several models share
//===----------------------------------------------------------------------===//

/// Whether two configs are those of one object. What is written again has
/// numbers of shared objects in it.
static bool isSameConfig(const json::Value &a, const json::Value &b) {
  const json::Object *object = a.getAsObject(), *other = b.getAsObject();
  if (object && other) {
    auto covers = [](const json::Object &a, const json::Object &b,
                     bool compare) {
      return all_of(a, [&](const auto &entry) {
        if (StringRef(entry.first) == "shared_object_id")
          return true;
        const json::Value *value = b.get(entry.first);
        return value && (!compare || isSameConfig(entry.second, *value));
      });
    };
    return covers(*object, *other, true) && covers(*other, *object, false);
  }
  const json::Array *array = a.getAsArray(), *list = b.getAsArray();
  if (array && list)
    return array->size() == list->size() &&
           all_of(zip(*array, *list), [](auto pair) {
             return isSameConfig(std::get<0>(pair), std::get<1>(pair));
           });
  return a == b;
}

/// The layer that `layers[index]` is written for once more: only the later ones
/// carry a number, so it is found by its name and config.
static Expected<Layer *>
findOriginal(StringRef where, std::vector<Layer> &layers, size_t index) {
  const Layer &layer = layers[index];
  auto nameOf = [](const Layer &layer) {
    return StringRef(layer.name).substr(StringRef(layer.name).rfind('/') + 1);
  };
  StringRef parent;
  for (const Layer &other : layers)
    if (other.name == layer.parent)
      parent = other.sharedWith;
  Layer *found = nullptr;
  for (Layer &other : MutableArrayRef(layers).take_front(index)) {
    if (other.isRepeated || other.className != layer.className ||
        nameOf(other) != nameOf(layer) ||
        (!parent.empty() && other.parent != parent) ||
        !isSameConfig(json::Object(other.config), json::Object(layer.config)))
      continue;
    if (found)
      return importError(where, "layer '" + printable(layer.name) +
                                    "' is shared with '" +
                                    printable(found->name) + "' or with '" +
                                    printable(other.name) +
                                    "', which the file does not tell; give "
                                    "them different names");
    found = &other;
  }
  return found;
}

Error gru::keras::joinSharedLayers(StringRef where, Model &model) {
  // The number of a layer's calls before those of the others are added.
  StringMap<std::pair<std::string, int64_t>> joined;
  for (size_t index = 0; index < model.layers.size(); ++index) {
    Layer &layer = model.layers[index];
    if (!layer.isRepeated || layer.className == "InputLayer")
      continue;
    Expected<Layer *> original = findOriginal(where, model.layers, index);
    if (!original)
      return original.takeError();
    if (!*original)
      continue;
    layer.sharedWith = (*original)->name;
    joined[layer.name] = {layer.sharedWith, (*original)->nodes.size()};
    append_range((*original)->nodes, layer.nodes);
    layer.nodes.clear();
  }
  auto map = [&](TensorRef ref) {
    if (auto found = joined.find(ref.layer); found != joined.end())
      ref = {found->second.first, found->second.second + ref.node, ref.tensor};
    return ref;
  };
  for (Layer &layer : model.layers)
    for (Node &node : layer.nodes)
      mapTensors(node, map);
  for (TensorRef &output : model.outputs)
    output = map(output);
  return Error::success();
}
