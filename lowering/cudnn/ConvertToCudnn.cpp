//===- ConvertToCudnn.cpp - layers become calls of cuDNN ------------------===//
//
// A group is what becomes one RNN descriptor: units (a layer, or two directions
// over one input), one after the other.
//
//===----------------------------------------------------------------------===//

#include "lowering/DevicePasses.h"
#include "lowering/backends/Backends.h"
#include "lowering/common/DeviceRnn.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTTOCUDNNPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// A layer, or a forward and a backward one over the same input.
struct Unit {
  GRUOp forward, backward;
  /// What the next unit reads; null where that is not one value.
  Value output;
  /// Everything that disappears with the unit's sequences: reversals of the
  /// backward one, and the concatenation of both.
  SmallVector<Operation *> around;

  SmallVector<GRUOp, 2> cells() const {
    return backward ? SmallVector<GRUOp, 2>{forward, backward}
                    : SmallVector<GRUOp, 2>{forward};
  }
};

struct ConvertToCudnnPass
    : gru::impl::ConvertToCudnnPassBase<ConvertToCudnnPass> {
  using ConvertToCudnnPassBase::ConvertToCudnnPassBase;

  void runOnOperation() override {
    SmallVector<GRUOp> layers;
    getOperation().walk([&](GRUOp op) {
      auto backend = op->getAttrOfType<StringAttr>(kBackendAttr);
      if (backend && backend.getValue() == "cudnn" && hasStaticBatch(op))
        layers.push_back(op);
    });
    llvm::SmallPtrSet<Operation *, 8> taken;
    for (GRUOp layer : layers) {
      if (taken.contains(layer))
        continue;
      SmallVector<Unit> group{makeUnit(layer, taken)};
      while (std::optional<Unit> next = findNext(group, taken))
        group.push_back(*next);
      for (const Unit &unit : group)
        for (GRUOp cell : unit.cells())
          taken.insert(cell);
      convert(group);
    }
  }

  static bool hasStaticBatch(GRUOp op) {
    auto type = cast<RankedTensorType>(op.getInput().getType());
    return !type.isDynamicDim(op.getBatchDim());
  }

  static bool isForCudnn(Operation *op) {
    auto backend = op->getAttrOfType<StringAttr>(kBackendAttr);
    return isa<GRUOp>(op) && backend && backend.getValue() == "cudnn";
  }

  /// Whether one descriptor can hold both.
  static bool match(GRUOp a, GRUOp b) {
    return a->getBlock() == b->getBlock() && a.getUnits() == b.getUnits() &&
           a.getMask() == b.getMask() && a.getTimeMajor() == b.getTimeMajor() &&
           !a.getBias() == !b.getBias() &&
           !a.getInitialState() == !b.getInitialState() &&
           getElementTypeOrSelf(a.getInput()) ==
               getElementTypeOrSelf(b.getInput());
  }

  /// All uses of the layer's sequence as reversals in time, if they all are.
  static std::optional<SmallVector<Operation *>> getReversals(GRUOp layer) {
    SmallVector<Operation *> reversals;
    for (Operation *user : layer.getSequence().getUsers()) {
      auto reverse = dyn_cast<ReverseOp>(user);
      if (!reverse || int64_t(reverse.getDim()) != layer.getTimeDim())
        return std::nullopt;
      reversals.push_back(reverse);
    }
    return reversals;
  }

  /// The unit that begins with `layer`: with the other direction if there is
  /// one that it can be joined with.
  static Unit makeUnit(GRUOp layer,
                       const llvm::SmallPtrSetImpl<Operation *> &taken) {
    Unit unit{layer, nullptr, layer.getSequence(), {}};
    for (Operation *user : layer.getInput().getUsers()) {
      auto other = dyn_cast<GRUOp>(user);
      if (!other || other == layer || taken.contains(other) ||
          !isForCudnn(other) || other.getInput() != layer.getInput() ||
          !match(layer, other) ||
          layer.getZeroOutputForMask() != other.getZeroOutputForMask() ||
          layer.getGoBackwards() == other.getGoBackwards())
        continue;
      Unit pair{layer, other, Value(), {}};
      if (layer.getGoBackwards())
        std::swap(pair.forward, pair.backward);
      auto reversals = getReversals(pair.backward);
      if (!reversals || !canReplace({pair}, *reversals))
        continue;
      pair.around = *reversals;
      pair.output = getConcatenation(pair);
      return pair;
    }
    return unit;
  }

  /// forward | backward, read in the order of time, if nothing else reads
  /// either.
  static Value getConcatenation(Unit &pair) {
    if (pair.around.size() != 1 || !pair.forward.getSequence().hasOneUse() ||
        !pair.around.front()->hasOneUse())
      return {};
    auto concat =
        dyn_cast<tensor::ConcatOp>(*pair.forward.getSequence().user_begin());
    if (!concat || concat.getDim() != 2 || concat.getInputs().size() != 2 ||
        concat.getInputs()[0] != pair.forward.getSequence() ||
        concat.getInputs()[1] != pair.around.front()->getResult(0))
      return {};
    return concat.getResult();
  }

  /// The unit that continues a group, if there is one and nothing else reads
  /// what the group hands to it.
  static std::optional<Unit>
  findNext(ArrayRef<Unit> group,
           const llvm::SmallPtrSetImpl<Operation *> &taken) {
    Unit last = group.back();
    if (!last.output)
      return std::nullopt;
    bool single = !last.backward;
    if (single && last.forward.getGoBackwards())
      return std::nullopt;
    SmallVector<Operation *> readers(last.output.getUsers());
    if (readers.size() != (single ? 1u : 2u))
      return std::nullopt;
    auto layer = dyn_cast<GRUOp>(readers.front());
    if (!layer || taken.contains(layer) || !isForCudnn(layer) ||
        layer.getInput() != last.output || !match(last.forward, layer))
      return std::nullopt;
    Unit next = makeUnit(layer, taken);
    if (single != !next.backward || (single && layer.getGoBackwards()) ||
        (!single && (!llvm::is_contained(readers, next.forward) ||
                     !llvm::is_contained(readers, next.backward))))
      return std::nullopt;
    // Only the last layer's outputs leave the call.
    for (GRUOp cell : last.cells())
      if (!cell.getLast().use_empty())
        return std::nullopt;
    SmallVector<Unit> longer(group);
    longer.push_back(next);
    return canReplace(longer, {}) ? std::optional(next) : std::nullopt;
  }

  /// The layer where the call will stand: behind all operands of all layers.
  static GRUOp getPlace(ArrayRef<Unit> group) {
    GRUOp place = group.front().forward;
    for (const Unit &unit : group)
      for (GRUOp cell : unit.cells())
        if (place->isBeforeInBlock(cell))
          place = cell;
    return place;
  }

  /// Whether everything that reads the group stands behind that place.
  static bool canReplace(ArrayRef<Unit> group, ArrayRef<Operation *> more) {
    llvm::SmallPtrSet<Operation *, 8> inside;
    inside.insert(more.begin(), more.end());
    for (const Unit &unit : group) {
      inside.insert(unit.around.begin(), unit.around.end());
      if (unit.output)
        inside.insert(unit.output.getDefiningOp());
      for (GRUOp cell : unit.cells())
        inside.insert(cell);
    }
    Operation *place = getPlace(group);
    for (Operation *op : inside)
      for (Operation *user : op->getUsers())
        if (!inside.contains(user)) {
          Operation *top = place->getBlock()->findAncestorOpInBlock(*user);
          if (!top || !place->isBeforeInBlock(top))
            return false;
        }
    return true;
  }

  void convert(ArrayRef<Unit> group) {
    ++numCalls;
    Unit last = group.back();
    GRUOp place = getPlace(group);
    OpBuilder b(place);
    Location loc = last.forward.getLoc();
    SmallVector<DeviceRnnCell> cells;
    for (const Unit &unit : group)
      for (GRUOp cell : unit.cells()) {
        cells.push_back({cell, &unit == &group.back()});
        ++numLayers;
      }
    // A single backward layer may be written in the order of time as well.
    SmallVector<Operation *> reversals;
    if (!last.backward && last.forward.getGoBackwards())
      if (auto found = getReversals(last.forward))
        reversals = *found;
    bool reversed = last.backward || !reversals.empty();

    DeviceRnnBuilder builder(kCudnn, cells, last.backward,
                             reversed && !last.backward, required);
    Value mask = last.forward.getMask();
    SmallVector<Value> destinations =
        builder.createDestinations(b, loc, /*ofBranches=*/mask != nullptr);
    SmallVector<Value> results;
    if (!mask) {
      results = builder.create(b, loc, destinations);
    } else {
      Value padded = emitIsRightPadded(b, loc, mask, last.forward.getTimeDim());
      auto branch =
          scf::IfOp::create(b, loc, TypeRange(ValueRange(destinations)), padded,
                            /*withElseRegion=*/true);
      OpBuilder inside = branch.getThenBodyBuilder();
      scf::YieldOp::create(inside, loc,
                           builder.create(inside, loc, destinations));
      inside = branch.getElseBodyBuilder();
      scf::YieldOp::create(
          inside, loc,
          required ? destinations
                   : cloneLayers(inside, loc, group, builder, destinations));
      results = branch.getResults();
    }
    replace(group, builder, results, last.backward ? last.around : reversals);
  }

  /// The group as it is, for the backend that comes after cuDNN, written to
  /// `destinations`.
  static SmallVector<Value> cloneLayers(OpBuilder &b, Location loc,
                                        ArrayRef<Unit> group,
                                        const DeviceRnnBuilder &builder,
                                        ArrayRef<Value> destinations) {
    IRMapping map;
    SmallVector<Value> reversed;
    for (const Unit &unit : group) {
      for (GRUOp cell : unit.cells()) {
        Operation *copy = b.clone(*cell, map);
        StringRef next = chooseBackend(cell, "gpu", {}).chosen;
        copy->setAttr(kBackendAttr, b.getStringAttr(next));
      }
      if (&unit == &group.back())
        break;
      // What passes to the next unit.
      for (Operation *op : unit.around)
        b.clone(*op, map);
      if (unit.backward)
        b.clone(*unit.output.getDefiningOp(), map);
    }
    SmallVector<Value> results;
    for (const DeviceRnnResult &result : builder.getResults()) {
      Value value = map.lookup(result.original);
      // The call writes a backward sequence where it is read.
      if (result.writtenWhereRead)
        value = ReverseOp::create(b, loc, value.getType(), value,
                                  GRUOp(group.back().forward).getTimeDim());
      results.push_back(
          bufferization::MaterializeInDestinationOp::create(
              b, loc, value.getType(), value, destinations[results.size()])
              .getResult());
    }
    return results;
  }

  /// `reversals` are of the last unit's backward sequence.
  static void replace(ArrayRef<Unit> group, const DeviceRnnBuilder &builder,
                      ArrayRef<Value> results,
                      ArrayRef<Operation *> reversals) {
    builder.replaceResults(results, reversals);
    // Readers first.
    for (const Unit &unit : llvm::reverse(group)) {
      bool isLast = &unit == &group.back();
      if (!isLast) {
        if (unit.backward) {
          unit.output.getDefiningOp()->erase();
          for (Operation *op : unit.around)
            op->erase();
        }
      }
      for (GRUOp cell : unit.cells())
        cell.erase();
    }
  }
};
} // namespace
