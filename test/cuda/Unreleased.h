//===- Unreleased.h - stores that other blocks do not see yet ---*- C++ -*-===//

#ifndef GRU_TEST_CUDA_UNRELEASED_H
#define GRU_TEST_CUDA_UNRELEASED_H

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace ptx {

/// What a block has stored and not yet released: the bytes of words of four.
class Unreleased {
public:
  void store(char *address, const void *value, size_t bytes) {
    auto *from = static_cast<const char *>(value);
    for (size_t i = 0; i < bytes; ++i) {
      auto at = reinterpret_cast<uintptr_t>(address) + i;
      Word &word = words[at / sizeof(Word::bytes)];
      word.bytes[at % sizeof(Word::bytes)] = from[i];
      word.written |= 1u << at % sizeof(Word::bytes);
    }
  }
  /// What the block itself sees.
  void load(const char *address, void *value, size_t bytes) const {
    if (words.empty())
      return;
    auto *to = static_cast<char *>(value);
    for (size_t i = 0; i < bytes;) {
      auto at = reinterpret_cast<uintptr_t>(address) + i;
      auto it = words.find(at / sizeof(Word::bytes));
      size_t inner = at % sizeof(Word::bytes);
      for (; inner < sizeof(Word::bytes) && i < bytes; ++inner, ++i)
        if (it != words.end() && it->second.written & 1u << inner)
          to[i] = it->second.bytes[inner];
    }
  }
  void release() {
    for (const auto &[place, word] : words)
      for (size_t i = 0; i < sizeof(word.bytes); ++i)
        if (word.written & 1u << i)
          reinterpret_cast<char *>(place * sizeof(word.bytes))[i] =
              word.bytes[i];
    words.clear();
  }

private:
  struct Word {
    char bytes[4];
    uint32_t written = 0;
  };
  std::unordered_map<uintptr_t, Word> words;
};

} // namespace ptx

#endif // GRU_TEST_CUDA_UNRELEASED_H
