//===- GRUDropoutOps.cpp - the source of dropout masks ---------------------===//
//
// Tags such as gru_dropout_mask_c1 name the rules listed in GRUDropoutOps.td.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDropoutOps.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gru;

#define GET_OP_CLASSES
#include "dialect/GRUDropoutOps.cpp.inc"

LogicalResult DropoutMaskOp::verify() {
  // gru_dropout_mask_c1
  int64_t entries = cast<RankedTensorType>(getKey().getType()).getDimSize(0);
  if (entries != 3 && !ShapedType::isDynamic(entries))
    return emitOpError() << "key has " << entries
                         << " entries, expected 3 (seed, draws, recurrent "
                            "draws)";
  // gru_dropout_mask_c2
  int64_t rank = cast<RankedTensorType>(getLike().getType()).getRank();
  if (getDims().empty())
    return emitOpError() << "dims is empty, expected at least one";
  for (int64_t size : getDims())
    if (size == 0 || size < -rank)
      return emitOpError() << "dims has " << size
                           << ", expected a positive size, or -1 to -" << rank
                           << " for a dimension of like";
  // gru_dropout_mask_c3
  double rate = getRate().convertToDouble();
  if (!(rate >= 0 && rate < 1))
    return emitOpError() << "rate is " << rate
                         << ", expected at least 0 and below 1";
  // gru_dropout_mask_c4
  int64_t stream = getStreamAttr().getInt();
  if (stream < 0 || stream > int64_t(UINT32_MAX))
    return emitOpError() << "stream is " << stream
                         << ", expected a number of 32 bits";
  return success();
}

LogicalResult DropoutMaskOp::inferReturnTypes(
    MLIRContext *, std::optional<Location>, ValueRange operands,
    DictionaryAttr attributes, OpaqueProperties properties,
    RegionRange regions, SmallVectorImpl<Type> &types) {
  Adaptor adaptor(operands, attributes, properties, regions);
  auto like = cast<RankedTensorType>(adaptor.getLike().getType());
  SmallVector<int64_t> shape(adaptor.getDims());
  for (int64_t &size : shape)
    if (size < 0) {
      if (size < -like.getRank())
        return failure();
      size = like.getDimSize(-1 - size);
    }
  types.assign({RankedTensorType::get(shape, like.getElementType())});
  return success();
}

LogicalResult
DropoutMaskOp::reifyResultShapes(OpBuilder &b,
                                 ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes;
  for (int64_t size : getDims())
    sizes.push_back(
        size < 0 ? tensor::getMixedSize(b, getLoc(), getLike(), -1 - size)
                 : OpFoldResult(b.getIndexAttr(size)));
  shapes.assign({sizes});
  return success();
}
