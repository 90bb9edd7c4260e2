//===- QuantizeRowsToVector.cpp - rows as bytes ---------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/RegisterBlock.h"
#include "lowering/common/TargetDescription.h"

#include <cmath>

namespace gru {
#define GEN_PASS_DEF_CONVERTQUANTIZEROWSTOVECTORPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
class QuantizeRowsLowering {
public:
  QuantizeRowsLowering(QuantizeRowsOp op, const TargetDescription &target)
      : op(op), target(target) {
    columns = cast<MemRefType>(op.getInput().getType()).getShape().back();
    int64_t lanes = target.getLanes(4);
    Builder b(op);
    floats = VectorType::get({lanes}, b.getF32Type());
    integers = VectorType::get({lanes}, b.getI32Type());
  }

  void run() {
    OpBuilder b(op);
    Location loc = op.getLoc();
    ArrayRef<int64_t> shape =
        cast<MemRefType>(op.getInput().getType()).getShape();
    SmallVector<Value> sizes;
    for (int64_t dim = 0; dim + 1 < int64_t(shape.size()); ++dim)
      sizes.push_back(sizeOf(b, loc, op.getInput(), dim));
    // Of a matrix the rows are parts; a number takes about as long as so many
    // products.
    constexpr int64_t kProductsPerNumber = 8;
    int64_t products = 0, parts = 1;
    if (shape.size() == 2 && llvm::none_of(shape, ShapedType::isDynamic)) {
      products = shape[0] * shape[1] * kProductsPerNumber;
      parts = choosePartsOf(op, target, shape[0], products);
    }
    if (parts > 1)
      forColumnBlocks(
          b, loc, shape[0], parts, products, /*turn=*/Value(),
          [&](OpBuilder &b, Location loc, Value row) { emitRow(b, loc, row); });
    else
      forEachIndex(b, loc, sizes,
                   [&](OpBuilder &b, Location loc, ValueRange row) {
                     emitRow(b, loc, row);
                   });
    op.erase();
  }

private:
  Value bitcast(OpBuilder &b, Location loc, Type type, Value value) {
    if (isa<VectorType>(type))
      return vector::BitCastOp::create(b, loc, cast<VectorType>(type), value);
    return arith::BitcastOp::create(b, loc, type, value);
  }

  Value integer(OpBuilder &b, Location loc, int32_t value) {
    return arith::ConstantOp::create(b, loc,
                                     DenseElementsAttr::get(integers, value));
  }

  /// body(b, loc, column, number of columns, carried) for each vector of a row.
  Value forVectors(
      OpBuilder &b, Location loc, Value carried,
      function_ref<Value(OpBuilder &, Location, Value, int64_t, Value)> body) {
    int64_t lanes = floats.getNumElements(), whole = columns / lanes * lanes;
    SmallVector<Value> values;
    if (carried)
      values.push_back(carried);
    if (whole != 0) {
      auto loop = scf::ForOp::create(
          b, loc, indexConstant(b, loc, 0), indexConstant(b, loc, whole),
          indexConstant(b, loc, lanes), values,
          [&](OpBuilder &b, Location loc, Value column, ValueRange values) {
            Value next = body(b, loc, column, lanes,
                              values.empty() ? Value() : values[0]);
            scf::YieldOp::create(b, loc,
                                 next ? ValueRange{next} : ValueRange{});
          });
      if (carried)
        carried = loop.getResult(0);
    }
    if (whole != columns)
      carried =
          body(b, loc, indexConstant(b, loc, whole), columns - whole, carried);
    return carried;
  }

  Value load(OpBuilder &b, Location loc, ValueRange row, Value column,
             int64_t count) {
    SmallVector<Value> at(row);
    at.push_back(column);
    return loadColumns(b, loc, floats, op.getInput(), at, count);
  }

  void emitRow(OpBuilder &b, Location loc, ValueRange row) {
    Value magnitude = integer(b, loc, 0x7fffffff);
    Value largest =
        forVectors(b, loc, integer(b, loc, 0),
                   [&](OpBuilder &b, Location loc, Value column, int64_t count,
                       Value so) -> Value {
                     Value bits = bitcast(b, loc, integers,
                                          load(b, loc, row, column, count));
                     bits = arith::AndIOp::create(b, loc, bits, magnitude);
                     return arith::MaxSIOp::create(b, loc, so, bits);
                   });
    Value bits = vector::ReductionOp::create(
        b, loc, vector::CombiningKind::MAXSI, largest);
    Type f32 = b.getF32Type();
    Value m = bitcast(b, loc, f32, bits);
    Value scale = arith::MulFOp::create(
        b, loc, m, floatConstant(b, loc, f32, 1.0f / 127.0f));
    memref::StoreOp::create(b, loc, scale, op.getScale(), row);
    // Of what is not a number this is false, too.
    Value divides = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, m,
                                          floatConstant(b, loc, f32, 1e-30f));
    Value factor = arith::SelectOp::create(
        b, loc, divides,
        arith::DivFOp::create(b, loc, floatConstant(b, loc, f32, 127), m),
        floatConstant(b, loc, f32, 0));
    factor = vector::BroadcastOp::create(b, loc, floats, factor);
    // From here on floats have no digits behind the point, and the last byte of
    // one that is n larger is n.
    Value base = floatConstant(b, loc, floats, std::ldexp(1.5, 23) + 128);
    auto bytes = VectorType::get({floats.getNumElements()}, b.getI8Type());
    forVectors(b, loc, Value(),
               [&](OpBuilder &b, Location loc, Value column, int64_t count,
                   Value) -> Value {
                 Value x = load(b, loc, row, column, count);
                 Value sum = vector::FMAOp::create(b, loc, x, factor, base);
                 Value byte = arith::TruncIOp::create(
                     b, loc, bytes, bitcast(b, loc, integers, sum));
                 SmallVector<Value> at(row);
                 at.push_back(column);
                 vector::StoreOp::create(b, loc, byte, op.getBytes(), at);
                 return {};
               });
  }

  QuantizeRowsOp op;
  TargetDescription target;
  int64_t columns;
  VectorType floats, integers;
};

struct ConvertQuantizeRowsToVectorPass
    : gru::impl::ConvertQuantizeRowsToVectorPassBase<
          ConvertQuantizeRowsToVectorPass> {
  using ConvertQuantizeRowsToVectorPassBase::
      ConvertQuantizeRowsToVectorPassBase;

  void runOnOperation() override {
    SmallVector<QuantizeRowsOp> ops;
    getOperation().walk([&](QuantizeRowsOp op) { ops.push_back(op); });
    for (QuantizeRowsOp op : ops) {
      if (!isa<MemRefType>(op.getBytes().getType())) {
        op.emitError() << "is on tensors, expected memrefs";
        return signalPassFailure();
      }
      TargetDescription target;
      target.vectorBytes = vectorBytes;
      target.threads = threads;
      QuantizeRowsLowering(op, target).run();
    }
  }
};
} // namespace
