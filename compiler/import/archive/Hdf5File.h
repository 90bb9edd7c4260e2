//===- Hdf5File.h - attributes and datasets of an HDF5 file -------*- C++
//-*-===//
//
// A small, suspicious view of libhdf5: only what Keras writes is read, links
// out of the file are not followed, and sizes are checked against the file
// before memory is taken. Attributes do not go through the library, see
// Hdf5Attributes.h.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_ARCHIVE_HDF5FILE_H
#define GRU_COMPILER_IMPORT_ARCHIVE_HDF5FILE_H

#include "compiler/import/ModelSource.h"

#include <optional>

namespace gru {

/// An HDF5 file in memory. Calls into libhdf5, which keeps global state, are
/// serialised over all files.
class Hdf5File {
public:
  /// `file` names the file in messages. The bytes must outlive it.
  static llvm::Expected<Hdf5File> open(llvm::StringRef file,
                                       llvm::StringRef bytes);
  Hdf5File(Hdf5File &&other) : file(std::move(other.file)), bytes(other.bytes) {
    std::swap(handle, other.handle);
  }
  Hdf5File &operator=(Hdf5File &&) = delete;
  ~Hdf5File();

  llvm::StringRef getName() const { return file; }

  bool hasGroup(llvm::StringRef path) const;
  /// True for a group, a dataset, or an object that cannot be opened.
  bool contains(llvm::StringRef path) const;

  /// A string attribute of the object at `path`; nothing where it is absent.
  llvm::Expected<std::optional<std::string>>
  readString(llvm::StringRef path, llvm::StringRef attribute) const;

  /// A list of strings; nothing where it is absent. A list that Keras has cut
  /// into `attribute0`, `attribute1`, ... because of its length is joined.
  llvm::Expected<std::optional<std::vector<std::string>>>
  readStrings(llvm::StringRef path, llvm::StringRef attribute) const;

  /// Paths, below `path`, of all datasets there.
  llvm::Expected<std::vector<std::string>>
  listDatasets(llvm::StringRef path) const;

  /// A dataset of floating point numbers, converted to `type`. The name is left
  /// empty.
  llvm::Expected<WeightTensor> readDataset(llvm::StringRef path,
                                           WeightType type) const;

private:
  Hdf5File(llvm::StringRef file, llvm::StringRef bytes, int64_t handle)
      : file(file), bytes(bytes), handle(handle) {}

  llvm::Expected<std::optional<std::vector<std::string>>>
  readAttribute(llvm::StringRef path, llvm::StringRef attribute) const;

  std::string file;
  llvm::StringRef bytes;
  int64_t handle = -1;
};

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_HDF5FILE_H
