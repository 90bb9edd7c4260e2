//===- Hdf5Attributes.h - string attributes in an HDF5 image ------*- C++
//-*-===//
//
// Reads string attributes from the bytes of a file, without libhdf5: version
// 1.10, which Debian 12 has, follows sizes and indices in attributes without
// checking them, so that a damaged file makes it read outside its buffers. Here
// every access is checked. Groups and datasets still go through libhdf5.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_ARCHIVE_HDF5ATTRIBUTES_H
#define GRU_COMPILER_IMPORT_ARCHIVE_HDF5ATTRIBUTES_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gru {

/// The strings of an attribute of the object whose header stands at `address`
/// of `image`; nothing if it has no such attribute. Addresses and sizes in the
/// file have 8 bytes. The caller adds file and attribute to the message.
llvm::Expected<std::optional<std::vector<std::string>>>
readHdf5Strings(llvm::StringRef image, uint64_t address,
                llvm::StringRef attribute);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_HDF5ATTRIBUTES_H
