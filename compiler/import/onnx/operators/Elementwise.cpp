//===- Elementwise.cpp - one element from each of several inputs ----------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>
#include <limits>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

/// Computes numbers that are known when the model is imported; nothing where
/// `compute` does not know either.
static std::optional<Tensor>
foldNumbers(ArrayRef<Tensor> tensors, ArrayRef<Size> shape, DataType type,
            function_ref<std::optional<Size>(ArrayRef<Size>)> compute) {
  std::optional<SmallVector<int64_t>> dims = getNumbers(shape);
  if (!dims || !all_of(tensors, [](const Tensor &t) { return !!t.numbers; }))
    return std::nullopt;
  int64_t count = 1;
  for (int64_t dim : *dims)
    if (dim < 0 || (count *= dim) > mostNumbers)
      return std::nullopt;
  Tensor result = makeTensor({}, Sizes(shape), type);
  result.numbers.emplace();
  bool known = true;
  forEachElement(*dims, [&](ArrayRef<int64_t> index) {
    Sizes operands;
    for (const Tensor &tensor : tensors) {
      int64_t linear = 0;
      size_t lead = index.size() - tensor.getRank();
      for (auto [dim, size] : enumerate(tensor.shape))
        linear =
            linear * size.getNumber() + (size.is(1) ? 0 : index[lead + dim]);
      operands.push_back((*tensor.numbers)[linear]);
    }
    std::optional<Size> number = compute(operands);
    known &= number.has_value();
    result.numbers->push_back(number.value_or(0));
  });
  if (!known)
    return std::nullopt;
  return result;
}

static Error checkSameType(Node &node, ArrayRef<Tensor> tensors) {
  for (const Tensor &tensor : tensors)
    if (tensor.type != tensors[0].type)
      return node.error("inputs are " + getName(tensors[0].type) + " and " +
                        getName(tensor.type) + ", expected one type");
  return Error::success();
}

static Value applyArithmetic(OpBuilder &b, Location loc, StringRef op, Value x,
                             Value y, bool isFloating) {
  using namespace mlir::arith;
  if (isFloating) {
    if (op == "Add" || op == "Sum" || op == "Mean")
      return AddFOp::create(b, loc, x, y);
    if (op == "Sub")
      return SubFOp::create(b, loc, x, y);
    if (op == "Mul")
      return MulFOp::create(b, loc, x, y);
    if (op == "Div")
      return DivFOp::create(b, loc, x, y);
    if (op == "Max")
      return MaximumFOp::create(b, loc, x, y);
    return MinimumFOp::create(b, loc, x, y);
  }
  if (op == "Add" || op == "Sum")
    return AddIOp::create(b, loc, x, y);
  if (op == "Sub")
    return SubIOp::create(b, loc, x, y);
  if (op == "Mul")
    return MulIOp::create(b, loc, x, y);
  if (op == "Max")
    return MaxSIOp::create(b, loc, x, y);
  return MinSIOp::create(b, loc, x, y);
}

/// The same for numbers known when the model is imported.
static std::optional<Size> foldArithmetic(StringRef op, const Size &x,
                                          const Size &y) {
  if (op == "Add" || op == "Sum")
    return add(x, y);
  if (op == "Sub")
    return subtract(x, y);
  if (op == "Mul")
    return multiply(x, y);
  if (op == "Div")
    return divide(x, y);
  if (!x.isNumber() || !y.isNumber())
    return x == y && op != "Mod" ? std::optional<Size>(x) : std::nullopt;
  int64_t a = x.getNumber(), b = y.getNumber();
  if (op == "Max")
    return Size(std::max(a, b));
  if (op == "Min")
    return Size(std::min(a, b));
  if (op == "Mod" && b != 0 && b != -1) {
    int64_t rest = a % b;
    return Size(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
  }
  return std::nullopt;
}

/// Add, Sub, Mul, Div, Mod, and those of many inputs: Sum, Mean, Max, Min.
Expected<Tensors> gru::onnx::importArithmetic(Node &node) {
  StringRef op = node.getOperator();
  Tensors inputs;
  for (size_t i = 0; i < node.getNumInputs(); ++i) {
    if (!node.hasInput(i))
      return node.error("input " + Twine(i) + " is missing");
    inputs.push_back(node.getInput(i));
  }
  if (Error error = checkSameType(node, inputs))
    return error;
  DataType type = inputs[0].type;
  bool isFloating = isFloat(type);
  if (type == DataType::i1)
    return node.error("inputs are bool, expected numbers");
  if (op == "Mod" && node.getInt("fmod", 0))
    return node.error("fmod is not 0, which is not supported");
  Tensor result = inputs[0];
  for (const Tensor &other : drop_begin(inputs)) {
    Sizes shape;
    GRU_TAKE(shape, broadcast(node, result.shape, other.shape));
    if (std::optional<Tensor> folded = foldNumbers(
            {result, other}, shape, type, [&](ArrayRef<Size> numbers) {
              return foldArithmetic(op, numbers[0], numbers[1]);
            })) {
      result = *folded;
      continue;
    }
    if (!isFloating && (op == "Div" || op == "Mod"))
      return node.error("divides integers that are computed while the model "
                        "runs, which is not supported");
    if (isFloating && op == "Mod")
      return node.error("takes the rest of floats, which is not supported");
    if (!isFloating && op == "Mean")
      return node.error("the input is " + getName(type) +
                        ", expected a float type");
    GRU_TAKE(result,
             emitElementwise(node, {result, other}, type,
                             [&](OpBuilder &b, Location loc, ValueRange args) {
                               return applyArithmetic(b, loc, op, args[0],
                                                      args[1], isFloating);
                             }));
  }
  if (op == "Mean" && inputs.size() > 1)
    GRU_TAKE(result,
             emitElementwise(
                 node, result, type,
                 [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                   return mlir::arith::DivFOp::create(
                       b, loc, args[0],
                       numberLike(b, loc, args[0], double(inputs.size())));
                 }));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importComparison(Node &node) {
  using namespace mlir::arith;
  Tensors inputs{node.getInput(0), node.getInput(1)};
  if (Error error = checkSameType(node, inputs))
    return error;
  StringRef op = node.getOperator();
  Sizes shape;
  GRU_TAKE(shape, broadcast(node, inputs[0].shape, inputs[1].shape));
  if (std::optional<Tensor> folded = foldNumbers(
          inputs, shape, DataType::i1,
          [&](ArrayRef<Size> numbers) -> std::optional<Size> {
            if (op == "Equal" && numbers[0] == numbers[1])
              return Size(1);
            std::optional<SmallVector<int64_t>> n = getNumbers(numbers);
            if (!n) // An open size is at least 1.
              return op == "Equal" &&
                             any_of(numbers,
                                    [](const Size &s) {
                                      return s.isNumber() && s.getNumber() <= 0;
                                    }) &&
                             any_of(numbers,
                                    [](const Size &s) {
                                      return s.getSymbol().has_value();
                                    })
                         ? std::optional<Size>(Size(0))
                         : std::nullopt;
            int64_t a = (*n)[0], b = (*n)[1];
            return Size(int64_t(StringSwitch<bool>(op)
                                    .Case("Equal", a == b)
                                    .Case("Less", a < b)
                                    .Case("LessOrEqual", a <= b)
                                    .Case("Greater", a > b)
                                    .Default(a >= b)));
          }))
    return Tensors{*folded};
  // Counters of loops that went through floats.
  std::optional<double> a = node.getScalar(inputs[0]),
                        c = node.getScalar(inputs[1]);
  std::optional<SmallVector<int64_t>> dims = getNumbers(shape);
  if (a && c && dims && all_of(*dims, [](int64_t dim) { return dim == 1; })) {
    Tensor result = makeTensor({}, shape, DataType::i1);
    result.numbers.emplace(1, Size(int64_t(StringSwitch<bool>(op)
                                               .Case("Equal", *a == *c)
                                               .Case("Less", *a < *c)
                                               .Case("LessOrEqual", *a <= *c)
                                               .Case("Greater", *a > *c)
                                               .Default(*a >= *c))));
    return Tensors{result};
  }
  auto floats = StringSwitch<CmpFPredicate>(op)
                    .Case("Equal", CmpFPredicate::OEQ)
                    .Case("Less", CmpFPredicate::OLT)
                    .Case("LessOrEqual", CmpFPredicate::OLE)
                    .Case("Greater", CmpFPredicate::OGT)
                    .Default(CmpFPredicate::OGE);
  auto integers = StringSwitch<CmpIPredicate>(op)
                      .Case("Equal", CmpIPredicate::eq)
                      .Case("Less", CmpIPredicate::slt)
                      .Case("LessOrEqual", CmpIPredicate::sle)
                      .Case("Greater", CmpIPredicate::sgt)
                      .Default(CmpIPredicate::sge);
  Tensor result;
  GRU_TAKE(result,
           emitElementwise(
               node, inputs, DataType::i1,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 if (isFloat(inputs[0].type))
                   return CmpFOp::create(b, loc, floats, args[0], args[1]);
                 return CmpIOp::create(b, loc, integers, args[0], args[1]);
               }));
  return Tensors{result};
}

/// And, Or, Xor, Not.
Expected<Tensors> gru::onnx::importLogical(Node &node) {
  using namespace mlir::arith;
  StringRef op = node.getOperator();
  Tensors inputs{node.getInput(0)};
  if (node.hasInput(1))
    inputs.push_back(node.getInput(1));
  if (inputs.size() != (op == "Not" ? 1u : 2u))
    return node.error("has " + Twine(inputs.size()) + " inputs");
  Sizes shape = inputs[0].shape;
  for (const Tensor &input : inputs) {
    if (input.type != DataType::i1)
      return node.error("an input is " + getName(input.type) +
                        ", expected bool");
    GRU_TAKE(shape, broadcast(node, shape, input.shape));
  }
  if (std::optional<Tensor> folded =
          foldNumbers(inputs, shape, DataType::i1,
                      [&](ArrayRef<Size> numbers) -> std::optional<Size> {
                        int64_t a = numbers.front().getNumber(),
                                b = numbers.back().getNumber();
                        return Size(StringSwitch<int64_t>(op)
                                        .Case("And", a & b)
                                        .Case("Or", a | b)
                                        .Case("Xor", a ^ b)
                                        .Default(!a));
                      }))
    return Tensors{*folded};
  Tensor result;
  GRU_TAKE(result,
           emitElementwise(
               node, inputs, DataType::i1,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 if (op == "And")
                   return AndIOp::create(b, loc, args[0], args[1]);
                 if (op == "Or")
                   return OrIOp::create(b, loc, args[0], args[1]);
                 Value other =
                     op == "Xor" ? args[1] : numberLike(b, loc, args[0], 1);
                 return XOrIOp::create(b, loc, args[0], other);
               }));
  return Tensors{result};
}

/// x^y for a known y. Kernels call no pow: whole numbers and halves are
/// products and roots, anything else is exp(y log x).
Expected<Tensors> gru::onnx::importPow(Node &node) {
  using namespace mlir;
  const Tensor &input = node.getInput(0);
  if (Error error = checkFloat(node, input))
    return error;
  std::optional<double> exponent = node.getScalar(node.getInput(1));
  if (!exponent || !std::isfinite(*exponent))
    return node.error("the exponent is not one number in the file, which is "
                      "not supported");
  double power = std::abs(*exponent);
  constexpr double most = 64;
  Sizes shape;
  GRU_TAKE(shape, broadcast(node, input.shape, node.getInput(1).shape));
  Tensor base;
  GRU_TAKE(base, emitBroadcast(node, input, shape));
  Tensor result;
  GRU_TAKE(
      result,
      emitElementwise(
          node, base, input.type,
          [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
            Value x = args[0];
            bool whole = power == std::floor(power) && power <= most;
            if (!whole && power != 0.5) {
              Value log = math::LogOp::create(b, loc, x);
              Value product = arith::MulFOp::create(
                  b, loc, log, numberLike(b, loc, x, *exponent));
              return math::ExpOp::create(b, loc, product);
            }
            Value y;
            if (power == 0.5)
              y = math::SqrtOp::create(b, loc, x);
            // By squaring.
            for (int64_t left = whole ? int64_t(power) : 0; left; left >>= 1) {
              if (left & 1)
                y = y ? arith::MulFOp::create(b, loc, y, x).getResult() : x;
              if (left > 1)
                x = arith::MulFOp::create(b, loc, x, x);
            }
            if (!y)
              return numberLike(b, loc, x, 1);
            if (*exponent > 0)
              return y;
            return arith::DivFOp::create(b, loc, numberLike(b, loc, x, 1), y);
          }));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importPRelu(Node &node) {
  using namespace mlir::arith;
  Tensors inputs{node.getInput(0), node.getInput(1)};
  if (Error error = checkFloat(node, inputs[0]))
    return error;
  if (Error error = checkSameType(node, inputs))
    return error;
  Sizes shape;
  GRU_TAKE(shape, broadcast(node, inputs[0].shape, inputs[1].shape));
  if (shape.size() != inputs[0].getRank())
    return node.error("the slope is " + shapeText(inputs[1].shape) +
                      ", expected a shape that fits the input, " +
                      shapeText(inputs[0].shape));
  Tensor result;
  GRU_TAKE(result,
           emitElementwise(
               node, inputs, inputs[0].type,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 Value negative =
                     CmpFOp::create(b, loc, CmpFPredicate::OLT, args[0],
                                    numberLike(b, loc, args[0], 0));
                 Value scaled = MulFOp::create(b, loc, args[0], args[1]);
                 return SelectOp::create(b, loc, negative, scaled, args[0]);
               }));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importClip(Node &node) {
  using namespace mlir::arith;
  const Tensor &input = node.getInput(0);
  std::optional<double> limits[2];
  for (unsigned i : {0, 1}) {
    StringRef name = i == 0 ? "min" : "max";
    if (node.opset < 11) {
      double none = i == 0 ? -std::numeric_limits<double>::infinity()
                           : std::numeric_limits<double>::infinity();
      limits[i] = node.getFloat(name, none);
    } else if (node.hasInput(1 + i)) {
      limits[i] = node.getScalar(node.getInput(1 + i));
      if (!limits[i])
        return node.error(name + " is not one number in the file, which is not "
                                 "supported");
    }
  }
  if (input.type == DataType::i1)
    return node.error("the input is bool, expected numbers");
  Tensor result;
  GRU_TAKE(result,
           emitElementwise(
               node, input, input.type,
               [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                 Value x = args[0];
                 bool isFloating = isFloat(input.type);
                 for (unsigned i : {0, 1}) {
                   if (!limits[i] || std::isinf(*limits[i]))
                     continue;
                   x = applyArithmetic(b, loc, i == 0 ? "Max" : "Min", x,
                                       numberLike(b, loc, x, *limits[i]),
                                       isFloating);
                 }
                 return x;
               }));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importWhere(Node &node) {
  Tensors inputs{node.getInput(0), node.getInput(1), node.getInput(2)};
  if (inputs[0].type != DataType::i1)
    return node.error("the condition is " + getName(inputs[0].type) +
                      ", expected bool");
  if (Error error = checkSameType(node, {inputs[1], inputs[2]}))
    return error;
  Sizes shape;
  GRU_TAKE(shape, broadcast(node, inputs[0].shape, inputs[1].shape));
  GRU_TAKE(shape, broadcast(node, shape, inputs[2].shape));
  if (std::optional<Tensor> folded =
          foldNumbers(inputs, shape, inputs[1].type,
                      [&](ArrayRef<Size> numbers) -> std::optional<Size> {
                        return numbers[0].is(0) ? numbers[2] : numbers[1];
                      }))
    return Tensors{*folded};
  Tensor result;
  GRU_TAKE(result, emitElementwise(node, inputs, inputs[1].type,
                                   [&](OpBuilder &b, Location loc,
                                       ValueRange args) -> Value {
                                     return mlir::arith::SelectOp::create(
                                         b, loc, args[0], args[1], args[2]);
                                   }));
  return Tensors{result};
}
