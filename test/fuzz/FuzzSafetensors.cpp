//===- FuzzSafetensors.cpp - any bytes as a .safetensors file -------------===//

#include "compiler/import/torch/StateDict.h"

using namespace gru::torch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  llvm::Expected<StateDict> dict = readSafetensors("fuzz", bytes);
  if (!dict)
    llvm::consumeError(dict.takeError());
  return 0;
}
