//===- RandomToLoops.cpp - draws numbers with a counter-based generator ---===//
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
// Normal numbers follow G. E. P. Box, M. E. Muller, "A Note on the Generation
// of Random Normal Deviates", Annals of Mathematical Statistics 29 (1958).
// Their logarithm, cosine and sine are series here, not calls or the
// polynomials of ApproximateMath.cpp, whose last bits depend on the machine: a
// sum of products that are rounded one by one is the same everywhere. What is
// cut off is below 1e-11 of the number, which is then rounded to float32.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRURandomOps.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"
#include "lowering/common/FloatBuilder.h"
#include "lowering/common/RegisterBlock.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <numeric>

namespace gru {
#define GEN_PASS_DEF_RANDOMTOLOOPSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Counters that are computed together, and the elements that they make: part
/// of the definition of both operations, whatever the width of a vector
/// register.
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
      auto op = arith::MulUIExtendedOp::create(b, loc, value, splat(factor));
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

/// Four normal numbers from four words of random bits, in float64.
class BoxMuller {
public:
  BoxMuller(OpBuilder &b, Location loc)
      : b(b), loc(loc), words(VectorType::get({kLanes}, b.getI32Type())),
        longs(VectorType::get({kLanes}, b.getI64Type())),
        doubles(VectorType::get({kLanes}, b.getF64Type())), f(b, loc, doubles) {
  }

  Words run(const Words &bits) {
    Words result;
    for (int64_t pair : {0, 2}) {
      Value radius = f.create<math::SqrtOp>(f.mul(logarithm(bits[pair]), -2.0));
      auto [cosine, sine] = direction(bits[pair + 1]);
      result[pair] = f.mul(radius, cosine);
      result[pair + 1] = f.mul(radius, sine);
    }
    return result;
  }

private:
  template <typename T> Value splat(VectorType type, T number) {
    return arith::ConstantOp::create(
        b, loc,
        DenseElementsAttr::get(
            type, APInt(type.getElementTypeBitWidth(), uint64_t(number))));
  }

  /// c_0 + x (c_1 + x (c_2 + ...)).
  Value series(Value x, ArrayRef<double> coefficients) {
    Value sum = f.constant(coefficients.back());
    for (double coefficient : llvm::reverse(coefficients.drop_back()))
      sum = f.add(f.mul(sum, x), coefficient);
    return sum;
  }

  /// ln((word + 1/2) / 2^32), below zero.
  Value logarithm(Value word) {
    // 2 word + 1, an exact number m 2^e with m in [1, 2), over 2^33.
    Value wide = arith::ExtUIOp::create(b, loc, longs, word);
    wide = arith::AddIOp::create(
        b, loc, arith::AddIOp::create(b, loc, wide, wide), splat(longs, 1));
    Value bits = arith::BitcastOp::create(
        b, loc, longs, arith::UIToFPOp::create(b, loc, doubles, wide));
    Value e = arith::ShRUIOp::create(b, loc, bits, splat(longs, 52));
    e = f.sub(arith::SIToFPOp::create(b, loc, doubles, e), 1023 + 33);
    Value m = arith::OrIOp::create(
        b, loc,
        arith::AndIOp::create(b, loc, bits,
                              splat(longs, (uint64_t(1) << 52) - 1)),
        splat(longs, uint64_t(1023) << 52));
    m = arith::BitcastOp::create(b, loc, doubles, m);
    // Around 1, where the sum of both parts loses nothing.
    Value isLarge = f.greater(m, llvm::numbers::sqrt2);
    m = f.select(isLarge, f.mul(m, 0.5), m);
    e = f.select(isLarge, f.add(e, 1.0), e);
    // ln m = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172.
    Value s = f.div(f.sub(m, 1.0), f.add(m, 1.0));
    Value terms = series(f.mul(s, s), {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9,
                                       2.0 / 11, 2.0 / 13});
    return f.add(f.mul(e, llvm::numbers::ln2), f.mul(s, terms));
  }

  /// Cosine and sine of the angle 2 pi word / 2^32.
  std::pair<Value, Value> direction(Value word) {
    // The nearest quarter turn, and the angle from there: within pi/4.
    Value quarter = arith::ShRUIOp::create(
        b, loc,
        arith::AddIOp::create(b, loc, word, splat(words, uint32_t(1) << 29)),
        splat(words, 30));
    Value rest = arith::SubIOp::create(
        b, loc, word, arith::ShLIOp::create(b, loc, quarter, splat(words, 30)));
    Value t = f.mul(arith::SIToFPOp::create(b, loc, doubles, rest),
                    2 * llvm::numbers::pi * 0x1p-32);
    Value square = f.mul(t, t);
    Value sine = f.mul(t, series(square, {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040,
                                          1.0 / 362880, -1.0 / 39916800}));
    Value cosine =
        series(square, {1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320,
                        -1.0 / 3628800, 1.0 / 479001600});
    auto test = [&](Value number, uint32_t bit) -> Value {
      return arith::CmpIOp::create(
          b, loc, arith::CmpIPredicate::ne,
          arith::AndIOp::create(b, loc, number, splat(words, bit)),
          splat(words, 0));
    };
    auto negateIf = [&](Value condition, Value x) {
      return f.select(condition, f.neg(x), x);
    };
    Value isOdd = test(quarter, 1);
    Value next = arith::AddIOp::create(b, loc, quarter, splat(words, 1));
    return {negateIf(test(next, 2), f.select(isOdd, sine, cosine)),
            negateIf(test(quarter, 2), f.select(isOdd, cosine, sine))};
  }

  OpBuilder &b;
  Location loc;
  VectorType words, longs, doubles;
  FloatBuilder f;
};

/// The elements that a group's words make, of the operation's element type.
Words makeElements(OpBuilder &b, Location loc, DropoutMaskOp op,
                   VectorType type, const Words &bits) {
  Philox philox(b, loc);
  Value kept = floatConstant(b, loc, type, op.getScale().convertToDouble());
  Value dropped = floatConstant(b, loc, type, 0);
  Value threshold = philox.splat(
      uint32_t(std::floor(op.getRate().convertToDouble() * 0x1p32)));
  Words elements;
  for (auto [element, word] : llvm::zip(elements, bits)) {
    Value keep = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, word,
                                       threshold);
    element = arith::SelectOp::create(b, loc, keep, kept, dropped);
  }
  return elements;
}

Words makeElements(OpBuilder &b, Location loc, RandomNormalOp op,
                   VectorType type, const Words &bits) {
  Words elements = BoxMuller(b, loc).run(bits);
  VectorType singles = type.clone(b.getF32Type());
  for (Value &element : elements) {
    FloatBuilder f(b, loc, element.getType());
    element = f.add(f.mul(element, op.getStddev().convertToDouble()),
                    op.getMean().convertToDouble());
    element = arith::TruncFOp::create(b, loc, singles, element);
    if (isHalf(type))
      element = arith::TruncFOp::create(b, loc, type, element);
    else if (type != singles)
      element = arith::ExtFOp::create(b, loc, type, element);
  }
  return elements;
}

/// Whether an operation counts with the recurrent masks.
bool isRecurrent(DropoutMaskOp op) { return op.getRecurrent(); }
bool isRecurrent(RandomNormalOp) { return false; }

template <typename Op> struct DrawToLoops : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;

  LogicalResult matchAndRewrite(Op op,
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
    Value draw = entry(isRecurrent(op) ? 2 : 1);
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
    Value result = memref::AllocOp::create(
        b, loc, MemRefType::get(type.getShape(), type.getElementType()),
        dynamicSizes);
    Value flat = result;
    if (type.getRank() != 1) {
      ReassociationIndices all(type.getRank());
      std::iota(all.begin(), all.end(), 0);
      flat = memref::CollapseShapeOp::create(
          b, loc, result, SmallVector<ReassociationIndices>{all});
    }
    Value count = sizeOf(b, loc, flat, 0);

    auto vector = VectorType::get({kLanes}, type.getElementType());
    Value lanes = philox.lanes();
    Value numGroups = arith::DivUIOp::create(
        b, loc,
        arith::AddIOp::create(b, loc, count, indexConstant(b, loc, kGroup - 1)),
        indexConstant(b, loc, kGroup));
    forEach(b, loc, numGroups, [&](OpBuilder &b, Location loc, Value group) {
      Philox philox(b, loc);
      auto lane0 = [&](Value index) {
        return philox.broadcast(
            arith::IndexCastOp::create(b, loc, b.getI32Type(), index));
      };
      Value counter =
          arith::MulIOp::create(b, loc, group, indexConstant(b, loc, kLanes));
      Words bits =
          philox.run({arith::AddIOp::create(b, loc, lane0(counter), lanes),
                      stream, draw0, draw1},
                     key0, key1);
      Words elements = makeElements(b, loc, op, vector, bits);
      for (int64_t word = 0; word < kWords; ++word) {
        Value first = arith::AddIOp::create(
            b, loc,
            arith::MulIOp::create(b, loc, group, indexConstant(b, loc, kGroup)),
            indexConstant(b, loc, word * kLanes));
        // Below zero behind the end; sizes beyond 2^31 do not fit a session.
        Value left = lane0(arith::SubIOp::create(b, loc, count, first));
        Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                             lanes, left);
        vector::MaskedStoreOp::create(b, loc, flat, ValueRange{first}, exists,
                                      elements[word]);
      }
    });
    rewriter.replaceOp(op, asTensor(b, loc, result));
    return success();
  }
};

struct RandomToLoopsPass : gru::impl::RandomToLoopsPassBase<RandomToLoopsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<DrawToLoops<DropoutMaskOp>, DrawToLoops<RandomNormalOp>>(
        &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
