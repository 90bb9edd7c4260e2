//===- gru-run.cpp - runs a trained model on NumPy arrays -----------------===//
//
// Loads, compiles, runs, compares, writes: in this order, so that nothing is
// written unless everything before it succeeded.
//
//===----------------------------------------------------------------------===//

#include "Arguments.h"
#include "Execution.h"
#include "Profile.h"
#include "Report.h"

#include "compiler/api/Tune.h"

#include "llvm/Support/raw_ostream.h"

#include <chrono>

using namespace gru;
using llvm::format;
using llvm::outs;

using Phases = std::vector<std::pair<std::string, double>>;

/// What was compiled, and how long each phase took.
static void printProgram(const Arguments &arguments, const Program &program,
                         const Phases &phases, double loading) {
  outs() << arguments.model << " for target " << arguments.target << ": "
         << describe(program.inputs()) << " -> " << describe(program.outputs())
         << '\n';
  double sum = loading;
  for (auto &[phase, milliseconds] : phases)
    sum += milliseconds;
  outs() << format("loaded and compiled in %.2f ms: load %.2f", sum, loading);
  for (auto &[phase, milliseconds] : phases)
    outs() << ", " << phase << format(" %.2f", milliseconds);
  outs() << '\n';
}

/// Finds the blocks that run the call fastest; they go into `options`.
static llvm::Error findBlocks(const Model &model, CompileOptions &options,
                              const Call &call) {
  llvm::Error error = llvm::Error::success();
  (void)detail::with_options(options, [&](gru_compile_options &raw) {
    raw.on_phase = {};
    raw.on_remark = {};
    error = tune(
        *model.get(), raw,
        [&](gru_program *program) -> llvm::Expected<double> {
          llvm::Expected<Timing> timing =
              timeCall(Program::adopt(gru_program_retain(program)), call);
          if (!timing)
            return timing.takeError();
          return timing->median;
        },
        outs());
    options.block_width = raw.block_width;
    options.block_rows = raw.block_rows;
    return GRU_OK;
  });
  return error;
}

/// Compares, and where that succeeds writes.
static llvm::Error finish(const Model &model, const Arguments &arguments,
                          const Outputs &outputs) {
  if (llvm::Error error = checkExpected(outs(), arguments, outputs))
    return error;
  if (!arguments.weightsDir.empty())
    if (llvm::Error error = writeWeights(model, arguments))
      return error;
  if (!arguments.outputDir.empty())
    return writeOutputs(arguments, outputs);
  return llvm::Error::success();
}

static llvm::Error run(const Arguments &arguments) {
  auto begin = std::chrono::steady_clock::now();
  llvm::Expected<Model> model = loadModel(arguments);
  if (!model)
    return model.takeError();
  double loading = std::chrono::duration<double, std::milli>(
                       std::chrono::steady_clock::now() - begin)
                       .count();

  if (model->has_initial_weights())
    llvm::errs() << "gru-run: remark: " << arguments.model
                 << ": no weights are given, the layers' initialisers draw "
                    "them\n";
  if (arguments.constrain) {
    llvm::Expected<Outputs> outputs =
        constrainWeights(*model, arguments.calls.front().inputs);
    if (!outputs)
      return outputs.takeError();
    printStatistics(outs(), *outputs);
    return finish(*model, arguments, *outputs);
  }

  llvm::Expected<std::vector<Call>> calls = loadCalls(*model, arguments);
  if (!calls)
    return calls.takeError();
  Phases phases;
  CompileOptions options = getCompileOptions(*model, arguments, *calls);
  options.on_phase = [&](std::string_view phase, double milliseconds) {
    phases.emplace_back(phase, milliseconds);
  };
  options.on_remark = [](std::string_view text) {
    llvm::errs() << "gru-run: remark: " << text << '\n';
  };
  if (arguments.tune)
    if (llvm::Error error = findBlocks(*model, options, calls->front()))
      return error;
  Result<Program> program = compile(*model, options);
  if (!program)
    return toLLVM(program.error());
  llvm::Expected<Outputs> outputs = runCalls(*program, *calls, arguments.seed);
  if (!outputs)
    return outputs.takeError();

  if (arguments.losses)
    if (llvm::Error error = addLosses(*model, *outputs))
      return error;
  printStatistics(outs(), *outputs);
  if (arguments.time) {
    printProgram(arguments, *program, phases, loading);
    llvm::Expected<Timing> timing = timeCall(*program, calls->front());
    if (!timing)
      return timing.takeError();
    printTiming(outs(), *timing);
  }
  if (arguments.profile) {
    llvm::Expected<Profile> profile =
        profileCall(*model, options, calls->front());
    if (!profile)
      return profile.takeError();
    printProfile(outs(), *profile);
    if (!arguments.profileFile.empty())
      if (llvm::Error error =
              writeProfile(arguments.model, arguments.profileFile, *profile))
        return error;
  }
  if (arguments.verify)
    if (llvm::Error error = verify(outs(), *model, arguments, *calls, *outputs))
      return error;
  return finish(*model, arguments, *outputs);
}

int main(int argc, char **argv) {
  llvm::Expected<Arguments> arguments = parseArguments(argc, argv);
  llvm::Error error = arguments ? run(*arguments) : arguments.takeError();
  if (!error)
    return 0;
  outs().flush();
  llvm::errs() << "gru-run: error: " << llvm::toString(std::move(error))
               << '\n';
  return 1;
}
