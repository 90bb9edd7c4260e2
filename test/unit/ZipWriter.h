//===- ZipWriter.h - zip archives for tests ---------------------*- C++ -*-===//

#ifndef GRU_TEST_UNIT_ZIPWRITER_H
#define GRU_TEST_UNIT_ZIPWRITER_H

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"

#include <map>
#include <string>

namespace gru {

using Entries = std::map<std::string, std::string>;

/// A zip archive without compression.
inline std::string writeZip(const Entries &entries) {
  std::string out, directory;
  auto append = [](std::string &to, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i)
      to += char(value >> (8 * i));
  };
  for (const auto &[name, bytes] : entries) {
    uint32_t sum = llvm::crc32(llvm::arrayRefFromStringRef(bytes));
    uint64_t offset = out.size();
    out += "PK\x03\x04";
    directory += "PK\x01\x02";
    append(directory, 20, 2);
    for (std::string *to : {&out, &directory}) {
      append(*to, 20, 2); // version
      append(*to, 0, 2);  // flags
      append(*to, 0, 2);  // stored
      append(*to, 0x00210000, 4);
      append(*to, sum, 4);
      append(*to, bytes.size(), 4);
      append(*to, bytes.size(), 4);
      append(*to, name.size(), 2);
      append(*to, 0, 2);
    }
    append(directory, 0, 2);
    append(directory, 0, 2);
    append(directory, 0, 2);
    append(directory, 0, 4);
    append(directory, offset, 4);
    out += name + bytes;
    directory += name;
  }
  uint64_t start = out.size();
  out += directory + "PK\x05\x06";
  append(out, 0, 4);
  append(out, entries.size(), 2);
  append(out, entries.size(), 2);
  append(out, directory.size(), 4);
  append(out, start, 4);
  append(out, 0, 2);
  return out;
}

} // namespace gru

#endif // GRU_TEST_UNIT_ZIPWRITER_H
