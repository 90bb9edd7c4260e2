//===- FuzzJsonModel.cpp - any bytes as a JSON model with its weights -----===//
//
// RTNeural's, or PyTorch's as the audio community writes it, by its keys as in
// openModel.
//
//===----------------------------------------------------------------------===//

#include "test/fuzz/ImportOnce.h"

#include "compiler/import/archive/Json.h"
#include "compiler/import/rtneural/RTNeuralImporter.h"
#include "compiler/import/torch/TorchImporter.h"

using namespace gru;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  auto object = parseJsonObject("fuzz", bytes);
  if (!object) {
    llvm::consumeError(object.takeError());
    return 0;
  }
  if (rtneural::isModel(*object))
    importOnce(rtneural::openModel("fuzz", *object));
  else if (torch::isJsonModel(*object))
    importOnce(torch::openJsonModel("fuzz", *object, {}));
  return 0;
}
