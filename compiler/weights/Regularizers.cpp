//===- Regularizers.cpp - what a tensor adds to the loss ------------------===//

#include "compiler/weights/Regularizers.h"

#include "compiler/weights/KerasObject.h"

#include <algorithm>
#include <cmath>

using namespace gru;
using namespace llvm;

namespace {
enum Class : size_t { L1, L2, L1L2, Orthogonal };
} // namespace

/// In the order of Class.
static constexpr KerasClass kClasses[] = {
    {"L1", "l1"},
    {"L2", "l2"},
    {"L1L2", "l1_l2", "l1l2"},
    {"OrthogonalRegularizer", "orthogonal_regularizer"},
};

Expected<Regularizer> Regularizer::parse(const json::Value &value,
                                         unsigned version) {
  Expected<KerasObject> object = KerasObject::parse(value, kClasses);
  if (!object)
    return object.takeError();
  Regularizer result;
  result.name = object->getName().str();
  if (object->isForeign()) {
    result.kind = Kind::foreign;
    return result;
  }
  // A factor of Keras 3 must not be negative; Keras 2 does not mind.
  auto readFactor = [&](StringRef key, double otherwise,
                        double &factor) -> Error {
    Expected<double> number = object->getNumber(key, otherwise);
    if (!number)
      return number.takeError();
    factor = *number;
    if (!std::isfinite(factor) || (factor < 0 && version != 2))
      return createStringError("is " + result.name + " with " + key + " " +
                               numberText(factor) +
                               ", expected a number that is not negative");
    return Error::success();
  };
  Error error = Error::success();
  switch (*object->getClass()) {
  case L1:
    error = readFactor("l1", 0.01, result.l1);
    break;
  case L2:
    error = readFactor("l2", 0.01, result.l2);
    break;
  case L1L2: {
    // The class has zeros as its defaults, the name means 0.01 in Keras's
    // documentation and in Keras 2.
    double otherwise =
        result.name == "l1_l2" && object->isBareName() ? 0.01 : 0;
    error = readFactor("l1", otherwise, result.l1);
    if (!error)
      error = readFactor("l2", otherwise, result.l2);
    break;
  }
  case Orthogonal: {
    error = readFactor("factor", 0.01, result.factor);
    if (error)
      break;
    Expected<std::string> mode = object->getString("mode", "rows");
    if (!mode)
      return mode.takeError();
    if (*mode != "rows" && *mode != "columns")
      return createStringError("is " + result.name + " with mode '" + *mode +
                               "', expected rows or columns");
    result.kind =
        *mode == "rows" ? Kind::orthogonalRows : Kind::orthogonalColumns;
    break;
  }
  }
  if (error)
    return std::move(error);
  if (Error error = object->checkAllRead())
    return std::move(error);
  return result;
}

/// Sum of |cos| of the angles between all pairs of `count` vectors; element k
/// of vector i is values[i * stride + k * step].
static double sumCosines(ArrayRef<double> values, int64_t count, int64_t stride,
                         int64_t length, int64_t step) {
  constexpr double epsilon = 1e-7;
  std::vector<double> unit(count * length);
  for (int64_t i = 0; i < count; ++i) {
    double square = 0;
    for (int64_t k = 0; k < length; ++k) {
      double value = values[i * stride + k * step];
      unit[i * length + k] = value;
      square += value * value;
    }
    double norm = std::max(std::sqrt(square), epsilon);
    for (int64_t k = 0; k < length; ++k)
      unit[i * length + k] /= norm;
  }
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < i; ++j) {
      double product = 0;
      for (int64_t k = 0; k < length; ++k)
        product += unit[i * length + k] * unit[j * length + k];
      sum += std::abs(product);
    }
  return sum;
}

Expected<double> Regularizer::evaluate(ArrayRef<double> values,
                                       ArrayRef<int64_t> shape) const {
  switch (kind) {
  case Kind::foreign:
    return createStringError("is '" + name +
                             "', which is not of Keras, so that its loss is "
                             "not known");
  case Kind::norms: {
    double absolute = 0, square = 0;
    for (double value : values) {
      absolute += std::abs(value);
      square += value * value;
    }
    return l1 * absolute + l2 * square;
  }
  case Kind::orthogonalRows:
  case Kind::orthogonalColumns: {
    if (shape.size() != 2)
      return createStringError("is " + name + " on a tensor with " +
                               Twine(shape.size()) + " dimensions, expected 2");
    int64_t rows = shape[0], columns = shape[1];
    bool byRows = kind == Kind::orthogonalRows;
    int64_t count = byRows ? rows : columns;
    double sum = byRows ? sumCosines(values, rows, columns, columns, 1)
                        : sumCosines(values, columns, 1, rows, columns);
    // One vector has no pair: not a number, as in Keras.
    return factor * sum / (count * (count - 1.0) / 2);
  }
  }
  llvm_unreachable("unknown kind of regulariser");
}
