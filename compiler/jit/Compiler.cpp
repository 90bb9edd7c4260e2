//===- Compiler.cpp - from a model's IR to machine code -------------------===//

#include "compiler/jit/Compiler.h"

#include "compiler/jit/PlanWriter.h"
#include "dialect/GRUDialect.h"
#include "lowering/common/LLVMPasses.h"
#include "lowering/halide/Kernels.h"
#include "runtime/cuda/Driver.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"
#include "llvm/Transforms/IPO/AlwaysInliner.h"

#include <chrono>
#include <mutex>

using namespace mlir;
using namespace gru;

//===----------------------------------------------------------------------===//
// Target
//===----------------------------------------------------------------------===//

DeviceProblems gru::getDeviceProblems() {
  return {runtime::cuda::cudnnProblem(), runtime::cuda::deviceProblem()};
}

llvm::Expected<std::string> gru::resolveTarget(StringRef target,
                                               bool forThisMachine) {
  if (target.empty() || target == "auto")
    return runtime::cuda::cudnnProblem().empty()    ? "cudnn"
           : runtime::cuda::deviceProblem().empty() ? "gpu"
                                                    : "cpu";
  if (target == "cudnn" || target == "gpu") {
    const std::string &problem = target == "cudnn"
                                     ? runtime::cuda::cudnnProblem()
                                     : runtime::cuda::deviceProblem();
    if (forThisMachine && !problem.empty())
      return llvm::createStringError(
          "target: is '" + target +
          "', which this machine cannot run: " + problem + "; use auto or cpu");
    return target.str();
  }
  if (target == "halide") {
    if (forThisMachine)
      if (llvm::Error error = checkHalideAvailable())
        return llvm::createStringError("target: is 'halide', but " +
                                       llvm::toString(std::move(error)));
    return target.str();
  }
  if (target == "halide-cuda") {
    // Its functions bring Halide's runtime, which is not one of ours.
    if (const std::string &problem = runtime::cuda::deviceProblem();
        forThisMachine && !problem.empty())
      return llvm::createStringError("target: is 'halide-cuda', which this "
                                     "machine cannot run: " +
                                     problem + "; use auto or cpu");
    if (forThisMachine)
      return llvm::createStringError(
          "target: is 'halide-cuda', which makes functions for programs in C "
          "(gru-opt --emit=halide-obj) and runs none here; use gpu");
    return target.str();
  }
  if (target != "cpu" && target != "reference")
    return llvm::createStringError(
        "target: is '" + target +
        "', expected auto, cpu, cudnn, gpu, halide, halide-cuda or reference");
  return target.str();
}

/// Where macOS is named without a version, objects would not say which system
/// they are for, and its linker asks: the first that is not too old to build
/// for.
static llvm::Triple withVersion(llvm::Triple triple) {
  if (triple.isMacOSX() && triple.getOSMajorVersion() == 0)
    triple.setOSName(triple.isAArch64() ? "macosx11.0" : "macosx10.13");
  return triple;
}

Machine gru::getMachine(const CompileTarget &target) {
  if (!target.triple.empty() || (!target.cpu.empty() && target.cpu != "native"))
    return {withVersion(llvm::Triple(target.triple.empty()
                                         ? llvm::sys::getProcessTriple()
                                         : target.triple)),
            target.cpu, ""};
  static const Machine host = [] {
    llvm::SubtargetFeatures features;
    for (auto &feature : llvm::sys::getHostCPUFeatures())
      features.AddFeature(feature.first(), feature.second);
    // The order is that of a hash table.
    std::vector<std::string> names = features.getFeatures();
    llvm::sort(names);
    return Machine{llvm::Triple(llvm::sys::getProcessTriple()),
                   llvm::sys::getHostCPUName().str(), llvm::join(names, ",")};
  }();
  return host;
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
gru::createTargetMachine(const CompileTarget &target) {
  static std::once_flag initialised;
  std::call_once(initialised, [] {
  // Only those that kernels are made for: all others would be half of a
  // library that LLVM is linked into.
#define GRU_INITIALIZE(NAME)                                                   \
  LLVMInitialize##NAME##TargetInfo();                                          \
  LLVMInitialize##NAME##Target();                                              \
  LLVMInitialize##NAME##TargetMC();                                            \
  LLVMInitialize##NAME##AsmPrinter();                                          \
  LLVMInitialize##NAME##AsmParser()
    GRU_INITIALIZE(X86);
    GRU_INITIALIZE(AArch64);
#undef GRU_INITIALIZE
  });
  auto [triple, cpu, features] = getMachine(target);
  std::string problem;
  const llvm::Target *llvmTarget =
      llvm::TargetRegistry::lookupTarget(triple, problem);
  if (!llvmTarget)
    return llvm::createStringError("mtriple: " + problem);
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      llvmTarget->createMCSubtargetInfo(triple, "", ""));
  if (!cpu.empty() && subtarget && !subtarget->isCPUStringValid(cpu))
    return llvm::createStringError("mcpu: '" + cpu + "' is no CPU of " +
                                   triple.str());
  std::unique_ptr<llvm::TargetMachine> machine(llvmTarget->createTargetMachine(
      triple, cpu, features, llvm::TargetOptions(), llvm::Reloc::PIC_,
      llvm::CodeModel::Small,
      // Higher levels cost time and gain nothing on code that is vectors
      // already (docs/decisions/0004-compile-time.md).
      llvm::CodeGenOptLevel::Less));
  if (!machine)
    return llvm::createStringError("no code generator for " + triple.str());
  return machine;
}

/// All features that a CPU has, as one string for the cost model.
static std::string allFeatures(const llvm::TargetMachine &machine) {
  const llvm::MCSubtargetInfo &subtarget = *machine.getMCSubtargetInfo();
  std::string text;
  for (const llvm::SubtargetFeatureKV &feature :
       subtarget.getEnabledProcessorFeatures())
    text += std::string("+") + feature.Key + ",";
  return text;
}

llvm::Expected<PipelineOptions>
gru::getPipelineOptions(const CompileTarget &target,
                        const llvm::TargetMachine &machine) {
  PipelineOptions options;
  options.target = TargetDescription::fromFeatures(
      machine.getTargetTriple().getArchName(), allFeatures(machine));
  // The reference is the yardstick, plain and alone.
  if (target.backend == "cpu" || target.backend == "halide")
    options.target.threads = target.threads;
  if (!target.weightType.empty() && target.weightType != "bf16" &&
      target.weightType != "int8")
    return llvm::createStringError("weight-type: is '" + target.weightType +
                                   "', expected bf16, int8, or nothing");
  // The drift of narrow weights is measured against the reference with the
  // model's own.
  if (!target.weightType.empty() && target.backend != "cpu" &&
      target.backend != "reference")
    return llvm::createStringError(
        "weight-type: is '" + target.weightType + "', but the target " +
        target.backend + " stores weights as the model does; use target cpu");
  if (!target.halideSchedule.empty() &&
      !StringRef(target.backend).starts_with("halide"))
    return llvm::createStringError(
        "halide-schedule: is given, but the target is " + target.backend +
        "; use target halide");
  if (target.backend == "cpu")
    options.weightType = target.weightType;
  options.batch = target.batch;
  options.timesteps = target.timesteps;
  options.width = target.width;
  options.rows = target.rows;
  options.f64Outputs = target.f64Outputs;
  options.backend = target.backend;
  options.requireBackend = target.requireBackend;
  options.deviceProblems = target.deviceProblems;
  options.allowTF32 = target.allowTF32;
  options.halideSchedule = target.halideSchedule;
  // What user programs may read: on ARM the cycles are the kernel's own.
  if (target.profile)
    options.clock = machine.getTargetTriple().isX86()
                        ? "llvm.readcyclecounter"
                        : "llvm.readsteadycounter";
  if (!target.stopAfter.empty()) {
    options.stopAfter = parsePhase(target.stopAfter);
    if (!options.stopAfter)
      return llvm::createStringError("stop-after: unknown phase '" +
                                     target.stopAfter + "', expected one of " +
                                     phaseNames());
  }
  return options;
}

//===----------------------------------------------------------------------===//
// Diagnostics
//===----------------------------------------------------------------------===//

/// A layer's name says more to its owner than a position in our IR.
static std::string describe(const Diagnostic &diagnostic) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (auto name = diagnostic.getLocation()->findInstanceOf<NameLoc>())
    os << "layer '" << name.getName().getValue() << "': ";
  os << diagnostic;
  return text;
}

DiagnosticCollector::DiagnosticCollector(MLIRContext &context,
                                         const RemarkObserver &observer)
    : remark(observer), handler(&context, [this](Diagnostic &diagnostic) {
        DiagnosticSeverity severity = diagnostic.getSeverity();
        if (severity == DiagnosticSeverity::Error && text.empty())
          text = describe(diagnostic);
        if (severity == DiagnosticSeverity::Remark && remark)
          remark(describe(diagnostic));
        return success();
      }) {}

llvm::Error DiagnosticCollector::takeError(StringRef otherwise) {
  return llvm::createStringError(text.empty() ? otherwise.str() : text);
}

//===----------------------------------------------------------------------===//
// Lowering
//===----------------------------------------------------------------------===//

llvm::Error gru::lowerModule(ModuleOp module, PassManager &passes,
                             const RemarkObserver &remark) {
  DiagnosticCollector diagnostics(*module.getContext(), remark);
  if (failed(passes.run(module)))
    return diagnostics.takeError("lowering failed without a reason");
  return llvm::Error::success();
}

/// Names the CPU in each function, and says that vectors may be as wide as they
/// are: some CPUs are tuned to prefer narrower ones than they have.
static void setTargetAttributes(llvm::Module &module,
                                const llvm::TargetMachine &machine) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", machine.getTargetCPU());
    if (!machine.getTargetFeatureString().empty())
      function.addFnAttr("target-features", machine.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
}

/// Without fused multiply-adds in hardware LLVM would call a function for each
/// lane. A product and a sum are less exact and what such a machine can do.
static void replaceFusedMultiplyAdds(llvm::Module &module) {
  for (llvm::Function &function : llvm::make_early_inc_range(module)) {
    if (function.getIntrinsicID() != llvm::Intrinsic::fma)
      continue;
    llvm::Function *separate = llvm::Intrinsic::getOrInsertDeclaration(
        &module, llvm::Intrinsic::fmuladd, {function.getReturnType()});
    function.replaceAllUsesWith(separate);
    function.eraseFromParent();
  }
}

static void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  gru::runLLVMPasses(module, machine, [&](llvm::PassBuilder &builder) {
    llvm::ModulePassManager passes;
    if (llvm::any_of(module, [](const llvm::Function &function) {
          return function.hasFnAttribute(llvm::Attribute::AlwaysInline);
        }))
      passes.addPass(llvm::AlwaysInlinerPass());
    // The IR is vector code already: clean up addresses and descriptors, no
    // more.
    llvm::cantFail(builder.parsePassPipeline(
        passes,
        "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,"
        "loop-mssa(licm),early-cse)"));
    return passes;
  });
}

llvm::Expected<std::unique_ptr<llvm::Module>>
gru::translateModule(ModuleOp module, llvm::LLVMContext &context,
                     llvm::TargetMachine &machine,
                     const PhaseObserver &observer) {
  auto begin = std::chrono::steady_clock::now();
  auto phase = [&](StringRef name) {
    auto now = std::chrono::steady_clock::now();
    if (observer)
      observer(name,
               std::chrono::duration<double, std::milli>(now - begin).count());
    begin = now;
  };
  std::string plan;
  for (auto func : module.getOps<LLVM::LLVMFuncOp>())
    if (auto attr = func->getAttrOfType<DictionaryAttr>(kPlanAttr)) {
      llvm::Expected<std::string> bytes = writePlan(attr);
      if (!bytes)
        return bytes.takeError();
      plan = std::move(*bytes);
      func->removeAttr(kPlanAttr);
    }
  DiagnosticCollector diagnostics(*module.getContext());
  std::unique_ptr<llvm::Module> result = translateModuleToLLVMIR(
      module, context, "gru", /*disableVerification=*/true);
  if (!result)
    return diagnostics.takeError("translation to LLVM IR failed");
  result->setTargetTriple(machine.getTargetTriple());
  result->setDataLayout(machine.createDataLayout());
  if (!plan.empty()) {
    llvm::Constant *bytes =
        llvm::ConstantDataArray::getString(context, plan, /*AddNull=*/false);
    auto *global = new llvm::GlobalVariable(
        *result, bytes->getType(), /*isConstant=*/true,
        llvm::GlobalValue::ExternalLinkage, bytes, "gru_plan");
    global->setAlignment(llvm::Align(8));
  }
  if (llvm::Error error = linkHalide(module, machine, *result))
    return error;
  setTargetAttributes(*result, machine);
  if (machine.getTargetTriple().isX86() &&
      !machine.getMCSubtargetInfo()->checkFeatures("+fma"))
    replaceFusedMultiplyAdds(*result);
  phase("translate");
  optimise(*result, machine);
  phase("optimise");
  return result;
}

llvm::Error gru::emitCode(llvm::Module &module, llvm::TargetMachine &machine,
                          llvm::CodeGenFileType type,
                          llvm::SmallVectorImpl<char> &code) {
  llvm::raw_svector_ostream stream(code);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type))
    return llvm::createStringError("the code generator of " +
                                   machine.getTargetTriple().str() +
                                   " cannot write this kind of file");
  passes.run(module);
  return llvm::Error::success();
}
