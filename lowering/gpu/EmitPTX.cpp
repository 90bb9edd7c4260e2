//===- EmitPTX.cpp - gpu modules become PTX -------------------------------===//

#include "lowering/DevicePasses.h"
#include "lowering/common/ApproximateMath.h"
#include "lowering/common/LLVMPasses.h"

#include "dialect/GRUDeviceOps.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

namespace gru {
#define GEN_PASS_DEF_EMITPTXPASS
#include "lowering/DevicePasses.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
struct EmitPTXPass : gru::impl::EmitPTXPassBase<EmitPTXPass> {
  using EmitPTXPassBase::EmitPTXPassBase;

  // Only programs for devices pay for these.
  void getDependentDialects(DialectRegistry &registry) const override {
    EmitPTXPassBase::getDependentDialects(registry);
    registerBuiltinDialectTranslation(registry);
    registerGPUDialectTranslation(registry);
    registerLLVMDialectTranslation(registry);
    registerNVVMDialectTranslation(registry);
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<gpu::GPUModuleOp> kernels(module.getOps<gpu::GPUModuleOp>());
    if (kernels.empty())
      return;
    std::unique_ptr<llvm::TargetMachine> machine = createMachine();
    if (!machine || failed(lowerKernels(kernels)))
      return signalPassFailure();
    llvm::StringMap<std::string> texts;
    for (gpu::GPUModuleOp kernel : kernels) {
      std::string &text = texts[kernel.getName()];
      if (failed(emit(kernel, *machine, text)))
        return signalPassFailure();
      kernel.erase();
    }
    module.walk([&](DeviceRnnOp op) {
      if (StringAttr code = op.getCodeAttr())
        if (auto it = texts.find(code.getValue()); it != texts.end())
          op.setCode(it->second);
    });
    module.walk([&](DeviceKernelOp op) {
      if (auto it = texts.find(op.getCode()); it != texts.end())
        op.setCode(it->second);
    });
    module->removeAttr(gpu::GPUDialect::getContainerModuleAttrName());
  }

private:
  std::unique_ptr<llvm::TargetMachine> createMachine() {
    static std::once_flag initialised;
    std::call_once(initialised, [] {
      LLVMInitializeNVPTXTargetInfo();
      LLVMInitializeNVPTXTarget();
      LLVMInitializeNVPTXTargetMC();
      LLVMInitializeNVPTXAsmPrinter();
    });
    llvm::Triple triple("nvptx64-nvidia-cuda");
    std::string problem;
    const llvm::Target *target =
        llvm::TargetRegistry::lookupTarget(triple, problem);
    if (!target) {
      getOperation().emitError() << "this LLVM has no NVPTX: " << problem;
      return nullptr;
    }
    // PTX 7.8 knows every device up to sm_90.
    return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
        triple, chip, "+ptx78", llvm::TargetOptions(), std::nullopt,
        std::nullopt, llvm::CodeGenOptLevel::Default));
  }

  LogicalResult lowerKernels(ArrayRef<gpu::GPUModuleOp> kernels) {
    RewritePatternSet patterns(&getContext());
    populateApproximateMathPatterns(patterns);
    FrozenRewritePatternSet frozen(std::move(patterns));
    OpPassManager pm(gpu::GPUModuleOp::getOperationName());
    pm.addPass(createCSEPass());
    pm.addPass(createSCFToControlFlowPass());
    pm.addPass(createConvertMathToLLVMPass());
    OpPassManager cleanUp(gpu::GPUModuleOp::getOperationName());
    cleanUp.addPass(createReconcileUnrealizedCastsPass());
    for (gpu::GPUModuleOp kernel : kernels)
      if (failed(applyPatternsGreedily(kernel, frozen)) ||
          failed(runPipeline(pm, kernel)) || failed(convertToNVVM(kernel)) ||
          failed(runPipeline(cleanUp, kernel)))
        return failure();
    return success();
  }

  /// Upstream's conversion, but for its pass's wish to call libdevice for what
  /// the backend has instructions for: kernels link nothing.
  LogicalResult convertToNVVM(gpu::GPUModuleOp kernel) {
    MLIRContext *context = &getContext();
    LowerToLLVMOptions options(context);
    LLVMTypeConverter converter(context, options);
    configureGpuToNVVMTypeConverter(converter);
    RewritePatternSet patterns(context);
    populateGpuToNVVMConversionPatterns(converter, patterns);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    LLVMConversionTarget target(*context);
    configureGpuToNVVMConversionLegality(target);
    target.addLegalOp<LLVM::FAbsOp, LLVM::FCeilOp, LLVM::FFloorOp, LLVM::SqrtOp,
                      LLVM::FMAOp, LLVM::CopySignOp>();
    return applyPartialConversion(kernel, target, std::move(patterns));
  }

  LogicalResult emit(gpu::GPUModuleOp kernel, llvm::TargetMachine &machine,
                     std::string &text) {
    llvm::LLVMContext context;
    std::unique_ptr<llvm::Module> module =
        translateModuleToLLVMIR(kernel, context, kernel.getName());
    if (!module)
      return kernel.emitError() << "translation to LLVM IR failed";
    module->setTargetTriple(machine.getTargetTriple());
    module->setDataLayout(machine.createDataLayout());

    runLLVMPasses(*module, machine, [](llvm::PassBuilder &builder) {
      return builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3);
    });

    llvm::SmallVector<char, 0> code;
    llvm::raw_svector_ostream stream(code);
    llvm::legacy::PassManager passes;
    if (machine.addPassesToEmitFile(passes, stream, nullptr,
                                    llvm::CodeGenFileType::AssemblyFile))
      return kernel.emitError() << "NVPTX cannot write assembly";
    passes.run(*module);
    text.assign(code.begin(), code.end());
    return success();
  }
};
} // namespace
