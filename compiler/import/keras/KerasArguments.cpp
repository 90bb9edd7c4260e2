//===- KerasArguments.cpp - what a layer is called on ---------------------===//

#include "compiler/import/keras/KerasWalk.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// Calls `visit` on every tensor in a node's arguments; stops where it is
/// false.
static bool allTensorsIn(const Argument &argument,
                         function_ref<bool(const TensorRef &)> visit) {
  if (argument.kind == Argument::Tensor)
    return visit(argument.tensor);
  return all_of(argument.elements, [&](const Argument &element) {
    return allTensorsIn(element, visit);
  });
}

bool gru::keras::allTensors(const Node &node,
                            function_ref<bool(const TensorRef &)> visit) {
  return all_of(
             node.positional,
             [&](auto &argument) { return allTensorsIn(argument, visit); }) &&
         all_of(node.named,
                [&](auto &entry) { return allTensorsIn(entry.second, visit); });
}

Expected<Tensors> Walk::resolve(const Layer &layer, const Argument &argument) {
  auto where = [&] {
    std::string text = "layer '" + printable(layer.name) + "'";
    return file.empty() ? text : (file + ": " + text).str();
  };
  Expected<std::vector<TensorRef>> refs = argument.getTensors();
  if (!refs)
    return importError(where(), toString(refs.takeError()));
  Tensors tensors;
  for (const TensorRef &ref : *refs) {
    ArrayRef<Tensor> outputs = results.find({ref.layer, ref.node})->second;
    if (ref.tensor >= int64_t(outputs.size()))
      return importError(where(), "uses output " + Twine(ref.tensor) +
                                      " of layer '" + printable(ref.layer) +
                                      "', which has " + Twine(outputs.size()));
    tensors.push_back(outputs[ref.tensor]);
  }
  return tensors;
}

/// Sorts the arguments of a call into what layers understand. Whatever is left
/// over and says something is an error, because ignoring it would give other
/// numbers than Keras.
Error Walk::readArguments(LayerContext &context, const Node &node,
                          const LayerClass &layerClass) {
  const Layer &layer = context.layer;
  auto take = [&](const Argument &argument, Tensors &target) -> Error {
    Expected<Tensors> tensors = resolve(layer, argument);
    if (!tensors)
      return tensors.takeError();
    target.append(tensors->begin(), tensors->end());
    return Error::success();
  };
  bool hasMask = false;
  auto takeMask = [&](const Argument &argument) -> Error {
    hasMask = true;
    ArrayRef<Argument> elements = argument;
    if (argument.kind == Argument::List)
      elements = argument.elements;
    for (const Argument &element : elements) {
      Tensors tensors;
      if (Error error = take(element, tensors))
        return error;
      context.masks.push_back(
          tensors.empty() ? nullptr
                          : std::make_shared<const Tensor>(tensors.front()));
    }
    return Error::success();
  };
  auto takeNamed = [&](StringRef name, const Argument &argument) -> Error {
    if (argument.isNone())
      return Error::success();
    if (name == "initial_state" && layerClass.recurrent)
      return take(argument, context.initialState);
    if (name == "training" && argument.kind == Argument::Literal &&
        argument.literal.getAsBoolean() == false)
      return Error::success();
    if (name == "mask" && layerClass.mask != MaskRule::drops)
      return takeMask(argument);
    if (argument.kind == Argument::Literal) {
      context.namedValues.insert({name.str(), argument.literal});
      return Error::success();
    }
    Tensors tensors;
    if (Error error = take(argument, tensors))
      return error;
    if (tensors.size() == 1)
      context.namedTensors.insert({name.str(), tensors.front()});
    else
      return context.error("called with a list as '" + printable(name) +
                           "', which is not supported");
    return Error::success();
  };
  // The order of Keras 3; Keras 2 writes all but the first by name.
  constexpr StringLiteral recurrentNames[] = {"sequence", "initial_state",
                                              "mask", "training"};
  for (auto [index, argument] : llvm::enumerate(node.positional)) {
    std::optional<double> number;
    if (argument.kind == Argument::Literal)
      number = argument.literal.getAsNumber();
    if (layer.isOperation && number) {
      context.inputs.emplace_back().number = number;
    } else if (index == 0 ||
               (argument.kind == Argument::Tensor && !layerClass.recurrent)) {
      if (Error error = take(argument, context.inputs))
        return error;
    } else {
      std::string name =
          layerClass.recurrent && index < std::size(recurrentNames)
              ? recurrentNames[index].str()
              : "number " + std::to_string(index + 1);
      if (Error error = takeNamed(name, argument))
        return error;
    }
  }
  // Keras 2 lists the initial states behind the input.
  if (layerClass.recurrent && context.inputs.size() > 1) {
    context.initialState.append(context.inputs.begin() + 1,
                                context.inputs.end());
    context.inputs.truncate(1);
  }
  for (const auto &[name, argument] : node.named)
    if (Error error = takeNamed(name, argument))
      return error;
  if (!layer.implicitMasks || layer.isOperation || context.inputs.empty())
    return Error::success();
  context.passedMask = hasMask ? context.getMask() : context.inputs[0].mask;
  bool areHidden = context.version == 3 && !context.initialState.empty();
  if (!hasMask && !areHidden)
    for (const Tensor &input : context.inputs)
      context.masks.push_back(input.mask);
  return Error::success();
}
