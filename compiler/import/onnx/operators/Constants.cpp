//===- Constants.cpp - constants, shapes and casts ------------------------===//

#include "compiler/import/onnx/Emit.h"
#include "compiler/import/onnx/Graph.h"
#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/APFloat.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

static Tensor makeNumbers(ArrayRef<Size> numbers, DataType type) {
  Tensor tensor;
  tensor.shape = {Size(int64_t(numbers.size()))};
  tensor.type = type;
  tensor.numbers.emplace(numbers);
  return tensor;
}

static Tensor makeNumber(const Size &number, DataType type) {
  Tensor tensor = makeNumbers(number, type);
  tensor.shape.clear();
  return tensor;
}

Expected<Tensors> gru::onnx::importConstant(Node &node) {
  if (std::shared_ptr<const Literal> value = node.getValueAttribute())
    return Tensors{makeKnown(std::move(value))};
  if (node.hasAttribute("value_int"))
    return Tensors{makeNumber(node.getInt("value_int", 0), DataType::i64)};
  if (node.hasAttribute("value_float"))
    return Tensors{makeScalar(node.getFloat("value_float", 0), DataType::f32)};
  if (node.hasAttribute("value_ints")) {
    Sizes numbers;
    for (int64_t number : node.getInts("value_ints"))
      numbers.push_back(number);
    if (int64_t(numbers.size()) > mostNumbers)
      return node.error("value_ints has " + Twine(numbers.size()) +
                        " numbers, expected at most " + Twine(mostNumbers));
    return Tensors{makeNumbers(numbers, DataType::i64)};
  }
  if (node.hasAttribute("value_floats")) {
    auto literal = std::make_shared<Literal>();
    literal->name = node.getName().str();
    for (double number : node.getFloats("value_floats")) {
      float single = float(number);
      literal->bytes.resize(literal->bytes.size() + sizeof(single));
      std::memcpy(literal->bytes.data() + literal->bytes.size() -
                      sizeof(single),
                  &single, sizeof(single));
    }
    literal->shape = {literal->getNumElements()};
    return Tensors{makeKnown(node.graph.keep(std::move(literal)))};
  }
  return node.error("has none of the attributes value, value_int, value_ints, "
                    "value_float and value_floats");
}

Expected<Tensors> gru::onnx::importConstantOfShape(Node &node) {
  Sizes shape;
  GRU_TAKE(shape, node.getSizes(node.getInput(0), "the shape"));
  Tensor result;
  result.splat = 0;
  if (std::shared_ptr<const Literal> literal = node.getValueAttribute()) {
    if (literal->getNumElements() != 1)
      return node.error("value has " + Twine(literal->getNumElements()) +
                        " elements, expected 1");
    result.type = literal->type;
    result.splat = literal->getDouble(0);
  }
  // Few integers may be a shape again.
  std::optional<SmallVector<int64_t>> dims = getNumbers(shape);
  result.shape = shape;
  if (dims && !isFloat(result.type)) {
    std::optional<Size> count = multiplyAll(shape);
    if (count && count->getNumber() >= 0 && count->getNumber() <= mostNumbers) {
      result.numbers.emplace(count->getNumber(), Size(int64_t(*result.splat)));
      result.splat.reset();
    }
  }
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importShape(Node &node) {
  const Tensor &input = node.getInput(0);
  int64_t rank = input.getRank();
  auto clamp = [&](int64_t position) {
    return std::clamp<int64_t>(position < 0 ? position + rank : position, 0,
                               rank);
  };
  int64_t start = clamp(node.getInt("start", 0)),
          end = clamp(node.getInt("end", rank));
  Sizes sizes(
      ArrayRef(input.shape).slice(start, std::max(end - start, int64_t(0))));
  return Tensors{makeNumbers(sizes, DataType::i64)};
}

Expected<Tensors> gru::onnx::importSize(Node &node) {
  std::optional<Size> count = multiplyAll(node.getInput(0).shape);
  if (!count)
    return node.error("the number of elements is too large");
  return Tensors{makeNumber(*count, DataType::i64)};
}

Expected<Tensors> gru::onnx::importRange(Node &node) {
  const Tensor &first = node.getInput(0);
  SmallVector<double> values;
  for (unsigned i = 0; i < 3; ++i) {
    std::optional<double> value = node.getScalar(node.getInput(i));
    if (!value) {
      // Either the numbers are open or the tensor is computed.
      Expected<Sizes> sizes = node.getSizes(node.getInput(i), "a limit");
      if (!sizes)
        return sizes.takeError();
      return node.openSize("a limit depends on a size that is open");
    }
    values.push_back(*value);
  }
  double count = std::ceil((values[1] - values[0]) / values[2]);
  if (!(count <= mostNumbers))
    return node.error("counts from " + std::to_string(values[0]) + " to " +
                      std::to_string(values[1]) + " by " +
                      std::to_string(values[2]) + ", expected at most " +
                      Twine(mostNumbers) + " numbers");
  int64_t length = std::max(0.0, count);
  if (!isFloat(first.type)) {
    Sizes numbers;
    for (int64_t i = 0; i < length; ++i)
      numbers.push_back(int64_t(values[0]) + i * int64_t(values[2]));
    return Tensors{makeNumbers(numbers, first.type)};
  }
  if (first.type != DataType::f32)
    return node.error("counts in " + getName(first.type) +
                      ", expected float32, int32 or int64");
  auto literal = std::make_shared<Literal>();
  literal->name = node.getName().str();
  literal->shape = {length};
  for (int64_t i = 0; i < length; ++i) {
    float value = float(values[0]) + float(i) * float(values[2]);
    literal->bytes.resize(literal->bytes.size() + sizeof(value));
    std::memcpy(literal->bytes.data() + i * sizeof(value), &value,
                sizeof(value));
  }
  return Tensors{makeKnown(node.graph.keep(std::move(literal)))};
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

/// A number in another type.
static double convert(double number, DataType to) {
  switch (to) {
  case DataType::f64:
    return number;
  case DataType::f32:
    return float(number);
  case DataType::f16:
  case DataType::bf16: {
    APFloat value(number);
    bool ignored;
    value.convert(to == DataType::f16 ? APFloat::IEEEhalf() : APFloat::BFloat(),
                  APFloat::rmNearestTiesToEven, &ignored);
    return value.convertToDouble();
  }
  case DataType::i1:
    return number != 0;
  case DataType::i32:
  case DataType::i64: {
    double limit = to == DataType::i32 ? 0x1p31 : 0x1p63;
    if (!(number > -limit && number < limit))
      return -limit;
    return std::trunc(number);
  }
  }
  llvm_unreachable("unknown type");
}

/// Writes a number of a float type.
static void append(std::vector<char> &bytes, double number, DataType type) {
  auto put = [&](const auto &value) {
    size_t size = bytes.size();
    bytes.resize(size + sizeof(value));
    std::memcpy(bytes.data() + size, &value, sizeof(value));
  };
  if (type == DataType::f64)
    return put(number);
  if (type == DataType::f32)
    return put(float(number));
  APFloat value(number);
  bool ignored;
  value.convert(type == DataType::f16 ? APFloat::IEEEhalf() : APFloat::BFloat(),
                APFloat::rmNearestTiesToEven, &ignored);
  put(uint16_t(value.bitcastToAPInt().getZExtValue()));
}

static Value emitConversion(OpBuilder &b, Location loc, Value x, DataType from,
                            DataType to, mlir::Type type) {
  using namespace mlir::arith;
  if (isFloat(from) && isFloat(to)) {
    unsigned before = x.getType().getIntOrFloatBitWidth(),
             after = type.getIntOrFloatBitWidth();
    if (before == after) { // Between the two half types.
      x = ExtFOp::create(b, loc, b.getF32Type(), x);
      return TruncFOp::create(b, loc, type, x);
    }
    if (before < after)
      return ExtFOp::create(b, loc, type, x);
    return TruncFOp::create(b, loc, type, x);
  }
  if (to == DataType::i1) {
    Value zero = numberLike(b, loc, x, 0);
    if (isFloat(from))
      return CmpFOp::create(b, loc, CmpFPredicate::UNE, x, zero);
    return CmpIOp::create(b, loc, CmpIPredicate::ne, x, zero);
  }
  if (isFloat(from))
    return FPToSIOp::create(b, loc, type, x);
  if (isFloat(to)) {
    if (from == DataType::i1)
      return UIToFPOp::create(b, loc, type, x);
    return SIToFPOp::create(b, loc, type, x);
  }
  if (from == DataType::i1)
    return ExtUIOp::create(b, loc, type, x);
  if (to == DataType::i64)
    return ExtSIOp::create(b, loc, type, x);
  return TruncIOp::create(b, loc, type, x);
}

Expected<Tensor> gru::onnx::emitCast(Node &node, const Tensor &tensor,
                                     DataType type) {
  if (tensor.type == type)
    return tensor;
  Tensor result = makeTensor({}, tensor.shape, type);
  if (tensor.splat) {
    result.splat = convert(*tensor.splat, type);
    // A shape that went through floats.
    if (!isFloat(type))
      if (std::optional<SmallVector<int64_t>> dims = getNumbers(tensor.shape);
          dims && all_of(*dims, [](int64_t dim) { return dim == 1; })) {
        result.numbers.emplace(1, Size(int64_t(*result.splat)));
        result.splat.reset();
      }
    return result;
  }
  if (tensor.numbers) {
    std::optional<SmallVector<int64_t>> numbers = getNumbers(*tensor.numbers);
    if (!isFloat(type) && (type != DataType::i1 || numbers)) {
      result.numbers = tensor.numbers;
      if (type != DataType::i64 && numbers)
        for (auto [to, from] : zip(*result.numbers, *numbers))
          to = type == DataType::i1 ? int64_t(from != 0)
                                    : int64_t(int32_t(from));
      return result;
    }
    if (numbers && !numbers->empty()) {
      if (numbers->size() == 1) {
        result.splat = convert(double(numbers->front()), type);
        return result;
      }
      auto literal = std::make_shared<Literal>();
      literal->name = node.getName().str();
      literal->type = type;
      literal->shape = *getNumbers(tensor.shape);
      for (int64_t number : *numbers)
        append(literal->bytes, double(number), type);
      result.literal = node.graph.keep(std::move(literal));
      return result;
    }
  }
  if (tensor.literal && isFloat(type) && isFloat(tensor.type)) {
    auto literal = std::make_shared<Literal>();
    literal->name = node.getName().str();
    literal->type = type;
    literal->shape = tensor.literal->shape;
    for (int64_t i = 0, e = tensor.literal->getNumElements(); i < e; ++i)
      append(literal->bytes, tensor.literal->getDouble(i), type);
    result.literal = node.graph.keep(std::move(literal));
    return result;
  }
  return emitElementwise(
      node, tensor, type,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        return emitConversion(b, loc, args[0], tensor.type, type,
                              node.getType(type));
      });
}

Expected<Tensors> gru::onnx::importCast(Node &node) {
  node.ignoreAttribute("saturate"); // Of types that are not read.
  node.ignoreAttribute("round_mode");
  std::optional<DataType> type;
  if (node.getOperator() == "CastLike") {
    type = node.getInput(1).type;
  } else {
    int64_t to = node.getInt("to", 0);
    type = getDataType(to);
    if (!type)
      return node.error("to is " + getDataTypeName(to) +
                        ", expected float, double, float16, bfloat16, bool, "
                        "int32 or int64");
  }
  Tensor result;
  GRU_TAKE(result, emitCast(node, node.getInput(0), *type));
  return Tensors{result};
}

Expected<Tensors> gru::onnx::importIdentity(Node &node) {
  return Tensors{node.getInput(0)};
}

/// At inference it passes its input on; the mask says that all was kept.
Expected<Tensors> gru::onnx::importDropout(Node &node) {
  node.ignoreAttribute("seed");
  node.ignoreAttribute("ratio");
  node.ignoreAttribute("is_test");
  if (node.hasInput(2) && node.getScalar(node.getInput(2)).value_or(1) != 0)
    return node.error("training_mode is not false; export the model for "
                      "inference");
  Tensor mask = makeTensor({}, node.getInput(0).shape, DataType::i1);
  mask.splat = 1;
  return Tensors{node.getInput(0), mask};
}
