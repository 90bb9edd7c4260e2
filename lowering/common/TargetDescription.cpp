//===- TargetDescription.cpp - what the cost model knows of a CPU ---------===//

#include "lowering/common/TargetDescription.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace gru;

TargetDescription TargetDescription::fromFeatures(llvm::StringRef arch,
                                                  llvm::StringRef features) {
  llvm::SmallVector<llvm::StringRef> list;
  features.split(list, ',');
  auto has = [&](llvm::StringRef feature) {
    return llvm::is_contained(list, feature);
  };
  if (arch.starts_with("aarch64") || arch.starts_with("arm64"))
    return {16, 32, 1, has("+i8mm") ? "usdot" : "none"};
  if (has("+avx512f") && has("+avx512vl"))
    return {64, 32, 1,
            has("+avx512vnni") ? "vpdpbusd"
            : has("+avx512bw") ? "pmaddwd"
                               : "none"};
  if (has("+avx2"))
    return {32, 16, 1, has("+avxvnni") ? "vpdpbusd" : "pmaddwd"};
  if (has("+avx"))
    return {32, 16};
  return {16, 16, 1, has("+sse2") ? "pmaddwd" : "none"};
}

static constexpr int64_t kNearestCache = 32 << 10;

/// As few blocks of rows as `rows` at once need, but of equal size.
static int64_t balance(int64_t rows, int64_t batch) {
  return batch > 0 ? llvm::divideCeil(batch, llvm::divideCeil(batch, rows))
                   : rows;
}

int64_t gru::getAccumulators(const TargetDescription &target) {
  // A quarter of the registers stays for weights, broadcasts and constants.
  return target.registers * 3 / 4;
}

int64_t gru::chooseRows(const TargetDescription &target, int64_t gates,
                        int64_t vectorsPerGate, int64_t blockBytes) {
  constexpr int64_t kFewRows = 4, kMostRows = 8;
  int64_t accumulators = getAccumulators(target);
  int64_t rows = accumulators / (gates * vectorsPerGate);
  // Few rows would load the weights many times from behind the nearest cache.
  if (rows < kFewRows && blockBytes > kNearestCache)
    rows = accumulators / vectorsPerGate;
  return std::clamp<int64_t>(rows, 1, kMostRows);
}

Blocking gru::chooseBlocking(const TargetDescription &target,
                             int64_t elementBytes, int64_t gates, int64_t units,
                             int64_t batch) {
  // Half types are computed in f32.
  int64_t lanes = target.getLanes(std::max<int64_t>(elementBytes, 4));
  // Panels are multiples of 64 bytes whatever the vector, so that artefacts for
  // several widths can share one blob of weights.
  int64_t panel = std::max<int64_t>(lanes, 64 / elementBytes);
  bool manyRows = batch < 0 || batch >= 4;
  // Rows of a few units share registers instead of padding one each. Not of
  // half types: LLVM takes masked stores of so few of them apart through
  // library calls.
  if (units < panel && elementBytes >= 4)
    panel = std::max<int64_t>(4, llvm::bit_ceil(uint64_t(units)));
  int64_t largest = std::max<int64_t>(panel, getAccumulators(target) / 2 /
                                                 gates * lanes / panel * panel);
  // One row alone: wide blocks keep enough independent sums in flight. Several
  // rows bring that by themselves and want narrow blocks, so that the weights
  // of a block stay near while all rows pass by.
  int64_t width = panel;
  // What is not worth sharing is as wide as for one thread.
  int64_t threads = isWorthSharing(gates * units * units) ? target.threads : 1;
  if (!manyRows)
    for (int64_t candidate = panel; candidate <= largest; candidate += panel) {
      // What the thread with the most blocks computes, for all threads.
      auto padded = [&](int64_t width) {
        return llvm::alignTo(llvm::divideCeil(units, width), threads) * width;
      };
      // In one block there is none to turn round at: each step would push out
      // of the nearest cache what the next one begins with.
      bool tooMuch = candidate > panel && candidate >= units &&
                     gates * units * candidate * elementBytes > kNearestCache;
      // Wider only where it adds no padding.
      if (!tooMuch && padded(candidate) <= padded(width))
        width = candidate;
    }
  int64_t blockBytes = gates * units * width * elementBytes;
  int64_t rows = chooseRows(target, gates, llvm::divideCeil(width, lanes),
                            manyRows ? blockBytes : 0);
  return {width, balance(rows, batch)};
}

Blocking gru::chooseSparseBlocking(const TargetDescription &target,
                                   int64_t elementBytes, int64_t batch) {
  int64_t lanes = target.getLanes(std::max<int64_t>(elementBytes, 4));
  int64_t width = std::max<int64_t>(lanes, kSparseBlockBytes / elementBytes);
  // The sums of one gate at a time.
  int64_t rows = chooseRows(target, /*gates=*/1, width / lanes, 0);
  return {width, balance(rows, batch)};
}

bool gru::isWorthSharing(int64_t products) {
  // Two microseconds of one core. Threads meet in a tenth of that, but begin
  // and end a run in a quarter.
  return products >= 60'000;
}

int64_t gru::chooseParts(const TargetDescription &target, int64_t blocks,
                         int64_t products) {
  // Only to meet.
  return products >= 30'000 ? std::min(target.threads, blocks) : 1;
}
