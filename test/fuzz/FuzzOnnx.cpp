//===- FuzzOnnx.cpp - any bytes as an ONNX model --------------------------===//
//
// What opens is imported once more, for a batch, as a compilation would.
//
//===----------------------------------------------------------------------===//

#include "test/fuzz/ImportOnce.h"

#include "compiler/import/onnx/OnnxImporter.h"

using namespace gru;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  // No folder: data beside the model are not looked for where nothing is.
  importOnce(onnx::openOnnx("absent-folder/fuzz.onnx", bytes));
  return 0;
}
