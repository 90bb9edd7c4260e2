//===- LowerCopies.cpp - copies between buffers as vector loops -----------===//

#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"

namespace gru {
#define GEN_PASS_DEF_LOWERCOPIESPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct LowerCopiesPass : gru::impl::LowerCopiesPassBase<LowerCopiesPass> {
  using LowerCopiesPassBase::LowerCopiesPassBase;

  void runOnOperation() override {
    SmallVector<memref::CopyOp> copies;
    getOperation().walk([&](memref::CopyOp op) { copies.push_back(op); });
    for (memref::CopyOp copy : copies) {
      if (copy.getSource() != copy.getTarget())
        lower(copy);
      copy.erase();
    }
  }

  static bool isContiguous(Value buffer) {
    return cast<MemRefType>(buffer.getType()).isLastDimUnitStride();
  }

  /// Whether a buffer of known size is one piece of memory.
  static bool hasRowsBehindEachOther(Value buffer) {
    auto type = cast<MemRefType>(buffer.getType());
    if (type.getRank() < 2 || !type.hasStaticShape())
      return false;
    auto [strides, offset] = type.getStridesAndOffset();
    int64_t expected = 1;
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      if (type.getDimSize(dim) != 1 && strides[dim] != expected)
        return false;
      expected *= type.getDimSize(dim);
    }
    return true;
  }

  static Value asOneRow(OpBuilder &b, Location loc, Value buffer) {
    ReassociationIndices dims;
    for (int64_t dim = 0; dim < cast<MemRefType>(buffer.getType()).getRank();
         ++dim)
      dims.push_back(dim);
    return memref::CollapseShapeOp::create(
        b, loc, buffer, ArrayRef<ReassociationIndices>(dims));
  }

  /// Up to so many vectors are copied without a loop.
  static constexpr int64_t kStraightVectors = 4;

  void lower(memref::CopyOp copy) {
    OpBuilder b(copy);
    Location loc = copy.getLoc();
    Value source = copy.getSource(), target = copy.getTarget();
    if (hasRowsBehindEachOther(source) && hasRowsBehindEachOther(target)) {
      source = asOneRow(b, loc, source);
      target = asOneRow(b, loc, target);
    }
    auto type = cast<MemRefType>(source.getType());
    Type element = type.getElementType();
    int64_t axis = type.getRank() - 1;
    SmallVector<Value> sizes;
    for (int64_t dim = 0; dim <= axis; ++dim)
      sizes.push_back(sizeOf(b, loc, source, dim));
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    bool vectors =
        axis >= 0 && bytes > 0 && isContiguous(source) && isContiguous(target);
    auto scalarCopy = [&](OpBuilder &b, Location loc, ValueRange i) {
      Value x = memref::LoadOp::create(b, loc, source, i);
      memref::StoreOp::create(b, loc, x, target, i);
    };
    if (!vectors)
      return forEachIndex(b, loc, sizes, scalarCopy);

    int64_t lanes = vectorBytes / bytes;
    Value length = sizes.pop_back_val();
    int64_t staticLength = type.getDimSize(axis);
    auto copyVector = [&](OpBuilder &b, Location loc, ValueRange at,
                          int64_t lanes) {
      auto vector = VectorType::get({lanes}, element);
      Value x = vector::LoadOp::create(b, loc, vector, source, at);
      vector::StoreOp::create(b, loc, x, target, at);
    };
    forEachIndex(b, loc, sizes, [&](OpBuilder &b, Location loc, ValueRange i) {
      SmallVector<Value> at(i);
      at.push_back(Value());
      if (!ShapedType::isDynamic(staticLength) &&
          staticLength <= kStraightVectors * lanes) {
        // The last ones are as wide as what is left, halved: a state of 8 that
        // was stored as one vector is loaded as one, without waiting for
        // memory.
        for (int64_t j = 0, count; j < staticLength; j += count) {
          count = std::min<int64_t>(
              lanes, llvm::bit_floor(uint64_t(staticLength - j)));
          at.back() = indexConstant(b, loc, j);
          copyVector(b, loc, at, count);
        }
        return;
      }
      Value zero = indexConstant(b, loc, 0);
      Value step = indexConstant(b, loc, lanes);
      Value whole = arith::SubIOp::create(
          b, loc, length, arith::RemUIOp::create(b, loc, length, step));
      scf::ForOp::create(b, loc, zero, whole, step, ValueRange{},
                         [&](OpBuilder &b, Location loc, Value j, ValueRange) {
                           at.back() = j;
                           copyVector(b, loc, at, lanes);
                           scf::YieldOp::create(b, loc);
                         });
      if (!ShapedType::isDynamic(staticLength) && staticLength % lanes == 0)
        return;
      Value one = indexConstant(b, loc, 1);
      scf::ForOp::create(b, loc, whole, length, one, ValueRange{},
                         [&](OpBuilder &b, Location loc, Value j, ValueRange) {
                           at.back() = j;
                           scalarCopy(b, loc, at);
                           scf::YieldOp::create(b, loc);
                         });
    });
  }
};
} // namespace
