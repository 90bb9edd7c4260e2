//===- Team.cpp - threads that run one kernel together --------------------===//

#include "Team.h"

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
  constexpr uint32_t kSpins = 200;
  if (waits < kSpins) {
    ++waits;
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

void Team::begin() {
  // The latest phase of all; who was late has not seen the last ones.
  uint32_t phase = members[0].phase;
  for (uint32_t m = 1; m < numMembers; ++m)
    if (isAfter(members[m].phase, phase))
      phase = members[m].phase;
  for (uint32_t m = 0; m < numMembers; ++m) {
    members[m].phase = phase;
    members[m].done = 0;
    members[m].isInPhase = false;
  }
}

int64_t Team::getNext(gru_team *team, int32_t member, int64_t parts) {
  return static_cast<Team *>(team)->next(uint32_t(member), uint32_t(parts));
}

int64_t Team::next(uint32_t self, uint32_t parts) {
  Member &member = members[self];
  if (member.isInPhase) {
    ++member.done;
  } else {
    ++member.phase;
    member.isInPhase = true;
  }
  uint32_t phase = member.phase;
  for (uint32_t i = 0; i < numMembers; ++i) {
    uint32_t owner = self + i < numMembers ? self + i : self + i - numMembers;
    if (int64_t part = take(owner, phase, parts); part >= 0)
      return part;
  }
  if (member.done)
    countDone(phase, member.done);
  member.done = 0;
  member.isInPhase = false;
  waitFor(phase, parts);
  return -1;
}

int64_t Team::take(uint32_t owner, uint32_t phase, uint32_t parts) {
  // Rounded up, so that what has one part is the caller's.
  auto firstOf = [&](uint64_t m) {
    return uint32_t((parts * m + numMembers - 1) / numMembers);
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

void Team::countDone(uint32_t phase, uint32_t done) {
  // The phase cannot be over before these are counted.
  uint64_t seen = finished.load(std::memory_order_relaxed), now;
  do
    now = pack(phase, done + (uint32_t(seen >> 32) == phase ? uint32_t(seen) : 0));
  while (!finished.compare_exchange_weak(seen, now, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
}

void Team::waitFor(uint32_t phase, uint32_t parts) const {
  Patience patience;
  while (true) {
    uint64_t seen = finished.load(std::memory_order_acquire);
    uint32_t seenPhase = uint32_t(seen >> 32);
    if (isAfter(seenPhase, phase) ||
        (seenPhase == phase && uint32_t(seen) == parts))
      return;
    patience.wait();
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

bool Workers::create(uint32_t count, const gru_allocator &allocator) {
  if (!memory.allocate(count * sizeof(Worker), allocator))
    return false;
  workers = reinterpret_cast<Worker *>(memory.get());
  for (uint32_t i = 0; i < count; ++i) {
    workers[i] = {this, i + 1, {}};
    auto main = [](void *given) -> void * {
      auto *worker = static_cast<Worker *>(given);
      worker->all->work(worker->member);
      return nullptr;
    };
    if (pthread_create(&workers[i].thread, nullptr, main, &workers[i]) != 0)
      return false; // the destructor ends those that there are
    ++numWorkers;
  }
  return true;
}

Workers::~Workers() {
  isOver = true;
  generation.fetch_add(1, std::memory_order_release);
  generation.notify_all();
  for (uint32_t i = 0; i < numWorkers; ++i)
    pthread_join(workers[i].thread, nullptr);
}

void Workers::run(void (*given)(void *, uint32_t), void *givenArgument) {
  task = given;
  argument = givenArgument;
  inside.store(kOpen, std::memory_order_release);
  generation.fetch_add(1, std::memory_order_release);
  generation.notify_all();
  task(argument, 0);
  inside.fetch_and(~kOpen, std::memory_order_relaxed);
  Patience patience;
  while (inside.load(std::memory_order_acquire) != 0)
    patience.wait();
}

void Workers::work(uint32_t member) {
  // A stream's next call often comes at once, and waking up takes longer than a
  // step; then sleep.
  constexpr int kSpins = 1000;
  uint32_t seen = 0;
  while (true) {
    for (int i = 0; i < kSpins; ++i) {
      if (generation.load(std::memory_order_relaxed) != seen)
        break;
      relax();
    }
    generation.wait(seen, std::memory_order_acquire);
    seen = generation.load(std::memory_order_acquire);
    if (isOver)
      return;
    uint32_t now = inside.load(std::memory_order_acquire);
    while (now & kOpen)
      if (inside.compare_exchange_weak(now, now + 1,
                                       std::memory_order_acquire)) {
        task(argument, member);
        inside.fetch_sub(1, std::memory_order_release);
        break;
      }
  }
}
