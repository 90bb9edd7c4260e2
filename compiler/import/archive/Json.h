//===- Json.h - JSON from files that we did not write -------------*- C++
//-*-===//

#ifndef GRU_COMPILER_IMPORT_ARCHIVE_JSON_H
#define GRU_COMPILER_IMPORT_ARCHIVE_JSON_H

#include "llvm/Support/JSON.h"

namespace gru {

/// Parses an object. LLVM's parser recurses once per nesting level, so text
/// that nests absurdly deep is refused beforehand; so are the Infinity and NaN
/// that Python's json module writes, which are not JSON, with their line.
llvm::Expected<llvm::json::Object> parseJsonObject(llvm::StringRef where,
                                                   llvm::StringRef text);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_ARCHIVE_JSON_H
