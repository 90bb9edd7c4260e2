//===- TorchConfig.cpp - what the modules of a state dict are -------------===//

#include "compiler/import/torch/TorchConfig.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/raw_ostream.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Reading arguments
//===----------------------------------------------------------------------===//

namespace {
/// Reads the arguments of one module, and reports those that nobody has read.
class ArgumentReader {
public:
  ArgumentReader(StringRef where, const json::Object &object)
      : where(where), object(object) {}

  const json::Value *get(StringRef key) {
    known.push_back(key);
    const json::Value *value = object.get(key);
    return value && !value->getAsNull() ? value : nullptr;
  }

  Error read(StringRef key, std::optional<int64_t> &result) {
    const json::Value *value = get(key);
    if (!value)
      return Error::success();
    result = value->getAsInteger();
    constexpr int64_t largest = int64_t(1) << 24;
    if (!result || *result < 1 || *result > largest)
      return wrong(key, *value, "a positive integer up to " + Twine(largest));
    return Error::success();
  }

  Error read(StringRef key, std::optional<bool> &result) {
    const json::Value *value = get(key);
    if (!value)
      return Error::success();
    result = value->getAsBoolean();
    // 0 and 1 are what some scripts write.
    if (std::optional<int64_t> number = value->getAsInteger();
        number && (*number == 0 || *number == 1))
      result = *number == 1;
    return result ? Error::success() : wrong(key, *value, "true or false");
  }

  Error read(StringRef key, bool &result) {
    std::optional<bool> value;
    if (Error error = read(key, value))
      return error;
    result = value.value_or(result);
    return Error::success();
  }

  Error read(StringRef key, std::string &result) {
    const json::Value *value = get(key);
    if (!value)
      return Error::success();
    std::optional<StringRef> text = value->getAsString();
    if (!text)
      return wrong(key, *value, "a string");
    result = text->str();
    return Error::success();
  }

  Error wrong(StringRef key, const json::Value &value, const Twine &expected) {
    std::string text;
    raw_string_ostream(text) << value;
    return importError(where, key + " is " + printable(text) + ", expected " +
                                  expected);
  }

  /// An error that names an argument which is none.
  Error finish() {
    for (const auto &entry : object)
      if (!is_contained(known, StringRef(entry.first)))
        return importError(where, "found the argument '" +
                                      printable(entry.first) +
                                      "', expected one of " + listText(known));
    return Error::success();
  }

  const std::string where;

private:
  const json::Object &object;
  SmallVector<StringRef> known;
};
} // namespace

//===----------------------------------------------------------------------===//
// Our own config
//===----------------------------------------------------------------------===//

static Error readDtype(ArgumentReader &reader,
                       std::optional<WeightType> &result) {
  std::string text;
  if (Error error = reader.read("dtype", text))
    return error;
  StringRef name = text;
  name.consume_front("torch.");
  if (name.empty())
    return Error::success();
  for (WeightType type :
       {WeightType::f32, WeightType::f64, WeightType::f16, WeightType::bf16})
    if (name == getWeightTypeName(type)) {
      result = type;
      return Error::success();
    }
  return importError(reader.where, "dtype is '" + printable(text) +
                                       "', expected float32, float64, float16 "
                                       "or bfloat16");
}

static Error readRecurrent(ArgumentReader &reader, Module &module) {
  for (auto [key, target] : {std::pair("input_size", &module.inputSize),
                             std::pair("hidden_size", &module.hiddenSize)})
    if (Error error = reader.read(key, *target))
      return error;
  if (Error error = reader.read("bias", module.bias))
    return error;
  if (module.type == "GRUCell")
    return Error::success();
  if (Error error = reader.read("num_layers", module.numLayers))
    return error;
  if (Error error = reader.read("bidirectional", module.bidirectional))
    return error;
  for (auto [key, target] : {std::pair("batch_first", &module.batchFirst),
                             std::pair("stateful", &module.stateful)})
    if (Error error = reader.read(key, *target))
      return error;
  // Dropout between the layers acts in training only.
  if (const json::Value *dropout = reader.get("dropout")) {
    std::optional<double> rate = dropout->getAsNumber();
    if (!rate || *rate < 0 || *rate > 1)
      return reader.wrong("dropout", *dropout, "a number from 0 to 1");
  }
  if (const json::Value *size = reader.get("proj_size"))
    if (size->getAsInteger() != 0)
      return reader.wrong("proj_size", *size,
                          "0: only an LSTM has projections");
  std::string result = "sequence";
  if (Error error = reader.read("result", result))
    return error;
  if (result != "sequence" && result != "last" && result != "state")
    return importError(reader.where, "result is '" + printable(result) +
                                         "', expected sequence, last or state");
  module.result = result == "sequence" ? Result::sequence
                  : result == "last"   ? Result::last
                                       : Result::state;
  return Error::success();
}

/// The arguments that are accepted of modules other than GRUs and activations,
/// apart from module and name. The importer checks activations.
static const std::pair<StringLiteral, std::vector<StringRef>> kArguments[] = {
    {"Linear", {"in_features", "out_features", "bias"}},
    {"Embedding", {"num_embeddings", "embedding_dim", "padding_idx"}},
    {"LayerNorm", {"normalized_shape", "eps", "bias"}},
    {"LeakyReLU", {"negative_slope", "inplace"}},
    {"ELU", {"alpha", "inplace"}},
    {"Dropout", {"p", "inplace"}},
    {"Identity", {}},
};

static Expected<Module> parseModule(StringRef where, const json::Object &object,
                                    std::optional<WeightType> &dtype) {
  Module module;
  StringRef type = object.getString("module").value_or("");
  type.consume_front("torch.nn.");
  type.consume_front("nn.");
  module.type = type.str();
  if (type.empty())
    return importError(where, "has no module, expected a class of torch.nn");
  if (type == "LSTM" || type == "RNN" || type == "LSTMCell" ||
      type == "RNNCell")
    return importError(where, "module is '" + module.type +
                                  "', expected a GRU or GRUCell");
  std::string own = (where + ": " + printable(type)).str();
  ArgumentReader reader(own, object);
  reader.get("module");
  if (Error error = reader.read("name", module.name))
    return std::move(error);
  if (type == "GRU" || type == "GRUCell") {
    if (Error error = readRecurrent(reader, module))
      return std::move(error);
    reader.get("device");
    if (Error error = readDtype(reader, dtype))
      return std::move(error);
    if (Error error = reader.finish())
      return std::move(error);
  }
  for (const auto &[known, arguments] : kArguments) {
    if (type != known)
      continue;
    for (StringRef argument : arguments)
      reader.get(argument);
    if (Error error = reader.finish())
      return std::move(error);
  }
  module.config = object;
  return module;
}

bool gru::torch::isModuleConfig(const json::Object &root) {
  // Keras's configs have a module and a class in it.
  return root.getString("module") && !root.get("class_name");
}

Expected<Network> gru::torch::parseModuleConfig(StringRef where,
                                                const json::Object &root) {
  Network network;
  if (root.getString("module") != "Sequential") {
    Expected<Module> module = parseModule(where, root, network.dtype);
    if (!module)
      return module.takeError();
    network.modules.push_back(std::move(*module));
    return network;
  }
  ArgumentReader reader(where, root);
  reader.get("module");
  const json::Value *value = reader.get("layers");
  const json::Array *layers = value ? value->getAsArray() : nullptr;
  if (!layers || layers->empty())
    return importError(where,
                       "layers is missing, expected the list of modules");
  std::optional<int64_t> skip;
  if (const json::Value *given = reader.get("skip");
      given && given->getAsInteger() != 0)
    if (Error error = reader.read("skip", skip))
      return std::move(error);
  network.skip = skip.value_or(0);
  if (Error error = readDtype(reader, network.dtype))
    return std::move(error);
  if (Error error = reader.finish())
    return std::move(error);
  for (auto [index, layer] : enumerate(*layers)) {
    std::string own = (where + ": layer " + Twine(index)).str();
    const json::Object *object = layer.getAsObject();
    if (!object)
      return importError(own, "is no object");
    Expected<Module> module = parseModule(own, *object, network.dtype);
    if (!module)
      return module.takeError();
    network.modules.push_back(std::move(*module));
  }
  return network;
}

//===----------------------------------------------------------------------===//
// Audio models
//===----------------------------------------------------------------------===//

Expected<Network> gru::torch::parseModelData(StringRef where,
                                             const json::Object &data) {
  ArgumentReader reader((where + ": model_data").str(), data);
  std::string model = "SimpleRNN", unit = "LSTM";
  if (Error error = reader.read("model", model))
    return std::move(error);
  if (model != "SimpleRNN")
    return importError(reader.where, "model is '" + printable(model) +
                                         "', expected SimpleRNN");
  if (Error error = reader.read("unit_type", unit))
    return std::move(error);
  if (unit != "GRU")
    return importError(reader.where,
                       "unit_type is '" + printable(unit) + "', expected GRU");
  Module rec, lin;
  rec.type = "GRU";
  rec.name = "rec";
  // Its session goes on where the last call ended, as the plugins do.
  rec.stateful = true;
  lin.type = "Linear";
  lin.name = "lin";
  std::optional<int64_t> outputSize, skip;
  std::optional<bool> bias;
  for (auto [key, target] : {std::pair("input_size", &rec.inputSize),
                             std::pair("hidden_size", &rec.hiddenSize),
                             std::pair("num_layers", &rec.numLayers),
                             std::pair("output_size", &outputSize)})
    if (Error error = reader.read(key, *target))
      return std::move(error);
  if (Error error = reader.read("bias_fl", bias))
    return std::move(error);
  if (const json::Value *given = reader.get("skip");
      given && given->getAsInteger() != 0)
    if (Error error = reader.read("skip", skip))
      return std::move(error);
  if (rec.hiddenSize)
    lin.config["in_features"] = *rec.hiddenSize;
  if (outputSize)
    lin.config["out_features"] = *outputSize;
  if (bias)
    lin.config["bias"] = *bias;
  Network network;
  network.skip = skip.value_or(0);
  network.modules.push_back(std::move(rec));
  network.modules.push_back(std::move(lin));
  return network;
}

//===----------------------------------------------------------------------===//
// Inference from names
//===----------------------------------------------------------------------===//

/// "rnn.gru.weight_ih_l0" -> "rnn.gru", "weight_ih_l0".
static std::pair<StringRef, StringRef> splitName(StringRef name) {
  auto [module, parameter] = name.rsplit('.');
  return parameter.empty() ? std::pair(StringRef(), module)
                           : std::pair(module, parameter);
}

/// weight_ih_l0, weight_hh_l3_reverse, bias_ih, ...: of a GRU or a GRUCell.
static bool isRecurrentParameter(StringRef name) {
  return (name.consume_front("weight_") || name.consume_front("bias_")) &&
         (name.consume_front("ih") || name.consume_front("hh") ||
          name.consume_front("hr")) &&
         (name.empty() || name.starts_with("_l"));
}

Expected<Network> gru::torch::inferNetwork(const StateDict &dict) {
  constexpr StringLiteral advice("; describe the model in a module.json (see "
                                 "docs/formats.md)");
  Network network;
  std::vector<Module> recurrent, linear;
  auto contains = [](ArrayRef<Module> modules, StringRef name) {
    return any_of(modules, [&](auto &module) { return module.name == name; });
  };
  for (const StateTensor &tensor : dict.tensors) {
    auto [name, parameter] = splitName(tensor.name);
    if (isRecurrentParameter(parameter)) {
      if (contains(recurrent, name))
        continue;
      Module &module = recurrent.emplace_back();
      module.type = parameter.contains("_l") ? "GRU" : "GRUCell";
      module.name = name.str();
    } else if (parameter == "weight" && tensor.shape.size() == 2) {
      Module &module = linear.emplace_back();
      module.type = "Linear";
      module.name = name.str();
    } else if (parameter != "bias") {
      return importError(dict.file, "cannot tell what tensor '" +
                                        printable(tensor.name) +
                                        "' belongs to" + advice);
    }
  }
  if (recurrent.empty())
    return importError(dict.file, "holds no weights of a GRU (weight_ih_l0)" +
                                      Twine(advice));
  if (!dict.hasModuleOrder)
    for (std::vector<Module> *modules : {&recurrent, &linear})
      // gru2 stands before gru10.
      llvm::sort(*modules, [](const Module &a, const Module &b) {
        return StringRef(a.name).compare_numeric(b.name) < 0;
      });
  if (recurrent.size() > 1 &&
      any_of(recurrent, [](auto &module) { return module.type == "GRUCell"; }))
    return importError(dict.file, "holds several GRUCells" + Twine(advice));
  llvm::move(recurrent, std::back_inserter(network.modules));
  llvm::move(linear, std::back_inserter(network.modules));
  return network;
}
