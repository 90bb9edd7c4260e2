//===- Backends.h - which backend takes a layer, and why not ----*- C++ -*-===//
//
// Every backend accepts a recurrent layer as it was imported or refuses it with
// reasons. The choice is made on layer operations, before any rewrite hides
// what a backend matches.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_BACKENDS_BACKENDS_H
#define GRU_LOWERING_BACKENDS_BACKENDS_H

#include "dialect/GRUDialect.h"
#include "lowering/backends/DeviceProblems.h"

#include <string>

namespace gru {

/// Discardable attributes of layers; see the dialect's page.
inline constexpr llvm::StringLiteral kBackendAttr = "gru.backend";
inline constexpr llvm::StringLiteral kTimeDistributedAttr =
    "gru.time_distributed";

/// A condition that a layer does not meet.
struct Refusal {
  std::string condition; ///< In words: what was found and what is needed.
  std::string fix;       ///< The edit, in Keras's terms, that would meet it.
};
using Refusals = llvm::SmallVector<Refusal>;

/// One backend's answer; it accepts where there is no refusal.
struct Candidate {
  llvm::StringRef backend;
  Refusals refusals;
  bool isAccepted() const { return refusals.empty(); }
};

struct BackendChoice {
  /// Best first; `reference`, which takes everything, is last.
  llvm::SmallVector<Candidate> candidates;
  /// The first accepted one among those that the target allows.
  llvm::StringRef chosen;
  const Candidate &operator[](llvm::StringRef backend) const;
};

/// Keras's own rule for taking cuDNN, in the words of its documentation. Masks
/// are data and looked at by each run (`areMasksDecidedPerCall`).
llvm::SmallVector<std::string> getKerasCudnnReasons(RecurrentOpInterface layer);

/// One of the conditions under which Keras takes cuDNN, and what becomes of it
/// under cuDNN's real limits.
struct CudnnCondition {
  enum Answer { No, Yes, PerCall };
  llvm::StringRef condition; ///< In Keras's terms, as it is met.
  std::string found;
  Answer keras, ours;
  llvm::StringRef fix; ///< The edit that would meet it.
};

/// All of them, in the order of Keras's documentation.
llvm::SmallVector<CudnnCondition>
getCudnnConditions(RecurrentOpInterface layer);

/// Whether a run's masks can still refuse cuDNN: they must be right-padded.
bool areMasksDecidedPerCall(RecurrentOpInterface layer);

/// Asks every backend about a layer. `target` is what was asked for: the name
/// of a backend, or auto. Only auto minds `problems`, since a program for
/// another machine may be compiled on this one.
BackendChoice chooseBackend(RecurrentOpInterface layer, llvm::StringRef target,
                            const DeviceProblems &problems);

/// The name of a layer, as golden cases and `--explain` have it.
std::string getLayerName(mlir::Operation *layer);

} // namespace gru

#endif // GRU_LOWERING_BACKENDS_BACKENDS_H
