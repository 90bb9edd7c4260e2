//===- CacheTest.cpp - compiled kernels in memory and on disk -------------===//

#include "compiler/api/Tune.h"
#include "compiler/jit/DiskCache.h"
#include "compiler/jit/OnceCache.h"
#include "gru/gru.hpp"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace gru;
namespace fs = llvm::sys::fs;

namespace {

/// A folder that goes away with the test.
class DiskCacheTest : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<128> path;
    ASSERT_FALSE(fs::createUniqueDirectory("gru-cache-test", path));
    folder = std::string(path);
  }
  void TearDown() override {
    unsetenv("GRU_CACHE_SIZE");
    (void)fs::remove_directories(folder);
  }

  /// The path of the one entry.
  std::string only() {
    std::vector<DiskCache::Item> items = DiskCache(folder).list();
    EXPECT_EQ(items.size(), 1u);
    return items.empty() ? "" : items.front().path;
  }

  std::string folder;
};

KernelEntry makeEntry(size_t size = 100, char fill = 'x') {
  return {"cpu, any", "the plan", std::string(size, fill)};
}

std::string readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void writeFile(const std::string &path, const std::string &bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

bool succeeded(llvm::Error error) {
  bool failed = bool(error);
  llvm::consumeError(std::move(error));
  return !failed;
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

TEST(KernelEntry, AnyFlippedByteIsNoticed) {
  std::string bytes = writeEntry("key", makeEntry());
  ASSERT_TRUE(readEntry("key", bytes));
  for (size_t i = 0; i < bytes.size(); ++i)
    for (unsigned bit : {0x01u, 0x80u, 0xffu}) {
      std::string damaged = bytes;
      damaged[i] = char(damaged[i] ^ bit);
      EXPECT_FALSE(readEntry("key", damaged)) << "byte " << i;
    }
}

TEST(KernelEntry, AnyLengthButItsOwnIsNoticed) {
  std::string bytes = writeEntry("key", makeEntry());
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(readEntry("key", bytes.substr(0, size))) << size;
  EXPECT_FALSE(readEntry("key", bytes + '\0'));
  EXPECT_FALSE(readEntry("key", bytes + bytes));
}

TEST(KernelEntry, BelongsToItsKey) {
  std::string bytes = writeEntry("key", makeEntry());
  EXPECT_FALSE(readEntry("other", bytes));
  std::optional<KernelEntry> entry = readEntry("", bytes);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->plan, "the plan");
  EXPECT_EQ(entry->object, std::string(100, 'x'));
}

//===----------------------------------------------------------------------===//
// The folder
//===----------------------------------------------------------------------===//

TEST_F(DiskCacheTest, KeepsEntries) {
  DiskCache cache(folder + "/made/on/demand");
  EXPECT_FALSE(cache.read("a"));
  ASSERT_TRUE(succeeded(cache.write("a", makeEntry())));
  ASSERT_TRUE(succeeded(cache.write("b", makeEntry(7))));
  ASSERT_TRUE(cache.read("a"));
  EXPECT_EQ(cache.read("b")->object.size(), 7u);
  EXPECT_EQ(cache.list().size(), 2u);
  EXPECT_TRUE(cache.list()[0].entry);
  ASSERT_TRUE(succeeded(cache.clear()));
  EXPECT_FALSE(cache.read("a"));
}

TEST_F(DiskCacheTest, WithoutFolderKeepsNothing) {
  DiskCache cache("");
  EXPECT_TRUE(succeeded(cache.write("a", makeEntry())));
  EXPECT_FALSE(cache.read("a"));
  EXPECT_TRUE(cache.list().empty());
}

TEST_F(DiskCacheTest, DamagedEntriesAreMissesAndReplaced) {
  DiskCache cache(folder);
  ASSERT_TRUE(succeeded(cache.write("a", makeEntry())));
  std::string path = only(), good = readFile(path);
  for (const std::string &bad :
       {std::string(), good.substr(1), good.substr(0, good.size() / 2),
        std::string(5000, '\xff')}) {
    writeFile(path, bad);
    EXPECT_FALSE(cache.read("a"));
    ASSERT_TRUE(succeeded(cache.write("a", makeEntry())));
    EXPECT_TRUE(cache.read("a"));
  }
}

TEST_F(DiskCacheTest, OnlyFilesAreRead) {
  DiskCache cache(folder);
  ASSERT_TRUE(succeeded(cache.write("a", makeEntry())));
  std::string path = only();
  ASSERT_EQ(unlink(path.c_str()), 0);
  // Opening a pipe that nobody writes to would not return.
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(cache.read("a"));
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_FALSE(cache.read("a"));
  EXPECT_FALSE(succeeded(cache.write("a", makeEntry())));
}

TEST_F(DiskCacheTest, EntriesOfOthersAreNotRun) {
  if (geteuid() != 0)
    GTEST_SKIP() << "only root can give files away";
  DiskCache cache(folder);
  ASSERT_TRUE(succeeded(cache.write("a", makeEntry())));
  std::string path = only();
  ASSERT_EQ(chown(path.c_str(), 12345, 12345), 0);
  EXPECT_FALSE(cache.read("a"));
}

TEST_F(DiskCacheTest, FolderThatCannotBeMadeIsAnError) {
  writeFile(folder + "/file", "");
  llvm::Error error =
      DiskCache(folder + "/file/inside").write("a", makeEntry());
  ASSERT_TRUE(bool(error));
  EXPECT_NE(llvm::toString(std::move(error)).find("cache: cannot write"),
            std::string::npos);
}

/// Runs `body` in a process of its own; what it returns is the exit code.
template <typename Body> pid_t inProcess(Body body) {
  pid_t child = fork();
  if (child == 0)
    _exit(body());
  return child;
}

int waitFor(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(DiskCacheTest, FullDiskIsAnErrorAndLeavesNothing) {
  pid_t child = inProcess([&] {
    // Writing fails beyond this size, as on a full disk.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    DiskCache cache(folder);
    bool large = succeeded(cache.write("large", makeEntry(100'000)));
    bool small = succeeded(cache.write("small", makeEntry(10)));
    return !large && small ? 0 : 1;
  });
  EXPECT_EQ(waitFor(child), 0);
  EXPECT_FALSE(DiskCache(folder).read("large"));
  EXPECT_TRUE(DiskCache(folder).read("small"));
  EXPECT_EQ(DiskCache(folder).list().size(), 1u);
}

TEST_F(DiskCacheTest, KilledWritersLeaveWholeEntriesOrNone) {
  DiskCache cache(folder);
  KernelEntry entry = makeEntry(300'000, 'k');
  bool found = false;
  for (int round = 0; round < 20; ++round) {
    pid_t child = inProcess([&] {
      for (;;)
        (void)succeeded(cache.write("a", entry));
      return 0;
    });
    for (int i = 0; i < 20; ++i) {
      std::optional<KernelEntry> read = cache.read("a");
      found |= bool(read);
      ASSERT_TRUE(!read || read->object == entry.object);
      usleep(100);
    }
    kill(child, SIGKILL);
    waitFor(child);
  }
  EXPECT_TRUE(found);
  ASSERT_TRUE(succeeded(cache.clear()));
  EXPECT_TRUE(cache.list().empty());
}

TEST_F(DiskCacheTest, ManyWritersAndReaders) {
  DiskCache cache(folder);
  std::atomic<int> wrong{0};
  std::vector<pid_t> processes;
  for (int p = 0; p < 2; ++p)
    processes.push_back(inProcess([&] {
      std::vector<std::thread> threads;
      for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
          for (int i = 0; i < 60; ++i) {
            std::string key = std::to_string((i + t) % 5);
            if (t > 0)
              wrong += !succeeded(cache.write(key, makeEntry(20'000, key[0])));
            std::optional<KernelEntry> read = cache.read(key);
            wrong += read && read->object != std::string(20'000, key[0]);
          }
        });
      for (std::thread &thread : threads)
        thread.join();
      return wrong == 0 ? 0 : 1;
    }));
  for (pid_t process : processes)
    EXPECT_EQ(waitFor(process), 0);
  EXPECT_EQ(cache.list().size(), 5u);
}

TEST_F(DiskCacheTest, GrowsToItsBound) {
  setenv("GRU_CACHE_SIZE", "100k", 1);
  DiskCache cache(folder);
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(succeeded(cache.write(std::to_string(i), makeEntry(10'000))));
  uint64_t bytes = 0;
  for (const DiskCache::Item &item : cache.list())
    bytes += item.bytes;
  EXPECT_LE(bytes, 100u * 1024);
  EXPECT_GE(bytes, 80u * 1024);
  EXPECT_TRUE(cache.read("39")) << "what is newest stays";
  EXPECT_FALSE(cache.read("1"));
}

TEST_F(DiskCacheTest, BoundMustBeANumber) {
  setenv("GRU_CACHE_SIZE", "much", 1);
  llvm::Error error = DiskCache(folder).write("a", makeEntry());
  ASSERT_TRUE(bool(error));
  EXPECT_NE(llvm::toString(std::move(error)).find("GRU_CACHE_SIZE is 'much'"),
            std::string::npos);
}

//===----------------------------------------------------------------------===//
// In memory
//===----------------------------------------------------------------------===//

OnceCache<int>::Result number(int value) {
  return std::make_shared<const int>(value);
}

TEST(OnceCache, MakesOnceForAllWhoAsk) {
  OnceCache<int> cache(4);
  std::atomic<int> made{0}, right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      auto value = cache.get("key", [&] {
        ++made;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return number(7);
      });
      right += value && **value == 7;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(right, 8);
}

TEST(OnceCache, ForgetsFailures) {
  OnceCache<int> cache(4);
  auto failed = cache.get("key", []() -> OnceCache<int>::Result {
    return llvm::createStringError("no");
  });
  EXPECT_EQ(llvm::toString(failed.takeError()), "no");
  auto made = cache.get("key", [] { return number(1); });
  EXPECT_TRUE(bool(made));
}

TEST(OnceCache, ReleasesWhatWasNotUsedForLongest) {
  OnceCache<int> cache(2);
  auto get = [&](llvm::StringRef key) {
    bool made = false;
    auto value = cache.get(key, [&] {
      made = true;
      return number(0);
    });
    std::weak_ptr<const int> weak = llvm::cantFail(std::move(value));
    return std::pair(made, weak);
  };
  std::weak_ptr<const int> a = get("a").second, b = get("b").second;
  EXPECT_FALSE(get("a").first);
  get("c");
  EXPECT_FALSE(a.expired());
  EXPECT_TRUE(b.expired()) << "nobody holds it any more";
  EXPECT_TRUE(get("b").first);
}

//===----------------------------------------------------------------------===//
// Through the interface
//===----------------------------------------------------------------------===//

/// Compiles a layer of so many units and returns the phases that were seen, or
/// what went wrong.
std::vector<std::string> compilePhases(int64_t units, const std::string &folder,
                                       const std::string &name = "gru") {
  GRU layer{.units = units};
  layer.name = name;
  std::vector<float> kernel(4 * 3 * units), recurrent(units * 3 * units),
      bias(6 * units);
  auto model = Model::build(layer, {kernel, recurrent, bias});
  if (!model)
    return {model.error().message()};
  std::vector<std::string> phases;
  CompileOptions options;
  options.cache_dir = folder;
  options.on_phase = [&](std::string_view phase, double) {
    phases.emplace_back(phase);
  };
  options.on_remark = [&](std::string_view text) {
    phases.push_back("remark: " + std::string(text));
  };
  auto program = compile(*model, options);
  if (!program)
    return {program.error().message()};
  Session session = program->session();
  float x[4] = {1, 2, 3, 4}, y[64] = {};
  if (auto done = session.run({{x, {1, 1, 4}}}, {{y, {1, units}}}); !done)
    return {done.error().message()};
  return phases;
}

bool has(const std::vector<std::string> &list, const std::string &what) {
  return std::find(list.begin(), list.end(), what) != list.end();
}

TEST_F(DiskCacheTest, NewProcessTakesWhatAnotherCompiled) {
  auto first = inProcess(
      [&] { return has(compilePhases(9, folder), "codegen") ? 0 : 1; });
  EXPECT_EQ(waitFor(first), 0);
  auto second = inProcess([&] {
    auto phases = compilePhases(9, folder);
    // The second time from memory.
    return phases == std::vector<std::string>{"cache"} &&
                   compilePhases(9, folder).empty()
               ? 0
               : 1;
  });
  EXPECT_EQ(waitFor(second), 0);
}

TEST_F(DiskCacheTest, NewProcessTakesTheTunedBlocks) {
  auto build = [] {
    constexpr int64_t units = 40;
    std::vector<float> kernel(4 * 3 * units), recurrent(units * 3 * units),
        bias(6 * units);
    return Model::build(GRU{.units = units}, {kernel, recurrent, bias});
  };
  // Padding is what is measured here: blocks of 8 units need none.
  constexpr uint64_t leastBytes = (4 + 40 + 2) * 3 * 40 * sizeof(float);
  auto tuned = inProcess([&] {
    auto model = build();
    gru_compile_options options{};
    options.struct_size = sizeof(options);
    options.target = "cpu";
    options.cache_dir = folder.c_str();
    bool worked = succeeded(tune(
        *model->get(), options,
        [](gru_program *program) -> llvm::Expected<double> {
          return double(gru_program_weights_bytes(program));
        },
        llvm::nulls()));
    return worked && options.block_width == 8 && options.block_rows == 1 ? 0
                                                                         : 1;
  });
  EXPECT_EQ(waitFor(tuned), 0);
  auto later = inProcess([&] {
    auto model = build();
    CompileOptions options;
    options.target = "cpu";
    options.cache_dir = folder;
    bool compiled = false;
    options.on_phase = [&](std::string_view phase, double) {
      compiled |= phase == "codegen";
    };
    auto program = compile(*model, options);
    return !compiled && gru_program_weights_bytes(program->get()) <= leastBytes
               ? 0
               : 1;
  });
  EXPECT_EQ(waitFor(later), 0);
  auto refused = inProcess([&] {
    auto model = build();
    gru_compile_options options{};
    options.struct_size = sizeof(options);
    options.target = "reference";
    return succeeded(tune(*model->get(), options, {}, llvm::nulls())) ? 1 : 0;
  });
  EXPECT_EQ(waitFor(refused), 0);
}

TEST_F(DiskCacheTest, EveryDamageCompilesAgain) {
  waitFor(inProcess([&] { return int(compilePhases(5, folder).size()); }));
  ASSERT_EQ(DiskCache(folder).list().size(), 2u) << "one entry per key";
  for (int variant = 0; variant < 3; ++variant) {
    for (const DiskCache::Item &item : DiskCache(folder).list()) {
      std::string bytes = readFile(item.path);
      if (variant == 0)
        bytes[bytes.size() / 2] ^= 1;
      writeFile(item.path, variant == 1   ? bytes.substr(0, 100)
                           : variant == 2 ? std::string()
                                          : bytes);
    }
    auto child = inProcess(
        [&] { return has(compilePhases(5, folder), "codegen") ? 0 : 1; });
    EXPECT_EQ(waitFor(child), 0) << variant;
    for (const DiskCache::Item &item : DiskCache(folder).list())
      EXPECT_TRUE(item.entry) << "written again";
  }
}

TEST_F(DiskCacheTest, EqualModelsOfOtherNamesShareCode) {
  auto child = inProcess([&] {
    auto phases = compilePhases(6, folder, "one");
    auto again = compilePhases(6, folder, "two");
    return has(phases, "codegen") && has(again, "import") &&
                   !has(again, "codegen")
               ? 0
               : 1;
  });
  EXPECT_EQ(waitFor(child), 0);
  child = inProcess([&] {
    auto phases = compilePhases(6, folder, "three");
    return has(phases, "cache") && !has(phases, "codegen") ? 0 : 1;
  });
  EXPECT_EQ(waitFor(child), 0);
}

TEST_F(DiskCacheTest, UnusableFolderIsOneRemark) {
  writeFile(folder + "/file", "");
  auto phases = compilePhases(11, folder + "/file/inside");
  EXPECT_TRUE(has(phases, "codegen"));
  int remarks = 0;
  for (const std::string &phase : phases)
    remarks += phase.starts_with("remark: cache: cannot write");
  EXPECT_EQ(remarks, 1);
}

} // namespace
