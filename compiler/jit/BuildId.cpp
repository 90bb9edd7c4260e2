//===- BuildId.cpp - which compiler this is -------------------------------===//

#include "compiler/jit/BuildId.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

#include <elf.h>
#include <link.h>

using namespace llvm;

namespace {
/// The loaded file that holds an address.
struct Module {
  uintptr_t address;
  std::string path;
  ArrayRef<uint8_t> id;
};
} // namespace

static ArrayRef<uint8_t> findId(const uint8_t *notes, size_t size) {
  auto padded = [](size_t bytes) { return (bytes + 3) & ~size_t(3); };
  while (size >= sizeof(ElfW(Nhdr))) {
    auto *note = reinterpret_cast<const ElfW(Nhdr) *>(notes);
    size_t name = sizeof(*note), data = name + padded(note->n_namesz);
    size_t end = data + padded(note->n_descsz);
    if (end > size)
      break;
    if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
        StringRef(reinterpret_cast<const char *>(notes) + name, 3) == "GNU")
      return {notes + data, note->n_descsz};
    notes += end;
    size -= end;
  }
  return {};
}

static int visit(dl_phdr_info *info, size_t, void *argument) {
  auto &module = *static_cast<Module *>(argument);
  ArrayRef<ElfW(Phdr)> segments(info->dlpi_phdr, info->dlpi_phnum);
  bool holds = any_of(segments, [&](const ElfW(Phdr) & segment) {
    return segment.p_type == PT_LOAD &&
           module.address - (info->dlpi_addr + segment.p_vaddr) <
               segment.p_memsz;
  });
  if (!holds)
    return 0;
  module.path = info->dlpi_name;
  for (const ElfW(Phdr) &segment : segments)
    if (segment.p_type == PT_NOTE && module.id.empty())
      module.id = findId(
          reinterpret_cast<const uint8_t *>(info->dlpi_addr + segment.p_vaddr),
          segment.p_memsz);
  return 1;
}

template <typename Function> static std::string describe(Function *function) {
  Module module{reinterpret_cast<uintptr_t>(function), {}, {}};
  dl_iterate_phdr(visit, &module);
  if (!module.id.empty())
    return toHex(module.id);
  // The program itself has no name in the loader's list.
  std::string path = module.path.empty() ? "/proc/self/exe" : module.path;
  std::string text;
  raw_string_ostream os(text);
  os << path;
  sys::fs::file_status status;
  if (!sys::fs::status(path, status))
    os << ' ' << status.getSize() << ' '
       << status.getLastModificationTime().time_since_epoch().count();
  return text;
}

StringRef gru::getBuildId() {
  static const std::string id = "LLVM " LLVM_VERSION_STRING " " +
                                describe(&getBuildId) + " " +
                                describe(&sys::getHostCPUName) + " " +
                                describe(&mlir::registerMLIRContextCLOptions);
  return id;
}
