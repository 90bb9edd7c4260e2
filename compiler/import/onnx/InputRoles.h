//===- InputRoles.h - which dimensions are batch and time -------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_ONNX_INPUTROLES_H
#define GRU_COMPILER_IMPORT_ONNX_INPUTROLES_H

#include "compiler/import/onnx/Graph.h"

namespace gru::onnx {

/// Fills in the inputs and the symbols of a model whose graph and constants are
/// there. An open dimension is batch or time by what a GRU node takes it for,
/// else by its name (`batch`, `seq_len`, ...), else by its place.
llvm::Error readInputs(ModelData &model);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_INPUTROLES_H
