//===- LowerHalideCalls.cpp - memrefs become halide_buffer_t --------------===//
//
// A call passes each buffer as a pointer to a halide_buffer_t on the stack.
// What is constant is filled in once, at the top of the function; the address,
// and sizes and strides that the type leaves open, before each call.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/common/Buffers.h"
#include "lowering/halide/Kernels.h"
#include "lowering/halide/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gru {
#define GEN_PASS_DEF_LOWERHALIDECALLSPASS
#include "lowering/halide/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Fields of halide_buffer_t and halide_dimension_t (HalideRuntime.h).
enum BufferField {
  Device,
  Interface,
  Host,
  Flags,
  Code,
  Bits,
  Lanes,
  Dimensions,
  Dim,
  Padding
};
enum DimensionField { Min, Extent, Stride, DimFlags };

class CallLowering {
public:
  explicit CallLowering(func::CallOp call)
      : call(call), b(call), top(call), loc(call.getLoc()),
        pointer(LLVM::LLVMPointerType::get(call.getContext())) {
    auto parent = call->getParentOfType<func::FuncOp>();
    top.setInsertionPointToStart(&parent.getBody().front());
    Type i8 = b.getI8Type(), i16 = b.getI16Type(), i32 = b.getI32Type(),
         i64 = b.getI64Type();
    bufferType = LLVM::LLVMStructType::getLiteral(
        call.getContext(),
        {i64, pointer, pointer, i64, i8, i8, i16, i32, pointer, pointer});
    dimensionType = LLVM::LLVMStructType::getLiteral(call.getContext(),
                                                     {i32, i32, i32, i32});
  }

  void run() {
    SmallVector<Value> pointers;
    for (Value operand : call.getOperands())
      pointers.push_back(makeBuffer(operand));
    func::CallOp::create(b, loc, call.getCallee(), b.getI32Type(), pointers);
    call.erase();
  }

private:
  static Value constant(OpBuilder &b, Location loc, Type type, int64_t value) {
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, value));
  }
  Value fieldOf(OpBuilder &b, Type type, Value base, int32_t index,
                int32_t field) {
    return LLVM::GEPOp::create(b, loc, pointer, type, base,
                               ArrayRef<LLVM::GEPArg>{index, field});
  }
  void store(OpBuilder &b, Value value, Type type, Value base, int32_t index,
             int32_t field) {
    LLVM::StoreOp::create(b, loc, value, fieldOf(b, type, base, index, field));
  }

  Value makeBuffer(Value memref) {
    auto type = cast<MemRefType>(memref.getType());
    int64_t rank = type.getRank();
    SmallVector<int64_t> strides;
    int64_t offset;
    (void)type.getStridesAndOffset(strides, offset);
    bool isMask = type.getElementType().isInteger(1);
    int64_t bits = isMask ? 8 : type.getElementTypeBitWidth();

    Value one = constant(top, loc, top.getI64Type(), 1);
    Value buffer = LLVM::AllocaOp::create(top, loc, pointer, bufferType, one);
    Value dims = LLVM::AllocaOp::create(
        top, loc, pointer, dimensionType,
        constant(top, loc, top.getI64Type(), std::max<int64_t>(rank, 1)));
    Value null = LLVM::ZeroOp::create(top, loc, pointer);
    auto set = [&](BufferField field, Value value) {
      store(top, value, bufferType, buffer, 0, field);
    };
    set(Device, constant(top, loc, top.getI64Type(), 0));
    set(Interface, null);
    set(Flags, constant(top, loc, top.getI64Type(), 0));
    // halide_type_uint is 1, halide_type_float is 2.
    set(Code, constant(top, loc, top.getI8Type(), isMask ? 1 : 2));
    set(Bits, constant(top, loc, top.getI8Type(), bits));
    set(Lanes, constant(top, loc, top.getI16Type(), 1));
    set(Dimensions, constant(top, loc, top.getI32Type(), rank));
    set(Dim, dims);
    set(Padding, null);

    auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, memref);
    for (int64_t dim = 0; dim < rank; ++dim) {
      // Halide's first dimension is our last one.
      int32_t index = rank - 1 - dim;
      setDimension(dims, index, Min, 0, Value());
      setDimension(dims, index, Extent, type.getDimSize(dim),
                   metadata.getSizes()[dim]);
      setDimension(dims, index, Stride, strides[dim],
                   metadata.getStrides()[dim]);
      setDimension(dims, index, DimFlags, 0, Value());
    }
    Value base = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, memref);
    Value bytes = arith::MulIOp::create(b, loc, metadata.getOffset(),
                                        indexConstant(b, loc, bits / 8));
    Value address = arith::IndexCastOp::create(
        b, loc, b.getI64Type(), arith::AddIOp::create(b, loc, base, bytes));
    store(b, LLVM::IntToPtrOp::create(b, loc, pointer, address), bufferType,
          buffer, 0, Host);
    return buffer;
  }

  void setDimension(Value dims, int32_t index, DimensionField field,
                    int64_t known, Value otherwise) {
    if (!ShapedType::isDynamic(known))
      return store(top, constant(top, loc, top.getI32Type(), known),
                   dimensionType, dims, index, field);
    store(b, arith::IndexCastOp::create(b, loc, b.getI32Type(), otherwise),
          dimensionType, dims, index, field);
  }

  func::CallOp call;
  OpBuilder b, top;
  Location loc;
  Type pointer, bufferType, dimensionType;
};

struct LowerHalideCallsPass
    : gru::impl::LowerHalideCallsPassBase<LowerHalideCallsPass> {
  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    SmallVector<func::CallOp> calls;
    getOperation().walk([&](func::CallOp call) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (callee && callee->hasAttr(kHalideAttr))
        calls.push_back(call);
    });
    for (func::CallOp call : calls)
      CallLowering(call).run();
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    Builder b(&getContext());
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kHalideAttr))
        function.setFunctionType(b.getFunctionType(
            SmallVector<Type>(function.getNumArguments(), pointer),
            b.getI32Type()));
  }
};
} // namespace
