//===- Team.cpp - threads that run one kernel together --------------------===//

#include "Team.h"

#include "Error.h"

#include <pthread.h>
#include <sched.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

using namespace gru::runtime;

//===----------------------------------------------------------------------===//
// Waiting
//===----------------------------------------------------------------------===//

static void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void Patience::wait() {
  // Some microseconds: longer than parts differ, shorter than a time slice.
  constexpr uint32_t kWaits = 300;
  if (waits < kWaits) {
    if (++waits > kPolls)
      relax();
  } else {
    sched_yield();
  }
}

//===----------------------------------------------------------------------===//
// Team
//===----------------------------------------------------------------------===//

bool Team::create(uint32_t size, const gru_allocator &allocator) {
  if (!memory.allocate(size * sizeof(Member), allocator))
    return false;
  members = reinterpret_cast<Member *>(memory.get());
  for (uint32_t m = 0; m < size; ++m)
    new (&members[m]) Member{};
  numMembers = size;
  return true;
}

void Team::enter(uint32_t self) {
  Member &member = members[self];
  member.place = start;
  member.done = 0;
  member.isInPhase = false;
}

void Team::leave(uint32_t self) {
  latestPhase.store(members[self].place.phase, std::memory_order_relaxed);
  latestParts.store(members[self].place.parts, std::memory_order_relaxed);
}

int64_t Team::getNext(gru_team *team, int32_t member, int64_t parts) {
  return static_cast<Team *>(team)->next(uint32_t(member), uint32_t(parts));
}

int64_t Team::next(uint32_t self, uint32_t parts) {
  Member &member = members[self];
  if (member.isInPhase) {
    ++member.done;
  } else {
    ++member.place.phase;
    member.place.parts += parts;
    member.isInPhase = true;
    member.hasHelped = false;
  }
  uint32_t phase = member.place.phase;
  if (int64_t part = take(self, phase, parts); part >= 0)
    return part;
  if (member.done)
    finished.fetch_add(member.done, std::memory_order_acq_rel);
  member.done = 0;
  // To look what others have begun takes their cores' caches the line in which
  // they note it. So that waits for signs that somebody is missing.
  Patience patience;
  while (int64_t(finished.load(std::memory_order_acquire) -
                 member.place.parts) < 0) {
    if (member.isNeeded || patience.isOver())
      if (int64_t part = takeOfOthers(self, phase, parts); part >= 0) {
        member.hasHelped = true;
        return part;
      }
    patience.wait();
  }
  member.isNeeded = member.hasHelped;
  member.isInPhase = false;
  return -1;
}

int64_t Team::takeOfOthers(uint32_t self, uint32_t phase, uint32_t parts) {
  for (uint32_t i = 1; i < numMembers; ++i) {
    uint32_t owner = self + i < numMembers ? self + i : self + i - numMembers;
    if (int64_t part = take(owner, phase, parts); part >= 0)
      return part;
  }
  return -1;
}

int64_t Team::take(uint32_t owner, uint32_t phase, uint32_t parts) {
  // Rounded up, so that what has one part is the caller's. Most phases have a
  // part for each, and to divide takes as long as to ask another core.
  auto firstOf = [&](uint64_t m) {
    return parts == numMembers
               ? uint32_t(m)
               : uint32_t((parts * m + numMembers - 1) / numMembers);
  };
  uint32_t first = firstOf(owner), own = firstOf(owner + 1) - first;
  if (own == 0)
    return -1;
  std::atomic<uint64_t> &cursor = members[owner].cursor;
  uint64_t seen = cursor.load(std::memory_order_relaxed);
  while (true) {
    uint32_t seenPhase = uint32_t(seen >> 32);
    if (isAfter(seenPhase, phase))
      return -1;
    uint32_t taken = seenPhase == phase ? uint32_t(seen) : 0;
    if (taken >= own)
      return -1;
    if (cursor.compare_exchange_weak(seen, pack(phase, taken + 1),
                                     std::memory_order_relaxed))
      return first + taken;
  }
}

//===----------------------------------------------------------------------===//
// Workers
//===----------------------------------------------------------------------===//

struct Workers::Worker {
  Workers *all;
  uint32_t member;
  pthread_t thread;
};

gru_status Workers::bind(uint32_t worker, uint32_t cpu) {
#if defined(__linux__) && !defined(__ANDROID__)
  cpu_set_t set;
  CPU_ZERO(&set);
  // Larger numbers than a set has room for leave it empty.
  CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(workers[worker].thread, sizeof(set), &set) == 0)
    return GRU_OK;
  return fail(GRU_INVALID_ARGUMENT, "session options: cpus[", worker, "] is ",
              cpu, ", which this process may not use");
#else
  return fail(GRU_UNSUPPORTED, "session options: cpus are given, which this "
                               "system does not bind threads to");
#endif
}

gru_status Workers::create(uint32_t count, std::span<const uint32_t> cpus,
                           const gru_allocator &allocator) {
  if (!memory.allocate(count * sizeof(Worker), allocator))
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate its threads");
  workers = reinterpret_cast<Worker *>(memory.get());
  for (uint32_t i = 0; i < count; ++i) {
    workers[i] = {this, i + 1, {}};
    auto main = [](void *given) -> void * {
      auto *worker = static_cast<Worker *>(given);
      worker->all->work(worker->member);
      return nullptr;
    };
    // On failure the destructor ends those that there are.
    if (pthread_create(&workers[i].thread, nullptr, main, &workers[i]) != 0)
      return fail(GRU_OUT_OF_MEMORY, "session: cannot create ", count,
                  " threads");
    ++numWorkers;
    if (i < cpus.size())
      if (gru_status status = bind(i, cpus[i]))
        return status;
  }
  return GRU_OK;
}

Workers::~Workers() {
  isOver = true;
  state.fetch_add(kRun);
  state.notify_all();
  for (uint32_t i = 0; i < numWorkers; ++i)
    pthread_join(workers[i].thread, nullptr);
}

void Workers::run(void (*given)(void *, uint32_t), void *givenArgument) {
  task = given;
  argument = givenArgument;
  state.fetch_add(kRun + kOpen); // It is closed, and nobody inside.
  state.notify_all();
  task(argument, 0);
  uint32_t seen = state.fetch_sub(kOpen) - kOpen;
  Patience patience;
  while (seen % kOpen != 0) {
    patience.wait();
    seen = state.load(std::memory_order_acquire);
  }
}

void Workers::work(uint32_t member) {
  // A stream's next call often comes at once, and waking up takes longer than a
  // step; then sleep.
  constexpr int kPolls = 2000, kSpins = 1000;
  uint32_t lastRun = 0;
  while (true) {
    uint32_t seen = state.load(std::memory_order_acquire);
    for (int i = 0; i < kPolls + kSpins && seen / kRun == lastRun; ++i) {
      if (i >= kPolls)
        relax();
      seen = state.load(std::memory_order_acquire);
    }
    while (seen / kRun == lastRun) {
      state.wait(seen, std::memory_order_acquire);
      seen = state.load(std::memory_order_acquire);
    }
    if (isOver)
      return;
    lastRun = seen / kRun;
    while (seen & kOpen)
      if (state.compare_exchange_weak(seen, seen + 1,
                                      std::memory_order_acquire)) {
        task(argument, member);
        state.fetch_sub(1, std::memory_order_release);
        break;
      }
  }
}
