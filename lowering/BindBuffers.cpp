//===- BindBuffers.cpp - gives arguments and results the caller's buffers -===//

#include "dialect/GRUDeviceOps.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/ShapedOpInterfaces.h"
#include "llvm/ADT/EquivalenceClasses.h"

#include <map>

namespace gru {
#define GEN_PASS_DEF_BINDBUFFERSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct BindBuffersPass : gru::impl::BindBuffersPassBase<BindBuffersPass> {
  using Dimension = std::pair<unsigned, int64_t>; ///< argument, dimension

  /// The symbols, each as the first input dimension that it is the size of.
  SmallVector<Dimension> symbols;
  /// The symbol of each dynamic dimension of an input. Ordered, so that symbols
  /// are numbered in the order of the inputs.
  std::map<Dimension, int64_t> symbolOf;
  llvm::EquivalenceClasses<int64_t> equal;
  Operation *mixed = nullptr; ///< Where an open and a fixed size meet.

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration())
      return;
    if (!func.getBody().hasOneBlock()) {
      func.emitError() << "has several blocks, expected one";
      return signalPassFailure();
    }
    auto ret = cast<func::ReturnOp>(func.getBody().front().getTerminator());
    symbols.clear();
    symbolOf.clear();
    equal = {};
    for (BlockArgument argument : func.getArguments()) {
      auto type = dyn_cast<RankedTensorType>(argument.getType());
      if (!type || !func.getArgAttr(argument.getArgNumber(), kNameAttr))
        continue;
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        if (type.isDynamicDim(dim)) {
          equal.insert(symbolOf.size());
          symbolOf[{argument.getArgNumber(), dim}] = symbolOf.size();
        }
    }
    mixed = nullptr;
    func.getBody().walk([&](Operation *op) { findEqualSizes(op); });
    if (mixed) {
      mixed->emitError()
          << "needs an input's open size to be one that is fixed "
             "elsewhere, expected both fixed or both open";
      return signalPassFailure();
    }
    // Sizes that must agree are one symbol; the runtime checks that they do.
    DenseMap<int64_t, int64_t> numbers;
    for (auto &[where, symbol] : symbolOf) {
      auto [it, inserted] =
          numbers.try_emplace(equal.getLeaderValue(symbol), symbols.size());
      if (inserted)
        symbols.push_back(where);
      symbol = it->second;
    }
    FailureOr<SmallVector<SmallVector<int64_t>>> shapes = resolveShapes(ret);
    unshareDestinations(func);
    if (failed(shapes) || failed(bind(func, ret, *shapes)))
      signalPassFailure();
  }

  /// Gives each operation a destination of its own. Two results that start from
  /// one tensor would be placed in one output's buffer.
  static void unshareDestinations(func::FuncOp func) {
    SmallVector<Operation *> sources;
    func.getBody().walk([&](Operation *op) {
      if (isa<tensor::EmptyOp, linalg::FillOp>(op))
        sources.push_back(op);
    });
    // In reverse: what a fill needs is unshared after the fill.
    for (Operation *op : llvm::reverse(sources)) {
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : op->getUses())
        uses.push_back(&use);
      OpBuilder b(op);
      for (OpOperand *use : llvm::drop_begin(uses))
        use->set(b.clone(*op)->getResult(0));
    }
  }

  /// Unites the symbols of sizes that an operation needs to be equal.
  void findEqualSizes(Operation *op) {
    auto unite = [&](Value a, int64_t dimA, Value b, int64_t dimB) {
      std::optional<int64_t> x = symbolOfDim(a, dimA), y = symbolOfDim(b, dimB);
      if (x && y)
        equal.unionSets(*x, *y);
      // A symbol is free; nothing would check it against a fixed size.
      int64_t sizeA = cast<ShapedType>(a.getType()).getDimSize(dimA);
      int64_t sizeB = cast<ShapedType>(b.getType()).getDimSize(dimB);
      if ((x && !ShapedType::isDynamic(sizeB)) ||
          (y && !ShapedType::isDynamic(sizeA)))
        mixed = op;
    };
    auto uniteShapes = [&](Value a, Value b, int64_t exceptDim) {
      int64_t rank = cast<ShapedType>(a.getType()).getRank();
      for (int64_t dim = 0; dim < rank; ++dim)
        if (dim != exceptDim)
          unite(a, dim, b, dim);
    };
    if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
      for (Value input : concat.getInputs().drop_front())
        uniteShapes(concat.getInputs().front(), input, concat.getDim());
    } else if (auto layer = dyn_cast<GRUOp>(op)) {
      for (Value flags : {layer.getMask(), layer.getReset()})
        if (flags)
          unite(layer.getInput(), layer.getTimeDim(), flags,
                layer.getTimeDim());
    } else if (auto device = dyn_cast<DeviceRnnOp>(op)) {
      if (device.getMask())
        unite(device.getInput(), device.getTimeDim(), device.getMask(),
              device.getTimeDim());
    } else if (auto recur = dyn_cast<RecurOp>(op)) {
      auto [timeSource, timeDim] = recur.getTimeDim();
      for (Value flags : {recur.getMask(), recur.getReset()})
        if (flags)
          unite(timeSource, timeDim, flags, recur.getTimeMajor() ? 0 : 1);
    } else if (auto generic = dyn_cast<linalg::LinalgOp>(op)) {
      // Every operand dimension that a loop runs over has the loop's length.
      DenseMap<unsigned, std::pair<Value, int64_t>> loops;
      for (OpOperand &operand : op->getOpOperands()) {
        AffineMap map = generic.getMatchingIndexingMap(&operand);
        for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
          auto loop = dyn_cast<AffineDimExpr>(expr);
          if (!loop)
            continue;
          auto [it, inserted] = loops.try_emplace(loop.getPosition(),
                                                  operand.get(), int64_t(dim));
          if (!inserted)
            unite(it->second.first, it->second.second, operand.get(), dim);
        }
      }
    }
  }

  /// Per result its shape, with -1-s for a dimension that is symbol s.
  FailureOr<SmallVector<SmallVector<int64_t>>>
  resolveShapes(func::ReturnOp ret) {
    SmallVector<SmallVector<int64_t>> shapes;
    for (OpOperand &operand : ret->getOpOperands()) {
      auto type = dyn_cast<RankedTensorType>(operand.get().getType());
      if (!type)
        return ret.emitError() << "result #" << operand.getOperandNumber()
                               << " is not a ranked tensor";
      shapes.emplace_back(type.getShape());
      for (int64_t dim = 0; dim < type.getRank(); ++dim) {
        if (!type.isDynamicDim(dim))
          continue;
        std::optional<int64_t> symbol = symbolOfDim(operand.get(), dim);
        if (!symbol)
          return ret.emitError() << "size of dimension " << dim
                                 << " of result #" << operand.getOperandNumber()
                                 << " does not follow from the inputs";
        shapes.back()[dim] = -1 - *symbol;
      }
    }
    return shapes;
  }

  /// The symbol that dimension `dim` of a tensor or buffer is, if it is one.
  std::optional<int64_t> symbolOfDim(Value value, int64_t dim) {
    if (!cast<ShapedType>(value.getType()).isDynamicDim(dim))
      return std::nullopt;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      if (argument.getOwner() != &getOperation().getBody().front())
        return std::nullopt;
      auto it = symbolOf.find({argument.getArgNumber(), dim});
      if (it == symbolOf.end())
        return std::nullopt;
      return it->second;
    }
    auto result = cast<OpResult>(value);
    Operation *op = result.getOwner();
    if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
      return symbolOfDim(destination.getTiedOpOperand(result)->get(), dim);
    // Both branches give the same sizes.
    if (auto branch = dyn_cast<scf::IfOp>(op))
      return symbolOfDim(
          branch.thenYield().getOperand(result.getResultNumber()), dim);
    if (isa<bufferization::ToTensorOp, bufferization::ToBufferOp>(op))
      return symbolOfDim(op->getOperand(0), dim);
    if (auto alloc = dyn_cast<memref::AllocOp>(op))
      return symbolOfSize(
          alloc.getDynamicSizes()[alloc.getType().getDynamicDimIndex(dim)]);
    OpBuilder b(op);
    FailureOr<OpFoldResult> size =
        reifyDimOfResult(b, op, result.getResultNumber(), dim);
    if (failed(size))
      return std::nullopt;
    return symbolOfSize(dyn_cast<Value>(*size));
  }

  std::optional<int64_t> symbolOfSize(Value size) {
    Operation *op = size ? size.getDefiningOp() : nullptr;
    if (auto dim = dyn_cast_or_null<ShapedDimOpInterface>(op))
      if (std::optional<int64_t> index =
              getConstantIntValue(dim.getDimension()))
        return symbolOfDim(dim.getShapedValue(), *index);
    return std::nullopt;
  }

  LogicalResult bind(func::FuncOp func, func::ReturnOp ret,
                     ArrayRef<SmallVector<int64_t>> shapes) {
    Block &body = func.getBody().front();
    Builder attributes(&getContext());
    OpBuilder b = OpBuilder::atBlockBegin(&body);
    DenseMap<int64_t, Value> stateBuffers;
    for (BlockArgument argument : func.getArguments()) {
      auto type = dyn_cast<RankedTensorType>(argument.getType());
      if (!type)
        continue;
      if (func.getArgAttr(argument.getArgNumber(), kNameAttr)) {
        SmallVector<int64_t> dims(type.getShape());
        for (auto [dim, size] : llvm::enumerate(dims))
          if (ShapedType::isDynamic(size))
            size = -1 - *symbolOfDim(argument, dim);
        func.setArgAttr(argument.getArgNumber(), kDimsAttr,
                        attributes.getDenseI64ArrayAttr(dims));
      }
      auto buffer = MemRefType::get(type.getShape(), type.getElementType());
      argument.setType(buffer);
      auto state = func.getArgAttrOfType<IntegerAttr>(argument.getArgNumber(),
                                                      kStateAttr);
      if (state)
        stateBuffers[state.getInt()] = argument;
      auto tensor = bufferization::ToTensorOp::create(
          b, argument.getLoc(), type, argument, /*restrict=*/true,
          /*writable=*/state != nullptr);
      argument.replaceAllUsesExcept(tensor, tensor);
    }

    b.setInsertionPoint(ret);
    for (OpOperand &operand : ret->getOpOperands()) {
      unsigned number = operand.getOperandNumber();
      Value buffer;
      if (auto state =
              func.getResultAttrOfType<IntegerAttr>(number, kStateAttr)) {
        buffer = stateBuffers.lookup(state.getInt());
        if (!buffer)
          return func.emitError()
                 << "result #" << number << " is state " << state.getInt()
                 << ", which no argument carries";
      } else {
        auto type = cast<RankedTensorType>(operand.get().getType());
        auto name = func.getResultAttrOfType<StringAttr>(number, kNameAttr);
        if (!name)
          name = attributes.getStringAttr("output_" + std::to_string(number));
        buffer = body.addArgument(
            MemRefType::get(type.getShape(), type.getElementType()),
            operand.get().getLoc());
        outputs.push_back(attributes.getDictionaryAttr(
            {attributes.getNamedAttr(kNameAttr, name),
             attributes.getNamedAttr(kOutputAttr, attributes.getUnitAttr()),
             attributes.getNamedAttr(
                 kDimsAttr, attributes.getDenseI64ArrayAttr(shapes[number]))}));
      }
      auto write = bufferization::MaterializeInDestinationOp::create(
          b, ret.getLoc(), Type(), operand.get(), buffer);
      write.setRestrict(true);
      write.setWritable(true);
    }
    func::ReturnOp::create(b, ret.getLoc());
    ret.erase();

    SmallVector<Attribute> argumentAttrs;
    for (unsigned i = 0, e = func.getNumArguments(); i < e; ++i)
      argumentAttrs.push_back(func.getArgAttrDict(i)
                                  ? func.getArgAttrDict(i)
                                  : attributes.getDictionaryAttr({}));
    llvm::append_range(argumentAttrs, outputs);
    func.removeResAttrsAttr();
    func.setFunctionType(
        attributes.getFunctionType(body.getArgumentTypes(), {}));
    func.setArgAttrsAttr(attributes.getArrayAttr(argumentAttrs));
    SmallVector<Attribute> symbolAttrs;
    for (auto [argument, dim] : symbols)
      symbolAttrs.push_back(
          attributes.getDenseI64ArrayAttr({int64_t(argument), dim}));
    func->setAttr(kSymbolsAttr, attributes.getArrayAttr(symbolAttrs));
    outputs.clear();
    return success();
  }

  SmallVector<Attribute> outputs;
};
} // namespace
