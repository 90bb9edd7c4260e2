//===- CommandLine.cpp - options of our own only --------------------------===//

#include "tools/common/CommandLine.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/CommandLine.h"

namespace cl = llvm::cl;

void gru::removeLLVMOptions() {
  llvm::SmallVector<cl::Option *> unwanted;
  for (auto &[name, option] : cl::getRegisteredOptions())
    if (!name.starts_with("help") && name != "h")
      unwanted.push_back(option);
  for (cl::Option *option : unwanted)
    option->removeArgument();
}
