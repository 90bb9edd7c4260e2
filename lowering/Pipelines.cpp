//===- Pipelines.cpp - every pipeline of the project ----------------------===//
//
// A table of contents: what each target does, phase by phase.
//
//===----------------------------------------------------------------------===//

#include "lowering/Pipelines.h"

#include "dialect/GRUDialect.h"
#include "lowering/Bufferization.h"
#include "lowering/DevicePasses.h"
#include "lowering/Passes.h"
#include "lowering/halide/Passes.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ConvertToLLVM/ToLLVMPass.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/Extensions/InlinerExtension.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Linalg/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Linalg/Transforms/SubsetInsertionOpInterfaceImpl.h"
#include "mlir/Dialect/Linalg/Transforms/TilingInterfaceImpl.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/IR/TensorInferTypeOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/SubsetInsertionOpInterfaceImpl.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace gru;

static constexpr std::pair<StringLiteral, Phase> phases[] = {
    {"specialize", Phase::Specialize},
    {"legalize", Phase::Legalize},
    {"sequence", Phase::Sequence},
    {"buffers", Phase::Buffers},
    {"loops", Phase::Loops},
    {"vector", Phase::Vector},
    {"llvm", Phase::LLVM}};

std::optional<Phase> gru::parsePhase(StringRef name) {
  for (auto [phaseName, phase] : phases)
    if (name == phaseName)
      return phase;
  return std::nullopt;
}

StringRef gru::phaseNames() {
  return "specialize, legalize, sequence, buffers, loops, vector, llvm";
}

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

static void cleanUp(OpPassManager &pm) {
  // There are no branches yet, so no blocks to be simplified either, which
  // would be a third of the work.
  GreedyRewriteConfig config;
  config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
  pm.addNestedPass<func::FuncOp>(createCanonicalizerPass(config));
  pm.addNestedPass<func::FuncOp>(createCSEPass());
}

static bool usesDevice(const PipelineOptions &options) {
  return options.backend == "cudnn" || options.backend == "gpu";
}

/// Shapes become those of this program. Before that, while layers are as they
/// were imported, backends are chosen.
static void specialize(OpPassManager &pm, const PipelineOptions &options) {
  if (usesDevice(options) || !options.requireBackend.empty())
    pm.addNestedPass<func::FuncOp>(createChooseBackendsPass(
        {options.deviceProblems.any() ? "auto" : options.backend,
         options.requireBackend, options.deviceProblems.cudnn,
         options.deviceProblems.gpu}));
  SpecializePassOptions pass;
  pass.batch = options.batch;
  pass.timesteps = options.timesteps;
  pm.addNestedPass<func::FuncOp>(createSpecializePass(pass));
}

/// Layer operations as imported become those that lowerings know.
static void legalize(OpPassManager &pm, const PipelineOptions &) {
  pm.addNestedPass<func::FuncOp>(createLegalizePass());
  // Drops neutral operands and double reversals before anything is sized.
  cleanUp(pm);
}

/// Layers that a device takes leave the cpu pipeline here.
static void placeOnDevice(OpPassManager &pm, const PipelineOptions &options) {
  if (!usesDevice(options))
    return;
  pm.addNestedPass<func::FuncOp>(
      createConvertToCudnnPass({options.requireBackend == "cudnn"}));
  pm.addNestedPass<func::FuncOp>(createConvertToGPUPass());
}

/// Layers become packed weights, projections and recurrences.
static void sequence(OpPassManager &pm, const PipelineOptions &options) {
  ConvertLayersToSequencePassOptions pass;
  pass.vectorBytes = options.target.vectorBytes;
  pass.registers = options.target.registers;
  pass.threads = options.target.threads;
  pass.width = options.width;
  pass.rows = options.rows;
  pm.addNestedPass<func::FuncOp>(createConvertLayersToSequencePass(pass));
  if (options.weightType == "int8")
    pm.addNestedPass<func::FuncOp>(createQuantizeLayersPass());
  // Behind it: bytes are made of a whole sequence's input.
  pm.addNestedPass<func::FuncOp>(createFuseProjectionPass());
  if (options.weightType == "bf16")
    pm.addNestedPass<func::FuncOp>(createNarrowWeightsPass());
}

/// Weights leave the function, tensors become buffers.
static void buffers(OpPassManager &pm, const PipelineOptions &options) {
  pm.addNestedPass<func::FuncOp>(createHoistPacksPass());
  pm.addNestedPass<func::FuncOp>(createTensorOpsToLinalgPass());
  pm.addNestedPass<func::FuncOp>(createConvertElementwiseToLinalgPass());
  pm.addNestedPass<func::FuncOp>(createFuseElementwisePass());
  pm.addNestedPass<func::FuncOp>(createRowwiseToLoopsPass());
  pm.addNestedPass<func::FuncOp>(createRandomToLoopsPass());
  pm.addNestedPass<func::FuncOp>(createBindBuffersPass());
  // No CSE here: it would share the destinations that have just been separated.
  pm.addNestedPass<func::FuncOp>(createCanonicalizerPass());
  // Results and concatenations are computed where they are wanted.
  pm.addPass(createEliminateEmptyTensorsPass());
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  cleanUp(pm);
  if (!usesDevice(options))
    return;
  pm.addPass(createPlaceOnDevicePass());
  pm.addNestedPass<func::FuncOp>(createMoveDataPass());
  pm.addPass(createMakeGPUKernelsPass());
  pm.addPass(createEmitPTXPass());
}

/// Recurrences become time loops around steps; all memory is placed.
static void loops(OpPassManager &pm, const PipelineOptions &options) {
  // Here, where a layer is one operation. A team divides one function, and the
  // reference is for reading.
  if (options.backend == "cpu" && options.target.threads == 1)
    pm.addPass(createShareKernelsPass());
  // Not if their times are asked for one by one.
  if (options.target.threads > 1 && options.clock.empty())
    pm.addNestedPass<func::FuncOp>(
        createRunSideBySidePass({options.target.threads}));
  // On cpu each block of rows is asked for by itself. Threads would have to
  // agree on what they find in the mask.
  ConvertRecurToLoopsPassOptions pass;
  pass.skipMasked = options.backend == "halide" && options.target.threads == 1;
  pm.addNestedPass<func::FuncOp>(createConvertRecurToLoopsPass(pass));
}

/// Steps and products become vector code.
static void vectors(OpPassManager &pm, const PipelineOptions &options) {
  auto [vectorBytes, registers, threads, byteProducts] = options.target;
  pm.addNestedPass<func::FuncOp>(
      createConvertStepToVectorPass({vectorBytes, registers, threads}));
  pm.addNestedPass<func::FuncOp>(
      createConvertPackedDenseToVectorPass({vectorBytes, registers, threads}));
  pm.addNestedPass<func::FuncOp>(
      createConvertQuantizeRowsToVectorPass({vectorBytes, threads}));
  pm.addNestedPass<func::FuncOp>(createLowerDotBytesPass({byteProducts.str()}));
  pm.addNestedPass<func::FuncOp>(
      createConvertLinalgToVectorPass({vectorBytes, registers}));
}

/// What every target ends with: scratch memory, the calling convention, LLVM.
static void finish(OpPassManager &pm, const PipelineOptions &options,
                   bool approximateMath, bool callsHalide = false) {
  pm.addNestedPass<func::FuncOp>(createConvertLinalgToLoopsPass());
  pm.addNestedPass<func::FuncOp>(
      createLowerCopiesPass({options.target.vectorBytes}));
  // After the loops exist, since only then all buffers do.
  pm.addPass(createPlanMemoryPass());
  // After that, since a call's buffers are alive until the call.
  if (usesDevice(options))
    pm.addNestedPass<func::FuncOp>(
        createConvertDeviceToCallsPass({options.allowTF32}));
  if (callsHalide)
    pm.addPass(createLowerHalideCallsPass());
  // The approximations take sigmoid and its like whole, so they must see them
  // before they are formulas.
  if (approximateMath)
    pm.addNestedPass<func::FuncOp>(createApproximateMathPass());
  else
    pm.addNestedPass<func::FuncOp>(createExpandActivationsPass());
  pm.addPass(createLowerCallsPass());
  pm.addNestedPass<func::FuncOp>(createLowerEntryPass());
  if (options.target.threads > 1)
    pm.addNestedPass<func::FuncOp>(
        createDistributePass({options.target.threads}));
}

static void convertToLLVM(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createExpandArithmeticPass());
  cleanUp(pm);
  pm.addNestedPass<func::FuncOp>(createLowerAccessesPass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createCallLibmPass());
  // One conversion of everything costs half of what one per dialect does.
  pm.addPass(createConvertToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

//===----------------------------------------------------------------------===//
// Pipelines
//===----------------------------------------------------------------------===//

/// Runs the cpu phases up to `last`.
static void runCPUPhases(OpPassManager &pm, const PipelineOptions &options,
                         Phase last) {
  if (last >= Phase::Legalize) {
    legalize(pm, options);
    placeOnDevice(pm, options);
  }
  if (last >= Phase::Sequence)
    sequence(pm, options);
  if (last >= Phase::Buffers)
    buffers(pm, options);
  if (last >= Phase::Buffers && !options.clock.empty())
    pm.addNestedPass<func::FuncOp>(createTimeLayersPass({options.clock}));
  if (last >= Phase::Loops)
    loops(pm, options);
}

void gru::buildCPUPipeline(OpPassManager &pm, const PipelineOptions &options) {
  Phase last = options.stopAfter.value_or(Phase::LLVM);
  specialize(pm, options);
  runCPUPhases(pm, options, last);
  if (last < Phase::Vector)
    return;
  vectors(pm, options);
  finish(pm, options, /*approximateMath=*/true);
  if (last < Phase::LLVM)
    return;
  convertToLLVM(pm);
}

/// The cpu pipeline, in which Halide makes the steps and products that it can.
void gru::buildHalidePipeline(OpPassManager &pm,
                              const PipelineOptions &options) {
  Phase last = options.stopAfter.value_or(Phase::LLVM);
  specialize(pm, options);
  runCPUPhases(pm, options, last);
  if (last < Phase::Vector)
    return;
  bool cuda = options.backend == "halide-cuda";
  if (options.target.threads > 1 && !cuda)
    pm.addNestedPass<func::FuncOp>(
        createShareRowsPass({options.target.threads}));
  ConvertToHalidePassOptions pass;
  pass.schedule = options.halideSchedule;
  pass.vectorBytes = options.target.vectorBytes;
  pass.registers = options.target.registers;
  pass.cuda = cuda;
  pm.addPass(createConvertToHalidePass(pass));
  vectors(pm, options);
  finish(pm, options, /*approximateMath=*/true, /*callsHalide=*/true);
  if (last < Phase::LLVM)
    return;
  convertToLLVM(pm);
}

void gru::buildReferencePipeline(OpPassManager &pm,
                                 const PipelineOptions &options) {
  specialize(pm, options);
  pm.addNestedPass<func::FuncOp>(createPromoteToF64Pass({options.f64Outputs}));
  Phase last = options.stopAfter.value_or(Phase::Specialize);
  // Beyond the loops there is no gru operation left to be the reference of.
  last = std::min(last, Phase::Loops);
  runCPUPhases(pm, options, last);
  pm.addNestedPass<func::FuncOp>(createConvertToReferenceLoopsPass());
  if (last < Phase::Buffers)
    buffers(pm, options);
  finish(pm, options, /*approximateMath=*/false);
  convertToLLVM(pm);
}

void gru::buildPipeline(OpPassManager &pm, const PipelineOptions &options) {
  if (options.backend == "reference")
    buildReferencePipeline(pm, options);
  else if (options.backend == "halide" || options.backend == "halide-cuda")
    buildHalidePipeline(pm, options);
  else
    buildCPUPipeline(pm, options);
}

//===----------------------------------------------------------------------===//
// Registration
//===----------------------------------------------------------------------===//

namespace {
struct TextualOptions : PassPipelineOptions<TextualOptions> {
  Option<int64_t> batch{*this, "batch", llvm::cl::desc("batch size"),
                        llvm::cl::init(0)};
  Option<int64_t> timesteps{*this, "timesteps",
                            llvm::cl::desc("number of timesteps"),
                            llvm::cl::init(0)};
  Option<int64_t> width{*this, "width", llvm::cl::desc("units per block"),
                        llvm::cl::init(0)};
  Option<int64_t> rows{*this, "rows", llvm::cl::desc("rows computed together"),
                       llvm::cl::init(0)};
  Option<int64_t> vectorBytes{*this, "vector-bytes",
                              llvm::cl::desc("bytes of a vector register"),
                              llvm::cl::init(64)};
  Option<int64_t> registers{*this, "registers",
                            llvm::cl::desc("number of vector registers"),
                            llvm::cl::init(32)};
  Option<int64_t> threads{*this, "threads",
                          llvm::cl::desc("threads that may share an operation"),
                          llvm::cl::init(1)};
  Option<std::string> weightType{
      *this, "weight-type",
      llvm::cl::desc("store float32 kernels as bf16 or int8")};
  Option<std::string> byteProducts{
      *this, "byte-products",
      llvm::cl::desc("what gru.dot_bytes becomes, see gru-lower-dot-bytes"),
      llvm::cl::init("none")};
  Option<Phase> stopAfter{
      *this, "stop-after", llvm::cl::desc("last phase of the cpu pipeline"),
      llvm::cl::init(Phase::LLVM),
      llvm::cl::values(clEnumValN(Phase::Specialize, "specialize", ""),
                       clEnumValN(Phase::Legalize, "legalize", ""),
                       clEnumValN(Phase::Sequence, "sequence", ""),
                       clEnumValN(Phase::Buffers, "buffers", ""),
                       clEnumValN(Phase::Loops, "loops", ""),
                       clEnumValN(Phase::Vector, "vector", ""),
                       clEnumValN(Phase::LLVM, "llvm", ""))};

  PipelineOptions get() const {
    PipelineOptions options;
    options.target = {vectorBytes, registers, threads, byteProducts};
    options.batch = batch;
    options.timesteps = timesteps;
    options.width = width;
    options.rows = rows;
    options.weightType = weightType;
    if (stopAfter.getNumOccurrences())
      options.stopAfter = stopAfter;
    return options;
  }
};
} // namespace

void gru::registerPassesAndPipelines() {
  registerGRULoweringPasses();
  registerGRUDevicePasses();
  registerGRUHalidePasses();
  PassPipelineRegistration<TextualOptions>(
      "gru-to-cpu", "from gru layers to the LLVM dialect for CPUs",
      [](OpPassManager &pm, const TextualOptions &options) {
        buildCPUPipeline(pm, options.get());
      });
  PassPipelineRegistration<TextualOptions>(
      "gru-to-halide", "as gru-to-cpu, with steps and products left to Halide",
      [](OpPassManager &pm, const TextualOptions &options) {
        buildHalidePipeline(pm, options.get());
      });
  PassPipelineRegistration<TextualOptions>(
      "gru-to-reference", "from gru layers to plain float64 loops",
      [](OpPassManager &pm, const TextualOptions &options) {
        buildReferencePipeline(pm, options.get());
      });
}

void gru::registerCompilerDialects(DialectRegistry &registry) {
  registry
      .insert<GRUDialect, affine::AffineDialect, arith::ArithDialect,
              bufferization::BufferizationDialect, cf::ControlFlowDialect,
              func::FuncDialect, linalg::LinalgDialect, LLVM::LLVMDialect,
              math::MathDialect, memref::MemRefDialect, scf::SCFDialect,
              tensor::TensorDialect, ub::UBDialect, vector::VectorDialect>();
  registerBufferizableOpInterfaceModels(registry);
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerSubsetOpInterfaceExternalModels(registry);
  linalg::registerTilingInterfaceExternalModels(registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerInferTypeOpInterfaceExternalModels(registry);
  tensor::registerSubsetOpInterfaceExternalModels(registry);
  registerConvertFuncToLLVMInterface(registry);
  registerConvertMathToLLVMInterface(registry);
  registerConvertMemRefToLLVMInterface(registry);
  arith::registerConvertArithToLLVMInterface(registry);
  cf::registerConvertControlFlowToLLVMInterface(registry);
  index::registerConvertIndexToLLVMInterface(registry);
  ub::registerConvertUBToLLVMInterface(registry);
  vector::registerConvertVectorToLLVMInterface(registry);
}
