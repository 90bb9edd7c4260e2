//===- TuningFile.cpp - what was measured on devices, across processes ----===//

#include "compiler/jit/TuningFile.h"

#include "compiler/jit/DiskCache.h"
#include "gru/runtime.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <mutex>

using namespace llvm;

namespace {
/// A JSON object of numbers. It is read anew each time, which happens once for
/// each kind of layer in a process, so that others' measurements count.
class TuningFile {
public:
  explicit TuningFile(StringRef directory) : directory(directory) {}

  int32_t find(StringRef key) const {
    return int32_t(read().getInteger(key).value_or(-1));
  }
  void set(StringRef key, int32_t value) const {
    json::Object values = read();
    values[key] = value;
    std::string text;
    raw_string_ostream(text) << json::Value(std::move(values)) << "\n";
    consumeError(gru::DiskCache(directory).writeFile(getPath(), text));
  }
  StringRef getDirectory() const { return directory; }

private:
  std::string getPath() const {
    SmallString<128> path(directory);
    sys::path::append(path, "tuning.json");
    return std::string(path);
  }
  json::Object read() const {
    auto file = MemoryBuffer::getFile(getPath(), /*IsText=*/true);
    if (!file)
      return {};
    Expected<json::Value> value = json::parse((*file)->getBuffer());
    if (!value) {
      consumeError(value.takeError());
      return {};
    }
    json::Object *object = value->getAsObject();
    return object ? std::move(*object) : json::Object();
  }

  const std::string directory;
};
} // namespace

void gru::keepTuningIn(StringRef directory) {
  static std::mutex mutex;
  static std::unique_ptr<TuningFile> current;
  std::lock_guard lock(mutex);
  if (current ? current->getDirectory() == directory : directory.empty())
    return;
  auto next =
      directory.empty() ? nullptr : std::make_unique<TuningFile>(directory);
  gru_tuning_store store{};
  store.struct_size = sizeof(store);
  store.find = [](void *context, const char *key) {
    return static_cast<TuningFile *>(context)->find(key);
  };
  store.set = [](void *context, const char *key, int32_t value) {
    static_cast<TuningFile *>(context)->set(key, value);
  };
  store.context = next.get();
  // Nobody uses the last one when this returns.
  (void)gru_set_tuning_store(next ? &store : nullptr);
  current = std::move(next);
}
