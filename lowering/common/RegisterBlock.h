//===- RegisterBlock.h - the register-blocked product -----------*- C++ -*-===//
//
// A block of rows times a block of columns whose sums stay in registers while
// one loop runs over the inner dimension. Steps and dense products share it.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_REGISTERBLOCK_H
#define GRU_LOWERING_COMMON_REGISTERBLOCK_H

#include "lowering/common/Buffers.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/Sequence.h"

namespace gru {

/// The columns of one block of a packed weight [NB, K, G, W], as vectors.
/// `vector` is what registers hold: half types are computed in f32.
struct PackedColumns {
  mlir::Value weight;
  /// Of bytes, `inner` counts the rows of four of gru.quantized_pack.
  int64_t inner, gates, width, lanes;
  int64_t firstGate = 0; ///< Of the weight's gates, where some are left out.
  /// Whether the sums of an only row may be made of several chains of
  /// additions. How many depends on the width, which depends on the number of
  /// threads, as the bits of a result must not: so only where work is too
  /// little for several.
  bool inChains = false;
  mlir::VectorType vector;

  bool isBytes() const;

  /// `count` of these gates.
  PackedColumns ofGates(int64_t first, int64_t count) const {
    PackedColumns some = *this;
    some.firstGate += first;
    some.gates = count;
    return some;
  }

  PackedColumns(mlir::Value weight, int64_t vectorBytes);

  auto gateNumbers() const { return llvm::seq(firstGate, firstGate + gates); }
  int64_t vectorsPerGate() const { return width / lanes; }
  int64_t vectorsPerRow() const { return gates * vectorsPerGate(); }
  /// Accumulator of row r, gate g, vector v.
  int64_t position(int64_t row, int64_t gate, int64_t v) const {
    return (row * gates + gate) * vectorsPerGate() + v;
  }
};

/// Whether the sums of all gates of so many rows find room in registers.
/// Otherwise the gates follow each other, so that more rows share what is
/// loaded of a kernel that lies behind the nearest cache.
bool holdsAllGates(const PackedColumns &columns, int64_t rows,
                   const TargetDescription &target);

/// Adds the products of `rows` rows with block `block` to the accumulators:
/// acc[r, g, v] += sum over k of left(r, g, k) * weight[block, k, g, v], where
/// left gives a vector of equal lanes. The sum runs over ascending k, one fused
/// multiply-add each, whatever the blocking; but see PackedColumns::inChains.
/// Without `leftPerGate` the left side is asked for gate 0 only, for all gates.
llvm::SmallVector<mlir::Value> emitProduct(
    mlir::OpBuilder &b, mlir::Location loc, const PackedColumns &columns,
    mlir::Value block, int64_t rows, llvm::ArrayRef<mlir::Value> accumulators,
    bool leftPerGate,
    llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                   int64_t row, int64_t gate, mlir::Value k)>
        left);

/// emitProduct that reads only the rows k which `lists` [NB, G, 1 + K] names,
/// as gru.nonzero_rows makes it. Each sum is made of `chains` chains of
/// additions, of which the last rows take part in none.
llvm::SmallVector<mlir::Value> emitSparseProduct(
    mlir::OpBuilder &b, mlir::Location loc, const PackedColumns &columns,
    mlir::Value lists, mlir::Value block, int64_t rows, int64_t chains,
    llvm::ArrayRef<mlir::Value> accumulators,
    llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                   int64_t row, int64_t gate, mlir::Value k)>
        left);

/// Rows as gru.quantize_rows makes them: `bytes` [..., P] and `scale` [...],
/// and the leading indices of each row of a block.
struct QuantizedRows {
  mlir::Value bytes, scale;
  llvm::ArrayRef<llvm::SmallVector<mlir::Value>> indices;
};

/// others[r, g, v] + row scale * kernel_scale[block, g, v] * the product of the
/// bytes of row r with block `block`, whose sums are exact.
llvm::SmallVector<mlir::Value>
emitByteProduct(mlir::OpBuilder &b, mlir::Location loc,
                const PackedColumns &columns, mlir::Value kernelScale,
                mlir::Value block, const QuantizedRows &rows,
                llvm::ArrayRef<mlir::Value> others);

/// chooseParts for an operation that may be inside of what threads share
/// already, where it runs on one of them.
int64_t choosePartsOf(mlir::Operation *op, const TargetDescription &target,
                      int64_t blocks, int64_t products);

/// Loops over the blocks of columns. With several `parts` these are the
/// iterations of an scf.parallel, each with neighbouring blocks, which
/// gru-distribute gives to threads; it is told of the `products`, the
/// multiplications of all of them. `turn`, an i1 or null, says that each part
/// is walked backwards.
void forColumnBlocks(mlir::OpBuilder &b, mlir::Location loc, int64_t numBlocks,
                     int64_t parts, int64_t products, mlir::Value turn,
                     llvm::function_ref<void(mlir::OpBuilder &, mlir::Location,
                                             mlir::Value block)>
                         body);

/// Loops over [0, size) in blocks of `rows` rows, and over what is left in
/// smaller ones. `staticSize` is negative where the size is dynamic.
void forRowBlocks(
    mlir::OpBuilder &b, mlir::Location loc, mlir::Value size,
    int64_t staticSize, int64_t rows,
    llvm::function_ref<void(mlir::OpBuilder &, mlir::Location,
                            mlir::Value firstRow, int64_t numRows)>
        body);

/// Stores the lanes of `value` that stand in front of column `columns` of a row
/// which blocks cover up to column `padded`: lane i is column `column` + i.
/// `indices` are those of the row.
void storeColumns(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value,
                  mlir::Value buffer, mlir::ValueRange indices,
                  mlir::Value column, int64_t padded, int64_t columns);

/// buffer[indices] as a vector of `type`, widened where the buffer holds a
/// narrower type.
mlir::Value loadVector(mlir::OpBuilder &b, mlir::Location loc,
                       mlir::VectorType type, mlir::Value buffer,
                       mlir::ValueRange indices);

/// buffer[indices..., column] as a vector.
mlir::Value loadVector(mlir::OpBuilder &b, mlir::Location loc,
                       mlir::VectorType type, mlir::Value buffer,
                       mlir::ValueRange indices, int64_t column);

/// As loadVector, for `count` columns of which the last may be the buffer's
/// last: what is behind them is not read, and is zero.
mlir::Value loadColumns(mlir::OpBuilder &b, mlir::Location loc,
                        mlir::VectorType type, mlir::Value buffer,
                        mlir::ValueRange indices, int64_t count);

/// buffer[indices] in all lanes of a vector of `type`.
mlir::Value broadcastElement(mlir::OpBuilder &b, mlir::Location loc,
                             mlir::VectorType type, mlir::Value buffer,
                             mlir::ValueRange indices);

/// Stores a vector, rounded to the buffer's type.
void storeVector(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value,
                 mlir::Value buffer, mlir::ValueRange indices);

/// block * width + offset.
mlir::Value columnOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value block,
                     int64_t width, int64_t offset);

/// first + offset.
mlir::Value plus(mlir::OpBuilder &b, mlir::Location loc, mlir::Value first,
                 int64_t offset);
mlir::Value plus(mlir::OpBuilder &b, mlir::Location loc, mlir::Value first,
                 mlir::Value offset);

/// A floating-point constant of a scalar or vector type.
mlir::Value floatConstant(mlir::OpBuilder &b, mlir::Location loc,
                          mlir::Type type, double value);

} // namespace gru

#endif // GRU_LOWERING_COMMON_REGISTERBLOCK_H
