//===- KernelEntry.h - a compiled kernel as bytes ---------------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_KERNELENTRY_H
#define GRU_COMPILER_JIT_KERNELENTRY_H

#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace gru {

/// What a compilation makes, and what the disk cache keeps.
struct KernelEntry {
  /// What it was compiled for, for people: "cpu, znver4, batch 1".
  std::string target;
  /// As in gru/plan.h.
  std::string plan;
  /// A relocatable object file that defines `gru_kernel`.
  std::string object;
};

/// The bytes of a cache entry: they hold the key, so that a file under another
/// entry's name is found out, and a checksum.
std::string writeEntry(llvm::StringRef key, const KernelEntry &entry);

/// Nothing where the bytes are damaged, of another format or of another key.
/// An empty key accepts any.
std::optional<KernelEntry> readEntry(llvm::StringRef key,
                                     llvm::StringRef bytes);

} // namespace gru

#endif // GRU_COMPILER_JIT_KERNELENTRY_H
