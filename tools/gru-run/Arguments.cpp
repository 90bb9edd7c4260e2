//===- Arguments.cpp - the command line of gru-run ------------------------===//

#include "Arguments.h"

#include "tools/common/CommandLine.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>

using namespace gru;
using namespace llvm;

static const char overview[] =
    "Runs a trained GRU model on NumPy arrays.\n"
    "\n"
    "  gru-run model.keras\n"
    "      random inputs; prints shapes and statistics of the outputs\n"
    "  gru-run model.keras --input x=x.npy --output-dir out\n"
    "      writes out/output_0.npy, ...\n"
    "  gru-run model.h5 --input x=data.npz:x --expected output_0=y.npy\n"
    "      fails if |y - e| > atol + rtol * |e| anywhere\n"
    "  gru-run model.keras --input x=a.npy --next-call --input x=b.npy\n"
    "      two calls of one session: a stateful layer goes on where it was\n"
    "\n"
    "FILE is FILE.npy or FILE.npz:KEY. The exit code is 1 after any error or\n"
    "mismatch; nothing is written then.\n";

namespace {
/// Numbers are taken as text: LLVM's own parsers print their errors themselves.
struct Options {
  cl::OptionCategory category{"Options of gru-run"};

  cl::opt<std::string> model{cl::Positional, cl::cat(category),
                             cl::value_desc("MODEL"), cl::desc("<MODEL>")};
  cl::opt<std::string> weights{
      "weights", cl::cat(category), cl::value_desc("FILE"),
      cl::desc("Weights, where the model does not hold them")};
  cl::list<std::string> inputs{"input", cl::cat(category),
                               cl::value_desc("NAME=FILE"),
                               cl::desc("Values of one input of the call")};
  cl::list<std::string> expected{
      "expected", cl::cat(category), cl::value_desc("NAME=FILE"),
      cl::desc("Compare an output of the call with these values")};
  cl::list<bool> nextCall{
      "next-call", cl::cat(category), cl::ValueDisallowed,
      cl::desc("What follows belongs to the next call of the same session")};
  cl::list<bool> resetStates{
      "reset-states", cl::cat(category), cl::ValueDisallowed,
      cl::desc("Reset the states of stateful layers before the call")};
  cl::opt<std::string> outputDir{
      "output-dir", cl::cat(category), cl::value_desc("DIR"),
      cl::desc("Write each output as NAME.npy, or callK_NAME.npy if there are "
               "several calls")};
  cl::opt<std::string> weightsDir{
      "dump-weights", cl::cat(category), cl::value_desc("DIR"),
      cl::desc("Write each weight as it was read; / in a name becomes _")};
  cl::opt<std::string> atol{
      "atol", cl::cat(category), cl::init("1e-5"), cl::value_desc("NUMBER"),
      cl::desc("Absolute tolerance of --expected and --verify (1e-5)")};
  cl::opt<std::string> rtol{
      "rtol", cl::cat(category), cl::init("1e-4"), cl::value_desc("NUMBER"),
      cl::desc("Relative tolerance of --expected and --verify (1e-4)")};
  cl::opt<std::string> target{
      "target", cl::cat(category), cl::init("auto"),
      cl::value_desc("cpu|halide|cudnn|gpu|reference|auto"),
      cl::desc("What to compile for: this machine's CPU, the same with steps "
               "by Halide, plain loops in float64, or the best there is "
               "(default)")};
  cl::opt<std::string> requireBackend{
      "require-backend", cl::cat(category), cl::value_desc("NAME"),
      cl::desc("Fail if any recurrent layer runs elsewhere")};
  cl::opt<std::string> weightType{
      "weight-type", cl::cat(category), cl::value_desc("bf16|int8"),
      cl::desc("Store float32 kernels in fewer bytes")};
  cl::opt<std::string> cpu{
      "mcpu", cl::cat(category), cl::value_desc("NAME"),
      cl::desc("LLVM's name of a CPU whose instructions this machine has "
               "(default: this machine's)")};
  cl::opt<std::string> halideSchedule{
      "halide-schedule", cl::cat(category), cl::value_desc("FILE"),
      cl::desc("Schedules of target halide, as gru-opt --emit=halide-schedule "
               "prints them")};
  cl::opt<std::string> threads{"threads", cl::cat(category), cl::init("1"),
                               cl::value_desc("N"),
                               cl::desc("Threads of a run (1)")};
  cl::opt<std::string> batch{
      "batch", cl::cat(category), cl::value_desc("N"),
      cl::desc("Rows to compile for; by default those of the first input, or "
               "1 with random inputs")};
  cl::opt<std::string> timesteps{
      "timesteps", cl::cat(category), cl::value_desc("N"),
      cl::desc("Compile for just this length; by default it stays open, and "
               "random inputs have 16 steps")};
  cl::opt<std::string> seed{
      "seed", cl::cat(category), cl::init("1"), cl::value_desc("N"),
      cl::desc("Seed of random inputs and of dropout masks (1)")};
  cl::opt<bool> losses{
      "losses", cl::cat(category),
      cl::desc("Compute Keras's regularisation losses as well: two more "
               "outputs, losses and their sum loss_total")};
  cl::opt<bool> constrain{
      "constrain", cl::cat(category),
      cl::desc("Instead of running the model apply its constraints: the "
               "outputs are the weights, as NAME_after, the inputs weights to "
               "take in place of the model's")};
  cl::opt<bool> allowTF32{
      "allow-tf32", cl::cat(category),
      cl::desc("On a device: let float32 products be rounded to TF32")};
  cl::opt<bool> training{
      "training", cl::cat(category),
      cl::desc("Run as in training, where dropout acts. Masks may be given as "
               "inputs: dropout_mask, LAYER/dropout_mask, ...")};
  cl::opt<std::string> cacheDir{
      "cache-dir", cl::cat(category), cl::value_desc("DIR"),
      cl::desc("Keep compiled kernels here; empty: nowhere (by default "
               "$GRU_CACHE_DIR, else gru in $XDG_CACHE_HOME or ~/.cache)")};
  cl::opt<bool> verify{
      "verify", cl::cat(category),
      cl::desc("Run the reference target in float64 as well and print the "
               "largest error of each output")};
  cl::opt<bool> profile{
      "profile", cl::cat(category),
      cl::desc("Print for each layer its time, operations and bytes, and how "
               "near it comes to what this machine can do")};
  cl::opt<std::string> profileFile{
      "profile-file", cl::cat(category), cl::value_desc("FILE"),
      cl::desc("Write that as well, as JSON or to FILE.html as a page with "
               "bars")};
  cl::opt<bool> tune{
      "tune", cl::cat(category),
      cl::desc("Try other register blocks than the cost model's, for the call "
               "given, and keep the fastest in the cache for later")};
  cl::opt<bool> time{
      "time", cl::cat(category),
      cl::desc("Print the time of compiling by phase, of a call and of a "
               "step")};
};
} // namespace

bool Arguments::hasInputs() const {
  return any_of(calls,
                [](const CallArguments &call) { return !call.inputs.empty(); });
}

static Expected<NamedFile> splitNamedFile(StringRef option, StringRef text) {
  auto [name, file] = text.split('=');
  if (name.empty() || file.empty())
    return createStringError("--" + option + ": found '" + text +
                             "', expected NAME=FILE");
  return NamedFile{name.str(), file.str()};
}

/// The number of the call that the argument at `position` belongs to.
static size_t getCall(const cl::list<bool> &nextCall, unsigned position) {
  size_t call = 0;
  while (call < nextCall.size() && nextCall.getPosition(call) < position)
    ++call;
  return call;
}

static Error groupByCall(const Options &options, Arguments &arguments) {
  arguments.calls.resize(options.nextCall.size() + 1);
  auto add = [&](const cl::list<std::string> &list, StringRef option,
                 std::vector<NamedFile> CallArguments::*member) -> Error {
    for (size_t i = 0; i < list.size(); ++i) {
      Expected<NamedFile> file = splitNamedFile(option, list[i]);
      if (!file)
        return file.takeError();
      std::vector<NamedFile> &files =
          arguments.calls[getCall(options.nextCall, list.getPosition(i))].*
          member;
      if (any_of(files, [&](auto &f) { return f.name == file->name; }))
        return createStringError("--" + option + ": '" + file->name +
                                 "' is given twice for one call");
      files.push_back(std::move(*file));
    }
    return Error::success();
  };
  if (Error error = add(options.inputs, "input", &CallArguments::inputs))
    return error;
  if (Error error = add(options.expected, "expected", &CallArguments::expected))
    return error;
  for (size_t i = 0; i < options.resetStates.size(); ++i)
    arguments
        .calls[getCall(options.nextCall, options.resetStates.getPosition(i))]
        .resetStates = true;
  return Error::success();
}

/// A whole number of at least `least`; `result` stays where none is given.
template <typename T>
static Error parse(const cl::opt<std::string> &option, T least, T &result) {
  if (option.empty() && !option.getNumOccurrences())
    return Error::success();
  if (StringRef(option).getAsInteger(10, result) || result < least)
    return createStringError("--" + option.ArgStr + ": found '" + option +
                             "', expected a whole number of at least " +
                             Twine(least));
  return Error::success();
}

static Error parse(const cl::opt<std::string> &option, double &result) {
  if (StringRef(option).getAsDouble(result) || !std::isfinite(result) ||
      result < 0)
    return createStringError("--" + option.ArgStr + ": found '" + option +
                             "', expected a number that is not negative");
  return Error::success();
}

static Error parseNumbers(const Options &options, Arguments &arguments) {
  if (Error error = parse<int64_t>(options.batch, 1, arguments.batch))
    return error;
  if (Error error = parse<int64_t>(options.timesteps, 1, arguments.timesteps))
    return error;
  if (Error error = parse(options.threads, 1, arguments.threads))
    return error;
  if (Error error = parse<uint64_t>(options.seed, 0, arguments.seed))
    return error;
  if (Error error = parse(options.atol, arguments.atol))
    return error;
  return parse(options.rtol, arguments.rtol);
}

/// The one line that says what is wrong, from what LLVM prints.
static std::string getFirstLine(StringRef messages, StringRef program) {
  StringRef line = messages.ltrim().split('\n').first;
  line.consume_front(program);
  line.consume_front(": ");
  line = line.split("  Try:").first.rtrim(".! ");
  std::string text = line.str();
  if (!text.empty())
    text.front() = toLower(text.front());
  return text;
}

Expected<Arguments> gru::parseArguments(int argc, char **argv) {
  removeLLVMOptions();
  Options options;
  cl::HideUnrelatedOptions(options.category);
  std::string messages;
  raw_string_ostream os(messages);
  if (!cl::ParseCommandLineOptions(argc, argv, overview, &os)) {
    // An option without its value is the one error that LLVM prints itself.
    std::string line = getFirstLine(messages, sys::path::filename(argv[0]));
    return createStringError(line.empty() ? "see gru-run --help"
                                          : line + " (see gru-run --help)");
  }
  if (options.model.empty())
    return createStringError("no model, expected gru-run MODEL ... (see "
                             "gru-run --help)");

  Arguments arguments;
  arguments.model = options.model;
  arguments.weights = options.weights;
  arguments.outputDir = options.outputDir;
  arguments.weightsDir = options.weightsDir;
  arguments.target = options.target;
  arguments.requireBackend = options.requireBackend;
  arguments.losses = options.losses;
  arguments.constrain = options.constrain;
  arguments.training = options.training;
  arguments.allowTF32 = options.allowTF32;
  arguments.weightType = options.weightType;
  arguments.cpu = options.cpu;
  Expected<std::string> schedule =
      readOptionFile("halide-schedule", options.halideSchedule);
  if (!schedule)
    return schedule.takeError();
  arguments.halideSchedule = std::move(*schedule);
  if (options.cacheDir.getNumOccurrences())
    arguments.cacheDir = options.cacheDir;
  arguments.verify = options.verify;
  arguments.time = options.time;
  arguments.tune = options.tune;
  arguments.profileFile = options.profileFile;
  arguments.profile = options.profile || !arguments.profileFile.empty();
  if (Error error = parseNumbers(options, arguments))
    return std::move(error);
  if (Error error = groupByCall(options, arguments))
    return std::move(error);
  if (arguments.constrain && arguments.calls.size() > 1)
    return createStringError("--constrain: found --next-call, expected one "
                             "call, which is no run of the model");
  return arguments;
}
