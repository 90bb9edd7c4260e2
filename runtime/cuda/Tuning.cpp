//===- Tuning.cpp - what was measured on a device -------------------------===//

#include "Tuning.h"

#include "../Error.h"
#include "../Memory.h"
#include "gru/runtime.h"

#include <map>
#include <mutex>

using namespace gru::runtime;

namespace {
struct Tunings {
  std::mutex mutex;
  std::map<std::string, int32_t> known;
  gru_tuning_store store{};

  static Tunings &get() {
    static Tunings tunings;
    return tunings;
  }
};
} // namespace

std::optional<int32_t> cuda::findTuning(const std::string &key) {
  Tunings &tunings = Tunings::get();
  std::lock_guard lock(tunings.mutex);
  if (auto it = tunings.known.find(key); it != tunings.known.end())
    return it->second;
  const gru_tuning_store &store = tunings.store;
  int32_t value = store.find ? store.find(store.context, key.c_str()) : -1;
  if (value < 0)
    return std::nullopt;
  tunings.known[key] = value;
  return value;
}

void cuda::setTuning(const std::string &key, int32_t value) {
  Tunings &tunings = Tunings::get();
  std::lock_guard lock(tunings.mutex);
  tunings.known[key] = value;
  const gru_tuning_store &store = tunings.store;
  if (store.set)
    store.set(store.context, key.c_str(), value);
}

gru_status gru_set_tuning_store(const gru_tuning_store *store) {
  gru_tuning_store read{};
  if (store) {
    if (gru_status status = readVersioned(store, "tuning store", read))
      return status;
    if (!read.find || !read.set)
      return fail(GRU_INVALID_ARGUMENT,
                  "tuning store: ", read.find ? "set" : "find", " is null");
  }
  Tunings &tunings = Tunings::get();
  std::lock_guard lock(tunings.mutex);
  tunings.store = read;
  // Another store knows other things.
  tunings.known.clear();
  return GRU_OK;
}
