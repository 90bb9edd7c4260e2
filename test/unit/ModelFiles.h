//===- ModelFiles.h - files that tests of the importers make ----*- C++ -*-===//

#ifndef GRU_TEST_UNIT_MODELFILES_H
#define GRU_TEST_UNIT_MODELFILES_H

#include "compiler/import/ModelSource.h"
#include "test/unit/ZipWriter.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

namespace gru {

using namespace llvm;

inline std::string dataPath(StringRef path) {
  return (GRU_TEST_DATA_DIR "/" + path).str();
}

inline std::string readBytes(const std::string &path) {
  auto buffer = MemoryBuffer::getFile(path, false, false);
  if (!buffer) {
    ADD_FAILURE() << path << ": " << buffer.getError().message();
    return "";
  }
  return (*buffer)->getBuffer().str();
}

/// A file that is removed at the end of a test.
class TemporaryFile {
public:
  TemporaryFile(StringRef suffix, StringRef bytes) {
    int descriptor;
    std::error_code code =
        sys::fs::createTemporaryFile("gru-import", suffix, descriptor, path);
    EXPECT_FALSE(code) << code.message();
    raw_fd_ostream(descriptor, /*shouldClose=*/true) << bytes;
  }
  ~TemporaryFile() { sys::fs::remove(path); }
  StringRef getPath() const { return path; }

private:
  SmallString<128> path;
};

/// The error of opening a file, with the file's name taken out; empty if it
/// opens.
inline std::string openError(StringRef path, StringRef weights = "") {
  auto source = openModel(path, weights);
  if (source)
    return "";
  std::string text = toString(source.takeError());
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  EXPECT_TRUE(StringRef(text).starts_with(path)) << text;
  return StringRef(text).substr(path.size()).str();
}

inline std::string bytesError(StringRef suffix, StringRef bytes) {
  TemporaryFile file(suffix, bytes);
  return openError(file.getPath());
}

} // namespace gru

#define EXPECT_HAS(text, part)                                                 \
  EXPECT_NE((text).find(part), std::string::npos) << (text)

#endif // GRU_TEST_UNIT_MODELFILES_H
