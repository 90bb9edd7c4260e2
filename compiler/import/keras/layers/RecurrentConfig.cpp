//===- RecurrentConfig.cpp - the configuration of recurrent layers --------===//

#include "compiler/import/keras/layers/Recurrent.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// Arguments of GRU and GRUCell in any version of Keras, and what files have
/// beside them. Those with a meaning here are read elsewhere.
static constexpr StringLiteral kKnownArguments[] = {
    "units", "activation", "recurrent_activation", "use_bias", "reset_after",
    "kernel_initializer", "recurrent_initializer", "bias_initializer",
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer",
    "activity_regularizer", "kernel_constraint", "recurrent_constraint",
    "bias_constraint", "dropout", "recurrent_dropout", "implementation",
    "return_sequences", "return_state", "go_backwards", "stateful", "unroll",
    "time_major", "zero_output_for_mask", "seed", "use_cudnn", "name", "dtype",
    "trainable", "autocast", "dynamic", "batch_input_shape", "batch_shape",
    "input_shape", "input_dim", "input_length", "input_dtype", "weights",
    "ragged", "num_constants", "build_config", "quantization_config",
    "class_name",
    // Of Keras 2 before 2.3, where they had lost their meaning already.
    "consume_less", "dropout_W", "dropout_U", "output_dim", "init",
    "inner_init", "inner_activation"};

/// An argument that no GRU has is a mistake, as it is in Keras: a misspelt one
/// would give other numbers without a word.
static Error checkArguments(const LayerContext &context, StringRef className,
                            const json::Object &config) {
  for (const auto &entry : config) {
    StringRef key = entry.first;
    if (is_contained(kKnownArguments, key))
      continue;
    StringRef closest;
    unsigned distance = 4;
    for (StringRef known : kKnownArguments)
      if (unsigned d = key.edit_distance(known, true, distance); d < distance) {
        distance = d;
        closest = known;
      }
    return context.error("found the argument '" + printable(key) + "', which " +
                         className + " does not have" +
                         (closest.empty()
                              ? std::string()
                              : "; did you mean '" + closest.str() + "'?"));
  }
  if (const json::Value *value = findEntry(config, "use_cudnn"))
    if (!value->getAsBoolean() && value->getAsString() != "auto")
      return context.error("use_cudnn is " + jsonText(*value) +
                           ", expected true, false or 'auto'");
  if (context.version == 3 && isFlagSet(config, "time_major"))
    return context.error("time_major is set, which Keras 3 does not have: "
                         "expected inputs of batch x timesteps x features");
  return Error::success();
}

Error gru::keras::readCell(LayerContext &context, const json::Object &config,
                           CellConfig &result) {
  constexpr int64_t largestUnits = int64_t(1) << 24;
  result.config = &config;
  if (context.layer.className != "CuDNNGRU")
    if (Error error = checkArguments(context,
                                     &config == &context.layer.config
                                         ? StringRef(context.layer.className)
                                         : "GRUCell",
                                     config))
      return error;
  GRU_TAKE(result.units, context.getInteger(config, "units"));
  if (result.units < 1 || result.units > largestUnits)
    return context.error("units is " + Twine(result.units) +
                         ", expected a positive integer up to " +
                         Twine(largestUnits));
  // Keras 2 before 2.3 defaulted to hard_sigmoid, but every version since 2.0
  // writes the value.
  GRU_TAKE(result.activation,
           context.getActivation(config, "activation", ActivationKind::tanh));
  GRU_TAKE(result.recurrentActivation,
           context.getActivation(config, "recurrent_activation",
                                 ActivationKind::sigmoid));
  GRU_TAKE(result.useBias, context.getBool(config, "use_bias", true));
  // Files of Keras 2 without the key are from before it: they know only the
  // form without reset_after.
  GRU_TAKE(result.resetAfter,
           context.getBool(config, "reset_after", context.version == 3));
  GRU_TAKE(result.dropout, readCellDropout(context, config));
  GRU_TAKE(result.type, context.getComputeType(config));
  return Error::success();
}

Error gru::keras::readStack(LayerContext &context, ArrayRef<json::Value> cells,
                            StringRef folder, SmallVector<CellConfig> &result) {
  if (cells.empty())
    return context.error("cells is empty, expected at least 1 GRUCell");
  for (auto [index, value] : enumerate(cells)) {
    std::optional<ObjectConfig> cell = getObjectConfig(value);
    if (!cell || cell->className != "GRUCell")
      return context.error(
          "cell " + Twine(index) + " is " +
          (cell ? "'" + printable(cell->className) + "'" : jsonText(value)) +
          ", expected a GRUCell");
    CellConfig config;
    if (Error error = readCell(context, *cell->config, config))
      return error;
    config.folder = (folder + "cells/gru_cell" +
                     (index ? "_" + utostr(index) : std::string()))
                        .str();
    if (cells.size() > 1)
      config.part = "cell" + utostr(index);
    result.push_back(std::move(config));
  }
  return Error::success();
}

/// The cell of an RNN: a GRUCell, a StackedRNNCells, or a list of cells.
static Error readCells(LayerContext &context, const json::Value *value,
                       RecurrentConfig &result) {
  if (const json::Array *list = value ? value->getAsArray() : nullptr)
    return readStack(context, *list, "cell/", result.cells);
  std::optional<ObjectConfig> cell;
  if (value)
    cell = getObjectConfig(*value);
  if (cell && cell->className == "StackedRNNCells") {
    const json::Array *cells = cell->config->getArray("cells");
    if (!cells)
      return context.error("the config of StackedRNNCells has no cells");
    if (isFlagSet(*cell->config, "reverse_state_order"))
      return context.error("reverse_state_order is not supported");
    if (context.version == 2)
      GRU_TAKE(result.stackType, context.getComputeType(*cell->config));
    return readStack(context, *cells, "cell/", result.cells);
  }
  if (!cell || cell->className != "GRUCell")
    return context.error(
        "cell is " +
        (cell ? "'" + printable(cell->className) + "'"
              : (value ? jsonText(*value) : std::string("missing"))) +
        ", expected a GRUCell or StackedRNNCells of them");
  result.cells.emplace_back().folder = "cell";
  return readCell(context, *cell->config, result.cells.back());
}

/// What GRU layers, unlike cells in an RNN, do with dropout in training.
static Error checkFusedDropout(LayerContext &context, RecurrentConfig &config) {
  CellConfig &cell = config.cells.front();
  if (!context.options.training || cell.dropout.input == 0)
    return Error::success();
  bool noRecurrent = cell.dropout.recurrent == 0;
  if (context.version == 3) {
    if (cell.dropout.implementation == 1 && noRecurrent)
      return context.error("dropout in training with implementation 1 fails in "
                           "Keras 3, expected implementation 2 or a "
                           "recurrent_dropout");
    return Error::success();
  }
  // Keras 2 chooses by these whether cuDNN could take the layer, on a CPU too.
  cell.dropout.perTimestep =
      cell.activation.kind == ActivationKind::tanh &&
      cell.recurrentActivation.kind == ActivationKind::sigmoid && noRecurrent &&
      !config.unroll && cell.useBias && cell.resetAfter;
  return Error::success();
}

Expected<RecurrentConfig> gru::keras::readRecurrent(LayerContext &context) {
  RecurrentConfig result;
  const json::Object &config = context.layer.config;
  if (context.layer.className == "RNN") {
    result.fromCell = true;
    if (Error error = readCells(context, config.get("cell"), result))
      return error;
  } else if (context.layer.className == "GRU" ||
             context.layer.className == "CuDNNGRU") {
    result.cells.emplace_back().folder = "cell";
    if (Error error = readCell(context, config, result.cells.back()))
      return error;
  } else
    return context.error("class '" + printable(context.layer.className) +
                         "' is no recurrent layer, expected GRU or RNN");
  if (context.layer.className == "CuDNNGRU") {
    // These are not arguments of the layer: cuDNN fixes them.
    CellConfig &cell = result.cells.front();
    cell.activation = ActivationKind::tanh;
    cell.recurrentActivation = ActivationKind::sigmoid;
    cell.useBias = cell.resetAfter = true;
    cell.dropout.implementation = 2;
    result.cudnnForm = true;
  }
  for (auto [key, target] :
       {std::pair<StringRef, bool *>{"return_sequences",
                                     &result.returnSequences},
        {"return_state", &result.returnState},
        {"go_backwards", &result.goBackwards},
        {"stateful", &result.stateful},
        {"unroll", &result.unroll},
        {"time_major", &result.timeMajor},
        {"zero_output_for_mask", &result.zeroOutputForMask}})
    GRU_TAKE(*target, context.getBool(config, key, false));
  if (!result.fromCell)
    if (Error error = checkFusedDropout(context, result))
      return std::move(error);
  int64_t constants = 0;
  GRU_TAKE(constants, context.getInteger(config, "num_constants", 0));
  if (constants != 0)
    return context.error("constants passed to the cell are not supported, "
                         "found " +
                         Twine(constants));
  return result;
}
