//===- PlanMemory.cpp - places all allocations in one block ----------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"

#include "mlir/Analysis/AliasAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
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
  int64_t bytes; ///< Per unit of the monomial, rounded up to 64.
  unsigned first, last; ///< Top-level operations between which it is alive.
  int64_t offset = 0;   ///< Per unit of the monomial.
};

struct PlanMemoryPass : gru::impl::PlanMemoryPassBase<PlanMemoryPass> {
  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration())
      return;
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
      return signalPassFailure();
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
      return signalPassFailure();
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
        Value view = memref::ViewOp::create(at, buffer.alloc.getLoc(),
                                            buffer.alloc.getType(), scratch,
                                            offset,
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

  FailureOr<std::pair<Monomial, int64_t>> sizeOfBuffer(func::FuncOp func,
                                                       memref::AllocOp alloc) {
    MemRefType type = alloc.getType();
    int64_t bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
    for (int64_t size : type.getShape())
      if (!ShapedType::isDynamic(size))
        bytes *= size;
    Monomial monomial;
    for (Value size : alloc.getDynamicSizes()) {
      auto dim = size.getDefiningOp<memref::DimOp>();
      auto argument =
          dim ? dyn_cast<BlockArgument>(dim.getSource()) : BlockArgument();
      std::optional<int64_t> index = dim ? dim.getConstantIndex() : std::nullopt;
      int64_t symbol = -1;
      auto dims = argument ? func.getArgAttrOfType<DenseI64ArrayAttr>(
                                 argument.getArgNumber(), kDimsAttr)
                           : DenseI64ArrayAttr();
      if (dims && index && *index < dims.size())
        symbol = -1 - dims[*index];
      if (symbol < 0)
        return alloc.emitError()
               << "size does not follow from the inputs' shapes";
      monomial.push_back(symbol);
    }
    llvm::sort(monomial);
    if (monomial.size() > 3)
      return alloc.emitError() << "has more than three dynamic dimensions";
    return std::pair<Monomial, int64_t>{monomial, llvm::alignTo(bytes, 64)};
  }
};
} // namespace
