//===- ActivationTest.cpp - activations and approximations, measured ------===//
//
// Compiles each activation and each approximated function and compares it with
// libm in double over a sweep of all bit patterns of a float. The sweep is
// sparse, so that the test takes seconds; with GRU_EXHAUSTIVE=1 it takes every
// float (an hour or so). Row-wise activations are compared with plain C++.
//
//===----------------------------------------------------------------------===//

#include "lowering/common/Activations.h"
#include "lowering/common/ApproximateMath.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

// -fsanitize=function looks for a signature in front of a called function,
// which compiled kernels do not have.
#ifdef __clang__
#define GRU_CALLS_KERNEL __attribute__((no_sanitize("function")))
#else
#define GRU_CALLS_KERNEL
#endif

using namespace gru;
using namespace mlir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

/// What a compiled function does with each element or vector.
using Body = llvm::function_ref<Value(OpBuilder &, Location, Value)>;

/// Builds functions over whole arrays and compiles them together.
class Kernels {
public:
  Kernels() : builder(&context) {
    DialectRegistry registry;
    registry.insert<GRUDialect, arith::ArithDialect, cf::ControlFlowDialect,
                    func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                    memref::MemRefDialect, scf::SCFDialect, ub::UBDialect,
                    vector::VectorDialect>();
    registerBuiltinDialectTranslation(registry);
    registerLLVMDialectTranslation(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    module = ModuleOp::create(builder, loc());
    builder.setInsertionPointToEnd(module->getBody());
  }

  MLIRContext &getContext() { return context; }
  OpBuilder &getBuilder() { return builder; }

  /// out[i] = body(in[i]) for memrefs of `element`, in pieces of type `piece`:
  /// the element or a vector of rank 1 or 2. Sizes are multiples of the piece.
  void add(StringRef name, Type element, Type piece, Body body) {
    OpBuilder::InsertionGuard guard(builder);
    Type array = MemRefType::get({ShapedType::kDynamic}, element);
    Block *entry = addFunction(name, {array, array});
    Value in = entry->getArgument(0), out = entry->getArgument(1);
    auto vector = dyn_cast<VectorType>(piece);
    int64_t lanes = vector ? vector.getNumElements() : 1;
    Value zero = arith::ConstantIndexOp::create(builder, loc(), 0);
    Value step = arith::ConstantIndexOp::create(builder, loc(), lanes);
    Value size = memref::DimOp::create(builder, loc(), in, zero);
    auto loop = scf::ForOp::create(builder, loc(), zero, size, step);
    builder.setInsertionPointToStart(loop.getBody());
    Value i = loop.getInductionVar();
    if (!vector) {
      Value x = memref::LoadOp::create(builder, loc(), in, i);
      memref::StoreOp::create(builder, loc(), body(builder, loc(), x), out, i);
      return;
    }
    auto flat = VectorType::get({lanes}, element);
    Value x = vector::LoadOp::create(builder, loc(), flat, in, i);
    if (vector != flat)
      x = vector::ShapeCastOp::create(builder, loc(), vector, x);
    Value y = body(builder, loc(), x);
    if (vector != flat)
      y = vector::ShapeCastOp::create(builder, loc(), flat, y);
    vector::StoreOp::create(builder, loc(), y, out, i);
  }

  /// A row-wise activation on (row, n); the row may have a stride.
  void addRowwise(StringRef name, ActAttr activation, Type element) {
    OpBuilder::InsertionGuard guard(builder);
    auto layout = StridedLayoutAttr::get(&context, ShapedType::kDynamic,
                                         {ShapedType::kDynamic});
    Type row = MemRefType::get({ShapedType::kDynamic}, element, layout);
    Block *entry = addFunction(name, {row, builder.getIndexType()});
    emitRowwiseActivation(builder, loc(), activation, entry->getArgument(0),
                          entry->getArgument(1));
  }

  /// Rewrites with `populate` and compiles. With `libm`, what is left of math
  /// may call it.
  void compile(llvm::function_ref<void(RewritePatternSet &)> populate,
               bool libm) {
    ASSERT_TRUE(succeeded(verify(*module)));
    RewritePatternSet patterns(&context);
    populate(patterns);
    ASSERT_TRUE(succeeded(applyPatternsGreedily(*module, std::move(patterns))));
    PassManager pm(&context);
    arith::ArithEmulateUnsupportedFloatsOptions emulate;
    emulate.sourceTypeStrs = {"bf16"};
    pm.addPass(arith::createArithEmulateUnsupportedFloats(emulate));
    arith::ArithExpandOpsPassOptions expand;
    expand.includeBf16 = true;
    pm.addPass(arith::createArithExpandOpsPass(expand));
    pm.addPass(createSCFToControlFlowPass());
    pm.addPass(createConvertVectorToLLVMPass());
    pm.addPass(createConvertMathToLLVMPass());
    if (libm)
      pm.addPass(createConvertMathToLibmPass());
    pm.addPass(createFinalizeMemRefToLLVMConversionPass());
    pm.addPass(createConvertFuncToLLVMPass());
    pm.addPass(createArithToLLVMConversionPass());
    pm.addPass(createConvertControlFlowToLLVMPass());
    pm.addPass(createUBToLLVMConversionPass());
    pm.addPass(createReconcileUnrealizedCastsPass());
    ASSERT_TRUE(succeeded(pm.run(*module)));

    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    ExecutionEngineOptions options;
    auto optimize = makeOptimizingTransformer(2, 0, nullptr);
    options.transformer = optimize;
    options.enableObjectDump = true;
    auto created = ExecutionEngine::create(*module, options);
    ASSERT_TRUE(bool(created)) << llvm::toString(created.takeError());
    engine = std::move(*created);
  }

  void *find(StringRef name) {
    auto address = engine->lookup(name);
    EXPECT_TRUE(bool(address)) << llvm::toString(address.takeError());
    return address ? *address : nullptr;
  }

  template <typename T>
  GRU_CALLS_KERNEL void run(StringRef name, const std::vector<T> &in,
                            std::vector<T> &out) {
    using Function = void (*)(const T *, const T *, int64_t, int64_t, int64_t,
                              T *, T *, int64_t, int64_t, int64_t);
    auto function = reinterpret_cast<Function>(find(name));
    ASSERT_TRUE(function);
    int64_t size = static_cast<int64_t>(in.size());
    out.resize(in.size());
    function(in.data(), in.data(), 0, size, 1, out.data(), out.data(), 0, size,
             1);
  }

  template <typename T>
  GRU_CALLS_KERNEL void runRowwise(StringRef name, T *row, int64_t n,
                                   int64_t stride) {
    using Function = void (*)(T *, T *, int64_t, int64_t, int64_t, int64_t);
    auto function = reinterpret_cast<Function>(find(name));
    ASSERT_TRUE(function);
    function(row, row, 0, n, stride, n);
  }

  /// Names that the compiled code needs from elsewhere.
  std::vector<std::string> undefinedSymbols() {
    llvm::SmallString<128> path;
    std::vector<std::string> names;
    if (llvm::sys::fs::createTemporaryFile("gru-activations", "o", path)) {
      ADD_FAILURE() << "no temporary file";
      return names;
    }
    engine->dumpToObjectFile(path);
    auto object = llvm::object::ObjectFile::createObjectFile(path);
    llvm::sys::fs::remove(path);
    if (!object) {
      ADD_FAILURE() << llvm::toString(object.takeError());
      return names;
    }
    for (const llvm::object::SymbolRef &symbol :
         object->getBinary()->symbols()) {
      uint32_t flags = llvm::cantFail(symbol.getFlags());
      StringRef name = llvm::cantFail(symbol.getName());
      if ((flags & llvm::object::SymbolRef::SF_Undefined) && !name.empty())
        names.push_back(name.str());
    }
    return names;
  }

private:
  Location loc() { return builder.getUnknownLoc(); }

  Block *addFunction(StringRef name, TypeRange arguments) {
    auto function = func::FuncOp::create(
        builder, loc(), name, builder.getFunctionType(arguments, {}));
    Block *entry = function.addEntryBlock();
    builder.setInsertionPointToEnd(entry);
    auto end = func::ReturnOp::create(builder, loc());
    builder.setInsertionPoint(end);
    return entry;
  }

  MLIRContext context{MLIRContext::Threading::DISABLED};
  OpBuilder builder;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<ExecutionEngine> engine;
};

//===----------------------------------------------------------------------===//
// What is expected
//===----------------------------------------------------------------------===//

/// A function of one element in double.
using Reference = double (*)(double);

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) {
  return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
}
double clip(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

/// A function whose error is stated in ulp.
struct Precise {
  const char *name;
  Reference reference;
  double ulps;
};
const Precise precise[] = {
    {"exp", std::exp, 1},    {"expm1", std::expm1, 2}, {"tanh", std::tanh, 2},
    {"sigmoid", sigmoid, 2}, {"log", std::log, 1},     {"log1p", std::log1p, 2},
    {"erf", std::erf, 2},
};

/// A pointwise activation, with its formula written a second time.
struct Pointwise {
  ActivationKind kind;
  Reference reference;
  double alpha = 0, beta = 0, gamma = 0;
  bool defaults = true;

  Pointwise(ActivationKind kind, Reference reference)
      : kind(kind), reference(reference) {}
  Pointwise(ActivationKind kind, Reference reference, double alpha,
            double beta = 0, double gamma = 0)
      : kind(kind), reference(reference), alpha(alpha), beta(beta),
        gamma(gamma), defaults(false) {}

  ActAttr attr(MLIRContext &context) const {
    return defaults ? ActAttr::get(&context, kind)
                    : ActAttr::get(&context, kind, alpha, beta, gamma);
  }
  /// Name of the kernel; the prefix keeps it from being libm's tanh.
  std::string name() const {
    std::string name = "act_" + stringifyActivationKind(kind).str();
    if (defaults)
      return name;
    for (double value : {alpha, beta, gamma})
      name += "_" + std::to_string(value);
    return name;
  }
};

const Pointwise pointwise[] = {
    {ActivationKind::linear, [](double x) { return x; }},
    {ActivationKind::tanh, std::tanh},
    {ActivationKind::sigmoid, sigmoid},
    {ActivationKind::hard_sigmoid,
     [](double x) { return clip(x / 6 + 0.5, 0, 1); }},
    {ActivationKind::hard_sigmoid,
     [](double x) { return clip(0.2 * x + 0.5, 0, 1); }, 0.2, 0.5},
    {ActivationKind::relu, [](double x) { return x < 0 ? 0 : x; }},
    {ActivationKind::relu, [](double x) { return clip(x, 0, 6); }, 0, 6, 0},
    {ActivationKind::relu,
     [](double x) { return x < 0.5 ? 0.25 * (x - 0.5)
                           : x > 2 ? 2
                                   : x; }, 0.25,
     2, 0.5},
    {ActivationKind::relu, [](double x) { return x < 1 ? 0 : x; }, 0, inf, 1},
    {ActivationKind::leaky_relu, [](double x) { return x > 0 ? x : 0.2 * x; }},
    {ActivationKind::leaky_relu, [](double x) { return x > 0 ? x : 1.5 * x; },
     1.5},
    {ActivationKind::elu, [](double x) { return x > 0 ? x : std::expm1(x); }},
    {ActivationKind::elu,
     [](double x) { return x > 0 ? x : 0.5 * std::expm1(x); }, 0.5},
    {ActivationKind::celu,
     [](double x) { return x > 0 ? x : 2 * std::expm1(x / 2); }, 2},
    {ActivationKind::selu,
     [](double x) {
       return 1.0507009873554805 *
              (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
     }},
    {ActivationKind::softplus,
     [](double x) { return std::isnan(x) ? x : softplus(x); }},
    {ActivationKind::softsign, [](double x) { return x / (1 + std::fabs(x)); }},
    {ActivationKind::squareplus,
     [](double x) {
       double root = std::hypot(x, 2.0);
       return x < 0 ? 2 / (root - x) : x / 2 + root / 2;
     }},
    {ActivationKind::soft_shrink,
     [](double x) {
       return x > 0.5 ? x - 0.5 : x < -0.5 ? x + 0.5 : std::isnan(x) ? x : 0;
     }},
    {ActivationKind::hard_shrink,
     [](double x) { return std::fabs(x) <= 0.5 ? 0 : x; }},
    {ActivationKind::hard_tanh, [](double x) { return clip(x, -1, 1); }},
    {ActivationKind::tanh_shrink, [](double x) { return x - std::tanh(x); }},
    {ActivationKind::sparse_plus,
     [](double x) { return x <= -1 ? 0
                           : x < 1 ? (x + 1) * (x + 1) / 4
                                   : x; }},
    {ActivationKind::sparse_sigmoid,
     [](double x) { return clip((x + 1) / 2, 0, 1); }},
    {ActivationKind::silu, [](double x) { return x * sigmoid(x); }},
    {ActivationKind::gelu,
     [](double x) { return x * std::erfc(-x * std::sqrt(0.5)) / 2; }},
    {ActivationKind::exponential, std::exp},
    {ActivationKind::hard_silu,
     [](double x) { return x * clip(x / 6 + 0.5, 0, 1); }},
    {ActivationKind::mish,
     [](double x) { return std::isnan(x) ? x : x * std::tanh(softplus(x)); }},
    {ActivationKind::log_sigmoid,
     [](double x) { return std::isnan(x) ? x : -softplus(-x); }},
    {ActivationKind::affine, [](double x) { return 0.5 * x - 2; }, 0.5, -2},
    {ActivationKind::thresholded_relu, [](double x) { return x < 1 ? 0 : x; }},
    {ActivationKind::scaled_tanh,
     [](double x) { return 1.75 * std::tanh(0.5 * x); }, 1.75, 0.5},
};

/// y's distance from the double `expected` in ulp of the float next to it.
double ulpError(float y, double expected) {
  float nearest = static_cast<float>(expected);
  if (std::isnan(expected))
    return std::isnan(y) ? 0 : inf;
  if (std::isinf(nearest) || std::isinf(y))
    return y == nearest ? 0 : inf;
  // Denormal results may be zero.
  if (std::fabs(expected) < 0x1p-126)
    return std::fabs(y - expected) < 0x1p-126 ? 0 : inf;
  int exponent;
  std::frexp(expected, &exponent);
  return std::fabs(y - expected) / std::ldexp(1.0, exponent - 24);
}

/// |y - expected| in units of 1e-6 + 2e-6 |expected|.
double combinedError(float y, double expected) {
  float nearest = static_cast<float>(expected);
  if (std::isnan(expected))
    return std::isnan(y) ? 0 : inf;
  if (std::isinf(nearest) || std::isinf(y))
    return y == nearest ? 0 : inf;
  return std::fabs(y - expected) / (1e-6 + 2e-6 * std::fabs(expected));
}

//===----------------------------------------------------------------------===//
// f32
//===----------------------------------------------------------------------===//

Value mathOp(OpBuilder &b, Location loc, StringRef name, Value x) {
  if (name == "exp")
    return math::ExpOp::create(b, loc, x);
  if (name == "expm1")
    return math::ExpM1Op::create(b, loc, x);
  if (name == "tanh")
    return math::TanhOp::create(b, loc, x);
  if (name == "log")
    return math::LogOp::create(b, loc, x);
  if (name == "log1p")
    return math::Log1pOp::create(b, loc, x);
  if (name == "erf")
    return math::ErfOp::create(b, loc, x);
  return ActivationOp::create(
      b, loc, x.getType(), x,
      ActAttr::get(b.getContext(), *symbolizeActivationKind(name)));
}

class Activation : public testing::Test {
protected:
  /// Everything in f32, compiled once.
  static void SetUpTestSuite() {
    kernels = new Kernels;
    OpBuilder &b = kernels->getBuilder();
    Type f32 = b.getF32Type();
    auto vector = VectorType::get({16}, f32);
    for (const Precise &function : precise) {
      auto body = [&](OpBuilder &b, Location loc, Value x) {
        return mathOp(b, loc, function.name, x);
      };
      std::string name = function.name;
      kernels->add("precise_" + name, f32, vector, body);
      kernels->add("scalar_" + name, f32, f32, body);
      kernels->add("odd_" + name, f32, VectorType::get({3}, f32), body);
      kernels->add("square_" + name, f32, VectorType::get({2, 8}, f32), body);
      for (Type half : {Type(b.getF16Type()), Type(b.getBF16Type())}) {
        std::string prefix = half.isF16() ? "f16_" : "bf16_";
        kernels->add(prefix + name, f32, vector,
                     [&](OpBuilder &b, Location loc, Value x) {
                       auto type = VectorType::get({16}, half);
                       x = arith::TruncFOp::create(b, loc, type, x);
                       x = mathOp(b, loc, function.name, x);
                       return arith::ExtFOp::create(b, loc, vector, x);
                     });
      }
    }
    for (const Pointwise &activation : pointwise)
      kernels->add(activation.name(), f32, vector,
                   [&](OpBuilder &b, Location loc, Value x) -> Value {
                     return ActivationOp::create(
                         b, loc, x.getType(), x,
                         activation.attr(kernels->getContext()));
                   });
    for (ActivationKind kind :
         {ActivationKind::softmax, ActivationKind::log_softmax,
          ActivationKind::sparsemax})
      kernels->addRowwise(stringifyActivationKind(kind),
                          ActAttr::get(&kernels->getContext(), kind), f32);
    kernels->compile(populateApproximateMathPatterns, /*libm=*/false);
  }

  static void TearDownTestSuite() {
    delete kernels;
    kernels = nullptr;
  }

  /// The largest error of a kernel over a sweep, printed with its place.
  static double sweep(const std::string &name, Reference reference,
                      double (*error)(float, double), const char *unit) {
    // A prime, so that all low bits occur; and the special values, which it
    // might miss.
    const char *exhaustive = std::getenv("GRU_EXHAUSTIVE");
    const uint64_t stride = exhaustive && *exhaustive == '1' ? 1 : 4093;
    constexpr size_t chunk = 4096;
    std::vector<float> in, out;
    double worst = 0;
    float place = 0;
    auto flush = [&] {
      in.resize((in.size() + 15) / 16 * 16, 1.0f);
      kernels->run(name, in, out);
      for (size_t i = 0; i < in.size(); ++i) {
        double expected = reference(in[i]);
        // inf * 0 and inf - inf of a formula are not worth defining.
        if (std::isnan(expected) && std::isinf(in[i]))
          continue;
        double found = error(out[i], expected);
        if (found > worst) {
          worst = found;
          place = in[i];
        }
      }
      in.clear();
    };
    for (float value :
         {0.0f, -0.0f, 0x1p-126f, -0x1p-126f, 0x1p-149f,
          std::numeric_limits<float>::max(),
          std::numeric_limits<float>::lowest(),
          std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity(),
          std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0xffc00000u),
          std::bit_cast<float>(0x7f800001u), std::bit_cast<float>(0xffffffffu)})
      in.push_back(value);
    flush();
    for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += stride) {
      in.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
      if (in.size() == chunk)
        flush();
    }
    flush();
    std::printf("             %-40s %.4f %s at %.9g\n", name.c_str(), worst,
                unit, static_cast<double>(place));
    return worst;
  }

  static std::vector<float> apply(const std::string &name,
                                  const std::vector<float> &in) {
    std::vector<float> out;
    kernels->run(name, in, out);
    return out;
  }

  static Kernels *kernels;
};
Kernels *Activation::kernels = nullptr;

TEST_F(Activation, statedAccuracy) {
  for (const Precise &function : precise)
    EXPECT_LE(sweep(std::string("precise_") + function.name, function.reference,
                    ulpError, "ulp"),
              function.ulps)
        << function.name;
}

TEST_F(Activation, followsItsFormula) {
  for (const Pointwise &activation : pointwise)
    EXPECT_LE(sweep(activation.name(), activation.reference, combinedError,
                    "of 1e-6 + 2e-6 |y|"),
              1)
        << activation.name();
}

TEST_F(Activation, limitsAndZeros) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> ends(48, 0.0f);
  ends[0] = infinity;
  ends[1] = -infinity;
  ends[2] = -0.0f;
  struct {
    const char *name;
    float atInfinity, atMinusInfinity;
  } limits[] = {
      {"precise_exp", infinity, 0},    {"precise_expm1", infinity, -1},
      {"precise_tanh", 1, -1},         {"precise_sigmoid", 1, 0},
      {"precise_erf", 1, -1},          {"act_relu", infinity, 0},
      {"act_softplus", infinity, 0},   {"act_elu", infinity, -1},
      {"act_hard_sigmoid", 1, 0},      {"act_log_sigmoid", 0, -infinity},
      {"act_squareplus", infinity, 0},
  };
  for (auto &limit : limits) {
    std::vector<float> y = apply(limit.name, ends);
    EXPECT_EQ(y[0], limit.atInfinity) << limit.name;
    EXPECT_EQ(y[1], limit.atMinusInfinity) << limit.name;
  }
  EXPECT_TRUE(std::signbit(apply("precise_tanh", ends)[2]));
  EXPECT_TRUE(std::signbit(apply("precise_erf", ends)[2]));
  // log and log1p at and below their poles.
  std::vector<float> log = apply("precise_log", ends);
  EXPECT_EQ(log[0], infinity);
  EXPECT_TRUE(std::isnan(log[1]));
  EXPECT_EQ(log[2], -infinity);
  std::vector<float> log1p = apply("precise_log1p", std::vector<float>(16, -1));
  EXPECT_EQ(log1p[0], -infinity);
}

TEST_F(Activation, boundedOnesStayInBounds) {
  std::vector<float> in;
  for (int i = -48000; i < 48000; ++i)
    in.push_back(static_cast<float>(i) * 0.002f);
  for (float y : apply("precise_tanh", in))
    ASSERT_LE(std::fabs(y), 1);
  for (float y : apply("precise_erf", in))
    ASSERT_LE(std::fabs(y), 1);
  for (float y : apply("precise_sigmoid", in)) {
    ASSERT_GE(y, 0);
    ASSERT_LE(y, 1);
  }
}

TEST_F(Activation, shapesGiveTheSameBits) {
  std::vector<float> in;
  std::mt19937 generator(11);
  while (in.size() < 48 * 200)
    in.push_back(std::bit_cast<float>(static_cast<uint32_t>(generator())));
  for (const Precise &function : precise) {
    std::string name = function.name;
    std::vector<float> expected = apply("precise_" + name, in);
    for (const char *prefix : {"scalar_", "odd_", "square_"}) {
      std::vector<float> found = apply(prefix + name, in);
      for (size_t i = 0; i < in.size(); ++i) {
        if (std::isnan(expected[i]) && std::isnan(found[i]))
          continue;
        ASSERT_EQ(std::bit_cast<uint32_t>(found[i]),
                  std::bit_cast<uint32_t>(expected[i]))
            << prefix << name << " of " << in[i];
      }
    }
  }
}

TEST_F(Activation, halfTypesAreRoundedOnce) {
  // Exact in both types.
  std::vector<float> in;
  for (int i = -128; i < 128; ++i)
    in.push_back(static_cast<float>(i) / 16);
  for (const Precise &function : precise)
    for (const char *prefix : {"f16_", "bf16_"}) {
      std::vector<float> out = apply(prefix + std::string(function.name), in);
      double epsilon = prefix[0] == 'f' ? 0x1p-11 : 0x1p-8;
      for (size_t i = 0; i < in.size(); ++i) {
        double expected = function.reference(in[i]);
        if (!std::isfinite(expected))
          continue;
        // Half an ulp, and what f32 adds; f16 is denormal below 2^-14.
        ASSERT_NEAR(out[i], expected,
                    std::fabs(expected) * epsilon * 1.001 + 0x1p-25)
            << prefix << function.name << " of " << in[i];
      }
    }
}

TEST_F(Activation, callsNothing) {
  kernels->find("precise_exp");
  auto features = llvm::sys::getHostCPUFeatures();
  bool hasFma = !features.contains("fma") || features.lookup("fma");
  for (const std::string &name : kernels->undefinedSymbols())
    EXPECT_TRUE(!hasFma && name == "fmaf") << name;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

std::vector<double> softmaxOf(std::vector<double> x) {
  double m = *llvm::max_element(x), sum = 0;
  for (double &v : x)
    sum += v = std::exp(v - m);
  for (double &v : x)
    v /= sum;
  return x;
}

std::vector<double> logSoftmaxOf(std::vector<double> x) {
  double m = *llvm::max_element(x), sum = 0;
  for (double v : x)
    sum += std::exp(v - m);
  for (double &v : x)
    v = v - m - std::log(sum);
  return x;
}

/// As Keras writes it: sorted, with the sum of the cumulative sums.
std::vector<double> sparsemaxOf(std::vector<double> x) {
  std::vector<double> sorted = x;
  llvm::sort(sorted, std::greater<>());
  double cumulative = 0, total = 0;
  int64_t size = 0;
  for (size_t k = 1; k <= sorted.size(); ++k) {
    cumulative += sorted[k - 1];
    if (sorted[k - 1] - (cumulative - 1) / static_cast<double>(k) > 0) {
      total += cumulative;
      ++size;
    }
  }
  double tau = (total - 1) / static_cast<double>(size);
  for (double &v : x)
    v = std::fmax(v - tau, 0);
  return x;
}

struct Rowwise {
  const char *name;
  std::vector<double> (*reference)(std::vector<double>);
};
const Rowwise rowwise[] = {{"softmax", softmaxOf},
                           {"log_softmax", logSoftmaxOf},
                           {"sparsemax", sparsemaxOf}};

/// Rows of one element, with ties, far apart, and random ones.
std::vector<std::vector<float>> sampleRows() {
  std::vector<std::vector<float>> rows = {
      {3},
      {-100},
      {1, 1},
      {0.5, 0.5, 0.5, 0.5},
      {2, 1, 2, 1, 2},
      {0.25, 0.5, 0.25, 0, 0.5, 0.25, -1},
      {100, -100, 0},
      {-1000, -1001, -1000.5},
      {88, 89, 90},
      {0, -0.0f, 0, -0.0f},
  };
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  for (size_t n : {2, 3, 7, 16, 33, 96})
    for (float scale : {0.1f, 1.0f, 10.0f}) {
      std::vector<float> row(n);
      for (float &v : row)
        v = scale * normal(generator);
      rows.push_back(row);
      // The same on a grid, for ties; sums on it are exact.
      for (float &v : row)
        v = std::round(v * 4) / 4;
      rows.push_back(row);
    }
  return rows;
}

TEST_F(Activation, rowwise) {
  for (const Rowwise &activation : rowwise)
    for (const std::vector<float> &row : sampleRows())
      for (int64_t stride : {1, 3}) {
        int64_t n = static_cast<int64_t>(row.size());
        std::vector<double> expected =
            activation.reference({row.begin(), row.end()});
        std::vector<float> buffer(row.size() * stride + 1, -7.0f);
        for (int64_t i = 0; i < n; ++i)
          buffer[i * stride] = row[i];
        kernels->runRowwise(activation.name, buffer.data(), n, stride);
        for (int64_t i = 0; i < n; ++i)
          EXPECT_NEAR(buffer[i * stride], expected[i],
                      2e-6 + 4e-6 * std::fabs(expected[i]))
              << activation.name << " n=" << n << " i=" << i;
        // Nothing between or behind the elements is touched.
        EXPECT_EQ(buffer.back(), -7.0f);
        if (stride > 1) {
          EXPECT_EQ(buffer[1], -7.0f);
        }
      }
}

TEST_F(Activation, rowwiseKeepsNaN) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> row = {0, nan, 1};
  for (const char *name : {"softmax", "log_softmax"}) {
    std::vector<float> y = row;
    kernels->runRowwise(name, y.data(), 3, 1);
    for (float v : y)
      EXPECT_TRUE(std::isnan(v)) << name;
  }
  kernels->runRowwise("sparsemax", row.data(), 3, 1);
  EXPECT_TRUE(std::isnan(row[1]));
}

//===----------------------------------------------------------------------===//
// f64, and formulas without approximations
//===----------------------------------------------------------------------===//

/// The reference target's way: formulas only, the rest by libm.
TEST(ActivationReference, followsItsFormulaInDouble) {
  Kernels kernels;
  OpBuilder &b = kernels.getBuilder();
  Type f64 = b.getF64Type();
  for (const Pointwise &activation : pointwise)
    kernels.add(activation.name(), f64, f64,
                [&](OpBuilder &b, Location loc, Value x) -> Value {
                  return ActivationOp::create(
                      b, loc, x.getType(), x,
                      activation.attr(kernels.getContext()));
                });
  for (const Rowwise &activation : rowwise)
    kernels.addRowwise(activation.name,
                       ActAttr::get(&kernels.getContext(),
                                    *symbolizeActivationKind(activation.name)),
                       f64);
  kernels.compile(populateExpandActivationPatterns, /*libm=*/true);
  if (HasFatalFailure())
    return;
  // So that the list of the other tests is empty for the right reason.
  kernels.find("act_tanh");
  EXPECT_TRUE(llvm::is_contained(kernels.undefinedSymbols(), "tanh"));

  std::vector<double> in = {0, 1e-300, -1e-300, 1e300, -1e300, std::nan("")};
  for (int i = -4000; i <= 4000; ++i)
    in.push_back(i / 80.0);
  for (double x = 1e-12; x < 1e5; x *= 1.7) {
    in.push_back(x);
    in.push_back(-x);
  }
  for (const Pointwise &activation : pointwise) {
    std::vector<double> out;
    kernels.run(activation.name(), in, out);
    for (size_t i = 0; i < in.size(); ++i) {
      double expected = activation.reference(in[i]);
      if (!std::isfinite(expected)) {
        EXPECT_EQ(std::isnan(out[i]), std::isnan(expected))
            << activation.name() << " of " << in[i];
        continue;
      }
      EXPECT_NEAR(out[i], expected, 1e-15 + 1e-14 * std::fabs(expected))
          << activation.name() << " of " << in[i];
    }
  }
  for (const Rowwise &activation : rowwise)
    for (const std::vector<float> &row : sampleRows()) {
      std::vector<double> y(row.begin(), row.end());
      std::vector<double> expected = activation.reference(y);
      kernels.runRowwise(activation.name, y.data(),
                         static_cast<int64_t>(y.size()), 1);
      for (size_t i = 0; i < y.size(); ++i)
        EXPECT_NEAR(y[i], expected[i], 1e-14 + 1e-13 * std::fabs(expected[i]))
            << activation.name;
    }
}

/// Where formulas were expanded before, approximations still apply to them.
TEST(ActivationReference, expandedFirst) {
  Kernels kernels;
  OpBuilder &b = kernels.getBuilder();
  Type f32 = b.getF32Type();
  kernels.add("sigmoid", f32, VectorType::get({16}, f32),
              [&](OpBuilder &b, Location loc, Value x) {
                return expandActivation(
                    b, loc,
                    ActAttr::get(b.getContext(), ActivationKind::sigmoid), x);
              });
  kernels.compile(populateApproximateMathPatterns, /*libm=*/false);
  if (HasFatalFailure())
    return;
  std::vector<float> in, out;
  for (int i = -87 * 512; i < 87 * 512; ++i)
    in.push_back(static_cast<float>(i) / 512);
  kernels.run("sigmoid", in, out);
  for (size_t i = 0; i < in.size(); ++i)
    ASSERT_LE(ulpError(out[i], sigmoid(in[i])), 2.5) << in[i];
  EXPECT_TRUE(kernels.undefinedSymbols().empty());
}

} // namespace
