//===- Artifact.cpp - plan and weights of an object -----------------------===//

#include "compiler/aot/Artifact.h"

#include "gru/runtime.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/Constants.h"

using namespace gru;

/// Whether C or C++ has taken the word, or a header that ours includes.
static bool isTaken(llvm::StringRef word) {
  static const llvm::StringSet<> words = [] {
    llvm::SmallVector<llvm::StringRef> list;
    llvm::StringRef(
        "alignas alignof and and_eq asm auto bitand bitor bool break case catch "
        "char char16_t char32_t char8_t class co_await co_return co_yield compl "
        "concept const const_cast consteval constexpr constinit continue "
        "decltype default delete do double dynamic_cast else enum explicit "
        "export extern false float for friend goto if inline int int32_t int64_t "
        "long main mutable namespace new noexcept not not_eq nullptr nullptr_t "
        "offsetof operator or or_eq private protected ptrdiff_t public register "
        "reinterpret_cast requires restrict return short signed size_t sizeof "
        "static static_assert static_cast struct switch template this "
        "thread_local throw true try typedef typeid typename typeof "
        "typeof_unqual uint16_t union unsigned using virtual void volatile "
        "wchar_t while xor xor_eq NULL")
        .split(list, ' ');
    llvm::StringSet<> set;
    for (llvm::StringRef word : list)
      set.insert(word);
    return set;
  }();
  return words.contains(word);
}

std::string gru::toIdentifier(llvm::StringRef text) {
  std::string result;
  for (char c : text)
    result += llvm::isAlnum(c) ? c : '_';
  if (result.empty() || llvm::isDigit(result[0]))
    result = "model_" + result;
  if (isTaken(result))
    result += "_";
  return result;
}

/// A plan without weights and packs: what is fixed need not be described.
static std::string withoutPackProgram(const runtime::Plan &plan) {
  gru_plan_header header = plan.header();
  const char *begin = reinterpret_cast<const char *>(&plan.header());
  auto position = [&](const void *array) {
    return static_cast<const char *>(array) - begin;
  };
  size_t weights = position(plan.weights().data());
  size_t symbols = position(plan.symbols().data());
  size_t packs = position(plan.packs().data());
  size_t scratch = position(plan.scratch().data());
  std::string bytes(begin + sizeof(header), begin + weights);
  bytes.append(begin + symbols, begin + packs);
  bytes.append(begin + scratch, begin + header.size);
  header.num_weights = header.num_packs = 0;
  header.size = sizeof(header) + bytes.size();
  bytes.insert(0, reinterpret_cast<const char *>(&header), sizeof(header));
  return bytes;
}

llvm::Expected<Artifact> Artifact::create(const llvm::Module &module,
                                          llvm::ArrayRef<WeightTensor> weights,
                                          ArtifactOptions options) {
  if (!module.getTargetTriple().isArch64Bit())
    return llvm::createStringError("mtriple: is " +
                                   module.getTargetTriple().str() +
                                   ", expected a target of 64 bits");
  const llvm::GlobalVariable *global = module.getNamedGlobal("gru_plan");
  if (!global)
    return llvm::createStringError("the module has no plan");
  Artifact artifact;
  artifact.planBytes =
      llvm::cast<llvm::ConstantDataArray>(global->getInitializer())
          ->getRawDataValues();
  artifact.plan = std::make_shared<runtime::Plan>();
  if (artifact.plan->read(artifact.planBytes.data(), artifact.planBytes.size()))
    return llvm::createStringError(gru_last_error());
  if (weights.empty() && !artifact.plan->weights().empty()) {
    options.externalWeights = options.hotSwap = true;
  } else {
    std::vector<gru_weight> list;
    for (const WeightTensor &weight : weights)
      list.push_back({weight.name.c_str(), uint32_t(weight.dtype),
                      uint32_t(weight.shape.size()), weight.shape.data(),
                      weight.data.data()});
    artifact.packed.resize(artifact.plan->header().weights_bytes);
    if (gru_pack_weights(artifact.planBytes.data(), artifact.planBytes.size(),
                         list.data(), list.size(), artifact.packed.data(),
                         artifact.packed.size()))
      return llvm::createStringError(gru_last_error());
  }
  if (!options.hotSwap)
    artifact.planBytes = withoutPackProgram(*artifact.plan);
  options.name = toIdentifier(options.name.empty() ? "model" : options.name);
  artifact.options = std::move(options);
  return artifact;
}

std::vector<uint64_t> Artifact::getStreamBytes() const {
  std::vector<uint64_t> coefficients{getScratchOffset(), 0};
  for (const gru_plan_scratch &region : plan->scratch()) {
    coefficients.resize(
        std::max<size_t>(coefficients.size(), region.num_symbols + 1));
    coefficients[region.num_symbols] += region.coefficient;
  }
  return coefficients;
}

int64_t Artifact::getLargestTimesteps() const {
  int64_t low = 1, high = std::numeric_limits<int32_t>::max();
  while (low < high) {
    int64_t middle = low + (high - low + 1) / 2;
    uint64_t bytes;
    if (plan->scratchBytes(middle, bytes))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}
