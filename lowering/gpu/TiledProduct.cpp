//===- TiledProduct.cpp - products with weights on a GPU ------------------===//

#include "lowering/gpu/TiledProduct.h"

using namespace mlir;
using namespace gru;

/// Rows and columns of a tile that one thread makes, kStride apart, so that
/// neighbours read and write side by side.
static constexpr int64_t kPerThread = 4;
static constexpr int64_t kStride = kProductTile / kPerThread;
/// Depth of the slices in shared memory.
static constexpr int64_t kDepth = 16;
static_assert(kStride * kStride == kGPUThreads);
/// From one k to the next in shared memory: odd, so that neighbours who store
/// neighbouring k of a row do so in different banks.
static constexpr int64_t kPitch = kProductTile + 1;

LLVM::GlobalOp gru::makeProductMemory(KernelBuilder &b, gpu::GPUModuleOp module,
                                      Type element) {
  OpBuilder::InsertionGuard guard(b.b);
  b.b.setInsertionPointToStart(module.getBody());
  // [left or right][k][row or column]
  return LLVM::GlobalOp::create(
      b.b, b.loc, LLVM::LLVMArrayType::get(element, 2 * kDepth * kPitch),
      /*isConstant=*/false, LLVM::Linkage::Internal, "gru_tile", Attribute(),
      /*alignment=*/16, /*addrSpace=*/3);
}

void gru::emitTiledProduct(KernelBuilder &b, LLVM::GlobalOp memory,
                           const TiledProduct &product) {
  using Values = KernelBuilder::Values;
  Value thread = b.threadId(), zero = b.index(0), one = b.index(1);
  Value lefts = b.addressOf(memory);
  Value rights = b.address(lefts, b.index(kDepth * kPitch), product.element);
  Value columns = b.index(product.columns), depth = b.index(product.depth);
  Value tileColumns =
      b.index((product.columns + kProductTile - 1) / kProductTile);
  Value tileRows = b.div(b.add(product.rows, b.index(kProductTile - 1)),
                         b.index(kProductTile));
  Value across = b.rem(thread, b.index(kStride)),
        down = b.div(thread, b.index(kStride));

  b.loop(
      b.blockId(), b.mul(tileRows, tileColumns), b.gridSize(), [&](Value tile) {
        Value firstRow = b.mul(b.div(tile, tileColumns), kProductTile);
        Value firstColumn = b.mul(b.rem(tile, tileColumns), kProductTile);
        Value none = b.zero(product.element);
        Values sums(kPerThread * kPerThread, none);
        sums = b.loop(
            zero, depth, b.index(kDepth), sums,
            [&](Value slice, ValueRange carried) {
              // Nobody reads the last slice any more.
              gpu::BarrierOp::create(b.b, b.loc);
              for (int64_t i = 0; i < kDepth * kProductTile / kGPUThreads;
                   ++i) {
                Value item = b.add(thread, b.index(i * kGPUThreads));
                // Neighbours take neighbouring k of the left, columns of the
                // right.
                Value k = b.rem(item, b.index(kDepth)),
                      r = b.div(item, b.index(kDepth));
                Value row = b.add(firstRow, r), at = b.add(slice, k);
                Value inside =
                    b.both(b.less(row, product.rows), b.less(at, depth));
                b.store(b.whenElse(inside, none,
                                   [&] { return product.left(row, at); }),
                        lefts, b.add(b.mul(k, kPitch), r));
                Value c = b.rem(item, b.index(kProductTile));
                k = b.div(item, b.index(kProductTile));
                Value column = b.add(firstColumn, c);
                at = b.add(slice, k);
                inside = b.both(b.less(column, columns), b.less(at, depth));
                b.store(b.whenElse(inside, none,
                                   [&] { return product.right(at, column); }),
                        rights, b.add(b.mul(k, kPitch), c));
              }
              gpu::BarrierOp::create(b.b, b.loc);
              return b.loop(
                  zero, b.index(kDepth), one, carried,
                  [&](Value k, ValueRange carried) {
                    Value line = b.mul(k, kPitch);
                    Values x, y, next;
                    for (int64_t i = 0; i < kPerThread; ++i) {
                      Value offset = b.index(i * kStride);
                      x.push_back(b.load(product.element, lefts,
                                         b.add(line, b.add(down, offset))));
                      y.push_back(b.load(product.element, rights,
                                         b.add(line, b.add(across, offset))));
                    }
                    for (int64_t i = 0; i < kPerThread; ++i)
                      for (int64_t j = 0; j < kPerThread; ++j)
                        next.push_back(
                            b.fma(x[i], y[j], carried[i * kPerThread + j]));
                    return next;
                  });
            });
        for (int64_t i = 0; i < kPerThread; ++i)
          for (int64_t j = 0; j < kPerThread; ++j) {
            Value row = b.add(firstRow, b.add(down, b.index(i * kStride)));
            Value column =
                b.add(firstColumn, b.add(across, b.index(j * kStride)));
            b.when(
                b.both(b.less(row, product.rows), b.less(column, columns)),
                [&] { product.finish(row, column, sums[i * kPerThread + j]); });
          }
      });
}
