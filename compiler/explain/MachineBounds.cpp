//===- MachineBounds.cpp - the least time that work can take --------------===//

#include "compiler/explain/MachineBounds.h"

#include "compiler/jit/DiskCache.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unistd.h>

using namespace gru;
using namespace llvm;

double MachineBounds::getNanoseconds(double flops, double bytes,
                                     uint64_t workingSet) const {
  double time = gigaflops > 0 ? flops / gigaflops : 0;
  for (const Level &level : levels)
    if (workingSet <= level.bytes) {
      time = std::max(time, bytes / level.gigabytesPerSecond);
      break;
    }
  return time;
}

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

namespace {
/// Two loops for each vector width: as many independent multiply-adds as the
/// latency needs, and a sum over a buffer.
struct Loops {
  float (*multiplyAdd)(size_t count);
  float (*sum)(const float *data, size_t size);
  unsigned lanes;
};
constexpr unsigned chains = 12;
} // namespace

#define GRU_LOOPS(NAME, BYTES, ATTRIBUTE)                                      \
  namespace NAME {                                                             \
  typedef float Vector __attribute__((vector_size(BYTES)));                    \
  constexpr unsigned lanes = BYTES / sizeof(float);                            \
  ATTRIBUTE static float multiplyAdd(size_t count) {                           \
    Vector sums[chains], factor = Vector{} + 0.999f, term = Vector{} + 1e-3f;  \
    for (unsigned c = 0; c < chains; ++c)                                      \
      sums[c] = Vector{} + float(c);                                           \
    for (size_t i = 0; i < count; ++i)                                         \
      _Pragma("clang loop unroll(full)") for (unsigned c = 0; c < chains; ++c) \
          sums[c] = sums[c] * factor + term;                                   \
    Vector sum = {};                                                           \
    for (unsigned c = 0; c < chains; ++c)                                      \
      sum += sums[c];                                                          \
    return sum[0];                                                             \
  }                                                                            \
  ATTRIBUTE static float sum(const float *data, size_t size) {                 \
    Vector sums[chains] = {};                                                  \
    for (size_t i = 0; i + chains * lanes <= size; i += chains * lanes)        \
      _Pragma("clang loop unroll(full)") for (unsigned c = 0; c < chains; ++c) \
          sums[c] += *reinterpret_cast<const Vector *>(data + i + c * lanes);  \
    Vector sum = {};                                                           \
    for (unsigned c = 0; c < chains; ++c)                                      \
      sum += sums[c];                                                          \
    return sum[0];                                                             \
  }                                                                            \
  }

#if defined(__x86_64__)
GRU_LOOPS(wide, 64, __attribute__((target("avx512f"))))
GRU_LOOPS(middle, 32, __attribute__((target("avx2,fma"))))
#endif
GRU_LOOPS(narrow, 16, )
#undef GRU_LOOPS

static Loops chooseLoops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return {wide::multiplyAdd, wide::sum, wide::lanes};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {middle::multiplyAdd, middle::sum, middle::lanes};
#endif
  return {narrow::multiplyAdd, narrow::sum, narrow::lanes};
}

/// Nanoseconds of the fastest of many passes over about so many milliseconds.
template <typename Pass>
static double timeFastest(double milliseconds, Pass pass) {
  using Clock = std::chrono::steady_clock;
  auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double, std::nano>(Clock::now() - begin)
        .count();
  };
  [[maybe_unused]] static volatile float sink;
  double fastest = INFINITY;
  Clock::time_point begin = Clock::now();
  for (int i = 0; i < 3 || since(begin) < milliseconds * 1e6; ++i) {
    Clock::time_point start = Clock::now();
    sink = pass();
    fastest = std::min(fastest, since(start));
  }
  return fastest;
}

MachineBounds MachineBounds::measure() {
  Loops loops = chooseLoops();
  MachineBounds bounds;
  constexpr size_t count = 20'000;
  double nanoseconds =
      timeFastest(30, [&] { return loops.multiplyAdd(count); });
  bounds.gigaflops = 2.0 * chains * loops.lanes * count / nanoseconds;

  constexpr uint64_t smallest = 16 << 10, largest = uint64_t(256) << 20;
  std::vector<uint64_t> sizes;
  for (int name :
       {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE}) {
    long size = sysconf(name);
    // Not every system tells, and a virtual one may tell anything.
    if (size >= long(smallest) &&
        (sizes.empty() || uint64_t(size) > sizes.back()))
      sizes.push_back(size);
  }
  sizes.push_back(UINT64_MAX);
  uint64_t below = smallest;
  for (uint64_t size : sizes) {
    // Half of a cache is surely in it; four times the last one mostly is not.
    uint64_t bytes = size == UINT64_MAX ? below * 4 : size / 2;
    bytes = std::min(std::max(bytes, smallest), largest);
    std::vector<char> memory(bytes + 64, 1);
    auto *data = reinterpret_cast<const float *>(
        (reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
    size_t elements = bytes / sizeof(float);
    double time = timeFastest(30, [&] { return loops.sum(data, elements); });
    bounds.levels.push_back({size, double(bytes) / time});
    below = size;
  }
  return bounds;
}

//===----------------------------------------------------------------------===//
// Remembering
//===----------------------------------------------------------------------===//

static std::string getPath(StringRef directory) {
  SmallString<128> path(directory);
  sys::path::append(path, "machine.json");
  return std::string(path);
}

std::optional<MachineBounds> MachineBounds::load(StringRef directory) {
  if (directory.empty())
    return std::nullopt;
  auto file = MemoryBuffer::getFile(getPath(directory), /*IsText=*/true);
  if (!file)
    return std::nullopt;
  Expected<json::Value> value = json::parse((*file)->getBuffer());
  if (!value) {
    consumeError(value.takeError());
    return std::nullopt;
  }
  const json::Object *object = value->getAsObject();
  if (!object || object->getString("cpu") != sys::getHostCPUName())
    return std::nullopt;
  const json::Array *levels = object->getArray("levels");
  std::optional<double> gigaflops = object->getNumber("gflops");
  if (!levels || !gigaflops || *gigaflops <= 0)
    return std::nullopt;
  MachineBounds bounds;
  bounds.gigaflops = *gigaflops;
  for (const json::Value &element : *levels) {
    const json::Object *level = element.getAsObject();
    std::optional<double> speed =
        level ? level->getNumber("gb_s") : std::nullopt;
    if (!speed || *speed <= 0)
      return std::nullopt;
    // The last level has no size.
    std::optional<int64_t> bytes = level->getInteger("bytes");
    bounds.levels.push_back({bytes ? uint64_t(*bytes) : UINT64_MAX, *speed});
  }
  return bounds;
}

Error MachineBounds::save(StringRef directory) const {
  std::string text;
  raw_string_ostream os(text);
  json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attribute("cpu", sys::getHostCPUName());
    json.attribute("gflops", gigaflops);
    json.attributeArray("levels", [&] {
      for (const Level &level : levels)
        json.object([&] {
          if (level.bytes != UINT64_MAX)
            json.attribute("bytes", int64_t(level.bytes));
          json.attribute("gb_s", level.gigabytesPerSecond);
        });
    });
  });
  return DiskCache(directory).writeFile(getPath(directory), text);
}

MachineBounds MachineBounds::get(StringRef directory) {
  if (std::optional<MachineBounds> known = load(directory))
    return *known;
  MachineBounds bounds = measure();
  if (!directory.empty())
    consumeError(bounds.save(directory));
  return bounds;
}
