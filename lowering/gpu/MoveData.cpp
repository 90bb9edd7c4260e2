//===- MoveData.cpp - copies between buffers and their mirrors ------------===//

#include "lowering/DevicePasses.h"
#include "lowering/gpu/DeviceBuffers.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"

namespace gru {
#define GEN_PASS_DEF_MOVEDATAPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Where a buffer's contents are right. Of one that nothing has written yet
/// they are as right on one side as on the other.
struct Valid {
  bool host = true, device = true;
  bool operator==(const Valid &) const = default;
};
/// In the order of the program, so that moves are, too. What is not there is
/// valid on both sides.
using Places = llvm::MapVector<Value, Valid>;

struct Access {
  bool reads = false, writes = false, writesAll = false;
};
using Accesses = llvm::MapVector<Value, Access>;

struct MoveDataPass : gru::impl::MoveDataPassBase<MoveDataPass> {
  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (!runsDevice(func))
      return;
    Places places;
    for (BlockArgument argument : func.getArguments()) {
      unsigned number = argument.getArgNumber();
      // Inputs and states come from the host.
      if (!func.getArgAttr(number, kPackedAttr) &&
          !func.getArgAttr(number, kOutputAttr))
        places[argument] = {true, false};
    }
    Block &body = func.getBody().front();
    if (failed(visit(body, places)))
      return signalPassFailure();
    OpBuilder b(body.getTerminator());
    for (BlockArgument argument : func.getArguments()) {
      unsigned number = argument.getArgNumber();
      if (func.getArgAttr(number, kOutputAttr) ||
          func.getArgAttr(number, kStateAttr))
        moveTo(b, argument, places, &Valid::host);
    }
  }

private:
  static bool runsDevice(Operation *op) {
    return op
        ->walk([](Operation *inner) {
          return isDeviceOp(inner) ? WalkResult::interrupt()
                                   : WalkResult::advance();
        })
        .wasInterrupted();
  }

  LogicalResult visit(Block &block, Places &places) {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (auto branch = dyn_cast<scf::IfOp>(op)) {
        if (failed(visit(branch, places)))
          return failure();
        continue;
      }
      if (isDeviceOp(&op)) {
        run(op, accessesOfDevice(op), places, &Valid::device, &Valid::host);
        // A mask that the runtime reads.
        Accesses onHost;
        for (OpOperand &operand : op.getOpOperands())
          if (isReadOnHost(operand))
            onHost[getRoot(operand.get())].reads = true;
        run(op, onHost, places, &Valid::host, &Valid::device);
        continue;
      }
      if (runsDevice(&op))
        return op.emitError() << "runs a device in a loop";
      run(op, accessesOfHost(op), places, &Valid::host, &Valid::device);
    }
    return success();
  }

  /// After the branches, what one of them has left on one side only is there.
  LogicalResult visit(scf::IfOp branch, Places &places) {
    Places before = places, other = places;
    if (failed(visit(*branch.thenBlock(), places)) ||
        (branch.elseBlock() && failed(visit(*branch.elseBlock(), other))))
      return failure();
    Places all = places;
    for (const auto &entry : other)
      all.insert(entry);
    for (auto &[root, unused] : all) {
      // Of what is allocated inside nothing is left.
      if (branch->isProperAncestor(root.getParentBlock()->getParentOp()))
        continue;
      Valid &mine = places[root], &theirs = other[root];
      if (!(mine.host && theirs.host) && !(mine.device && theirs.device)) {
        // One has it here, the other there.
        bool inThen = !mine.device;
        OpBuilder b((inThen ? branch.thenBlock() : getElseBlock(branch))
                        ->getTerminator());
        moveTo(b, root, inThen ? places : other, &Valid::device);
      }
      Valid both{places[root].host && other[root].host,
                 places[root].device && other[root].device};
      places[root] = both;
    }
    return success();
  }

  /// Brings what an operation reads to its side, and notes what it writes.
  void run(Operation &op, const Accesses &accesses, Places &places,
           bool Valid::*side, bool Valid::*otherSide) {
    OpBuilder b(&op);
    for (auto &[root, access] : accesses) {
      if (side == &Valid::host)
        noteOnHost(root);
      if (access.reads || (access.writes && !access.writesAll))
        moveTo(b, root, places, side);
    }
    for (auto &[root, access] : accesses)
      if (access.writes) {
        places[root].*side = true;
        places[root].*otherSide = false;
      }
  }

  void moveTo(OpBuilder &b, Value root, Places &places, bool Valid::*side) {
    Valid &valid = places[root];
    if (valid.*side)
      return;
    bool toHost = side == &Valid::host;
    DeviceMoveOp::create(b, root.getLoc(), root, toHost);
    valid.*side = true;
    ++numMoves;
  }

  /// The runtime hands code on the host no memory of the device.
  void noteOnHost(Value root) {
    auto argument = dyn_cast<BlockArgument>(root);
    func::FuncOp func = getOperation();
    if (argument && argument.getOwner() == &func.getBody().front() &&
        func.getArgAttr(argument.getArgNumber(), kNameAttr))
      func.setArgAttr(argument.getArgNumber(), kOnHostAttr,
                      UnitAttr::get(&getContext()));
  }

  static void add(Accesses &accesses, Value buffer, bool writes,
                  bool isWholeWrite) {
    Value root = getRoot(buffer);
    Access &access = accesses[root];
    access.reads |= !writes;
    access.writes |= writes;
    auto all = cast<BaseMemRefType>(root.getType());
    auto part = cast<BaseMemRefType>(buffer.getType());
    // A view of another size is a part of it; of the same size it may still be.
    access.writesAll |=
        writes && isWholeWrite &&
        (buffer == root || (all.hasStaticShape() && part.hasStaticShape() &&
                            all.getNumElements() == part.getNumElements()));
  }

  static Accesses accessesOfDevice(Operation &op) {
    Accesses accesses;
    if (auto kernel = dyn_cast<DeviceKernelOp>(op)) {
      for (Value buffer : kernel.getReads())
        add(accesses, buffer, false, false);
      for (Value buffer : kernel.getWrites())
        add(accesses, buffer, true, true);
      return accesses;
    }
    auto rnn = cast<DeviceRnnOp>(op);
    for (OpOperand &operand : op.getOpOperands())
      if (!isReadOnHost(operand))
        add(accesses, operand.get(), rnn.isDpsInit(&operand), true);
    return accesses;
  }

  /// Everything that an operation, with all that is nested in it, may touch.
  static Accesses accessesOfHost(Operation &op) {
    Accesses accesses;
    op.walk([&](Operation *inner) {
      if (isa<ViewLikeOpInterface, memref::DimOp, memref::AllocOp,
              memref::DeallocOp, memref::ExtractStridedMetadataOp>(inner))
        return;
      auto effects = dyn_cast<MemoryEffectOpInterface>(inner);
      for (OpOperand &operand : inner->getOpOperands()) {
        if (!isa<BaseMemRefType>(operand.get().getType()))
          continue;
        bool known = effects != nullptr;
        auto has = [&]<typename Effect>() {
          if (!known)
            return true;
          SmallVector<MemoryEffects::EffectInstance> all;
          effects.getEffects(all);
          return llvm::any_of(all, [&](const MemoryEffects::EffectInstance &e) {
            return isa<Effect>(e.getEffect()) &&
                   (!e.getValue() || e.getValue() == operand.get());
          });
        };
        if (has.template operator()<MemoryEffects::Read>())
          add(accesses, operand.get(), false, false);
        if (has.template operator()<MemoryEffects::Write>())
          add(accesses, operand.get(), true, false);
      }
    });
    return accesses;
  }
};
} // namespace
