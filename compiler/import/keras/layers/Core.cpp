//===- Core.cpp - Dense, Activation, Embedding, Masking and the like ------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"
#include "lowering/backends/Backends.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

Expected<Tensors> gru::keras::importDense(LayerContext &context) {
  const json::Object &config = context.layer.config;
  for (StringRef key : {"quantization_config", "lora_rank"})
    if (findEntry(config, key))
      return context.error(key + " is not supported");
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  Tensor input;
  GRU_TAKE(input, context.getInput(type));
  int64_t units = 0;
  GRU_TAKE(units, context.getInteger(config, "units"));
  if (units < 1)
    return context.error("units is " + Twine(units) +
                         ", expected a positive integer");
  Activation activation;
  GRU_TAKE(activation,
           context.getActivation(config, "activation", ActivationKind::linear));
  bool useBias = true;
  GRU_TAKE(useBias, context.getBool(config, "use_bias", true));
  if (input.shape.size() < 2 || input.shape.back() == kDynamicSize)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected a known last dimension");
  Tensor kernel, bias;
  GRU_TAKE(kernel,
           context.getWeight("kernel", "", 0, type, {input.shape.back(), units},
                             "inputs x units"));
  if (useBias)
    GRU_TAKE(bias, context.getWeight("bias", "", 1, type, {units}, "units"));
  Tensor result = input;
  result.shape.back() = units;
  if (context.isEmitting()) {
    mlir::OpBuilder &b = *context.builder;
    result.value =
        DenseOp::create(b, context.getLocation(), input.value, kernel.value,
                        bias.value, activation.getAttr(b.getContext()));
  }
  return Tensors{result};
}

Expected<Tensors> gru::keras::importActivation(LayerContext &context) {
  const Layer &layer = context.layer;
  auto parsed =
      parseActivationLayer(layer.className, layer.config, context.version);
  if (!*parsed)
    return context.error(toString(parsed->takeError()));
  if (layer.className == "Softmax" && context.getMask())
    return context.error(
        "is called on a masked sequence, whose mask of batch x "
        "timesteps Keras cannot apply to features; an "
        "Activation with softmax passes the mask on");
  Activation activation = **parsed;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(layer.config));
  Tensor result;
  GRU_TAKE(result, context.getInput(type));
  // Linear is no operation, so nothing stands in the way of later fusion.
  if (context.isEmitting() && activation.kind != ActivationKind::linear) {
    mlir::OpBuilder &b = *context.builder;
    result.value = ActivationOp::create(b, context.getLocation(), result.value,
                                        activation.getAttr(b.getContext()));
  }
  return Tensors{result};
}

Expected<Tensors> gru::keras::importIdentity(LayerContext &context) {
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 1 tensor");
  return context.inputs;
}

Expected<Tensors> gru::keras::importPassThrough(LayerContext &context) {
  if (context.inputs.size() != 1 || !isFloat(context.inputs.front().type))
    return importIdentity(context);
  WeightType type = WeightType::f32;
  Tensor result;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
  GRU_TAKE(result, context.castInput(context.inputs.front(), type));
  return Tensors{result};
}

//===----------------------------------------------------------------------===//
// Embedding and Masking
//===----------------------------------------------------------------------===//

Expected<Tensors> gru::keras::importEmbedding(LayerContext &context) {
  const json::Object &config = context.layer.config;
  for (StringRef key : {"quantization_config", "lora_rank"})
    if (findEntry(config, key))
      return context.error(key + " is not supported");
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  int64_t rows = 0, columns = 0;
  GRU_TAKE(rows, context.getInteger(config, "input_dim"));
  GRU_TAKE(columns, context.getInteger(config, "output_dim"));
  if (rows < 1 || columns < 1)
    return context.error("input_dim and output_dim are " + Twine(rows) +
                         " and " + Twine(columns) +
                         ", expected positive integers");
  if (context.inputs.size() != 1)
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected 1 tensor");
  Tensor input = context.inputs.front(), table;
  if (input.type == ElementType::i1)
    return context.error("input is bool, expected integers");
  GRU_TAKE(table, context.getWeight("embeddings", "", 0, type, {rows, columns},
                                    "input_dim x output_dim"));
  SmallVector<Size> sizes = getSizes(input);
  sizes.emplace_back(columns);
  Operand operand{input, {}};
  for (size_t dim = 0; dim < input.shape.size(); ++dim)
    operand.loops.push_back(dim);
  int64_t last = input.shape.size();
  Tensor result = emitLoops(
      context, sizes, 0, operand, getElementType(type), 0,
      [&](mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange args) {
        mlir::Value id = args[0];
        // Keras 2 casts floats to int32.
        if (isFloat(input.type))
          id = mlir::arith::FPToSIOp::create(b, loc, b.getI32Type(), id);
        id = mlir::arith::IndexCastOp::create(b, loc, b.getIndexType(), id);
        // An id that the table does not have must not read beside it.
        id = mlir::arith::MaxSIOp::create(b, loc, id, indexConstant(b, loc, 0));
        id = mlir::arith::MinSIOp::create(b, loc, id,
                                          indexConstant(b, loc, rows - 1));
        mlir::Value column = mlir::linalg::IndexOp::create(b, loc, last);
        return extract(b, loc, table, {id, column});
      });
  bool maskZero = false;
  GRU_TAKE(maskZero, context.getBool(config, "mask_zero", false));
  if (maskZero && context.layer.implicitMasks) {
    Tensor zero;
    zero.number = 0;
    Tensor mask;
    GRU_TAKE(mask, emitNotEqual(context, input, zero));
    result.mask = std::make_shared<const Tensor>(mask);
  }
  return Tensors{result};
}

/// Steps whose features all equal mask_value are masked, and become zeros.
Expected<Tensors> gru::keras::importMasking(LayerContext &context) {
  WeightType type;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
  Tensor input;
  GRU_TAKE(input, context.getInput(type));
  Tensor value;
  GRU_TAKE(value.number,
           context.getNumber(context.layer.config, "mask_value", 0));
  if (input.shape.size() < 2)
    return context.error("input is " + shapeText(input.shape) +
                         ", expected at least 2 dimensions");
  Tensor mask;
  GRU_TAKE(mask, emitNotEqual(context, input, value));
  mask = emitReduce(context, mask, input.shape.size() - 1, Reduction::any);
  Tensor result;
  GRU_TAKE(result, emitMasked(context, input, mask, 0));
  if (context.layer.implicitMasks)
    result.mask = std::make_shared<const Tensor>(mask);
  return Tensors{result};
}

//===----------------------------------------------------------------------===//
// TimeDistributed
//===----------------------------------------------------------------------===//

/// True for layers that treat every timestep alike anyway.
static bool worksOnLastDimension(StringRef className) {
  return is_contained({"Activation", "AlphaDropout", "BatchNormalization",
                       "Dense", "Dropout", "ELU", "GaussianDropout",
                       "GaussianNoise", "Identity", "LayerNormalization",
                       "LeakyReLU", "ReLU", "Rescaling", "Softmax"},
                      className);
}

bool gru::keras::isTimeDistributedTrivial(const Layer &layer) {
  const json::Value *value = layer.config.get("layer");
  std::optional<ObjectConfig> object;
  if (value)
    object = getObjectConfig(*value);
  return object && worksOnLastDimension(object->className);
}

Expected<Tensors> gru::keras::importTimeDistributed(LayerContext &context) {
  const json::Value *value = context.layer.config.get("layer");
  std::optional<ObjectConfig> object;
  if (value)
    object = getObjectConfig(*value);
  const LayerClass *inner =
      object ? findLayerClass(object->className) : nullptr;
  if (!inner || !inner->function)
    return context.error("layer is " +
                         (object ? "'" + printable(object->className) + "'"
                                 : std::string("missing")) +
                         ", expected one of " + listLayerClasses());
  if (context.inputs.size() != 1 || context.inputs[0].shape.size() < 3)
    return context.error("expected 1 input with at least 3 dimensions");
  Layer layer;
  layer.className = object->className;
  layer.name = context.layer.name;
  layer.config = *object->config;
  std::unique_ptr<LayerContext> innerContext =
      context.makeInner(layer, "layer", "");
  Tensor input = context.inputs.front();
  if (worksOnLastDimension(layer.className)) {
    innerContext->inputs = {input};
    innerContext->masks = context.masks;
    innerContext->isTimeDistributed = true;
    return inner->function(*innerContext);
  }
  // Otherwise timesteps become rows of the batch for the layer.
  int64_t batch = input.shape[0], time = input.shape[1];
  SmallVector<int64_t> folded(input.shape.begin() + 1, input.shape.end());
  folded[0] = batch == kDynamicSize || time == kDynamicSize ? kDynamicSize
                                                            : batch * time;
  if (context.isEmitting() && folded[0] == kDynamicSize)
    return context.error("around " + layer.className +
                         " needs a known batch and number of timesteps");
  innerContext->inputs = {emitReshape(context, input, folded)};
  mlir::Block *block =
      context.isEmitting() ? context.builder->getInsertionBlock() : nullptr;
  mlir::Operation *before = block && !block->empty() ? &block->back() : nullptr;
  Expected<Tensors> outputs = inner->function(*innerContext);
  if (!outputs)
    return outputs.takeError();
  // Keras takes cuDNN for outermost layers only.
  if (block)
    for (mlir::Operation *op = before ? before->getNextNode() : &block->front();
         op; op = op->getNextNode())
      if (isa<GRUOp>(op))
        op->setAttr(kTimeDistributedAttr, context.builder->getUnitAttr());
  if (outputs->size() != 1)
    return context.error("layer has several outputs, expected one");
  Tensor result = outputs->front();
  SmallVector<int64_t> shape{batch, time};
  shape.append(result.shape.begin() + 1, result.shape.end());
  result.mask = nullptr;
  return Tensors{emitReshape(context, result, shape)};
}
