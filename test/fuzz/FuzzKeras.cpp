//===- FuzzKeras.cpp - any bytes as a Keras model -------------------------===//
//
// Archives (.keras), HDF5 files (.h5), and JSON configs whose weights are
// drawn: the importer that the first bytes name, as openModel does. What opens
// is imported once more, as a compilation would.
//
//===----------------------------------------------------------------------===//

#include "test/fuzz/ImportOnce.h"

#include "compiler/import/archive/Json.h"
#include "compiler/import/keras/KerasImporter.h"

using namespace gru;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  if (bytes.starts_with("PK")) {
    importOnce(keras::openArchive("fuzz", bytes, ""));
  } else if (bytes.starts_with("\x89HDF")) {
    importOnce(keras::openHdf5("fuzz", bytes, ""));
  } else if (auto object = parseJsonObject("fuzz", bytes)) {
    importOnce(keras::openJson("fuzz", *object, "", {}));
  } else {
    llvm::consumeError(object.takeError());
  }
  return 0;
}
