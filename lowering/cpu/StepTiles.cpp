//===- StepTiles.cpp - registers of a step that are finished together -----===//

#include "lowering/cpu/StepTiles.h"

#include "lowering/common/RowGroups.h"

using namespace mlir;
using namespace gru;

StepTiles::Tile StepTiles::oneVector(OpBuilder &b, Location loc, Value row,
                                     int64_t v) const {
  return {{row}, indexConstant(b, loc, v * columns.lanes)};
}

VectorType StepTiles::tileType(int64_t vectors) const {
  return VectorType::get({vectors * columns.lanes},
                         columns.vector.getElementType());
}

void StepTiles::forTiles(
    OpBuilder &b, Location loc, bool inLoop,
    function_ref<void(OpBuilder &, Location, Value offset, int64_t)> body) {
  int64_t total = columns.vectorsPerGate();
  if (inLoop && areTilesEqual()) {
    scf::ForOp::create(
        b, loc, indexConstant(b, loc, 0), indexConstant(b, loc, columns.width),
        indexConstant(b, loc, largestTile * columns.lanes), ValueRange(),
        [&](OpBuilder &b, Location loc, Value offset, ValueRange) {
          body(b, loc, offset, largestTile);
          scf::YieldOp::create(b, loc);
        });
    return;
  }
  for (int64_t v = 0, count; v < total; v += count) {
    count =
        std::min<int64_t>(largestTile, llvm::bit_floor(uint64_t(total - v)));
    body(b, loc, indexConstant(b, loc, v * columns.lanes), count);
  }
}

bool StepTiles::areTilesEqual() const {
  return columns.vectorsPerGate() > largestTile &&
         columns.vectorsPerGate() % largestTile == 0;
}

Value StepTiles::part(OpBuilder &b, Location loc, Value tile, int64_t index) {
  if (tile.getType() == columns.vector)
    return tile;
  // A shuffle with itself: slices have no lowering of their own to LLVM.
  auto lanes = llvm::to_vector(
      llvm::seq<int64_t>(index * columns.lanes, (index + 1) * columns.lanes));
  return vector::ShuffleOp::create(b, loc, tile, tile, lanes);
}

Value StepTiles::loadTile(OpBuilder &b, Location loc, Value buffer,
                          const Tile &tile,
                          function_ref<SmallVector<Value>(Value row)> indices) {
  if (tile.isOneRow())
    return loadVector(b, loc, tileType(tile.size()), buffer,
                      indices(tile.rows[0]));
  SmallVector<Value> parts;
  for (Value row : tile.rows)
    parts.push_back(loadVector(b, loc, columns.vector, buffer, indices(row)));
  return joinRows(b, loc, parts);
}

Value StepTiles::columnOfTile(OpBuilder &b, Location loc, const Tile &tile,
                              Value block) {
  return plus(b, loc, columnOf(b, loc, block, columns.width, 0), tile.offset);
}

bool StepTiles::isContiguous(const Tile &tile) const {
  return tile.isOneRow() || numBlocks * columns.width == columns.lanes;
}

Value StepTiles::loadPadded(OpBuilder &b, Location loc, Value buffer,
                            const Tile &tile, Value block) {
  Value column = columnOfTile(b, loc, tile, block);
  if (isContiguous(tile))
    return loadVector(b, loc, tileType(tile.size()), buffer,
                      {tile.rows[0], column});
  return loadTile(b, loc, buffer, tile,
                  [&](Value row) { return SmallVector<Value>{row, column}; });
}

void StepTiles::storePadded(OpBuilder &b, Location loc, Value value,
                            Value buffer, const Tile &tile, Value block) {
  Value column = columnOfTile(b, loc, tile, block);
  if (isContiguous(tile)) {
    storeVector(b, loc, value, buffer, {tile.rows[0], column});
    return;
  }
  for (auto [i, row] : llvm::enumerate(tile.rows))
    storeVector(b, loc, part(b, loc, value, i), buffer, {row, column});
}

Value StepTiles::selectRows(OpBuilder &b, Location loc, Value condition,
                            const Tile &tile, Value yes, Value no) {
  if (tile.isOneRow()) {
    Value holds = memref::LoadOp::create(b, loc, condition, tile.rows[0]);
    return arith::SelectOp::create(b, loc, holds, yes, no);
  }
  SmallVector<Value> parts;
  for (auto [i, row] : llvm::enumerate(tile.rows)) {
    Value holds = memref::LoadOp::create(b, loc, condition, row);
    parts.push_back(arith::SelectOp::create(b, loc, holds, part(b, loc, yes, i),
                                            part(b, loc, no, i)));
  }
  return joinRows(b, loc, parts);
}
