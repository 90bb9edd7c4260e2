//===- TargetDescription.h - what the cost model knows of a CPU -----------===//
//
// Blocks are chosen from a vector width and a number of registers, which follow
// from LLVM's feature string.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_COMMON_TARGETDESCRIPTION_H
#define GRU_LOWERING_COMMON_TARGETDESCRIPTION_H

#include "llvm/ADT/StringRef.h"

namespace gru {

struct TargetDescription {
  int64_t vectorBytes = 64;
  int64_t registers = 32;
  int64_t threads = 1; ///< That may share an operation.
  /// What multiplies bytes, see gru-lower-dot-bytes.
  llvm::StringRef byteProducts = "none";

  /// From a target triple's architecture and a feature string such as
  /// "+avx2,+fma". Unknown machines get 16-byte vectors.
  static TargetDescription fromFeatures(llvm::StringRef arch,
                                        llvm::StringRef features);

  /// Lanes of a vector of elements of `elementBytes`.
  int64_t getLanes(int64_t elementBytes) const {
    return vectorBytes / elementBytes;
  }

  bool operator==(const TargetDescription &) const = default;
};

/// How many registers may hold sums.
int64_t getAccumulators(const TargetDescription &target);

/// How many of many rows are computed together, over blocks of weights of so
/// many bytes: as many as have accumulators for all gates, or for one gate
/// after the other where that lets more rows share what is loaded from behind
/// the nearest cache.
int64_t chooseRows(const TargetDescription &target, int64_t gates,
                   int64_t vectorsPerGate, int64_t blockBytes);

/// Shape of the register block of a product whose columns are `gates` gates of
/// `units` units.
struct Blocking {
  int64_t width; ///< Units per block, a multiple of 64 bytes' worth.
  int64_t rows;  ///< Rows that are computed together.
};

/// Chooses the width so that the accumulators of one row (gates x width) leave
/// registers for weights, and as many rows as then fit. `batch` is the number
/// of rows there are, or a negative number where that is dynamic.
Blocking chooseBlocking(const TargetDescription &target, int64_t elementBytes,
                        int64_t gates, int64_t units, int64_t batch);

/// Of a kernel whose zeros are left out, so many bytes of one of its rows are
/// left out or read together: a line of the caches.
constexpr int64_t kSparseBlockBytes = 64;

/// A layer of fewer units is computed whole.
constexpr int64_t kFewestSparseUnits = 64;

/// As chooseBlocking, for such a kernel. The same for any number of threads, as
/// the order of its sums follows from it.
Blocking chooseSparseBlocking(const TargetDescription &target,
                              int64_t elementBytes, int64_t batch);

/// What the cost model takes for a number of timesteps that only a run knows.
constexpr int64_t kUsualTimesteps = 16;

/// Whether so many multiplications take long enough for several threads to come
/// together.
bool isWorthSharing(int64_t products);

/// Into how many parts an operation of `blocks` blocks of columns is cut for
/// the target's threads, which have come together already; 1 where it is not
/// worth sharing. `products` are the multiplications of all blocks.
int64_t chooseParts(const TargetDescription &target, int64_t blocks,
                    int64_t products);

} // namespace gru

#endif // GRU_LOWERING_COMMON_TARGETDESCRIPTION_H
