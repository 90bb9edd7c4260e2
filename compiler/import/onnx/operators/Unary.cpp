//===- Unary.cpp - functions of one input ---------------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/operators/Operators.h"
#include "dialect/GRUDialect.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

static Expected<Tensors> emitActivation(Node &node, const Tensor &tensor,
                                        ActAttr kind) {
  if (Error error = checkFloat(node, tensor))
    return error;
  Value value;
  GRU_TAKE(value, node.getValue(tensor));
  return Tensors{makeTensor(
      ActivationOp::create(node.b, node.loc, value.getType(), value, kind),
      tensor.shape, tensor.type)};
}

Expected<Tensors> gru::onnx::importActivation(Node &node) {
  mlir::MLIRContext *context = node.b.getContext();
  StringRef op = node.getOperator();
  auto plain = [&](ActivationKind kind) { return ActAttr::get(context, kind); };
  auto withAlpha = [&](ActivationKind kind, double alpha) {
    return ActAttr::get(context, kind, node.getFloat("alpha", alpha));
  };
  ActAttr kind;
  if (op == "HardSigmoid") {
    kind =
        ActAttr::get(context, ActivationKind::hard_sigmoid,
                     node.getFloat("alpha", 0.2), node.getFloat("beta", 0.5));
  } else if (op == "LeakyRelu") {
    kind = withAlpha(ActivationKind::leaky_relu, 0.01);
  } else if (op == "Elu") {
    kind = withAlpha(ActivationKind::elu, 1);
  } else if (op == "Celu") {
    kind = withAlpha(ActivationKind::celu, 1);
  } else if (op == "Selu") {
    // Other constants than the usual ones are another function.
    if (std::abs(node.getFloat("alpha", 1.67326) - 1.67326) > 1e-4 ||
        std::abs(node.getFloat("gamma", 1.0507) - 1.0507) > 1e-4)
      return node.error("alpha and gamma are not those of SELU, which is not "
                        "supported");
    kind = plain(ActivationKind::selu);
  } else if (op == "Gelu") {
    if (node.getString("approximate", "none") != "none")
      return node.error("approximate is not 'none', which is not supported");
    kind = plain(ActivationKind::gelu);
  } else {
    kind = plain(StringSwitch<ActivationKind>(op)
                     .Case("Sigmoid", ActivationKind::sigmoid)
                     .Case("Tanh", ActivationKind::tanh)
                     .Case("Relu", ActivationKind::relu)
                     .Case("Softplus", ActivationKind::softplus)
                     .Case("Softsign", ActivationKind::softsign)
                     .Case("HardSwish", ActivationKind::hard_silu)
                     .Case("Swish", ActivationKind::silu)
                     .Case("Mish", ActivationKind::mish)
                     .Default(ActivationKind::exponential));
    if (op == "Swish" && node.getFloat("alpha", 1) != 1)
      return node.error("alpha is not 1, which is not supported");
  }
  return emitActivation(node, node.getInput(0), kind);
}

Expected<Tensors> gru::onnx::importUnary(Node &node) {
  using namespace mlir;
  const Tensor &input = node.getInput(0);
  StringRef op = node.getOperator();
  bool isFloating = isFloat(input.type);
  if (input.type == DataType::i1 ||
      (!isFloating && op != "Abs" && op != "Neg" && op != "Sign"))
    return node.error("the input is " + getName(input.type) +
                      ", expected a float type");
  if (op == "Neg" && input.numbers) {
    Tensor result = input;
    bool fits = true;
    for (Size &number : *result.numbers) {
      std::optional<Size> minus = multiply(number, Size(-1));
      fits &= minus.has_value();
      number = minus.value_or(0);
    }
    if (fits)
      return Tensors{result};
  }
  Tensor result;
  GRU_TAKE(
      result,
      emitElementwise(
          node, input, input.type,
          [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
            Value x = args[0], zero = numberLike(b, loc, x, 0);
            auto number = [&](double n) { return numberLike(b, loc, x, n); };
            if (op == "Abs") {
              if (isFloating)
                return math::AbsFOp::create(b, loc, x);
              return arith::MaxSIOp::create(
                  b, loc, x, arith::SubIOp::create(b, loc, zero, x));
            }
            if (op == "Neg") {
              if (isFloating)
                return arith::NegFOp::create(b, loc, x);
              return arith::SubIOp::create(b, loc, zero, x);
            }
            if (op == "Sign") {
              if (!isFloating)
                return arith::MaxSIOp::create(
                    b, loc, arith::MinSIOp::create(b, loc, x, number(1)),
                    number(-1));
              Value positive = arith::CmpFOp::create(
                  b, loc, arith::CmpFPredicate::OGT, x, zero);
              Value negative = arith::CmpFOp::create(
                  b, loc, arith::CmpFPredicate::OLT, x, zero);
              Value y =
                  arith::SelectOp::create(b, loc, negative, number(-1), zero);
              return arith::SelectOp::create(b, loc, positive, number(1), y);
            }
            if (op == "Sqrt")
              return math::SqrtOp::create(b, loc, x);
            if (op == "Reciprocal")
              return arith::DivFOp::create(b, loc, number(1), x);
            if (op == "Exp")
              return math::ExpOp::create(b, loc, x);
            if (op == "Log")
              return math::LogOp::create(b, loc, x);
            if (op == "Erf")
              return math::ErfOp::create(b, loc, x);
            if (op == "Floor")
              return math::FloorOp::create(b, loc, x);
            if (op == "Ceil")
              return math::CeilOp::create(b, loc, x);
            return math::RoundEvenOp::create(b, loc, x);
          }));
  return Tensors{result};
}

/// Softmax and LogSoftmax. Before opset 13 they run over all dimensions from
/// `axis` on.
Expected<Tensors> gru::onnx::importSoftmax(Node &node) {
  const Tensor &input = node.getInput(0);
  int64_t rank = input.getRank(), axis = 0;
  if (rank == 0)
    return node.error("the input is a scalar");
  bool old = node.opset < 13;
  GRU_TAKE(axis, node.getAxis(node.getInt("axis", old ? 1 : -1), rank));
  SmallVector<int64_t> order;
  for (int64_t dim = 0; dim < rank; ++dim)
    if (old || dim != axis)
      order.push_back(dim);
  if (!old)
    order.push_back(axis);
  Tensor tensor;
  GRU_TAKE(tensor, emitTranspose(node, input, order));
  Sizes shape = tensor.shape;
  if (old) {
    Sizes flat(shape.begin(), shape.begin() + axis);
    std::optional<Size> rest = multiplyAll(ArrayRef(shape).drop_front(axis));
    if (!rest)
      return node.error("the input is too large");
    flat.push_back(*rest);
    GRU_TAKE(tensor, emitReshape(node, tensor, flat));
  }
  Tensors results;
  ActivationKind kind = node.getOperator() == "Softmax"
                            ? ActivationKind::softmax
                            : ActivationKind::log_softmax;
  GRU_TAKE(results, emitActivation(node, tensor,
                                   ActAttr::get(node.b.getContext(), kind)));
  GRU_TAKE(results[0], emitReshape(node, results[0], shape));
  SmallVector<int64_t> back(rank);
  for (auto [i, dim] : enumerate(order))
    back[dim] = i;
  GRU_TAKE(results[0], emitTranspose(node, results[0], back));
  return results;
}
