//===- TiledProduct.h - products with weights on a GPU ----------*- C++ -*-===//

#ifndef GRU_LOWERING_GPU_TILEDPRODUCT_H
#define GRU_LOWERING_GPU_TILEDPRODUCT_H

#include "lowering/gpu/KernelBuilder.h"

namespace gru {

/// out[row, column] = sum over k of left[row, k] * right[k, column], by blocks
/// of kGPUThreads, each of which makes tiles of kProductTile rows and columns
/// from slices in shared memory. A thread keeps 4 x 4 sums in registers.
///
/// What is not static are the rows.
inline constexpr int64_t kProductTile = 64;

struct TiledProduct {
  KernelBuilder::Value rows;
  int64_t depth, columns;
  mlir::Type element;
  /// (row, k), (k, column): only inside the bounds.
  llvm::function_ref<KernelBuilder::Value(KernelBuilder::Value,
                                          KernelBuilder::Value)>
      left, right;
  /// (row, column, sum)
  llvm::function_ref<void(KernelBuilder::Value, KernelBuilder::Value,
                          KernelBuilder::Value)>
      finish;
};

/// Shared memory for products in this module; once.
mlir::LLVM::GlobalOp makeProductMemory(KernelBuilder &b,
                                       mlir::gpu::GPUModuleOp module,
                                       mlir::Type element);

/// At the insertion point, which all threads of the grid reach.
void emitTiledProduct(KernelBuilder &b, mlir::LLVM::GlobalOp memory,
                      const TiledProduct &product);

} // namespace gru

#endif // GRU_LOWERING_GPU_TILEDPRODUCT_H
