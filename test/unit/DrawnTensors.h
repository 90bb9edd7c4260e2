//===- DrawnTensors.h - programs of one operation that draws ----*- C++ -*-===//

#ifndef GRU_TEST_UNIT_DRAWNTENSORS_H
#define GRU_TEST_UNIT_DRAWNTENSORS_H

#include "gru/dropout.hpp"
#include "gru/gru.hpp"
#include "runtime/Random.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace gru {

/// What the operations of compileDrawing have as attribute `stream`.
inline constexpr uint32_t kStream = 5;

/// Rows and columns that are no multiple of anything, and some that are.
inline constexpr std::array<std::pair<int64_t, int64_t>, 5> kDrawnSizes = {
    {{1, 1}, {3, 5}, {7, 9}, {8, 8}, {13, 21}}};

/// Two attributes of an operation, as MLIR text.
inline std::string attributePair(const char *a, double valueOfA, const char *b,
                                 double valueOfB) {
  char text[128];
  std::snprintf(text, sizeof(text), "%s = %.17e : f64, %s = %.17e : f64", a,
                valueOfA, b, valueOfB);
  return text;
}

/// A program of one operation, gru.dropout_mask or gru.random_normal, over
/// `rows` x `columns`.
inline Program compileDrawing(const std::string &operation,
                              const std::string &attributes, int64_t rows,
                              int64_t columns, const char *target) {
  std::string type = "tensor<" + std::to_string(rows) + "x" +
                     std::to_string(columns) + "xf32>";
  std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("gru-drawn-" + std::to_string(getpid()) + ".mlir");
  std::ofstream(path)
      << "func.func @main(%x: " << type
      << " {gru.name = \"x\"}, %key: tensor<3xi64> {gru.state = 0 : i64, "
         "gru.name = \"dropout_key\"}) -> ("
      << type
      << " {gru.name = \"y\"}, tensor<3xi64> {gru.state = 0 : i64}) {\n  %y = "
      << operation << " %key like %x {dims = array<i64: -1, -2>, " << attributes
      << ", stream = " << kStream << " : i64} : tensor<3xi64>, " << type
      << " -> " << type
      << "\n  %one = arith.constant dense<[0, 1, 1]> : tensor<3xi64>\n"
         "  %next = arith.addi %key, %one : tensor<3xi64>\n"
         "  return %y, %next : "
      << type << ", tensor<3xi64>\n}\n";
  Result<Model> model = Model::load(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(model) << model.error().message();
  if (!model)
    return {};
  CompileOptions options;
  options.batch = rows;
  options.target = target;
  Result<Program> program = compile(*model, options);
  EXPECT_TRUE(program) << program.error().message();
  return program ? *program : Program();
}

/// What a run of such a program draws.
inline std::vector<float> drawOnce(Session &session, int64_t rows,
                                   int64_t columns) {
  std::vector<float> x(rows * columns), y(rows * columns, -100.0f);
  Result<void> ran =
      session.run({{x.data(), {rows, columns}}}, {{y.data(), {rows, columns}}});
  EXPECT_TRUE(ran) << ran.error().message();
  return y;
}

} // namespace gru

#endif // GRU_TEST_UNIT_DRAWNTENSORS_H
