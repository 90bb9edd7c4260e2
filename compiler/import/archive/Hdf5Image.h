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

/// Opens an HDF5 file for reading; the result is for H5Fclose, negative where
/// libhdf5's error stack says why there is none. The bytes must outlive the
/// file. Not thread-safe, as libhdf5 is not.
int64_t openHdf5Image(llvm::StringRef bytes);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_HDF5IMAGE_H
