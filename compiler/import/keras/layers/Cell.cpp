//===- Cell.cpp - one step of GRU cells -----------------------------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/Layers.h"
#include "compiler/import/keras/layers/Recurrent.h"

#include "llvm/ADT/STLExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// A GRUCell, or several stacked, called for one step: the input is the first
/// of `inputs`, the states follow it. Gives the output and the new states.
Expected<Tensors> gru::keras::importCell(LayerContext &context) {
  const json::Object &config = context.layer.config;
  SmallVector<CellConfig> cells;
  if (context.layer.className == "StackedRNNCells") {
    const json::Array *list = config.getArray("cells");
    if (!list)
      return context.error("cells is missing");
    if (Error error = readStack(context, *list, "", cells))
      return error;
  } else if (Error error = readCell(context, config, cells.emplace_back()))
    return error;
  if (context.inputs.size() != 1 + cells.size())
    return context.error("found " + Twine(context.inputs.size()) +
                         " inputs, expected x and " + Twine(cells.size()) +
                         " states");
  Tensor input = context.inputs.front();
  Tensors states;
  for (auto [index, cell] : enumerate(cells)) {
    Tensor state;
    GRU_TAKE(input, context.castInput(input, cell.type));
    GRU_TAKE(state, context.castInput(context.inputs[1 + index], cell.type));
    if (input.shape.size() != 2 || input.shape[1] == kDynamicSize)
      return context.error("input is " + shapeText(input.shape) +
                           ", expected batch x features");
    if (state.shape.size() != 2 || state.shape[1] != cell.units)
      return context.error(
          "state is " + shapeText(state.shape) + ", expected " +
          shapeText({input.shape[0], cell.units}) + " (batch x units)");
    describeCell(context, cell);
    Expected<CellWeights> weights =
        getCellWeights(context, cell, input.shape[1], false);
    if (!weights)
      return weights.takeError();
    CellMasks masks;
    GRU_TAKE(masks,
             getCellMasks(context, cell.dropout, cell.units,
                          cells.size() > 1 ? "_" + cell.part : std::string(),
                          /*batchDim=*/0, input));
    if (context.isEmitting()) {
      mlir::OpBuilder &b = *context.builder;
      state.value = CellOp::create(
          b, context.getLocation(), input.value, state.value,
          weights->kernel.value, weights->recurrentKernel.value,
          weights->bias.value, masks.input.value, masks.recurrent.value,
          cell.activation.getAttr(b.getContext()),
          cell.recurrentActivation.getAttr(b.getContext()), cell.resetAfter,
          masks.implementation, /*clip=*/mlir::FloatAttr());
    }
    states.push_back(state);
    input = state;
  }
  Tensors outputs{input};
  outputs.append(states);
  return outputs;
}
