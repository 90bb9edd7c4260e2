//===- Recurrent.cpp - the GRU operator -----------------------------------===//
//
// One gru.gru per direction. ONNX keeps the gates as rows in the order z, r, h
// and the two biases side by side; each direction's weights are turned into
// Keras's form when they are read.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/Graph.h"
#include "compiler/import/onnx/operators/Operators.h"
#include "dialect/GRUDialect.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"

#include <cstring>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

namespace {
struct ActivationRule {
  StringLiteral name;
  ActivationKind kind;
  /// Parameters that are taken from activation_alpha and activation_beta.
  bool alpha, beta;
  double defaultAlpha = 0, defaultBeta = 0;
};
} // namespace

static constexpr ActivationRule activationRules[] = {
    {"Relu", ActivationKind::relu, false, false},
    {"Tanh", ActivationKind::tanh, false, false},
    {"Sigmoid", ActivationKind::sigmoid, false, false},
    {"Affine", ActivationKind::affine, true, true, 1, 0},
    {"LeakyRelu", ActivationKind::leaky_relu, true, false, 0.01},
    {"ThresholdedRelu", ActivationKind::thresholded_relu, true, false, 1},
    {"ScaledTanh", ActivationKind::scaled_tanh, true, true, 1, 1},
    {"HardSigmoid", ActivationKind::hard_sigmoid, true, true, 0.2, 0.5},
    {"Elu", ActivationKind::elu, true, false, 1},
    {"Softsign", ActivationKind::softsign, false, false},
    {"Softplus", ActivationKind::softplus, false, false},
};

/// Two per direction: gates, candidate. Alphas and betas are used up in order
/// by those activations that take them.
static Expected<SmallVector<ActAttr>> readActivations(Node &node,
                                                      size_t directions) {
  std::vector<std::string> names = node.getStrings("activations");
  SmallVector<double> alphas = node.getFloats("activation_alpha"),
                      betas = node.getFloats("activation_beta");
  if (names.empty())
    for (size_t i = 0; i < directions; ++i)
      names.insert(names.end(), {"Sigmoid", "Tanh"});
  if (names.size() != 2 * directions)
    return node.error("activations has " + Twine(names.size()) +
                      " names, expected " + Twine(2 * directions) +
                      ": two per direction");
  SmallVector<ActAttr> activations;
  size_t nextAlpha = 0, nextBeta = 0;
  mlir::MLIRContext *context = node.b.getContext();
  for (const std::string &name : names) {
    const ActivationRule *rule = find_if(activationRules, [&](auto &rule) {
      return StringRef(name).equals_insensitive(rule.name);
    });
    if (rule == std::end(activationRules)) {
      SmallVector<StringRef> accepted;
      for (const ActivationRule &rule : activationRules)
        accepted.push_back(rule.name);
      return node.error("activation '" + printable(name) +
                        "' is not supported, expected one of " +
                        listText(accepted));
    }
    double alpha = rule->defaultAlpha, beta = rule->defaultBeta;
    if (rule->alpha && nextAlpha < alphas.size())
      alpha = alphas[nextAlpha++];
    if (rule->beta && nextBeta < betas.size())
      beta = betas[nextBeta++];
    activations.push_back(rule->alpha || rule->beta
                              ? ActAttr::get(context, rule->kind, alpha, beta)
                              : ActAttr::get(context, rule->kind));
  }
  if (nextAlpha < alphas.size() || nextBeta < betas.size())
    return node.error("activation_alpha has " + Twine(alphas.size()) +
                      " numbers and activation_beta " + Twine(betas.size()) +
                      ", of which the activations take " + Twine(nextAlpha) +
                      " and " + Twine(nextBeta));
  return activations;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

namespace {
/// What all directions share.
struct Layer {
  int64_t directions, units, features;
  bool resetAfter, batchFirst;
  Size time, batch;
  DataType type;
};

struct LayerWeights {
  Value kernel, recurrentKernel, bias;
};
} // namespace

/// [directions, 3H, N] becomes one [N, 3H] per direction.
static Expected<Value> readKernel(Node &node, const Tensor &tensor,
                                  int64_t direction, const Twine &name) {
  int64_t rows = tensor.shape[1].getNumber(),
          columns = tensor.shape[2].getNumber();
  if (tensor.literal) {
    const Literal &literal = *tensor.literal;
    size_t width = getByteSize(literal.type);
    return node.getWeight(
        node.graph.makeWeightName(name.str()), literal.type, {columns, rows},
        [&](std::vector<char> &bytes) {
          const char *from =
              literal.bytes.data() + direction * rows * columns * width;
          for (int64_t row = 0; row < rows; ++row)
            for (int64_t column = 0; column < columns; ++column)
              std::memcpy(bytes.data() + (column * rows + row) * width,
                          from + (row * columns + column) * width, width);
        });
  }
  Tensor kernel;
  GRU_TAKE(kernel, emitSelect(node, tensor, 0, direction));
  GRU_TAKE(kernel, emitTranspose(node, kernel, {1, 0}));
  return node.getValue(kernel);
}

template <typename T>
static void addHalves(std::vector<char> &bytes, int64_t columns) {
  for (int64_t i = 0; i < columns; ++i) {
    T a, b;
    std::memcpy(&a, bytes.data() + i * sizeof(T), sizeof(T));
    std::memcpy(&b, bytes.data() + (columns + i) * sizeof(T), sizeof(T));
    a += b;
    std::memcpy(bytes.data() + i * sizeof(T), &a, sizeof(T));
  }
}

static void addHalfPrecision(std::vector<char> &bytes, int64_t columns,
                             const fltSemantics &semantics) {
  for (int64_t i = 0; i < columns; ++i) {
    uint16_t bits[2];
    std::memcpy(&bits[0], bytes.data() + 2 * i, 2);
    std::memcpy(&bits[1], bytes.data() + 2 * (columns + i), 2);
    APFloat sum(semantics, APInt(16, bits[0]));
    sum.add(APFloat(semantics, APInt(16, bits[1])),
            APFloat::rmNearestTiesToEven);
    bits[0] = sum.bitcastToAPInt().getZExtValue();
    std::memcpy(bytes.data() + 2 * i, &bits[0], 2);
  }
}

/// [directions, 6H] holds the input's bias and the state's. Both stay where the
/// reset gate comes between them, otherwise only their sum matters.
static Expected<Value> readBias(Node &node, const Tensor &tensor,
                                const Layer &layer, int64_t direction,
                                const Twine &name) {
  int64_t columns = 3 * layer.units;
  if (tensor.literal) {
    const Literal &literal = *tensor.literal;
    size_t bytesPerRow = columns * getByteSize(literal.type);
    SmallVector<int64_t> shape{columns};
    if (layer.resetAfter)
      shape.insert(shape.begin(), 2);
    return node.getWeight(
        node.graph.makeWeightName(name.str()), literal.type, shape,
        [&](std::vector<char> &bytes) {
          auto begin = literal.bytes.begin() + direction * 2 * bytesPerRow;
          bytes.assign(begin, begin + 2 * bytesPerRow);
          if (layer.resetAfter)
            return;
          switch (literal.type) {
          case DataType::f32:
            addHalves<float>(bytes, columns);
            break;
          case DataType::f64:
            addHalves<double>(bytes, columns);
            break;
          default:
            addHalfPrecision(bytes, columns,
                             literal.type == DataType::f16 ? APFloat::IEEEhalf()
                                                           : APFloat::BFloat());
          }
          bytes.resize(bytesPerRow);
        });
  }
  Tensor bias;
  GRU_TAKE(bias, emitSelect(node, tensor, 0, direction));
  GRU_TAKE(bias, emitReshape(node, bias, {Size(2), Size(columns)}));
  if (!layer.resetAfter) {
    Tensor input, recurrent;
    GRU_TAKE(input, emitSelect(node, bias, 0, 0));
    GRU_TAKE(recurrent, emitSelect(node, bias, 0, 1));
    GRU_TAKE(bias,
             emitElementwise(
                 node, {input, recurrent}, bias.type,
                 [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return mlir::arith::AddFOp::create(b, loc, args[0], args[1]);
                 }));
  }
  return node.getValue(bias);
}

static bool isZero(Node &node, const Tensor &tensor) {
  if (tensor.splat)
    return *tensor.splat == 0;
  if (!tensor.literal)
    return false;
  for (int64_t i = 0, e = tensor.literal->getNumElements(); i < e; ++i)
    if (tensor.literal->getDouble(i) != 0)
      return false;
  // Another kernel than for other values, which the cache has to know.
  node.graph.addFact("zeros " + tensor.literal->name);
  return true;
}

//===----------------------------------------------------------------------===//
// The operator
//===----------------------------------------------------------------------===//

/// The state after a sequence of length 0 is zeros, whatever it was before, as
/// in onnxruntime.
static Expected<Tensor> zeroWhereEmpty(Node &node, const Tensor &state,
                                       const Tensor &lengths) {
  Tensor column;
  GRU_TAKE(column, emitReshape(node, lengths, {lengths.shape[0], Size(1)}));
  return emitElementwise(
      node, {state, column}, state.type,
      [](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value any = mlir::arith::CmpIOp::create(
            b, loc, mlir::arith::CmpIPredicate::sgt, args[1],
            numberLike(b, loc, args[1], 0));
        return mlir::arith::SelectOp::create(b, loc, any, args[0],
                                             numberLike(b, loc, args[0], 0));
      });
}

static Error checkInput(Node &node, size_t index, StringRef name,
                        const Sizes &expected, StringRef meaning,
                        DataType type) {
  const Tensor &tensor = node.getInput(index);
  if (tensor.type != type)
    return node.error(name + " is " + getName(tensor.type) + ", expected " +
                      getName(type));
  bool same = tensor.getRank() == expected.size();
  for (size_t i = 0; same && i < expected.size(); ++i) {
    const Size &a = tensor.shape[i], &b = expected[i];
    if (a.isNumber() != b.isNumber())
      return node.openSize(name + " is " + shapeText(tensor.shape) +
                           ", expected " + shapeText(expected) + " (" +
                           meaning + ")");
    same = !a.isNumber() || a == b;
  }
  if (same)
    return Error::success();
  return node.error(name + " is " + shapeText(tensor.shape) + ", expected " +
                    shapeText(expected) + " (" + meaning + ")");
}

Expected<Tensors> gru::onnx::importGRU(Node &node) {
  enum { inputX, inputW, inputR, inputB, inputLengths, inputState };
  const Tensor &x = node.getInput(inputX), &w = node.getInput(inputW),
               &r = node.getInput(inputR);
  if (node.opset < 7)
    return node.error("is of an opset before 7, which is not supported");
  std::string direction =
      StringRef(node.getString("direction", "forward")).lower();
  if (direction != "forward" && direction != "reverse" &&
      direction != "bidirectional")
    return node.error("direction is '" + printable(direction) +
                      "', expected forward, reverse or bidirectional");
  int64_t layout = node.getInt("layout", 0);
  int64_t after = node.getInt("linear_before_reset", 0);
  if ((layout != 0 && layout != 1) || (after != 0 && after != 1))
    return node.error("layout is " + Twine(layout) +
                      " and linear_before_reset " + Twine(after) +
                      ", expected 0 or 1");
  if (!isFloat(x.type))
    return node.error("X is " + getName(x.type) + ", expected a float type");
  if (x.getRank() != 3 || w.getRank() != 3 || r.getRank() != 3)
    return node.error("X is " + shapeText(x.shape) + ", W " +
                      shapeText(w.shape) + " and R " + shapeText(r.shape) +
                      ", expected three dimensions each");
  Layer layer;
  layer.directions = direction == "bidirectional" ? 2 : 1;
  layer.resetAfter = after;
  layer.batchFirst = layout;
  layer.time = x.shape[layout ? 1 : 0];
  layer.batch = x.shape[layout ? 0 : 1];
  layer.type = x.type;
  if (!x.shape[2].isNumber() || !r.shape[2].isNumber())
    return node.openSize("X is " + shapeText(x.shape) + " and R " +
                         shapeText(r.shape) +
                         ", expected known numbers of features and units");
  layer.features = x.shape[2].getNumber();
  layer.units = node.getInt("hidden_size", r.shape[2].getNumber());
  if (layer.units < 1 || layer.units > (int64_t(1) << 24))
    return node.error("hidden_size is " + Twine(layer.units) +
                      ", expected a positive number");
  int64_t rows = 3 * layer.units;
  if (Error error = checkInput(node, inputW, "W",
                               {layer.directions, rows, layer.features},
                               "directions x 3*units x features", layer.type))
    return error;
  if (Error error =
          checkInput(node, inputR, "R", {layer.directions, rows, layer.units},
                     "directions x 3*units x units", layer.type))
    return error;
  if (node.hasInput(inputB))
    if (Error error =
            checkInput(node, inputB, "B", {layer.directions, 2 * rows},
                       "directions x 6*units", layer.type))
      return error;
  if (node.hasInput(inputLengths))
    if (Error error = checkInput(node, inputLengths, "sequence_lens",
                                 {layer.batch}, "batch", DataType::i32))
      return error;
  Sizes stateShape{layer.directions, layer.batch, layer.units};
  if (layer.batchFirst)
    std::swap(stateShape[0], stateShape[1]);
  if (node.hasInput(inputState))
    if (Error error =
            checkInput(node, inputState, "initial_h", stateShape,
                       layer.batchFirst ? "batch x directions x units"
                                        : "directions x batch x units",
                       layer.type))
      return error;
  double clip = node.getFloat("clip", 0);
  if (!(clip >= 0))
    return node.error("clip is " + std::to_string(clip) +
                      ", expected a number that is not negative");
  mlir::FloatAttr clipAttr;
  if (clip > 0)
    clipAttr = node.b.getF64FloatAttr(clip);
  SmallVector<ActAttr> activations;
  GRU_TAKE(activations, readActivations(node, layer.directions));

  // A length per row that is the whole sequence says nothing.
  Tensor lengths;
  bool hasLengths = node.hasInput(inputLengths);
  if (hasLengths) {
    lengths = node.getInput(inputLengths);
    if (lengths.numbers && all_of(*lengths.numbers, [&](const Size &length) {
          return length == layer.time;
        }))
      hasLengths = false;
  }
  Value input, lengthsValue;
  GRU_TAKE(input, node.getValue(x));
  if (hasLengths)
    GRU_TAKE(lengthsValue, node.getValue(lengths));

  int64_t dim = layer.batchFirst ? 2 : 1;
  Tensors sequences, states;
  for (int64_t i = 0; i < layer.directions; ++i) {
    bool backward = direction == "reverse" || i == 1;
    std::string prefix = node.getName().str() + (i == 1 ? "/backward/" : "/");
    if (layer.directions == 2 && i == 0)
      prefix += "forward/";
    LayerWeights weights;
    GRU_TAKE(weights.kernel, readKernel(node, w, i, prefix + "kernel"));
    GRU_TAKE(weights.recurrentKernel,
             readKernel(node, r, i, prefix + "recurrent_kernel"));
    if (node.hasInput(inputB))
      GRU_TAKE(weights.bias, readBias(node, node.getInput(inputB), layer, i,
                                      prefix + "bias"));
    Value initial;
    if (node.hasInput(inputState) && !isZero(node, node.getInput(inputState))) {
      Tensor state;
      GRU_TAKE(state, emitSelect(node, node.getInput(inputState),
                                 layer.batchFirst ? 1 : 0, i));
      GRU_TAKE(initial, node.getValue(state));
    }
    auto op = GRUOp::create(
        node.b, node.loc, input, weights.kernel, weights.recurrentKernel,
        weights.bias, initial, /*mask=*/{}, lengthsValue, /*reset=*/{},
        /*dropout_mask=*/{}, /*recurrent_dropout_mask=*/{},
        activations[2 * i + 1], activations[2 * i], layer.resetAfter, backward,
        /*time_major=*/!layer.batchFirst, /*zero_output_for_mask=*/false,
        /*unroll=*/false, /*from_cell=*/false, /*implementation=*/2,
        APFloat(0.0), APFloat(0.0), clipAttr);
    Value sequence = op.getSequence();
    // The operator returns the order of time, the layer that of processing.
    if (backward)
      sequence = ReverseOp::create(node.b, node.loc, sequence,
                                   layer.batchFirst ? 1 : 0);
    Sizes shape{x.shape[0], x.shape[1], layer.units};
    Tensor output = makeTensor(sequence, shape, layer.type);
    shape.insert(shape.begin() + dim, 1);
    GRU_TAKE(sequences.emplace_back(), emitReshape(node, output, shape));
    Tensor state =
        makeTensor(op.getState(), {layer.batch, layer.units}, layer.type);
    if (hasLengths)
      GRU_TAKE(state, zeroWhereEmpty(node, state, lengths));
    Sizes single = stateShape;
    single[layer.batchFirst ? 1 : 0] = 1;
    GRU_TAKE(states.emplace_back(), emitReshape(node, state, single));
  }
  Tensors results(2);
  GRU_TAKE(results[0], emitConcat(node, sequences, dim));
  GRU_TAKE(results[1], emitConcat(node, states, layer.batchFirst ? 1 : 0));
  return results;
}
