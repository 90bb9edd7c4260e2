//===- LinalgToVector.cpp - structured loops as vector code ---------------===//
//
// Convolutions, normalisations, attention and elementwise layers reach the cpu
// target as linalg operations. Each is a nest of loops; here one loop becomes
// the lanes of vectors:
//
//   * a parallel loop along which the results are contiguous. A reduction keeps
//     its sums in registers, several rows of another parallel loop at once
//     where these rows share a vector that is loaded (the filters of a
//     convolution).
//   * else a reduction loop along which the inputs are contiguous. Each lane
//     has a part of the sum; in the end the parts are added in a tree.
//
// The order of every sum depends on shapes and vector length only.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"
#include "lowering/common/RegisterBlock.h"
#include "lowering/cpu/LinalgNest.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"

#include <map>

namespace gru {
#define GEN_PASS_DEF_CONVERTLINALGTOVECTORPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {

/// The indices of all operands at some depth of the nest.
struct Position {
  struct Index {
    Value value; ///< May be null.
    int64_t constant;
  };
  SmallVector<SmallVector<Index>> indices; ///< By operand.
  DenseMap<unsigned, Value> loops;         ///< For linalg.index.
};

class LinalgLowering : LinalgNest {
public:
  /// What has been replaced goes into `erased`.
  LinalgLowering(linalg::LinalgOp op, int64_t vectorBytes, int64_t registers,
                 llvm::SmallSetVector<Operation *, 8> &erased)
      : LinalgNest(op, vectorBytes, registers), loc(op.getLoc()),
        erased(erased) {}

  /// False where nothing has been changed because the operation has no form
  /// that vectors fit.
  bool run() {
    if (!analyze())
      return false;
    OpBuilder b(op);
    takeFills();
    materializeSizes(b);
    Position position = start();
    SmallVector<unsigned> outer;
    for (unsigned loop = 0; loop < loops.size(); ++loop)
      if (!loops[loop].isReduction && int(loop) != lane && int(loop) != row)
        outer.push_back(loop);
    emitLoops(b, outer, position, {},
              [&](OpBuilder &b, Position &position, ValueRange) {
                emitRows(b, position);
                return SmallVector<Value>();
              });
    erased.insert(op);
    return true;
  }

private:
  //===--- Loops ----------------------------------------------------------===//

  void materializeSizes(OpBuilder &b) {
    for (LinalgLoop &loop : loops) {
      if (!ShapedType::isDynamic(loop.size)) {
        loop.sizeValue = indexConstant(b, loc, loop.size);
        continue;
      }
      Value operand;
      unsigned dim = 0;
      [[maybe_unused]] LogicalResult found =
          op.mapIterationSpaceDimToOperandDim(loop.number.back(), operand, dim);
      assert(succeeded(found) && "a loop runs along some operand's dimension");
      loop.sizeValue = sizeOf(b, loc, operand, dim);
    }
    for (LinalgAccess &access : accesses) {
      auto type = dyn_cast<MemRefType>(access.value.getType());
      if (!type || !isFlat(type) || type.getRank() == 1)
        continue;
      ReassociationIndices all =
          llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank()));
      access.value = memref::CollapseShapeOp::create(
          b, loc, access.value, ArrayRef<ReassociationIndices>{all});
    }
  }

  /// Sums that start from a number need not be written to memory first.
  void takeFills() {
    if (!hasReductions())
      return;
    for (OpOperand &init : op.getDpsInitsMutable()) {
      linalg::FillOp fill = findOwnFill(op, init.get());
      if (!fill)
        continue;
      starts[init.getOperandNumber()] = fill.getInputs()[0];
      erased.insert(fill);
    }
  }

  Position start() {
    Position position;
    for (const LinalgAccess &access : accesses) {
      auto &indices = position.indices.emplace_back();
      for (ArrayRef<int64_t> form : access.forms)
        indices.push_back({Value(), form.back()});
    }
    return position;
  }

  void advance(OpBuilder &b, Position &position, unsigned loop, Value by) {
    if (std::optional<int64_t> constant = getConstantIntValue(by))
      return advance(position, loop, *constant);
    for (auto [access, indices] : llvm::zip(accesses, position.indices))
      for (auto [form, index] : llvm::zip(access.forms, indices)) {
        int64_t factor = this->form(form, loop);
        if (factor == 0)
          continue;
        Value step = by;
        if (factor != 1)
          step =
              arith::MulIOp::create(b, loc, by, indexConstant(b, loc, factor));
        index.value = index.value
                          ? arith::AddIOp::create(b, loc, index.value, step)
                          : step;
      }
    if (asksForIndex)
      position.loops[loops[loop].number.back()] = by;
  }

  void advance(Position &position, unsigned loop, int64_t by) {
    for (auto [access, indices] : llvm::zip(accesses, position.indices))
      for (auto [form, index] : llvm::zip(access.forms, indices))
        index.constant += by * this->form(form, loop);
    // Only after a loop's own variable, or as the first and only step.
    if (asksForIndex) {
      OpBuilder b(op);
      Value &value = position.loops[loops[loop].number.back()];
      value = value ? plusAt(value, by) : indexConstant(b, loc, by);
    }
  }

  Value plusAt(Value value, int64_t by) {
    OpBuilder b(op);
    b.setInsertionPointAfterValue(value);
    return plus(b, loc, value, by);
  }

  using LoopBody =
      function_ref<SmallVector<Value>(OpBuilder &, Position &, ValueRange)>;

  /// Whole loops one inside the other, which carry values.
  SmallVector<Value> emitLoops(OpBuilder &b, ArrayRef<unsigned> nest,
                               const Position &position, ValueRange carried,
                               LoopBody inner) {
    if (nest.empty()) {
      Position here = position;
      return inner(b, here, carried);
    }
    Value zero = indexConstant(b, loc, 0), one = indexConstant(b, loc, 1);
    auto loop = scf::ForOp::create(
        b, loc, zero, loops[nest.front()].sizeValue, one, carried,
        [&](OpBuilder &b, Location loc, Value i, ValueRange values) {
          Position here = position;
          advance(b, here, nest.front(), i);
          scf::YieldOp::create(
              b, loc, emitLoops(b, nest.drop_front(), here, values, inner));
        });
    return SmallVector<Value>(loop.getResults());
  }

  void emitRows(OpBuilder &b, const Position &position) {
    if (loops[lane].isReduction)
      return emitTree(b, position);
    if (row < 0)
      return emitColumns(b, position, 1);
    forRowBlocks(b, loc, loops[row].sizeValue, loops[row].size, rows,
                 [&](OpBuilder &b, Location, Value first, int64_t count) {
                   Position here = position;
                   advance(b, here, row, first);
                   emitColumns(b, here, count);
                 });
  }

  /// Blocks of whole vectors, then what is left.
  void emitColumns(OpBuilder &b, const Position &position, int64_t numRows) {
    Value size = loops[lane].sizeValue;
    auto loop = [&](Value from, Value to, int64_t step,
                    ArrayRef<int64_t> widths) {
      scf::ForOp::create(b, loc, from, to, indexConstant(b, loc, step),
                         ValueRange{},
                         [&](OpBuilder &b, Location loc, Value i, ValueRange) {
                           Position here = position;
                           advance(b, here, lane, i);
                           emitBlock(b, here, numRows, widths);
                           scf::YieldOp::create(b, loc);
                         });
    };
    Value zero = indexConstant(b, loc, 0);
    if (ShapedType::isDynamic(loops[lane].size)) {
      Value rest =
          arith::RemUIOp::create(b, loc, size, indexConstant(b, loc, lanes));
      Value whole = arith::SubIOp::create(b, loc, size, rest);
      loop(zero, whole, lanes, lanes);
      return loop(whole, size, 1, int64_t(1));
    }
    int64_t all = loops[lane].size / lanes, tail = loops[lane].size % lanes;
    int64_t blocks = all + (tail != 0) <= vectors ? 0 : all / vectors;
    SmallVector<int64_t> full(vectors, lanes);
    if (blocks == 1)
      emitBlock(b, position, numRows, full);
    else if (blocks)
      loop(zero, indexConstant(b, loc, blocks * vectors * lanes),
           vectors * lanes, full);
    SmallVector<int64_t> widths(all - blocks * vectors, lanes);
    if (tail)
      widths.push_back(tail);
    if (widths.empty())
      return;
    Position here = position;
    advance(here, lane, blocks * vectors * lanes);
    emitBlock(b, here, numRows, widths);
  }

  SmallVector<unsigned> reductions(bool exceptLane) const {
    SmallVector<unsigned> result;
    for (unsigned loop = 0; loop < loops.size(); ++loop)
      if (loops[loop].isReduction && !(exceptLane && int(loop) == lane))
        result.push_back(loop);
    return result;
  }

  //===--- Blocks ---------------------------------------------------------===//

  /// Rows times vectors of the result.
  void emitBlock(OpBuilder &b, const Position &position, int64_t numRows,
                 ArrayRef<int64_t> widths) {
    auto at = [&](const Position &from, int64_t r, size_t v) {
      Position here = from;
      if (r)
        advance(here, row, r);
      if (v)
        advance(here, lane, int64_t(v) * lanes);
      return here;
    };
    unsigned numOutputs = op.getNumDpsInits();
    SmallVector<Value> values;
    auto forEachVector = [&](function_ref<void(int64_t, size_t)> visit) {
      for (int64_t r = 0; r < numRows; ++r)
        for (size_t v = 0; v < widths.size(); ++v)
          visit(r, v);
    };
    if (hasReductions()) {
      forEachVector([&](int64_t r, size_t v) {
        Position here = at(position, r, v);
        for (unsigned output = 0; output < numOutputs; ++output)
          values.push_back(
              vectorOf(b, startOf(b, here, output, widths[v]), widths[v]));
      });
      values = emitLoops(
          b, reductions(false), position, values,
          [&](OpBuilder &b, Position &position, ValueRange sums) {
            Loaded loaded;
            SmallVector<Value> next;
            forEachVector([&](int64_t r, size_t v) {
              ValueRange mine = sums.slice(next.size(), numOutputs);
              llvm::append_range(next, emitBody(b, at(position, r, v), r, v,
                                                widths[v], mine, loaded));
            });
            return next;
          });
    } else {
      Loaded loaded;
      forEachVector([&](int64_t r, size_t v) {
        llvm::append_range(values, emitBody(b, at(position, r, v), r, v,
                                            widths[v], {}, loaded));
      });
    }
    size_t next = 0;
    forEachVector([&](int64_t r, size_t v) {
      Position here = at(position, r, v);
      for (unsigned output = 0; output < numOutputs; ++output)
        store(b, here, output, vectorOf(b, values[next++], widths[v]));
    });
  }

  /// One sum per lane, and in the end the sum of all lanes.
  void emitTree(OpBuilder &b, const Position &position) {
    Operation *combiner = getCombiner();
    int64_t size = loops[lane].size;
    int64_t width = lanes;
    if (!ShapedType::isDynamic(size) && size < lanes)
      width = int64_t(llvm::PowerOf2Ceil(uint64_t(size)));
    Value neutral =
        arith::ConstantOp::create(b, loc, *arith::getNeutralElement(combiner));
    Value sums = vectorOf(b, neutral, width);
    auto add = [&](OpBuilder &b, const Position &here, int64_t count,
                   Value sums) -> Value {
      Loaded loaded;
      if (count == width)
        return emitBody(b, here, 0, 0, width, sums, loaded)[0];
      // The first lanes only.
      SmallVector<int64_t> some = llvm::to_vector(llvm::seq<int64_t>(0, count));
      Value part = vector::ShuffleOp::create(b, loc, sums, sums, some);
      part =
          vectorOf(b, emitBody(b, here, 0, 0, count, part, loaded)[0], count);
      for (int64_t i = 0; i < count; ++i) {
        Value one = vector::ExtractOp::create(b, loc, part, i);
        sums = vector::InsertOp::create(b, loc, one, sums, i);
      }
      return sums;
    };
    auto loop = [&](OpBuilder &b, const Position &position, Value from,
                    Value to, int64_t step, Value sums) -> Value {
      auto loop = scf::ForOp::create(
          b, loc, from, to, indexConstant(b, loc, step), sums,
          [&](OpBuilder &b, Location loc, Value i, ValueRange values) {
            Position here = position;
            advance(b, here, lane, i);
            scf::YieldOp::create(b, loc, add(b, here, step, values[0]));
          });
      return loop.getResult(0);
    };
    sums = emitLoops(
        b, reductions(/*exceptLane=*/true), position, sums,
        [&](OpBuilder &b, Position &position, ValueRange carried) {
          Value sums = carried[0];
          Value zero = indexConstant(b, loc, 0);
          if (ShapedType::isDynamic(size)) {
            Value rest = arith::RemUIOp::create(b, loc, loops[lane].sizeValue,
                                                indexConstant(b, loc, width));
            Value whole =
                arith::SubIOp::create(b, loc, loops[lane].sizeValue, rest);
            sums = loop(b, position, zero, whole, width, sums);
            sums = loop(b, position, whole, loops[lane].sizeValue, 1, sums);
            return SmallVector<Value>{sums};
          }
          int64_t whole = size - size % width;
          if (whole > width)
            sums = loop(b, position, zero, indexConstant(b, loc, whole), width,
                        sums);
          else if (whole)
            sums = add(b, position, width, sums);
          if (whole != size) {
            Position here = position;
            advance(here, lane, whole);
            sums = add(b, here, size - whole, sums);
          }
          return SmallVector<Value>{sums};
        })[0];
    auto combine = [&](Value x, Value y) -> Value {
      OperationState state(loc, combiner->getName(), {x, y}, {x.getType()},
                           combiner->getAttrs());
      return b.create(state)->getResult(0);
    };
    for (int64_t half = width / 2; half >= 1; half /= 2) {
      SmallVector<int64_t> low = llvm::to_vector(llvm::seq<int64_t>(0, half));
      SmallVector<int64_t> high =
          llvm::to_vector(llvm::seq<int64_t>(half, 2 * half));
      sums = combine(vector::ShuffleOp::create(b, loc, sums, sums, low),
                     vector::ShuffleOp::create(b, loc, sums, sums, high));
    }
    Value sum = vector::ExtractOp::create(b, loc, sums, 0);
    sum = combine(startOf(b, position, 0, 1, /*scalar=*/true), sum);
    unsigned output = accesses.size() - 1;
    memref::StoreOp::create(b, loc, sum, accesses[output].value,
                            indicesOf(b, position, output));
  }

  //===--- Elements -------------------------------------------------------===//

  /// What one block of operations has loaded and spread over vectors.
  struct Loaded {
    /// By operand, row and vector; -1 where it is one for all.
    std::map<std::tuple<unsigned, int64_t, int64_t>, Value> elements;
    DenseMap<std::pair<Value, int64_t>, Value> vectors;
  };

  SmallVector<Value> indicesOf(OpBuilder &b, const Position &position,
                               unsigned operand) {
    SmallVector<Value> result;
    for (const Position::Index &index : position.indices[operand])
      result.push_back(index.value ? plus(b, loc, index.value, index.constant)
                                   : indexConstant(b, loc, index.constant));
    return result;
  }

  Value vectorOf(OpBuilder &b, Value value, int64_t width, Loaded &loaded) {
    if (isa<VectorType>(value.getType()))
      return value;
    Value &vector = loaded.vectors[{value, width}];
    if (!vector)
      vector = vectorOf(b, value, width);
    return vector;
  }

  Value vectorOf(OpBuilder &b, Value value, int64_t width) {
    if (isa<VectorType>(value.getType()))
      return value;
    return vector::BroadcastOp::create(
        b, loc, VectorType::get({width}, value.getType()), value);
  }

  /// A scalar where all lanes are one element, else a vector.
  Value load(OpBuilder &b, const Position &position, unsigned operand,
             int64_t width) {
    const LinalgAccess &access = accesses[operand];
    if (access.isScalar())
      return access.value;
    SmallVector<Value> indices = indicesOf(b, position, operand);
    Type element = cast<MemRefType>(access.value.getType()).getElementType();
    int64_t step = stride(access, lane);
    auto type = VectorType::get({width}, element);
    if (step == 0)
      return memref::LoadOp::create(b, loc, access.value, indices);
    if (step == 1 && access.hasUnitStride)
      return vector::LoadOp::create(b, loc, type, access.value, indices);
    auto next = [&](int64_t lanes) {
      Position here = position;
      advance(here, lane, lanes);
      return indicesOf(b, here, operand);
    };
    if (step == 2 && width % 2 == 0 && access.hasUnitStride) {
      // Every second element of two vectors, the second of which ends with the
      // last element that is needed.
      Position here = position;
      here.indices[operand].back().constant += width - 1;
      Value low = vector::LoadOp::create(b, loc, type, access.value, indices);
      Value high = vector::LoadOp::create(b, loc, type, access.value,
                                          indicesOf(b, here, operand));
      SmallVector<int64_t> order;
      for (int64_t i = 0; i < width; ++i)
        order.push_back(i < width / 2 ? 2 * i : 2 * i + 1);
      return vector::ShuffleOp::create(b, loc, low, high, order);
    }
    SmallVector<Value> elements;
    for (int64_t i = 0; i < width; ++i)
      elements.push_back(memref::LoadOp::create(b, loc, access.value, next(i)));
    return vector::FromElementsOp::create(b, loc, type, elements);
  }

  void store(OpBuilder &b, const Position &position, unsigned output,
             Value value) {
    unsigned operand = op.getNumDpsInputs() + output;
    vector::StoreOp::create(b, loc, value, accesses[operand].value,
                            indicesOf(b, position, operand));
  }

  /// What a reduction starts from.
  Value startOf(OpBuilder &b, const Position &position, unsigned output,
                int64_t width, bool scalar = false) {
    unsigned operand = op.getNumDpsInputs() + output;
    if (Value start = starts.lookup(operand))
      return start;
    if (scalar)
      return memref::LoadOp::create(b, loc, accesses[operand].value,
                                    indicesOf(b, position, operand));
    return load(b, position, operand, width);
  }

  /// The values that the body yields. What is one for all lanes stays a scalar.
  SmallVector<Value> emitBody(OpBuilder &b, const Position &position, int64_t r,
                              int64_t v, int64_t width, ValueRange sums,
                              Loaded &loaded) {
    IRMapping map;
    unsigned firstOutput = op.getNumDpsInputs();
    for (BlockArgument argument : body->getArguments()) {
      unsigned operand = argument.getArgNumber();
      if (argument.use_empty())
        continue;
      if (operand >= firstOutput && !sums.empty()) {
        map.map(argument, sums[operand - firstOutput]);
        continue;
      }
      const LinalgAccess &access = accesses[operand];
      bool perRow = row >= 0 && stride(access, row) != 0;
      bool perVector = stride(access, lane) != 0;
      Value &value =
          loaded.elements[{operand, perRow ? r : -1, perVector ? v : -1}];
      if (!value)
        value = load(b, position, operand, width);
      map.map(argument, value);
    }
    for (Operation &each : body->without_terminator())
      emitOperation(b, each, position, width, map, loaded);
    SmallVector<Value> results;
    for (Value value : body->getTerminator()->getOperands()) {
      Value result = map.lookupOrDefault(value);
      results.push_back(sums.empty() ? result : vectorOf(b, result, width));
    }
    return results;
  }

  void emitOperation(OpBuilder &b, Operation &each, const Position &position,
                     int64_t width, IRMapping &map, Loaded &loaded) {
    if (auto index = dyn_cast<linalg::IndexOp>(each)) {
      map.map(index.getResult(), emitIndex(b, index.getDim(), position, width));
      return;
    }
    SmallVector<Value> operands;
    bool isVector = false;
    for (Value operand : each.getOperands()) {
      operands.push_back(map.lookupOrDefault(operand));
      isVector |= isa<VectorType>(operands.back().getType());
    }
    if (!isVector) {
      b.clone(each, map);
      return;
    }
    for (Value &operand : operands)
      operand = vectorOf(b, operand, width, loaded);
    Value result;
    if (Value sum = emitFma(b, each, map, width, loaded))
      result = sum;
    else {
      Type type = VectorType::get({width}, each.getResult(0).getType());
      OperationState state(loc, each.getName(), operands, {type},
                           each.getAttrs());
      result = b.create(state)->getResult(0);
    }
    map.map(each.getResult(0), result);
  }

  /// sum + a * b in one operation, which rounds once.
  Value emitFma(OpBuilder &b, Operation &each, IRMapping &map, int64_t width,
                Loaded &loaded) {
    auto add = dyn_cast<arith::AddFOp>(each);
    if (!add || !hasReductions() || add.getType().getIntOrFloatBitWidth() < 32)
      return {};
    for (bool swapped : {false, true}) {
      Value sum = swapped ? add.getRhs() : add.getLhs();
      Value other = swapped ? add.getLhs() : add.getRhs();
      auto product = other.getDefiningOp<arith::MulFOp>();
      if (!isa<BlockArgument>(sum) || !product || !product->hasOneUse() ||
          product->getBlock() != body)
        continue;
      auto factor = [&](Value value) {
        return vectorOf(b, map.lookupOrDefault(value), width, loaded);
      };
      return vector::FMAOp::create(b, loc, factor(product.getLhs()),
                                   factor(product.getRhs()), factor(sum));
    }
    return {};
  }

  Value emitIndex(OpBuilder &b, unsigned dim, const Position &position,
                  int64_t width) {
    Value index = position.loops.lookup(dim);
    if (!index)
      return indexConstant(b, loc, 0);
    if (loops[lane].number.back() != dim)
      return index;
    auto type = VectorType::get({width}, b.getIndexType());
    SmallVector<int64_t> numbers =
        llvm::to_vector(llvm::seq<int64_t>(0, width));
    Value offsets = arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(type, ArrayRef<int64_t>(numbers)));
    return arith::AddIOp::create(b, loc, vectorOf(b, index, width), offsets);
  }

  Location loc;
  DenseMap<unsigned, Value> starts; ///< By operand.
  llvm::SmallSetVector<Operation *, 8> &erased;
};

struct ConvertLinalgToVectorPass
    : gru::impl::ConvertLinalgToVectorPassBase<ConvertLinalgToVectorPass> {
  using ConvertLinalgToVectorPassBase::ConvertLinalgToVectorPassBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (op.hasPureBufferSemantics())
        ops.push_back(op);
    });
    llvm::SmallSetVector<Operation *, 8> erased;
    // Backwards: what starts from a fill may take it.
    for (linalg::LinalgOp op : llvm::reverse(ops))
      if (!erased.contains(op) &&
          LinalgLowering(op, vectorBytes, registers, erased).run())
        ++numVectorized;
    for (Operation *op : erased)
      op->erase();
  }
};
} // namespace
