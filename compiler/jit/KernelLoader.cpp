//===- KernelLoader.cpp - machine code into this process ------------------===//
//
// A kernel is one small object without debug info, thread-local storage or
// constructors, linked once and dropped whole. RuntimeDyld does that in a fifth
// of the time that an ORC session takes to come up (docs/decisions/0009 has the
// figures), which a warm start would notice.
//
//===----------------------------------------------------------------------===//

#include "compiler/jit/KernelLoader.h"

#include "compiler/jit/KernelSymbols.h"

#include "llvm/ExecutionEngine/RuntimeDyld.h"
#include "llvm/ExecutionEngine/SectionMemoryManager.h"
#include "llvm/Object/ObjectFile.h"

using namespace gru;
using namespace llvm;

namespace {
class Resolver final : public JITSymbolResolver {
public:
  void lookup(const LookupSet &names, OnResolvedFunction onResolved) override {
    LookupResult result;
    for (StringRef name : names) {
      const auto *function =
          llvm::find_if(getKernelSymbols(), [&](const KernelSymbol &symbol) {
            return symbol.name == name;
          });
      if (function == getKernelSymbols().end())
        return onResolved(createStringError("the kernel calls '" + name +
                                            "', which kernels may not"));
      result[name] = JITEvaluatedSymbol(
          static_cast<JITTargetAddress>(
              reinterpret_cast<uintptr_t>(function->address)),
          JITSymbolFlags::Exported);
    }
    onResolved(std::move(result));
  }

  Expected<LookupSet> getResponsibilitySet(const LookupSet &) override {
    return LookupSet();
  }
};
} // namespace

/// One piece, so that code and data are within reach of each other.
struct LoadedCode::Memory final : SectionMemoryManager {
  Memory() : SectionMemoryManager(nullptr, /*ReserveAlloc=*/true) {}

  /// RuntimeDyld does not count the table of addresses through which code
  /// calls functions. Without room here it would lie anywhere, and be missed
  /// by addresses of 32 bits where that is far away.
  void reserveAllocationSpace(uintptr_t codeSize, Align codeAlign,
                              uintptr_t readOnlySize, Align readOnlyAlign,
                              uintptr_t size, Align align) override {
    constexpr uint64_t kEntry = sizeof(uint64_t);
    size = alignTo(size, kEntry) + (getKernelSymbols().size() + 1) * kEntry;
    SectionMemoryManager::reserveAllocationSpace(
        codeSize, codeAlign, readOnlySize, readOnlyAlign, size,
        std::max(align, Align(kEntry)));
  }
};

LoadedCode::LoadedCode() : memory(std::make_unique<Memory>()) {}
LoadedCode::~LoadedCode() = default;

Expected<std::shared_ptr<const LoadedCode>> LoadedCode::load(StringRef object) {
  Expected<std::unique_ptr<object::ObjectFile>> file =
      object::ObjectFile::createObjectFile(MemoryBufferRef(object, "kernel"));
  if (!file)
    return file.takeError();
  std::shared_ptr<LoadedCode> code(new LoadedCode);
  SectionMemoryManager &manager = *code->memory;
  Resolver resolver;
  RuntimeDyld linker(manager, resolver);
  linker.loadObject(**file);
  if (!linker.hasError())
    linker.resolveRelocations();
  if (linker.hasError())
    return createStringError("link: " + linker.getErrorString());
  std::string problem;
  if (manager.finalizeMemory(&problem))
    return createStringError("link: cannot make the kernel executable: " +
                             problem);
  JITEvaluatedSymbol symbol = linker.getSymbol("gru_kernel");
  if (!symbol)
    return createStringError("link: the object does not define gru_kernel");
  code->entry =
      reinterpret_cast<gru_kernel>(static_cast<uintptr_t>(symbol.getAddress()));
  return std::shared_ptr<const LoadedCode>(std::move(code));
}
