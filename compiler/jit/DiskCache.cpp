//===- DiskCache.cpp - compiled kernels across processes ------------------===//

#include "compiler/jit/DiskCache.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/CachePruning.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <cstdlib>
#include <unistd.h>

using namespace gru;
using namespace llvm;
namespace fs = llvm::sys::fs;

/// LLVM's pruning leaves alone what does not begin so.
static constexpr StringLiteral prefix = "llvmcache-";

std::string DiskCache::getDefaultDirectory() {
  if (const char *given = std::getenv("GRU_CACHE_DIR"))
    return given;
  SmallString<128> path;
  if (!sys::path::cache_directory(path))
    return "";
  sys::path::append(path, "gru");
  return std::string(path);
}

std::string DiskCache::getPath(StringRef key) const {
  SmallString<128> path(directory);
  sys::path::append(path, prefix + key);
  return std::string(path);
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Entries are code that will run: only the user's own are taken, or root's.
static bool isTrusted(const fs::file_status &status) {
  return status.type() == fs::file_type::regular_file &&
         (status.getUser() == geteuid() || status.getUser() == 0);
}

/// File systems keep the time of the last access once a day, or never; what is
/// used must not be pruned before what is not.
static void touch(int file, const fs::file_status &status) {
  sys::TimePoint<> now = std::chrono::system_clock::now();
  if (now - status.getLastAccessedTime() > std::chrono::hours(1))
    (void)fs::setLastAccessAndModificationTime(
        file, now, status.getLastModificationTime());
}

std::optional<KernelEntry> DiskCache::read(StringRef key) const {
  if (!isOn())
    return std::nullopt;
  std::string path = getPath(key);
  fs::file_status status;
  // Asked before opening, which would wait for ever at a pipe.
  if (fs::status(path, status) || !isTrusted(status))
    return std::nullopt;
  Expected<fs::file_t> file = fs::openNativeFileForRead(path);
  if (!file) {
    consumeError(file.takeError());
    return std::nullopt;
  }
  std::optional<KernelEntry> entry;
  if (!fs::status(*file, status) && isTrusted(status)) {
    // Volatile: read, not mapped, so that a file cut short by somebody cannot
    // raise a signal here.
    auto buffer = MemoryBuffer::getOpenFile(*file, path, status.getSize(),
                                            /*RequiresNullTerminator=*/false,
                                            /*IsVolatile=*/true);
    if (buffer)
      entry = readEntry(key, (*buffer)->getBuffer());
    if (entry)
      touch(*file, status);
  }
  (void)fs::closeFile(*file);
  return entry;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static Error cacheError(StringRef path, std::error_code problem) {
  return createStringError(problem, "cache: cannot write '" + path +
                                        "': " + problem.message());
}

Error DiskCache::writeFile(StringRef path, StringRef bytes) const {
  // Others have no business with the code that we will run.
  if (std::error_code problem = fs::create_directories(
          directory, /*IgnoreExisting=*/true, fs::perms::owner_all))
    return cacheError(directory, problem);
  int file;
  SmallString<128> temporary;
  // Not fs::TempFile, which installs signal handlers in the host. A process
  // that is killed here leaves a file that pruning removes.
  std::string model = getPath("writing-%%%%%%%%%%%%");
  if (std::error_code problem =
          fs::createUniqueFile(model, file, temporary, fs::OF_None,
                               fs::perms::owner_read | fs::perms::owner_write))
    return cacheError(path, problem);
  raw_fd_ostream os(file, /*shouldClose=*/true, /*unbuffered=*/true);
  os << bytes;
  os.close();
  std::error_code problem = os.error();
  // An error that stays in the stream ends the process.
  os.clear_error();
  if (!problem)
    problem = fs::rename(temporary, path);
  if (!problem)
    return Error::success();
  (void)fs::remove(temporary);
  return cacheError(path, problem);
}

Error DiskCache::write(StringRef key, const KernelEntry &entry) const {
  if (!isOn())
    return Error::success();
  std::string path = getPath(key);
  std::string bytes = writeEntry(key, entry);
  if (Error error = writeFile(path, bytes)) {
    // Room may be had by removing old entries.
    consumeError(std::move(error));
    consumeError(prune(/*written=*/0));
    if (Error again = writeFile(path, bytes))
      return again;
  }
  return prune(bytes.size());
}

Error DiskCache::prune(uint64_t written) const {
  std::string size = "256m";
  if (const char *given = std::getenv("GRU_CACHE_SIZE"))
    size = given;
  Expected<CachePruningPolicy> policy =
      parseCachePruningPolicy("prune_interval=0s:prune_after=0s:"
                              "cache_size_files=0:cache_size_bytes=" +
                              size);
  if (!policy) {
    consumeError(policy.takeError());
    return createStringError("cache: GRU_CACHE_SIZE is '" + size +
                             "', expected a number of bytes, such as "
                             "100000000 or 100m");
  }
  // Looking at every file of a large folder takes longer than a compilation,
  // so a process does it at first and then once for each sixteenth of the bound
  // that it has written.
  static std::atomic<uint64_t> sinceLast{UINT64_MAX / 2};
  sinceLast += written;
  if (written != 0 && sinceLast < policy->MaxSizeBytes / 16)
    return Error::success();
  sinceLast = 0;
  pruneCache(directory, *policy);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Looking and clearing
//===----------------------------------------------------------------------===//

std::vector<DiskCache::Item> DiskCache::list() const {
  std::vector<Item> items;
  std::error_code problem;
  for (fs::directory_iterator it(directory, problem), end;
       !problem && it != end; it.increment(problem)) {
    StringRef name = sys::path::filename(it->path());
    fs::file_status status;
    if (!name.consume_front(prefix) || fs::status(it->path(), status) ||
        status.type() != fs::file_type::regular_file)
      continue;
    Item item{it->path(), status.getSize(), status.getLastAccessedTime(), {}};
    if (auto buffer = MemoryBuffer::getFile(item.path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false,
                                            /*IsVolatile=*/true))
      item.entry = readEntry(name, (*buffer)->getBuffer());
    items.push_back(std::move(item));
  }
  llvm::sort(items, [](const Item &a, const Item &b) {
    return a.used != b.used ? a.used > b.used : a.path < b.path;
  });
  return items;
}

Error DiskCache::clear() const {
  for (const Item &item : list())
    if (std::error_code problem = fs::remove(item.path))
      return cacheError(item.path, problem);
  return Error::success();
}
