//===- Random.h - the generator of dropout masks ----------------*- C++ -*-===//
//
// Philox4x32-10, a counter-based generator: a number is a function of its key
// and its place, so masks are the same on every machine, for every number of
// threads and in whatever order they are made. J. K. Salmon, M. A. Moraes,
// R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC
// 2011.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_RANDOM_H
#define GRU_RUNTIME_RANDOM_H

#include <array>
#include <cstdint>

namespace gru::runtime {

using Counter = std::array<uint32_t, 4>;

inline Counter philox(Counter x, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = uint64_t(0xD2511F53u) * x[0];
    uint64_t product1 = uint64_t(0xCD9E8D57u) * x[2];
    x = {uint32_t(product1 >> 32) ^ x[1] ^ key0, uint32_t(product1),
         uint32_t(product0 >> 32) ^ x[3] ^ key1, uint32_t(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return x;
}

/// The random bits of element `index` of a mask, as the op gru.dropout_mask
/// defines them: each group of 64 elements comes from 16 counters, whose first
/// words make the first 16 elements, and so on.
inline uint32_t dropoutBits(uint64_t index, uint64_t seed, uint64_t draw,
                            uint32_t stream) {
  uint32_t counter = uint32_t(index / 64 * 16 + index % 16);
  return philox({counter, stream, uint32_t(draw), uint32_t(draw >> 32)},
                uint32_t(seed), uint32_t(seed >> 32))[index % 64 / 16];
}

} // namespace gru::runtime

#endif // GRU_RUNTIME_RANDOM_H
