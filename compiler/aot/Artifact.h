//===- Artifact.h - a model compiled ahead of time --------------*- C++ -*-===//
//
// An object file that needs nothing but, rarely, a function of libc or libm:
// the kernel, the packed weights, and functions that C calls. docs/aot.md says
// what a host sees.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_AOT_ARTIFACT_H
#define GRU_COMPILER_AOT_ARTIFACT_H

#include "compiler/import/ModelSource.h"
#include "runtime/Plan.h"

#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

namespace gru {

struct ArtifactOptions {
  /// Prefix of everything that C sees; any text, made an identifier.
  std::string name;
  /// What the model was read from, for the header's first line.
  std::string source;
  /// Leave the weights out of the object; init takes a pointer to them.
  bool externalWeights = false;
  /// Carry the pack program, so that weights can be replaced later.
  bool hotSwap = false;
};

/// What the code, the header and the file of weights are made from.
class Artifact {
public:
  /// Reads the plan of a module from translateModule and packs the weights.
  /// Without `weights` (MLIR text has none) the weights are external and the
  /// pack program is carried. Errors: a weight that does not fit, a target
  /// whose pointers do not have 64 bits.
  static llvm::Expected<Artifact> create(const llvm::Module &module,
                                         llvm::ArrayRef<WeightTensor> weights,
                                         ArtifactOptions options);

  /// An identifier, unless `options.name` was none: then "model".
  const std::string &getName() const { return options.name; }
  const ArtifactOptions &getOptions() const { return options; }
  const runtime::Plan &getPlan() const { return *plan; }
  /// The plan as the artifact carries it.
  llvm::StringRef getPlanBytes() const { return planBytes; }
  /// Empty where nobody knows them.
  llvm::StringRef getPackedWeights() const { return packed; }
  bool hasOwnWeights() const {
    return !options.externalWeights && plan->header().weights_bytes != 0;
  }
  /// Whether a stream can be told to use other weights.
  bool takesWeights() const {
    return plan->header().weights_bytes != 0 &&
           (options.externalWeights || options.hotSwap);
  }

  /// Where state and scratch begin in a stream's memory, after its head.
  static constexpr uint64_t kStateOffset = runtime::kAlignment;
  uint64_t getScratchOffset() const {
    return kStateOffset + runtime::alignUp(plan->header().state_bytes);
  }
  /// Bytes of a stream = fixed + perTimestep * T (+ higher powers, which have a
  /// coefficient each). The element i is the coefficient of T^i.
  std::vector<uint64_t> getStreamBytes() const;
  /// The largest T whose memory any machine could have.
  int64_t getLargestTimesteps() const;

private:
  ArtifactOptions options;
  std::shared_ptr<runtime::Plan> plan;
  std::string planBytes, packed;
};

/// The text as a C identifier.
std::string toIdentifier(llvm::StringRef text);

/// Adds NAME_init, NAME_run and so on to the kernel's module, with plan and
/// weights as constants; everything else becomes internal. `shared` adds what
/// gru_program_load looks for in a library.
void addEntryPoints(llvm::Module &module, const Artifact &artifact,
                    bool shared);

/// The C header that declares them. `module` says the target in a comment.
void writeHeader(const Artifact &artifact, const llvm::Module &module,
                 llvm::raw_ostream &os);

/// Machine code of a module with entry points. Calls of functions that kernels
/// may not call are errors; `needed` gets those of libc and libm that remain.
llvm::Error emitObject(llvm::Module &module, llvm::TargetMachine &machine,
                       llvm::SmallVectorImpl<char> &object,
                       std::vector<std::string> &needed);

/// Links an object to a shared library (ELF) with lld.
llvm::Error linkShared(llvm::ArrayRef<char> object, const llvm::Triple &triple,
                       llvm::StringRef name, llvm::raw_ostream &os);

} // namespace gru

#endif // GRU_COMPILER_AOT_ARTIFACT_H
