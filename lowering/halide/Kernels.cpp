//===- Kernels.cpp - functions that Halide generates ----------------------===//

#include "lowering/halide/Kernels.h"

#include "lowering/common/ApproximateMath.h"
#include "lowering/halide/generator/Request.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Operator.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"

#include <dlfcn.h>

#include <mutex>

using namespace mlir;
using namespace gru;
using llvm::createStringError;

//===----------------------------------------------------------------------===//
// The library around Halide
//===----------------------------------------------------------------------===//

namespace {
struct Library {
  HalideGenerate *generate = nullptr;
  std::string problem;

  static const Library &get() {
    static const Library library;
    return library;
  }

private:
  Library() {
#ifdef GRU_HALIDE_LIBRARY
    // Never closed: Halide's LLVM does not survive that.
    if (void *handle = dlopen(GRU_HALIDE_LIBRARY, RTLD_NOW | RTLD_LOCAL))
      generate = reinterpret_cast<HalideGenerate *>(
          dlsym(handle, "gru_halide_generate"));
    if (!generate)
      problem = dlerror();
#else
    problem = "this build is without Halide";
#endif
  }
};
} // namespace

llvm::Error gru::checkHalideAvailable() {
  const Library &library = Library::get();
  if (library.generate)
    return llvm::Error::success();
  return createStringError("halide: " + library.problem);
}

std::string gru::getHalideId() {
  const Library &library = Library::get();
  Dl_info info;
  if (!library.generate ||
      !dladdr(reinterpret_cast<const void *>(library.generate), &info))
    return "";
  std::string id = info.dli_fname;
  llvm::sys::fs::file_status status;
  if (!llvm::sys::fs::status(id, status))
    id += " " + std::to_string(status.getSize()) + " " +
          std::to_string(
              status.getLastModificationTime().time_since_epoch().count());
  return id;
}

//===----------------------------------------------------------------------===//
// Requests
//===----------------------------------------------------------------------===//

/// The activation as a function of one value, without any gru operation.
static func::FuncOp buildFormula(ModuleOp module, ActAttr activation,
                                 Type type) {
  if (!activation || activation.getKind() == ActivationKind::linear)
    return {};
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Location loc = b.getUnknownLoc();
  auto function = func::FuncOp::create(b, loc, "formula",
                                       b.getFunctionType({type}, {type}));
  b.setInsertionPointToStart(function.addEntryBlock());
  Value y =
      ActivationOp::create(b, loc, type, function.getArgument(0), activation);
  func::ReturnOp::create(b, loc, y);
  RewritePatternSet patterns(module.getContext());
  populateApproximateMathPatterns(patterns);
  (void)applyPatternsGreedily(function, std::move(patterns));
  return function;
}

static HalideBuffer describeBuffer(StringRef name, MemRefType type) {
  HalideBuffer buffer;
  buffer.name = name.str();
  buffer.isMask = type.getElementType().isInteger(1);
  buffer.bits = buffer.isMask ? 8 : type.getElementTypeBitWidth();
  SmallVector<int64_t> strides;
  int64_t offset;
  (void)type.getStridesAndOffset(strides, offset);
  auto known = [](int64_t value) {
    return ShapedType::isDynamic(value) ? -1 : value;
  };
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    buffer.extents.push_back(known(type.getDimSize(dim)));
    buffer.strides.push_back(known(strides[dim]));
  }
  return buffer;
}

static llvm::Expected<HalideFunction>
describeFunction(StringRef name, DictionaryAttr what, ModuleOp formulas) {
  HalideFunction function;
  function.name = name.str();
  function.kind = what.getAs<StringAttr>("kind").str();
  function.units = what.getAs<IntegerAttr>("units").getInt();
  if (auto blocked = what.getAs<IntegerAttr>("blocked_dim"))
    function.blockedDim = blocked.getInt();
  function.timeMajor = what.contains("time_major");
  function.cuda = what.contains("cuda");
  if (auto clip = what.getAs<FloatAttr>("clip"))
    function.clip = clip.getValueAsDouble();
  auto type = cast<FunctionType>(what.getAs<TypeAttr>("type").getValue());
  auto names = what.getAs<ArrayAttr>("operands").getAsValueRange<StringAttr>();
  for (auto [operand, operandType] : llvm::zip_equal(names, type.getInputs()))
    function.buffers.push_back(
        describeBuffer(operand, cast<MemRefType>(operandType)));
  Type element = cast<MemRefType>(type.getInput(0)).getElementType();
  function.activation =
      buildFormula(formulas, what.getAs<ActAttr>("activation"), element);
  function.recurrentActivation = buildFormula(
      formulas, what.getAs<ActAttr>("recurrent_activation"), element);
  HalideShape shape{64, 1, -1, 4};
  // Every schedule was checked against its shape when it was written.
  for (const HalideBuffer &buffer : function.buffers)
    if (buffer.name == "kernel")
      shape.width = buffer.extents[0];
  if (llvm::Error error = function.schedule.parse(
          what.getAs<StringAttr>("schedule").getValue(), shape))
    return error;
  return function;
}

/// Calls body(name, gru.halide) for each function that Halide generates.
static void
forEachFunction(ModuleOp module,
                function_ref<void(StringRef, DictionaryAttr)> body) {
  for (Operation &op : *module.getBody())
    if (auto what = op.getAttrOfType<DictionaryAttr>(kHalideAttr))
      body(SymbolTable::getSymbolName(&op), what);
}

/// `formulas` holds what the request refers to.
static llvm::Expected<HalideRequest>
makeRequest(ModuleOp module, const llvm::TargetMachine &machine,
            HalideOutput output, ModuleOp formulas) {
  if (llvm::Error error = checkHalideAvailable())
    return error;
  HalideRequest request;
  const llvm::Triple &triple = machine.getTargetTriple();
  request.arch = triple.getArchName();
  request.os = triple.getOSName();
  for (const llvm::SubtargetFeatureKV &feature :
       machine.getMCSubtargetInfo()->getEnabledProcessorFeatures())
    request.features.push_back(feature.Key);
  request.output = output;
  std::string problem;
  forEachFunction(module, [&](StringRef name, DictionaryAttr what) {
    llvm::Expected<HalideFunction> function =
        describeFunction(name, what, formulas);
    if (function) {
      request.cuda |= function->cuda;
      request.functions.push_back(std::move(*function));
    } else {
      problem = llvm::toString(function.takeError());
    }
  });
  if (!problem.empty())
    return createStringError("halide: " + problem);
  if (request.functions.empty())
    return createStringError("halide: no layer here that Halide takes");
  return request;
}

static llvm::Expected<std::string> generate(const HalideRequest &request) {
  // Halide's compiler is for one thread at a time.
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  std::string result;
  if (!Library::get().generate(request, result))
    return createStringError("halide: " + result);
  return result;
}

llvm::Expected<std::string>
gru::generateHalide(ModuleOp module, const llvm::TargetMachine &machine,
                    HalideOutput output) {
  OwningOpRef<ModuleOp> formulas = ModuleOp::create(module.getLoc());
  llvm::Expected<HalideRequest> request =
      makeRequest(module, machine, output, *formulas);
  if (!request)
    return request.takeError();
  return generate(*request);
}

std::string gru::printHalideSchedules(ModuleOp module) {
  std::string text;
  forEachFunction(module, [&](StringRef name, DictionaryAttr what) {
    text += name.str() + " " + what.getAs<StringAttr>("schedule").str() + "\n";
  });
  return text;
}

/// The kernels of one function, which are a text that it hands to the driver.
static llvm::Expected<std::string> findPTX(StringRef bitcode) {
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> code =
      llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcode, "halide"), context);
  if (!code)
    return code.takeError();
  for (const llvm::GlobalVariable &global : (*code)->globals()) {
    if (!global.hasInitializer())
      continue;
    auto *bytes =
        dyn_cast<llvm::ConstantDataSequential>(global.getInitializer());
    if (bytes && bytes->isString(8) &&
        bytes->getAsString().contains(".target sm_"))
      return bytes->getAsString().rtrim('\0').str();
  }
  return createStringError("halide: its code holds no kernel for a device");
}

llvm::Expected<std::string>
gru::generateHalidePTX(ModuleOp module, const llvm::TargetMachine &machine) {
  OwningOpRef<ModuleOp> formulas = ModuleOp::create(module.getLoc());
  llvm::Expected<HalideRequest> request =
      makeRequest(module, machine, HalideOutput::Bitcode, *formulas);
  if (!request)
    return request.takeError();
  std::string text;
  std::vector<HalideFunction> functions = std::move(request->functions);
  for (HalideFunction &function : functions) {
    request->functions = {function};
    llvm::Expected<std::string> bitcode = generate(*request);
    if (!bitcode)
      return bitcode.takeError();
    llvm::Expected<std::string> ptx = findPTX(*bitcode);
    if (!ptx)
      return ptx.takeError();
    // One head for all.
    StringRef rest = *ptx;
    if (!text.empty())
      rest = rest.split(".address_size 64").second;
    text += rest;
  }
  return text;
}

//===----------------------------------------------------------------------===//
// Linking
//===----------------------------------------------------------------------===//

/// Halide has no fused multiply-add and rounds after each operation, as asked
/// for. From here on a product and the sum that takes it may be one operation.
/// And Halide says that its buffers do not alias, while ours do: the new state
/// is the old one of the next step, or takes its place.
static void adopt(llvm::Function &function) {
  for (llvm::Instruction &instruction : llvm::instructions(function)) {
    instruction.dropUnknownNonDebugMetadata();
    if (isa<llvm::FPMathOperator>(instruction))
      instruction.setHasAllowContract(true);
  }
}

llvm::Error gru::linkHalide(ModuleOp module, const llvm::TargetMachine &machine,
                            llvm::Module &code) {
  SmallVector<std::string> names;
  forEachFunction(module, [&](StringRef name, DictionaryAttr) {
    names.push_back(name.str());
  });
  if (names.empty())
    return llvm::Error::success();
  llvm::Expected<std::string> bitcode =
      generateHalide(module, machine, HalideOutput::Bitcode);
  if (!bitcode)
    return bitcode.takeError();
  // Halide's LLVM is the older one, and LLVM reads what older ones wrote.
  llvm::Expected<std::unique_ptr<llvm::Module>> functions =
      llvm::parseBitcodeFile(llvm::MemoryBufferRef(*bitcode, "halide"),
                             code.getContext());
  if (!functions)
    return functions.takeError();
  (*functions)->setTargetTriple(code.getTargetTriple());
  (*functions)->setDataLayout(code.getDataLayout());
  if (llvm::Linker::linkModules(code, std::move(*functions),
                                llvm::Linker::LinkOnlyNeeded))
    return createStringError("halide: its code cannot be linked");
  for (StringRef name : names) {
    llvm::Function *function = code.getFunction(name);
    // Inside of its caller the halide_buffer_t are no memory any more.
    if (function->hasOneUse())
      function->addFnAttr(llvm::Attribute::AlwaysInline);
    function->setLinkage(llvm::GlobalValue::InternalLinkage);
    for (StringRef attribute : {"target-cpu", "target-features", "tune-cpu"})
      function->removeFnAttr(attribute);
    adopt(*function);
  }
  return llvm::Error::success();
}
