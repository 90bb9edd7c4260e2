//===- GRURandomOps.cpp - the sources of random numbers -------------------===//
//
// Tags such as gru_dropout_mask_c1 name the rules listed in GRURandomOps.td.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRURandomOps.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace gru;

#define GET_OP_CLASSES
#include "dialect/GRURandomOps.cpp.inc"

/// Rules c1, c2 and c4 of both operations.
template <typename Op> static LogicalResult verifyDraw(Op op) {
  // gru_dropout_mask_c1, gru_random_normal_c1
  int64_t entries = cast<RankedTensorType>(op.getKey().getType()).getDimSize(0);
  if (entries != 3 && !ShapedType::isDynamic(entries))
    return op.emitOpError() << "key has " << entries
                            << " entries, expected 3 (seed, draws, recurrent "
                               "draws)";
  // gru_dropout_mask_c2, gru_random_normal_c2
  int64_t rank = cast<RankedTensorType>(op.getLike().getType()).getRank();
  if (op.getDims().empty())
    return op.emitOpError() << "dims is empty, expected at least one";
  for (int64_t size : op.getDims())
    if (size == 0 || size < -rank)
      return op.emitOpError()
             << "dims has " << size << ", expected a positive size, or -1 to -"
             << rank << " for a dimension of like";
  // gru_dropout_mask_c4, gru_random_normal_c4
  int64_t stream = op.getStreamAttr().getInt();
  if (stream < 0 || stream > int64_t(UINT32_MAX))
    return op.emitOpError()
           << "stream is " << stream << ", expected a number of 32 bits";
  return success();
}

template <typename Adaptor>
static LogicalResult inferDraw(Adaptor adaptor, SmallVectorImpl<Type> &types) {
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

template <typename Op>
static LogicalResult reifyDraw(Op op, OpBuilder &b,
                               ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes;
  for (int64_t size : op.getDims())
    sizes.push_back(
        size < 0 ? tensor::getMixedSize(b, op.getLoc(), op.getLike(), -1 - size)
                 : OpFoldResult(b.getIndexAttr(size)));
  shapes.assign({sizes});
  return success();
}

//===----------------------------------------------------------------------===//
// DropoutMaskOp
//===----------------------------------------------------------------------===//

LogicalResult DropoutMaskOp::verify() {
  if (failed(verifyDraw(*this)))
    return failure();
  // gru_dropout_mask_c3
  double rate = getRate().convertToDouble();
  if (!(rate >= 0 && rate < 1))
    return emitOpError() << "rate is " << rate
                         << ", expected at least 0 and below 1";
  return success();
}

LogicalResult DropoutMaskOp::inferReturnTypes(
    MLIRContext *, std::optional<Location>, ValueRange operands,
    DictionaryAttr attributes, OpaqueProperties properties, RegionRange regions,
    SmallVectorImpl<Type> &types) {
  return inferDraw(Adaptor(operands, attributes, properties, regions), types);
}

LogicalResult
DropoutMaskOp::reifyResultShapes(OpBuilder &b,
                                 ReifiedRankedShapedTypeDims &shapes) {
  return reifyDraw(*this, b, shapes);
}

//===----------------------------------------------------------------------===//
// RandomNormalOp
//===----------------------------------------------------------------------===//

LogicalResult RandomNormalOp::verify() {
  if (failed(verifyDraw(*this)))
    return failure();
  // gru_random_normal_c3
  double stddev = getStddev().convertToDouble();
  if (!(stddev >= 0 && std::isfinite(stddev)))
    return emitOpError() << "stddev is " << stddev
                         << ", expected a number that is not negative";
  return success();
}

LogicalResult RandomNormalOp::inferReturnTypes(
    MLIRContext *, std::optional<Location>, ValueRange operands,
    DictionaryAttr attributes, OpaqueProperties properties, RegionRange regions,
    SmallVectorImpl<Type> &types) {
  return inferDraw(Adaptor(operands, attributes, properties, regions), types);
}

LogicalResult
RandomNormalOp::reifyResultShapes(OpBuilder &b,
                                  ReifiedRankedShapedTypeDims &shapes) {
  return reifyDraw(*this, b, shapes);
}
