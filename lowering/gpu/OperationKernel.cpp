//===- OperationKernel.cpp - operations on buffers as device kernels ------===//
//
// A thread makes one element of the results; a product with a weight is tiled.
//
//===----------------------------------------------------------------------===//

#include "lowering/gpu/OperationKernel.h"

#include "lowering/gpu/TiledProduct.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gru;

//===----------------------------------------------------------------------===//
// What can be a kernel
//===----------------------------------------------------------------------===//

static bool isKernelType(Type type) {
  return type.isF32() || type.isInteger(1) || type.isInteger(32) ||
         type.isInteger(64);
}

static bool isKernelOp(Operation &op) {
  if (!llvm::all_of(
          llvm::concat<const Type>(op.getOperandTypes(), op.getResultTypes()),
          [](Type type) {
            return type.isIndex() || isKernelType(type) ||
                   isa<MemRefType>(type);
          }))
    return false;
  if (isa<arith::ArithDialect>(op.getDialect()))
    return true;
  if (auto activation = dyn_cast<ActivationOp>(op))
    return !activation.getKind().isRowwise();
  // What has an instruction or an approximation; the rest would call a library.
  return isa<math::ExpOp, math::ExpM1Op, math::TanhOp, math::LogOp,
             math::Log1pOp, math::ErfOp, math::SqrtOp, math::AbsFOp,
             math::FloorOp, math::CeilOp, math::CopySignOp, math::FmaOp,
             linalg::IndexOp, linalg::YieldOp, memref::LoadOp,
             affine::AffineApplyOp>(op);
}

static bool isConstant(Value value) {
  return value.getDefiningOp<arith::ConstantOp>() != nullptr;
}

/// An operand whose dimension `d` is as long as the loop.
static std::optional<std::pair<Value, int64_t>>
findLoopSize(linalg::LinalgOp op, unsigned loop) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [dim, expr] : llvm::enumerate(map.getResults()))
      if (auto found = dyn_cast<AffineDimExpr>(expr);
          found && found.getPosition() == loop)
        return std::pair<Value, int64_t>{operand.get(), int64_t(dim)};
  }
  return std::nullopt;
}

static bool hasStrides(Value buffer) {
  SmallVector<int64_t> strides;
  int64_t offset;
  auto type = dyn_cast<MemRefType>(buffer.getType());
  return type && succeeded(type.getStridesAndOffset(strides, offset));
}

static bool canBeKernel(linalg::LinalgOp op) {
  if (!op.hasPureBufferSemantics())
    return false;
  for (OpOperand &operand : op->getOpOperands()) {
    if (auto type = dyn_cast<MemRefType>(operand.get().getType())) {
      if (!isKernelType(type.getElementType()) || !hasStrides(operand.get()))
        return false;
    } else if (!isConstant(operand.get())) {
      return false;
    }
  }
  unsigned loops = op.getNumLoops();
  for (unsigned loop = 0; loop < loops; ++loop)
    if (!findLoopSize(op, loop))
      return false;
  // Each element of a result has one writer.
  for (OpOperand &init : op.getDpsInitsMutable()) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    if (!map.isProjectedPermutation() ||
        map.getNumResults() != op.getNumParallelLoops())
      return false;
  }
  Block &body = op->getRegion(0).front();
  for (Operation &inner : body) {
    if (!isKernelOp(inner))
      return false;
    for (Value operand : inner.getOperands()) {
      if (operand.getParentBlock() == &body || isConstant(operand))
        continue;
      auto type = dyn_cast<MemRefType>(operand.getType());
      if (!(type ? isKernelType(type.getElementType()) && hasStrides(operand)
                 : operand.getType().isIndex()))
        return false;
    }
  }
  return true;
}

bool gru::canBeKernel(Operation *op) {
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    auto type = dyn_cast<MemRefType>(copy.getSource().getType());
    return type && type.getElementType().isIntOrFloat() &&
           hasStrides(copy.getSource()) && hasStrides(copy.getTarget());
  }
  if (auto dense = dyn_cast<PackedDenseOp>(op)) {
    auto isF32 = [](Value value) {
      return !value ||
             (hasStrides(value) &&
              cast<MemRefType>(value.getType()).getElementType().isF32());
    };
    return !dense.isProjection() && !dense.getActivation().isRowwise() &&
           isF32(dense.getInput()) && isF32(dense.getKernel()) &&
           isF32(dense.getBias()) && isF32(dense.getInit());
  }
  auto generic = dyn_cast<linalg::LinalgOp>(op);
  return generic && ::canBeKernel(generic);
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

namespace {
class OperationKernel : KernelBuilder {
public:
  OperationKernel(Operation *op, OpBuilder &modules, StringRef name)
      : KernelBuilder(modules, op->getLoc()), op(op), host(op), name(name) {}

  void convert() {
    OpBuilder::InsertionGuard guard(b);
    module = gpu::GPUModuleOp::create(b, loc, name);
    Value items;
    if (auto copy = dyn_cast<memref::CopyOp>(op))
      items = emitCopy(copy);
    else if (auto dense = dyn_cast<PackedDenseOp>(op))
      items = emitDense(dense);
    else
      items = emitLoops(cast<linalg::LinalgOp>(op));
    endKernel();
    DeviceKernelOp::create(host, loc, name, items, reads, writes, values);
    op->erase();
  }

private:
  /// A number known here, or the value that the host passes.
  struct Number {
    int64_t constant = 0;
    int64_t value = -1; ///< Position in `values`.
  };
  struct Buffer {
    size_t position; ///< In `reads` or `writes`.
    bool isWritten;
    SmallVector<Number> strides;
  };

  //===--- What the host passes; before begin -----------------------------===//

  Number pass(OpFoldResult number) {
    if (std::optional<int64_t> constant = getConstantIntValue(number))
      return {*constant, -1};
    values.push_back(cast<Value>(number));
    return {0, int64_t(values.size() - 1)};
  }
  Number passSize(Value buffer, int64_t dim) {
    return pass(memref::getMixedSize(host, loc, buffer, dim));
  }
  Buffer passBuffer(Value buffer, bool isWritten) {
    auto &list = isWritten ? writes : reads;
    Buffer result{list.size(), isWritten, {}};
    list.push_back(buffer);
    SmallVector<int64_t> strides;
    int64_t offset;
    (void)cast<MemRefType>(buffer.getType())
        .getStridesAndOffset(strides, offset);
    memref::ExtractStridedMetadataOp metadata;
    for (auto [dim, stride] : llvm::enumerate(strides)) {
      if (!ShapedType::isDynamic(stride)) {
        result.strides.push_back({stride, -1});
        continue;
      }
      if (!metadata)
        metadata = memref::ExtractStridedMetadataOp::create(host, loc, buffer);
      result.strides.push_back(pass(metadata.getStrides()[dim]));
    }
    return result;
  }
  Value hostProduct(ArrayRef<Number> numbers) {
    Value product = arith::ConstantIndexOp::create(host, loc, 1);
    for (const Number &number : numbers)
      product = arith::MulIOp::create(
          host, loc, product,
          number.value < 0
              ? arith::ConstantIndexOp::create(host, loc, number.constant)
                    .getResult()
              : values[number.value]);
    return product;
  }

  //===--- Inside ---------------------------------------------------------===//

  void begin() {
    SmallVector<Type> types(reads.size() + writes.size(), pointer);
    types.append(values.size(), b.getI64Type());
    arguments = beginKernel(module, "gru_kernel", types);
  }
  Value get(const Number &number) {
    if (number.value < 0)
      return index(number.constant);
    return toIndex(arguments[reads.size() + writes.size() + number.value]);
  }
  Value get(const Buffer &buffer) {
    return arguments[buffer.position + (buffer.isWritten ? reads.size() : 0)];
  }
  Value offsetOf(const Buffer &buffer, ArrayRef<Value> indices) {
    Value offset = index(0);
    for (auto [at, stride] : llvm::zip_equal(indices, buffer.strides))
      offset = add(offset, mul(at, get(stride)));
    return offset;
  }
  /// Indices of item `item` of a space of these sizes.
  Values split(Value item, ArrayRef<Number> sizes) {
    Values indices(sizes.size());
    for (size_t dim = sizes.size(); dim-- > 0;) {
      if (dim == 0) {
        indices[0] = item;
        break;
      }
      Value size = get(sizes[dim]);
      indices[dim] = rem(item, size);
      item = div(item, size);
    }
    return indices;
  }
  Value product(ArrayRef<Number> numbers) {
    Value product = index(1);
    for (const Number &number : numbers)
      product = mul(product, get(number));
    return product;
  }

  //===--- Kinds of operations --------------------------------------------===//

  Value emitCopy(memref::CopyOp copy) {
    Buffer from = passBuffer(copy.getSource(), false);
    Buffer to = passBuffer(copy.getTarget(), true);
    auto type = cast<MemRefType>(copy.getSource().getType());
    SmallVector<Number> sizes;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      sizes.push_back(passSize(copy.getTarget(), dim));
    // Elements are only moved.
    Type element = b.getIntegerType(
        std::max(8u, type.getElementType().getIntOrFloatBitWidth()));
    begin();
    forEachItem(product(sizes), [&](Value item) {
      Values indices = split(item, sizes);
      store(load(element, get(from), offsetOf(from, indices)), get(to),
            offsetOf(to, indices));
    });
    return hostProduct(sizes);
  }

  Value emitLoops(linalg::LinalgOp generic) {
    Block &body = generic->getRegion(0).front();
    unsigned numLoops = generic.getNumLoops();
    SmallVector<Number> sizes, parallelSizes;
    SmallVector<utils::IteratorType> kinds = generic.getIteratorTypesArray();
    for (unsigned loop = 0; loop < numLoops; ++loop) {
      auto [buffer, dim] = *findLoopSize(generic, loop);
      sizes.push_back(passSize(buffer, dim));
      if (kinds[loop] == utils::IteratorType::parallel)
        parallelSizes.push_back(sizes.back());
    }
    SmallVector<std::optional<Buffer>> operands;
    for (OpOperand &operand : generic->getOpOperands()) {
      if (!isa<MemRefType>(operand.get().getType())) {
        operands.push_back(std::nullopt);
        continue;
      }
      bool isInit = generic.isDpsInit(&operand);
      // What is added to is read as well.
      if (isInit && generic.payloadUsesValueFromOperand(&operand))
        reads.push_back(operand.get());
      operands.push_back(passBuffer(operand.get(), isInit));
    }
    DenseMap<Value, Buffer> captured;
    DenseMap<Value, Number> numbers;
    for (Operation &inner : body)
      for (Value value : inner.getOperands())
        if (value.getParentBlock() != &body && !isConstant(value)) {
          if (isa<MemRefType>(value.getType())) {
            if (!captured.contains(value))
              captured[value] = passBuffer(value, false);
          } else if (!numbers.contains(value)) {
            numbers[value] = pass(OpFoldResult(value));
          }
        }
    begin();

    IRMapping outside;
    for (auto [value, number] : numbers)
      outside.map(value, get(number));
    for (Operation &inner : body)
      for (Value value : inner.getOperands())
        copyConstant(value, outside);
    for (Value operand : generic->getOperands())
      copyConstant(operand, outside);

    forEachItem(product(parallelSizes), [&](Value item) {
      Values parallel = split(item, parallelSizes), indices(numLoops);
      SmallVector<unsigned> reductions;
      ArrayRef<Value> next = parallel;
      for (unsigned loop = 0; loop < numLoops; ++loop)
        if (kinds[loop] == utils::IteratorType::parallel) {
          indices[loop] = next.front();
          next = next.drop_front();
        } else {
          reductions.push_back(loop);
        }
      auto place = [&](size_t operand) {
        AffineMap map =
            generic.getMatchingIndexingMap(&generic->getOpOperand(operand));
        Values at;
        for (AffineExpr expr : map.getResults())
          at.push_back(affine::expandAffineExpr(b, loc, expr, indices, {}));
        return offsetOf(*operands[operand], at);
      };
      size_t firstInit = generic->getNumOperands() - generic.getNumDpsInits();
      Values sums, places;
      for (size_t i = firstInit; i < generic->getNumOperands(); ++i) {
        // Inits are reached by parallel loops only.
        for (unsigned loop : reductions)
          indices[loop] = index(0);
        places.push_back(place(i));
        Type type = body.getArgument(i).getType();
        bool isRead =
            generic.payloadUsesValueFromOperand(&generic->getOpOperand(i));
        sums.push_back(isRead
                           ? loadElement(type, get(*operands[i]), places.back())
                           : zero(type));
      }
      sums = emitReductions(
          reductions, sizes, indices, sums, [&](ValueRange sums) {
            IRMapping map(outside);
            for (size_t i = 0; i < firstInit; ++i) {
              BlockArgument argument = body.getArgument(i);
              map.map(argument, operands[i]
                                    ? loadElement(argument.getType(),
                                                  get(*operands[i]), place(i))
                                    : outside.lookup(generic->getOperand(i)));
            }
            for (auto [i, sum] : llvm::enumerate(sums))
              map.map(body.getArgument(firstInit + i), sum);
            return emitBody(body, map, indices, captured);
          });
      for (size_t i = 0; i < sums.size(); ++i)
        storeElement(sums[i], get(*operands[firstInit + i]), places[i]);
    });
    return hostProduct(parallelSizes);
  }

  void copyConstant(Value value, IRMapping &map) {
    if (isConstant(value) && !map.contains(value))
      map.map(value, b.clone(*value.getDefiningOp())->getResult(0));
  }

  Values emitReductions(ArrayRef<unsigned> reductions, ArrayRef<Number> sizes,
                        Values &indices, ValueRange sums,
                        llvm::function_ref<Values(ValueRange)> body) {
    if (reductions.empty())
      return body(sums);
    return loop(index(0), get(sizes[reductions.front()]), index(1), sums,
                [&](Value i, ValueRange carried) {
                  indices[reductions.front()] = i;
                  return emitReductions(reductions.drop_front(), sizes, indices,
                                        carried, body);
                });
  }

  Values emitBody(Block &body, IRMapping &map, ArrayRef<Value> indices,
                  DenseMap<Value, Buffer> &captured) {
    for (Operation &inner : body.without_terminator()) {
      if (auto at = dyn_cast<linalg::IndexOp>(inner)) {
        map.map(at.getResult(), indices[at.getDim()]);
      } else if (auto access = dyn_cast<memref::LoadOp>(inner)) {
        Values at;
        for (Value i : access.getIndices())
          at.push_back(map.lookup(i));
        const Buffer &buffer = captured.find(access.getMemRef())->second;
        map.map(access.getResult(), loadElement(access.getType(), get(buffer),
                                                offsetOf(buffer, at)));
      } else if (auto apply = dyn_cast<affine::AffineApplyOp>(inner)) {
        Values operands;
        for (Value operand : apply.getMapOperands())
          operands.push_back(map.lookup(operand));
        AffineMap affineMap = apply.getAffineMap();
        ArrayRef<Value> all = operands;
        map.map(apply.getResult(), affine::expandAffineExpr(
                                       b, loc, affineMap.getResult(0),
                                       all.take_front(affineMap.getNumDims()),
                                       all.drop_front(affineMap.getNumDims())));
      } else {
        b.clone(inner, map);
      }
    }
    Values results;
    for (Value value : body.getTerminator()->getOperands())
      results.push_back(map.lookup(value));
    return results;
  }

  Value emitDense(PackedDenseOp dense) {
    auto inputType = cast<MemRefType>(dense.getInput().getType());
    auto outputType = cast<MemRefType>(dense.getInit().getType());
    int64_t leading = inputType.getRank() - 1;
    int64_t depth = inputType.getDimSize(leading);
    int64_t columns = outputType.getDimSize(leading);
    int64_t width = dense.getKernelType().getDimSize(3);
    Type element = outputType.getElementType();
    SmallVector<Number> sizes;
    for (int64_t dim = 0; dim < leading; ++dim)
      sizes.push_back(passSize(dense.getInput(), dim));
    Buffer x = passBuffer(dense.getInput(), false);
    Buffer weight = passBuffer(dense.getKernel(), false);
    std::optional<Buffer> bias;
    if (dense.getBias())
      bias = passBuffer(dense.getBias(), false);
    Buffer out = passBuffer(dense.getInit(), true);
    LLVM::GlobalOp memory = makeProductMemory(*this, module, element);
    begin();
    auto offset = [&](const Buffer &buffer, MemRefType type, Value row,
                      Value column) {
      if (type.getLayout().isIdentity())
        return add(mul(row, type.getDimSize(leading)), column);
      Values at = split(row, sizes);
      at.push_back(column);
      return offsetOf(buffer, at);
    };
    auto left = [&](Value row, Value k) {
      return load(element, get(x), offset(x, inputType, row, k));
    };
    // [block, k, 1, lane]
    auto right = [&](Value k, Value column) {
      Value block = div(column, index(width)), lane = rem(column, index(width));
      return load(element, get(weight),
                  add(mul(add(mul(block, depth), k), width), lane));
    };
    auto finish = [&](Value row, Value column, Value sum) {
      if (bias)
        sum = addf(sum, load(element, get(*bias), column));
      Value y = ActivationOp::create(b, loc, sum.getType(), sum,
                                     dense.getActivation());
      store(y, get(out), offset(out, outputType, row, column));
    };
    emitTiledProduct(
        *this, memory,
        {product(sizes), depth, columns, element, left, right, finish});
    return hostTiles(sizes, columns);
  }

  /// A block for each tile.
  Value hostTiles(ArrayRef<Number> sizes, int64_t columns) {
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(host, loc, value);
    };
    Value rows = arith::CeilDivUIOp::create(host, loc, hostProduct(sizes),
                                            constant(kProductTile));
    int64_t across = (columns + kProductTile - 1) / kProductTile;
    return arith::MulIOp::create(host, loc, rows,
                                 constant(across * kGPUThreads));
  }

  Operation *op;
  OpBuilder host;
  StringRef name;
  gpu::GPUModuleOp module;
  Values reads, writes, values, arguments;
};
} // namespace

void gru::convertToKernel(Operation *op, OpBuilder &modules, StringRef name) {
  OperationKernel(op, modules, name).convert();
}
