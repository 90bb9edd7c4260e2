//===- gru-opt.cpp - mlir-opt for gru, which also reads model files -------===//

#include "Emit.h"

#include "compiler/jit/SparseKernels.h"
#include "tools/common/CommandLine.h"

#include "mlir/Dialect/Func/Extensions/AllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace gru;
namespace cl = llvm::cl;

static constexpr StringLiteral overview =
    "gru-opt: compiles GRU models and shows every stage\n\n"
    "  gru-opt model.keras                           the imported MLIR\n"
    "  gru-opt model.keras --target=cpu --batch=1    lowered for this machine\n"
    "  gru-opt model.keras --target=cpu --emit=asm   its assembly\n"
    "  gru-opt model.keras --emit=obj -o model.o     for C, with --emit=header\n"
    "  gru-opt model.keras --explain                 what is chosen, and why\n"
    "  gru-opt file.mlir --PASS ...                  as mlir-opt\n\n"
    "INPUT is MLIR or a model file (.keras, .h5, JSON,\n"
    ".onnx, .safetensors, .pt).\n";

namespace {
struct Options {
  cl::OptionCategory category{"gru-opt", "Compiling models"};
  cl::opt<std::string> weights{"weights", cl::cat(category),
                               cl::value_desc("file"),
                               cl::desc("Weights of a model that is a config")};
  cl::list<std::string> inputs{
      "inputs", cl::cat(category), cl::CommaSeparated, cl::value_desc("names"),
      cl::desc("What calls give beside x, where a model leaves it open: mask, "
               "initial_state, h0, ... as --input of gru-run")};
  cl::opt<std::string> target{
      "target", cl::cat(category), cl::value_desc("name"),
      cl::desc(
          "Lower for cpu, cudnn, gpu, halide, halide-cuda, reference or auto")};
  cl::opt<std::string> halideSchedule{
      "halide-schedule", cl::cat(category), cl::value_desc("file"),
      cl::desc("Schedules for Halide's functions, as --emit=halide-schedule "
               "prints them")};
  cl::opt<std::string> requireBackend{
      "require-backend", cl::cat(category), cl::value_desc("name"),
      cl::desc("Fail unless this backend is chosen")};
  cl::opt<bool> allowTF32{
      "allow-tf32", cl::cat(category),
      cl::desc("On a device: let float32 products be rounded to TF32")};
  cl::opt<int64_t> batch{"batch", cl::cat(category),
                         cl::desc("Rows of every run (with a target: 1 where "
                                  "the model leaves it open)")};
  cl::opt<bool> training{
      "training", cl::cat(category),
      cl::desc("Import a model for training, where dropout acts")};
  cl::opt<int64_t> timesteps{
      "timesteps", cl::cat(category),
      cl::desc("Timesteps of every run (default: open)")};
  cl::opt<int64_t> threads{"threads", cl::cat(category), cl::init(1),
                           cl::desc("Threads that may share a run, where it "
                                    "pays")};
  cl::opt<std::string> weightType{
      "weight-type", cl::cat(category), cl::value_desc("bf16|int8"),
      cl::desc("Store float32 kernels in fewer bytes")};
  cl::opt<int64_t> width{"block-width", cl::cat(category),
                         cl::desc("Units per block, instead of the cost "
                                  "model's choice")};
  cl::opt<int64_t> rows{"block-rows", cl::cat(category),
                        cl::desc("Rows computed together, instead of the cost "
                                 "model's choice")};
  cl::opt<std::string> cpu{"mcpu", cl::cat(category), cl::value_desc("cpu"),
                           cl::desc("LLVM's name of the CPU (default: this "
                                    "machine's)")};
  cl::opt<std::string> triple{"mtriple", cl::cat(category),
                              cl::value_desc("triple"),
                              cl::desc("Target triple (default: this "
                                       "machine's)")};
  cl::opt<std::string> stopAfter{
      "stop-after", cl::cat(category), cl::value_desc("phase"),
      cl::desc(
          "cpu: stop after specialize, legalize, sequence, buffers, loops, "
          "vector or llvm. reference: go that far with the cpu pipeline, "
          "in float64, before the reference loops")};
  cl::opt<EmitKind> emit{
      "emit", cl::cat(category), cl::desc("What to write (default: mlir)"),
      cl::init(EmitKind::MLIR),
      cl::values(
          clEnumValN(EmitKind::MLIR, "mlir", "the lowered MLIR"),
          clEnumValN(EmitKind::LLVM, "llvm", "LLVM IR"),
          clEnumValN(EmitKind::Assembly, "asm", "assembly"),
          clEnumValN(EmitKind::PTX, "ptx",
                     "the kernels of layers that the target gpu takes"),
          clEnumValN(EmitKind::Object, "obj",
                     "an object that C programs link, with the weights"),
          clEnumValN(EmitKind::Shared, "shared", "a shared library"),
          clEnumValN(EmitKind::Header, "header",
                     "the C header of obj and shared"),
          clEnumValN(EmitKind::Weights, "weights",
                     "the packed weights, for --external-weights"),
          clEnumValN(EmitKind::HalideStatement, "halide-stmt",
                     "Halide's functions as its lowered statements"),
          clEnumValN(EmitKind::HalideAssembly, "halide-asm",
                     "their assembly, by Halide's code generator"),
          clEnumValN(EmitKind::HalideObject, "halide-obj", "their object file"),
          clEnumValN(EmitKind::HalideHeader, "halide-header",
                     "the C header of that object file"),
          clEnumValN(EmitKind::HalideSchedule, "halide-schedule",
                     "their schedules"))};
  cl::opt<std::string> name{
      "name", cl::cat(category), cl::value_desc("identifier"),
      cl::desc("Prefix of what C sees in obj, shared and header (default: the "
               "output's name)")};
  cl::opt<bool> externalWeights{
      "external-weights", cl::cat(category),
      cl::desc("Leave the weights out of obj and shared; init takes them")};
  cl::opt<bool> hotSwap{
      "hot-swap", cl::cat(category),
      cl::desc("Let obj and shared replace their weights later")};
  cl::opt<ExplainKind> explain{
      "explain",
      cl::cat(category),
      cl::ValueOptional,
      cl::desc("Print the backend of each recurrent layer and why the others "
               "were not taken"),
      cl::init(ExplainKind::None),
      cl::values(clEnumValN(ExplainKind::Text, "", "as a table"),
                 clEnumValN(ExplainKind::Text, "text", "as a table"),
                 clEnumValN(ExplainKind::JSON, "json", "as JSON"))};
  cl::opt<bool> time{"time", cl::cat(category),
                     cl::desc("Print the duration of each phase to stderr")};

  bool compiles() const {
    return target.getNumOccurrences() || emit.getNumOccurrences() ||
           explain.getNumOccurrences() || requireBackend.getNumOccurrences() ||
           halideSchedule.getNumOccurrences();
  }

  llvm::Expected<EmitOptions> get() const {
    EmitOptions result;
    // Objects for C can have no device, and are for other machines as well.
    bool forC = emit >= EmitKind::Object && emit <= EmitKind::Weights;
    std::string asked = target == "auto" || target.empty()
                            ? (forC ? "cpu" : "auto")
                            : std::string(target);
    // Looking at a program needs no device.
    llvm::Expected<std::string> backend =
        resolveTarget(asked, /*forThisMachine=*/false);
    if (!backend)
      return backend.takeError();
    bool ofHalide = emit >= EmitKind::HalideStatement;
    if (ofHalide && !StringRef(*backend).starts_with("halide"))
      return llvm::createStringError("emit: is of Halide, expected with "
                                     "--target=halide or halide-cuda");
    if (*backend == "halide-cuda" &&
        (!ofHalide || emit == EmitKind::HalideAssembly) &&
        emit != EmitKind::MLIR && emit != EmitKind::PTX)
      return llvm::createStringError(
          "emit: target halide-cuda makes functions for C, expected mlir, ptx, "
          "halide-stmt, halide-obj, halide-header or halide-schedule");
    llvm::Expected<std::string> schedule =
        readOptionFile("halide-schedule", halideSchedule);
    if (!schedule)
      return schedule.takeError();
    result.target.halideSchedule = std::move(*schedule);
    for (auto [name, value] : {std::pair<StringRef, int64_t>{"batch", batch},
                               {"timesteps", timesteps},
                               {"threads", threads},
                               {"block-width", width},
                               {"block-rows", rows}})
      if (value < 0 || value > (int64_t(1) << 31))
        return llvm::createStringError(name + ": is " + std::to_string(value) +
                                       ", expected 1 or more");
    result.target.backend = *backend;
    result.target.requireBackend = requireBackend;
    if (asked == "auto")
      result.target.deviceProblems = getDeviceProblems();
    result.askedTarget = asked;
    result.target.allowTF32 = allowTF32;
    result.target.triple = triple;
    result.target.cpu = cpu;
    result.target.batch = batch;
    result.target.timesteps = timesteps;
    result.target.threads = std::max<int64_t>(threads, 1);
    result.target.weightType = weightType;
    result.target.width = width;
    result.target.rows = rows;
    result.target.stopAfter = stopAfter;
    result.kind = emit;
    result.explain = explain;
    result.time = time;
    result.artifact.name = name;
    result.artifact.externalWeights = externalWeights;
    result.artifact.hotSwap = hotSwap;
    return result;
  }
};
} // namespace

/// libLLVM registers options of its own under a few of these names; ours mean
/// what docs and tests say. The others, thousands of them, still work but do
/// not drown ours in --help.
static void removeClashingOptions() {
  auto &registered = cl::getRegisteredOptions();
  for (auto &[name, option] : registered)
    if (!name.starts_with("help"))
      option->setHiddenFlag(cl::ReallyHidden);
  for (StringRef name : {"target", "batch", "threads", "time", "mcpu",
                         "mtriple", "inputs", "stop-after", "emit", "explain",
                         "weights", "name", "external-weights", "hot-swap"})
    if (auto it = registered.find(name); it != registered.end())
      it->second->removeArgument();
}

static void printRemark(StringRef remark) {
  llvm::errs() << "gru-opt: remark: " << remark << "\n";
}

static llvm::Error run(const Options &options, StringRef inputName,
                       StringRef outputName, DialectRegistry &registry) {
  llvm::Expected<EmitOptions> emit = options.get();
  if (!emit)
    return emit.takeError();
  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> input =
      openInputFile(inputName, &message);
  if (!input)
    return llvm::createStringError(message);

  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<ModelSource> model; // Owns the weights.
  bool isModel = isModelFile(inputName, input->getBuffer());
  if (!isModel && options.weights.getNumOccurrences())
    return llvm::createStringError(
        "weights: MLIR is compiled without, expected with a model file only");
  // Importing may need files beside the model, so it goes by name.
  if (isModel) {
    std::vector<std::string> inputs(options.inputs.begin(),
                                    options.inputs.end());
    llvm::Expected<std::unique_ptr<ModelSource>> source =
        openModel(inputName, options.weights, inputs);
    if (!source)
      return source.takeError();
    // Shapes behind operations of other dialects follow only from a batch that
    // is known at import.
    model = std::move(*source);
    if (options.compiles() && emit->target.batch == 0 &&
        emit->explain == ExplainKind::None)
      emit->target.batch = model->getDefaultBatch();
    emit->weights = model->getWeights();
    ImportOptions import;
    import.batch = options.compiles() ? emit->target.batch : options.batch;
    import.timesteps = options.timesteps;
    import.training = options.training;
    llvm::Expected<OwningOpRef<ModuleOp>> imported =
        model->import(context, import);
    if (!imported)
      return imported.takeError();
    module = std::move(*imported);
    if (options.compiles()) {
      chooseSparseKernels(model->getWeights(), emit->target, printRemark);
      markSparseKernels(*module, emit->target);
    }
  }

  std::unique_ptr<llvm::ToolOutputFile> output =
      openOutputFile(outputName, &message);
  if (!output)
    return llvm::createStringError(message);
  if (!options.compiles()) {
    if (options.stopAfter.getNumOccurrences())
      return llvm::createStringError(
          "stop-after: nothing is lowered, expected with --target or --emit");
    // mlir-opt itself, on the text of the imported module for a model file.
    if (isModel) {
      std::string text;
      llvm::raw_string_ostream os(text);
      module->print(os, OpPrintingFlags().enableDebugInfo());
      input = llvm::MemoryBuffer::getMemBufferCopy(text, inputName);
    }
    MlirOptMainConfig config = MlirOptMainConfig::createFromCLOptions();
    // A null error: MLIR has printed what is wrong.
    if (failed(MlirOptMain(output->os(), std::move(input), registry, config)))
      return llvm::createStringError("");
    output->keep();
    return llvm::Error::success();
  }

  // Of a model file people know the layers, of MLIR its lines.
  auto sources = std::make_shared<llvm::SourceMgr>();
  std::optional<DiagnosticCollector> ofLayers;
  std::optional<SourceMgrDiagnosticHandler> ofLines;
  if (isModel) {
    ofLayers.emplace(context, printRemark);
  } else {
    ofLines.emplace(*sources, &context);
    sources->AddNewSourceBuffer(std::move(input), SMLoc());
    module = parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
    if (!module)
      return llvm::createStringError("");
  }
  if (emit->target.batch == 0 && emit->explain == ExplainKind::None)
    emit->target.batch = defaultBatch(*module);
  emit->artifact.source = llvm::sys::path::filename(inputName);
  // Header and object are written by two calls that must agree on a name.
  if (emit->artifact.name.empty())
    emit->artifact.name =
        llvm::sys::path::stem(outputName == "-" ? inputName : outputName);
  if (llvm::Error error = emitModule(*module, *emit, output->os())) {
    if (isModel)
      return ofLayers->takeError(llvm::toString(std::move(error)));
    return error;
  }
  output->keep();
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  DialectRegistry registry;
  registerCompilerDialects(registry);
  func::registerAllExtensions(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerAllPasses();
  registerPassesAndPipelines();
  removeClashingOptions();
  Options options;
  auto [inputName, outputName] =
      registerAndParseCLIOptions(argc, argv, overview, registry);
  if (llvm::Error error = run(options, inputName, outputName, registry)) {
    std::string message = llvm::toString(std::move(error));
    if (!message.empty())
      llvm::errs() << "gru-opt: error: " << message << "\n";
    return 1;
  }
  return 0;
}
