//===- HoistPacks.cpp - moves the packing of weights to load time ---------===//
//
// The rows written here are what runtime/include/gru/plan.h calls a pack.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/PackInEachRun.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/MathExtras.h"

namespace gru {
#define GEN_PASS_DEF_HOISTPACKSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Collects the rows of the pack program.
class PackProgram {
public:
  explicit PackProgram(MLIRContext *context) : b(context) {}

  /// Reserves room for a value in the blob.
  int64_t place(RankedTensorType type) {
    int64_t offset = size;
    int64_t bytes = type.getNumElements() *
                    llvm::divideCeil(type.getElementTypeBitWidth(), 8);
    size = llvm::alignTo(size + bytes, 64);
    return offset;
  }

  void addRow(int64_t weight, int64_t offset, Type element, int64_t srcOffset,
              ArrayRef<int64_t> extents, ArrayRef<int64_t> srcStrides,
              ArrayRef<int64_t> dstStrides, StringRef mode = "",
              std::optional<int64_t> scaleOffset = std::nullopt,
              ArrayRef<int64_t> scaleStrides = {}) {
    SmallVector<NamedAttribute> row{
        b.getNamedAttr("weight", b.getI64IntegerAttr(weight)),
        b.getNamedAttr("offset", b.getI64IntegerAttr(offset)),
        b.getNamedAttr("type", TypeAttr::get(element)),
        b.getNamedAttr("source_offset", b.getI64IntegerAttr(srcOffset)),
        b.getNamedAttr("extents", b.getDenseI64ArrayAttr(extents)),
        b.getNamedAttr("source_strides", b.getDenseI64ArrayAttr(srcStrides)),
        b.getNamedAttr("strides", b.getDenseI64ArrayAttr(dstStrides))};
    if (!mode.empty())
      row.push_back(b.getNamedAttr(mode, b.getUnitAttr()));
    if (scaleOffset) {
      row.push_back(
          b.getNamedAttr("scale_offset", b.getI64IntegerAttr(*scaleOffset)));
      row.push_back(b.getNamedAttr("scale_strides",
                                   b.getDenseI64ArrayAttr(scaleStrides)));
    }
    rows.push_back(b.getDictionaryAttr(row));
  }

  /// Columns of `gates` gates, starting with `firstGate`, of the rows
  /// [firstRow, firstRow + numRows) of a weight [K, allGates * units], into
  /// the first gates of [NB, numRows, packedGates, W]. Whole blocks
  /// and the last partial one are a row of the program each. With a
  /// `scaleOffset` they are quantized, and their scales [NB, packedGates, W] go
  /// there.
  void addBlocks(int64_t weight, int64_t offset, Type element, int64_t columns,
                 int64_t units, int64_t width, int64_t firstRow,
                 int64_t numRows, int64_t firstGate, int64_t gates,
                 int64_t packedGates, bool accumulate,
                 std::optional<int64_t> scaleOffset = std::nullopt) {
    int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
    int64_t group = scaleOffset ? 4 : 1;
    int64_t packedRows =
        scaleOffset ? QuantizedPackOp::getPackedRows(numRows) : numRows;
    int64_t rowStride = packedGates * width * group;
    int64_t blockStride = packedRows * rowStride;
    int64_t full = units / width, rest = units % width;
    auto add = [&](int64_t block, int64_t numBlocks, int64_t lanes) {
      if (numBlocks == 0 || lanes == 0)
        return;
      addRow(weight, offset + block * blockStride * bytes, element,
             firstRow * columns + firstGate * units + block * width,
             {numBlocks, numRows, gates, lanes}, {width, columns, units, 1},
             {blockStride, rowStride, width * group, group},
             accumulate ? "accumulate" : "",
             scaleOffset
                 ? std::optional(*scaleOffset + block * packedGates * width * 4)
                 : std::nullopt,
             {packedGates * width, 0, width, 1});
    };
    add(0, full, width);
    add(full, 1, rest);
  }

  /// Lists the rows that are not zero of a packed kernel [NB, K, G, W], which
  /// stands at `source`, as [NB, G, 1 + K].
  void addRowLists(int64_t weight, int64_t offset, RankedTensorType kernel,
                   int64_t source) {
    int64_t rows = kernel.getDimSize(1), gates = kernel.getDimSize(2),
            width = kernel.getDimSize(3);
    int64_t bytes = kernel.getElementTypeBitWidth() / 8;
    addRow(weight, offset, kernel.getElementType(), source / bytes,
           kernel.getShape(), {rows * gates * width, gates * width, width, 1},
           {gates * (1 + rows), 1, 1 + rows, 0}, "list_rows");
  }

  ArrayAttr getRows() { return b.getArrayAttr(rows); }
  int64_t getSize() const { return size; }

private:
  Builder b;
  SmallVector<Attribute> rows;
  int64_t size = 0;
};

/// What takes the place of a weight: a part of the blob.
struct NewArgument {
  RankedTensorType type;
  int64_t offset;
  Location loc;
  SmallVector<Value> replaced;
};

struct HoistPacksPass : gru::impl::HoistPacksPassBase<HoistPacksPass> {
  void getDependentDialects(DialectRegistry &registry) const override {
    HoistPacksPassBase::getDependentDialects(registry);
    registry.insert<arith::ArithDialect, linalg::LinalgDialect,
                    tensor::TensorDialect>(); // packInEachRun
  }

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isDeclaration())
      return;
    MLIRContext *context = &getContext();
    Builder b(context);
    PackProgram program(context);

    for (BlockArgument argument : func.getArguments()) {
      auto type = dyn_cast<RankedTensorType>(argument.getType());
      if (func.getArgAttr(argument.getArgNumber(), kWeightAttr) &&
          (!type || !type.hasStaticShape())) {
        func.emitError() << "weight "
                         << func.getArgAttr(argument.getArgNumber(),
                                            kWeightAttr)
                         << " is " << argument.getType()
                         << ", expected a tensor of a fixed shape";
        return signalPassFailure();
      }
    }
    SmallVector<PackOp> computed;
    func.walk([&](PackOp op) {
      auto argument = dyn_cast<BlockArgument>(op.getSource());
      if (!argument || argument.getOwner() != &func.getBody().front() ||
          !func.getArgAttr(argument.getArgNumber(), kWeightAttr))
        computed.push_back(op);
    });
    for (PackOp op : computed)
      packInEachRun(op);
    WalkResult lists = func.walk([&](NonzeroRowsOp op) {
      if (op.getKernel().getDefiningOp<PackOp>())
        return WalkResult::advance();
      op.emitOpError() << "lists rows of a kernel that is not packed when a "
                          "program is opened";
      return WalkResult::interrupt();
    });
    if (lists.wasInterrupted())
      return signalPassFailure();

    // Weights in their original order, and the new arguments made from them.
    SmallVector<Attribute> weights;
    BitVector oldArguments(func.getNumArguments());
    SmallVector<NewArgument> newArguments;
    for (BlockArgument argument : func.getArguments()) {
      auto name = func.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                    kWeightAttr);
      if (!name)
        continue;
      oldArguments.set(argument.getArgNumber());
      int64_t weight = weights.size();
      auto type = cast<RankedTensorType>(argument.getType());
      // The type in the file, where the function computes in another one.
      auto fileType = func.getArgAttrOfType<TypeAttr>(argument.getArgNumber(),
                                                      kWeightTypeAttr);
      weights.push_back(b.getDictionaryAttr(
          {b.getNamedAttr("name", name),
           b.getNamedAttr("type", fileType ? fileType : TypeAttr::get(type))}));
      // Equal packs of one weight are one pack.
      llvm::MapVector<std::tuple<int64_t, int64_t, int64_t>,
                      SmallVector<PackOp>>
          packs;
      bool usedPlain = false;
      for (Operation *user : argument.getUsers()) {
        if (auto pack = dyn_cast<QuantizedPackOp>(user)) {
          auto scales = pack.getScale().getType();
          int64_t scaleOffset = program.place(scales);
          newArguments.push_back(
              {scales, scaleOffset, argument.getLoc(), {pack.getScale()}});
          auto packed = pack.getResult().getType();
          newArguments.push_back({packed,
                                  program.place(packed),
                                  argument.getLoc(),
                                  {pack.getResult()}});
          addPack(program, weight, newArguments.back().offset, pack,
                  scaleOffset);
          ++numPacks;
        } else if (auto pack = dyn_cast<PackOp>(user))
          packs[{int64_t(pack.getPart()), int64_t(pack.getGates()),
                 int64_t(pack.getWidth())}]
              .push_back(pack);
        else
          usedPlain = true;
      }
      if (usedPlain) {
        newArguments.push_back(
            {type, program.place(type), argument.getLoc(), {argument}});
        addPlain(program, weight, newArguments.back().offset, type);
      }
      for (auto &[key, ops] : packs) {
        PackOp pack = ops.front();
        auto packed = cast<RankedTensorType>(pack.getType());
        newArguments.push_back(
            {packed, program.place(packed), argument.getLoc(), {}});
        for (PackOp same : ops)
          newArguments.back().replaced.push_back(same.getResult());
        int64_t offset = newArguments.back().offset;
        addPack(program, weight, offset, pack);
        ++numPacks;
        SmallVector<Value> lists;
        for (PackOp same : ops)
          for (Operation *user : same->getUsers())
            if (isa<NonzeroRowsOp>(user))
              lists.push_back(user->getResult(0));
        if (lists.empty())
          continue;
        auto listType = cast<RankedTensorType>(lists.front().getType());
        int64_t listOffset = program.place(listType);
        newArguments.push_back(
            {listType, listOffset, argument.getLoc(), std::move(lists)});
        program.addRowLists(weight, listOffset, packed, offset);
      }
    }

    for (NewArgument &argument : newArguments) {
      unsigned index = func.getNumArguments();
      if (failed(func.insertArgument(
              index, argument.type,
              b.getDictionaryAttr({b.getNamedAttr(
                  kPackedAttr, b.getI64IntegerAttr(argument.offset))}),
              argument.loc)))
        return signalPassFailure();
      for (Value old : argument.replaced)
        old.replaceAllUsesWith(func.getArgument(index));
    }
    func.walk([](Operation *op) {
      if (isa<PackOp, QuantizedPackOp, NonzeroRowsOp>(op))
        op->erase();
    });
    oldArguments.resize(func.getNumArguments());
    if (failed(func.eraseArguments(oldArguments)))
      return signalPassFailure();
    func->setAttr("gru.weights", b.getArrayAttr(weights));
    func->setAttr("gru.weights_bytes", b.getI64IntegerAttr(program.getSize()));
    func->setAttr(kPackProgramAttr, program.getRows());
  }

  static void addPlain(PackProgram &program, int64_t weight, int64_t offset,
                       RankedTensorType type) {
    SmallVector<int64_t> strides(type.getRank(), 1);
    for (int64_t i = type.getRank() - 2; i >= 0; --i)
      strides[i] = strides[i + 1] * type.getDimSize(i + 1);
    program.addRow(weight, offset, type.getElementType(), 0, type.getShape(),
                   strides, strides);
  }

  template <typename Op>
  static void addPack(PackProgram &program, int64_t weight, int64_t offset,
                      Op op,
                      std::optional<int64_t> scaleOffset = std::nullopt) {
    auto source = cast<RankedTensorType>(op.getSource().getType());
    int64_t columns = source.getShape().back();
    int64_t units = columns / int64_t(op.getGates());
    int64_t rows = source.getRank() == 2 ? source.getDimSize(0) : 1;
    auto add = [&](int64_t firstRow, int64_t numRows, int64_t firstGate,
                   int64_t gates, int64_t packedGates, bool accumulate) {
      program.addBlocks(weight, offset,
                        getElementTypeOrSelf(op.getResult().getType()), columns,
                        units, op.getWidth(), firstRow, numRows, firstGate,
                        gates, packedGates, accumulate, scaleOffset);
    };
    switch (op.getPart()) {
    case PackPart::all:
      return add(0, rows, 0, op.getGates(), op.getGates(), false);
    case PackPart::gates:
      return add(0, rows, 0, 2, 2, false);
    case PackPart::candidate:
      return add(0, rows, 2, 1, 1, false);
    case PackPart::input_bias:
      add(0, 1, 0, 3, 3, false);
      return add(1, 1, 0, 2, 3, true);
    case PackPart::recurrent_bias:
      return add(1, 1, 2, 1, 1, false);
    }
  }
};
} // namespace
