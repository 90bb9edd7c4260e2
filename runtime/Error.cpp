//===- Error.cpp - the thread's last error --------------------------------===//

#include "Error.h"

#include <charconv>

using namespace gru::runtime;

namespace {
constexpr size_t kMessageSize = 1024;
constexpr std::string_view kCut = "...";
thread_local char lastError[kMessageSize];
} // namespace

MessageWriter::MessageWriter() { lastError[0] = '\0'; }

void MessageWriter::add(std::string_view text) {
  constexpr size_t room = kMessageSize - 1 - kCut.size();
  bool cut = length + text.size() > room;
  if (cut && length > room)
    return;
  size_t count = cut ? room - length : text.size();
  std::memcpy(lastError + length, text.data(), count);
  length += count;
  if (cut) {
    std::memcpy(lastError + length, kCut.data(), kCut.size());
    length += kCut.size();
  }
  lastError[length] = '\0';
}

void MessageWriter::addSigned(int64_t value) {
  char digits[24];
  auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  add(std::string_view(digits, end - digits));
}

void MessageWriter::addUnsigned(uint64_t value) {
  char digits[24];
  auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  add(std::string_view(digits, end - digits));
}

void MessageWriter::add(const Shape &shape) {
  // A caller's rank may be anything; what lies behind it may not be readable.
  if (shape.rank > GRU_MAX_RANK) {
    add(shape.rank);
    return add(" dimensions");
  }
  add("[");
  for (uint32_t i = 0; i < shape.rank; ++i) {
    if (i != 0)
      add(", ");
    if (shape.symbolic && shape.dims[i] < 0)
      add("?");
    else
      add(shape.dims[i]);
  }
  add("]");
}

const char *gru_last_error(void) { return lastError; }

void gru_set_last_error(const char *message) {
  // The message may be the buffer itself.
  if (message == lastError)
    return;
  MessageWriter writer;
  if (message)
    writer.add(message);
}

const char *gru_status_name(gru_status status) {
  switch (status) {
  case GRU_OK:
    return "ok";
  case GRU_INVALID_ARGUMENT:
    return "invalid argument";
  case GRU_UNSUPPORTED:
    return "unsupported";
  case GRU_IO:
    return "input/output error";
  case GRU_OUT_OF_MEMORY:
    return "out of memory";
  case GRU_DAMAGED:
    return "damaged";
  case GRU_DEVICE_FAILED:
    return "device failed";
  case GRU_INTERNAL:
    return "internal error";
  }
  return "unknown status";
}
