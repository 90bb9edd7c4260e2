//===- RowGroups.cpp - narrow products whose rows share registers ---------===//

#include "lowering/common/RowGroups.h"

using namespace mlir;
using namespace gru;

int64_t gru::getRowsPerGroup(const PackedColumns &columns,
                             int64_t vectorBytes) {
  auto type = cast<MemRefType>(columns.weight.getType());
  int64_t bytes = columns.lanes * columns.vector.getElementTypeBitWidth() / 8;
  if (type.getDimSize(0) > 1 || columns.vectorsPerGate() > 1)
    return 1;
  return std::max<int64_t>(1, vectorBytes / bytes);
}

VectorType gru::groupType(const PackedColumns &columns, int64_t rows) {
  return VectorType::get({rows * columns.lanes},
                         columns.vector.getElementType());
}

Value gru::repeatRows(OpBuilder &b, Location loc, Value row, int64_t rows) {
  int64_t lanes = cast<VectorType>(row.getType()).getNumElements();
  SmallVector<int64_t> from;
  for (int64_t i = 0; i < rows * lanes; ++i)
    from.push_back(i % lanes);
  return vector::ShuffleOp::create(b, loc, row, row, from);
}

Value gru::joinRows(OpBuilder &b, Location loc, ArrayRef<Value> rows) {
  if (rows.size() == 1)
    return rows[0];
  Value low = joinRows(b, loc, rows.take_front(rows.size() / 2));
  Value high = joinRows(b, loc, rows.drop_front(rows.size() / 2));
  int64_t lanes = cast<VectorType>(low.getType()).getNumElements() +
                  cast<VectorType>(high.getType()).getNumElements();
  return vector::ShuffleOp::create(
      b, loc, low, high, llvm::to_vector(llvm::seq<int64_t>(0, lanes)));
}

/// Element k of each row, in all lanes of that row.
static Value spreadElement(OpBuilder &b, Location loc, Value group,
                           int64_t lanes, int64_t k) {
  int64_t size = cast<VectorType>(group.getType()).getNumElements();
  SmallVector<int64_t> from;
  for (int64_t i = 0; i < size; ++i)
    from.push_back(i / lanes * lanes + k);
  return vector::ShuffleOp::create(b, loc, group, group, from);
}

SmallVector<Value> gru::emitGroupedProduct(
    OpBuilder &b, Location loc, const PackedColumns &columns, int64_t rows,
    int64_t groups, ArrayRef<Value> accumulators, bool leftPerGate,
    function_ref<Value(OpBuilder &, Location, int64_t, int64_t, Value, int64_t)>
        left) {
  // The part of the left side that a register holds: `count` columns from k on.
  auto multiply = [&](OpBuilder &b, Location loc, Value k, int64_t count,
                      MutableArrayRef<Value> sums) {
    int64_t lefts = leftPerGate ? columns.gates : 1;
    SmallVector<Value> parts;
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t gate = 0; gate < lefts; ++gate)
        parts.push_back(left(b, loc, group, gate, k, count));
    Value zero = indexConstant(b, loc, 0);
    for (int64_t i = 0; i < count; ++i) {
      SmallVector<Value> weights;
      for (int64_t gate = 0; gate < columns.gates; ++gate)
        weights.push_back(repeatRows(
            b, loc,
            loadVector(
                b, loc, columns.vector, columns.weight,
                ValueRange{zero, plus(b, loc, k, i),
                           indexConstant(b, loc, columns.firstGate + gate)},
                0),
            rows));
      for (int64_t group = 0; group < groups; ++group) {
        Value factor;
        for (int64_t gate = 0; gate < columns.gates; ++gate) {
          if (gate < lefts)
            factor = spreadElement(b, loc, parts[group * lefts + gate],
                                   columns.lanes, i);
          Value &sum = sums[group * columns.gates + gate];
          sum = vector::FMAOp::create(b, loc, factor, weights[gate], sum);
        }
      }
    }
  };

  SmallVector<Value> sums(accumulators);
  int64_t whole = columns.inner / columns.lanes * columns.lanes;
  if (whole == columns.lanes) {
    multiply(b, loc, indexConstant(b, loc, 0), whole, sums);
  } else if (whole != 0) {
    auto loop = scf::ForOp::create(
        b, loc, indexConstant(b, loc, 0), indexConstant(b, loc, whole),
        indexConstant(b, loc, columns.lanes), sums,
        [&](OpBuilder &b, Location loc, Value k, ValueRange current) {
          SmallVector<Value> next(current);
          multiply(b, loc, k, columns.lanes, next);
          scf::YieldOp::create(b, loc, next);
        });
    sums.assign(loop.result_begin(), loop.result_end());
  }
  if (whole != columns.inner)
    multiply(b, loc, indexConstant(b, loc, whole), columns.inner - whole, sums);
  return sums;
}
