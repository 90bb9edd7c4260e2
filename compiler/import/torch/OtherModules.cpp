//===- OtherModules.cpp - Linear, Embedding, LayerNorm, activations -------===//

#include "compiler/import/GateOrder.h"
#include "compiler/import/torch/NetworkBuilder.h"
#include "compiler/import/torch/TorchLayers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

using keras::Argument;
using keras::Layer;

/// A size in a module's config; nothing where it is absent.
static Expected<std::optional<int64_t>> getSize(const Module &module,
                                                StringRef key) {
  const json::Value *value = module.config.get(key);
  if (!value)
    return std::nullopt;
  std::optional<int64_t> number = value->getAsInteger();
  if (!number || *number < 1 || *number > (int64_t(1) << 31))
    return importError("", key + " is no positive integer");
  return number;
}

/// The sizes of a matrix: as the config says, else as the tensor is.
static Expected<std::array<int64_t, 2>> getMatrix(const Module &module,
                                                  const StateTensor *tensor,
                                                  StringRef rows,
                                                  StringRef columns) {
  std::array<int64_t, 2> sizes;
  for (auto [index, key] : enumerate(std::array<StringRef, 2>{rows, columns})) {
    Expected<std::optional<int64_t>> size = getSize(module, key);
    if (!size)
      return size.takeError();
    if (!*size && (!tensor || tensor->shape.size() != 2))
      return importError("", "found neither " + key + " nor a matrix 'weight'");
    sizes[index] = *size ? **size : tensor->shape[index];
  }
  return sizes;
}

Error NetworkBuilder::addLinear(Module &module, Layer &layer) {
  auto sizes = getMatrix(module, findParameter(module, "weight"),
                         "out_features", "in_features");
  if (!sizes)
    return fail(module, toString(sizes.takeError()));
  auto [outputs, inputs] = *sizes;
  if (features && inputs != features)
    return fail(module, "in_features is " + Twine(inputs) + ", but gets " +
                            Twine(features) + " features");
  auto weight =
      take(module, "weight", {outputs, inputs}, "out_features x in_features");
  if (!weight)
    return weight.takeError();
  bool hasBias = module.config.getBoolean("bias").value_or(
      findParameter(module, "bias") != nullptr);
  add(layer.name, "kernel", gru::transpose(*weight));
  if (hasBias)
    if (Error error = takeAs(module, "bias", {outputs}, "out_features",
                             layer.name, "bias"))
      return error;
  layer.className = "Dense";
  layer.config["units"] = outputs;
  layer.config["use_bias"] = hasBias;
  features = outputs;
  return Error::success();
}

Error NetworkBuilder::addEmbedding(Module &module, Layer &layer) {
  if (model.layers.size() > 1)
    return fail(module, "expected as the first module");
  auto sizes = getMatrix(module, findParameter(module, "weight"),
                         "num_embeddings", "embedding_dim");
  if (!sizes)
    return fail(module, toString(sizes.takeError()));
  auto [rows, columns] = *sizes;
  if (Error error =
          takeAs(module, "weight", {rows, columns},
                 "num_embeddings x embedding_dim", layer.name, "embeddings"))
    return error;
  layer.className = "Embedding";
  layer.config["input_dim"] = rows;
  layer.config["output_dim"] = columns;
  features = columns;
  return Error::success();
}

Error NetworkBuilder::addLayerNorm(Module &module, Layer &layer) {
  if (Error error =
          takeAs(module, "weight", {features}, "features", layer.name, "gamma"))
    return error;
  bool hasBias = findParameter(module, "bias");
  if (hasBias)
    if (Error error =
            takeAs(module, "bias", {features}, "features", layer.name, "beta"))
      return error;
  layer.className = "LayerNormalization";
  layer.config["axis"] = -1;
  layer.config["epsilon"] = module.config.getNumber("eps").value_or(1e-5);
  layer.config["center"] = hasBias;
  layer.config["scale"] = true;
  return Error::success();
}

/// Activations of torch.nn under Keras's names; empty for a class that is none.
static StringRef getActivationName(StringRef type) {
  return StringSwitch<StringRef>(type)
      .Case("ReLU", "relu")
      .Case("ReLU6", "relu6")
      .Case("Tanh", "tanh")
      .Case("Sigmoid", "sigmoid")
      .Case("GELU", "gelu")
      .Cases({"SiLU", "Swish"}, "silu")
      .Case("Mish", "mish")
      .Case("SELU", "selu")
      .Case("CELU", "celu")
      .Case("Softplus", "softplus")
      .Case("Softsign", "softsign")
      .Case("Softshrink", "soft_shrink")
      .Case("Hardshrink", "hard_shrink")
      .Case("Tanhshrink", "tanh_shrink")
      .Case("Hardtanh", "hard_tanh")
      .Case("Hardsigmoid", "hard_sigmoid")
      .Case("Hardswish", "hard_swish")
      .Case("LogSigmoid", "log_sigmoid")
      .Case("Softmax", "softmax")
      .Case("LogSoftmax", "log_softmax")
      .Default("");
}

Error NetworkBuilder::addActivation(Module &module, Layer &layer) {
  // Dropout acts in training only.
  if (module.type == "Dropout" || module.type == "Identity") {
    layer.className = module.type;
    return Error::success();
  }
  if (module.type == "LeakyReLU" || module.type == "ELU") {
    layer.className = module.type;
    bool isLeaky = module.type == "LeakyReLU";
    StringRef key = isLeaky ? "negative_slope" : "alpha";
    layer.config[key] =
        module.config.getNumber(key).value_or(isLeaky ? 0.01 : 1.0);
    return Error::success();
  }
  StringRef name = getActivationName(module.type);
  if (name.empty())
    return fail(module,
                "is not supported, expected GRU, GRUCell, Linear, Embedding, "
                "LayerNorm, Dropout, Identity or an activation");
  // Arguments that differ from torch's defaults are not the function that the
  // name stands for; `dim` and `inplace` say nothing new here.
  for (const auto &entry : module.config) {
    StringRef key = entry.first;
    if (is_contained({"module", "name", "inplace"}, key))
      continue;
    if (key == "dim" && (name == "softmax" || name == "log_softmax")) {
      std::optional<int64_t> dim = entry.second.getAsInteger();
      if (dim == -1 || dim == (unbatched ? 1 : 2))
        continue;
    }
    return fail(module,
                "the argument '" + printable(key) + "' is not supported" +
                    (key == "dim" ? " but for the last dimension" : ""));
  }
  layer.className = "Activation";
  layer.config["activation"] = name.str();
  return Error::success();
}
