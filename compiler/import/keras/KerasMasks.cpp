//===- KerasMasks.cpp - the random numbers that layers draw in training ---===//

#include "compiler/import/keras/KerasWalk.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/layers/CellDropout.h"
#include "dialect/GRUDialect.h"
#include "dialect/GRURandomOps.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// The dimensions of a mask for the layer's input.
static SmallVector<int64_t> getMaskShape(const MaskRequest &request,
                                         ArrayRef<int64_t> form) {
  SmallVector<int64_t> shape(form);
  for (int64_t &size : shape)
    if (size < 0)
      size = request.like.shape[-1 - size];
  return shape;
}

/// What is kept is 1/(1 - rate) in the type of the layer, also where the layer
/// is computed in float64.
static double roundTo(ElementType type, double number) {
  const fltSemantics *semantics =
      type == ElementType::f32    ? &APFloat::IEEEsingle()
      : type == ElementType::f16  ? &APFloat::IEEEhalf()
      : type == ElementType::bf16 ? &APFloat::BFloat()
                                  : &APFloat::IEEEdouble();
  APFloat value(number);
  bool ignored;
  value.convert(*semantics, APFloat::rmNearestTiesToEven, &ignored);
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &ignored);
  return value.convertToDouble();
}

Tensor CallContext::drawMask(const MaskRequest &request, int64_t stream) {
  Tensor mask{getMaskShape(request, request.forms.front()),
              request.like.type,
              {},
              {},
              {}};
  // A cell that is the model keeps its masks until they are reset.
  walk.advancesKey |= findLayerClass(owner.className)->recurrent ||
                      !findLayerClass(owner.className)->hasCells();
  if (!isEmitting())
    return mask;
  mlir::OpBuilder &b = *builder;
  std::optional<int64_t> number = getDropoutSeed(layer, request.name);
  auto seed = number ? b.getI64IntegerAttr(*number) : mlir::IntegerAttr();
  auto dims = b.getDenseI64ArrayAttr(request.forms.front());
  if (request.normal) {
    mask.value = RandomNormalOp::create(
        b, getLocation(), walk.getDropoutKey(), request.like.value, dims,
        b.getF64FloatAttr(request.normal->mean),
        b.getF64FloatAttr(request.normal->stddev), b.getI64IntegerAttr(stream),
        seed);
    return mask;
  }
  bool recurrent = StringRef(request.name).starts_with("recurrent_");
  mask.value = DropoutMaskOp::create(
      b, getLocation(), walk.getDropoutKey(), request.like.value, dims,
      b.getF64FloatAttr(request.rate),
      b.getF64FloatAttr(roundTo(
          request.like.type, request.scale.value_or(1 / (1 - request.rate)))),
      b.getI64IntegerAttr(stream), seed,
      recurrent ? b.getUnitAttr() : mlir::UnitAttr());
  return mask;
}

Expected<Tensor> CallContext::getDropoutMask(const MaskRequest &request) {
  // The short name where no other layer could be meant.
  std::string shortName = joinPath(part, request.name);
  std::string longName = joinPath(owner.name, shortName);
  bool isShort = walk.onlyRecurrent == &owner;
  if (!is_contained(walk.maskNames, isShort ? shortName : longName))
    walk.maskNames.push_back(isShort ? shortName : longName);
  const MaskSpec *given = nullptr;
  for (const MaskSpec &spec : options.masks)
    if (spec.name == longName || (isShort && spec.name == shortName))
      given = &spec;
  int64_t stream = walk.numMasks++;
  if (!given)
    return drawMask(request, stream);
  SmallVector<std::string> expected;
  for (auto [form, batchDim] : zip(request.forms, request.batchDims)) {
    SmallVector<int64_t> shape = getMaskShape(request, form);
    expected.push_back(shapeText(shape));
    if (shape.size() != given->shape.size() ||
        !all_of(zip(shape, given->shape), [](auto sizes) {
          auto [size, found] = sizes;
          return size == kDynamicSize || size == found;
        }))
      continue;
    Tensor &mask = walk.givenMasks[given->name];
    if (mask.shape.empty()) {
      mask = Tensor{shape, request.like.type, {}, {}, {}};
      if (isEmitting())
        mask.value = walk.addArgument(
            mask, walk.numInputs, walk.numInputs, location,
            {builder->getNamedAttr(kNameAttr,
                                   builder->getStringAttr(given->name)),
             builder->getNamedAttr(kBatchDimAttr,
                                   builder->getI64IntegerAttr(batchDim))});
    } else if (mask.shape != shape || mask.type != request.like.type) {
      break;
    }
    return mask;
  }
  return error(given->name + " is " + shapeText(given->shape) + ", expected " +
               join(expected, " or "));
}

mlir::Value Walk::getDropoutKey() {
  if (!dropoutKey) {
    Tensor key{{3}, ElementType::i64, {}, {}, {}};
    // Its number among the states follows when all of them are known.
    dropoutKey =
        addArgument(key, numStates, numInputs + numStates, function.getLoc(),
                    {builder->getNamedAttr(
                        kNameAttr, builder->getStringAttr(kDropoutKeyName))});
  }
  return dropoutKey;
}
