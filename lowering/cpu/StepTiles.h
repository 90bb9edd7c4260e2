//===- StepTiles.h - registers of a step that are finished together -------===//
//
// The formulas of a step are one long chain for each register. A tile is one
// vector several registers wide, which LLVM cuts into as many chains side by
// side, so that one's latencies hide behind the others.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_CPU_STEPTILES_H
#define GRU_LOWERING_CPU_STEPTILES_H

#include "lowering/common/RegisterBlock.h"

namespace gru {

/// Tiles of the columns of a step's kernel, and how they pass between registers
/// and memory. Buffers are padded: [B, blocks * width].
class StepTiles {
protected:
  /// Some rows of one vector each, or some vectors of one row.
  struct Tile {
    llvm::SmallVector<mlir::Value> rows;
    /// Of the first lane in the block.
    mlir::Value offset;
    int64_t vectors = 1;

    bool isOneRow() const { return rows.size() == 1; }
    int64_t size() const { return rows.size() * vectors; }
  };

  explicit StepTiles(const PackedColumns &columns)
      : columns(columns),
        numBlocks(mlir::cast<mlir::MemRefType>(columns.weight.getType())
                      .getDimSize(0)) {}

  /// Vector v of a row.
  Tile oneVector(mlir::OpBuilder &b, mlir::Location loc, mlir::Value row,
                 int64_t v) const;

  mlir::VectorType tileType(int64_t vectors) const;

  /// Cuts the vectors of a gate into tiles. Their sizes are powers of two, as
  /// LLVM rounds other vectors up. `inLoop`: equal tiles are iterations.
  void forTiles(mlir::OpBuilder &b, mlir::Location loc, bool inLoop,
                llvm::function_ref<void(mlir::OpBuilder &, mlir::Location,
                                        mlir::Value offset, int64_t)>
                    body);

  /// Whether the vectors of a gate are several tiles of one size.
  bool areTilesEqual() const;

  /// Vector `index` of a tile.
  mlir::Value part(mlir::OpBuilder &b, mlir::Location loc, mlir::Value tile,
                   int64_t index);

  /// A tile of a buffer where each row is found at its own indices.
  mlir::Value
  loadTile(mlir::OpBuilder &b, mlir::Location loc, mlir::Value buffer,
           const Tile &tile,
           llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value row)>
               indices);

  /// The first column of a tile in a padded row.
  mlir::Value columnOfTile(mlir::OpBuilder &b, mlir::Location loc,
                           const Tile &tile, mlir::Value block);

  /// Rows of one vector each lie behind each other in padded buffers.
  bool isContiguous(const Tile &tile) const;

  mlir::Value loadPadded(mlir::OpBuilder &b, mlir::Location loc,
                         mlir::Value buffer, const Tile &tile,
                         mlir::Value block);

  void storePadded(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value,
                   mlir::Value buffer, const Tile &tile, mlir::Value block);

  /// condition[row] ? yes : no for each row.
  mlir::Value selectRows(mlir::OpBuilder &b, mlir::Location loc,
                         mlir::Value condition, const Tile &tile,
                         mlir::Value yes, mlir::Value no);

  PackedColumns columns;
  int64_t numBlocks;
  int64_t largestTile = 1; ///< In vectors.
};

} // namespace gru

#endif // GRU_LOWERING_CPU_STEPTILES_H
