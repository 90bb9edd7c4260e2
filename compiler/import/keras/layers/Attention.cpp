//===- Attention.cpp - attention layers ------------------------------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

using mlir::Location;
using mlir::OpBuilder;
using mlir::Value;
using mlir::ValueRange;

/// What masked scores lose: nothing remains of them in the softmax.
static double largeNumber(ElementType type) {
  return type == ElementType::f16 ? 65504.0 : 1e9;
}

static Tensor emitSoftmax(LayerContext &context, const Tensor &scores) {
  Tensor result = scores;
  if (context.isEmitting()) {
    OpBuilder &b = *context.builder;
    result.value = ActivationOp::create(
        b, context.getLocation(), scores.value,
        Activation(ActivationKind::softmax).getAttr(b.getContext()));
  }
  return result;
}

/// scores - large * !mask, where the mask has the loops `loops` of the scores.
static Tensor emitMaskScores(LayerContext &context, const Tensor &scores,
                             const Tensor &mask, ArrayRef<int64_t> loops) {
  Operand values{scores, {}}, flags{mask, SmallVector<int64_t>(loops)};
  for (size_t dim = 0; dim < scores.shape.size(); ++dim)
    values.loops.push_back(dim);
  return emitLoops(
      context, getSizes(scores), 0, {values, flags}, scores.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value lower = add(b, loc, args[0],
                          numberLike(b, args[0], -largeNumber(scores.type)));
        return mlir::arith::SelectOp::create(b, loc, args[1], args[0], lower);
      });
}

/// Masks keys behind the query; both are the last two dimensions.
static Tensor emitCausal(LayerContext &context, const Tensor &scores) {
  int64_t rank = scores.shape.size();
  Operand values{scores, {}};
  for (int64_t dim = 0; dim < rank; ++dim)
    values.loops.push_back(dim);
  return emitLoops(
      context, getSizes(scores), 0, values, scores.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value query = mlir::linalg::IndexOp::create(b, loc, rank - 2);
        Value key = mlir::linalg::IndexOp::create(b, loc, rank - 1);
        Value seen = mlir::arith::CmpIOp::create(
            b, loc, mlir::arith::CmpIPredicate::ule, key, query);
        Value lower = add(b, loc, args[0],
                          numberLike(b, args[0], -largeNumber(scores.type)));
        return mlir::arith::SelectOp::create(b, loc, seen, args[0], lower);
      });
}

static Value sumOfProducts(OpBuilder &b, Location loc, ValueRange args) {
  return add(b, loc, args[2], multiply(b, loc, args[0], args[1]));
}

//===----------------------------------------------------------------------===//
// Attention and AdditiveAttention
//===----------------------------------------------------------------------===//

/// Scores [batch, queries, keys] of queries and keys [batch, steps, features].
static Expected<Tensor> emitScores(LayerContext &context, WeightType type,
                                   const Tensor &query, const Tensor &key) {
  const json::Object &config = context.layer.config;
  bool additive = context.layer.className == "AdditiveAttention";
  bool useScale = additive;
  GRU_ASSIGN(useScale, context.getBool(config, "use_scale", additive));
  StringRef mode = config.getString("score_mode").value_or("dot");
  int64_t features = query.shape[2];
  SmallVector<Size> sizes{Size(query, 0), Size(query, 1), Size(key, 1),
                          Size(query, 2)};
  SmallVector<Operand> operands{{query, {0, 1, 3}}, {key, {0, 2, 3}}};
  Tensor scale;
  if (!additive && mode == "dot") {
    Tensor scores =
        emitLoops(context, sizes, 1, operands, query.type, 0, sumOfProducts);
    if (!useScale)
      return scores;
    GRU_ASSIGN(scale, context.getWeight("scale", "", 0, type, {}, "scalar"));
    return emitElementwise(context, {scores, scale}, query.type,
                           [](OpBuilder &b, Location loc, ValueRange args) {
                             return multiply(b, loc, args[0], args[1]);
                           });
  }
  if (!additive && mode != "concat")
    return context.error("score_mode is '" + printable(mode) +
                         "', expected dot or concat");
  // The sum over features of scale * tanh(query + key).
  Tensor weight;
  if (additive && useScale)
    GRU_ASSIGN(scale, context.getWeight("scale", "", 0, type, {features},
                                        "features"));
  if (!additive) {
    if (useScale)
      GRU_ASSIGN(scale, context.getWeight("scale", "", 0, type, {}, "scalar"));
    GRU_ASSIGN(weight, context.getWeight("concat_score_weight", "",
                                         useScale ? 1 : 0, type, {}, "scalar"));
  }
  if (useScale)
    operands.push_back(
        {scale, additive ? SmallVector<int64_t>{3} : SmallVector<int64_t>{}});
  Tensor scores = emitLoops(
      context, sizes, 1, operands, query.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value sum = add(b, loc, args[0], args[1]);
        if (!additive && useScale)
          sum = multiply(b, loc, sum, args[2]);
        Value value = mlir::math::TanhOp::create(b, loc, sum);
        if (additive && useScale)
          value = multiply(b, loc, value, args[2]);
        return add(b, loc, args.back(), value);
      });
  if (additive)
    return scores;
  return emitElementwise(context, {scores, weight}, query.type,
                         [](OpBuilder &b, Location loc, ValueRange args) {
                           return multiply(b, loc, args[0], args[1]);
                         });
}

/// Scores are dropped in training, which is not there yet.
static Error checkNoDropout(LayerContext &context) {
  double rate = 0;
  GRU_ASSIGN(rate, context.getNumber(context.layer.config, "dropout", 0));
  if (context.options.training && rate > 0)
    return context.error("dropout of " + context.layer.className +
                         " in training is not supported");
  return Error::success();
}

Expected<Tensors> gru::keras::importAttention(LayerContext &context) {
  if (Error error = checkNoDropout(context))
    return std::move(error);
  WeightType type;
  GRU_ASSIGN(type, context.getComputeType(context.layer.config));
  Expected<Tensors> inputs = context.getInputs(type, 2);
  if (!inputs)
    return inputs.takeError();
  // Query, value and, where it is another one, key.
  Tensor query = (*inputs)[0], value = (*inputs)[1], key = inputs->back();
  if (inputs->size() > 3 || any_of(*inputs, [](const Tensor &input) {
        return input.shape.size() != 3;
      }))
    return context.error("expected 2 or 3 inputs of 3 dimensions: query, value "
                         "and key");
  Tensor scores;
  GRU_ASSIGN(scores, emitScores(context, type, query, key));
  if (context.masks.size() > 1 && context.masks[1])
    scores = emitMaskScores(context, scores, *context.masks[1], {0, 2});
  if (isFlagSet(context.layer.config, "causal") ||
      context.takeFlag("use_causal_mask"))
    scores = emitCausal(context, scores);
  Tensor weights = emitSoftmax(context, scores);
  Tensor result = emitLoops(
      context,
      {Size(query, 0), Size(query, 1), Size(value, 2), Size(value, 1)}, 1,
      {{weights, {0, 1, 3}}, {value, {0, 3, 2}}}, query.type, 0, sumOfProducts);
  if (std::shared_ptr<const Tensor> mask = context.getMask()) {
    Operand values{result, {0, 1, 2}}, flags{*mask, {0, 1}};
    result = emitLoops(
        context, getSizes(result), 0, {values, flags}, result.type, 0,
        [](OpBuilder &b, Location loc, ValueRange args) -> Value {
          return mlir::arith::SelectOp::create(b, loc, args[1], args[0],
                                               numberLike(b, args[0], 0));
        });
    result.mask = mask;
  }
  Tensors outputs{result};
  if (context.takeFlag("return_attention_scores"))
    outputs.push_back(weights);
  return outputs;
}

//===----------------------------------------------------------------------===//
// MultiHeadAttention
//===----------------------------------------------------------------------===//

/// x to [batch, steps, heads, size] by the layer's weights `name`.
static Expected<Tensor> emitHeads(LayerContext &context, WeightType type,
                                  StringRef name, const Tensor &x,
                                  int64_t heads, int64_t size, bool useBias) {
  std::string folder = (name + "_dense").str();
  int64_t features = x.shape[2];
  Tensor kernel, bias;
  GRU_ASSIGN(kernel,
             context.getWeight((name + "/kernel").str(), folder, 0, type,
                               {features, heads * size},
                               "inputs x heads x size", nullptr,
                               {features, heads, size}));
  if (useBias)
    GRU_ASSIGN(bias, context.getWeight((name + "/bias").str(), folder, 1, type,
                                       {heads * size}, "heads x size", nullptr,
                                       {heads, size}));
  Tensor result{{x.shape[0], x.shape[1], heads, size}, x.type, {}, {}, {}};
  if (!context.isEmitting())
    return result;
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  Tensor flat{{x.shape[0], x.shape[1], heads * size}, x.type, {}, {}, {}};
  flat.value = DenseOp::create(
      b, loc, x.value, kernel.value, bias.value,
      Activation(ActivationKind::linear).getAttr(b.getContext()));
  // Not a reshape, whose dynamic sizes would be limited to the batch.
  return emitGenerate(
      context, {Size(flat, 0), Size(flat, 1), Size(heads), Size(size)}, x.type,
      [&](OpBuilder &b, Location loc, ValueRange i) -> Value {
        Value column = mlir::arith::AddIOp::create(
            b, loc,
            mlir::arith::MulIOp::create(b, loc, i[2],
                                        indexConstant(b, loc, size)),
            i[3]);
        return extract(b, loc, flat, {i[0], i[1], column});
      });
}

Expected<Tensors> gru::keras::importMultiHeadAttention(LayerContext &context) {
  const json::Object &config = context.layer.config;
  if (Error error = checkNoDropout(context))
    return std::move(error);
  WeightType type;
  GRU_ASSIGN(type, context.getComputeType(config));
  int64_t heads = 0, keySize = 0, valueSize = 0;
  bool useBias = true;
  GRU_ASSIGN(heads, context.getInteger(config, "num_heads"));
  GRU_ASSIGN(keySize, context.getInteger(config, "key_dim"));
  GRU_ASSIGN(valueSize, context.getInteger(config, "value_dim", keySize));
  GRU_ASSIGN(useBias, context.getBool(config, "use_bias", true));
  if (heads < 1 || keySize < 1 || valueSize < 1)
    return context.error("num_heads, key_dim and value_dim must be positive");
  for (StringRef name : {"value", "key"})
    if (std::optional<Tensor> tensor = context.takeTensor(name))
      context.inputs.push_back(*tensor);
  Expected<Tensors> inputs = context.getInputs(type, 2);
  if (!inputs)
    return inputs.takeError();
  Tensor query = (*inputs)[0], value = (*inputs)[1], key = inputs->back();
  if (inputs->size() > 3 || any_of(*inputs, [](const Tensor &input) {
        return input.shape.size() != 3 || input.shape[2] == kDynamicSize;
      }))
    return context.error("expected 2 or 3 inputs of 3 dimensions: query, value "
                         "and key");
  int64_t features = query.shape[2];
  Tensor q, k, v, kernel, bias;
  GRU_ASSIGN(q, emitHeads(context, type, "query", query, heads, keySize,
                          useBias));
  GRU_ASSIGN(k, emitHeads(context, type, "key", key, heads, keySize, useBias));
  GRU_ASSIGN(v, emitHeads(context, type, "value", value, heads, valueSize,
                          useBias));
  if (findEntry(config, "output_shape")) {
    const json::Value &shape = *findEntry(config, "output_shape");
    std::optional<int64_t> size = shape.getAsInteger();
    if (const json::Array *list = shape.getAsArray())
      if (list->size() == 1)
        size = list->front().getAsInteger();
    if (!size || *size < 1)
      return context.error("output_shape is " + jsonText(shape) +
                           ", expected one positive size");
    features = *size;
  }
  GRU_ASSIGN(kernel, context.getWeight("attention_output/kernel",
                                       "output_dense", 0, type,
                                       {heads * valueSize, features},
                                       "heads x size x outputs", nullptr,
                                       {heads, valueSize, features}));
  if (useBias)
    GRU_ASSIGN(bias, context.getWeight("attention_output/bias", "output_dense",
                                       1, type, {features}, "outputs"));

  // Scores [batch, heads, queries, keys].
  double scale = 1 / std::sqrt(double(keySize));
  Tensor scores = emitLoops(
      context, {Size(q, 0), Size(heads), Size(q, 1), Size(k, 1), Size(keySize)},
      1, {{q, {0, 2, 1, 4}}, {k, {0, 3, 1, 4}}}, q.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Value scaled = multiply(b, loc, args[0], numberLike(b, args[0], scale));
        return add(b, loc, args[2], multiply(b, loc, scaled, args[1]));
      });
  auto applyMask = [&](StringRef name, const Tensor &source,
                       ArrayRef<int64_t> loops) {
    std::optional<Tensor> mask = context.takeTensor(name);
    if (!mask && source.mask)
      mask = *source.mask;
    if (mask)
      scores = emitMaskScores(context, scores, *mask, loops);
  };
  applyMask("query_mask", query, {0, 2});
  applyMask("value_mask", value, {0, 3});
  applyMask("key_mask", inputs->size() > 2 ? key : Tensor(), {0, 3});
  applyMask("attention_mask", Tensor(), {0, 2, 3});
  if (context.takeFlag("use_causal_mask"))
    scores = emitCausal(context, scores);
  Tensor weights = emitSoftmax(context, scores);
  // [batch, queries, heads * size], ready for the last product.
  Tensor joined = emitLoops(
      context,
      {Size(q, 0), Size(q, 1), Size(heads), Size(valueSize), Size(v, 1)}, 1,
      {{weights, {0, 2, 1, 4}}, {v, {0, 4, 2, 3}}}, q.type, 0, sumOfProducts);
  Tensor result{{query.shape[0], query.shape[1], features}, q.type, {}, {}, {}};
  if (context.isEmitting()) {
    OpBuilder &b = *context.builder;
    Tensor flat = emitGenerate(
        context, {Size(joined, 0), Size(joined, 1), Size(heads * valueSize)},
        q.type, [&](OpBuilder &b, Location loc, ValueRange i) -> Value {
          Value size = indexConstant(b, loc, valueSize);
          Value head = mlir::arith::DivUIOp::create(b, loc, i[2], size);
          Value column = mlir::arith::RemUIOp::create(b, loc, i[2], size);
          return extract(b, loc, joined, {i[0], i[1], head, column});
        });
    result.value = DenseOp::create(
        b, context.getLocation(), flat.value, kernel.value, bias.value,
        Activation(ActivationKind::linear).getAttr(b.getContext()));
  }
  result.mask = query.mask;
  Tensors outputs{result};
  if (context.takeFlag("return_attention_scores"))
    outputs.push_back(weights);
  return outputs;
}
