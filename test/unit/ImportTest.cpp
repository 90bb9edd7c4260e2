//===- ImportTest.cpp - model files to MLIR -------------------------------===//
//
// Good files are golden cases; bad ones are made from them here: an archive is
// written again with another entry, an HDF5 file is changed in place by text of
// the same length.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/ModelSource.h"
#include "compiler/import/archive/ZipArchive.h"
#include "test/unit/ModelFiles.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

using namespace gru;
using namespace llvm;

#ifdef __has_feature
#if __has_feature(address_sanitizer)
// libhdf5 loses memory over damaged files and asks for as much as they claim.
// LLVM's allocator, inlined here, marks memory that the library, built without
// the sanitizer, then uses.
extern "C" const char *__asan_default_options() {
  return "allow_user_poisoning=0:allocator_may_return_null=1";
}
extern "C" const char *__lsan_default_suppressions() { return "leak:libhdf5"; }
#endif
#endif

namespace {

/// Replaces every occurrence; there must be one.
std::string replaced(StringRef text, StringRef from, StringRef to) {
  EXPECT_NE(text.find(from), StringRef::npos) << from.str();
  std::string result;
  while (true) {
    size_t hit = text.find(from);
    result += text.take_front(hit);
    if (hit == StringRef::npos)
      return result;
    result += to;
    text = text.drop_front(hit + from.size());
  }
}

Entries readEntries(StringRef golden) {
  std::string bytes = readBytes(dataPath(golden));
  Entries entries;
  auto archive = ZipArchive::open(golden, bytes);
  if (!archive) {
    ADD_FAILURE() << toString(archive.takeError());
    return entries;
  }
  for (const char *name : {"metadata.json", "config.json", "model.weights.h5"})
    if (auto content = archive->read(name, 1 << 28))
      entries[name] = std::string(content->begin(), content->end());
    else
      ADD_FAILURE() << toString(content.takeError());
  return entries;
}

constexpr const char *kArchive = "keras/act_layer_objects/model.keras";
constexpr const char *kHdf5 = "keras_h5/k2_act_relu/model.h5";

/// The error of kArchive with its config changed.
std::string configError(StringRef from, StringRef to) {
  Entries entries = readEntries(kArchive);
  entries["config.json"] = replaced(entries["config.json"], from, to);
  return bytesError("keras", writeZip(entries));
}

/// The error of kHdf5 changed in place.
std::string hdf5Error(StringRef from, StringRef to) {
  EXPECT_EQ(from.size(), to.size());
  return bytesError("h5", replaced(readBytes(dataPath(kHdf5)), from, to));
}

std::string import(const ModelSource &source, ImportOptions options = {}) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  auto module = source.import(context, options);
  if (!module)
    return toString(module.takeError());
  EXPECT_TRUE(succeeded(mlir::verify(**module)));
  std::string text;
  raw_string_ostream os(text);
  (*module)->print(os);
  return text;
}

std::string importFile(StringRef golden, ImportOptions options = {}) {
  auto source = openModel(dataPath(golden));
  if (!source)
    return toString(source.takeError());
  return import(**source, options);
}

//===----------------------------------------------------------------------===//
// Good files
//===----------------------------------------------------------------------===//

TEST(KerasImport, KerasArchive) {
  std::string text = importFile(kArchive);
  EXPECT_HAS(text, "%arg0: tensor<?x?x3xf32> {gru.name = \"x\"}");
  EXPECT_HAS(text, "%arg3: tensor<2x12xf32> {gru.weight = \"gru/bias\"}");
  EXPECT_HAS(text, "(tensor<?x?x4xf32> {gru.name = \"output_0\"})");
  EXPECT_HAS(text, "activation = #gru.act<leaky_relu, alpha = 1.5");
  EXPECT_HAS(text, "recurrent_activation = #gru.act<relu, alpha = 1.0");
  EXPECT_HAS(text, "reset_after");
}

TEST(KerasImport, Hdf5) {
  std::string text = importFile(kHdf5);
  EXPECT_HAS(text, "{gru.name = \"x\"}");
  EXPECT_HAS(text, "activation = #gru.act<relu");
}

TEST(KerasImport, RnnOfCell) {
  std::string text =
      importFile("keras/doc_rnn_cell_sequence_and_state/model.keras");
  EXPECT_HAS(text, "from_cell");
  EXPECT_HAS(text, "{gru.weight = \"rnn/recurrent_kernel\"}");
  EXPECT_HAS(text, "return %sequence, %state");
}

TEST(KerasImport, SizesOfBatchAndTime) {
  std::string text = importFile(kArchive, {.batch = 2, .timesteps = 7});
  EXPECT_HAS(text, "%arg0: tensor<2x7x3xf32>");
  EXPECT_HAS(importFile(kArchive, {.batch = -2}),
             "batch is -2, expected a positive number");
}

TEST(KerasImport, WeightsAndStructure) {
  auto source = openModel(dataPath(kArchive));
  ASSERT_TRUE(bool(source)) << toString(source.takeError());
  ArrayRef<WeightTensor> weights = (*source)->getWeights();
  ASSERT_EQ(weights.size(), 3u);
  EXPECT_EQ(weights[0].name, "gru/kernel");
  EXPECT_EQ(weights[0].shape, (std::vector<int64_t>{3, 12}));
  EXPECT_EQ(weights[0].data.size(), 3 * 12 * sizeof(float));
  EXPECT_EQ(weights[2].shape, (std::vector<int64_t>{2, 12}));
  std::string structure;
  raw_string_ostream os(structure);
  (*source)->hashStructure(os);
  EXPECT_HAS(structure, "gru/recurrent_kernel 4x12 float32");
  EXPECT_EQ(structure.find("initializer"), std::string::npos);
}

TEST(KerasImport, HardSigmoidDependsOnTheVersion) {
  Entries entries = readEntries(kArchive);
  entries["config.json"] = replaced(
      entries["config.json"], "\"use_bias\": true",
      "\"use_bias\": true, \"recurrent_activation\": \"hard_sigmoid\"");
  // LLVM's parser keeps the last of two entries with the same name.
  entries["config.json"] = replaced(
      entries["config.json"], "\"recurrent_activation\": {", "\"seed\": {");
  std::string three, two;
  {
    TemporaryFile file("keras", writeZip(entries));
    auto source = openModel(file.getPath());
    ASSERT_TRUE(bool(source)) << toString(source.takeError());
    three = import(**source);
  }
  entries["metadata.json"] = "{\"keras_version\": \"2.21.0\"}";
  {
    TemporaryFile file("keras", writeZip(entries));
    auto source = openModel(file.getPath());
    ASSERT_TRUE(bool(source)) << toString(source.takeError());
    two = import(**source);
  }
  EXPECT_HAS(three, "#gru.act<hard_sigmoid, alpha = 0.1666");
  EXPECT_HAS(two, "#gru.act<hard_sigmoid, alpha = 2.0");
}

TEST(KerasImport, SequentialWithoutInputLayer) {
  // The form of Keras 2: the first layer has the shape and names the input.
  StringRef config = R"({"class_name": "Sequential", "keras_version": "2.2.4",
    "config": {"name": "s", "layers": [{"class_name": "Dropout", "config":
      {"name": "drop", "rate": 0.5, "batch_input_shape": [null, 5, 3]}}]}})";
  TemporaryFile json("json", config);
  // The graph is sound, but the file has weights that it does not use.
  auto source = openModel(json.getPath(), dataPath(kHdf5));
  ASSERT_FALSE(bool(source));
  EXPECT_HAS(toString(source.takeError()), "is not used by the model");
  // Without any file of weights they are drawn.
  auto bare = openModel(json.getPath());
  ASSERT_TRUE(bool(bare)) << toString(bare.takeError());
  EXPECT_TRUE((*bare)->hasInitialWeights());
}

//===----------------------------------------------------------------------===//
// Bad files
//===----------------------------------------------------------------------===//

/// The error of a config with another one in place of `from`, and its weights.
std::string separateError(StringRef config, StringRef weights, StringRef from,
                          StringRef to) {
  TemporaryFile json("json", replaced(readBytes(dataPath(config)), from, to));
  auto source = openModel(json.getPath(), dataPath(weights));
  return source ? "" : toString(source.takeError());
}

TEST(BadModel, SeparateWeightsUnusedOrMissing) {
  const char *model = "keras_json/k3_masked_stack_pool/model.json";
  const char *file = "keras_json/k3_masked_stack_pool/model.weights.h5";
  EXPECT_HAS(
      separateError(model, file, "\"use_bias\": true", "\"use_bias\": false"),
      "' belongs to no layer of the model");
  EXPECT_HAS(separateError(model, "keras_json/k2_seq_stack2/model.weights.h5",
                           "\"use_bias\": true", "\"use_bias\": true"),
             "layer '");
  const char *layer = "keras_json/layer_k2_gru/layer.json";
  const char *npz = "keras_json/layer_k2_gru/weights.npz";
  EXPECT_HAS(
      separateError(layer, npz, "\"use_bias\": true", "\"use_bias\": false"),
      "weight 'bias' is not used by the layer");
  EXPECT_HAS(separateError(layer, npz, "\"class_name\": \"GRU\"",
                           "\"class_name\": \"StackedRNNCells\""),
             "cells is missing");
}

TEST(BadModel, NoFile) {
  EXPECT_HAS(openError("no/such/file.keras"), "cannot read the file");
  EXPECT_HAS(openError(GRU_TEST_DATA_DIR), "found a directory");
}

TEST(BadModel, ForeignFormats) {
  EXPECT_HAS(bytesError("keras", ""), "the file is empty");
  EXPECT_HAS(bytesError("keras", "hello"), "found no zip archive");
  EXPECT_HAS(bytesError("h5", "hello"), "found no HDF5 file");
  EXPECT_HAS(bytesError("onnx", "\x08\x07"),
             "found a protobuf message without a graph");
  EXPECT_HAS(bytesError("pt", "\x80\x02"), "found a pickle of PyTorch");
  EXPECT_HAS(bytesError("pb", "x"), "found a TensorFlow graph");
  EXPECT_HAS(bytesError("bin", "x"), "found an unknown format");
  EXPECT_HAS(bytesError("zip", writeZip({{"a.txt", "x"}})),
             "found a zip archive without config.json");
}

TEST(BadModel, Truncated) {
  for (const char *golden : {kArchive, kHdf5}) {
    std::string bytes = readBytes(dataPath(golden));
    for (size_t part = 1; part < 40; ++part)
      EXPECT_NE(bytesError("model", bytes.substr(0, bytes.size() * part / 40)),
                "")
          << golden << " cut to " << part << "/40";
  }
}

TEST(BadModel, DamagedChecksum) {
  std::string bytes = readBytes(dataPath(kArchive));
  size_t config = bytes.find("\"units\": 4");
  ASSERT_NE(config, std::string::npos);
  bytes[config + 9] = '5';
  EXPECT_HAS(bytesError("keras", bytes), "entry 'config.json': crc error");
}

TEST(BadModel, Json) {
  EXPECT_HAS(configError("\"units\": 4", "\"units\": Infinity"),
             "config.json: line 1: found Infinity, which is not JSON");
  EXPECT_HAS(configError("\"units\": 4", "\"units\": "),
             "config.json: not valid JSON");
  EXPECT_HAS(
      configError("\"units\": 4", "\"units\": " + std::string(100000, '[')),
      "nests deeper than 256 levels");
  EXPECT_HAS(bytesError("json", "{}"), "found no class_name");
}

TEST(BadModel, Version) {
  Entries entries = readEntries(kArchive);
  entries["metadata.json"] = "{\"keras_version\": \"1.2.2\"}";
  EXPECT_HAS(bytesError("keras", writeZip(entries)),
             "keras_version is '1.2.2', expected 2.x or 3.x");
}

TEST(BadModel, Layers) {
  EXPECT_HAS(configError("\"class_name\": \"GRU\"", "\"class_name\": \"LSTM\""),
             ": layer 'gru': class 'LSTM' is not supported; supported: ");
  EXPECT_HAS(hdf5Error("\"class_name\": \"GRU\"", "\"class_name\": \"XYZ\""),
             ": layer 'gru': class 'XYZ' is not supported; supported: ");
  // A class of the same name from elsewhere is not Keras's.
  EXPECT_HAS(
      configError("\"module\": \"keras.layers\", \"class_name\": \"GRU\"",
                  "\"module\": \"mine\", \"class_name\": \"GRU\""),
      "class 'mine.GRU' is not supported");
  EXPECT_HAS(configError("\"keras_history\": [\"x\", 0, 0]",
                         "\"keras_history\": [\"y\", 0, 0]"),
             "uses layer 'y', which the model does not have");
  EXPECT_HAS(configError("\"keras_history\": [\"x\", 0, 0]",
                         "\"keras_history\": [\"gru\", 0, 0]"),
             "its inputs are never computed");
  EXPECT_HAS(configError("\"output_layers\": [\"gru\", 0, 0]",
                         "\"output_layers\": [\"gru\", 0, 1]"),
             "output 0 of the model");
}

TEST(BadModel, Arguments) {
  EXPECT_HAS(configError("\"units\": 4", "\"units\": 0"),
             "layer 'gru': units is 0, expected a positive integer");
  EXPECT_HAS(configError("\"units\": 4", "\"units\": 2.5"),
             "units is 2.5, expected an integer");
  EXPECT_HAS(configError("\"use_bias\": true", "\"use_bias\": 1"),
             "use_bias is 1, expected true or false");
  EXPECT_HAS(configError("\"mask\": null",
                         "\"mask\": {\"class_name\": "
                         "\"__keras_tensor__\", \"config\": "
                         "{\"keras_history\": [\"x\", 0, 0]}}"),
             "layer 'gru': mask is ?x?x3 float32, expected ?x? bool");
  EXPECT_HAS(configError("\"training\": false", "\"training\": true"),
             "called with argument 'training'");
  EXPECT_HAS(configError("\"name\": \"float32\"", "\"name\": \"float8_e5\""),
             "dtype policy 'float8_e5' is not supported, expected float32");
}

TEST(BadModel, Activations) {
  EXPECT_HAS(hdf5Error("\"activation\": \"relu\"", "\"activation\": \"rely\""),
             "layer 'gru': activation: found 'rely', expected one of celu, ");
  EXPECT_HAS(hdf5Error("\"recurrent_activation\": \"sigmoid\"",
                       "\"recurrent_activation\": \"sigmold\""),
             "layer 'gru': recurrent_activation: found 'sigmold'");
  EXPECT_HAS(hdf5Error("\"activation\": \"relu\"", "\"activation\": \"glu\" "),
             "found 'glu', which halves the last axis");
  EXPECT_HAS(configError("\"negative_slope\": 0.1,", "\"negative_slope\": -1,"),
             "recurrent_activation: negative_slope is -1");
  EXPECT_HAS(
      configError("\"class_name\": \"LeakyReLU\"", "\"class_name\": \"PReLU\""),
      "activation: found the custom object 'PReLU'");
}

TEST(BadModel, Weights) {
  EXPECT_HAS(configError("\"units\": 4", "\"units\": 5"),
             "layer 'gru': kernel is 3x12, expected 3x15 (features x 3*units)");
  EXPECT_HAS(configError("\"reset_after\": true", "\"reset_after\": false"),
             "bias is 2x12, expected 12 (3*units without reset_after)");
  EXPECT_HAS(configError("\"use_bias\": true", "\"use_bias\": false"),
             "weight 'layers/gru/cell/vars/2' belongs to no layer");
  EXPECT_HAS(configError("\"class_name\": \"GRU\", \"config\"",
                         "\"class_name\": \"Dropout\", \"config\""),
             "belongs to no layer");
  EXPECT_HAS(hdf5Error("\"use_bias\": true", "\"use_bias\":false"),
             "weight 'gru/gru_cell/bias:0' of layer 'gru' is not used");
  // Only the name of the dataset: the list of names still has it.
  EXPECT_HAS(hdf5Error(StringRef("\0bias:0", 7), StringRef("\0bios:0", 7)),
             "layer 'gru': weight 'bias' is missing");
  EXPECT_HAS(hdf5Error("gru_cell/bias:0", "gru_cell/kernel"),
             "layer 'gru': weight 'bias' is missing");
}

TEST(BadModel, NoModelConfig) {
  EXPECT_HAS(hdf5Error("model_config", "model_canfig"),
             ": attribute 'model_config' is missing");
  EXPECT_HAS(hdf5Error("model_weights", "nodel_weights"),
             "holds no Keras weights");
  Entries entries = readEntries(kArchive);
  entries.erase("model.weights.h5");
  EXPECT_HAS(bytesError("keras", writeZip(entries)),
             "the archive has no entry 'model.weights.h5'");
}

/// Whatever is wrong in a file, the answer is a model or one line.
TEST(BadModel, RandomBytes) {
  uint32_t random = 1;
  auto next = [&] { return random = random * 1664525 + 1013904223; };
  std::string original = readBytes(dataPath(kHdf5));
  for (unsigned round = 0; round < 300; ++round) {
    std::string bytes = original;
    for (unsigned i = 0, n = 1 + next() % 16; i < n; ++i)
      bytes[(next() >> 8) % bytes.size()] = char(next() >> 16);
    TemporaryFile file("h5", bytes);
    if (auto source = openModel(file.getPath()))
      import(**source);
    else {
      std::string text = toString(source.takeError());
      EXPECT_FALSE(text.empty());
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    }
  }
}

//===----------------------------------------------------------------------===//
// Layers without a file
//===----------------------------------------------------------------------===//

using json::Object;

WeightTensor makeWeight(StringRef name, std::vector<int64_t> shape) {
  size_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return {name.str(), std::move(shape), WeightType::f32,
          std::vector<char>(count * sizeof(float))};
}

std::vector<WeightTensor> makeWeights() {
  return {makeWeight("kernel", {3, 12}),
          makeWeight("recurrent_kernel", {4, 12}), makeWeight("bias", {2, 12})};
}

std::string buildError(Object config, std::vector<WeightTensor> weights,
                       int64_t features = 3, unsigned version = 3) {
  auto source = buildKerasLayerModel(std::move(config), std::move(weights),
                                     features, version);
  return source ? "" : toString(source.takeError());
}

TEST(BuildLayer, DefaultsAreThoseOfKeras) {
  auto source = buildKerasLayerModel(Object{{"units", 4}}, makeWeights(), 3);
  ASSERT_TRUE(bool(source)) << toString(source.takeError());
  std::string text = import(**source);
  EXPECT_HAS(text, "%arg0: tensor<?x?x3xf32> {gru.name = \"x\"}");
  EXPECT_HAS(text, "{activation = #gru.act<tanh>, recurrent_activation = "
                   "#gru.act<sigmoid>, reset_after}");
  EXPECT_HAS(text, "return %last : tensor<?x4xf32>");
}

TEST(BuildLayer, SameAsTheFile) {
  auto file = openModel(dataPath(kArchive));
  ASSERT_TRUE(bool(file)) << toString(file.takeError());
  std::vector<WeightTensor> weights = (*file)->getWeights();
  for (WeightTensor &weight : weights)
    weight.name = StringRef(weight.name).split('/').second.str();
  auto object = [](StringRef name, Object config) {
    return Object{{"class_name", name}, {"config", std::move(config)}};
  };
  auto layer = buildKerasLayerModel(
      Object{
          {"units", 4},
          {"activation", object("LeakyReLU", Object{{"negative_slope", 0.15}})},
          {"recurrent_activation",
           object("ReLU", Object{{"max_value", 1.0}, {"negative_slope", 0.1}})},
          {"return_sequences", true}},
      weights, 3);
  ASSERT_TRUE(bool(layer)) << toString(layer.takeError());
  EXPECT_EQ(import(**layer), import(**file));
}

TEST(BuildLayer, StatefulRnnOfCell) {
  auto source = buildKerasLayerModel(
      Object{
          {"class_name", "RNN"},
          {"config", Object{{"cell", Object{{"class_name", "GRUCell"},
                                            {"config", Object{{"units", 4}}}}},
                            {"name", "rnn"},
                            {"stateful", true},
                            {"return_state", true}}}},
      makeWeights(), 3);
  ASSERT_TRUE(bool(source)) << toString(source.takeError());
  std::string text = import(**source, {.batch = 2});
  EXPECT_HAS(text, "%arg1: tensor<2x4xf32> {gru.name = \"rnn\", gru.state = 0 "
                   ": i64}, %arg2: tensor<3x12xf32> {gru.weight = "
                   "\"rnn/kernel\"}");
  EXPECT_HAS(text, "return %last, %state, %state");
}

TEST(BuildLayer, BadArguments) {
  EXPECT_EQ(buildError(Object{{"units", -1}}, makeWeights()),
            "layer 'gru': units is -1, expected a positive integer up to "
            "16777216");
  EXPECT_EQ(buildError(Object{}, makeWeights()),
            "layer 'gru': units is missing");
  EXPECT_EQ(
      buildError(Object{{"units", 4}, {"reset_before", true}}, makeWeights()),
      "layer 'gru': found the argument 'reset_before', which GRU does not "
      "have");
  EXPECT_HAS(
      buildError(Object{{"units", 4}, {"reset_aftr", true}}, makeWeights()),
      "did you mean 'reset_after'?");
  // As in Keras 3, which refuses it; Keras 2 has it.
  EXPECT_HAS(
      buildError(Object{{"units", 4}, {"time_major", true}}, makeWeights()),
      "found the argument 'time_major'");
  EXPECT_EQ(buildError(Object{{"units", 4}, {"time_major", true}},
                       makeWeights(), 3, 2),
            "");
  EXPECT_HAS(buildError(Object{{"units", 4}}, makeWeights(), 0),
             "features is 0");
  EXPECT_HAS(buildError(Object{{"units", 4}}, makeWeights(), 5),
             "layer 'gru': kernel is 3x12, expected 5x12");
  std::vector<WeightTensor> weights = makeWeights();
  weights.pop_back();
  EXPECT_EQ(
      buildError(Object{{"units", 4}}, weights),
      "layer 'gru': weight 'bias' is missing, expected it among the given "
      "weights");
  EXPECT_EQ(
      buildError(Object{{"units", 4}, {"use_bias", false}}, makeWeights()),
      "weight 'bias' is not used by the layer");
  weights = makeWeights();
  weights[0].data.pop_back();
  EXPECT_HAS(buildError(Object{{"units", 4}}, weights),
             "layer 'gru': kernel has 143 bytes, expected 144");
}

} // namespace
