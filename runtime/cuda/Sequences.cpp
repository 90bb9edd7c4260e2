//===- Sequences.cpp - what a device sees of masked and reversed layers ----===//

#include "Sequences.h"

#include <cstring>

using namespace gru::runtime;

void cuda::readLengths(const Steps &steps, const uint8_t *mask,
                       int32_t *lengths) {
  for (int64_t row = 0; row < steps.batch; ++row) {
    int64_t length = 0;
    while (length < steps.time && (!mask || mask[steps.at(row, length)]))
      ++length;
    lengths[row] = int32_t(length);
  }
}

void cuda::reverseValid(const Steps &steps, const int32_t *lengths,
                        size_t bytes, const char *from, char *to) {
  for (int64_t row = 0; row < steps.batch; ++row)
    for (int64_t t = 0; t < steps.time; ++t) {
      char *step = to + steps.at(row, t) * bytes;
      if (t < lengths[row])
        std::memcpy(step, from + steps.at(row, lengths[row] - 1 - t) * bytes,
                    bytes);
      else
        std::memset(step, 0, bytes);
    }
}

/// The device step that a position of the returned sequence shows; -1 for zeros.
static int64_t stepAt(int64_t position, int64_t time, int64_t length,
                      cuda::OutputRule rule) {
  if (!rule.backward) {
    if (position < length)
      return position;
    return rule.zeroOutput ? -1 : length - 1;
  }
  // Backwards, what is masked comes before the first valid step.
  int64_t t = rule.processedOrder ? time - 1 - position : position;
  if (t >= length)
    return -1;
  return rule.inTimeOrder ? t : length - 1 - t;
}

void cuda::writeSequence(const Steps &steps, const int32_t *lengths,
                         OutputRule rule, size_t bytes, size_t stride,
                         const char *from, char *to) {
  for (int64_t row = 0; row < steps.batch; ++row)
    for (int64_t position = 0; position < steps.time; ++position) {
      char *step = to + steps.at(row, position) * bytes;
      int64_t source = stepAt(position, steps.time, lengths[row], rule);
      if (source < 0)
        std::memset(step, 0, bytes);
      else
        std::memcpy(step, from + steps.at(row, source) * stride, bytes);
    }
}

void cuda::writeLast(const Steps &steps, const int32_t *lengths,
                     OutputRule rule, size_t bytes, const char *state,
                     char *to) {
  for (int64_t row = 0; row < steps.batch; ++row) {
    // Backwards the last step processed is the first of the row.
    bool zero = !rule.backward && rule.zeroOutput ? lengths[row] < steps.time
                                                  : lengths[row] == 0;
    if (zero)
      std::memset(to + row * bytes, 0, bytes);
    else
      std::memcpy(to + row * bytes, state + row * bytes, bytes);
  }
}

void cuda::writeState(const Steps &steps, const int32_t *lengths, size_t bytes,
                      const char *state, const char *initial, char *to) {
  for (int64_t row = 0; row < steps.batch; ++row) {
    const char *from = lengths[row] > 0 ? state : initial;
    if (from)
      std::memcpy(to + row * bytes, from + row * bytes, bytes);
    else
      std::memset(to + row * bytes, 0, bytes);
  }
}
