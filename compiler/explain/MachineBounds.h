//===- MachineBounds.h - the least time that work can take ------*- C++ -*-===//

#ifndef GRU_COMPILER_EXPLAIN_MACHINEBOUNDS_H
#define GRU_COMPILER_EXPLAIN_MACHINEBOUNDS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace gru {

/// What one core of this machine can do at best, as measured.
struct MachineBounds {
  /// A level of the memory: caches from the first on, then everything beyond.
  struct Level {
    uint64_t bytes;
    double gigabytesPerSecond;
  };
  /// 1e9 products and sums of f32 a second.
  double gigaflops = 0;
  std::vector<Level> levels;

  /// The least nanoseconds for so many operations and for reading so many
  /// bytes, which lie in the level that holds `workingSet` bytes.
  double getNanoseconds(double flops, double bytes, uint64_t workingSet) const;

  /// Takes about a fifth of a second on one core. Other work on the machine
  /// makes it look slower than it is.
  static MachineBounds measure();

  /// What was measured before on this kind of CPU; the folder is the one of the
  /// kernel cache. Nothing where nothing was, or with an empty folder.
  static std::optional<MachineBounds> load(llvm::StringRef directory);
  llvm::Error save(llvm::StringRef directory) const;

  /// As remembered, or measured now and remembered as far as that is possible.
  static MachineBounds get(llvm::StringRef directory);
};

} // namespace gru

#endif // GRU_COMPILER_EXPLAIN_MACHINEBOUNDS_H
