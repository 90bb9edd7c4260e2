//===- CommandLine.cpp - what the tools do with their options -------------===//

#include "tools/common/CommandLine.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"

namespace cl = llvm::cl;

void gru::removeLLVMOptions() {
  llvm::SmallVector<cl::Option *> unwanted;
  for (auto &[name, option] : cl::getRegisteredOptions())
    if (!name.starts_with("help") && name != "h")
      unwanted.push_back(option);
  for (cl::Option *option : unwanted)
    option->removeArgument();
}

llvm::Expected<std::string> gru::readOptionFile(llvm::StringRef option,
                                                llvm::StringRef path) {
  if (path.empty())
    return "";
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!file)
    return llvm::createStringError(option + ": " + path + ": " +
                                   file.getError().message());
  return (*file)->getBuffer().str();
}
