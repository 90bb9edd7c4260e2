//===- FakeDevice.cpp - what the doubles of CUDA's libraries share --------===//

#include "FakeDevice.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>

#include <sys/mman.h>

using namespace fake;

bool fake::mustFail(const char *name) {
  const char *failing = std::getenv("GRU_FAKE_FAIL");
  return failing && !std::strcmp(failing, name);
}

void fake::complain(const std::string &problem) {
  std::fprintf(stderr, "fake CUDA: %s\n", problem.c_str());
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static constexpr size_t kPage = 4096, kAlignment = 256;

static size_t roundUp(size_t bytes, size_t to) {
  return (bytes + to - 1) / to * to;
}

Memory &Memory::get() {
  static Memory memory;
  return memory;
}

void *Memory::allocate(size_t bytes) {
  std::lock_guard lock(mutex);
  size_t aligned = roundUp(bytes, kAlignment), size = roundUp(aligned, kPage);
  void *pages = mmap(nullptr, size + kPage, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    return nullptr;
  std::memset(pages, 0xff, size);
  char *memory = static_cast<char *>(pages) + (size - aligned);
  mprotect(static_cast<char *>(pages) + size, kPage, PROT_NONE);
  Block block{bytes, static_cast<char *>(pages), size};
  blocks[memory] = block;
  protect(block);
  return memory;
}

bool Memory::release(void *memory) {
  std::lock_guard lock(mutex);
  auto it = blocks.find(static_cast<char *>(memory));
  if (it == blocks.end())
    return false;
  munmap(it->second.pages, it->second.mapped + kPage);
  blocks.erase(it);
  return true;
}

bool Memory::has(const void *address, size_t bytes) {
  std::lock_guard lock(mutex);
  auto *at = static_cast<const char *>(address);
  auto it = blocks.upper_bound(at);
  if (it == blocks.begin())
    return false;
  --it;
  size_t offset = at - it->first;
  return offset <= it->second.bytes && bytes <= it->second.bytes - offset;
}

void Memory::change(int by) {
  std::lock_guard lock(mutex);
  bool was = users > 0;
  users += by;
  if (was != (users > 0))
    for (const auto &[memory, block] : blocks)
      protect(block);
}

void Memory::protect(const Block &block) {
  mprotect(block.pages, block.mapped,
           users > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
}

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

namespace {
struct Streams {
  std::mutex mutex;
  std::map<Stream *, std::unique_ptr<Stream>> all;
  Stream standard;
  CUresult error = CUDA_SUCCESS;

  static Streams &get() {
    static Streams streams;
    return streams;
  }
};
} // namespace

Stream *Stream::find(CUstream stream) {
  Streams &streams = Streams::get();
  if (reinterpret_cast<uintptr_t>(stream) <= 2)
    return &streams.standard;
  std::lock_guard lock(streams.mutex);
  auto *found = reinterpret_cast<Stream *>(stream);
  return streams.all.count(found) ? found : nullptr;
}

Stream *Stream::create() {
  Streams &streams = Streams::get();
  std::lock_guard lock(streams.mutex);
  auto stream = std::make_unique<Stream>();
  Stream *created = stream.get();
  streams.all[created] = std::move(stream);
  return created;
}

void Stream::destroy(Stream *stream) {
  stream->finish();
  Streams &streams = Streams::get();
  std::lock_guard lock(streams.mutex);
  streams.all.erase(stream);
}

CUresult Stream::finishAll() {
  Streams &streams = Streams::get();
  streams.standard.finish();
  std::vector<Stream *> all;
  {
    std::lock_guard lock(streams.mutex);
    for (const auto &entry : streams.all)
      all.push_back(entry.first);
  }
  for (Stream *stream : all)
    stream->finish();
  return streams.error;
}

CUresult Stream::contextError() { return Streams::get().error; }

void Stream::add(Work work) {
  (capturing ? captured : pending).push_back(std::move(work));
}

CUresult Stream::finish() {
  Streams &streams = Streams::get();
  std::vector<Work> now;
  now.swap(pending);
  if (now.empty() || streams.error)
    return streams.error;
  Memory::Open open;
  for (const Work &work : now) {
    std::string problem = work();
    if (problem.empty())
      continue;
    complain(problem);
    return streams.error = CUDA_ERROR_LAUNCH_FAILED;
  }
  return CUDA_SUCCESS;
}

CUresult Stream::invalidateCapture() {
  invalid = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult Stream::beginCapture() {
  if (capturing)
    return CUDA_ERROR_ILLEGAL_STATE;
  capturing = true;
  invalid = false;
  captured.clear();
  return CUDA_SUCCESS;
}

CUresult Stream::endCapture(std::vector<Work> &graph) {
  if (!capturing)
    return CUDA_ERROR_ILLEGAL_STATE;
  capturing = false;
  graph = std::move(captured);
  captured.clear();
  return invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

bool Stream::isAnyCapturing() {
  Streams &streams = Streams::get();
  std::lock_guard lock(streams.mutex);
  for (const auto &entry : streams.all)
    if (entry.first->capturing)
      return true;
  return streams.standard.capturing;
}
