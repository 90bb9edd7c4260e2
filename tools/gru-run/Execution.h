//===- Execution.h - from arrays to a model's outputs -----------*- C++ -*-===//
//
// The one place of gru-run that talks to the public API.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TOOLS_GRU_RUN_EXECUTION_H
#define GRU_TOOLS_GRU_RUN_EXECUTION_H

#include "Arguments.h"
#include "gru/gru.hpp"
#include "tools/common/Numpy.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <map>
#include <span>

namespace gru {

/// One call of a session, ready to run.
struct Call {
  /// In the order of the model's inputs.
  std::vector<Array> inputs;
  /// Dropout masks by name, which a program for training takes as inputs too.
  std::map<std::string, Array> masks;
  bool resetStates = false;
  /// What the states are reset to, in their order; empty for zeros.
  std::vector<Array> resetValues;
};

/// What each call gives.
struct Outputs {
  std::vector<std::string> names;
  /// By call, in the order of the names.
  std::vector<std::vector<Array>> calls;
};

/// An error of the public API as one of LLVM's.
llvm::Error toLLVM(const Error &error);

/// `'x' [?, ?, 4] f32, ...` for people.
std::string describe(const std::vector<TensorInfo> &tensors);

/// Opens the model that the command line names. For formats whose calls have
/// optional arguments it has those that the first call gives.
llvm::Expected<Model> loadModel(const Arguments &arguments);

/// Reads the inputs that the command line names, or makes random ones, and
/// checks names, dtypes and shapes against the model.
llvm::Expected<std::vector<Call>> loadCalls(const Model &model,
                                            const Arguments &arguments);

/// What the command line asks for; the batch is that of the first input, and so
/// are the timesteps where the model needs to know them.
CompileOptions getCompileOptions(const Model &model, const Arguments &arguments,
                                 std::span<const Call> calls);

/// Runs all calls on one new session. Inputs are converted where the program
/// computes in another float dtype than the model. Dropout masks that are not
/// given are drawn from `seed`.
llvm::Expected<Outputs> runCalls(const Program &program,
                                 std::span<const Call> calls, uint64_t seed);

/// Puts loss_total and losses in the place of the activities that a program
/// with them gives behind the model's outputs.
llvm::Error addLosses(const Model &model, Outputs &outputs);

/// The model's weights, or those among `files` in their place, after its
/// constraints, each as NAME_after. NAME is LAYER/kernel, or kernel where no
/// other weight of the model is one.
llvm::Expected<Outputs> constrainWeights(const Model &model,
                                         std::span<const NamedFile> files);

/// Repeats the call on a session of its own for about 0.2 s and hands each
/// run's nanoseconds and outputs to `observe`.
llvm::Error repeatCall(
    const Program &program, const Call &call,
    llvm::function_ref<void(double nanoseconds, const std::vector<Array> &)>
        observe);

/// How long a call takes, in nanoseconds, and how many steps it has.
struct Timing {
  double median = 0, fastest = 0;
  int64_t calls = 0, steps = 1;
};
llvm::Expected<Timing> timeCall(const Program &program, const Call &call);

} // namespace gru

#endif // GRU_TOOLS_GRU_RUN_EXECUTION_H
