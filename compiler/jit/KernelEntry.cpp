//===- KernelEntry.cpp - a compiled kernel as bytes -----------------------===//
//
// An entry is: magic, the key, the target, the plan, the object, each with its
// length in front, and a checksum of all before it. Numbers are those of this
// machine: the key holds its triple.
//
//===----------------------------------------------------------------------===//

#include "compiler/jit/KernelEntry.h"

#include "llvm/Support/xxhash.h"

#include <cstdint>
#include <cstring>

using namespace gru;
using namespace llvm;

static constexpr StringLiteral magic = "gru kernel 1\n";

static void append(std::string &bytes, uint64_t number) {
  bytes.append(reinterpret_cast<const char *>(&number), sizeof(number));
}

static std::optional<uint64_t> takeNumber(StringRef &bytes) {
  uint64_t number;
  if (bytes.size() < sizeof(number))
    return std::nullopt;
  std::memcpy(&number, bytes.data(), sizeof(number));
  bytes = bytes.drop_front(sizeof(number));
  return number;
}

static std::optional<StringRef> takeString(StringRef &bytes) {
  std::optional<uint64_t> size = takeNumber(bytes);
  if (!size || *size > bytes.size())
    return std::nullopt;
  StringRef string = bytes.take_front(*size);
  bytes = bytes.drop_front(*size);
  return string;
}

std::string gru::writeEntry(StringRef key, const KernelEntry &entry) {
  std::string bytes = magic.str();
  for (StringRef part : {key, StringRef(entry.target), StringRef(entry.plan),
                         StringRef(entry.object)}) {
    append(bytes, part.size());
    bytes += part;
  }
  append(bytes, xxh3_64bits(bytes));
  return bytes;
}

std::optional<KernelEntry> gru::readEntry(StringRef key, StringRef bytes) {
  if (bytes.size() < sizeof(uint64_t))
    return std::nullopt;
  StringRef checksum = bytes.take_back(sizeof(uint64_t));
  bytes = bytes.drop_back(sizeof(uint64_t));
  if (takeNumber(checksum) != xxh3_64bits(bytes) || !bytes.consume_front(magic))
    return std::nullopt;
  std::optional<StringRef> found = takeString(bytes);
  if (!found || (!key.empty() && *found != key))
    return std::nullopt;
  KernelEntry entry;
  for (std::string *part : {&entry.target, &entry.plan, &entry.object}) {
    std::optional<StringRef> text = takeString(bytes);
    if (!text)
      return std::nullopt;
    *part = *text;
  }
  if (!bytes.empty())
    return std::nullopt;
  return entry;
}
