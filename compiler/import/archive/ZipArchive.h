//===- ZipArchive.h - entries of a zip file in memory -------------*- C++
//-*-===//

#ifndef GRU_COMPILER_IMPORT_ARCHIVE_ZIPARCHIVE_H
#define GRU_COMPILER_IMPORT_ARCHIVE_ZIPARCHIVE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct zip;

namespace gru {

/// A zip archive for reading. The bytes it was opened on must outlive it.
class ZipArchive {
public:
  /// `file` names the archive in messages.
  static llvm::Expected<ZipArchive> open(llvm::StringRef file,
                                         llvm::StringRef bytes);

  bool contains(llvm::StringRef entry) const;
  /// True if some entry's name ends in `suffix`.
  bool containsSuffix(llvm::StringRef suffix) const;

  /// The names of all entries, in the archive's order.
  std::vector<std::string> getEntries() const;

  /// The content of an entry, its checksum verified. An entry that claims more
  /// than `limit` bytes, or more than its compressed bytes can hold, is refused
  /// before any memory is taken for it.
  llvm::Expected<std::vector<char>> read(llvm::StringRef entry,
                                         uint64_t limit) const;

private:
  struct Discard {
    void operator()(::zip *archive) const;
  };
  ZipArchive(llvm::StringRef file, uint64_t size, ::zip *archive)
      : file(file), size(size), archive(archive) {}

  std::string file;
  uint64_t size;
  std::unique_ptr<::zip, Discard> archive;
};

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_ZIPARCHIVE_H
