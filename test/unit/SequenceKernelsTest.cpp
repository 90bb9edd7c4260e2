//===- SequenceKernelsTest.cpp - Keras's rules around a call of cuDNN -----===//
//
// The kernels that make Keras's results of cuDNN's, run by the interpreter on
// small layers whose elements are numbers, against a plain definition of the
// rules.
//
//===----------------------------------------------------------------------===//

#include "lowering/DevicePasses.h"
#include "lowering/Pipelines.h"

#include "test/cuda/PtxInterpreter.h"

#include "dialect/GRUDeviceOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

#include <numeric>
#include <random>

using namespace mlir;
using namespace gru;

namespace {
struct Rules {
  int64_t directions;
  bool goBackwards, writesWhereRead, zeroOutput, timeMajor, initialStates;
};

struct Layer {
  static constexpr int64_t batch = 3, features = 2, units = 2;
  Rules rules;
  int64_t time;
  std::vector<int32_t> lengths;

  int64_t at(int64_t row, int64_t t) const {
    return rules.timeMajor ? t * batch + row : row * time + t;
  }
};

std::string print(const Layer &layer) {
  const Rules &rules = layer.rules;
  auto shape = [&](int64_t last) {
    std::string steps = rules.timeMajor ? "?x" + std::to_string(Layer::batch)
                                        : std::to_string(Layer::batch) + "x?";
    return "memref<" + steps +
           (last ? "x" + std::to_string(last) + "xf32>" : "xi1>");
  };
  auto repeat = [](const std::string &name, int64_t count) {
    std::string list;
    for (int64_t i = 0; i < count; ++i)
      list += (i ? ", " : "") + name;
    return list;
  };
  int64_t d = rules.directions;
  std::string state = "memref<3x2xf32>", sequence = shape(Layer::units);
  std::string text =
      "func.func @main(%x: " + shape(Layer::features) + ", %m: " + shape(0) +
      ", %W: memref<2x6xf32>, %U: memref<2x6xf32>, %s: " + sequence +
      ", %h: " + state +
      ") {\n  gru.device_rnn \"cudnn\" ins(%x : " + shape(Layer::features) +
      ") weights(" + repeat("%W, %U", d) + " : " +
      repeat("memref<2x6xf32>", 2 * d) + ")";
  if (rules.initialStates)
    text +=
        " initial_states(" + repeat("%h", d) + " : " + repeat(state, d) + ")";
  text += " mask(%m : " + shape(0) + ") sequences(" + repeat("%s", d) + " : " +
          repeat(sequence, d) + ") lasts(" + repeat("%h", d) + " : " +
          repeat(state, d) + ") states(" + repeat("%h", d) + " : " +
          repeat(state, d) +
          ") {activation = #gru.act<tanh>, layers = 1 : i64, "
          "recurrent_activation = #gru.act<sigmoid>, reset_after";
  for (auto [flag, name] :
       {std::pair<bool, const char *>{d == 2, "bidirectional"},
        {rules.goBackwards, "go_backwards"},
        {rules.writesWhereRead, "writes_where_read"},
        {rules.zeroOutput, "zero_output_for_mask"},
        {rules.timeMajor, "time_major"}})
    if (flag)
      text += std::string(", ") + name;
  return text + "}\n  return\n}\n";
}

std::string compile(const Layer &layer) {
  DialectRegistry registry;
  registerCompilerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  OwningOpRef<ModuleOp> module =
      parseSourceString<ModuleOp>(print(layer), &context);
  if (!module)
    return "";
  PassManager pm(&context);
  pm.addPass(createMakeGPUKernelsPass());
  pm.addPass(createEmitPTXPass());
  if (failed(pm.run(*module)))
    return "";
  std::string code;
  module->walk([&](DeviceRnnOp op) { code = op.getCode().value_or("").str(); });
  return code;
}

void launch(const std::string &code, const char *name,
            std::vector<const void *> addresses, int64_t time) {
  std::string problem;
  ptx::KernelPtr kernel = ptx::parse(code, name, problem);
  ASSERT_TRUE(kernel) << problem;
  std::vector<void *> arguments;
  for (const void *&address : addresses)
    arguments.push_back(&address);
  arguments.push_back(&time);
  EXPECT_EQ(ptx::launch(*kernel, 2, 256, 0,
                        ptx::readArguments(*kernel, arguments.data()),
                        /*cooperative=*/false),
            "");
}

using Numbers = std::vector<float>;
/// Different ones, so that none is taken for another.
Numbers count(size_t size, float from) {
  Numbers numbers(size);
  std::iota(numbers.begin(), numbers.end(), from);
  return numbers;
}

/// Keras's rules: what position `position` of direction `d` returns.
float expectedOutput(const Layer &layer, const Numbers &y, int64_t row,
                     int64_t position, int64_t d, int64_t unit) {
  const Rules &rules = layer.rules;
  int64_t length = layer.lengths[row], time = layer.time, step;
  bool backward = rules.directions == 2 ? d == 1 : rules.goBackwards;
  if (!backward) {
    // Masked outputs repeat the last one, before the first there is zero.
    step = position;
    if (position >= length)
      step = rules.zeroOutput ? -1 : length - 1;
  } else {
    bool processed = rules.directions == 1 && !rules.writesWhereRead;
    int64_t t = processed ? time - 1 - position : position;
    // Masked steps come first; then the last valid one.
    step = t >= length ? -1 : rules.directions == 2 ? t : length - 1 - t;
  }
  if (step < 0)
    return 0;
  return y[layer.at(row, step) * rules.directions * Layer::units +
           d * Layer::units + unit];
}

void check(const Layer &layer) {
  const Rules &rules = layer.rules;
  std::string code = compile(layer);
  ASSERT_FALSE(code.empty());
  int64_t d = rules.directions, batch = Layer::batch, units = Layer::units;
  int64_t steps = batch * layer.time;

  if (rules.goBackwards) {
    Numbers x = count(steps * Layer::features, 1), reversed(x.size(), -1);
    launch(code, "gru_start", {x.data(), layer.lengths.data(), reversed.data()},
           layer.time);
    for (int64_t row = 0; row < batch; ++row)
      for (int64_t t = 0; t < layer.time; ++t)
        for (int64_t f = 0; f < Layer::features; ++f) {
          int64_t length = layer.lengths[row];
          EXPECT_EQ(reversed[layer.at(row, t) * Layer::features + f],
                    t < length
                        ? x[layer.at(row, length - 1 - t) * Layer::features + f]
                        : 0);
        }
  }

  Numbers y = count(steps * d * units, 100),
          hy = count(d * batch * units, 1000);
  Numbers h0 = count(d * batch * units, 2000);
  std::vector<Numbers> sequences(d, Numbers(steps * units, -1));
  std::vector<Numbers> lasts(d, Numbers(batch * units, -1)), states = lasts;
  std::vector<const void *> addresses{layer.lengths.data(), y.data(), hy.data(),
                                      rules.initialStates ? h0.data()
                                                          : nullptr};
  for (auto *outputs : {&sequences, &lasts, &states})
    for (Numbers &output : *outputs)
      addresses.push_back(output.data());
  launch(code, "gru_finish", addresses, layer.time);
  for (int64_t c = 0; c < d; ++c)
    for (int64_t row = 0; row < batch; ++row)
      for (int64_t unit = 0; unit < units; ++unit) {
        for (int64_t p = 0; p < layer.time; ++p)
          EXPECT_EQ(sequences[c][layer.at(row, p) * units + unit],
                    expectedOutput(layer, y, row, p, c, unit))
              << "direction " << c << " row " << row << " position " << p;
        int64_t i = row * units + unit, length = layer.lengths[row];
        bool backward = d == 2 ? c == 1 : rules.goBackwards;
        bool zero =
            rules.zeroOutput && !backward ? length < layer.time : length == 0;
        EXPECT_EQ(lasts[c][i], zero ? 0 : hy[c * batch * units + i]);
        EXPECT_EQ(states[c][i], length > 0 ? hy[c * batch * units + i]
                                : rules.initialStates
                                    ? h0[c * batch * units + i]
                                    : 0);
      }
}
} // namespace

TEST(SequenceKernels, GiveWhatKerasReturns) {
  std::mt19937 random(7);
  for (int64_t directions : {1, 2})
    for (int bits = 0; bits < 32; ++bits) {
      Rules rules{directions,      (bits & 1) != 0, (bits & 2) != 0,
                  (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
      if (directions == 2 ? rules.goBackwards || rules.writesWhereRead
                          : rules.writesWhereRead && !rules.goBackwards)
        continue;
      Layer layer{rules, int64_t(1 + random() % 5), {}};
      // One of each kind of row.
      layer.lengths = {0, int32_t(layer.time),
                       int32_t(random() % (layer.time + 1))};
      SCOPED_TRACE(print(layer));
      check(layer);
    }
}
