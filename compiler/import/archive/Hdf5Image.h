//===- Hdf5Image.h - libhdf5 on bytes in memory -----------------*- C++ -*-===//
//
// A file driver of libhdf5 that reads an image where it lies. The library's own
// driver for images copies them, and has the library keep metadata in an
// accumulator, in which a damaged file makes 1.10 read from a null pointer.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_ARCHIVE_HDF5IMAGE_H
#define GRU_COMPILER_IMPORT_ARCHIVE_HDF5IMAGE_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace gru {

/// Makes files that are opened for reading with the property list `access` be
/// `bytes`, whatever their names. False where libhdf5's error stack says why
/// not. The bytes must outlive the files. Not thread-safe, as libhdf5 is not.
bool setHdf5Image(int64_t access, llvm::StringRef bytes);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_HDF5IMAGE_H
