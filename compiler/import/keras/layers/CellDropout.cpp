//===- CellDropout.cpp - dropout of recurrent cells in training -----------===//
//
// A mask holds 0 and 1/(1 - rate), so that applying it is one multiplication.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/keras/layers/CellDropout.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/TensorBuilder.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// The config that holds the cell which a mask of this name is for, going from
/// RNN to StackedRNNCells to cell.
static const json::Object *findCell(const json::Object &config,
                                    StringRef mask) {
  const json::Value *cell = findEntry(config, "cell");
  const json::Array *cells = cell ? cell->getAsArray() : nullptr;
  if (!cells)
    cells = config.getArray("cells");
  if (cells) {
    size_t index = 0;
    mask.substr(mask.rfind("_cell") + StringRef("_cell").size())
        .getAsInteger(10, index);
    cell = index < cells->size() ? &(*cells)[index] : nullptr;
  }
  std::optional<ObjectConfig> object;
  if (cell)
    object = getObjectConfig(*cell);
  return object ? findCell(*object->config, mask) : &config;
}

std::optional<int64_t> gru::keras::getDropoutSeed(const Layer &layer,
                                                  StringRef mask) {
  const json::Value *seed = findEntry(*findCell(layer.config, mask), "seed");
  if (!seed)
    return std::nullopt;
  // A SeedGenerator that was made of a number.
  if (std::optional<ObjectConfig> generator = getObjectConfig(*seed))
    return generator->config->getInteger("seed");
  return seed->getAsInteger();
}

/// The rate that acts. Keras 3 drops nothing at a rate of 1, Keras 2 refuses
/// it.
static Error checkRate(LayerContext &context, StringRef argument,
                       double &rate) {
  // Keras clamps rates without a word.
  rate = std::clamp(rate, 0.0, 1.0);
  if (!context.options.training || rate < 1)
    return Error::success();
  if (context.version == 2)
    return context.error(argument +
                         " is 1 in training, expected a rate below 1");
  rate = 0;
  return Error::success();
}

Expected<CellDropout> gru::keras::readCellDropout(LayerContext &context,
                                                  const json::Object &config) {
  CellDropout result;
  GRU_TAKE(result.input, context.getNumber(config, "dropout", 0));
  GRU_TAKE(result.recurrent, context.getNumber(config, "recurrent_dropout", 0));
  GRU_TAKE(result.implementation,
           context.getInteger(config, "implementation",
                              context.version == 2 ? 1 : 2));
  if (result.implementation < 0 || result.implementation > 2)
    return context.error("implementation is " + Twine(result.implementation) +
                         ", expected 1 or 2");
  // 0 is an old name of 1, and recurrent dropout exists only in 1.
  if (result.implementation == 0 || result.recurrent > 0)
    result.implementation = 1;
  if (Error error = checkRate(context, "dropout", result.input))
    return std::move(error);
  if (Error error = checkRate(context, "recurrent_dropout", result.recurrent))
    return std::move(error);
  return result;
}

/// value[...] with a new dimension of size 1 in front.
static Tensor emitGateDimension(LayerContext &context, Tensor mask) {
  mask.shape.insert(mask.shape.begin(), 1);
  if (!context.isEmitting())
    return mask;
  mlir::OpBuilder &b = *context.builder;
  mlir::Location loc = context.getLocation();
  SmallVector<mlir::OpFoldResult> sizes =
      mlir::tensor::getMixedSizes(b, loc, mask.value);
  sizes.insert(sizes.begin(), b.getIndexAttr(1));
  mask.value = mlir::tensor::ExpandShapeOp::create(
      b, loc,
      mlir::RankedTensorType::get(mask.shape,
                                  getMLIRType(b.getContext(), mask.type)),
      mask.value, ArrayRef<mlir::ReassociationIndices>{{0, 1}, {2}}, sizes);
  return mask;
}

Expected<CellMasks> gru::keras::getCellMasks(LayerContext &context,
                                             const CellDropout &dropout,
                                             int64_t units, StringRef suffix,
                                             int64_t batchDim, Tensor &input) {
  CellMasks masks;
  masks.implementation = dropout.implementation;
  if (!context.options.training)
    return masks;
  int64_t rank = input.shape.size();
  int64_t batch = -1 - batchDim, features = -rank;
  if (dropout.input > 0) {
    MaskRequest request;
    request.name = ("dropout_mask" + suffix).str();
    request.like = input;
    request.rate = dropout.input;
    // A file of Keras 3 does not say the implementation, so a mask that is
    // given may have either form.
    SmallVector<int64_t> perGate{3, batch, features}, shared{batch, features};
    if (dropout.perTimestep) {
      request.forms = {{-1, -2, -3}, shared};
      request.batchDims = {batchDim, 0};
    } else if (dropout.implementation == 1) {
      request.forms = {perGate, shared};
      request.batchDims = {1, 0};
    } else {
      request.forms = {shared, perGate};
      request.batchDims = {0, 1};
    }
    Tensor mask;
    GRU_TAKE(mask, context.getDropoutMask(request));
    if (mask.shape.size() == 2) {
      masks.input = emitGateDimension(context, mask);
      masks.implementation = 2;
    } else if (dropout.perTimestep) {
      GRU_TAKE(input, emitProduct(context, input, mask));
    } else {
      masks.input = mask;
      masks.implementation = 1;
    }
  }
  if (dropout.recurrent > 0) {
    MaskRequest request;
    request.name = ("recurrent_dropout_mask" + suffix).str();
    request.like = input;
    request.rate = dropout.recurrent;
    request.forms = {{3, batch, units}};
    request.batchDims = {1};
    GRU_TAKE(masks.recurrent, context.getDropoutMask(request));
  }
  return masks;
}
