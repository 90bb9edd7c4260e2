//===- KerasConfigs.h - Keras models that tests write as JSON ---*- C++ -*-===//
//
// Configs without weights, which the layers' initialisers draw.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TEST_UNIT_KERASCONFIGS_H
#define GRU_TEST_UNIT_KERASCONFIGS_H

#include "gru/gru.hpp"

#include <gtest/gtest.h>

#include <fstream>

#define EXPECT_HAS(text, part)                                                 \
  EXPECT_NE((text).find(part), std::string::npos) << (text)

namespace gru {

/// An input of a model; `shape` is JSON.
struct ConfigInput {
  std::string name = "x", shape = "[null, null, 3]", dtype = "float32";
};

inline std::string inputLayer(const ConfigInput &input) {
  return R"({"class_name": "InputLayer", "name": ")" + input.name +
         R"(", "inbound_nodes": [], "config": {"name": ")" + input.name +
         R"(", "dtype": ")" + input.dtype + R"(", "batch_shape": )" +
         input.shape + "}}";
}

inline std::string layer(const std::string &className,
                         const std::string &arguments,
                         const std::string &name = "a") {
  return R"({"class_name": ")" + className + R"(", "config": {"name": ")" +
         name + "\"" + (arguments.empty() ? "" : ", ") + arguments + "}}";
}

inline std::string gruLayer(const std::string &arguments) {
  return layer("GRU", arguments);
}

/// Writes a model's config to a file of the running test and reads it.
inline Result<Model> loadConfig(const std::string &className,
                                const std::string &config, int version) {
  const testing::TestInfo *test =
      testing::UnitTest::GetInstance()->current_test_info();
  std::string path = testing::TempDir() + test->test_suite_name() + "-" +
                     test->name() + ".json";
  std::ofstream(path) << R"({"class_name": ")" << className
                      << R"(", "keras_version": ")" << version
                      << R"(.0.0", "config": {"name": "m", )" << config << "}}";
  return Model::load(path);
}

/// A Sequential model of layers given as JSON.
inline Result<Model> load(const std::string &layers,
                          const ConfigInput &input = {}, int version = 3) {
  return loadConfig("Sequential",
                    "\"layers\": [" + inputLayer(input) + ", " + layers + "]",
                    version);
}

/// A functional model that calls layer 'a', given as JSON, on its first input,
/// with its further inputs as a call argument: one, or a list of them.
inline Result<Model> loadCall(const std::string &called,
                              const std::vector<ConfigInput> &inputs,
                              const std::string &argument, int version = 3,
                              size_t numOutputs = 1) {
  auto tensor = [&](const ConfigInput &input) {
    std::string history = "[\"" + input.name + "\", 0, 0]";
    if (version == 2)
      return history;
    return R"({"class_name": "__keras_tensor__", "config": {"shape": )" +
           input.shape + R"(, "dtype": ")" + input.dtype +
           R"(", "keras_history": )" + history + "}}";
  };
  std::string layers, names, values;
  for (const ConfigInput &input : inputs) {
    layers += inputLayer(input) + ", ";
    names += (names.empty() ? "" : ", ") + ("[\"" + input.name + "\", 0, 0]");
    if (&input != &inputs.front())
      values += (values.empty() ? "" : ", ") + tensor(input);
  }
  if (argument == "initial_state")
    values = "[" + values + "]";
  std::string arguments =
      values.empty() ? "{}" : "{\"" + argument + "\": " + values + "}";
  std::string node = version == 2 ? "[[\"" + inputs.front().name +
                                        "\", 0, 0, " + arguments + "]]"
                                  : "{\"args\": [" + tensor(inputs.front()) +
                                        "], \"kwargs\": " + arguments + "}";
  layers += called;
  layers.insert(layers.size() - 1,
                ", \"name\": \"a\", \"inbound_nodes\": [" + node + "]");
  std::string outputs;
  for (size_t i = 0; i < numOutputs; ++i)
    outputs += (i ? ", " : "") + ("[\"a\", 0, " + std::to_string(i) + "]");
  return loadConfig("Functional",
                    "\"layers\": [" + layers + "], \"input_layers\": [" +
                        names + "], \"output_layers\": [" + outputs + "]",
                    version);
}

inline std::string attribute(const Model &model, const std::string &name,
                             const std::string &layer = "a") {
  Result<std::string> text = model.attribute(layer, name);
  return text ? *text : "error: " + text.error().message();
}

/// What a call with inputs of these shapes says, in the program's order; empty
/// if it would run.
inline std::string callError(const Program &program,
                             const std::vector<std::vector<int64_t>> &shapes) {
  std::vector<TensorInfo> infos = program.inputs();
  std::vector<TensorView> inputs;
  for (size_t i = 0; i < shapes.size(); ++i)
    inputs.emplace_back(static_cast<const void *>(nullptr), infos[i].dtype,
                        shapes[i]);
  Result<std::vector<int64_t>> shape = program.output_shape(inputs, 0);
  return shape ? "" : shape.error().message();
}

inline std::string bidirectional(const std::string &forward,
                                 const std::string &backward = "",
                                 const std::string &more = "") {
  auto wrapped = [](const std::string &arguments) {
    return R"({"class_name": "GRU", "config": {"name": "g", )" + arguments +
           "}}";
  };
  return layer("Bidirectional",
               "\"layer\": " + wrapped(forward) +
                   (backward.empty()
                        ? ""
                        : ", \"backward_layer\": " + wrapped(backward)) +
                   more);
}

/// The versions of Keras that a row of a table is about, which names entries of
/// the golden set's errors.json: `keras3 ID`, `tf_keras ID` or `both ID`.
inline std::vector<int> versionsOf(const std::string &id) {
  if (id.starts_with("keras3"))
    return {3};
  if (id.starts_with("tf_keras"))
    return {2};
  return {3, 2};
}

inline const std::string kUnits = R"("units": 4)";
inline const std::string kStack = R"("cell": [
    {"class_name": "GRUCell", "config": {"name": "c", "units": 4}},
    {"class_name": "GRUCell", "config": {"name": "d", "units": 5}}])";

inline Program compileFor(const Result<Model> &model, int64_t batch = 2) {
  EXPECT_TRUE(bool(model)) << model.error().message();
  if (!model)
    return {};
  Result<Program> program = compile(*model, {.batch = batch});
  EXPECT_TRUE(bool(program)) << program.error().message();
  return program ? *program : Program();
}

} // namespace gru

#endif // GRU_TEST_UNIT_KERASCONFIGS_H
