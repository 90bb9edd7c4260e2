//===- LowerDotBytes.cpp - products of bytes as instructions --------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace gru {
#define GEN_PASS_DEF_LOWERDOTBYTESPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
class Lowering {
public:
  Lowering(DotBytesOp op, StringRef instruction)
      : op(op), b(op), loc(op.getLoc()), instruction(instruction),
        sums(cast<VectorType>(op.getAcc().getType())) {}

  void run() {
    Value result;
    StringRef name = getIntrinsic();
    if (name.empty())
      result = emitPlain();
    else if (instruction == "pmaddwd")
      result = emitPairs(name);
    else
      result = call(name, {op.getAcc(), op.getLeft(), op.getRight()});
    op.replaceAllUsesWith(result);
    op.erase();
  }

private:
  /// For as many lanes, or nothing.
  StringRef getIntrinsic() const {
    auto byLanes = [&](StringRef four, StringRef eight, StringRef sixteen) {
      switch (sums.getNumElements()) {
      case 4:
        return four;
      case 8:
        return eight;
      case 16:
        return sixteen;
      default:
        return StringRef();
      }
    };
    if (instruction == "vpdpbusd")
      return byLanes("llvm.x86.avx512.vpdpbusd.128",
                     "llvm.x86.avx512.vpdpbusd.256",
                     "llvm.x86.avx512.vpdpbusd.512");
    if (instruction == "pmaddwd")
      return byLanes("llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
                     "llvm.x86.avx512.pmaddw.d.512");
    if (instruction == "usdot")
      return byLanes("llvm.aarch64.neon.usdot.v4i32.v16i8", "", "");
    return "";
  }

  Value call(StringRef name, ValueRange arguments) {
    return LLVM::CallIntrinsicOp::create(b, loc, sums, b.getStringAttr(name),
                                         arguments)
        .getResult(0);
  }

  Value constant(Type type, int64_t value) {
    auto vector = cast<VectorType>(type);
    return arith::ConstantOp::create(
        b, loc,
        DenseElementsAttr::get(
            vector, b.getIntegerAttr(vector.getElementType(), value)));
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value shiftLeft(Value x, int64_t by) {
    return arith::ShLIOp::create(b, loc, x, constant(x.getType(), by));
  }
  Value shiftRight(Value x, int64_t by, bool isSigned) {
    Value bits = constant(x.getType(), by);
    if (isSigned)
      return arith::ShRSIOp::create(b, loc, x, bits);
    return arith::ShRUIOp::create(b, loc, x, bits);
  }
  Value mask(Value x, int64_t bits) {
    return arith::AndIOp::create(b, loc, x, constant(x.getType(), bits));
  }
  Value bitcast(Value x, VectorType type) {
    return vector::BitCastOp::create(b, loc, type, x);
  }

  /// An instruction adds products of neighbours of 16 bits; those of the even
  /// and those of the odd bytes are one sum together.
  Value emitPairs(StringRef name) {
    auto halves =
        VectorType::get({2 * sums.getNumElements()}, b.getIntegerType(16));
    Value left = bitcast(op.getLeft(), halves);
    Value right = bitcast(op.getRight(), halves);
    Value even = call(
        name, {mask(left, 0xff), shiftRight(shiftLeft(right, 8), 8, true)});
    Value odd =
        call(name, {shiftRight(left, 8, false), shiftRight(right, 8, true)});
    return add(add(op.getAcc(), even), odd);
  }

  Value emitPlain() {
    Value left = bitcast(op.getLeft(), sums);
    Value right = bitcast(op.getRight(), sums);
    Value sum = op.getAcc();
    for (int64_t j = 0; j < 4; ++j) {
      Value x = mask(shiftRight(left, 8 * j, false), 0xff);
      Value y = shiftRight(shiftLeft(right, 24 - 8 * j), 24, true);
      sum = add(sum, arith::MulIOp::create(b, loc, x, y));
    }
    return sum;
  }

  DotBytesOp op;
  OpBuilder b;
  Location loc;
  StringRef instruction;
  VectorType sums;
};

struct LowerDotBytesPass : gru::impl::LowerDotBytesPassBase<LowerDotBytesPass> {
  using LowerDotBytesPassBase::LowerDotBytesPassBase;

  void runOnOperation() override {
    if (!llvm::is_contained({"vpdpbusd", "pmaddwd", "usdot", "none"},
                            StringRef(instruction))) {
      getOperation().emitError()
          << "instruction is '" << instruction
          << "', expected vpdpbusd, pmaddwd, usdot or none";
      return signalPassFailure();
    }
    SmallVector<DotBytesOp> ops;
    getOperation().walk([&](DotBytesOp op) { ops.push_back(op); });
    for (DotBytesOp op : ops)
      Lowering(op, instruction).run();
  }
};
} // namespace
