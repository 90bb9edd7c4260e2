//===- ShareKernels.cpp - equal operations become calls of one function ---===//
//
// Most of a compilation is proportional to the code that is made, and networks
// repeat themselves: the blocks of an encoder, the layers of a stack. What is
// equal but for its buffers is found here, while it still is one operation, so
// that everything behind this pass sees it once.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Buffers.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace gru {
#define GEN_PASS_DEF_SHAREKERNELSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// An operation that may become a call.
struct Candidate {
  Operation *op;
  /// Numbers that its sums start from.
  SmallVector<linalg::FillOp, 1> fills;
  /// The different buffers, in the order of their first use.
  llvm::SmallSetVector<Value, 8> buffers;
};

struct ShareKernelsPass : gru::impl::ShareKernelsPassBase<ShareKernelsPass> {
  using ShareKernelsPassBase::ShareKernelsPassBase;

  void runOnOperation() override {
    for (auto func : llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      if (!func.isDeclaration() && func.getBody().hasOneBlock())
        share(func);
  }

private:
  void share(func::FuncOp func) {
    // By hash; candidates of one hash may still differ.
    llvm::MapVector<llvm::hash_code, SmallVector<SmallVector<Candidate, 0>, 1>>
        groups;
    for (Operation &op : func.getBody().front()) {
      std::optional<Candidate> candidate = getCandidate(&op);
      if (!candidate)
        continue;
      auto &alike = groups[OperationEquivalence::computeHash(
          &op, OperationEquivalence::ignoreHashValue,
          OperationEquivalence::ignoreHashValue,
          OperationEquivalence::IgnoreLocations)];
      auto group = llvm::find_if(alike, [&](ArrayRef<Candidate> others) {
        return isEqual(others.front(), *candidate);
      });
      if (group == alike.end())
        group = &alike.emplace_back();
      group->push_back(std::move(*candidate));
    }
    for (auto &[hash, alike] : groups)
      for (ArrayRef<Candidate> group : alike)
        if (isWorthIt(group))
          makeCalls(func, group);
  }

  //===--- What is equal --------------------------------------------------===//

  static std::optional<Candidate> getCandidate(Operation *op) {
    if (!isa<RecurOp, PackedDenseOp, linalg::GenericOp, memref::CopyOp>(op))
      return std::nullopt;
    Candidate candidate{op, {}, {}};
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
      if (linalgOp.getNumReductionLoops() > 0)
        for (OpOperand &init : linalgOp.getDpsInitsMutable())
          if (linalg::FillOp fill = findOwnFill(op, init.get()))
            if (matchPattern(fill.getInputs()[0], m_Constant()))
              candidate.fills.push_back(fill);
    for (Value operand : op->getOperands()) {
      if (matchPattern(operand, m_Constant()))
        continue;
      if (!canBeArgument(operand.getType()))
        return std::nullopt;
      candidate.buffers.insert(operand);
    }
    llvm::SetVector<Value> outside;
    getUsedValuesDefinedAbove(op->getRegions(), outside);
    if (!llvm::all_of(outside, [](Value value) {
          return matchPattern(value, m_Constant());
        }))
      return std::nullopt;
    return candidate;
  }

  /// A pointer and the dynamic sizes say everything about such a buffer.
  static bool canBeArgument(Type type) {
    auto memref = dyn_cast<MemRefType>(type);
    if (!memref || memref.getMemorySpace())
      return false;
    SmallVector<int64_t> strides;
    int64_t offset;
    return memref.getLayout().isIdentity() ||
           (succeeded(memref.getStridesAndOffset(strides, offset)) &&
            llvm::none_of(strides, ShapedType::isDynamic));
  }

  /// The type without the place.
  static MemRefType getArgumentType(Value buffer) {
    auto type = cast<MemRefType>(buffer.getType());
    SmallVector<int64_t> strides;
    int64_t offset;
    if (type.getLayout().isIdentity() ||
        failed(type.getStridesAndOffset(strides, offset)))
      return type;
    return MemRefType::get(type.getShape(), type.getElementType(),
                           StridedLayoutAttr::get(type.getContext(),
                                                  ShapedType::kDynamic,
                                                  strides));
  }

  /// States of the program have more room than their types say.
  static bool isState(Value buffer) {
    auto argument = dyn_cast<BlockArgument>(buffer);
    auto func = argument
                    ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp())
                    : func::FuncOp();
    return func && func.getArgAttr(argument.getArgNumber(), kStateAttr);
  }

  static bool isEqual(const Candidate &a, const Candidate &b) {
    if (a.buffers.size() != b.buffers.size() ||
        a.fills.size() != b.fills.size())
      return false;
    DenseMap<Value, Value> partner;
    for (auto [x, y] : llvm::zip(a.buffers, b.buffers)) {
      if (getArgumentType(x) != getArgumentType(y) || isState(x) != isState(y))
        return false;
      partner[x] = y;
    }
    auto areEqual = [&](Value x, Value y) -> LogicalResult {
      if (auto it = partner.find(x); it != partner.end())
        return success(it->second == y);
      Attribute left, right;
      return success(matchPattern(x, m_Constant(&left)) &&
                     matchPattern(y, m_Constant(&right)) && left == right);
    };
    for (auto [x, y] : llvm::zip(a.fills, b.fills))
      if (failed(areEqual(x->getOperand(0), y->getOperand(0))) ||
          failed(areEqual(x->getOperand(1), y->getOperand(1))))
        return false;
    // Not isEquivalentTo, for which an offset is part of an operand's type.
    auto areBothEqual = [&](auto operands) {
      return succeeded(areEqual(std::get<0>(operands), std::get<1>(operands)));
    };
    return a.op->getName() == b.op->getName() &&
           a.op->getDiscardableAttrDictionary() ==
               b.op->getDiscardableAttrDictionary() &&
           a.op->getName().compareOpProperties(a.op->getPropertiesStorage(),
                                               b.op->getPropertiesStorage()) &&
           a.op->getNumOperands() == b.op->getNumOperands() &&
           llvm::all_of(llvm::zip(a.op->getOperands(), b.op->getOperands()),
                        areBothEqual) &&
           llvm::all_of(llvm::zip(a.op->getRegions(), b.op->getRegions()),
                        [&](auto regions) {
                          return OperationEquivalence::isRegionEquivalentTo(
                              &std::get<0>(regions), &std::get<1>(regions),
                              areEqual,
                              [&](Value x, Value y) { partner[x] = y; },
                              OperationEquivalence::IgnoreLocations);
                        });
  }

  //===--- What is worth a call -------------------------------------------===//

  /// Elements, where a size that only a run knows counts as one: it may be one.
  static int64_t countElements(Value buffer) {
    int64_t count = 1;
    for (int64_t size : cast<ShapedType>(buffer.getType()).getShape())
      if (!ShapedType::isDynamic(size))
        count *= size;
    return count;
  }

  /// Multiplications, roughly, of one run.
  static int64_t countWork(Operation *op) {
    if (auto recur = dyn_cast<RecurOp>(op))
      return recur.countProducts(/*openTimesteps=*/1);
    if (auto dense = dyn_cast<PackedDenseOp>(op)) {
      Value kernel = dense.getKernel();
      int64_t inputs = cast<ShapedType>(kernel.getType()).getDimSize(1);
      return countElements(dense.getInit()) * inputs;
    }
    if (auto copy = dyn_cast<memref::CopyOp>(op))
      return countElements(copy.getSource());
    int64_t work = getCodeSize(op);
    for (int64_t size : cast<linalg::LinalgOp>(op).getStaticLoopRanges())
      if (!ShapedType::isDynamic(size))
        work *= size;
    return work;
  }

  /// Instructions of a loop's body, roughly.
  static int64_t getCodeSize(Operation *op) {
    int64_t size = 0;
    for (Operation &each : op->getRegion(0).front().without_terminator())
      size +=
          isa<ActivationOp>(each) || isa<math::MathDialect>(each.getDialect())
              ? 16
              : 1;
    return size;
  }

  static bool isOneRow(memref::CopyOp copy) {
    auto from = cast<MemRefType>(copy.getSource().getType()),
         to = cast<MemRefType>(copy.getTarget().getType());
    return (from.getLayout().isIdentity() && to.getLayout().isIdentity()) ||
           llvm::count_if(from.getShape(),
                          [](int64_t size) { return size != 1; }) < 2;
  }

  bool isWorthIt(ArrayRef<Candidate> group) {
    if (group.size() < 2)
      return false;
    // A loop over a few instructions is no more code than a call.
    Operation *op = group.front().op;
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
      if (linalgOp.getNumReductionLoops() == 0 && getCodeSize(op) < 4)
        return false;
    // Nor is what has one row, which may be nothing at all (a copy onto
    // itself).
    if (auto copy = dyn_cast<memref::CopyOp>(op))
      if (copy.getSource() == copy.getTarget() || isOneRow(copy))
        return false;
    return int64_t(group.size()) >= manyCopies || countWork(op) >= longWork;
  }

  //===--- Calls ----------------------------------------------------------===//

  void makeCalls(func::FuncOp caller, ArrayRef<Candidate> group) {
    func::FuncOp kernel = makeFunction(caller, group.front());
    for (const Candidate &candidate : group) {
      OpBuilder b(candidate.op);
      Location loc = candidate.op->getLoc();
      SmallVector<Value> arguments;
      for (Value buffer : candidate.buffers) {
        MemRefType type = getArgumentType(buffer);
        arguments.push_back(
            type == buffer.getType()
                ? buffer
                : memref::CastOp::create(b, loc, type, buffer).getResult());
      }
      func::CallOp::create(b, loc, kernel, arguments);
      candidate.op->erase();
      for (linalg::FillOp fill : candidate.fills)
        fill.erase();
      ++numCalls;
    }
    ++numFunctions;
  }

  func::FuncOp makeFunction(func::FuncOp caller, const Candidate &candidate) {
    SmallVector<Type> types;
    for (Value buffer : candidate.buffers)
      types.push_back(getArgumentType(buffer));
    OpBuilder b(caller);
    auto func = func::FuncOp::create(b, candidate.op->getLoc(), "gru_shared",
                                     b.getFunctionType(types, {}));
    func.setPrivate();
    func->setAttr("llvm.linkage", LLVM::LinkageAttr::get(
                                      &getContext(), LLVM::Linkage::Internal));
    SymbolTable(getOperation()).insert(func, Block::iterator(caller));
    b.setInsertionPointToStart(func.addEntryBlock());
    IRMapping mapping;
    for (auto [index, buffer] : llvm::enumerate(candidate.buffers)) {
      mapping.map(buffer, func.getArgument(index));
      if (isState(buffer))
        func.setArgAttr(index, kStateAttr, b.getUnitAttr());
    }
    auto copy = [&](Operation *op) {
      llvm::SetVector<Value> needed(op->operand_begin(), op->operand_end());
      getUsedValuesDefinedAbove(op->getRegions(), needed);
      for (Value value : needed)
        if (!mapping.contains(value))
          b.clone(*value.getDefiningOp(), mapping);
      b.clone(*op, mapping);
    };
    for (linalg::FillOp fill : candidate.fills)
      copy(fill);
    copy(candidate.op);
    func::ReturnOp::create(b, func.getLoc());
    return func;
  }
};
} // namespace
