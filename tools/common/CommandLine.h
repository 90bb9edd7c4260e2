//===- CommandLine.h - what the tools do with their options -----*- C++ -*-===//

#ifndef GRU_TOOLS_COMMON_COMMANDLINE_H
#define GRU_TOOLS_COMMON_COMMANDLINE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace gru {

/// LLVM's libraries register hundreds of options of their own, among them
/// --threads, which would clash with ours and drown them in --help. Removes all
/// that are registered so far but --help and its like.
void removeLLVMOptions();

/// The text of the file that an option names; nothing where it names none.
/// Errors name the option and the file.
llvm::Expected<std::string> readOptionFile(llvm::StringRef option,
                                           llvm::StringRef path);

} // namespace gru

#endif // GRU_TOOLS_COMMON_COMMANDLINE_H
