//===- KerasGraph.cpp - the walk over a model's layers --------------------===//
//
// Calls the import function of each layer in an order in which its inputs are
// there. The walk is made once when a file is opened, to check it and to load
// its weights, and again for each import, to create operations; see
// KerasLayers.h.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/keras/KerasGraph.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/KerasWalk.h"
#include "dialect/GRUDialect.h"
#include "gru/plan.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

uint32_t gru::keras::getDType(ElementType type) {
  switch (type) {
  case ElementType::f32:
    return GRU_F32;
  case ElementType::f64:
    return GRU_F64;
  case ElementType::f16:
    return GRU_F16;
  case ElementType::bf16:
    return GRU_BF16;
  case ElementType::i1:
    return GRU_BOOL;
  case ElementType::i32:
    return GRU_I32;
  case ElementType::i64:
    return GRU_I64;
  }
  llvm_unreachable("unknown element type");
}

mlir::Type Walk::getType(const Tensor &tensor) const {
  return mlir::RankedTensorType::get(
      tensor.shape, getMLIRType(builder->getContext(), tensor.type));
}

mlir::Value Walk::addArgument(const Tensor &tensor, unsigned &group,
                              unsigned before, mlir::Attribute location,
                              mlir::ArrayRef<mlir::NamedAttribute> attributes) {
  ++group;
  argumentAttributes.insert(argumentAttributes.begin() + before,
                            builder->getDictionaryAttr(attributes));
  return function.getBody().front().insertArgument(
      before, getType(tensor),
      mlir::Location(cast<mlir::LocationAttr>(location)));
}

Error Walk::call(const Layer &layer, const Node &node, int64_t index) {
  CallContext context(*this, layer);
  const LayerClass *layerClass = findLayerClass(layer);
  if (!layerClass)
    return context.error(
        "class '" + printable(layer.className) +
        "' is not supported; supported: " + listLayerClasses());
  if (!layerClass->function)
    return context.error("an input is called on tensors");
  if (Error error = readArguments(context, node, *layerClass))
    return error;
  if (!layer.isOperation)
    context.describe("", "class_name", layer.className);
  Expected<Tensors> outputs = layerClass->function(context);
  if (!outputs)
    return outputs.takeError();
  if (!context.namedTensors.empty() || !context.namedValues.empty())
    return context.error("called with argument '" +
                         printable(context.namedTensors.empty()
                                       ? context.namedValues.begin()->first
                                       : context.namedTensors.begin()->first) +
                         "', which is not supported");
  bool passes =
      layerClass->mask == MaskRule::passes ||
      (layerClass->mask == MaskRule::passesInKeras3 && model.version == 3);
  for (Tensor &output : *outputs)
    if (layerClass->mask != MaskRule::uses)
      output.mask = passes ? context.passedMask : nullptr;
  // The type inferred by the operation is the last word.
  for (Tensor &output : *outputs)
    if (output.value)
      output.shape.assign(
          cast<mlir::ShapedType>(output.value.getType()).getShape().begin(),
          cast<mlir::ShapedType>(output.value.getType()).getShape().end());
  if (Error error = context.addActivities(*outputs))
    return error;
  // Keras 3 takes the masks away from what this layer is called on, for all
  // that comes after it.
  if (model.version == 3 && layer.className == "MultiHeadAttention")
    allTensors(node, [&](const TensorRef &ref) {
      results[{ref.layer, ref.node}][ref.tensor].mask = nullptr;
      return true;
    });
  results[{layer.name, index}] = std::move(*outputs);
  return Error::success();
}

/// Calls a layer if its inputs are there; false if they are not yet.
Expected<bool> Walk::tryCall(const Layer &layer, int64_t index) {
  const Node &node = layer.nodes[index];
  std::string unknown;
  bool ready = allTensors(node, [&](const TensorRef &ref) {
    auto found = layers.find(ref.layer);
    if (found == layers.end())
      unknown = ref.layer;
    return results.count({ref.layer, ref.node}) > 0;
  });
  if (!unknown.empty())
    return CallContext(*this, layer)
        .error("uses layer '" + printable(unknown) +
               "', which the model does not have");
  if (!ready)
    return false;
  if (Error error = call(layer, node, index))
    return error;
  return true;
}

/// What the public interface tells of a tensor.
static TensorSpec getSpec(const Model &model, std::string name,
                          const Tensor &tensor) {
  TensorSpec spec{std::move(name),
                  getDType(tensor.type),
                  {tensor.shape.begin(), tensor.shape.end()},
                  {},
                  {}};
  if (auto found = model.dims.find(spec.name); found != model.dims.end()) {
    spec.batchDim = found->second.batch;
    spec.timeDim = found->second.time;
  }
  return spec;
}

Error Walk::run() {
  int numRecurrent = 0;
  for (const Layer &layer : model.layers) {
    layers[layer.name] = &layer;
    const LayerClass *layerClass = findLayerClass(layer.className);
    if (layerClass && layerClass->hasCells() && layer.sharedWith.empty())
      onlyRecurrent = ++numRecurrent == 1 ? &layer : nullptr;
  }
  // Say at once what is not supported, even behind another error's back.
  for (const Layer &layer : model.layers)
    if (!layer.isModel && !findLayerClass(layer))
      return CallContext(*this, layer)
          .error("class '" + printable(layer.className) +
                 "' is not supported; supported: " + listLayerClasses());
  if (Error error = addInputs())
    return error;

  // Files hold layers in an order of use but for shared layers, whose later
  // calls wait for layers further down; so nearly everything happens in the
  // first round.
  std::vector<std::pair<const Layer *, int64_t>> waiting;
  for (const Layer &layer : model.layers)
    for (int64_t index = 0, e = layer.nodes.size(); index < e; ++index)
      waiting.emplace_back(&layer, index);
  while (!waiting.empty()) {
    std::vector<std::pair<const Layer *, int64_t>> left;
    for (auto [layer, index] : waiting) {
      Expected<bool> done = tryCall(*layer, index);
      if (!done)
        return done.takeError();
      if (!*done)
        left.emplace_back(layer, index);
    }
    if (left.size() == waiting.size())
      return CallContext(*this, *left.front().first)
          .error("its inputs are never computed: they form a cycle, or name a "
                 "call that does not exist");
    waiting = std::move(left);
  }
  if (Error error = finish())
    return error;
  for (const TensorRef &ref : model.inputs)
    contents.inputs.push_back(
        getSpec(model, ref.layer, results[{ref.layer, 0}].front()));
  for (auto [index, ref] : llvm::enumerate(model.outputs))
    contents.outputs.push_back(
        getSpec(model, model.getOutputName(index),
                results[{ref.layer, ref.node}][ref.tensor]));
  orderLosses();
  return Error::success();
}

/// Checks the outputs; when emitting, ends the function.
Error Walk::finish() {
  SmallVector<mlir::Value> values;
  SmallVector<mlir::DictionaryAttr> attributes;
  for (auto [index, ref] : llvm::enumerate(model.outputs)) {
    auto found = results.find({ref.layer, ref.node});
    if (found == results.end() || ref.tensor >= int64_t(found->second.size()))
      return importError(file,
                         "output " + Twine(index) + " of the model is output " +
                             Twine(ref.tensor) + " of call " + Twine(ref.node) +
                             " of layer '" + printable(ref.layer) +
                             "', which does not exist");
    if (!isEmitting())
      continue;
    values.push_back(found->second[ref.tensor].value);
    attributes.push_back(builder->getDictionaryAttr(builder->getNamedAttr(
        kNameAttr, builder->getStringAttr(model.getOutputName(index)))));
  }
  if (!isEmitting())
    return store->checkAllTaken();
  for (const MaskSpec &mask : options.masks)
    if (!givenMasks.contains(mask.name))
      return importError(
          file, "mask '" + printable(mask.name) + "' is given, but " +
                    (!options.training ? "masks act in training only"
                     : maskNames.empty()
                         ? "no layer of the model has dropout"
                         : "the model's masks are " + join(maskNames, ", ")));

  if (options.activities)
    for (const State &activity : activities) {
      values.push_back(activity.value.value);
      attributes.push_back(builder->getDictionaryAttr(builder->getNamedAttr(
          kNameAttr, builder->getStringAttr(activity.name))));
    }
  for (auto [index, state] : llvm::enumerate(states)) {
    values.push_back(state.value.value);
    attributes.push_back(builder->getDictionaryAttr(
        builder->getNamedAttr(kStateAttr, builder->getI64IntegerAttr(index))));
  }
  if (dropoutKey) {
    mlir::Value next = dropoutKey;
    // Every call draws new masks, unless a cell keeps its own.
    if (advancesKey)
      next = mlir::arith::AddIOp::create(
          *builder, function.getLoc(), dropoutKey,
          mlir::arith::ConstantOp::create(
              *builder, function.getLoc(),
              builder->getI64TensorAttr({0, 1, 1})));
    auto number = builder->getNamedAttr(
        kStateAttr, builder->getI64IntegerAttr(states.size()));
    mlir::DictionaryAttr &argument =
        argumentAttributes[numInputs + numStates - 1];
    mlir::NamedAttrList extended(argument);
    extended.append(number);
    argument = extended.getDictionary(builder->getContext());
    values.push_back(next);
    attributes.push_back(builder->getDictionaryAttr(number));
  }
  mlir::func::ReturnOp::create(*builder, function.getLoc(), values);
  mlir::Block &body = function.getBody().front();
  function.setFunctionType(builder->getFunctionType(
      body.getArgumentTypes(), mlir::ValueRange(values).getTypes()));
  function.setAllArgAttrs(argumentAttributes);
  function.setAllResultAttrs(attributes);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

Expected<GraphContents>
gru::keras::checkGraph(StringRef file, const Model &model, Weights &store) {
  ImportOptions options;
  Walk walk(file, model, store, options);
  if (Error error = walk.run())
    return std::move(error);
  return std::move(walk.contents);
}

Error gru::keras::emitGraph(StringRef file, const Model &model,
                            const ImportOptions &options,
                            mlir::func::FuncOp function) {
  return Walk(file, model, options, function).run();
}
