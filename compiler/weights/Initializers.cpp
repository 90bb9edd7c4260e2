//===- Initializers.cpp - first values of weights -------------------------===//

#include "compiler/weights/Initializers.h"

#include "compiler/Take.h"
#include "compiler/weights/KerasObject.h"
#include "compiler/weights/Random.h"

#include "llvm/ADT/StringExtras.h"

#include <algorithm>
#include <cmath>

// A product and a sum fused into one operation would round differently where a
// machine has none.
#pragma STDC FP_CONTRACT OFF

using namespace gru;
using namespace llvm;

namespace {
enum Class : size_t {
  Zeros,
  Ones,
  Constant,
  Identity,
  Orthogonal,
  RandomUniform,
  RandomNormal,
  TruncatedNormal,
  VarianceScaling,
  GlorotUniform,
  GlorotNormal,
  HeUniform,
  HeNormal,
  LecunUniform,
  LecunNormal,
};
} // namespace

/// In the order of Class.
static constexpr KerasClass kClasses[] = {
    {"Zeros", "zeros", "zero"},
    {"Ones", "ones", "one"},
    {"Constant", "constant"},
    {"Identity", "identity", "IdentityInitializer"},
    {"Orthogonal", "orthogonal", "OrthogonalInitializer"},
    {"RandomUniform", "random_uniform", "uniform"},
    {"RandomNormal", "random_normal", "normal"},
    {"TruncatedNormal", "truncated_normal"},
    {"VarianceScaling", "variance_scaling"},
    {"GlorotUniform", "glorot_uniform"},
    {"GlorotNormal", "glorot_normal"},
    {"HeUniform", "he_uniform"},
    {"HeNormal", "he_normal"},
    {"LecunUniform", "lecun_uniform"},
    {"LecunNormal", "lecun_normal"},
};

Expected<Initializer> Initializer::parse(const json::Value &value) {
  Expected<KerasObject> object = KerasObject::parse(value, kClasses);
  if (!object)
    return object.takeError();
  Initializer result;
  result.name = object->getName().str();
  if (object->isForeign()) {
    result.kind = Kind::foreign;
    return result;
  }
  GRU_TAKE(result.ownSeed, object->getSeed());
  object->ignore("dtype");
  size_t known = *object->getClass();
  std::string mode = "fan_in", distribution = "truncated_normal";
  switch (known) {
  case Zeros:
    break;
  case Ones:
    result.a = 1;
    break;
  case Constant:
    GRU_TAKE(result.a, object->getNumber("value", 0));
    break;
  case Identity:
  case Orthogonal:
    result.kind = known == Identity ? Kind::identity : Kind::orthogonal;
    GRU_TAKE(result.a, object->getNumber("gain", 1));
    break;
  case RandomUniform:
    result.kind = Kind::uniform;
    GRU_TAKE(result.a, object->getNumber("minval", -0.05));
    GRU_TAKE(result.b, object->getNumber("maxval", 0.05));
    break;
  case RandomNormal:
  case TruncatedNormal:
    result.kind = known == RandomNormal ? Kind::normal : Kind::truncatedNormal;
    GRU_TAKE(result.a, object->getNumber("mean", 0));
    GRU_TAKE(result.b, object->getNumber("stddev", 0.05));
    break;
  case VarianceScaling:
    result.kind = Kind::varianceScaling;
    GRU_TAKE(result.a, object->getNumber("scale", 1));
    GRU_TAKE(mode, object->getString("mode", mode));
    GRU_TAKE(distribution, object->getString("distribution", distribution));
    break;
  default:
    result.kind = Kind::varianceScaling;
    result.a = known == HeUniform || known == HeNormal ? 2 : 1;
    if (known == GlorotUniform || known == GlorotNormal)
      mode = "fan_avg";
    if (known == GlorotUniform || known == HeUniform || known == LecunUniform)
      distribution = "uniform";
    break;
  }
  if (result.kind == Kind::varianceScaling) {
    if (!(result.a > 0))
      return createStringError("is " + result.name + " with scale " +
                               numberText(result.a) +
                               ", expected a positive number");
    if (mode != "fan_in" && mode != "fan_out" && mode != "fan_avg")
      return createStringError("is " + result.name + " with mode '" + mode +
                               "', expected fan_in, fan_out or fan_avg");
    result.mode = mode == "fan_in"    ? Mode::fanIn
                  : mode == "fan_out" ? Mode::fanOut
                                      : Mode::fanAverage;
    distribution = StringRef(distribution).lower();
    // "normal" is Keras's old name of the truncated one.
    if (distribution == "uniform")
      result.distribution = Kind::uniform;
    else if (distribution == "untruncated_normal")
      result.distribution = Kind::normal;
    else if (distribution != "truncated_normal" && distribution != "normal")
      return createStringError("is " + result.name + " with distribution '" +
                               distribution +
                               "', expected uniform, truncated_normal or "
                               "untruncated_normal");
    // Of convolutions; none of our weights has other axes.
    for (StringRef key : {"input_axes", "output_axes"}) {
      SmallVector<int64_t> axes;
      GRU_TAKE(axes, object->getIntegers(key, {}));
      if (!axes.empty())
        return createStringError("is " + result.name + " with " + key +
                                 ", which is not supported");
    }
  }
  if (Error error = object->checkAllRead())
    return std::move(error);
  return result;
}

/// Inputs and outputs of one unit, as Keras counts them.
static std::pair<double, double> countFans(ArrayRef<int64_t> shape) {
  if (shape.empty())
    return {1, 1};
  if (shape.size() == 1)
    return {shape[0], shape[0]};
  double receptive = 1;
  for (int64_t size : shape.drop_back(2))
    receptive *= size;
  return {shape[shape.size() - 2] * receptive, shape.back() * receptive};
}

/// The rows of a random matrix made orthonormal, rows at most columns. Gram and
/// Schmidt's method, each row twice, is as exact as reflections, and the result
/// has the signs that Keras gives it: those of a QR decomposition whose R has a
/// positive diagonal.
static void orthonormalize(std::vector<double> &values, int64_t rows,
                           int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    double *current = values.data() + row * columns;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t other = 0; other < row; ++other) {
        const double *earlier = values.data() + other * columns;
        double product = 0;
        for (int64_t i = 0; i < columns; ++i)
          product += current[i] * earlier[i];
        for (int64_t i = 0; i < columns; ++i)
          current[i] -= product * earlier[i];
      }
    double square = 0;
    for (int64_t i = 0; i < columns; ++i)
      square += current[i] * current[i];
    double norm = std::sqrt(square);
    for (int64_t i = 0; i < columns; ++i)
      current[i] /= norm;
  }
}

Expected<std::vector<double>> Initializer::draw(ArrayRef<int64_t> shape,
                                                uint64_t seed) const {
  size_t count = 1;
  for (int64_t size : shape)
    count *= size;
  Random random(ownSeed.value_or(seed));
  auto shapeError = [&](StringRef expected) {
    std::string text;
    for (auto [index, size] : enumerate(shape))
      text += (index ? "x" : "") + std::to_string(size);
    return createStringError("is " + name + ", which cannot initialise " +
                             (text.empty() ? "a scalar" : text) +
                             ", expected " + expected);
  };
  auto normal = [&](double mean, double deviation, bool truncated) {
    std::vector<double> values(count);
    for (double &value : values) {
      double draw = random.normal();
      // Beyond two deviations Keras draws again.
      while (truncated && std::abs(draw) > 2)
        draw = random.normal();
      value = mean + deviation * draw;
    }
    return values;
  };
  auto uniform = [&](double least, double greatest) {
    std::vector<double> values(count);
    for (double &value : values)
      value = least + (greatest - least) * random.uniform();
    return values;
  };

  switch (kind) {
  case Kind::constant:
    return std::vector<double>(count, a);
  case Kind::uniform:
    return uniform(a, b);
  case Kind::normal:
    return normal(a, b, false);
  case Kind::truncatedNormal:
    return normal(a, b, true);
  case Kind::varianceScaling: {
    auto [in, out] = countFans(shape);
    double fans = mode == Mode::fanIn    ? in
                  : mode == Mode::fanOut ? out
                                         : (in + out) / 2;
    double variance = a / std::max(1.0, fans);
    if (distribution == Kind::uniform) {
      double limit = std::sqrt(3 * variance);
      return uniform(-limit, limit);
    }
    // The deviation of a normal distribution cut at two deviations.
    constexpr double truncatedDeviation = .87962566103423978;
    if (distribution == Kind::normal)
      return normal(0, std::sqrt(variance), false);
    return normal(0, std::sqrt(variance) / truncatedDeviation, true);
  }
  case Kind::identity: {
    if (shape.size() != 2)
      return shapeError("a matrix");
    std::vector<double> values(count);
    for (int64_t i = 0, e = std::min(shape[0], shape[1]); i < e; ++i)
      values[i * shape[1] + i] = a;
    return values;
  }
  case Kind::orthogonal: {
    if (shape.size() < 2)
      return shapeError("2 dimensions or more");
    int64_t columns = shape.back(), rows = columns ? count / columns : 0;
    // Rows or columns, whichever are fewer, become orthonormal.
    std::vector<double> values = normal(0, 1, false);
    int64_t fewer = std::min(rows, columns), more = std::max(rows, columns);
    orthonormalize(values, fewer, more);
    std::vector<double> result(count);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column)
        result[row * columns + column] =
            a * (rows <= columns ? values[row * more + column]
                                 : values[column * more + row]);
    return result;
  }
  case Kind::foreign:
    return createStringError("is '" + name +
                             "', which is not of Keras, so that it cannot "
                             "draw values: give the weights in a file");
  }
  llvm_unreachable("unknown kind of initialiser");
}
