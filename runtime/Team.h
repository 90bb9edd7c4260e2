//===- Team.h - threads that run one kernel together ------------*- C++ -*-===//
//
// A kernel is a row of phases, a phase a number of parts. Each part belongs to
// one member, so that a part's weights stay in that core's caches from step to
// step; but who has none left takes what others have not begun. So nothing waits
// for a member that has not come yet, or not come at all: its parts are done by
// the others, and it finds nothing to do. What has to be waited for is a part that
// somebody has begun.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_TEAM_H
#define GRU_RUNTIME_TEAM_H

#include "Memory.h"
#include "gru/runtime.h"

#include <atomic>

namespace gru::runtime {

class Team : public gru_team {
public:
  Team() : gru_team{getNext} {}

  /// Once. `size` members, at least 1.
  [[nodiscard]] bool create(uint32_t size, const gru_allocator &allocator);

  /// Before a run, by one thread, while no member is in a kernel.
  void begin();

  uint32_t size() const { return numMembers; }

private:
  /// A count that belongs to a phase: from another phase's it does not go on but
  /// starts from zero. Phases are compared as a clock's hands are.
  static uint64_t pack(uint32_t phase, uint32_t count) {
    return uint64_t(phase) << 32 | count;
  }
  static bool isAfter(uint32_t phase, uint32_t other) {
    return int32_t(phase - other) > 0;
  }

  struct alignas(kAlignment) Member {
    /// The next part of this member's own that nobody has begun.
    std::atomic<uint64_t> cursor;
    // The rest only this member uses.
    alignas(kAlignment) uint32_t phase;
    uint32_t done;    ///< Parts finished in this phase and not yet counted.
    bool isInPhase;
  };

  static int64_t getNext(gru_team *team, int32_t member, int64_t parts);
  int64_t next(uint32_t member, uint32_t parts);
  /// Takes a part of `owner`'s, or -1.
  int64_t take(uint32_t owner, uint32_t phase, uint32_t parts);
  void countDone(uint32_t phase, uint32_t done);
  void waitFor(uint32_t phase, uint32_t parts) const;

  Block memory;
  Member *members = nullptr;
  uint32_t numMembers = 1;
  /// Parts finished in the latest phase.
  alignas(kAlignment) std::atomic<uint64_t> finished{0};
};

/// Waits a little without leaving the core, then lets others have it.
class Patience {
public:
  void wait();

private:
  uint32_t waits = 0;
};

/// Threads of a session's own, asleep while nothing runs.
class Workers {
public:
  ~Workers();

  /// Once. Threads besides the caller's. False if the system has none left.
  [[nodiscard]] bool create(uint32_t count, const gru_allocator &allocator);

  /// Calls task(argument, member) for 0 on this thread and for 1 to count on the
  /// others, except those that come only when 0 has returned.
  void run(void (*task)(void *argument, uint32_t member), void *argument);

private:
  struct Worker;
  void work(uint32_t member);

  Block memory;
  Worker *workers = nullptr;
  uint32_t numWorkers = 0;
  void (*task)(void *, uint32_t) = nullptr;
  void *argument = nullptr;
  /// Raised for each run; what sleepers look at. The last one is the end.
  alignas(kAlignment) std::atomic<uint32_t> generation{0};
  bool isOver = false;
  /// Members inside the task, and whether more may enter.
  alignas(kAlignment) std::atomic<uint32_t> inside{0};
  static constexpr uint32_t kOpen = 1u << 31;
};

} // namespace gru::runtime

#endif // GRU_RUNTIME_TEAM_H
