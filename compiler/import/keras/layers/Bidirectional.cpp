//===- Bidirectional.cpp - two recurrent layers on one input --------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/Recurrent.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// One direction of a Bidirectional as a layer of its own.
static Expected<Layer> readDirection(LayerContext &context, bool backward) {
  const json::Object &config = context.layer.config;
  const json::Value *own =
      backward ? findEntry(config, "backward_layer") : nullptr;
  const json::Value *value = own ? own : config.get("layer");
  std::optional<ObjectConfig> object;
  if (value)
    object = getObjectConfig(*value);
  if (!object)
    return context.error("layer is " +
                         (value ? jsonText(*value) : std::string("missing")) +
                         ", expected a GRU or an RNN");
  Layer layer;
  layer.className = object->className;
  layer.name = context.layer.name;
  layer.config = *object->config;
  if (backward && !own)
    layer.config["go_backwards"] = !isFlagSet(layer.config, "go_backwards");
  return layer;
}

static Expected<Tensor> emitMerge(LayerContext &context, StringRef mode,
                                  const Tensor &forward,
                                  const Tensor &backward) {
  if (mode == "concat") {
    Layer layer;
    layer.className = "Concatenate";
    layer.name = context.layer.name;
    std::unique_ptr<LayerContext> inner = context.makeInner(layer, "", "");
    inner->inputs = {forward, backward};
    Expected<Tensors> merged = importConcatenate(*inner);
    if (!merged)
      return merged.takeError();
    return merged->front();
  }
  if (mode != "sum" && mode != "ave" && mode != "mul")
    return context.error("merge_mode is '" + printable(mode) +
                         "', expected concat, sum, ave, mul or null");
  return emitElementwise(
      context, {forward, backward}, forward.type,
      [&](mlir::OpBuilder &b, mlir::Location loc,
          mlir::ValueRange args) -> mlir::Value {
        if (mode == "mul")
          return mlir::arith::MulFOp::create(b, loc, args[0], args[1]);
        mlir::Value sum = mlir::arith::AddFOp::create(b, loc, args[0], args[1]);
        if (mode == "sum")
          return sum;
        return mlir::arith::MulFOp::create(b, loc, sum,
                                           numberLike(b, sum, 0.5));
      });
}

Expected<Tensors> gru::keras::importBidirectional(LayerContext &context) {
  if (context.initialState.size() % 2)
    return context.error("found " + Twine(context.initialState.size()) +
                         " initial states, expected as many for each "
                         "direction");
  ArrayRef<Tensor> initial = context.initialState;
  RecurrentResult results[2];
  RecurrentConfig configs[2];
  for (bool backward : {false, true}) {
    Expected<Layer> layer = readDirection(context, backward);
    if (!layer)
      return layer.takeError();
    std::unique_ptr<LayerContext> inner =
        backward ? context.makeInner(*layer, "backward_layer", "backward")
                 : context.makeInner(*layer, "forward_layer", "forward");
    inner->inputs = context.inputs;
    inner->masks = context.masks;
    inner->passedMask = context.passedMask;
    size_t half = initial.size() / 2;
    inner->initialState = Tensors(initial.slice(backward ? half : 0, half));
    RecurrentConfig &config = configs[backward];
    GRU_TAKE(config, readRecurrent(*inner));
    config.direction = backward ? "backward" : "forward";
    auto differ = [&](StringRef attribute, bool a, bool b) {
      return context.error("the two directions have to agree in " + attribute +
                           ", found " + (a ? "true" : "false") +
                           " forward and " + (b ? "true" : "false") +
                           " backward");
    };
    if (config.returnSequences != configs[0].returnSequences)
      return differ("return_sequences", configs[0].returnSequences,
                    config.returnSequences);
    if (config.returnState != configs[0].returnState)
      return differ("return_state", configs[0].returnState, config.returnState);
    if (config.stateful != configs[0].stateful)
      return differ("stateful", configs[0].stateful, config.stateful);
    if (backward && config.goBackwards == configs[0].goBackwards)
      return context.error("layer and backward_layer have go_backwards " +
                           Twine(config.goBackwards ? "true" : "false") +
                           " both, expected two directions");
    if (context.version == 3 && !backward && config.goBackwards)
      return context.error("layer has go_backwards true, expected false: the "
                           "backward layer is made from it");
    // Keras sets the one from the other in both directions.
    config.zeroOutputForMask = configs[0].returnSequences;
    GRU_TAKE(results[backward], emitRecurrent(*inner, config));
    if (Error error =
            inner->addActivities(getOutputs(config, results[backward])))
      return error;
  }
  bool sequences = configs[0].returnSequences;
  Tensor forward = results[0].output, backward = results[1].output;
  if (sequences)
    backward = emitReverse(context, backward, configs[0].timeMajor ? 0 : 1);
  std::shared_ptr<const Tensor> mask = sequences ? context.passedMask : nullptr;
  forward.mask = backward.mask = mask;

  const json::Value *mode = context.layer.config.get("merge_mode");
  Tensors outputs;
  if (mode && mode->getAsNull()) {
    outputs = {forward, backward};
  } else {
    StringRef name = "concat";
    if (mode)
      name = mode->getAsString().value_or("");
    GRU_TAKE(outputs.emplace_back(),
             emitMerge(context, name, forward, backward));
    outputs.back().mask = mask;
  }
  if (configs[0].returnState)
    for (RecurrentResult &result : results)
      outputs.append(result.states);
  return outputs;
}
