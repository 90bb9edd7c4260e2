//===- gru-cache.cpp - compiled kernels that are kept on disk -------------===//

#include "compiler/jit/DiskCache.h"
#include "runtime/Plan.h"
#include "tools/common/CommandLine.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatProviders.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace gru;
using namespace llvm;

static const char overview[] =
    "Shows the compiled kernels that are kept on disk.\n"
    "\n"
    "  gru-cache            a line per entry, the one used last first\n"
    "  gru-cache --clear    removes them\n"
    "\n"
    "A kernel has an entry for the model's file and one for what that means.\n"
    "Nothing is lost with a kernel but the time to compile it again.\n";

namespace {
struct Options {
  cl::OptionCategory category{"Options of gru-cache"};
  cl::opt<std::string> directory{
      "cache-dir", cl::cat(category), cl::value_desc("DIR"),
      cl::desc("The folder (by default $GRU_CACHE_DIR, else gru in "
               "$XDG_CACHE_HOME or ~/.cache)")};
  cl::opt<bool> clear{"clear", cl::cat(category),
                      cl::desc("Remove all kernels")};
};
} // namespace

static void printTensors(raw_ostream &os, const runtime::Plan &plan,
                         std::span<const gru_plan_tensor> tensors) {
  ListSeparator separator;
  for (const gru_plan_tensor &tensor : tensors) {
    os << separator << '\'' << plan.name(tensor) << "' [";
    ListSeparator comma;
    for (uint32_t d = 0; d < tensor.rank; ++d) {
      os << comma;
      if (tensor.dims[d] < 0)
        os << '?';
      else
        os << tensor.dims[d];
    }
    os << "] " << gru_dtype_name(tensor.dtype);
  }
}

static void print(raw_ostream &os, const DiskCache::Item &item) {
  os << format("%8.1f kB  ", double(item.bytes) / 1000)
     << formatv("{0:%Y-%m-%d %H:%M}  ",
                sys::toUtcTime(sys::toTimeT(item.used)));
  runtime::Plan plan;
  if (!item.entry ||
      plan.read(item.entry->plan.data(), item.entry->plan.size())) {
    os << "damaged, or of another version\n";
    return;
  }
  os << item.entry->target << ": ";
  printTensors(os, plan, plan.inputs());
  os << " -> ";
  printTensors(os, plan, plan.outputs());
  os << '\n';
}

int main(int argc, char **argv) {
  removeLLVMOptions();
  Options options;
  cl::HideUnrelatedOptions(options.category);
  cl::ParseCommandLineOptions(argc, argv, overview);
  std::string directory = options.directory.getNumOccurrences()
                              ? options.directory
                              : DiskCache::getDefaultDirectory();
  if (directory.empty()) {
    outs() << "no folder: nothing is kept\n";
    return 0;
  }
  DiskCache cache(directory);
  if (options.clear) {
    if (Error error = cache.clear()) {
      errs() << "gru-cache: error: " << toString(std::move(error)) << '\n';
      return 1;
    }
    return 0;
  }
  uint64_t bytes = 0;
  std::vector<DiskCache::Item> items = cache.list();
  for (const DiskCache::Item &item : items) {
    print(outs(), item);
    bytes += item.bytes;
  }
  outs() << directory << ": " << items.size() << " entries, "
         << format("%.1f MB\n", double(bytes) / 1e6);
  return 0;
}
