//===- OnnxImporter.h - ONNX models -----------------------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_ONNX_ONNXIMPORTER_H
#define GRU_COMPILER_IMPORT_ONNX_ONNXIMPORTER_H

#include "compiler/import/ModelSource.h"

namespace gru::onnx {

/// True for what may be an ONNX model: the format has no signature, but its
/// first field is nearly always the version.
bool mayBeOnnx(llvm::StringRef bytes);

/// Opens an ONNX model. `path` names it in messages; data beside the model is
/// read from files in its folder.
llvm::Expected<std::unique_ptr<ModelSource>> openOnnx(llvm::StringRef path,
                                                      llvm::StringRef bytes);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_ONNXIMPORTER_H
