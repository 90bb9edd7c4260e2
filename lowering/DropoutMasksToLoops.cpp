//===- DropoutMasksToLoops.cpp - draws masks with a counter-based generator ===//
//
// Philox4x32-10: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel
// Random Numbers: As Easy as 1, 2, 3", SC 2011, section 3.2. One round of the
// counter (x0, x1, x2, x3) under the key (k0, k1), with hi and lo the halves of
// a product of 32-bit numbers:
//
//   x0' = hi(M1 x2) ^ x1 ^ k0     x1' = lo(M1 x2)
//   x2' = hi(M0 x0) ^ x3 ^ k1     x3' = lo(M0 x0)
//
// and k0 += W0, k1 += W1 between two of the ten rounds. runtime/Random.h is the
// same in C++; tests hold them together.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDropoutOps.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"
#include "lowering/common/RegisterBlock.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <cmath>
#include <numeric>

namespace gru {
#define GEN_PASS_DEF_DROPOUTMASKSTOLOOPSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Counters that are computed together, and the elements that they make: part of
/// the definition of gru.dropout_mask, whatever the width of a vector register.
constexpr int64_t kLanes = 16, kWords = 4, kGroup = kLanes * kWords;

using Words = std::array<Value, kWords>;

/// Arithmetic on vectors of 32-bit numbers.
class Philox {
public:
  Philox(OpBuilder &b, Location loc)
      : b(b), loc(loc), type(VectorType::get({kLanes}, b.getI32Type())) {}

  Value splat(uint32_t number) {
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(type, APInt(32, number)));
  }
  Value broadcast(Value scalar) {
    return vector::BroadcastOp::create(b, loc, type, scalar);
  }
  Value lanes() {
    SmallVector<int32_t> numbers(kLanes);
    std::iota(numbers.begin(), numbers.end(), 0);
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(type, ArrayRef<int32_t>(numbers)));
  }

  Words round(const Words &x, Value k0, Value k1) {
    auto product = [&](uint32_t factor, Value value) {
      auto op =
          arith::MulUIExtendedOp::create(b, loc, value, splat(factor));
      return std::pair<Value, Value>{op.getHigh(), op.getLow()};
    };
    auto [high0, low0] = product(0xD2511F53u, x[0]);
    auto [high1, low1] = product(0xCD9E8D57u, x[2]);
    auto mix = [&](Value a, Value c, Value k) -> Value {
      return arith::XOrIOp::create(b, loc, arith::XOrIOp::create(b, loc, a, c),
                                   k);
    };
    return {mix(high1, x[1], k0), low1, mix(high0, x[3], k1), low0};
  }

  Words run(Words x, Value k0, Value k1) {
    for (uint32_t i = 0; i < 10; ++i) {
      auto bumped = [&](Value key, uint32_t step) -> Value {
        return arith::AddIOp::create(b, loc, key, splat(i * step));
      };
      x = round(x, bumped(k0, 0x9E3779B9u), bumped(k1, 0xBB67AE85u));
    }
    return x;
  }

private:
  OpBuilder &b;
  Location loc;
  VectorType type;
};

struct DropoutMaskToLoops : OpRewritePattern<DropoutMaskOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(DropoutMaskOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    OpBuilder &b = rewriter;
    auto type = cast<RankedTensorType>(op.getType());
    auto key = asBuffer(b, loc, op.getKey());
    auto entry = [&](int64_t index) -> Value {
      return memref::LoadOp::create(b, loc, key,
                                    ValueRange{indexConstant(b, loc, index)});
    };
    auto number = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
    };
    Value seed = op.getSeed() ? number(*op.getSeed()) : entry(0);
    Value draw = entry(op.getRecurrent() ? 2 : 1);
    Philox philox(b, loc);
    auto halves = [&](Value wide) {
      Value low = arith::TruncIOp::create(b, loc, b.getI32Type(), wide);
      Value high = arith::TruncIOp::create(
          b, loc, b.getI32Type(),
          arith::ShRUIOp::create(b, loc, wide, number(32)));
      return std::pair<Value, Value>{philox.broadcast(low),
                                     philox.broadcast(high)};
    };
    auto [key0, key1] = halves(seed);
    auto [draw0, draw1] = halves(draw);
    Value stream = philox.splat(uint32_t(op.getStream()));

    SmallVector<Value> dynamicSizes;
    for (auto [dim, size] : llvm::enumerate(op.getDims()))
      if (type.isDynamicDim(dim))
        dynamicSizes.push_back(
            tensor::DimOp::create(b, loc, op.getLike(), -1 - size));
    Value mask = memref::AllocOp::create(
        b, loc, MemRefType::get(type.getShape(), type.getElementType()),
        dynamicSizes);
    Value flat = mask;
    if (type.getRank() != 1) {
      ReassociationIndices all(type.getRank());
      std::iota(all.begin(), all.end(), 0);
      flat = memref::CollapseShapeOp::create(
          b, loc, mask, SmallVector<ReassociationIndices>{all});
    }
    Value count = sizeOf(b, loc, flat, 0);

    auto vector = VectorType::get({kLanes}, type.getElementType());
    Value kept = floatConstant(b, loc, vector, op.getScale().convertToDouble());
    Value dropped = floatConstant(b, loc, vector, 0);
    Value threshold = philox.splat(
        uint32_t(std::floor(op.getRate().convertToDouble() * 0x1p32)));
    Value lanes = philox.lanes();
    Value numGroups = arith::DivUIOp::create(
        b, loc,
        arith::AddIOp::create(b, loc, count,
                              indexConstant(b, loc, kGroup - 1)),
        indexConstant(b, loc, kGroup));
    forEach(b, loc, numGroups, [&](OpBuilder &b, Location loc, Value group) {
      Philox philox(b, loc);
      auto lane0 = [&](Value index) {
        return philox.broadcast(
            arith::IndexCastOp::create(b, loc, b.getI32Type(), index));
      };
      Value counter = arith::MulIOp::create(b, loc, group,
                                            indexConstant(b, loc, kLanes));
      Words words = philox.run(
          {arith::AddIOp::create(b, loc, lane0(counter), lanes), stream, draw0,
           draw1},
          key0, key1);
      for (int64_t word = 0; word < kWords; ++word) {
        Value first = arith::AddIOp::create(
            b, loc,
            arith::MulIOp::create(b, loc, group,
                                  indexConstant(b, loc, kGroup)),
            indexConstant(b, loc, word * kLanes));
        // Below zero behind the end; sizes beyond 2^31 do not fit a session.
        Value left = lane0(arith::SubIOp::create(b, loc, count, first));
        Value exists = arith::CmpIOp::create(
            b, loc, arith::CmpIPredicate::slt, lanes, left);
        Value keep = arith::CmpIOp::create(
            b, loc, arith::CmpIPredicate::uge, words[word], threshold);
        vector::MaskedStoreOp::create(
            b, loc, flat, ValueRange{first}, exists,
            arith::SelectOp::create(b, loc, keep, kept, dropped));
      }
    });
    rewriter.replaceOp(op, asTensor(b, loc, mask));
    return success();
  }
};

struct DropoutMasksToLoopsPass
    : gru::impl::DropoutMasksToLoopsPassBase<DropoutMasksToLoopsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<DropoutMaskToLoops>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
