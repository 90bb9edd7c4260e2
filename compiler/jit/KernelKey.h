//===- KernelKey.h - what makes two kernels the same ------------*- C++ -*-===//
//
// Two keys find a kernel. That of the source is made from a model's structure
// without any MLIR, so that a warm start is quick. That of the module is made
// from what the importer emits, without names and locations: models that are
// named or stored differently but compute the same share a kernel. Both hold
// everything else that shapes code: options, machine, build of the compiler.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_JIT_KERNELKEY_H
#define GRU_COMPILER_JIT_KERNELKEY_H

#include "compiler/jit/Compiler.h"

#include <optional>
#include <string>
#include <vector>

namespace gru {

/// The names by which a program's tensors are known, in the order of its plan.
struct TensorNames {
  std::vector<std::string> inputs, outputs, states, weights;
};

/// Hexadecimal digits.
std::string makeSourceKey(const ModelSource &source,
                          const CompileTarget &target);

/// Of a module as imported. `names` are left out of the key.
std::string makeModuleKey(mlir::ModuleOp module, const CompileTarget &target,
                          TensorNames &names);

/// The plan of a kernel with other names; nothing where their numbers differ.
std::optional<std::string> renamePlan(llvm::StringRef plan,
                                      const TensorNames &names);

} // namespace gru

#endif // GRU_COMPILER_JIT_KERNELKEY_H
