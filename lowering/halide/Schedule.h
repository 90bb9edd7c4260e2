//===- Schedule.h - how Halide runs a step or a product ---------*- C++ -*-===//
//
// A schedule is a handful of numbers, chosen per shape, printed as one line of
// text and read back from it, so that a person can change it.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_HALIDE_SCHEDULE_H
#define GRU_LOWERING_HALIDE_SCHEDULE_H

#include "lowering/common/TargetDescription.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <string>

namespace gru {

/// What a schedule is chosen for: a product of rows with packed columns.
struct HalideShape {
  int64_t width; ///< Units per packed block.
  int64_t gates; ///< Columns of a unit that are computed together.
  int64_t rows;  ///< Rows there are; negative where that is dynamic.
  int64_t elementBytes;
  /// A block of units is computed as one: it may be updated in place.
  bool wholeBlocks = false;
  /// Besides the sums, as many vectors as a gate has wait for them.
  bool waits = false;
};

/// The register block is `rows` rows x the gates of `units` units, as vectors
/// of `lanes`; all of it is unrolled, and its sums stay in registers while one
/// loop, unrolled by `unroll`, runs over the inner dimension. Then `tile` rows
/// at a time are finished: activated and stored.
struct HalideSchedule {
  int64_t lanes = 1;
  int64_t units = 1;
  int64_t rows = 1;
  int64_t tile = 1; ///< Divides `rows`.
  int64_t unroll = 1;
  /// Which loop is outside: over units, so that the weights of a block stay
  /// near while all rows pass by, or over rows.
  bool unitsOuter = true;

  /// "lanes=16 units=16 rows=8 tile=4 unroll=1 outer=units".
  std::string str() const;
  /// Reads `KEY=VALUE ...` over this schedule. Errors name the key, what was
  /// found and what is accepted for the shape.
  llvm::Error parse(llvm::StringRef text, const HalideShape &shape);
};

/// As many sums as fit into three quarters of the registers; rows are spread
/// evenly, so that few are computed twice at the end of a batch. What cannot
/// stay in registers until it is finished is finished in tiles of some vectors.
HalideSchedule chooseHalideSchedule(const HalideShape &shape,
                                    const TargetDescription &target);

/// For a device: a block of threads is `units` x `rows`, each thread makes the
/// gates of one unit, and `lanes` is 1.
HalideSchedule chooseHalideDeviceSchedule(const HalideShape &shape);

/// Schedules given by hand, from a file with lines `FUNCTION KEY=VALUE ...`;
/// `#` begins a comment. What a line leaves out stays as it was chosen.
class HalideScheduleFile {
public:
  static llvm::Expected<HalideScheduleFile> parse(llvm::StringRef text);

  /// Applies the function's line, if there is one, and remembers that it was
  /// asked for.
  llvm::Error apply(llvm::StringRef function, const HalideShape &shape,
                    HalideSchedule &schedule);
  /// An error for a line whose function nobody asked for.
  llvm::Error finish() const;

private:
  struct Line {
    std::string text;
    size_t number;
    bool used = false;
  };
  llvm::StringMap<Line> lines;
  std::string asked;
};

} // namespace gru

#endif // GRU_LOWERING_HALIDE_SCHEDULE_H
