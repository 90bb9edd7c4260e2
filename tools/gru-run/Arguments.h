//===- Arguments.h - the command line of gru-run ----------------*- C++ -*-===//
//
// Options that describe a call (--input, --expected, --reset-states) belong to
// the call that the last --next-call in front of them began.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TOOLS_GRU_RUN_ARGUMENTS_H
#define GRU_TOOLS_GRU_RUN_ARGUMENTS_H

#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gru {

/// One NAME=FILE.
struct NamedFile {
  std::string name, file;
};

struct CallArguments {
  std::vector<NamedFile> inputs, expected;
  /// Before the call.
  bool resetStates = false;
};

struct Arguments {
  std::string model, weights;
  /// At least one.
  std::vector<CallArguments> calls;
  std::string outputDir, weightsDir;
  double atol = 0, rtol = 0;
  std::string target, requireBackend;
  int threads = 1;
  std::string weightType;
  std::string cpu; ///< Empty: this machine's.
  std::string halideSchedule; ///< The text.
  /// 0 where not given.
  int64_t batch = 0, timesteps = 0;
  uint64_t seed = 0;
  bool losses = false, constrain = false, verify = false, time = false;
  bool profile = false, tune = false;
  std::string profileFile; ///< with profile; empty: none
  bool training = false;
  bool allowTF32 = false;
  /// Where not given, the library chooses.
  std::optional<std::string> cacheDir;

  /// Whether any call names an input; otherwise all inputs are random.
  bool hasInputs() const;
};

/// Exits after --help only.
llvm::Expected<Arguments> parseArguments(int argc, char **argv);

} // namespace gru

#endif // GRU_TOOLS_GRU_RUN_ARGUMENTS_H
