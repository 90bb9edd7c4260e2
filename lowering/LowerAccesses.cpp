//===- LowerAccesses.cpp - loads and stores become pointers and offsets ---===//
//
// The general way to LLVM makes of each access to a buffer a chain of
// constants, extractions from a descriptor, products and sums, which LLVM then
// cleans up. On kernels made of accesses that is half of what reaches LLVM.
// Here the base of a buffer is one pointer, which advances where an index is
// defined (outside of all loops that the index does not depend on), and what is
// constant is one offset at the access.
//
//===----------------------------------------------------------------------===//

#include "lowering/Passes.h"

#include "mlir/Conversion/AffineToStandard/AffineToStandard.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/TypeSwitch.h"

#include <array>
#include <map>

namespace gru {
#define GEN_PASS_DEF_LOWERACCESSESPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {

/// What an access needs to know of a buffer. Offsets are part of the pointer.
struct Buffer {
  Value pointer;
  /// Elements from one index to the next.
  SmallVector<OpFoldResult> strides;
};

struct LowerAccessesPass : gru::impl::LowerAccessesPassBase<LowerAccessesPass> {
  using LowerAccessesPassBase::LowerAccessesPassBase;

  void runOnOperation() override {
    buffers.clear();
    pointers.clear();
    integers.clear();
    // First: the values below must not go away while they are remembered.
    getOperation().walk([&](memref::DimOp dim) { lowerDim(dim); });
    SmallVector<Operation *> accesses;
    getOperation().walk([&](Operation *op) {
      if (isa<memref::LoadOp, memref::StoreOp, memref::PrefetchOp,
              vector::LoadOp, vector::StoreOp, vector::MaskedLoadOp,
              vector::MaskedStoreOp>(op) ||
          isAddress(op))
        accesses.push_back(op);
    });
    for (Operation *op : accesses)
      llvm::TypeSwitch<Operation *>(op)
          .Case<memref::LoadOp>([&](auto load) {
            lowerLoad(load, load.getMemRef(), load.getType());
          })
          .Case<vector::LoadOp>([&](auto load) {
            lowerLoad(load, load.getBase(), load.getType());
          })
          .Case<memref::StoreOp>([&](auto store) {
            lowerStore(store, store.getMemRef(), store.getValueToStore());
          })
          .Case<vector::StoreOp>([&](auto store) {
            lowerStore(store, store.getBase(), store.getValueToStore());
          })
          .Case<vector::MaskedLoadOp>([&](auto load) { lowerMasked(load); })
          .Case<vector::MaskedStoreOp>([&](auto store) { lowerMasked(store); })
          .Case<memref::PrefetchOp>(
              [&](auto prefetch) { lowerPrefetch(prefetch); })
          .Case<UnrealizedConversionCastOp>(
              [&](auto cast) { lowerAddress(cast); });
    eraseUnused();
    lowerLeftViews();
  }

private:
  /// Upstream's passes look at every operation, and mostly nothing is left.
  void lowerLeftViews() {
    bool left =
        getOperation()
            .walk([](Operation *op) {
              // Pointers are views, too.
              bool isView =
                  isa<ViewLikeOpInterface, memref::ExtractStridedMetadataOp>(
                      op) &&
                  !isa<LLVM::GEPOp>(op);
              return isView || isa_and_nonnull<affine::AffineDialect>(
                                   op->getDialect())
                         ? WalkResult::interrupt()
                         : WalkResult::advance();
            })
            .wasInterrupted();
    if (!left)
      return;
    OpPassManager views(func::FuncOp::getOperationName());
    views.addPass(memref::createExpandStridedMetadataPass());
    views.addPass(createLowerAffinePass());
    if (failed(runPipeline(views, getOperation())))
      signalPassFailure();
  }

  //===--------------------------------------------------------------------===//
  // Accesses
  //===--------------------------------------------------------------------===//

  static bool isPlain(Type type) {
    if (auto vector = dyn_cast<VectorType>(type))
      return vector.getRank() == 1 && isPlain(vector.getElementType());
    return isa<FloatType>(type) || type.isSignlessInteger();
  }

  template <typename Op> void lowerLoad(Op load, Value memref, Type type) {
    if (!isPlain(type))
      return;
    Value address = getAddress(load, memref, load.getIndices());
    if (!address)
      return;
    OpBuilder b(load);
    load.replaceAllUsesWith(
        LLVM::LoadOp::create(b, load.getLoc(), type, address,
                             getAlignment(load, memref), /*isVolatile=*/false,
                             load.getNontemporal())
            .getResult());
    load.erase();
  }

  template <typename Op> void lowerStore(Op store, Value memref, Value value) {
    if (!isPlain(value.getType()))
      return;
    Value address = getAddress(store, memref, store.getIndices());
    if (!address)
      return;
    OpBuilder b(store);
    LLVM::StoreOp::create(b, store.getLoc(), value, address,
                          getAlignment(store, memref), /*isVolatile=*/false,
                          store.getNontemporal());
    store.erase();
  }

  /// The integers of the same size for vectors of half types: LLVM takes masked
  /// accesses of these apart, and calls a library for each element.
  static VectorType getMaskedType(VectorType type) {
    unsigned bits = type.getElementTypeBitWidth();
    if (bits != 16)
      return type;
    return type.clone(IntegerType::get(type.getContext(), bits));
  }

  void lowerMasked(vector::MaskedLoadOp load) {
    VectorType type = load.getVectorType();
    if (!isPlain(type))
      return;
    Value address = getAddress(load, load.getBase(), load.getIndices());
    if (!address)
      return;
    OpBuilder b(load);
    Location loc = load.getLoc();
    VectorType masked = getMaskedType(type);
    Value otherwise =
        b.createOrFold<LLVM::BitcastOp>(loc, masked, load.getPassThru());
    Value value = LLVM::MaskedLoadOp::create(
        b, loc, masked, address, load.getMask(), otherwise,
        b.getI32IntegerAttr(getAlignment(load, load.getBase())));
    load.replaceAllUsesWith(b.createOrFold<LLVM::BitcastOp>(loc, type, value));
    load.erase();
  }

  void lowerMasked(vector::MaskedStoreOp store) {
    VectorType type = store.getVectorType();
    if (!isPlain(type))
      return;
    Value address = getAddress(store, store.getBase(), store.getIndices());
    if (!address)
      return;
    OpBuilder b(store);
    Location loc = store.getLoc();
    Value value = b.createOrFold<LLVM::BitcastOp>(loc, getMaskedType(type),
                                                  store.getValueToStore());
    LLVM::MaskedStoreOp::create(
        b, loc, value, address, store.getMask(),
        b.getI32IntegerAttr(getAlignment(store, store.getBase())));
    store.erase();
  }

  void lowerPrefetch(memref::PrefetchOp prefetch) {
    Value address =
        getAddress(prefetch, prefetch.getMemref(), prefetch.getIndices());
    if (!address)
      return;
    OpBuilder b(prefetch);
    LLVM::Prefetch::create(b, prefetch.getLoc(), address, prefetch.getIsWrite(),
                           prefetch.getLocalityHint(),
                           prefetch.getIsDataCache());
    prefetch.erase();
  }

  /// What gru-lower-calls passes to a function.
  static bool isAddress(Operation *op) {
    return isa<UnrealizedConversionCastOp>(op) && op->getNumOperands() == 1 &&
           op->getNumResults() == 1 &&
           isa<MemRefType>(op->getOperand(0).getType()) &&
           isa<LLVM::LLVMPointerType>(op->getResult(0).getType());
  }

  void lowerAddress(UnrealizedConversionCastOp cast) {
    Value memref = cast.getOperand(0);
    Value address;
    if (const std::optional<Buffer> &buffer = getBuffer(memref)) {
      address = buffer->pointer;
    } else {
      OpBuilder b(cast);
      Location loc = cast.getLoc();
      auto type = mlir::cast<MemRefType>(memref.getType());
      auto integer = [&](Value index) -> Value {
        return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
      };
      auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, memref);
      Value start = LLVM::IntToPtrOp::create(
          b, loc, cast.getResult(0).getType(),
          integer(
              memref::ExtractAlignedPointerAsIndexOp::create(b, loc, memref)));
      address = makePointer(b, start, type.getElementType(),
                            integer(metadata.getOffset()));
    }
    cast.getResult(0).replaceAllUsesWith(address);
    cast.erase();
  }

  /// Vectors too are only aligned as their elements, unless somebody knows
  /// more.
  template <typename Op> static unsigned getAlignment(Op op, Value memref) {
    if (std::optional<uint64_t> alignment = op.getAlignment())
      return *alignment;
    unsigned bits = cast<MemRefType>(memref.getType()).getElementTypeBitWidth();
    return llvm::divideCeil(bits, 8);
  }

  /// A size that the kernel's entry has put into a descriptor.
  void lowerDim(memref::DimOp dim) {
    std::optional<int64_t> index = dim.getConstantIndex();
    Value descriptor = getDescriptor(dim.getSource());
    if (!index || !descriptor)
      return;
    Value size = getMember(descriptor, {3, *index});
    if (!size)
      return;
    OpBuilder b(dim);
    dim.replaceAllUsesWith(
        arith::IndexCastOp::create(b, dim.getLoc(), b.getIndexType(), size)
            .getResult());
    dim.erase();
  }

  Value getAddress(Operation *op, Value memref, ValueRange indices) {
    const std::optional<Buffer> &buffer = getBuffer(memref);
    if (!buffer)
      return {};
    Type element = cast<MemRefType>(memref.getType()).getElementType();
    SmallVector<OpFoldResult> offsets;
    for (Value index : indices)
      offsets.push_back(getAsOpFoldResult(index));
    return advance(buffer->pointer, element, offsets, buffer->strides, op);
  }

  //===--------------------------------------------------------------------===//
  // Buffers
  //===--------------------------------------------------------------------===//

  /// The descriptor that a buffer was made of, as gru-lower-entry leaves it.
  static Value getDescriptor(Value memref) {
    auto cast = memref.getDefiningOp<UnrealizedConversionCastOp>();
    if (!cast || cast.getInputs().size() != 1 ||
        !isa<LLVM::LLVMStructType>(cast.getInputs()[0].getType()))
      return {};
    return cast.getInputs()[0];
  }

  static Value getMember(Value descriptor, ArrayRef<int64_t> position) {
    while (auto insert = descriptor.getDefiningOp<LLVM::InsertValueOp>()) {
      if (insert.getPosition() == position)
        return insert.getValue();
      descriptor = insert.getContainer();
    }
    return {};
  }

  /// Nothing where the general way has to do.
  const std::optional<Buffer> &getBuffer(Value memref) {
    auto it = buffers.find(memref);
    if (it == buffers.end()) {
      std::optional<Buffer> buffer = makeBuffer(memref);
      it = buffers.try_emplace(memref, std::move(buffer)).first;
    }
    return it->second;
  }

  std::optional<Buffer> makeBuffer(Value memref) {
    auto type = dyn_cast<MemRefType>(memref.getType());
    if (!type || type.getMemorySpace() || !isPlain(type.getElementType()))
      return std::nullopt;
    if (Value descriptor = getDescriptor(memref))
      return ofDescriptor(descriptor, type);
    Operation *definition = memref.getDefiningOp();
    if (!definition)
      return std::nullopt;
    return llvm::TypeSwitch<Operation *, std::optional<Buffer>>(definition)
        .Case<memref::ViewOp>([&](auto op) { return ofView(op); })
        .Case<memref::SubViewOp>([&](auto op) { return ofSubview(op); })
        .Case<memref::ExpandShapeOp, memref::CollapseShapeOp>(
            [&](auto op) { return ofReshape(op.getSrc(), type); })
        .Case<memref::CastOp>([&](auto op) -> std::optional<Buffer> {
          return getBuffer(op.getSource());
        })
        .Default([](Operation *) { return std::nullopt; });
  }

  std::optional<Buffer> ofDescriptor(Value descriptor, MemRefType type) {
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(type.getStridesAndOffset(strides, offset)))
      return std::nullopt;
    // Where a type leaves the offset open, the pointer may include it.
    if (ShapedType::isDynamic(offset))
      if (Value known = getMember(descriptor, {2}))
        offset = getConstantIntValue(known).value_or(offset);
    if (offset != 0)
      return std::nullopt;
    Buffer buffer;
    buffer.pointer = getMember(descriptor, {1});
    if (!buffer.pointer)
      return std::nullopt;
    Builder b(&getContext());
    for (auto [dim, stride] : llvm::enumerate(strides)) {
      if (ShapedType::isDynamic(stride)) {
        Value value = getMember(descriptor, {4, int64_t(dim)});
        if (!value)
          return std::nullopt;
        buffer.strides.push_back(value);
      } else {
        buffer.strides.push_back(b.getI64IntegerAttr(stride));
      }
    }
    return buffer;
  }

  std::optional<Buffer> ofView(memref::ViewOp view) {
    std::optional<Buffer> source = getBuffer(view.getSource());
    if (!source)
      return std::nullopt;
    MemRefType type = view.getType();
    OpBuilder b(view);
    Buffer buffer;
    buffer.pointer = advance(source->pointer, b.getI8Type(),
                             {getAsOpFoldResult(view.getByteShift())},
                             source->strides, view);
    OpFoldResult stride = b.getI64IntegerAttr(1);
    SmallVector<OpFoldResult> sizes =
        getMixedValues(type.getShape(), view.getSizes(), b);
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      buffer.strides.insert(buffer.strides.begin(), stride);
      stride = multiply(stride, sizes[dim], view);
    }
    return buffer;
  }

  std::optional<Buffer> ofSubview(memref::SubViewOp view) {
    std::optional<Buffer> source = getBuffer(view.getSource());
    if (!source ||
        llvm::any_of(view.getMixedStrides(), [](OpFoldResult stride) {
          return !getConstantIntValue(stride);
        }))
      return std::nullopt;
    Buffer buffer;
    buffer.pointer = advance(source->pointer, view.getType().getElementType(),
                             view.getMixedOffsets(), source->strides, view);
    llvm::SmallBitVector dropped = view.getDroppedDims();
    for (auto [dim, stride] : llvm::enumerate(view.getMixedStrides()))
      if (!dropped.test(dim))
        buffer.strides.push_back(multiply(source->strides[dim], stride, view));
    return buffer;
  }

  std::optional<Buffer> ofReshape(Value source, MemRefType type) {
    const std::optional<Buffer> &from = getBuffer(source);
    SmallVector<int64_t> strides;
    int64_t offset;
    if (!from || failed(type.getStridesAndOffset(strides, offset)) ||
        llvm::any_of(strides, ShapedType::isDynamic))
      return std::nullopt;
    Buffer buffer{from->pointer, {}};
    Builder b(&getContext());
    for (int64_t stride : strides)
      buffer.strides.push_back(b.getI64IntegerAttr(stride));
    return buffer;
  }

  //===--------------------------------------------------------------------===//
  // Addresses
  //===--------------------------------------------------------------------===//

  static unsigned getDepth(Value value) {
    unsigned depth = 0;
    for (Operation *op = value.getParentBlock()->getParentOp(); op;
         op = op->getParentOp())
      ++depth;
    return depth;
  }

  /// Right behind the last of several values that all dominate one operation.
  /// Bodies of structured operations have one block, so that one value's block
  /// holds the other's.
  static void setInsertionPointAfter(OpBuilder &b, ArrayRef<Value> values) {
    Value last = values.front();
    for (Value value : values.drop_front()) {
      unsigned depth = getDepth(value), most = getDepth(last);
      bool later = depth > most;
      if (depth == most)
        if (Operation *op = value.getDefiningOp())
          later = !last.getDefiningOp() ||
                  last.getDefiningOp()->isBeforeInBlock(op);
      if (later)
        last = value;
    }
    b.setInsertionPointAfterValue(last);
  }

  /// An index as an integer, made once, where the index is made.
  Value getInteger(Value index) {
    if (!index.getType().isIndex())
      return index;
    Value &integer = integers[index];
    if (!integer) {
      OpBuilder b(&getContext());
      b.setInsertionPointAfterValue(index);
      integer =
          arith::IndexCastOp::create(b, index.getLoc(), b.getI64Type(), index);
    }
    return integer;
  }

  OpFoldResult multiply(OpFoldResult a, OpFoldResult b, Operation *before) {
    std::optional<int64_t> x = getConstantIntValue(a),
                           y = getConstantIntValue(b);
    OpBuilder builder(before);
    if (x && y)
      return builder.getI64IntegerAttr(*x * *y);
    if (x == 1)
      return b;
    if (y == 1)
      return a;
    auto value = [&](OpFoldResult factor,
                     std::optional<int64_t> constant) -> Value {
      if (constant)
        return arith::ConstantOp::create(builder, before->getLoc(),
                                         builder.getI64IntegerAttr(*constant));
      return getInteger(cast<Value>(factor));
    };
    return arith::MulIOp::create(builder, before->getLoc(), value(a, x),
                                 value(b, y))
        .getResult();
  }

  /// pointer + sum offsets * strides, in elements.
  Value advance(Value pointer, Type element, ArrayRef<OpFoldResult> offsets,
                ArrayRef<OpFoldResult> strides, Operation *user) {
    int64_t constant = 0;
    // What changes least comes first and stays outside of the inner loops.
    std::multimap<unsigned, std::pair<Value, OpFoldResult>> terms;
    for (auto [offset, stride] : llvm::zip(offsets, strides)) {
      std::optional<int64_t> x = getConstantIntValue(offset),
                             y = getConstantIntValue(stride);
      if (x == 0 || y == 0)
        continue;
      if (x && y) {
        constant += *x * *y;
        continue;
      }
      auto [value, factor] =
          x ? std::pair(stride, offset) : std::pair(offset, stride);
      Value index = cast<Value>(value);
      terms.insert({getDepth(index), {index, factor}});
    }
    for (auto &[depth, term] : terms)
      pointer = advance(pointer, element, term.first, term.second);
    if (constant == 0)
      return pointer;
    OpBuilder b(user);
    // The form that holds constants has 30 bits for them.
    if (llvm::isInt<30>(constant))
      return makePointer(b, pointer, element, LLVM::GEPArg(int32_t(constant)));
    return makePointer(b, pointer, element,
                       arith::ConstantOp::create(b, user->getLoc(),
                                                 b.getI64IntegerAttr(constant))
                           .getResult());
  }

  /// One term of the sum, made once, where the last of its values is made.
  Value advance(Value pointer, Type element, Value index, OpFoldResult stride) {
    Value &result =
        pointers[{pointer.getAsOpaquePointer(), element.getAsOpaquePointer(),
                  index.getAsOpaquePointer(), stride.getOpaqueValue()}];
    if (result)
      return result;
    OpBuilder b(&getContext());
    Value integer = getInteger(index);
    if (std::optional<int64_t> constant = getConstantIntValue(stride)) {
      setInsertionPointAfter(b, {pointer, integer});
      // The product is part of the address computation of an array.
      Type row = *constant == 1 ? element
                                : LLVM::LLVMArrayType::get(element, *constant);
      return result = makePointer(b, pointer, row, integer);
    }
    Value factor = getInteger(cast<Value>(stride));
    setInsertionPointAfter(b, {integer, factor});
    Value product = arith::MulIOp::create(b, pointer.getLoc(), integer, factor);
    setInsertionPointAfter(b, {pointer, product});
    return result = makePointer(b, pointer, element, product);
  }

  static Value makePointer(OpBuilder &b, Value base, Type element,
                           LLVM::GEPArg offset) {
    return LLVM::GEPOp::create(b, base.getLoc(), base.getType(), element, base,
                               offset, LLVM::GEPNoWrapFlags::inbounds);
  }

  /// Views and descriptors of which nothing is left to be asked.
  void eraseUnused() {
    SmallVector<Operation *> candidates;
    getOperation().walk([&](Operation *op) {
      if (isa<memref::ViewOp, memref::SubViewOp, memref::ExpandShapeOp,
              memref::CollapseShapeOp, memref::CastOp,
              UnrealizedConversionCastOp, LLVM::InsertValueOp, LLVM::PoisonOp>(
              op))
        candidates.push_back(op);
    });
    for (Operation *op : llvm::reverse(candidates))
      if (op->use_empty())
        op->erase();
  }

  DenseMap<Value, std::optional<Buffer>> buffers;
  DenseMap<Value, Value> integers;
  std::map<std::array<const void *, 4>, Value> pointers;
};
} // namespace
