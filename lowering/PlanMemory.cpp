//===- PlanMemory.cpp - places all allocations in one block ---------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"

#include "mlir/Analysis/AliasAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/MathExtras.h"

namespace gru {
#define GEN_PASS_DEF_PLANMEMORYPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// A product of symbols; empty for a fixed size.
using Monomial = SmallVector<int64_t, 3>;

struct Buffer {
  memref::AllocOp alloc;
  int64_t bytes;        ///< Per unit of the monomial, rounded up to 64.
  unsigned first, last; ///< Top-level operations between which it is alive.
  int64_t offset = 0;   ///< Per unit of the monomial.
};

struct PlanMemoryPass : gru::impl::PlanMemoryPassBase<PlanMemoryPass> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> shared, others;
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (!func.isDeclaration())
        (func.isPrivate() ? shared : others).push_back(func);
    for (func::FuncOp func : shared)
      if (failed(leaveToCallers(func)))
        return signalPassFailure();
    for (func::FuncOp func : others)
      if (failed(plan(func)))
        return signalPassFailure();
  }

  /// The buffers of a function that several calls share become arguments.
  LogicalResult leaveToCallers(func::FuncOp func) {
    SmallVector<memref::AllocOp> allocs;
    func.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
    func.walk([](memref::DeallocOp op) { op.erase(); });
    if (allocs.empty())
      return success();
    SmallVector<func::CallOp> calls;
    getOperation().walk([&](func::CallOp call) {
      if (call.getCallee() == func.getName())
        calls.push_back(call);
    });
    for (memref::AllocOp alloc : allocs) {
      if (!alloc.getType().hasStaticShape())
        return alloc.emitError() << "has a size that only a run knows, in a "
                                    "function that is called";
      unsigned index = func.getNumArguments();
      if (failed(
              func.insertArgument(index, alloc.getType(), {}, alloc.getLoc())))
        return failure();
      alloc.replaceAllUsesWith(func.getArgument(index));
      for (func::CallOp call : calls) {
        OpBuilder b(call);
        call.getOperandsMutable().append(
            memref::AllocOp::create(b, alloc.getLoc(), alloc.getType())
                .getResult());
      }
      alloc.erase();
    }
    return success();
  }

  LogicalResult plan(func::FuncOp func) {
    Block &body = func.getBody().front();
    DenseMap<Operation *, unsigned> order;
    for (auto [index, op] : llvm::enumerate(body))
      order[&op] = index;

    BufferViewFlowAnalysis aliases(func);
    llvm::MapVector<Monomial, SmallVector<Buffer>> regions;
    regions[{}]; // the fixed region comes first, even when empty
    WalkResult result = func.walk([&](memref::AllocOp alloc) {
      // Inside a branch is no harm: it runs at most once.
      if (alloc->getParentOfType<LoopLikeOpInterface>()) {
        alloc.emitError() << "allocates inside a loop";
        return WalkResult::interrupt();
      }
      FailureOr<std::pair<Monomial, int64_t>> size = sizeOfBuffer(func, alloc);
      if (failed(size))
        return WalkResult::interrupt();
      unsigned first = ~0u, last = 0;
      for (Value alias : aliases.resolve(alloc.getResult()))
        for (Operation *user : alias.getUsers()) {
          Operation *top = body.findAncestorOpInBlock(*user);
          // A view is no use by itself; what reads or writes through it is.
          if (!top || isa<memref::DeallocOp>(top))
            continue;
          unsigned position = order.lookup(top);
          first = std::min(first, position);
          last = std::max(last, position);
        }
      if (first == ~0u)
        first = last = order.lookup(alloc);
      regions[size->first].push_back({alloc, size->second, first, last});
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      return failure();
    func.walk([](memref::DeallocOp op) { op.erase(); });

    Builder attributes(&getContext());
    unsigned scratchIndex = func.getNumArguments();
    auto scratchType =
        MemRefType::get({ShapedType::kDynamic}, attributes.getI8Type());
    if (failed(func.insertArgument(
            scratchIndex, scratchType,
            attributes.getDictionaryAttr({attributes.getNamedAttr(
                kScratchAttr, attributes.getUnitAttr())}),
            func.getLoc())))
      return failure();
    Value scratch = func.getArgument(scratchIndex);

    OpBuilder b = OpBuilder::atBlockBegin(&body);
    Location loc = func.getLoc();
    SmallVector<Attribute> regionAttrs;
    Value base = indexConstant(b, loc, 0);
    for (auto &[monomial, buffers] : regions) {
      int64_t coefficient = place(buffers);
      if (coefficient == 0)
        continue;
      SmallVector<int64_t> region{coefficient};
      llvm::append_range(region, monomial);
      regionAttrs.push_back(attributes.getDenseI64ArrayAttr(region));
      // base and units are computed once, at the top.
      Value units = indexConstant(b, loc, 1);
      for (int64_t symbol : monomial)
        units = arith::MulIOp::create(b, loc, units,
                                      symbolValue(b, loc, func, symbol));
      for (Buffer &buffer : buffers) {
        OpBuilder at(buffer.alloc);
        // Views of the same buffer may be used by operations before the
        // allocation's place only if they dominate, so stay where it is.
        Value offset = arith::AddIOp::create(
            at, loc, base,
            arith::MulIOp::create(at, loc, units,
                                  indexConstant(at, loc, buffer.offset)));
        Value view = memref::ViewOp::create(
            at, buffer.alloc.getLoc(), buffer.alloc.getType(), scratch, offset,
            buffer.alloc.getDynamicSizes());
        buffer.alloc.replaceAllUsesWith(view);
        ++numBuffers;
      }
      base = arith::AddIOp::create(
          b, loc, base,
          arith::MulIOp::create(b, loc, units,
                                indexConstant(b, loc, coefficient)));
    }
    // Only now: the first one may be where `b` inserts.
    for (auto &[monomial, buffers] : regions)
      for (Buffer &buffer : buffers)
        buffer.alloc.erase();
    func->setAttr(kScratchRegionsAttr, attributes.getArrayAttr(regionAttrs));
    return success();
  }

  /// Greedy placement, largest first: the lowest offset that no buffer alive at
  /// the same time occupies. Returns the bytes needed.
  static int64_t place(MutableArrayRef<Buffer> buffers) {
    SmallVector<Buffer *> bySize;
    for (Buffer &buffer : buffers)
      bySize.push_back(&buffer);
    llvm::sort(bySize, [](Buffer *a, Buffer *b) {
      return a->bytes != b->bytes ? a->bytes > b->bytes : a < b;
    });
    int64_t total = 0;
    for (auto [count, buffer] : llvm::enumerate(bySize)) {
      SmallVector<std::pair<int64_t, int64_t>> occupied;
      for (Buffer *other : ArrayRef(bySize).take_front(count))
        if (other->first <= buffer->last && buffer->first <= other->last)
          occupied.push_back({other->offset, other->offset + other->bytes});
      llvm::sort(occupied);
      int64_t offset = 0;
      for (auto [begin, end] : occupied) {
        if (offset + buffer->bytes <= begin)
          break;
        offset = std::max(offset, end);
      }
      buffer->offset = offset;
      total = std::max(total, offset + buffer->bytes);
    }
    return total;
  }

  Value symbolValue(OpBuilder &b, Location loc, func::FuncOp func,
                    int64_t symbol) {
    auto symbols = func->getAttrOfType<ArrayAttr>(kSymbolsAttr);
    auto where = cast<DenseI64ArrayAttr>(symbols[symbol]);
    return memref::DimOp::create(b, loc, func.getArgument(where[0]), where[1]);
  }

  /// A product of symbols, times a number.
  struct Product {
    int64_t factor = 1;
    Monomial symbols;
  };

  static void multiply(Product &product, const Product &by) {
    product.factor *= by.factor;
    llvm::append_range(product.symbols, by.symbols);
  }

  std::optional<Product> productOf(func::FuncOp func, OpFoldResult size) {
    if (std::optional<int64_t> number = getConstantIntValue(size))
      return Product{*number, {}};
    Operation *op = cast<Value>(size).getDefiningOp();
    if (auto multiplication = dyn_cast_or_null<arith::MulIOp>(op)) {
      std::optional<Product> a = productOf(func, multiplication.getLhs()),
                             b = productOf(func, multiplication.getRhs());
      if (!a || !b)
        return std::nullopt;
      multiply(*a, *b);
      return a;
    }
    auto dim = dyn_cast_or_null<memref::DimOp>(op);
    std::optional<int64_t> index = dim ? dim.getConstantIndex() : std::nullopt;
    if (!index)
      return std::nullopt;
    return productOfDim(func, dim.getSource(), *index);
  }

  /// Bufferisation asks views for their sizes, which follow from what they are
  /// views of.
  std::optional<Product> productOfDim(func::FuncOp func, Value buffer,
                                      int64_t index) {
    auto type = cast<MemRefType>(buffer.getType());
    if (!type.isDynamicDim(index))
      return Product{type.getDimSize(index), {}};
    if (auto argument = dyn_cast<BlockArgument>(buffer)) {
      if (argument.getOwner()->getParentOp() != func)
        return std::nullopt;
      auto dims = func.getArgAttrOfType<DenseI64ArrayAttr>(
          argument.getArgNumber(), kDimsAttr);
      if (!dims || index >= dims.size() || dims[index] >= 0)
        return std::nullopt;
      return Product{1, {-1 - dims[index]}};
    }
    Operation *op = buffer.getDefiningOp();
    Builder b(&getContext());
    if (auto alloc = dyn_cast<memref::AllocOp>(op))
      return productOf(func, alloc.getMixedSizes()[index]);
    if (auto expand = dyn_cast<memref::ExpandShapeOp>(op))
      return productOf(func, expand.getMixedOutputShape()[index]);
    if (auto cast = dyn_cast<memref::CastOp>(op))
      return productOfDim(func, cast.getSource(), index);
    if (auto view = dyn_cast<memref::SubViewOp>(op)) {
      llvm::SmallBitVector dropped = view.getDroppedDims();
      for (auto [dim, size] : llvm::enumerate(view.getMixedSizes()))
        if (!dropped.test(dim) && index-- == 0)
          return productOf(func, size);
    }
    if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op)) {
      Product product;
      SmallVector<ReassociationIndices> groups =
          collapse.getReassociationIndices();
      for (int64_t dim : groups[index]) {
        std::optional<Product> one = productOfDim(func, collapse.getSrc(), dim);
        if (!one)
          return std::nullopt;
        multiply(product, *one);
      }
      return product;
    }
    return std::nullopt;
  }

  FailureOr<std::pair<Monomial, int64_t>> sizeOfBuffer(func::FuncOp func,
                                                       memref::AllocOp alloc) {
    int64_t bytes =
        llvm::divideCeil(alloc.getType().getElementTypeBitWidth(), 8);
    Monomial monomial;
    for (OpFoldResult size : alloc.getMixedSizes()) {
      std::optional<Product> product = productOf(func, size);
      if (!product)
        return alloc.emitError()
               << "size does not follow from the inputs' shapes";
      bytes *= product->factor;
      llvm::append_range(monomial, product->symbols);
    }
    llvm::sort(monomial);
    if (monomial.size() > 3)
      return alloc.emitError() << "has more than three dynamic dimensions";
    return std::pair<Monomial, int64_t>{monomial, llvm::alignTo(bytes, 64)};
  }
};
} // namespace
