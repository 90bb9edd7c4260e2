//===- ImportError.h - messages of the importers ----------------*- C++ -*-===//
//
// Every importer reports in one form, `where: what, found X, expected Y`, so
// that a message can be understood without knowing the importer. The helpers
// here keep the form in one place.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_IMPORTERROR_H
#define GRU_COMPILER_IMPORT_IMPORTERROR_H

#include "dialect/ShapeText.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace gru {

/// Stands for a dimension whose size is not known when a model is imported. It
/// has the value that MLIR uses, so that shapes pass to types unchanged.
inline constexpr int64_t kDynamicSize = std::numeric_limits<int64_t>::min();

/// An error `where: message`; without `where` the message alone. Control
/// characters, which can come from a damaged file, are replaced.
llvm::Error importError(llvm::StringRef where, const llvm::Twine &message);

/// `text` on one printable line, cut to a length that a person reads.
std::string printable(llvm::StringRef text);

/// "a, b, c".
std::string listText(llvm::ArrayRef<llvm::StringRef> names);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_IMPORTERROR_H
