//===- NpzFile.h - weights in NumPy archives --------------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_ARCHIVE_NPZFILE_H
#define GRU_COMPILER_IMPORT_ARCHIVE_NPZFILE_H

#include "compiler/import/ModelSource.h"

namespace gru {

/// All arrays of an .npz file, named by their keys. They must be floats in the
/// byte order of this machine and in C order. `file` names the archive in
/// messages.
llvm::Expected<std::vector<WeightTensor>> readNpz(llvm::StringRef file,
                                                  llvm::StringRef bytes);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_NPZFILE_H
