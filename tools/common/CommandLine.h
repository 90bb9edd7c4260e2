//===- CommandLine.h - options of our own only ------------------*- C++ -*-===//

#ifndef GRU_TOOLS_COMMON_COMMANDLINE_H
#define GRU_TOOLS_COMMON_COMMANDLINE_H

namespace gru {

/// LLVM's libraries register hundreds of options of their own, among them
/// --threads, which would clash with ours and drown them in --help. Removes all
/// that are registered so far but --help and its like.
void removeLLVMOptions();

} // namespace gru

#endif // GRU_TOOLS_COMMON_COMMANDLINE_H
