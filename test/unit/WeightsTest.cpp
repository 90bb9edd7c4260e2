//===- WeightsTest.cpp - initialisers, regularisers, constraints ----------===//
//
// Values of Keras itself are in the golden cases; here are the laws, the edges
// and the messages.
//
//===----------------------------------------------------------------------===//

#include "compiler/weights/Constraints.h"
#include "compiler/weights/Initializers.h"
#include "compiler/weights/Regularizers.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace gru;
using namespace llvm;

namespace {

json::Value parse(StringRef text) { return cantFail(json::parse(text)); }

std::vector<double> draw(StringRef identifier, std::vector<int64_t> shape,
                         uint64_t seed = 1) {
  Expected<Initializer> initializer = Initializer::parse(parse(identifier));
  if (!initializer) {
    ADD_FAILURE() << toString(initializer.takeError());
    return {};
  }
  Expected<std::vector<double>> values = initializer->draw(shape, seed);
  if (!values) {
    ADD_FAILURE() << toString(values.takeError());
    return {};
  }
  return *values;
}

struct Statistics {
  double mean = 0, deviation = 0, least = INFINITY, greatest = -INFINITY;
};

Statistics describe(const std::vector<double> &values) {
  Statistics result;
  for (double value : values) {
    result.mean += value / values.size();
    result.least = std::min(result.least, value);
    result.greatest = std::max(result.greatest, value);
  }
  for (double value : values)
    result.deviation +=
        (value - result.mean) * (value - result.mean) / values.size();
  result.deviation = std::sqrt(result.deviation);
  return result;
}

const std::vector<int64_t> kShape = {100, 300};
// Five deviations of a mean and of a deviation over 30000 draws.
constexpr double kChance = 5 / 173.2;

void expectUniform(StringRef identifier, double limit) {
  Statistics found = describe(draw(identifier, kShape));
  double deviation = limit / std::sqrt(3.0);
  EXPECT_LE(std::max(-found.least, found.greatest), limit) << identifier.str();
  EXPECT_GT(std::min(-found.least, found.greatest), 0.999 * limit);
  EXPECT_NEAR(found.mean, 0, kChance * deviation);
  EXPECT_NEAR(found.deviation, deviation, kChance * deviation);
}

void expectNormal(StringRef identifier, double deviation, bool truncated) {
  Statistics found = describe(draw(identifier, kShape));
  EXPECT_NEAR(found.mean, 0, kChance * deviation) << identifier.str();
  EXPECT_NEAR(found.deviation, deviation, kChance * deviation)
      << identifier.str();
  double cut = 2 * deviation / .87962566103423978;
  if (truncated)
    EXPECT_LE(std::max(-found.least, found.greatest), cut);
  else
    EXPECT_GT(std::max(-found.least, found.greatest), 1.2 * cut);
}

TEST(Initializer, Constants) {
  EXPECT_EQ(draw("\"zeros\"", {2, 2}), std::vector<double>(4, 0));
  EXPECT_EQ(draw("\"ones\"", {3}), std::vector<double>(3, 1));
  EXPECT_EQ(
      draw(R"({"class_name": "Constant", "config": {"value": 0.25}})", {2}),
      std::vector<double>(2, 0.25));
  EXPECT_EQ(
      draw(R"({"class_name": "Identity", "config": {"gain": 2}})", {2, 3}),
      (std::vector<double>{2, 0, 0, 0, 2, 0}));
}

TEST(Initializer, VarianceScaling) {
  expectUniform("\"glorot_uniform\"", std::sqrt(6.0 / 400));
  expectUniform("\"he_uniform\"", std::sqrt(6.0 / 100));
  expectUniform("\"lecun_uniform\"", std::sqrt(3.0 / 100));
  expectNormal("\"glorot_normal\"", std::sqrt(2.0 / 400), true);
  expectNormal("\"he_normal\"", std::sqrt(2.0 / 100), true);
  expectNormal("\"lecun_normal\"", std::sqrt(1.0 / 100), true);
  expectNormal(R"({"class_name": "VarianceScaling", "config": {"scale": 3.0,
      "mode": "fan_out", "distribution": "untruncated_normal"}})",
               std::sqrt(3.0 / 300), false);
}

TEST(Initializer, PlainDistributions) {
  expectUniform("\"random_uniform\"", 0.05);
  expectNormal("\"random_normal\"", 0.05, false);
  // A truncated normal's own deviation is smaller than its argument.
  expectNormal("\"truncated_normal\"", 0.05 * .87962566103423978, true);
}

TEST(Initializer, OrthogonalRowsOrColumns) {
  for (auto [rows, columns] :
       {std::pair<int64_t, int64_t>{24, 72}, {72, 24}, {5, 5}, {1, 3}}) {
    std::vector<double> w =
        draw(R"({"class_name": "Orthogonal", "config": {"gain": 0.5}})",
             {rows, columns});
    bool wide = rows <= columns;
    int64_t fewer = std::min(rows, columns), more = std::max(rows, columns);
    auto at = [&](int64_t vector, int64_t i) {
      return w[wide ? vector * columns + i : i * columns + vector];
    };
    for (int64_t a = 0; a < fewer; ++a)
      for (int64_t b = 0; b <= a; ++b) {
        double product = 0;
        for (int64_t i = 0; i < more; ++i)
          product += at(a, i) * at(b, i);
        EXPECT_NEAR(product, a == b ? 0.25 : 0, 1e-14);
      }
  }
}

TEST(Initializer, Seeds) {
  EXPECT_EQ(draw("\"normal\"", kShape, 3), draw("\"normal\"", kShape, 3));
  EXPECT_NE(draw("\"normal\"", kShape, 3), draw("\"normal\"", kShape, 4));
  // Its own seed counts more, in both forms that Keras writes.
  const char *own = R"({"class_name": "RandomNormal", "config": {"seed": 7}})";
  const char *generator = R"({"class_name": "RandomNormal", "config":
      {"seed": {"class_name": "SeedGenerator", "config": {"seed": 7}}}})";
  EXPECT_EQ(draw(own, kShape, 3), draw(own, kShape, 4));
  EXPECT_EQ(draw(own, kShape, 3), draw(generator, kShape, 4));
  // To the bit, on every machine.
  std::vector<double> values = draw("\"normal\"", {3}, 1);
  EXPECT_EQ(values[0], -0x1.0236289281acp-9);
  EXPECT_EQ(values[1], -0x1.3ce48010b14d4p-6);
  EXPECT_EQ(values[2], -0x1.97e04b75e1d2fp-7);
}

std::string initializerError(StringRef identifier,
                             std::vector<int64_t> shape = {2, 2}) {
  Expected<Initializer> initializer = Initializer::parse(parse(identifier));
  if (!initializer)
    return toString(initializer.takeError());
  Expected<std::vector<double>> values = initializer->draw(shape, 1);
  return values ? "" : toString(values.takeError());
}

#define EXPECT_HAS(text, part)                                                 \
  EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(Initializer, Errors) {
  EXPECT_HAS(initializerError("\"foo\""),
             "is 'foo', expected one of zeros, ones");
  EXPECT_HAS(initializerError("3"), "is 3, expected a name or an object");
  EXPECT_HAS(initializerError("\"orthogonal\"", {12}),
             "cannot initialise 12, expected 2 dimensions or more");
  EXPECT_HAS(initializerError("\"identity\"", {12}), "expected a matrix");
  EXPECT_HAS(
      initializerError(
          R"({"class_name": "VarianceScaling", "config": {"scale": 0}})"),
      "scale 0, expected a positive number");
  EXPECT_HAS(
      initializerError(
          R"({"class_name": "VarianceScaling", "config": {"mode": "fan"}})"),
      "mode 'fan', expected fan_in, fan_out or fan_avg");
  EXPECT_HAS(
      initializerError(R"({"class_name": "Ones", "config": {"value": 1}})"),
      "the argument 'value', which it does not have");
  EXPECT_HAS(initializerError(
                 R"({"class_name": "RandomNormal", "config": {"seed": "x"}})"),
             "expected an integer or null");
  // Somebody's own class may stand in a file; it only cannot draw.
  EXPECT_HAS(initializerError(
                 R"({"module": "mine", "class_name": "Ones", "config": {}})"),
             "not of Keras");
}

double loss(StringRef identifier, std::vector<double> values,
            std::vector<int64_t> shape) {
  Expected<Regularizer> regularizer = Regularizer::parse(parse(identifier), 3);
  if (!regularizer) {
    ADD_FAILURE() << toString(regularizer.takeError());
    return NAN;
  }
  Expected<double> value = regularizer->evaluate(values, shape);
  if (!value) {
    ADD_FAILURE() << toString(value.takeError());
    return NAN;
  }
  return *value;
}

TEST(Regularizer, Norms) {
  std::vector<double> w = {1, -2, 3, -4};
  EXPECT_DOUBLE_EQ(loss("\"l1\"", w, {2, 2}), 0.1);
  EXPECT_DOUBLE_EQ(loss("\"l2\"", w, {4}), 0.3);
  EXPECT_DOUBLE_EQ(loss("\"l1_l2\"", w, {4}), 0.4);
  EXPECT_DOUBLE_EQ(
      loss(R"({"class_name": "L1L2", "config": {"l1": 0.5, "l2": 2}})", w, {4}),
      65);
  // The class's own defaults are zeros.
  EXPECT_DOUBLE_EQ(loss(R"({"class_name": "L1L2", "config": {}})", w, {4}), 0);
}

TEST(Regularizer, Orthogonal) {
  // The angle between (1, 0) and (1, 1) has cosine 1/sqrt(2); the columns are
  // (1, 1) and (0, 1), the same.
  std::vector<double> w = {1, 0, 1, 1};
  for (const char *mode : {"rows", "columns"}) {
    std::string text =
        R"({"class_name": "OrthogonalRegularizer", "config": {"factor": 2,
            "mode": ")" +
        std::string(mode) + "\"}}";
    EXPECT_DOUBLE_EQ(loss(text, w, {2, 2}), std::sqrt(2.0));
  }
  // One row has no pair: 0/0 as in Keras.
  EXPECT_TRUE(std::isnan(loss("\"orthogonal_regularizer\"", {1, 2}, {1, 2})));
}

std::string regularizerError(StringRef identifier, unsigned version = 3) {
  Expected<Regularizer> regularizer =
      Regularizer::parse(parse(identifier), version);
  if (!regularizer)
    return toString(regularizer.takeError());
  Expected<double> value = regularizer->evaluate({1, 2}, {2});
  return value ? "" : toString(value.takeError());
}

TEST(Regularizer, Errors) {
  EXPECT_HAS(regularizerError("\"foo\""), "is 'foo', expected one of l1, l2");
  const char *negative = R"({"class_name": "L1", "config": {"l1": -1}})";
  EXPECT_HAS(regularizerError(negative),
             "l1 -1, expected a number that is not negative");
  EXPECT_EQ(regularizerError(negative, 2), "");
  EXPECT_HAS(regularizerError("\"orthogonal_regularizer\""),
             "1 dimensions, expected 2");
  EXPECT_HAS(
      regularizerError(R"({"class_name": "Mine", "config": {"strength": 1}})"),
      "not of Keras");
}

std::vector<double> constrain(StringRef identifier, std::vector<double> values,
                              std::vector<int64_t> shape) {
  Expected<Constraint> constraint = Constraint::parse(parse(identifier));
  if (!constraint)
    ADD_FAILURE() << toString(constraint.takeError());
  else if (Error error = constraint->apply(values, shape))
    ADD_FAILURE() << toString(std::move(error));
  return values;
}

void expectNear(const std::vector<double> &found,
                const std::vector<double> &expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], 1e-6);
}

TEST(Constraint, Values) {
  std::vector<double> w = {3, 0.5, 4, 0}; // columns (3, 4) and (0.5, 0)
  expectNear(constrain("\"max_norm\"", w, {2, 2}), {1.2, 0.5, 1.6, 0});
  expectNear(constrain("\"unit_norm\"", w, {2, 2}), {0.6, 1, 0.8, 0});
  expectNear(constrain("\"non_neg\"", {-1, 2, -0.0, 3}, {4}), {0, 2, 0, 3});
  expectNear(
      constrain(R"({"class_name": "UnitNorm", "config": {"axis": [0, 1]}})",
                {3, 0, 4, 0}, {2, 2}),
      {0.6, 0, 0.8, 0});
  expectNear(constrain(R"({"class_name": "UnitNorm", "config": {"axis": -1}})",
                       {3, 4, 0, 2}, {2, 2}),
             {0.6, 0.8, 0, 1});
  // Half of the way from the norms 5 and 0.5 to 2 and 1.
  expectNear(constrain(R"({"class_name": "MinMaxNorm", "config":
      {"min_value": 1, "max_value": 2, "rate": 0.5, "axis": 0}})",
                       w, {2, 2}),
             {2.1, 0.75, 2.8, 0});
  // A weight of zeros has no direction.
  expectNear(constrain("\"unit_norm\"", {0, 0}, {2}), {0, 0});
}

std::string constraintError(StringRef identifier) {
  Expected<Constraint> constraint = Constraint::parse(parse(identifier));
  if (!constraint)
    return toString(constraint.takeError());
  std::vector<double> values = {1, 2};
  Error error = constraint->apply(values, {2});
  return error ? toString(std::move(error)) : "";
}

TEST(Constraint, Errors) {
  EXPECT_HAS(constraintError("\"foo\""),
             "is 'foo', expected one of max_norm, non_neg");
  EXPECT_HAS(
      constraintError(R"({"class_name": "MaxNorm", "config": {"axis": 1}})"),
      "axis 1 on a weight with 1 dimensions");
  EXPECT_HAS(
      constraintError(R"({"class_name": "MaxNorm", "config": {"axis": "x"}})"),
      "expected an integer or a list of integers");
  EXPECT_HAS(
      constraintError(R"({"class_name": "WeightClip", "config": {"c": 1}})"),
      "not of Keras");
  EXPECT_HAS(constraintError("\"radial_constraint\""), "Conv2D only");
}

} // namespace
