//===- Emit.cpp - gru-opt with a target: compile and print ----------------===//

#include "Emit.h"

#include "compiler/explain/Explain.h"
#include "dialect/GRUDialect.h"
#include "dialect/GRUDeviceOps.h"

#include "lowering/halide/Kernels.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"

#include <chrono>

using namespace mlir;
using namespace gru;

bool gru::isModelFile(StringRef name, StringRef bytes) {
  StringRef extension = llvm::sys::path::extension(name);
  for (StringRef known : {".keras", ".h5", ".hdf5", ".json", ".onnx",
                          ".safetensors", ".pt", ".pth"})
    if (extension == known)
      return true;
  // MLIR may start with a block of attributes in braces, but not with a string.
  return bytes.starts_with("PK\x03\x04") || bytes.starts_with("\x89HDF") ||
         bytes.ltrim().starts_with("{\"");
}

int64_t gru::defaultBatch(ModuleOp module) {
  bool open = false;
  module.walk([&](func::FuncOp func) {
    for (auto [number, type] : llvm::enumerate(func.getArgumentTypes())) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      open |= tensor && func.getArgAttr(number, kNameAttr) &&
              tensor.getRank() > 0 && tensor.isDynamicDim(0);
    }
  });
  return open ? 1 : 0;
}

/// The kernels of a module that was lowered to buffers and device calls.
static llvm::Error printPTX(ModuleOp module, llvm::raw_ostream &os) {
  bool found = false;
  module.walk([&](DeviceRnnOp op) {
    if (StringAttr code = op.getCodeAttr()) {
      os << code.getValue();
      found = true;
    }
  });
  module.walk([&](DeviceKernelOp op) { os << op.getCode(); });
  if (!found)
    return llvm::createStringError(
        "emit: ptx, but no layer needs a kernel of ours "
        "(see --explain)");
  return llvm::Error::success();
}

static llvm::Error emitHalide(ModuleOp module,
                              const llvm::TargetMachine &machine, EmitKind kind,
                              llvm::raw_ostream &os) {
  if (kind == EmitKind::HalideSchedule) {
    os << printHalideSchedules(module);
    return llvm::Error::success();
  }
  HalideOutput output =
      kind == EmitKind::HalideAssembly ? HalideOutput::Assembly
      : kind == EmitKind::HalideObject ? HalideOutput::Object
      : kind == EmitKind::HalideHeader ? HalideOutput::Header
                                       : HalideOutput::Statement;
  llvm::Expected<std::string> text = generateHalide(module, machine, output);
  if (!text)
    return text.takeError();
  os << *text;
  return llvm::Error::success();
}

/// What is compiled ahead of time.
static llvm::Error emitArtifact(llvm::Module &module,
                                llvm::TargetMachine &machine,
                                const EmitOptions &options,
                                llvm::function_ref<void()> codegenDone,
                                llvm::raw_ostream &os) {
  if (options.target.threads > 1)
    return llvm::createStringError(
        "threads: is " + std::to_string(options.target.threads) +
        ", expected 1: what is compiled ahead of time runs on its caller's "
        "thread");
  llvm::Expected<Artifact> artifact =
      Artifact::create(module, options.weights, options.artifact);
  if (!artifact)
    return artifact.takeError();
  if (!artifact->getPlan().parts().empty() &&
      options.kind != EmitKind::Shared && options.kind != EmitKind::Weights)
    return llvm::createStringError(
        "emit: a program for a device needs the runtime, expected shared (for "
        "gru_program_load) or a target without devices");
  if (options.kind == EmitKind::Header) {
    writeHeader(*artifact, module, os);
    return llvm::Error::success();
  }
  if (options.kind == EmitKind::Weights) {
    if (artifact->getPackedWeights().empty())
      return llvm::createStringError(
          "emit: weights needs a model that has weights");
    os << artifact->getPackedWeights();
    return llvm::Error::success();
  }
  bool shared = options.kind == EmitKind::Shared;
  addEntryPoints(module, *artifact, shared);
  llvm::SmallVector<char, 0> object;
  std::vector<std::string> needed;
  if (llvm::Error error = emitObject(module, machine, object, needed))
    return error;
  codegenDone();
  if (options.time) {
    llvm::errs() << "bytes: weights "
                 << artifact->getPlan().header().weights_bytes << ", stream ";
    for (auto [power, bytes] : llvm::enumerate(artifact->getStreamBytes()))
      if (bytes != 0)
        llvm::errs() << (power ? " + " : "") << bytes
                     << (power == 0   ? ""
                         : power == 1 ? " per timestep"
                                      : " per product of timesteps");
    llvm::errs() << "\nneeds: "
                 << (needed.empty() ? "nothing" : llvm::join(needed, ", "))
                 << "\n";
  }
  if (shared)
    return linkShared(object, machine.getTargetTriple(), artifact->getName(),
                      os);
  os.write(object.data(), object.size());
  return llvm::Error::success();
}

llvm::Error gru::emitModule(ModuleOp module, const EmitOptions &options,
                            llvm::raw_ostream &os) {
  const CompileTarget &target = options.target;
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createTargetMachine(target);
  if (!machine)
    return machine.takeError();
  llvm::Expected<PipelineOptions> pipeline =
      getPipelineOptions(target, **machine);
  if (!pipeline)
    return pipeline.takeError();
  if (options.explain != ExplainKind::None) {
    ExplainOptions explain{options.askedTarget, getDeviceProblems(),
                           target.batch};
    if (options.explain == ExplainKind::JSON)
      explainAsJSON(module, explain, os);
    else
      explainAsText(module, explain, os);
    if (target.requireBackend.empty())
      return llvm::Error::success();
  }

  auto begin = std::chrono::steady_clock::now();
  auto report = [&](StringRef phase, double milliseconds) {
    if (options.time)
      llvm::errs() << llvm::format("%-10s %8.3f ms\n", phase.str().c_str(),
                                   milliseconds);
  };
  PassManager pm(module.getContext());
  // --verify-each, --mlir-print-ir-after-all and their like.
  if (failed(applyPassManagerCLOptions(pm)))
    return llvm::createStringError("the pass manager refuses its options");
  applyDefaultTimingPassManagerCLOptions(pm); // --mlir-timing
  bool functionsOnly = target.backend == "halide-cuda";
  if (functionsOnly)
    pipeline->stopAfter = Phase::Vector;
  else if (options.kind == EmitKind::PTX)
    pipeline->stopAfter = Phase::Buffers;
  buildPipeline(pm, *pipeline);
  // Diagnostics go to the user as mlir-opt prints them.
  if (failed(pm.run(module)))
    return llvm::createStringError("lowering for target '" + target.backend +
                                   "' failed");
  // Only whether the required backend takes every layer was asked.
  if (options.explain != ExplainKind::None)
    return llvm::Error::success();
  report("lower", std::chrono::duration<double, std::milli>(
                      std::chrono::steady_clock::now() - begin)
                      .count());
  if (options.kind == EmitKind::PTX && functionsOnly) {
    llvm::Expected<std::string> text = generateHalidePTX(module, **machine);
    if (!text)
      return text.takeError();
    os << *text;
    return llvm::Error::success();
  }
  if (options.kind == EmitKind::PTX)
    return printPTX(module, os);
  if (options.kind == EmitKind::MLIR) {
    module.print(os);
    os << "\n";
    return llvm::Error::success();
  }

  if (options.kind >= EmitKind::HalideStatement)
    return emitHalide(module, **machine, options.kind, os);

  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> llvmModule =
      translateModule(module, context, **machine, report);
  if (!llvmModule)
    return llvmModule.takeError();
  if (options.kind == EmitKind::LLVM) {
    (*llvmModule)->print(os, nullptr);
    return llvm::Error::success();
  }
  begin = std::chrono::steady_clock::now();
  auto codegenDone = [&] {
    report("codegen", std::chrono::duration<double, std::milli>(
                          std::chrono::steady_clock::now() - begin)
                          .count());
  };
  if (options.kind == EmitKind::Assembly) {
    llvm::SmallVector<char, 0> code;
    if (llvm::Error error = emitCode(**llvmModule, **machine,
                                     llvm::CodeGenFileType::AssemblyFile, code))
      return error;
    codegenDone();
    os.write(code.data(), code.size());
    return llvm::Error::success();
  }
  return emitArtifact(**llvmModule, **machine, options, codegenDone, os);
}
