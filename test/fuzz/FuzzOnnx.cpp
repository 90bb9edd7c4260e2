//===- FuzzOnnx.cpp - any bytes as an ONNX model ---------------------------===//
//
// What opens is imported once more, for a batch, as a compilation would.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/onnx/OnnxImporter.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"

using namespace gru;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  // No folder: data beside the model are not looked for where nothing is.
  auto source = onnx::openOnnx("absent-folder/fuzz.onnx", bytes);
  if (!source) {
    llvm::consumeError(source.takeError());
    return 0;
  }
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  ImportOptions options;
  options.batch = (*source)->getDefaultBatch();
  auto module = (*source)->import(context, options);
  if (!module)
    llvm::consumeError(module.takeError());
  return 0;
}
