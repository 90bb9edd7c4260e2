//===- KerasActivations.cpp - Keras's activations -------------------------===//
//
// The only place that knows which activation a name or a layer object of Keras
// means, and with which parameters.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/keras/KerasActivations.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/KerasConfig.h"

#include "llvm/ADT/STLExtras.h"

#include <limits>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

Activation::Activation(ActivationKind kind) : kind(kind) {
  ActDefaults defaults = getActDefaults(kind);
  alpha = defaults.alpha;
  beta = defaults.beta;
  gamma = defaults.gamma;
}

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

namespace {
struct NamedActivation {
  StringLiteral name;
  ActivationKind kind;
};
} // namespace

/// Names with the parameters that Keras gives to a bare name; those are the
/// dialect's defaults, apart from the two that `lookUp` sets.
static constexpr NamedActivation kNamed[] = {
    {"celu", ActivationKind::celu},
    {"elu", ActivationKind::elu},
    {"exponential", ActivationKind::exponential},
    {"gelu", ActivationKind::gelu},
    {"hard_shrink", ActivationKind::hard_shrink},
    {"hard_sigmoid", ActivationKind::hard_sigmoid},
    {"hard_silu", ActivationKind::hard_silu},
    {"hard_swish", ActivationKind::hard_silu},
    {"hard_tanh", ActivationKind::hard_tanh},
    {"leaky_relu", ActivationKind::leaky_relu},
    {"linear", ActivationKind::linear},
    {"log_sigmoid", ActivationKind::log_sigmoid},
    {"log_softmax", ActivationKind::log_softmax},
    {"mish", ActivationKind::mish},
    {"relu", ActivationKind::relu},
    {"relu6", ActivationKind::relu},
    {"selu", ActivationKind::selu},
    {"sigmoid", ActivationKind::sigmoid},
    {"silu", ActivationKind::silu},
    {"soft_shrink", ActivationKind::soft_shrink},
    {"softmax", ActivationKind::softmax},
    {"softplus", ActivationKind::softplus},
    {"softsign", ActivationKind::softsign},
    {"sparse_plus", ActivationKind::sparse_plus},
    {"sparse_sigmoid", ActivationKind::sparse_sigmoid},
    {"sparsemax", ActivationKind::sparsemax},
    {"squareplus", ActivationKind::squareplus},
    {"swish", ActivationKind::silu},
    {"tanh", ActivationKind::tanh},
    {"tanh_shrink", ActivationKind::tanh_shrink},
};

static std::string acceptedNames() {
  SmallVector<StringRef> names;
  for (const NamedActivation &named : kNamed)
    names.push_back(named.name);
  return listText(names);
}

static Expected<Activation> lookUp(StringRef name, unsigned version) {
  const NamedActivation *found =
      find_if(kNamed, [&](auto &named) { return named.name == name; });
  if (found == std::end(kNamed)) {
    if (name == "glu")
      return importError("", "found 'glu', which halves the last axis and "
                             "therefore cannot act on units");
    if (name == "threshold")
      return importError("", "found 'threshold', which has no default "
                             "parameters and therefore cannot be an activation "
                             "by name");
    return importError("", "found '" + printable(name) + "', expected one of " +
                               acceptedNames() +
                               ", or a ReLU, LeakyReLU, ELU or Softmax layer");
  }
  Activation activation(found->kind);
  if (name == "relu6")
    activation.beta = 6;
  if (name == "hard_sigmoid" && version == 2) {
    activation.alpha = 0.2;
    activation.beta = 0.5;
  }
  return activation;
}

//===----------------------------------------------------------------------===//
// Layer objects
//===----------------------------------------------------------------------===//

/// A number under the first of `keys` that is present and not null. Old files
/// hold NumPy scalars as {"type": "ndarray", "value": 0.3}.
static Expected<double> getParameter(const json::Object &config,
                                     ArrayRef<StringRef> keys,
                                     double otherwise) {
  for (StringRef key : keys) {
    const json::Value *value = config.get(key);
    if (!value || value->getAsNull())
      continue;
    if (const json::Object *array = value->getAsObject())
      if (const json::Value *inner = array->get("value"))
        value = inner;
    if (std::optional<double> number = value->getAsNumber())
      return *number;
    std::string text;
    raw_string_ostream(text) << *value;
    return importError("",
                       key + " is " + printable(text) + ", expected a number");
  }
  return otherwise;
}

static Error checkNotNegative(StringRef key, double value) {
  if (value >= 0)
    return Error::success();
  return importError("", key + " is " + std::to_string(value) +
                             ", expected a number that is not negative");
}

static Expected<Activation> parseRelu(const json::Object &config) {
  Activation activation(ActivationKind::relu);
  Expected<double> slope = getParameter(config, {"negative_slope"}, 0);
  if (!slope)
    return slope.takeError();
  Expected<double> largest = getParameter(
      config, {"max_value"}, std::numeric_limits<double>::infinity());
  if (!largest)
    return largest.takeError();
  Expected<double> threshold = getParameter(config, {"threshold"}, 0);
  if (!threshold)
    return threshold.takeError();
  for (auto [key, value] :
       {std::pair<StringRef, double>{"negative_slope", *slope},
        {"max_value", *largest},
        {"threshold", *threshold}})
    if (Error error = checkNotNegative(key, value))
      return error;
  activation.alpha = *slope;
  activation.beta = *largest;
  activation.gamma = *threshold;
  return activation;
}

static Expected<Activation> parseLeakyRelu(const json::Object &config) {
  // The layer's default differs from that of the function of the same name.
  Expected<double> slope =
      getParameter(config, {"negative_slope", "alpha"}, 0.3);
  if (!slope)
    return slope.takeError();
  Activation activation(ActivationKind::leaky_relu);
  activation.alpha = *slope;
  return activation;
}

static Expected<Activation> parseElu(const json::Object &config) {
  Expected<double> alpha = getParameter(config, {"alpha"}, 1);
  if (!alpha)
    return alpha.takeError();
  Activation activation(ActivationKind::elu);
  activation.alpha = *alpha;
  return activation;
}

static Expected<Activation> parseSoftmax(const json::Object &config) {
  if (const json::Value *axis = config.get("axis"))
    if (axis->getAsInteger() != -1) {
      std::string text;
      raw_string_ostream(text) << *axis;
      return importError("", "axis is " + printable(text) + ", expected -1");
    }
  return Activation(ActivationKind::softmax);
}

std::optional<Expected<Activation>>
gru::keras::parseActivationLayer(StringRef className,
                                 const json::Object &config, unsigned version) {
  if (className == "ReLU")
    return parseRelu(config);
  if (className == "LeakyReLU")
    return parseLeakyRelu(config);
  if (className == "ELU")
    return parseElu(config);
  if (className == "Softmax")
    return parseSoftmax(config);
  if (className == "Activation") {
    const json::Value *activation = config.get("activation");
    if (!activation)
      return importError("", "activation is missing");
    // An Activation inside an Activation: the parser has bounded the depth.
    return parseActivation(*activation, version);
  }
  return std::nullopt;
}

Expected<Activation> gru::keras::parseActivation(const json::Value &value,
                                                 unsigned version) {
  if (value.getAsNull())
    return Activation(ActivationKind::linear);
  if (std::optional<StringRef> name = value.getAsString()) {
    // Keras 2 takes the name of a layer's class too, Keras 3 does not.
    if (version == 2)
      if (auto activation = parseActivationLayer(*name, {}, version))
        return std::move(*activation);
    return lookUp(*name, version);
  }
  if (std::optional<ObjectConfig> object = getObjectConfig(value)) {
    if (auto activation =
            parseActivationLayer(object->className, *object->config, version))
      return std::move(*activation);
    // Keras 3 writes a plain function as class "function" with its name as
    // config, whatever module it comes from.
    std::string found = object->className;
    if (found == "function")
      if (std::optional<StringRef> name =
              value.getAsObject()->getString("config"))
        found += " " + name->str();
    return importError("", "found the custom object '" + printable(found) +
                               "', expected one of " + acceptedNames() +
                               ", or a ReLU, LeakyReLU, ELU or Softmax layer");
  }
  std::string text;
  raw_string_ostream(text) << value;
  return importError("", "found " + printable(text) + ", expected one of " +
                             acceptedNames());
}
