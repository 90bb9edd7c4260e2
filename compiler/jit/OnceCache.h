//===- OnceCache.h - results that are made once -----------------*- C++ -*-===//

#ifndef GRU_COMPILER_JIT_ONCECACHE_H
#define GRU_COMPILER_JIT_ONCECACHE_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <string>

namespace gru {

/// Results by key, of which the last used are kept. Thread-safe; threads that
/// ask for the same key at the same time wait for the one that asked first. A
/// failure is told to all who wait, and forgotten.
template <typename T> class OnceCache {
public:
  using Result = llvm::Expected<std::shared_ptr<const T>>;

  explicit OnceCache(size_t capacity) : capacity(capacity) {}

  Result get(llvm::StringRef key, llvm::function_ref<Result()> make) {
    std::promise<Outcome> promise;
    std::shared_future<Outcome> future;
    bool mine = false;
    {
      std::lock_guard lock(mutex);
      auto [it, inserted] = slots.try_emplace(key);
      Slot &slot = it->second;
      if (inserted) {
        slot.future = promise.get_future().share();
        slot.place = order.insert(order.begin(), key.str());
        mine = true;
      } else {
        order.splice(order.begin(), order, slot.place);
      }
      future = slot.future;
      trim();
    }
    if (mine) {
      Result result = make();
      Outcome outcome;
      if (result) {
        outcome.value = std::move(*result);
      } else {
        outcome.error = llvm::toString(result.takeError());
        std::lock_guard lock(mutex);
        remove(key);
      }
      promise.set_value(std::move(outcome));
    }
    const Outcome &outcome = future.get();
    if (!outcome.value)
      return llvm::createStringError(outcome.error);
    return outcome.value;
  }

private:
  struct Outcome {
    std::shared_ptr<const T> value;
    std::string error;
  };
  struct Slot {
    std::shared_future<Outcome> future;
    std::list<std::string>::iterator place;
  };

  void remove(llvm::StringRef key) {
    auto it = slots.find(key);
    if (it == slots.end())
      return;
    order.erase(it->second.place);
    slots.erase(it);
  }

  /// Forgets what was not used for longest. Whoever waits for it or holds it
  /// keeps it.
  void trim() {
    while (slots.size() > capacity) {
      std::string last = order.back();
      remove(last);
    }
  }

  const size_t capacity;
  std::mutex mutex;
  llvm::StringMap<Slot> slots;
  /// Keys, the one used last first.
  std::list<std::string> order;
};

} // namespace gru

#endif // GRU_COMPILER_JIT_ONCECACHE_H
