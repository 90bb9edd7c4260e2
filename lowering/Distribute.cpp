//===- Distribute.cpp - gives the work of a kernel to a team --------------===//
//
// The protocol is struct gru_team in runtime/include/gru/plan.h.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"
#include "lowering/common/TargetDescription.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/Utils/Utils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace gru {
#define GEN_PASS_DEF_DISTRIBUTEPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Work that one member does at a time: an scf.parallel, whose iterations are
/// its parts, or some neighbouring operations in a part of their own.
using Phase = SmallVector<Operation *>;

bool holdsParallel(Operation *op) {
  return op->walk([](scf::ParallelOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

/// What every member may do for itself: it computes from constants and indices,
/// or takes the call apart.
bool isReplicated(Operation *op) {
  return isMemoryEffectFree(op) || isa<memref::AllocaOp>(op) ||
         isa<LLVM::LLVMDialect>(op->getDialect());
}

class Phases {
public:
  /// Finds the phases of a block and of the loops in it; the operation whose
  /// result leaves a phase where that cannot be.
  Operation *collect(Block &block) {
    Phase open;
    llvm::SmallPtrSet<Operation *, 8> members;
    auto close = [&] {
      if (!open.empty())
        list.push_back(std::move(open));
      open.clear();
      members.clear();
    };
    for (Operation &op : block.without_terminator()) {
      bool needsMember = llvm::any_of(op.getOperands(), [&](Value operand) {
        return members.contains(operand.getDefiningOp());
      });
      if (isa<scf::ParallelOp>(op)) {
        close();
        list.push_back({&op});
        continue;
      }
      if (holdsParallel(&op)) {
        close();
        for (Region &region : op.getRegions())
          for (Block &inner : region)
            if (Operation *escape = collect(inner))
              return escape;
        continue;
      }
      if (isReplicated(&op) && !needsMember)
        continue;
      open.push_back(&op);
      members.insert(&op);
    }
    close();
    return findEscape(block);
  }

  ArrayRef<Phase> get() const { return list; }

private:
  /// A phase is a loop of its own, so what it computes stays in it or in
  /// memory.
  Operation *findEscape(Block &block) {
    for (const Phase &phase : list)
      for (Operation *op : phase)
        for (Operation *user : op->getUsers()) {
          Operation *inBlock = op->getBlock()->findAncestorOpInBlock(*user);
          if (op->getBlock() == &block && !llvm::is_contained(phase, inBlock))
            return op;
        }
    return nullptr;
  }

  SmallVector<Phase> list;
};

struct DistributePass : gru::impl::DistributePassBase<DistributePass> {
  using DistributePassBase::DistributePassBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration() || !holdsParallel(func))
      return;
    if (func.getNumArguments() != 2 ||
        !isa<LLVM::LLVMPointerType>(func.getArgument(0).getType())) {
      func.emitError() << "has not the calling convention of a kernel (see "
                          "gru-lower-entry)";
      return signalPassFailure();
    }
    Phases phases;
    if (Operation *escape = phases.collect(func.getBody().front())) {
      escape->emitRemark()
          << "threads: is needed by all of them, so the program "
             "runs on one";
      return runAlone(func);
    }
    if (!isWorthSharing(countProducts(func)))
      return runAlone(func);
    findTeam(func);
    for (const Phase &phase : phases.get())
      share(phase);
    if (auto plan = func->getAttrOfType<DictionaryAttr>(kPlanAttr)) {
      NamedAttrList fields(plan);
      fields.set("team", Builder(func).getI64IntegerAttr(threads));
      func->setAttr(kPlanAttr, fields.getDictionary(func.getContext()));
    }
  }

private:
  /// Multiplications of a run, with some timesteps where their number is not
  /// known.
  static int64_t countProducts(func::FuncOp func) {
    double sum = 0;
    func.walk([&](scf::ParallelOp parallel) {
      auto products = parallel->getAttrOfType<IntegerAttr>(kProductsAttr);
      // Whoever does not say how many will know that there are enough.
      double count = products ? double(products.getInt()) : INT32_MAX;
      for (auto loop = parallel->getParentOfType<LoopLikeOpInterface>(); loop;
           loop = loop->getParentOfType<LoopLikeOpInterface>()) {
        std::optional<APInt> trips = loop.getStaticTripCount();
        count *= trips ? trips->roundToDouble() : double(kUsualTimesteps);
      }
      sum += count;
    });
    return int64_t(std::min(sum, 1e18));
  }

  static void runAlone(func::FuncOp func) {
    SmallVector<scf::ParallelOp> loops;
    func.walk([&](scf::ParallelOp loop) { loops.push_back(loop); });
    IRRewriter rewriter(func.getContext());
    for (scf::ParallelOp loop : loops)
      (void)scf::parallelForToNestedFors(rewriter, loop);
  }

  /// Loads team and team->next, once.
  void findTeam(func::FuncOp func) {
    OpBuilder b = OpBuilder::atBlockBegin(&func.getBody().front());
    Location loc = func.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(func.getContext());
    auto callType = LLVM::LLVMStructType::getLiteral(
        func.getContext(), SmallVector<Type>(7, pointer));
    Value address =
        LLVM::GEPOp::create(b, loc, pointer, callType, func.getArgument(0),
                            ArrayRef<LLVM::GEPArg>{0, 6});
    team = LLVM::LoadOp::create(b, loc, pointer, address);
    next = LLVM::LoadOp::create(b, loc, pointer, team);
    member = func.getArgument(1);
  }

  /// while ((part = next(team, member, parts)) >= 0) phase(part)
  void share(const Phase &phase) {
    auto parallel = dyn_cast<scf::ParallelOp>(phase.front());
    OpBuilder b(phase.back());
    Location loc = phase.front()->getLoc();
    Type i64 = b.getI64Type();
    Value zero = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
    Value parts =
        parallel ? arith::IndexCastOp::create(b, loc, i64,
                                              parallel.getUpperBound()[0])
                       .getResult()
                 : arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(1));
    auto type = LLVM::LLVMFunctionType::get(
        i64, {team.getType(), member.getType(), i64});
    auto loop = scf::WhileOp::create(
        b, loc, TypeRange{i64}, ValueRange{},
        [&](OpBuilder &b, Location loc, ValueRange) {
          Value part = LLVM::CallOp::create(
                           b, loc, type, ValueRange{next, team, member, parts})
                           .getResult();
          Value more = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                             part, zero);
          scf::ConditionOp::create(b, loc, more, part);
        },
        [](OpBuilder &b, Location loc, ValueRange) {
          scf::YieldOp::create(b, loc);
        });
    Block &body = loop.getAfter().front();
    if (!parallel) {
      for (Operation *op : phase)
        op->moveBefore(body.getTerminator());
      return;
    }
    b.setInsertionPointToStart(&body);
    Value index = arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                             body.getArgument(0));
    Block &old = *parallel.getBody();
    old.getArgument(0).replaceAllUsesWith(index);
    body.getOperations().splice(std::prev(body.end()), old.getOperations(),
                                old.begin(), std::prev(old.end()));
    parallel.erase();
  }

  Value team, next, member;
};
} // namespace
