//===- RegisterBlock.cpp - the register-blocked product -------------------===//

#include "lowering/common/RegisterBlock.h"
#include "dialect/GRUDialect.h"
#include "lowering/common/FloatBuilder.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace gru;

PackedColumns::PackedColumns(Value weight, int64_t vectorBytes)
    : weight(weight) {
  auto type = cast<MemRefType>(weight.getType());
  inner = type.getDimSize(1);
  gates = type.getDimSize(2);
  width = type.getDimSize(3);
  if (isBytes()) {
    --inner;
    width /= 4;
  }
  Type element = type.getElementType();
  if (isHalf(element) || element.isInteger())
    element = Float32Type::get(type.getContext());
  int64_t elementBytes = element.getIntOrFloatBitWidth() / 8;
  // A block narrower than a register (a width given by hand) is one vector; one
  // that is not a multiple is cut into the largest power of two that divides
  // it.
  lanes = std::min(width, vectorBytes / elementBytes);
  while (width % lanes != 0)
    lanes /= 2;
  vector = VectorType::get({lanes}, element);
}

bool PackedColumns::isBytes() const {
  return cast<MemRefType>(weight.getType()).getElementType().isInteger();
}

bool gru::holdsAllGates(const PackedColumns &columns, int64_t rows,
                        const TargetDescription &target) {
  return rows == 1 || rows * columns.vectorsPerRow() <= getAccumulators(target);
}

Value gru::plus(OpBuilder &b, Location loc, Value first, int64_t offset) {
  if (offset == 0)
    return first;
  if (std::optional<int64_t> constant = getConstantIntValue(first))
    return indexConstant(b, loc, *constant + offset);
  return arith::AddIOp::create(b, loc, first, indexConstant(b, loc, offset));
}

Value gru::plus(OpBuilder &b, Location loc, Value first, Value offset) {
  if (std::optional<int64_t> constant = getConstantIntValue(offset))
    return plus(b, loc, first, *constant);
  return arith::AddIOp::create(b, loc, first, offset);
}

Value gru::columnOf(OpBuilder &b, Location loc, Value block, int64_t width,
                    int64_t offset) {
  if (std::optional<int64_t> constant = getConstantIntValue(block))
    return indexConstant(b, loc, *constant * width + offset);
  Value first =
      arith::MulIOp::create(b, loc, block, indexConstant(b, loc, width));
  return plus(b, loc, first, offset);
}

Value gru::floatConstant(OpBuilder &b, Location loc, Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr = b.getFloatAttr(element, value);
  if (auto shaped = dyn_cast<ShapedType>(type))
    attr = DenseElementsAttr::get(shaped, attr);
  return arith::ConstantOp::create(b, loc, attr);
}

static Type elementOf(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getElementType();
}

Value gru::loadVector(OpBuilder &b, Location loc, VectorType type, Value buffer,
                      ValueRange indices) {
  Type element = elementOf(buffer);
  auto stored = cast<VectorType>(withElementType(type, element));
  Value value = vector::LoadOp::create(b, loc, stored, buffer, indices);
  if (stored == type)
    return value;
  return arith::ExtFOp::create(b, loc, type, value);
}

Value gru::loadVector(OpBuilder &b, Location loc, VectorType type, Value buffer,
                      ValueRange indices, int64_t column) {
  SmallVector<Value> at(indices);
  at.push_back(indexConstant(b, loc, column));
  return loadVector(b, loc, type, buffer, at);
}

/// A mask whose first `count` lanes are set.
static Value firstLanes(OpBuilder &b, Location loc, int64_t lanes,
                        int64_t count) {
  SmallVector<bool> set(lanes, false);
  std::fill_n(set.begin(), count, true);
  auto type = VectorType::get({lanes}, b.getI1Type());
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, set));
}

Value gru::loadColumns(OpBuilder &b, Location loc, VectorType type,
                       Value buffer, ValueRange indices, int64_t count) {
  int64_t lanes = type.getNumElements();
  if (count >= lanes)
    return loadVector(b, loc, type, buffer, indices);
  return vector::MaskedLoadOp::create(b, loc, type, buffer, indices,
                                      firstLanes(b, loc, lanes, count),
                                      floatConstant(b, loc, type, 0));
}

Value gru::broadcastElement(OpBuilder &b, Location loc, VectorType type,
                            Value buffer, ValueRange indices) {
  Value value = memref::LoadOp::create(b, loc, buffer, indices);
  if (value.getType() != type.getElementType())
    value = arith::ExtFOp::create(b, loc, type.getElementType(), value);
  return vector::BroadcastOp::create(b, loc, type, value);
}

static Value rounded(OpBuilder &b, Location loc, Value value, Value buffer) {
  Type type = withElementType(value.getType(), elementOf(buffer));
  if (type == value.getType())
    return value;
  return arith::TruncFOp::create(b, loc, type, value);
}

void gru::storeVector(OpBuilder &b, Location loc, Value value, Value buffer,
                      ValueRange indices) {
  vector::StoreOp::create(b, loc, rounded(b, loc, value, buffer), buffer,
                          indices);
}

/// Asks for the weights of a later k. Several rows take so many instructions
/// for one k that a processor does not see far enough ahead by itself where
/// weights come from behind the second-level cache; a single row does.
static void prefetchWeights(OpBuilder &b, Location loc,
                            const PackedColumns &columns, Value block,
                            Value k) {
  auto type = cast<MemRefType>(columns.weight.getType());
  constexpr int64_t kLine = 64, kAhead = 4608, kNearBytes = 256 << 10;
  int64_t elementBytes = type.getElementTypeBitWidth() / 8;
  int64_t perGate = type.getDimSize(3);
  int64_t rowBytes = columns.gates * perGate * elementBytes;
  if (type.getNumElements() * elementBytes < kNearBytes)
    return;
  // Past the block's end the next one begins, which is what comes next.
  Value ahead = plus(b, loc, k, llvm::divideCeil(kAhead, rowBytes));
  for (int64_t byte = 0; byte < rowBytes; byte += kLine) {
    int64_t column = byte / elementBytes;
    Value gate = indexConstant(b, loc, columns.firstGate + column / perGate);
    memref::PrefetchOp::create(
        b, loc, columns.weight,
        ValueRange{block, ahead, gate, indexConstant(b, loc, column % perGate)},
        /*isWrite=*/false, /*localityHint=*/3, /*isDataCache=*/true);
  }
}

/// How many chains of additions each sum is made of: enough that none waits for
/// itself.
static int64_t chooseChains(const PackedColumns &columns, int64_t rows) {
  constexpr int64_t kEnoughSums = 12, kMostChains = 8;
  if (!columns.inChains || rows > 1)
    return 1;
  int64_t chains = std::clamp<int64_t>(kEnoughSums / columns.vectorsPerRow(), 1,
                                       std::min(kMostChains, columns.inner));
  return llvm::bit_floor(uint64_t(chains));
}

/// One k: calls `multiply` for each row and each vector of weights. The left
/// side changes with the gate only if `leftPerGate`.
static void forEachProduct(
    const PackedColumns &columns, int64_t rows, bool leftPerGate,
    function_ref<Value(int64_t row, int64_t gate)> left,
    function_ref<Value(int64_t v)> weight,
    function_ref<void(int64_t row, int64_t v, Value, Value)> multiply) {
  auto needsLeft = [&](int64_t v) {
    return v == 0 || (leftPerGate && v % columns.vectorsPerGate() == 0);
  };
  // The side with fewer values stays in registers while the other passes by
  // one at a time: with all of both, accumulators would spill.
  SmallVector<Value> kept;
  if (rows <= columns.vectorsPerRow()) {
    kept.resize(rows);
    for (int64_t v = 0; v < columns.vectorsPerRow(); ++v) {
      if (needsLeft(v))
        for (int64_t row = 0; row < rows; ++row)
          kept[row] = left(row, v / columns.vectorsPerGate());
      Value w = weight(v);
      for (int64_t row = 0; row < rows; ++row)
        multiply(row, v, kept[row], w);
    }
    return;
  }
  for (int64_t v = 0; v < columns.vectorsPerRow(); ++v)
    kept.push_back(weight(v));
  for (int64_t row = 0; row < rows; ++row) {
    Value f;
    for (int64_t v = 0; v < columns.vectorsPerRow(); ++v) {
      if (needsLeft(v))
        f = left(row, v / columns.vectorsPerGate());
      multiply(row, v, f, kept[v]);
    }
  }
}

using LeftSide =
    function_ref<Value(OpBuilder &, Location, int64_t, int64_t, Value)>;

/// One k: every accumulator takes its product.
static void multiplyRow(OpBuilder &b, Location loc,
                        const PackedColumns &columns, Value block, Value k,
                        int64_t rows, bool leftPerGate, LeftSide left,
                        MutableArrayRef<Value> sums) {
  forEachProduct(
      columns, rows, leftPerGate,
      [&](int64_t row, int64_t gate) { return left(b, loc, row, gate, k); },
      [&](int64_t v) -> Value {
        Value gate = indexConstant(
            b, loc, columns.firstGate + v / columns.vectorsPerGate());
        return loadVector(b, loc, columns.vector, columns.weight,
                          ValueRange{block, k, gate},
                          v % columns.vectorsPerGate() * columns.lanes);
      },
      [&](int64_t row, int64_t v, Value f, Value w) {
        Value &sum = sums[row * columns.vectorsPerRow() + v];
        sum = sum ? vector::FMAOp::create(b, loc, f, w, sum).getResult()
                  : arith::MulFOp::create(b, loc, f, w).getResult();
      });
}

/// Calls `multiply` for each of [begin, end), a multiple of `chains`: `sums`
/// are those of one chain after the other, which take turns.
static void forChains(
    OpBuilder &b, Location loc, Value begin, Value end, int64_t chains,
    SmallVector<Value> &sums,
    function_ref<void(OpBuilder &, Location, Value, MutableArrayRef<Value>)>
        multiply) {
  size_t numSums = sums.size() / chains;
  auto loop = scf::ForOp::create(
      b, loc, begin, end, indexConstant(b, loc, chains), sums,
      [&](OpBuilder &b, Location loc, Value at, ValueRange values) {
        SmallVector<Value> next(values);
        for (int64_t c = 0; c < chains; ++c)
          multiply(b, loc, plus(b, loc, at, c),
                   MutableArrayRef(next).slice(c * numSums, numSums));
        scf::YieldOp::create(b, loc, next);
      });
  sums.assign(loop.result_begin(), loop.result_end());
}

/// The sums of several chains of `numSums` each, added up by pairs.
static void joinChains(OpBuilder &b, Location loc, size_t numSums,
                       SmallVector<Value> &chains) {
  for (size_t half = chains.size() / 2; half >= numSums; half /= 2) {
    for (size_t i = 0; i < half; ++i)
      chains[i] = arith::AddFOp::create(b, loc, chains[i], chains[i + half]);
    chains.resize(half);
  }
}

SmallVector<Value> gru::emitProduct(OpBuilder &b, Location loc,
                                    const PackedColumns &columns, Value block,
                                    int64_t rows, ArrayRef<Value> accumulators,
                                    bool leftPerGate, LeftSide left) {
  auto multiplyAll = [&](OpBuilder &b, Location loc, Value k,
                         MutableArrayRef<Value> sums) {
    multiplyRow(b, loc, columns, block, k, rows, leftPerGate, left, sums);
  };

  int64_t numChains = chooseChains(columns, rows);
  if (numChains > 1) {
    // Up to so many k are written out.
    constexpr int64_t kStraight = 16;
    int64_t numSums = accumulators.size();
    SmallVector<Value> chains(accumulators);
    int64_t k = 0;
    if (columns.inner > kStraight) {
      chains.append(numSums * (numChains - 1),
                    floatConstant(b, loc, columns.vector, 0));
      k = columns.inner / numChains * numChains;
      forChains(b, loc, indexConstant(b, loc, 0), indexConstant(b, loc, k),
                numChains, chains, multiplyAll);
    }
    chains.resize(numSums * numChains);
    for (; k < columns.inner; ++k)
      multiplyAll(
          b, loc, indexConstant(b, loc, k),
          MutableArrayRef(chains).slice(k % numChains * numSums, numSums));
    joinChains(b, loc, numSums, chains);
    return chains;
  }

  auto loop = scf::ForOp::create(
      b, loc, indexConstant(b, loc, 0), indexConstant(b, loc, columns.inner),
      indexConstant(b, loc, 1), accumulators,
      [&](OpBuilder &b, Location loc, Value k, ValueRange sums) {
        SmallVector<Value> next(sums);
        if (rows > 1)
          prefetchWeights(b, loc, columns, block, k);
        multiplyAll(b, loc, k, next);
        scf::YieldOp::create(b, loc, next);
      });
  return SmallVector<Value>(loop.getResults());
}

SmallVector<Value>
gru::emitSparseProduct(OpBuilder &b, Location loc, const PackedColumns &columns,
                       Value lists, Value block, int64_t rows, int64_t chains,
                       ArrayRef<Value> accumulators, LeftSide left) {
  SmallVector<Value> results(accumulators);
  for (int64_t gate = 0; gate < columns.gates; ++gate) {
    PackedColumns ofGate = columns.ofGates(gate, 1);
    Value list = indexConstant(b, loc, ofGate.firstGate);
    auto entry = [&](OpBuilder &b, Location loc, Value at) -> Value {
      Value number =
          memref::LoadOp::create(b, loc, lists, ValueRange{block, list, at});
      return arith::IndexCastUIOp::create(b, loc, b.getIndexType(), number);
    };
    auto multiply = [&](OpBuilder &b, Location loc, Value at,
                        MutableArrayRef<Value> sums) {
      multiplyRow(
          b, loc, ofGate, block, entry(b, loc, at), rows,
          /*leftPerGate=*/false,
          [&](OpBuilder &b, Location loc, int64_t row, int64_t, Value k) {
            return left(b, loc, row, gate, k);
          },
          sums);
    };
    SmallVector<int64_t> positions;
    SmallVector<Value> sums;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t v = 0; v < columns.vectorsPerGate(); ++v) {
        positions.push_back(columns.position(row, gate, v));
        sums.push_back(accumulators[positions.back()]);
      }
    size_t numSums = sums.size();
    // Behind the number of rows.
    Value begin = indexConstant(b, loc, 1);
    Value count = entry(b, loc, indexConstant(b, loc, 0));
    Value end = plus(b, loc, count, 1);
    if (chains > 1) {
      Value rest =
          arith::RemUIOp::create(b, loc, count, indexConstant(b, loc, chains));
      Value whole = arith::SubIOp::create(b, loc, end, rest);
      sums.append(numSums * (chains - 1),
                  floatConstant(b, loc, columns.vector, 0));
      forChains(b, loc, begin, whole, chains, sums, multiply);
      joinChains(b, loc, numSums, sums);
      begin = whole;
    }
    forChains(b, loc, begin, end, /*chains=*/1, sums, multiply);
    for (auto [position, sum] : llvm::zip(positions, sums))
      results[position] = sum;
  }
  return results;
}

/// The bytes buffer[indices..., 4 k] to [..., 4 k + 3] in all lanes of a vector
/// of 4 * `lanes` bytes.
static Value broadcastBytes(OpBuilder &b, Location loc, int64_t lanes,
                            Value buffer, ValueRange indices, Value k) {
  SmallVector<Value> at(indices);
  at.push_back(columnOf(b, loc, k, 4, 0));
  auto vectorOf = [&](int64_t size, Type type) {
    return VectorType::get({size}, type);
  };
  Type i8 = b.getI8Type(), i32 = b.getI32Type();
  Value four = vector::LoadOp::create(b, loc, vectorOf(4, i8), buffer, at);
  Value word = vector::BitCastOp::create(b, loc, vectorOf(1, i32), four);
  word = vector::ExtractOp::create(b, loc, word, 0);
  word = vector::BroadcastOp::create(b, loc, vectorOf(lanes, i32), word);
  return vector::BitCastOp::create(b, loc, vectorOf(4 * lanes, i8), word);
}

/// The sums of products of bytes, exact: vectors of i32.
static SmallVector<Value> emitIntegerSums(OpBuilder &b, Location loc,
                                          const PackedColumns &columns,
                                          Value block,
                                          const QuantizedRows &rows) {
  auto bytes = VectorType::get({4 * columns.lanes}, b.getI8Type());
  auto integers = VectorType::get({columns.lanes}, b.getI32Type());
  auto weight = [&](OpBuilder &b, Location loc, Value row, int64_t v) -> Value {
    Value gate =
        indexConstant(b, loc, columns.firstGate + v / columns.vectorsPerGate());
    Value column =
        indexConstant(b, loc, v % columns.vectorsPerGate() * 4 * columns.lanes);
    return vector::LoadOp::create(b, loc, bytes, columns.weight,
                                  ValueRange{block, row, gate, column});
  };
  int64_t vectors = columns.vectorsPerRow();
  // Row 0 holds what the sums begin with.
  SmallVector<Value> first;
  for (int64_t v = 0; v < vectors; ++v)
    first.push_back(vector::BitCastOp::create(
        b, loc, integers, weight(b, loc, indexConstant(b, loc, 0), v)));
  SmallVector<Value> sums;
  for (size_t row = 0; row < rows.indices.size(); ++row)
    sums.append(first);
  auto loop = scf::ForOp::create(
      b, loc, indexConstant(b, loc, 0), indexConstant(b, loc, columns.inner),
      indexConstant(b, loc, 1), sums,
      [&](OpBuilder &b, Location loc, Value k, ValueRange sums) {
        SmallVector<Value> next(sums);
        if (rows.indices.size() > 1)
          prefetchWeights(b, loc, columns, block, k);
        Value weightRow = plus(b, loc, k, 1);
        forEachProduct(
            columns, rows.indices.size(), /*leftPerGate=*/false,
            [&](int64_t row, int64_t) {
              return broadcastBytes(b, loc, columns.lanes, rows.bytes,
                                    rows.indices[row], k);
            },
            [&](int64_t v) { return weight(b, loc, weightRow, v); },
            [&](int64_t row, int64_t v, Value f, Value w) {
              Value &sum = next[row * vectors + v];
              sum = DotBytesOp::create(b, loc, f, w, sum);
            });
        scf::YieldOp::create(b, loc, next);
      });
  return SmallVector<Value>(loop.getResults());
}

SmallVector<Value> gru::emitByteProduct(OpBuilder &b, Location loc,
                                        const PackedColumns &columns,
                                        Value kernelScale, Value block,
                                        const QuantizedRows &rows,
                                        ArrayRef<Value> others) {
  SmallVector<Value> sums = emitIntegerSums(b, loc, columns, block, rows);
  SmallVector<Value> result(sums.size());
  SmallVector<Value> rowScales;
  for (ArrayRef<Value> row : rows.indices) {
    Value scale = memref::LoadOp::create(b, loc, rows.scale, row);
    rowScales.push_back(
        vector::BroadcastOp::create(b, loc, columns.vector, scale));
  }
  for (int64_t gate = 0; gate < columns.gates; ++gate)
    for (int64_t v = 0; v < columns.vectorsPerGate(); ++v) {
      Value scale =
          loadVector(b, loc, columns.vector, kernelScale,
                     {block, indexConstant(b, loc, columns.firstGate + gate)},
                     v * columns.lanes);
      for (size_t row = 0; row < rows.indices.size(); ++row) {
        int64_t at = columns.position(row, gate, v);
        Value sum = arith::SIToFPOp::create(b, loc, columns.vector, sums[at]);
        Value both = arith::MulFOp::create(b, loc, scale, rowScales[row]);
        result[at] = vector::FMAOp::create(b, loc, sum, both, others[at]);
      }
    }
  return result;
}

int64_t gru::choosePartsOf(Operation *op, const TargetDescription &target,
                           int64_t blocks, int64_t products) {
  return op->getParentOfType<scf::ParallelOp>()
             ? 1
             : chooseParts(target, blocks, products);
}

void gru::forColumnBlocks(
    OpBuilder &b, Location loc, int64_t numBlocks, int64_t parts,
    int64_t products, Value turn,
    function_ref<void(OpBuilder &, Location, Value)> body) {
  if (numBlocks == 1)
    return body(b, loc, indexConstant(b, loc, 0));
  Value one = indexConstant(b, loc, 1);
  auto loop = [&](OpBuilder &b, Location loc, Value from, Value to) {
    scf::ForOp::create(
        b, loc, from, to, one, ValueRange{},
        [&](OpBuilder &b, Location loc, Value block, ValueRange) {
          if (turn) {
            Value last = arith::SubIOp::create(
                b, loc, arith::AddIOp::create(b, loc, from, to), one);
            Value turned = arith::SubIOp::create(b, loc, last, block);
            block = arith::SelectOp::create(b, loc, turn, turned, block);
          }
          body(b, loc, block);
          scf::YieldOp::create(b, loc);
        });
  };
  Value zero = indexConstant(b, loc, 0);
  if (parts <= 1)
    return loop(b, loc, zero, indexConstant(b, loc, numBlocks));
  Value numParts = indexConstant(b, loc, parts);
  auto parallel = scf::ParallelOp::create(
      b, loc, zero, numParts, one,
      [&](OpBuilder &b, Location loc, ValueRange part) {
        auto bound = [&](Value i) -> Value {
          Value scaled = arith::MulIOp::create(
              b, loc, i, indexConstant(b, loc, numBlocks));
          return arith::DivUIOp::create(b, loc, scaled, numParts);
        };
        Value next = arith::AddIOp::create(b, loc, part[0], one);
        loop(b, loc, bound(part[0]), bound(next));
      });
  parallel->setAttr(kProductsAttr, b.getI64IntegerAttr(products));
}

void gru::forRowBlocks(
    OpBuilder &b, Location loc, Value size, int64_t staticSize, int64_t rows,
    function_ref<void(OpBuilder &, Location, Value, int64_t)> body) {
  auto loop = [&](Value from, Value to, int64_t step) {
    scf::ForOp::create(b, loc, from, to, indexConstant(b, loc, step),
                       ValueRange{},
                       [&](OpBuilder &b, Location loc, Value i, ValueRange) {
                         body(b, loc, i, step);
                         scf::YieldOp::create(b, loc);
                       });
  };
  Value zero = indexConstant(b, loc, 0);
  if (staticSize < 0) {
    if (rows == 1)
      return loop(zero, size, 1);
    Value whole = arith::SubIOp::create(
        b, loc, size,
        arith::RemUIOp::create(b, loc, size, indexConstant(b, loc, rows)));
    loop(zero, whole, rows);
    return loop(whole, size, 1);
  }
  rows = std::min(rows, staticSize);
  int64_t whole = staticSize - staticSize % rows;
  if (whole == rows)
    body(b, loc, zero, rows);
  else
    loop(zero, indexConstant(b, loc, whole), rows);
  if (whole != staticSize)
    body(b, loc, indexConstant(b, loc, whole), staticSize - whole);
}

void gru::storeColumns(OpBuilder &b, Location loc, Value value, Value buffer,
                       ValueRange indices, Value column, int64_t padded,
                       int64_t columns) {
  value = rounded(b, loc, value, buffer);
  auto type = cast<VectorType>(value.getType());
  int64_t lanes = type.getNumElements();
  SmallVector<Value> at(indices);
  at.push_back(column);
  if (columns == padded) {
    vector::StoreOp::create(b, loc, value, buffer, at);
    return;
  }
  Value mask;
  if (std::optional<int64_t> fixed = getConstantIntValue(column)) {
    int64_t rest = columns - *fixed;
    if (rest <= 0)
      return;
    if (rest >= lanes) {
      vector::StoreOp::create(b, loc, value, buffer, at);
      return;
    }
    mask = firstLanes(b, loc, lanes, rest);
  } else {
    // Lane i is stored if i < columns - column; vector.create_mask would need a
    // lowering pass of its own.
    auto numbers = llvm::to_vector(llvm::seq<int32_t>(0, lanes));
    auto lanesType = VectorType::get({lanes}, b.getI32Type());
    Value lane = arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(lanesType, ArrayRef<int32_t>(numbers)));
    Value end = indexConstant(b, loc, columns);
    Value rest = arith::IndexCastOp::create(
        b, loc, b.getI32Type(), arith::SubIOp::create(b, loc, end, column));
    mask = arith::CmpIOp::create(
        b, loc, arith::CmpIPredicate::slt, lane,
        vector::BroadcastOp::create(b, loc, lanesType, rest));
  }
  vector::MaskedStoreOp::create(b, loc, buffer, at, mask, value);
}
