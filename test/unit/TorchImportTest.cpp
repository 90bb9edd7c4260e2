//===- TorchImportTest.cpp - PyTorch's and RTNeural's files ---------------===//
//
// That good files give the right numbers is for test/golden; here are the bad
// ones, made by hand, each with the one message that it deserves.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/GateOrder.h"
#include "compiler/import/torch/Pickle.h"
#include "test/unit/ModelFiles.h"

#include "llvm/Support/JSON.h"

#include <cstring>

using namespace gru;
using namespace llvm;

namespace {

std::string little(uint64_t number, unsigned size) {
  std::string bytes;
  for (unsigned i = 0; i < size; ++i)
    bytes += char(number >> (8 * i));
  return bytes;
}

//===----------------------------------------------------------------------===//
// Gate order
//===----------------------------------------------------------------------===//

WeightTensor numbers(std::vector<int64_t> shape, ArrayRef<float> values) {
  WeightTensor tensor{"w", std::move(shape), WeightType::f32, {}};
  tensor.data.resize(values.size() * sizeof(float));
  std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
  return tensor;
}

std::vector<float> values(const WeightTensor &tensor) {
  std::vector<float> result(tensor.data.size() / sizeof(float));
  std::memcpy(result.data(), tensor.data.data(), tensor.data.size());
  return result;
}

// One unit, two inputs; rows r, z, n for PyTorch and z, r, h for ONNX.
TEST(GateOrder, Matrix) {
  WeightTensor rows = numbers({3, 2}, {1, 2, 3, 4, 5, 6});
  WeightTensor torch = toKerasMatrix(rows, GateOrder::rzh);
  EXPECT_EQ(torch.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(values(torch), (std::vector<float>{3, 1, 5, 4, 2, 6}));
  EXPECT_EQ(values(toKerasMatrix(rows, GateOrder::zrh)),
            (std::vector<float>{1, 3, 5, 2, 4, 6}));
}

TEST(GateOrder, Bias) {
  WeightTensor input = numbers({6}, {1, 2, 3, 4, 5, 6});
  WeightTensor recurrent = numbers({6}, {10, 20, 30, 40, 50, 60});
  WeightTensor torch = toKerasBias(input, recurrent, GateOrder::rzh);
  EXPECT_EQ(torch.shape, (std::vector<int64_t>{2, 6}));
  EXPECT_EQ(values(torch),
            (std::vector<float>{3, 4, 1, 2, 5, 6, 30, 40, 10, 20, 50, 60}));
}

//===----------------------------------------------------------------------===//
// Safetensors
//===----------------------------------------------------------------------===//

std::string safetensors(StringRef header, size_t dataSize) {
  return little(header.size(), 8) + header.str() + std::string(dataSize, '\0');
}

std::string entry(StringRef name, StringRef shape, size_t begin, size_t end,
                  StringRef dtype = "F32") {
  return ("\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
          ",\"data_offsets\":[" + Twine(begin) + "," + Twine(end) + "]}")
      .str();
}

/// Weights of a GRU with one input and one unit.
const std::string kKernel = entry("weight_ih_l0", "[3,1]", 0, 12);
const std::string kRecurrent = entry("weight_hh_l0", "[3,1]", 12, 24);

std::string safetensorsError(const std::string &entries, size_t dataSize) {
  return bytesError("safetensors", safetensors("{" + entries + "}", dataSize));
}

TEST(Safetensors, Good) {
  EXPECT_EQ(safetensorsError(kKernel + "," + kRecurrent, 24), "");
  EXPECT_EQ(safetensorsError("\"__metadata__\":{\"format\":\"pt\"}," + kKernel +
                                 "," + kRecurrent,
                             24),
            "");
}

TEST(Safetensors, Header) {
  EXPECT_HAS(bytesError("safetensors", "abc"),
             "found 3 bytes, expected a safetensors file");
  EXPECT_HAS(bytesError("safetensors", little(uint64_t(20) << 30, 8) + "{}   "),
             "header claims 21474836480 bytes, expected at most 5");
  EXPECT_HAS(bytesError("safetensors", little(~uint64_t(0), 8) + "{}"),
             "expected at most 2");
  EXPECT_HAS(bytesError("safetensors", safetensors("{\"a\":", 0)),
             "not valid JSON");
  EXPECT_HAS(bytesError("safetensors", safetensors("[1]", 0)), "no object");
  EXPECT_HAS(safetensorsError("\"a\":3", 0), "tensor 'a': its header is no");
}

TEST(Safetensors, Entries) {
  EXPECT_HAS(safetensorsError(entry("a", "[3]", 0, 12, "F4"), 12),
             "dtype is 'F4', expected F32");
  EXPECT_HAS(safetensorsError(entry("a", "[-3]", 0, 12), 12),
             "shape holds something else than sizes");
  EXPECT_HAS(safetensorsError("\"a\":{\"dtype\":\"F32\"}", 0),
             "shape is missing");
  EXPECT_HAS(safetensorsError("\"a\":{\"dtype\":\"F32\",\"shape\":[1]}", 0),
             "data_offsets is missing");
  EXPECT_HAS(safetensorsError(entry("a", "[3]", 0, 12), 8),
             "data_offsets are 0 and 12, but the file has 8 bytes of data");
  EXPECT_HAS(safetensorsError(entry("a", "[3]", 12, 0), 12),
             "data_offsets are 12 and 0");
  EXPECT_HAS(safetensorsError(entry("a", "[4]", 0, 12), 12),
             "found 12 bytes of data, expected more than the file has");
  EXPECT_HAS(safetensorsError(entry("a", "[2]", 0, 12), 12),
             "found 12 bytes of data, expected 8");
  EXPECT_HAS(safetensorsError(entry("a", "[4294967296,4294967296]", 0, 12), 12),
             "expected more than the file has");
}

TEST(Safetensors, Places) {
  EXPECT_HAS(safetensorsError(
                 kKernel + "," + entry("weight_hh_l0", "[3,1]", 8, 20), 20),
             "overlap");
  EXPECT_HAS(safetensorsError(
                 kKernel + "," + entry("weight_hh_l0", "[3,1]", 16, 28), 28),
             "begin at 16, expected 12");
  EXPECT_HAS(safetensorsError(kKernel, 16),
             "holds 16 bytes of data, but its tensors only 12");
}

TEST(Safetensors, Truncated) {
  std::string bytes =
      readBytes(dataPath("torch/gru_packed_sorted_h0/weights.safetensors"));
  for (size_t size = 0; size < bytes.size(); size += 13)
    EXPECT_NE(bytesError("safetensors", bytes.substr(0, size)), "") << size;
}

//===----------------------------------------------------------------------===//
// Weights against modules
//===----------------------------------------------------------------------===//

TEST(StateDict, Inferred) {
  // errors.json: torch state_dict_names, torch cell_state_dict_names.
  EXPECT_HAS(safetensorsError(entry("weight_ih_l0", "[3,1]", 0, 12), 12),
             "holds no matrix 'weight_hh_l0' for the GRU");
  EXPECT_HAS(safetensorsError(kKernel + "," + kRecurrent + "," +
                                  entry("bias_ih_l0", "[3]", 24, 36),
                              36),
             "holds no tensor 'bias_hh_l0', expected 3 (3*hidden_size) for the "
             "GRU");
  EXPECT_HAS(safetensorsError(
                 kKernel + "," + entry("weight_hh_l0", "[4,1]", 12, 28), 28),
             "is 4x1, that of an LSTM, expected a GRU");
  EXPECT_HAS(safetensorsError(
                 kKernel + "," + entry("weight_hh_l0", "[2,2]", 12, 28), 28),
             "that of a plain RNN");
  EXPECT_HAS(safetensorsError(
                 kKernel + "," + entry("weight_hh_l0", "[6,2]", 12, 60), 60),
             "tensor 'weight_ih_l0': is 3x1, expected 6x1 (3*hidden_size x "
             "input_size)");
  EXPECT_HAS(safetensorsError(kKernel + "," + kRecurrent + "," +
                                  entry("weight_hr_l0", "[1,1]", 24, 28),
                              28),
             "projection (weight_hr_l0), which only an LSTM has");
  EXPECT_HAS(safetensorsError(entry("fc.weight", "[3,1]", 0, 12), 12),
             "holds no weights of a GRU");
  EXPECT_HAS(safetensorsError(kKernel + "," + kRecurrent + "," +
                                  entry("conv.kernel", "[1]", 24, 28),
                              28),
             "cannot tell what tensor 'conv.kernel' belongs to; describe");
  EXPECT_HAS(safetensorsError(kKernel + "," + kRecurrent + "," +
                                  entry("fc.weight", "[1,2]", 24, 32),
                              32),
             "Linear 'fc': in_features is 2, but gets 1 features");
  EXPECT_HAS(safetensorsError(kKernel + "," + kRecurrent + "," +
                                  entry("fc.bias", "[1]", 24, 28),
                              28),
             "tensor 'fc.bias' is not used by the model");
}

TEST(StateDict, ElementTypes) {
  EXPECT_HAS(safetensorsError(entry("weight_ih_l0", "[3,1]", 0, 12, "I32") +
                                  "," + kRecurrent,
                              24),
             "'weight_ih_l0' is I32, expected float32, float64");
  EXPECT_HAS(safetensorsError(kKernel + "," +
                                  entry("weight_hh_l0", "[3,1]", 12, 18, "F16"),
                              18),
             "'weight_hh_l0': is float16, expected float32 like the weights");
}

/// The error of a config with weights of one input, one unit, no bias.
std::string configError(StringRef config) {
  TemporaryFile weights(
      "safetensors", safetensors("{" + kKernel + "," + kRecurrent + "}", 24));
  TemporaryFile json("json", config);
  auto source = openModel(json.getPath(), weights.getPath());
  return source ? "" : toString(source.takeError());
}

TEST(ModuleConfig, Arguments) {
  // errors.json: torch hidden_zero, torch hidden_negative, torch layers_zero,
  // torch proj_size, torch dropout_above_one.
  EXPECT_EQ(configError(R"({"module": "GRU", "bias": false})"), "");
  EXPECT_EQ(configError(R"({"module": "torch.nn.GRU", "proj_size": 0,
                            "dropout": 0.5, "device": null})"),
            "");
  struct {
    StringRef config, message;
  } errors[] = {
      {R"({"module": "GRU", "units": 3})",
       "GRU: found the argument 'units', expected one of"},
      {R"({"module": "GRU", "bias": true})", "holds no tensor 'bias_ih_l0'"},
      {R"({"module": "GRU", "hidden_size": 2})",
       "tensor 'weight_ih_l0': is 3x1, expected 6x1"},
      {R"({"module": "GRU", "hidden_size": 0})",
       "hidden_size is 0, expected a positive integer"},
      {R"({"module": "GRU", "hidden_size": -1})",
       "hidden_size is -1, expected a positive integer"},
      {R"({"module": "GRU", "num_layers": 0})",
       "num_layers is 0, expected a positive integer"},
      {R"({"module": "GRU", "num_layers": 2})",
       "holds no tensor 'weight_ih_l1'"},
      {R"({"module": "GRU", "bidirectional": true})",
       "holds no tensor 'weight_ih_l0_reverse'"},
      {R"({"module": "GRU", "proj_size": 2})",
       "proj_size is 2, expected 0: only an LSTM has projections"},
      {R"({"module": "GRU", "dropout": 1.5})",
       "dropout is 1.5, expected a number from 0 to 1"},
      {R"({"module": "GRU", "batch_first": "yes"})",
       "batch_first is \"yes\", expected true or false"},
      {R"({"module": "GRU", "dtype": "float16"})",
       "its weights are float32, but the config says float16"},
      {R"({"module": "LSTM"})", "module is 'LSTM', expected a GRU or GRUCell"},
      {R"({"module": "Linear"})", "has no GRU"},
      {R"({"module": "Sequential", "layers": []})", "layers is missing"},
      {R"({"module": "Sequential", "layers":
                [{"module": "GRU"}, {"module": "Conv9d"}]})",
       "Conv9d: is not supported, expected GRU"},
      {R"({"module": "Sequential", "layers":
                [{"module": "GRU"}, {"module": "Softplus", "beta": 2}]})",
       "the argument 'beta' is not supported"},
      {R"({"module": "Sequential", "layers":
                [{"module": "GRU"}], "skip": 2})",
       "adds 2 features of the input"},
  };
  for (const auto &error : errors)
    EXPECT_HAS(configError(error.config), error.message);
  TemporaryFile json("json", R"({"module": "GRU"})");
  EXPECT_HAS(openError(json.getPath()), "a module config holds no weights");
}

//===----------------------------------------------------------------------===//
// Pickles
//===----------------------------------------------------------------------===//

std::string text(StringRef value) {
  return "X" + little(value.size(), 4) + value.str();
}

std::string integer(uint32_t value) { return "J" + little(value, 4); }

std::string tuple(ArrayRef<uint32_t> numbers) {
  std::string bytes = "(";
  for (uint32_t number : numbers)
    bytes += integer(number);
  return bytes + "t";
}

/// A tensor of a storage '0' of `count` numbers.
std::string tensor(uint32_t count, ArrayRef<uint32_t> size,
                   ArrayRef<uint32_t> stride, uint32_t offset = 0,
                   StringRef storage = "torch\nFloatStorage\n") {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "c" +
         storage.str() + text("0") + text("cpu") + integer(count) + "tQ" +
         integer(offset) + tuple(size) + tuple(stride) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

std::string pickle(const std::string &body) { return "\x80\x02" + body + "."; }

std::string item(StringRef name, const std::string &value) {
  return text(name) + value + "s";
}

std::string archiveError(const std::string &data, size_t bytes = 12) {
  return bytesError("pt", writeZip({{"a/data.pkl", data},
                                    {"a/data/0", std::string(bytes, '\0')}}));
}

TEST(Checkpoint, Good) {
  std::string both = item("weight_ih_l0", tensor(3, {3, 1}, {1, 1})) +
                     item("weight_hh_l0", tensor(3, {3, 1}, {1, 7}));
  EXPECT_EQ(archiveError(pickle("}" + both)), "");
  EXPECT_EQ(archiveError(pickle("}" + text("state_dict") + "}" + both + "s" +
                                item("epoch", integer(3)))),
            "");
}

// What nobody may do: this is os.system("true").
TEST(Checkpoint, RunsNothing) {
  EXPECT_HAS(archiveError(pickle("cposix\nsystem\n(" + text("true") + "tR")),
             "asks for 'posix.system', which would run code");
  EXPECT_HAS(archiveError(pickle("cbuiltins\neval\n(" + text("1") + "tR")),
             "'builtins.eval'");
  EXPECT_HAS(archiveError("\x80\x04\x8c\x05posix\x8c\x06system\x93."),
             "'posix.system'");
  EXPECT_HAS(archiveError(pickle("c__torch__.model\nNet\n)\x81")),
             "this is a TorchScript module: save module.state_dict()");
  // The old opcode that calls by name, and one that makes objects.
  EXPECT_HAS(archiveError(pickle("(" + text("x") + "iposix\nsystem\n")),
             "opcode 0x69, which a state dict does not use");
  EXPECT_HAS(archiveError(pickle("}\x81")), "opcode 0x81");
}

TEST(Checkpoint, Damaged) {
  EXPECT_HAS(archiveError("x"), "damaged pickle at byte 0");
  EXPECT_HAS(archiveError("hello"), "no pickle of protocol 2 to 5");
  EXPECT_HAS(archiveError("\x80\x02"), "damaged pickle at byte 2");
  EXPECT_HAS(archiveError(pickle("")), "takes from an empty stack");
  EXPECT_HAS(archiveError(pickle("t")), "has no mark to go back to");
  EXPECT_HAS(archiveError(pickle("h\x05")), "entry 5 of its memo");
  EXPECT_HAS(archiveError(pickle("s")), "takes from an empty stack");
  EXPECT_HAS(archiveError(pickle("(]N(Nu")), "fills a container");
  EXPECT_HAS(archiveError(pickle("}(Nu")), "has a key without a value");
  EXPECT_HAS(archiveError(pickle("NQ")), "something else than a tuple");
  EXPECT_HAS(archiveError(pickle("N)R")),
             "calls something that is no function");
  EXPECT_HAS(archiveError(pickle("X" + little(uint64_t(4) << 30, 4) + "abc")),
             "damaged pickle");
  EXPECT_HAS(archiveError("\x80\x02\x8d" + little(uint64_t(1) << 62, 8) + "."),
             "of 4611686018427387904 bytes");
  EXPECT_HAS(archiveError(pickle("\x8a\x09" + std::string(9, 'x'))),
             "an integer of 9 bytes");
  EXPECT_HAS(archiveError(pickle("cposix")), "a name has no end");
  EXPECT_HAS(archiveError(pickle("}")), "holds no dictionary of tensors");
  EXPECT_HAS(archiveError(pickle("]")), "holds no dictionary of tensors");
}

// Neither the stack of this program nor its memory depends on the nesting.
TEST(Checkpoint, DeepAndCircular) {
  std::string deep = "N";
  for (int i = 0; i < 200000; ++i)
    deep += '\x85';
  EXPECT_HAS(archiveError(pickle(deep)), "holds no dictionary of tensors");
  // A list that holds itself.
  EXPECT_HAS(archiveError(pickle("]q\x01h\x01"
                                 "a")),
             "holds no dictionary of tensors");
  auto parsed = torch::Pickle::parse("test", pickle("]q\x01h\x01"
                                                    "a"));
  ASSERT_TRUE(bool(parsed)) << toString(parsed.takeError());
  EXPECT_EQ(parsed->getRoot().items.size(), 1u);
}

TEST(Checkpoint, Tensors) {
  auto error = [](const std::string &value, size_t bytes = 12) {
    return archiveError(pickle("}" + item("w", value)), bytes);
  };
  EXPECT_HAS(error(tensor(4, {4}, {1})),
             "tensor 'w': its storage '0' has 12 bytes, expected 16");
  EXPECT_HAS(error(tensor(3, {4}, {1})), "4 at offset 0 does not fit");
  EXPECT_HAS(error(tensor(3, {3}, {2})), "does not fit its storage of 3");
  EXPECT_HAS(error(tensor(3, {3}, {1}, 1)), "3 at offset 1 does not fit");
  EXPECT_HAS(error(tensor(3, {2, 2}, {1, 1})), "2x2 at offset 0 does not fit");
  // Expanded tensors claim more numbers than there are.
  EXPECT_HAS(error(tensor(3, {2000000000, 2}, {0, 0})), "does not fit");
  EXPECT_HAS(error(tensor(3, {3}, {1, 1})), "offset, size or stride");
  EXPECT_HAS(error(tensor(3, {uint32_t(-3)}, {1})), "offset, size or stride");
  EXPECT_HAS(error(tensor(0x7fffffff, {0x7fffffff}, {1})),
             "claim far more bytes than the file has");
  EXPECT_HAS(error(tensor(3, {3}, {1}, 0, "torch\nSize\n")),
             "its storage is a torch.Size");
  EXPECT_HAS(archiveError(pickle("}" + item("w", tensor(3, {3}, {1})) +
                                 item("w", tensor(3, {3}, {1})))),
             "two tensors have the name 'w'");
  EXPECT_HAS(
      bytesError("pt",
                 writeZip({{"a/data.pkl",
                            pickle("}" + item("w", tensor(3, {3}, {1})))}})),
      "the archive has no entry 'a/data/0'");
  EXPECT_HAS(bytesError("pt", writeZip({{"a/data.pkl", pickle("}")},
                                        {"a/byteorder", "big"}})),
             "byte order 'big', expected little");
}

// Every archive that PyTorch has written here, cut and bent.
TEST(Checkpoint, Truncated) {
  std::string bytes = readBytes(dataPath("torch/made_pt_inferred/weights.pt"));
  for (size_t part = 1; part < 60; ++part)
    EXPECT_NE(bytesError("pt", bytes.substr(0, bytes.size() * part / 60)), "");
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

const char kAudio[] = R"({"model_data": {"model": "SimpleRNN", "input_size": 1,
  "skip": 1, "output_size": 1, "unit_type": "GRU", "num_layers": 1,
  "hidden_size": 1, "bias_fl": true}, "state_dict": {
  "rec.weight_ih_l0": [[1], [2], [3]], "rec.weight_hh_l0": [[1], [2], [3]],
  "rec.bias_ih_l0": [1, 2, 3], "rec.bias_hh_l0": [1, 2, 3],
  "lin.weight": [[1]], "lin.bias": [0]}})";

std::string audioError(StringRef from, StringRef to) {
  std::string model = kAudio;
  size_t hit = model.find(from);
  EXPECT_NE(hit, std::string::npos);
  return bytesError("json", model.replace(hit, from.size(), to));
}

TEST(AudioModel, Errors) {
  EXPECT_EQ(bytesError("json", kAudio), "");
  EXPECT_HAS(openError(dataPath("models/neuralseed/refused/lstm4.json")),
             "model_data: unit_type is 'LSTM', expected GRU");
  EXPECT_HAS(audioError("SimpleRNN", "RecNet"),
             "model is 'RecNet', expected SimpleRNN");
  EXPECT_HAS(
      audioError("[1, 2, 3], \"rec.bias_hh", "[1, [2], 3], \"rec.bias_hh"),
      "tensor 'rec.bias_ih_l0': found something else than lists");
  EXPECT_HAS(audioError("\"lin.bias\": [0]", "\"lin.bias\": \"zero\""),
             "tensor 'lin.bias': found something else than lists");
  EXPECT_HAS(audioError("\"bias_fl\": true", "\"bias_fl\": false"),
             "tensor 'lin.bias' is not used by the model");
  EXPECT_HAS(audioError("lin.bias", "lin.offset"),
             "holds no tensor 'lin.bias'");
  EXPECT_HAS(audioError("\"hidden_size\": 1", "\"hidden_size\": 2"),
             "tensor 'rec.weight_ih_l0': is 3x1, expected 6x1");
  EXPECT_HAS(audioError("\"skip\": 1", "\"skip\": 2"), "adds 2 features");
}

const char kRTNeural[] = R"({"in_shape": [null, null, 1], "layers": [
  {"type": "gru", "activation": "tanh", "shape": [null, null, 1],
   "weights": [[[1, 2, 3]], [[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]]},
  {"type": "dense", "activation": "relu", "shape": [null, null, 1],
   "weights": [[[1]], [0]]}]})";

std::string rtneuralError(StringRef from, StringRef to) {
  std::string model = kRTNeural;
  size_t hit = model.find(from);
  EXPECT_NE(hit, std::string::npos);
  return bytesError("json", model.replace(hit, from.size(), to));
}

TEST(RTNeural, Errors) {
  EXPECT_EQ(bytesError("json", kRTNeural), "");
  struct {
    StringRef from, to, message;
  } errors[] = {
      {"\"gru\"", "\"lstm\"",
       "layer 0 (lstm): type is 'lstm', expected one of dense"},
      {"tanh", "sigmoid",
       "layer 0 (gru): activation is 'sigmoid', but RTNeural computes "
       "tanh"},
      {"relu", "mish",
       "layer 1 (dense): activation is 'mish', expected tanh, relu"},
      {"[[1, 2, 3], [4, 5, 6]]", "[1, 2, 3]", "weight 2 is 3, expected 2x3"},
      {"[[[1]], [0]]", "[]", "has 0 weights, expected 1 or 2"},
      {"[[[1]], [0]]", "[[[1], [2]], [0]]",
       "weight 0 is 2x1, expected 1x1 (inputs x outputs)"},
      {"[null, null, 1], \"layers\"", "[null, 2, 2, 1], \"layers\"",
       "in_shape is [null,2,2,1], expected"},
      {"\"shape\": [null, null, 1]", "\"shape\": [0]",
       "shape holds no positive number"},
  };
  for (const auto &error : errors)
    EXPECT_HAS(rtneuralError(error.from, error.to), error.message);
}

} // namespace
