//===- PackInEachRun.cpp - packs of what is not a weight ------------------===//

#include "lowering/common/PackInEachRun.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gru;

void gru::packInEachRun(PackOp op) {
  OpBuilder b(op);
  auto source = cast<RankedTensorType>(op.getSource().getType());
  auto result = cast<RankedTensorType>(op.getType());
  PackPart part = op.getPart();
  int64_t units = source.getShape().back() / int64_t(op.getGates());
  int64_t width = op.getWidth(), rank = result.getRank();
  bool isMatrix = rank == 4;
  bool candidate =
      part == PackPart::candidate || part == PackPart::recurrent_bias;

  Value empty = tensor::EmptyOp::create(b, op.getLoc(), result.getShape(),
                                        result.getElementType());
  auto generic = linalg::GenericOp::create(
      b, op.getLoc(), result, ValueRange{}, ValueRange{empty},
      ArrayRef<AffineMap>{b.getMultiDimIdentityMap(rank)},
      SmallVector<utils::IteratorType>(rank, utils::IteratorType::parallel),
      [&](OpBuilder &b, Location loc, ValueRange) {
        auto constant = [&](int64_t n) -> Value {
          return arith::ConstantIndexOp::create(b, loc, n);
        };
        auto loop = [&](int64_t dim) -> Value {
          return linalg::IndexOp::create(b, loc, dim);
        };
        Value block = loop(0), gate = loop(rank - 2), lane = loop(rank - 1);
        Value unit = arith::AddIOp::create(
            b, loc, arith::MulIOp::create(b, loc, block, constant(width)),
            lane);
        // Lanes behind the last unit read it and are zero.
        Value inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                             unit, constant(units));
        Value existing =
            arith::MinSIOp::create(b, loc, unit, constant(units - 1));
        Value sourceGate =
            candidate
                ? arith::AddIOp::create(b, loc, gate, constant(2)).getResult()
                : gate;
        Value column = arith::AddIOp::create(
            b, loc, arith::MulIOp::create(b, loc, sourceGate, constant(units)),
            existing);
        auto read = [&](Value row) -> Value {
          SmallVector<Value> at{column};
          if (source.getRank() == 2)
            at.insert(at.begin(), row);
          return tensor::ExtractOp::create(b, loc, op.getSource(), at);
        };
        Value value = read(isMatrix                           ? loop(1)
                           : part == PackPart::recurrent_bias ? constant(1)
                                                              : constant(0));
        Value zero = arith::ConstantOp::create(
            b, loc, b.getZeroAttr(result.getElementType()));
        if (part == PackPart::input_bias) {
          // The recurrent bias of z and r, which only occurs in this sum.
          Value summed = arith::CmpIOp::create(
              b, loc, arith::CmpIPredicate::slt, gate, constant(2));
          Value other =
              arith::SelectOp::create(b, loc, summed, read(constant(1)), zero);
          value = arith::AddFOp::create(b, loc, value, other);
        }
        value = arith::SelectOp::create(b, loc, inside, value, zero);
        linalg::YieldOp::create(b, loc, value);
      });
  op.replaceAllUsesWith(generic.getResult(0));
  op.erase();
}
