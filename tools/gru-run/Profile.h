//===- Profile.h - where the time of a call goes ----------------*- C++ -*-===//

#ifndef GRU_TOOLS_GRU_RUN_PROFILE_H
#define GRU_TOOLS_GRU_RUN_PROFILE_H

#include "Execution.h"

namespace gru {

/// One layer, or the whole call.
struct LayerProfile {
  std::string name; ///< Empty: the whole call.
  double nanoseconds = 0;
  /// Of a call: multiplications and additions; read and written.
  double flops = 0, bytes = 0;
  /// The least time that one core of this machine can take for them.
  double boundNanoseconds = 0;
};

/// Layers in the order of their execution, then the whole call.
using Profile = std::vector<LayerProfile>;

/// Compiles the model once more, with a clock around each layer, and repeats
/// the call for about 0.2 s; times are medians.
llvm::Expected<Profile> profileCall(const Model &model, CompileOptions options,
                                    const Call &call);

void printProfile(llvm::raw_ostream &os, const Profile &profile);

/// As JSON, or for FILE.html as a page that needs nothing else.
llvm::Error writeProfile(llvm::StringRef model, llvm::StringRef file,
                         const Profile &profile);

} // namespace gru

#endif // GRU_TOOLS_GRU_RUN_PROFILE_H
