//===- FuzzCheckpoint.cpp - any bytes as the pickle of a checkpoint -------===//
//
// The zip archive around the pickle is made here, with two storages of fixed
// sizes, so that the fuzzer's changes reach the pickle. Bytes that are an
// archive themselves are taken as one.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/torch/StateDict.h"
#include "test/unit/ZipWriter.h"

using namespace gru;
using namespace gru::torch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string bytes(reinterpret_cast<const char *>(data), size);
  if (!llvm::StringRef(bytes).starts_with("PK"))
    bytes = writeZip({{"a/data.pkl", bytes},
                      {"a/data/0", std::string(240, '\1')},
                      {"a/data/1", std::string(300, '\2')}});
  llvm::Expected<StateDict> dict = readCheckpoint("fuzz", bytes);
  if (!dict)
    llvm::consumeError(dict.takeError());
  return 0;
}
