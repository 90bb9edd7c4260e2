//===- RecurrentAttributes.cpp - what programs may ask of a layer ---------===//

#include "compiler/import/keras/layers/Recurrent.h"

#include "llvm/ADT/STLExtras.h"

#include <utility>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

void gru::keras::describeCell(LayerContext &context, const CellConfig &cell) {
  const json::Object *outer = std::exchange(context.weightConfig, cell.config);
  auto tell = [&](StringRef attribute, json::Value value) {
    context.describe(cell.part, attribute, std::move(value));
  };
  if (cell.config != &context.layer.config)
    for (const auto &[key, value] : *cell.config)
      if (!is_contained({"name", "trainable", "dtype"}, StringRef(key)))
        tell(StringRef(key), value);
  tell("units", cell.units);
  // A parameterised activation is told as the config has it.
  for (auto [key, activation] :
       {std::pair<StringRef, Activation>{"activation", cell.activation},
        {"recurrent_activation", cell.recurrentActivation}})
    if (!findEntry(*cell.config, key))
      tell(key, stringifyActivationKind(activation.kind));
  tell("use_bias", cell.useBias);
  tell("reset_after", cell.resetAfter);
  tell("implementation", cell.dropout.implementation);
  tell("dropout", cell.dropout.input);
  tell("recurrent_dropout", cell.dropout.recurrent);
  for (StringRef weight : {"kernel", "recurrent", "bias"})
    for (StringRef rule : {"initializer", "regularizer", "constraint"}) {
      std::string key = (weight + "_" + rule).str();
      if (findEntry(*cell.config, key))
        continue;
      if (rule != "initializer")
        tell(key, nullptr);
      else
        tell(key, weight == "kernel"      ? "glorot_uniform"
                  : weight == "recurrent" ? "orthogonal"
                                          : "zeros");
    }
  if (!findEntry(*cell.config, "seed"))
    tell("seed", nullptr);
  tell("state_size", cell.units);
  tell("output_size", cell.units);
  context.describeStates(cell.part, cell.units, getElementType(cell.type));
  context.weightConfig = outer;
}

void gru::keras::describeLayer(LayerContext &context,
                               const RecurrentConfig &config) {
  for (const CellConfig &cell : config.cells)
    describeCell(context, cell);
  for (auto [key, value] :
       {std::pair<StringRef, bool>{"return_sequences", config.returnSequences},
        {"return_state", config.returnState},
        {"go_backwards", config.goBackwards},
        {"stateful", config.stateful},
        {"unroll", config.unroll},
        {"time_major", config.timeMajor},
        {"zero_output_for_mask", config.zeroOutputForMask}})
    context.describe("", key, value);
  if (!findEntry(context.layer.config, "activity_regularizer"))
    context.describe("", "activity_regularizer", nullptr);
  SmallVector<int64_t> sizes;
  json::Array states;
  for (const CellConfig &cell : config.cells) {
    sizes.push_back(cell.units);
    // Keras lists None for a state that is not kept.
    states.push_back(config.stateful
                         ? json::Value(context.getStateName(cell.part))
                         : json::Value(nullptr));
  }
  context.describe("", "states", std::move(states));
  if (sizes.size() > 1) {
    context.describe("", "state_size", json::Array(sizes));
    context.describe("", "output_size", sizes.back());
  }
  context.describeStates("", sizes, getElementType(config.cells.front().type));
}
