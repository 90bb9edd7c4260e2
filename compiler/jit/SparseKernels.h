//===- SparseKernels.h - recurrent kernels with zeros to leave out --------===//
//
// Of a recurrent kernel with many zeros, as pruning leaves it, the products
// skip blocks that are all zeros: what a row of the kernel has for neighbouring
// units of one gate in one line of the caches. Which blocks these are is data
// of the packed weights; that a kernel is treated so is decided here.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_JIT_SPARSEKERNELS_H
#define GRU_COMPILER_JIT_SPARSEKERNELS_H

#include "compiler/jit/Compiler.h"

namespace gru {

/// Fills `target.sparseKernels` with those of a model's recurrent kernels that
/// have zeros enough, and tells the observer of each that has a good part of
/// zeros.
void chooseSparseKernels(llvm::ArrayRef<WeightTensor> weights,
                         CompileTarget &target, const RemarkObserver &remark);

/// Marks these weights of an imported module as `gru.sparse`.
void markSparseKernels(mlir::ModuleOp module, const CompileTarget &target);

} // namespace gru

#endif // GRU_COMPILER_JIT_SPARSEKERNELS_H
