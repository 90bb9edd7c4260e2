//===- DiskCache.h - compiled kernels across processes ----------*- C++ -*-===//
//
// A folder with one file per kernel. Any number of threads, processes and
// versions of the compiler may use it at once: an entry is written under
// another name and renamed, and what is read is believed only if its checksum
// and key are right. Nothing here is needed to compile: a folder that cannot be
// used costs time, no more.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_JIT_DISKCACHE_H
#define GRU_COMPILER_JIT_DISKCACHE_H

#include "compiler/jit/KernelEntry.h"

#include "llvm/Support/Chrono.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <vector>

namespace gru {

class DiskCache {
public:
  /// The folder that GRU_CACHE_DIR names, else `gru` in the user's folder for
  /// caches ($XDG_CACHE_HOME or ~/.cache). Empty where GRU_CACHE_DIR is empty
  /// or the user has no home: then nothing is kept.
  static std::string getDefaultDirectory();

  /// An empty folder name is a cache that keeps nothing.
  explicit DiskCache(llvm::StringRef directory) : directory(directory) {}

  /// Whether there is a folder; without one nothing is found or kept.
  bool isOn() const { return !directory.empty(); }

  /// Nothing where there is no entry of that key, or a damaged one, or one that
  /// belongs to another user.
  std::optional<KernelEntry> read(llvm::StringRef key) const;

  /// Writes an entry, and removes those that were not used for longest when the
  /// folder has become larger than GRU_CACHE_SIZE (bytes, or 64k, 64m, 2g;
  /// 256m where it is not set).
  llvm::Error write(llvm::StringRef key, const KernelEntry &entry) const;

  struct Item {
    std::string path;
    uint64_t bytes = 0;
    llvm::sys::TimePoint<> used;
    /// Nothing where the file is damaged or foreign.
    std::optional<KernelEntry> entry;
  };
  /// All entries, the one used last first.
  std::vector<Item> list() const;

  /// Removes all entries, also unfinished and damaged ones.
  llvm::Error clear() const;

  /// Writes a file of the folder, which is made where there is none, so that
  /// whoever reads it finds the old one or all of the new one.
  llvm::Error writeFile(llvm::StringRef path, llvm::StringRef bytes) const;

private:
  std::string getPath(llvm::StringRef key) const;
  llvm::Error prune(uint64_t written) const;

  std::string directory;
};

} // namespace gru

#endif // GRU_COMPILER_JIT_DISKCACHE_H
