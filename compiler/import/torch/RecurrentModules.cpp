//===- RecurrentModules.cpp - nn.GRU and nn.GRUCell -----------------------===//

#include "compiler/import/GateOrder.h"
#include "compiler/import/torch/NetworkBuilder.h"
#include "compiler/import/torch/TorchLayers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

using keras::Argument;
using keras::Layer;

/// Fills in what the config leaves open from the weights of one cell, whose
/// names end in `suffix`, and refuses those of another network.
Error NetworkBuilder::resolveCell(Module &module, StringRef suffix) {
  const StateTensor *recurrent =
      findParameter(module, ("weight_hh" + suffix).str());
  const StateTensor *kernel =
      findParameter(module, ("weight_ih" + suffix).str());
  if (findParameter(module, ("weight_hr" + suffix).str()))
    return fail(module, "the weights have a projection (weight_hr" + suffix +
                            "), which only an LSTM has");
  if (recurrent && recurrent->shape.size() == 2) {
    int64_t rows = recurrent->shape[0], units = recurrent->shape[1];
    if (units > 0 && rows != 3 * units && (rows == 4 * units || rows == units))
      return importError(dict.file,
                         "tensor '" + printable(recurrent->name) + "' is " +
                             shapeText(recurrent->shape) + ", that of " +
                             (rows == units ? "a plain RNN" : "an LSTM") +
                             ", expected a GRU (3*hidden_size x hidden_size)");
    if (!module.hiddenSize)
      module.hiddenSize = units;
  }
  if (kernel && kernel->shape.size() == 2 && !module.inputSize)
    module.inputSize = kernel->shape[1];
  if (!module.bias)
    module.bias = findParameter(module, ("bias_ih" + suffix).str()) != nullptr;
  constexpr int64_t largest = int64_t(1) << 24;
  for (auto [key, weight, size] :
       {std::tuple("hidden_size", "weight_hh", module.hiddenSize),
        std::tuple("input_size", "weight_ih", module.inputSize)}) {
    if (!size)
      return importError(
          dict.file,
          "holds no matrix '" +
              printable(joinName(module.name, (Twine(weight) + suffix).str())) +
              "' for the " + describe(module));
    if (*size < 1 || *size > largest)
      return fail(module, Twine(key) + " is " + Twine(*size) +
                              ", expected a positive integer up to " +
                              Twine(largest));
  }
  return Error::success();
}

Error NetworkBuilder::addGRUDirection(const Module &module, StringRef layer,
                                      int64_t number, bool backward,
                                      int64_t inputs) {
  std::string part =
      "l" + utostr(number) + (backward ? "_reverse" : std::string());
  std::string role = part, suffix = "_" + part;
  if (module.type == "GRUCell")
    role = suffix = "";
  auto join = [&](StringRef name) {
    return role.empty() ? name.str() : role + "/" + name.str();
  };
  int64_t units = *module.hiddenSize;
  auto kernel = take(module, "weight_ih" + suffix, {3 * units, inputs},
                     number ? "3*hidden_size x directions*hidden_size"
                            : "3*hidden_size x input_size");
  if (!kernel)
    return kernel.takeError();
  auto recurrent = take(module, "weight_hh" + suffix, {3 * units, units},
                        "3*hidden_size x hidden_size");
  if (!recurrent)
    return recurrent.takeError();
  add(layer, join("kernel"), toKerasMatrix(*kernel, GateOrder::rzh));
  add(layer, join("recurrent_kernel"),
      toKerasMatrix(*recurrent, GateOrder::rzh));
  if (!*module.bias)
    return Error::success();
  auto inputBias =
      take(module, "bias_ih" + suffix, {3 * units}, "3*hidden_size");
  if (!inputBias)
    return inputBias.takeError();
  auto recurrentBias =
      take(module, "bias_hh" + suffix, {3 * units}, "3*hidden_size");
  if (!recurrentBias)
    return recurrentBias.takeError();
  add(layer, join("bias"),
      toKerasBias(*inputBias, *recurrentBias, GateOrder::rzh));
  return Error::success();
}

/// h0, or h0_0, h0_1, ... where a network has several GRUs.
static std::string numbered(StringRef name, size_t index, bool several) {
  return several ? (name + "_" + Twine(index)).str() : name.str();
}

Error NetworkBuilder::addGRU(Module &module, Layer &layer, keras::Node &node) {
  if (Error error = resolveCell(module, "_l0"))
    return error;
  if (!module.bidirectional)
    module.bidirectional = findParameter(module, "weight_ih_l0_reverse");
  if (!module.numLayers) {
    module.numLayers = 1;
    while (findParameter(module, "weight_ih_l" + utostr(*module.numLayers)))
      ++*module.numLayers;
  }
  int64_t directions = *module.bidirectional ? 2 : 1;
  int64_t units = *module.hiddenSize;
  for (int64_t number = 0; number < *module.numLayers; ++number)
    for (int64_t direction = 0; direction < directions; ++direction)
      if (Error error =
              addGRUDirection(module, layer.name, number, direction == 1,
                              number ? directions * units : *module.inputSize))
        return error;
  layer.own = &kGRU;
  layer.config["hidden_size"] = units;
  layer.config["num_layers"] = *module.numLayers;
  layer.config["bias"] = *module.bias;
  layer.config["bidirectional"] = *module.bidirectional;
  layer.config["time_major"] = timeMajor && !unbatched;
  layer.config["stateful"] = module.stateful;
  layer.config["dropout"] = module.config.getNumber("dropout").value_or(0);
  layer.config["result"] = module.result == Result::sequence ? "sequence"
                           : module.result == Result::last   ? "last"
                                                             : "state";

  bool several = count_if(network.modules, [](const Module &other) {
                   return other.type == "GRU";
                 }) > 1;
  std::string h0 = numbered("h0", numRecurrent, several);
  std::string hn = numbered("h_n", numRecurrent, several);
  keras::Dims stateDims{unbatched ? -1 : 1, -1};
  if (isGiven(h0)) {
    SmallVector<int64_t> shape{*module.numLayers * directions, kDynamicSize,
                               units};
    if (unbatched)
      shape.erase(shape.begin() + 1);
    node.named.emplace_back(
        "h0", addInput(h0, shape, getWeightTypeName(*dtype), stateDims));
  }
  if (isGiven("lengths")) {
    Argument lengths;
    lengths.kind = Argument::Tensor;
    lengths.tensor = {"lengths", 0, 0};
    if (!model.dims.count("lengths"))
      addInput("lengths", {kDynamicSize}, "int64", {0, -1});
    node.named.emplace_back("lengths", lengths);
  }
  // A session that keeps the state needs no output for it.
  if (!module.stateful) {
    Argument state;
    state.kind = Argument::Tensor;
    state.tensor = {layer.name, 0, 1};
    addOutput(hn, state, stateDims);
  }
  features = module.result == Result::state ? units : directions * units;
  if (module.result != Result::sequence)
    dims = {unbatched ? -1 : 0, -1};
  ++numRecurrent;
  return Error::success();
}

Error NetworkBuilder::addGRUCell(Module &module, Layer &layer,
                                 keras::Node &node) {
  if (network.modules.size() != 1)
    return fail(module, "stands in a row of modules, expected a GRU there or "
                        "the cell alone");
  if (Error error = resolveCell(module, ""))
    return error;
  if (Error error = addGRUDirection(module, layer.name, 0, /*backward=*/false,
                                    *module.inputSize))
    return error;
  layer.own = &kGRUCell;
  layer.config["hidden_size"] = *module.hiddenSize;
  layer.config["bias"] = *module.bias;
  if (isGiven("h0")) {
    SmallVector<int64_t> shape{kDynamicSize, *module.hiddenSize};
    if (unbatched)
      shape.erase(shape.begin());
    node.named.emplace_back(
        "h0", addInput("h0", shape, getWeightTypeName(*dtype), dims));
  }
  features = *module.hiddenSize;
  return Error::success();
}
