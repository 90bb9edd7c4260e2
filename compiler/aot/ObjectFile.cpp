//===- ObjectFile.cpp - code, its symbols, and the link -------------------===//

#include "compiler/aot/Artifact.h"
#include "compiler/jit/Compiler.h"
#include "compiler/jit/KernelSymbols.h"

#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

using namespace gru;

/// The names of what the object takes from elsewhere, as C writes them.
static llvm::Expected<std::vector<std::string>>
findUndefined(llvm::MemoryBufferRef bytes) {
  auto file = llvm::object::ObjectFile::createObjectFile(bytes);
  if (!file)
    return file.takeError();
  std::vector<std::string> names;
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    llvm::Expected<uint32_t> flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    if (!(*flags & llvm::object::BasicSymbolRef::SF_Undefined) ||
        (*flags & llvm::object::BasicSymbolRef::SF_FormatSpecific))
      continue;
    llvm::Expected<llvm::StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    llvm::StringRef text = *name;
    if ((*file)->isMachO())
      text.consume_front("_");
    // Not a function: says that floating-point numbers occur.
    if (!text.empty() && !((*file)->isCOFF() && text == "_fltused"))
      names.push_back(text.str());
  }
  llvm::sort(names);
  return names;
}

llvm::Error gru::emitObject(llvm::Module &module, llvm::TargetMachine &machine,
                            llvm::SmallVectorImpl<char> &object,
                            std::vector<std::string> &needed) {
  // A host drops the functions that it does not call.
  machine.Options.FunctionSections = machine.Options.DataSections = true;
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    // Frames are small and bounded: no probes, which Windows would call.
    function.addFnAttr("no-stack-arg-probe");
    // Windows demands of every frame that it can be walked.
    if (machine.getTargetTriple().isOSWindows())
      function.setUWTableKind(llvm::UWTableKind::Async);
  }
  if (llvm::Error error =
          emitCode(module, machine, llvm::CodeGenFileType::ObjectFile, object))
    return error;
  llvm::Expected<std::vector<std::string>> undefined =
      findUndefined({llvm::StringRef(object.data(), object.size()), "object"});
  if (!undefined)
    return undefined.takeError();
  for (const std::string &name : *undefined)
    if (llvm::none_of(getKernelSymbols(), [&](const KernelSymbol &symbol) {
          return symbol.name == name;
        }))
      return llvm::createStringError(
          "the code for " + machine.getTargetTriple().str() + ", cpu '" +
          machine.getTargetCPU() + "', would call '" + name +
          "', which is not in every C library; another --mcpu may have an "
          "instruction for it");
  needed = std::move(*undefined);
  return llvm::Error::success();
}

/// lld beside the LLVM that we were built with, or wherever it is found.
static llvm::Expected<std::string> findLinker() {
  for (llvm::StringRef name : {GRU_LLD, "ld.lld-22", "ld.lld"})
    if (auto path = llvm::sys::findProgramByName(name))
      return *path;
  return llvm::createStringError(
      "emit: shared needs ld.lld (Debian's package lld-22); with --emit=obj a "
      "linker of your own does");
}

llvm::Error gru::linkShared(llvm::ArrayRef<char> object,
                            const llvm::Triple &triple, llvm::StringRef name,
                            llvm::raw_ostream &os) {
  if (!triple.isOSBinFormatELF())
    return llvm::createStringError(
        "emit: shared is for ELF, found " + triple.str() +
        "; take --emit=obj and the linker of that system");
  llvm::Expected<std::string> linker = findLinker();
  if (!linker)
    return linker.takeError();
  llvm::SmallString<128> input, output, messages;
  int fd;
  if (auto error = llvm::sys::fs::createTemporaryFile("gru", "o", fd, input))
    return llvm::createStringError(error, "cannot make a temporary file");
  llvm::FileRemover removeInput(input);
  llvm::raw_fd_ostream(fd, /*shouldClose=*/true)
      .write(object.data(), object.size());
  if (auto error = llvm::sys::fs::createTemporaryFile("gru", "so", output))
    return llvm::createStringError(error, "cannot make a temporary file");
  llvm::FileRemover removeOutput(output);
  if (auto error = llvm::sys::fs::createTemporaryFile("gru", "txt", messages))
    return llvm::createStringError(error, "cannot make a temporary file");
  llvm::FileRemover removeMessages(messages);
  std::string soname = (name + ".so").str();
  int status = llvm::sys::ExecuteAndWait(
      *linker,
      {*linker, "-shared", "--gc-sections", "-z", "noexecstack", "-z", "relro",
       "--build-id=sha1", "--soname", soname, "-o", output, input},
      std::nullopt, {std::nullopt, messages.str(), messages.str()});
  if (status != 0) {
    auto text = llvm::MemoryBuffer::getFile(messages);
    return llvm::createStringError(
        "linking with " + *linker + " failed: " +
        (text ? (*text)->getBuffer().rtrim().str() : std::string()));
  }
  auto library = llvm::MemoryBuffer::getFile(output);
  if (!library)
    return llvm::createStringError(library.getError(),
                                   "cannot read what the linker wrote");
  os << (*library)->getBuffer();
  return llvm::Error::success();
}
