//===- Attention.cpp - attention layers -----------------------------------===//

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

namespace {
/// Which keys a query sees: those that all of it lets it see. Queries and keys
/// are the last two dimensions of the scores.
struct ScoreMask {
  /// Tensors of bits, by loops of the scores.
  SmallVector<Operand> tensors;
  /// Keys up to the query's own number.
  bool causal = false;
  /// Keys less than so many steps away; 0: all.
  int64_t window = 0;

  bool seesAll() const { return tensors.empty() && !causal && window == 0; }
};
} // namespace

/// Scores where keys are seen; `hide` makes the others.
static Tensor
emitWhereSeen(LayerContext &context, const ScoreMask &mask,
              const Tensor &scores,
              function_ref<Value(OpBuilder &, Location, Value)> hide) {
  if (mask.seesAll())
    return scores;
  int64_t rank = scores.shape.size();
  SmallVector<Operand> operands{{scores, {}}};
  for (int64_t dim = 0; dim < rank; ++dim)
    operands.front().loops.push_back(dim);
  operands.append(mask.tensors.begin(), mask.tensors.end());
  return emitLoops(
      context, getSizes(scores), 0, operands, scores.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value seen;
        auto require = [&](Value flag) {
          seen =
              seen ? mlir::arith::AndIOp::create(b, loc, seen, flag).getResult()
                   : flag;
        };
        for (Value flag : args.drop_front().take_front(mask.tensors.size()))
          require(flag);
        if (mask.causal || mask.window > 0) {
          Value query = mlir::linalg::IndexOp::create(b, loc, rank - 2);
          Value key = mlir::linalg::IndexOp::create(b, loc, rank - 1);
          using Predicate = mlir::arith::CmpIPredicate;
          auto compare = [&](Predicate predicate, Value x, Value y) {
            require(mlir::arith::CmpIOp::create(b, loc, predicate, x, y));
          };
          auto behind = [&](Value x) -> Value {
            return mlir::arith::AddIOp::create(
                b, loc, x, indexConstant(b, loc, mask.window));
          };
          if (mask.causal)
            compare(Predicate::ule, key, query);
          if (mask.window > 0) {
            compare(Predicate::ult, key, behind(query));
            compare(Predicate::ult, query, behind(key));
          }
        }
        return mlir::arith::SelectOp::create(b, loc, seen, args[0],
                                             hide(b, loc, args[0]));
      });
}

static Tensor emitReplaced(LayerContext &context, const ScoreMask &mask,
                           const Tensor &scores, double number) {
  return emitWhereSeen(context, mask, scores,
                       [&](OpBuilder &b, Location, Value score) {
                         return numberLike(b, score, number);
                       });
}

/// The softmax of the scores less `number` where keys are hidden: nothing
/// remains of them, unless all are.
static Tensor emitLoweredSoftmax(LayerContext &context, const ScoreMask &mask,
                                 const Tensor &scores, double number) {
  // Nothing of a score remains beside the number but in float64, so that a
  // query that sees no key sees all of them alike. Which holds on every target.
  if (scores.type != ElementType::f64)
    return emitSoftmax(context, emitReplaced(context, mask, scores, -number));
  return emitSoftmax(
      context, emitWhereSeen(context, mask, scores,
                             [&](OpBuilder &b, Location loc, Value score) {
                               return add(b, loc, score,
                                          numberLike(b, score, -number));
                             }));
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
  GRU_TAKE(useScale, context.getBool(config, "use_scale", additive));
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
    GRU_TAKE(scale, context.getWeight("scale", "", 0, type, {}, "scalar"));
    return emitProduct(context, scores, scale);
  }
  if (!additive && mode != "concat")
    return context.error("score_mode is '" + printable(mode) +
                         "', expected dot or concat");
  // The sum over features of scale * tanh(query + key).
  Tensor weight;
  if (additive && useScale)
    GRU_TAKE(scale,
             context.getWeight("scale", "", 0, type, {features}, "features"));
  if (!additive) {
    if (useScale)
      GRU_TAKE(scale, context.getWeight("scale", "", 0, type, {}, "scalar"));
    GRU_TAKE(weight, context.getWeight("concat_score_weight", "",
                                       useScale ? 1 : 0, type, {}, "scalar"));
  }
  if (useScale)
    operands.push_back(
        {scale, additive ? SmallVector<int64_t>{3} : SmallVector<int64_t>{}});
  Tensor scores =
      emitLoops(context, sizes, 1, operands, query.type, 0,
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
  return emitProduct(context, scores, weight);
}

/// The softmax of scores as it is in training, where some of it is dropped.
static Expected<Tensor> emitDropout(LayerContext &context,
                                    const Tensor &weights) {
  double rate = 0;
  GRU_TAKE(rate, context.getNumber(context.layer.config, "dropout", 0));
  if (!context.options.training || rate == 0)
    return weights;
  if (!(rate > 0 && rate < 1))
    return context.error("dropout is " + std::to_string(rate) +
                         " in training, expected at least 0 and below 1");
  MaskRequest request("dropout_mask", weights);
  request.rate = rate;
  Tensor mask;
  GRU_TAKE(mask, context.getDropoutMask(request));
  return emitProduct(context, weights, mask);
}

Expected<Tensors> gru::keras::importAttention(LayerContext &context) {
  WeightType type;
  GRU_TAKE(type, context.getComputeType(context.layer.config));
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
  GRU_TAKE(scores, emitScores(context, type, query, key));
  ScoreMask mask;
  if (context.masks.size() > 1 && context.masks[1])
    mask.tensors.push_back({*context.masks[1], {0, 2}});
  mask.causal = isFlagSet(context.layer.config, "causal");
  mask.causal |= context.takeFlag("use_causal_mask");
  Tensor weights = emitLoweredSoftmax(
      context, mask, scores, scores.type == ElementType::f16 ? 65504.0 : 1e9);
  GRU_TAKE(weights, emitDropout(context, weights));
  Tensor result = emitLoops(
      context, {Size(query, 0), Size(query, 1), Size(value, 2), Size(value, 1)},
      1, {{weights, {0, 1, 3}}, {value, {0, 3, 2}}}, query.type, 0,
      sumOfProducts);
  if (std::shared_ptr<const Tensor> mask = context.getMask()) {
    Operand values{result, {0, 1, 2}}, flags{*mask, {0, 1}};
    result =
        emitLoops(context, getSizes(result), 0, {values, flags}, result.type, 0,
                  [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                    return mlir::arith::SelectOp::create(
                        b, loc, args[1], args[0], numberLike(b, args[0], 0));
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
  GRU_TAKE(kernel,
           context.getWeight((name + "/kernel").str(), folder, 0, type,
                             {features, heads * size}, "inputs x heads x size",
                             nullptr, {features, heads, size}));
  if (useBias)
    GRU_TAKE(bias, context.getWeight((name + "/bias").str(), folder, 1, type,
                                     {heads * size}, "heads x size", nullptr,
                                     {heads, size}));
  Tensor result{{x.shape[0], x.shape[1], heads, size}, x.type, {}, {}, {}};
  if (!context.isEmitting())
    return result;
  OpBuilder &b = *context.builder;
  Location loc = context.getLocation();
  Tensor flat{{x.shape[0], x.shape[1], heads * size}, x.type, {}, {}, {}};
  ActivationKind activation =
      name == "gate" ? ActivationKind::sigmoid : ActivationKind::linear;
  flat.value = DenseOp::create(b, loc, x.value, kernel.value, bias.value,
                               Activation(activation).getAttr(b.getContext()));
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

/// Keras 3 gives the layer's activity regulariser to the dense layers that it
/// is made of, which `outputs` are of in order; Keras 2 has one of the layer
/// itself.
static Error
addDenseActivities(LayerContext &context,
                   ArrayRef<std::pair<StringRef, Tensor>> outputs) {
  const json::Value *regularizer =
      findEntry(context.layer.config, "activity_regularizer");
  if (!regularizer || context.version == 2)
    return Error::success();
  Layer dense;
  dense.className = "EinsumDense";
  dense.name = context.layer.name;
  dense.config["activity_regularizer"] = *regularizer;
  for (const auto &[part, output] : outputs) {
    if (output.shape.empty())
      continue;
    std::unique_ptr<LayerContext> inner = context.makeInner(dense, "", part);
    if (Error error = inner->addActivities(output))
      return error;
  }
  return Error::success();
}

/// Attention runs over the steps, the only dimension between batch and
/// features.
static Error checkAttentionAxes(LayerContext &context) {
  const json::Value *axes = findEntry(context.layer.config, "attention_axes");
  if (!axes)
    return Error::success();
  std::optional<int64_t> axis = axes->getAsInteger();
  if (const json::Array *list = axes->getAsArray(); list && list->size() == 1)
    axis = list->front().getAsInteger();
  if (axis == 1 || axis == -2)
    return Error::success();
  return context.error("attention_axes is " + jsonText(*axes) +
                       ", expected null or [1]");
}

Expected<Tensors> gru::keras::importMultiHeadAttention(LayerContext &context) {
  const json::Object &config = context.layer.config;
  WeightType type;
  GRU_TAKE(type, context.getComputeType(config));
  int64_t heads = 0, keySize = 0, valueSize = 0;
  bool useBias = true;
  GRU_TAKE(heads, context.getInteger(config, "num_heads"));
  GRU_TAKE(keySize, context.getInteger(config, "key_dim"));
  GRU_TAKE(valueSize, context.getInteger(config, "value_dim", keySize));
  GRU_TAKE(useBias, context.getBool(config, "use_bias", true));
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
  bool useGate = false;
  GRU_TAKE(useGate, context.getBool(config, "use_gate", false));
  if (Error error = checkAttentionAxes(context))
    return std::move(error);
  Tensor q, k, v, gate, kernel, bias;
  GRU_TAKE(q,
           emitHeads(context, type, "query", query, heads, keySize, useBias));
  GRU_TAKE(k, emitHeads(context, type, "key", key, heads, keySize, useBias));
  if (useGate)
    GRU_TAKE(gate, emitHeads(context, type, "gate", query, heads, valueSize,
                             useBias));
  GRU_TAKE(v,
           emitHeads(context, type, "value", value, heads, valueSize, useBias));
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
  GRU_TAKE(kernel, context.getWeight("attention_output/kernel", "output_dense",
                                     0, type, {heads * valueSize, features},
                                     "heads x size x outputs", nullptr,
                                     {heads, valueSize, features}));
  if (useBias)
    GRU_TAKE(bias, context.getWeight("attention_output/bias", "output_dense", 1,
                                     type, {features}, "outputs"));

  ScoreMask mask;
  auto addMask = [&](StringRef name, const Tensor &source,
                     ArrayRef<int64_t> loops) {
    std::optional<Tensor> tensor = context.takeTensor(name);
    if (!tensor && source.mask)
      tensor = *source.mask;
    if (tensor)
      mask.tensors.push_back({*tensor, SmallVector<int64_t>(loops)});
  };
  addMask("query_mask", query, {0, 2});
  addMask("value_mask", value, {0, 3});
  addMask("key_mask", inputs->size() > 2 ? key : Tensor(), {0, 3});
  // The numbers of steps that it has are fixed, so the sequences' are too.
  if (context.namedTensors.count("attention_mask"))
    context.tellTimeIsFixed();
  bool hasHeads = context.namedTensors.count("attention_mask") &&
                  context.namedTensors["attention_mask"].shape.size() == 4;
  addMask("attention_mask", Tensor(),
          hasHeads ? ArrayRef<int64_t>{0, 1, 2, 3}
                   : ArrayRef<int64_t>{0, 2, 3});
  for (const Operand &operand : mask.tensors)
    if (operand.tensor.type != ElementType::i1 ||
        operand.tensor.shape.size() != operand.loops.size())
      return context.error("a mask is " + shapeText(operand.tensor.shape) +
                           " " + getElementTypeName(operand.tensor.type) +
                           ", expected bool, batch x steps or as "
                           "attention_mask batch x queries x keys");
  mask.causal = context.takeFlag("use_causal_mask");
  GRU_TAKE(mask.window, context.getInteger(config, "sliding_window", 0));
  bool returnScores = context.takeFlag("return_attention_scores");
  if (returnScores)
    context.tellTimeIsFixed();
  double dropout = 0;
  GRU_TAKE(dropout, context.getNumber(config, "dropout", 0));
  // Scores [batch, heads, queries, keys].
  double scale = 1 / std::sqrt(double(keySize));
  // What Keras 3 hands to TensorFlow is a float32 first.
  if (context.version == 3)
    scale = float(scale);
  Tensor scores = emitLoops(
      context, {Size(q, 0), Size(heads), Size(q, 1), Size(k, 1), Size(keySize)},
      1, {{q, {0, 2, 1, 4}}, {k, {0, 3, 1, 4}}}, q.type, 0,
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Value scaled = multiply(b, loc, args[0], numberLike(b, args[0], scale));
        return add(b, loc, args[2], multiply(b, loc, scaled, args[1]));
      });
  Tensor weights;
  bool isHalf = scores.type == ElementType::f16;
  if (context.version == 2) {
    weights = emitLoweredSoftmax(context, mask, scores, isHalf ? 32752.0 : 1e9);
  } else if (!returnScores && dropout == 0) {
    weights =
        emitSoftmax(context, emitReplaced(context, mask, scores,
                                          isHalf ? -45850.0 : -2.372671e38));
  } else {
    // Nothing is left of a query that sees no key.
    weights = emitSoftmax(
        context, emitReplaced(context, mask, scores, isHalf ? -3e4 : -1e9));
    weights = emitReplaced(context, mask, weights, 0);
  }
  // The scores that are returned are those before.
  Tensor dropped;
  GRU_TAKE(dropped, emitDropout(context, weights));
  // [batch, queries, heads * size], ready for the last product.
  Tensor joined = emitLoops(
      context,
      {Size(q, 0), Size(q, 1), Size(heads), Size(valueSize), Size(v, 1)}, 1,
      {{dropped, {0, 2, 1, 4}}, {v, {0, 4, 2, 3}}}, q.type, 0, sumOfProducts);
  if (useGate)
    GRU_TAKE(joined, emitProduct(context, joined, gate));
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
  if (Error error = addDenseActivities(context, {{"query", q},
                                                 {"key", k},
                                                 {"gate", gate},
                                                 {"value", v},
                                                 {"attention_output", result}}))
    return std::move(error);
  result.mask = context.passedMask;
  Tensors outputs{result};
  if (returnScores)
    outputs.push_back(weights);
  return outputs;
}
