//===- KernelBuilder.h - what all device kernels are written with ---------===//
//
// Kernels work on plain addresses: LLVM pointers and index arithmetic in
// between, upstream's scf, arith and gpu operations around.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_GPU_KERNELBUILDER_H
#define GRU_LOWERING_GPU_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gru {

/// Threads of a block, where nothing else is said; a multiple of a warp.
inline constexpr int64_t kGPUThreads = 256;
inline constexpr int64_t kWarp = 32;

class KernelBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;
  using Values = llvm::SmallVector<Value>;

  KernelBuilder(mlir::OpBuilder &b, mlir::Location loc)
      : b(b), loc(loc),
        pointer(mlir::LLVM::LLVMPointerType::get(b.getContext())) {}

  /// An entry of the module, whose body is next; its arguments are returned. At
  /// most `threads` make a block; `anyNumber`: fewer may, too.
  Values beginKernel(mlir::gpu::GPUModuleOp module, llvm::StringRef name,
                     llvm::ArrayRef<Type> types, int64_t threads = kGPUThreads,
                     bool anyNumber = false);
  void endKernel() { mlir::gpu::ReturnOp::create(b, loc); }

  Value index(int64_t value) {
    return mlir::arith::ConstantIndexOp::create(b, loc, value);
  }
  Value toIndex(Value value) {
    return mlir::arith::IndexCastOp::create(b, loc, b.getIndexType(), value);
  }
  Value add(Value x, Value y) {
    return mlir::arith::AddIOp::create(b, loc, x, y);
  }
  Value sub(Value x, Value y) {
    return mlir::arith::SubIOp::create(b, loc, x, y);
  }
  Value mul(Value x, Value y) {
    return mlir::arith::MulIOp::create(b, loc, x, y);
  }
  Value mul(Value x, int64_t y) { return mul(x, index(y)); }
  Value div(Value x, Value y) {
    return mlir::arith::DivUIOp::create(b, loc, x, y);
  }
  Value rem(Value x, Value y) {
    return mlir::arith::RemUIOp::create(b, loc, x, y);
  }
  Value addf(Value x, Value y) {
    return mlir::arith::AddFOp::create(b, loc, x, y);
  }
  Value mulf(Value x, Value y) {
    return mlir::arith::MulFOp::create(b, loc, x, y);
  }
  /// x * y + z, rounded once.
  Value fma(Value x, Value y, Value z) {
    return mlir::math::FmaOp::create(b, loc, x, y, z);
  }
  Value equal(Value x, Value y) {
    return mlir::arith::CmpIOp::create(b, loc, mlir::arith::CmpIPredicate::eq,
                                       x, y);
  }
  /// Signed.
  Value less(Value x, Value y) {
    return mlir::arith::CmpIOp::create(b, loc, mlir::arith::CmpIPredicate::slt,
                                       x, y);
  }
  Value both(Value x, Value y) {
    return mlir::arith::AndIOp::create(b, loc, x, y);
  }
  Value select(Value c, Value x, Value y) {
    return mlir::arith::SelectOp::create(b, loc, c, x, y);
  }
  Value zero(Type type) {
    return mlir::arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  }

  /// Element `at` of type `type` behind `base`.
  Value address(Value base, Value at, Type type) {
    Value offset = mlir::arith::IndexCastOp::create(b, loc, b.getI64Type(), at);
    return mlir::LLVM::GEPOp::create(
        b, loc, pointer, type, base,
        llvm::ArrayRef<mlir::LLVM::GEPArg>{offset});
  }
  Value load(Type type, Value base, Value at) {
    return mlir::LLVM::LoadOp::create(b, loc, type, address(base, at, type));
  }
  void store(Value value, Value base, Value at) {
    mlir::LLVM::StoreOp::create(b, loc, value,
                                address(base, at, value.getType()));
  }
  /// A byte as a condition, and back.
  Value loadFlag(Value base, Value at);
  void storeFlag(Value flag, Value base, Value at);
  /// An element as buffers have it: an i1 is a byte.
  Value loadElement(Type type, Value base, Value at) {
    return type.isInteger(1) ? loadFlag(base, at) : load(type, base, at);
  }
  void storeElement(Value value, Value base, Value at) {
    value.getType().isInteger(1) ? storeFlag(value, base, at)
                                 : store(value, base, at);
  }

  Values loop(Value from, Value to, Value step, mlir::ValueRange carried,
              llvm::function_ref<Values(Value, mlir::ValueRange)> body);
  void loop(Value from, Value to, Value step,
            llvm::function_ref<void(Value)> body);
  void when(Value condition, llvm::function_ref<void()> body);
  /// body() where the condition holds, else `otherwise`.
  Value whenElse(Value condition, Value otherwise,
                 llvm::function_ref<Value()> body);

  Value threadId() { return dimension<mlir::gpu::ThreadIdOp>(); }
  Value blockId() { return dimension<mlir::gpu::BlockIdOp>(); }
  Value gridSize() { return dimension<mlir::gpu::GridDimOp>(); }
  Value blockSize() { return dimension<mlir::gpu::BlockDimOp>(); }
  /// Items below `count`, each by one thread of the grid.
  void forEachItem(Value count, llvm::function_ref<void(Value)> body);
  /// Shared memory as a generic address.
  Value addressOf(mlir::LLVM::GlobalOp shared);

  mlir::OpBuilder &b;
  mlir::Location loc;
  const Type pointer;

private:
  template <typename Op> Value dimension() {
    return Op::create(b, loc, mlir::gpu::Dimension::x);
  }
};

} // namespace gru

#endif // GRU_LOWERING_GPU_KERNELBUILDER_H
