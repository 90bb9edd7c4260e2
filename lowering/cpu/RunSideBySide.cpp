//===- RunSideBySide.cpp - independent recurrences on a thread each -------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace gru {
#define GEN_PASS_DEF_RUNSIDEBYSIDEPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// What an operation and those inside it do to buffers.
struct Accesses {
  SmallVector<Value> reads, writes;

  explicit Accesses(Operation *op) {
    op->walk([&](Operation *inner) {
      if (inner->hasTrait<OpTrait::HasRecursiveMemoryEffects>())
        return;
      for (Value operand : inner->getOperands()) {
        if (!isa<MemRefType>(operand.getType()))
          continue;
        if (mightHaveEffect<MemoryEffects::Read>(inner, operand))
          reads.push_back(operand);
        if (mightHaveEffect<MemoryEffects::Write>(inner, operand))
          writes.push_back(operand);
      }
    });
  }
};

/// Whether two views are parts of one buffer that do not meet, as those are
/// that a concatenation is written through.
bool areApart(Value a, Value b) {
  auto left = a.getDefiningOp<memref::SubViewOp>(),
       right = b.getDefiningOp<memref::SubViewOp>();
  if (!left || !right || left.getSource() != right.getSource())
    return false;
  auto endsBefore = [](memref::SubViewOp a, memref::SubViewOp b, int64_t dim) {
    int64_t offset = a.getStaticOffset(dim), size = a.getStaticSize(dim),
            stride = a.getStaticStride(dim), other = b.getStaticOffset(dim);
    return !ShapedType::isDynamic(offset) && !ShapedType::isDynamic(size) &&
           !ShapedType::isDynamic(other) && stride == 1 &&
           offset + size <= other;
  };
  for (int64_t dim = 0, e = left.getSourceType().getRank(); dim < e; ++dim)
    if (endsBefore(left, right, dim) || endsBefore(right, left, dim))
      return true;
  return false;
}

bool meet(ArrayRef<Value> some, ArrayRef<Value> others) {
  return llvm::any_of(some, [&](Value a) {
    return llvm::any_of(others, [&](Value b) {
      return getRoot(a) == getRoot(b) && !areApart(a, b);
    });
  });
}

bool areIndependent(Operation *op, Operation *other) {
  Accesses a(op), b(other);
  return !meet(a.writes, b.writes) && !meet(a.writes, b.reads) &&
         !meet(a.reads, b.writes);
}

/// Whether an operation uses a value that another one computes.
bool uses(Operation *op, Operation *other) {
  return llvm::any_of(other->getUsers(),
                      [&](Operation *user) { return op->isAncestor(user); });
}

/// Recurrences of one block that may run at the same time.
class Group {
public:
  /// Collects what may run beside `first`, at most `size` with it.
  Group(RecurOp first, size_t size) : members{first} {
    for (Operation *op = first->getNextNode();
         op && !op->hasTrait<OpTrait::IsTerminator>() && members.size() < size;
         op = op->getNextNode()) {
      bool waits = waitsForGroup(op);
      if (auto recur = dyn_cast<RecurOp>(op)) {
        if (waits)
          return;
        members.push_back(recur);
        before.append(pending);
        pending.clear();
      } else if (waits) {
        behind.push_back(op);
      } else {
        pending.push_back(op);
      }
    }
  }

  ArrayRef<RecurOp> get() const { return members; }

  void runSideBySide() {
    for (Operation *op : before)
      op->moveBefore(members.front());
    OpBuilder b(members.back()->getNextNode());
    Location loc = members.front().getLoc();
    int64_t size = members.size(), products = 0;
    for (RecurOp member : members)
      products += member.countProducts(kUsualTimesteps);
    // What was between them and waits for them goes behind them.
    Value zero = indexConstant(b, loc, 0), one = indexConstant(b, loc, 1);
    auto parallel = scf::ParallelOp::create(
        b, loc, zero, indexConstant(b, loc, size), one,
        [&](OpBuilder &b, Location loc, ValueRange index) {
          auto cases = llvm::to_vector(llvm::seq<int64_t>(0, size - 1));
          auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange(),
                                                   index[0], cases, size - 1);
          for (auto [region, member] : llvm::zip_equal(
                   choice.getCaseRegions(), ArrayRef(members).drop_back()))
            fill(region, member);
          fill(choice.getDefaultRegion(), members.back());
        });
    parallel->setAttr(kProductsAttr, b.getI64IntegerAttr(products));
    for (Operation *op : llvm::reverse(behind))
      if (op->isBeforeInBlock(parallel))
        op->moveAfter(parallel);
  }

private:
  bool waitsForGroup(Operation *op) const {
    return llvm::any_of(
               members,
               [&](RecurOp member) { return !areIndependent(op, member); }) ||
           llvm::any_of(behind, [&](Operation *other) {
             return uses(op, other) || !areIndependent(op, other);
           });
  }

  static void fill(Region &region, RecurOp member) {
    OpBuilder b(region.getContext());
    b.createBlock(&region);
    auto end = scf::YieldOp::create(b, member.getLoc());
    member->moveBefore(end);
  }

  SmallVector<RecurOp> members;
  SmallVector<Operation *> before, behind, pending;
};

struct RunSideBySidePass : gru::impl::RunSideBySidePassBase<RunSideBySidePass> {
  using RunSideBySidePassBase::RunSideBySidePassBase;

  void runOnOperation() override {
    SmallVector<RecurOp> recurrences;
    getOperation().walk([&](RecurOp op) {
      if (isa<MemRefType>(op.getState().getType()) && isBetterAlone(op))
        recurrences.push_back(op);
    });
    llvm::SmallPtrSet<Operation *, 8> grouped;
    for (RecurOp op : recurrences) {
      if (grouped.contains(op))
        continue;
      Group group(op, threads);
      if (!pays(group.get()))
        continue;
      grouped.insert_range(group.get());
      group.runSideBySide();
      ++numGroups;
    }
  }

private:
  /// Whether a recurrence is no faster by sharing its steps.
  bool isBetterAlone(RecurOp op) const {
    constexpr int64_t kOwnCaches = 1 << 20;
    int64_t bytes = 0, products = 0;
    for (Value kernel : op.getKernels()) {
      auto type = cast<ShapedType>(kernel.getType());
      products += type.getNumElements() * op.getBatch();
      bytes += type.getNumElements() * type.getElementTypeBitWidth() / 8;
    }
    TargetDescription target;
    target.threads = threads;
    bool isShared = chooseParts(target, op.getBlocks(), products) > 1;
    return !isShared || (threads == 2 && bytes <= kOwnCaches);
  }

  static bool pays(ArrayRef<RecurOp> group) {
    int64_t sum = 0, longest = 0;
    for (RecurOp op : group) {
      int64_t products = op.countProducts(kUsualTimesteps);
      sum += products;
      longest = std::max(longest, products);
    }
    // Two thirds of one's time at most.
    return group.size() > 1 && isWorthSharing(sum) && longest * 3 <= sum * 2;
  }
};
} // namespace
