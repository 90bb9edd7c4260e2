//===- Team.h - threads that run one kernel together ------------*- C++ -*-===//
//
// A kernel is a row of phases, a phase a number of parts. Each part belongs to
// one member, so that a part's weights stay in that core's caches from step to
// step; but who has none left takes what others have not begun. So nothing
// waits for a member that has not come yet, or not come at all: its parts are
// done by the others, and it finds nothing to do. What has to be waited for is
// a part that somebody has begun.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_TEAM_H
#define GRU_RUNTIME_TEAM_H

#include "Memory.h"
#include "gru/runtime.h"

#include <atomic>
#include <span>

namespace gru::runtime {

class Team : public gru_team {
public:
  Team() : gru_team{getNext} {}

  /// Once. `size` members, at least 1.
  [[nodiscard]] bool create(uint32_t size, const gru_allocator &allocator);

  /// Before a run, by one thread, while no member is in a kernel.
  void begin() {
    start = {latestPhase.load(std::memory_order_relaxed),
             latestParts.load(std::memory_order_relaxed)};
  }

  /// Around the kernel, by each member.
  void enter(uint32_t member);
  void leave(uint32_t member);

  uint32_t size() const { return numMembers; }

private:
  /// A count that belongs to a phase: from another phase's it does not go on
  /// but starts from zero. Phases are compared as a clock's hands are.
  static uint64_t pack(uint32_t phase, uint32_t count) {
    return uint64_t(phase) << 32 | count;
  }
  static bool isAfter(uint32_t phase, uint32_t other) {
    return int32_t(phase - other) > 0;
  }

  /// How far a member has come.
  struct Place {
    uint32_t phase = 0;
    uint64_t parts = 0; ///< Of all phases up to this one.
  };

  struct alignas(kAlignment) Member {
    /// The next part of this member's own that nobody has begun.
    std::atomic<uint64_t> cursor;
    // The rest only this member uses.
    alignas(kAlignment) Place place;
    uint32_t done; ///< Parts finished in this phase and not yet counted.
    bool isInPhase;
    bool hasHelped; ///< In this phase.
    bool isNeeded;  ///< Has helped in the last phase.
  };

  static int64_t getNext(gru_team *team, int32_t member, int64_t parts);
  int64_t next(uint32_t self, uint32_t parts);
  /// Takes a part of `owner`'s, or -1.
  int64_t take(uint32_t owner, uint32_t phase, uint32_t parts);
  int64_t takeOfOthers(uint32_t self, uint32_t phase, uint32_t parts);

  Block memory;
  Member *members = nullptr;
  uint32_t numMembers = 1;
  Place start; ///< Of this run.
  /// Where the last run ended, which is the same place for all who left it.
  alignas(kAlignment) std::atomic<uint32_t> latestPhase{0};
  std::atomic<uint64_t> latestParts{0};
  /// Parts finished in all phases. One of a later phase is begun only when the
  /// phase before is over, so the sum is enough.
  alignas(kAlignment) std::atomic<uint64_t> finished{0};
};

/// Waits a little without leaving the core, then lets others have it.
class Patience {
public:
  void wait();

  /// Whether whoever is waited for would have come by now if it had a core.
  bool isOver() const { return waits >= kPolls; }

private:
  /// A core that pauses notices late; a hundred reads are a fraction of a
  /// microsecond.
  static constexpr uint32_t kPolls = 100;
  uint32_t waits = 0;
};

/// Threads of a session's own, asleep while nothing runs.
class Workers {
public:
  ~Workers();

  /// Once. Threads besides the caller's, the first of them on these CPUs.
  [[nodiscard]] gru_status create(uint32_t count,
                                  std::span<const uint32_t> cpus,
                                  const gru_allocator &allocator);

  /// Calls task(argument, member) for 0 on this thread and for 1 to count on
  /// the others, except those that come only when 0 has returned.
  void run(void (*task)(void *argument, uint32_t member), void *argument);

private:
  struct Worker;
  gru_status bind(uint32_t worker, uint32_t cpu);
  void work(uint32_t member);

  Block memory;
  Worker *workers = nullptr;
  uint32_t numWorkers = 0;
  void (*task)(void *, uint32_t) = nullptr;
  void *argument = nullptr;
  /// The run's number, whether members may enter it, and how many are inside:
  /// one word, since each that two cores write costs a step a tenth of a
  /// microsecond. Its changes are what sleepers look at.
  static constexpr uint32_t kRun = 1u << 16, kOpen = 1u << 15;
  alignas(kAlignment) std::atomic<uint32_t> state{0};
  bool isOver = false;
};

} // namespace gru::runtime

#endif // GRU_RUNTIME_TEAM_H
