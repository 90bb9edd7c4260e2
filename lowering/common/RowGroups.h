//===- RowGroups.h - narrow products whose rows share registers -----------===//
//
// A block of 4 or 8 columns fills a quarter or half of a register. So a
// register holds as many rows of it as fit, one behind the other: a group.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_ROWGROUPS_H
#define GRU_LOWERING_COMMON_ROWGROUPS_H

#include "lowering/common/RegisterBlock.h"

namespace gru {

/// How many rows of the block one register holds; 1 where they are not grouped.
int64_t getRowsPerGroup(const PackedColumns &columns, int64_t vectorBytes);

/// A group of `rows` rows.
mlir::VectorType groupType(const PackedColumns &columns, int64_t rows);

/// A vector of one row, for each row of a group.
mlir::Value repeatRows(mlir::OpBuilder &b, mlir::Location loc, mlir::Value row,
                       int64_t rows);

/// Vectors of one row each as a group.
mlir::Value joinRows(mlir::OpBuilder &b, mlir::Location loc,
                     llvm::ArrayRef<mlir::Value> rows);

/// emitProduct for `groups` groups of `rows` rows: accumulator g * gates + gate
/// is a group. `left` gives the group g of columns k up to k + count, as many
/// as a row's part of the group has lanes or fewer; what its other lanes hold
/// is not looked at. It is asked per gate with `leftPerGate`, else for gate 0
/// only.
llvm::SmallVector<mlir::Value> emitGroupedProduct(
    mlir::OpBuilder &b, mlir::Location loc, const PackedColumns &columns,
    int64_t rows, int64_t groups, llvm::ArrayRef<mlir::Value> accumulators,
    bool leftPerGate,
    llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                   int64_t group, int64_t gate, mlir::Value k,
                                   int64_t count)>
        left);

} // namespace gru

#endif // GRU_LOWERING_COMMON_ROWGROUPS_H
