//===- Descriptors.cpp - buffers around addresses -------------------------===//

#include "lowering/common/Descriptors.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

Value gru::makeBufferAt(OpBuilder &b, Location loc,
                        const LLVMTypeConverter &converter, MemRefType type,
                        Value address,
                        llvm::function_ref<Value(int64_t dim)> size) {
  auto constant = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, loc, b.getI64Type(),
                                    b.getI64IntegerAttr(value));
  };
  SmallVector<int64_t> strides;
  int64_t offset;
  [[maybe_unused]] LogicalResult strided =
      type.getStridesAndOffset(strides, offset);
  assert(succeeded(strided) && "buffers have strides");
  Value memory;
  if (type.hasStaticShape() && offset == 0) {
    memory =
        MemRefDescriptor::fromStaticShape(b, loc, converter, type, address);
  } else {
    auto descriptor =
        MemRefDescriptor::poison(b, loc, converter.convertType(type));
    descriptor.setAllocatedPtr(b, loc, address);
    descriptor.setAlignedPtr(b, loc, address);
    descriptor.setOffset(b, loc, constant(0));
    Value stride, inner;
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      Value elements = size(dim);
      // Those that a type leaves open follow from what lies behind.
      stride = ShapedType::isDynamic(strides[dim])
                   ? LLVM::MulOp::create(b, loc, stride, inner).getResult()
                   : constant(strides[dim]);
      descriptor.setSize(b, loc, dim, elements);
      descriptor.setStride(b, loc, dim, stride);
      inner = elements;
    }
    memory = descriptor;
  }
  return UnrealizedConversionCastOp::create(b, loc, type, memory).getResult(0);
}
