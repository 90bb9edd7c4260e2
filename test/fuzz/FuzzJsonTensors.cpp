//===- FuzzJsonTensors.cpp - any bytes as a state dict in JSON ------------===//

#include "compiler/import/archive/Json.h"
#include "compiler/import/torch/StateDict.h"

using namespace gru::torch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  auto object = gru::parseJsonObject("fuzz", bytes);
  if (!object) {
    llvm::consumeError(object.takeError());
    return 0;
  }
  llvm::Expected<StateDict> dict = readJsonTensors("fuzz", *object);
  if (!dict)
    llvm::consumeError(dict.takeError());
  return 0;
}
