//===- Program.h - a kernel with packed weights -----------------*- C++ -*-===//

#ifndef GRU_RUNTIME_PROGRAM_H
#define GRU_RUNTIME_PROGRAM_H

#include "Plan.h"

#include <atomic>

/// Immutable once opened, except for the count of references.
struct gru_program {
  std::atomic<uint64_t> references{1};
  gru_artifact artifact{};
  gru_allocator allocator{}; ///< A copy: the artifact's may be gone.
  gru::runtime::Plan plan;
  gru::runtime::Block ownWeights; ///< Empty if the artifact brings its own.
  const void *weights = nullptr;
};

namespace gru::runtime {

/// Checks the inputs' number, types and shapes against the plan and writes the
/// value of each symbol to `dims`. No dynamic dimension may be longer than
/// `maxTimesteps`. Data pointers are not looked at.
[[nodiscard]] gru_status bindInputs(const Plan &plan, const gru_buffer *inputs,
                                    size_t numInputs, int64_t maxTimesteps,
                                    int64_t *dims);

/// Whether a tensor of the caller has the type and the static dimensions that
/// the plan gives it. `kind` and `name` say which one in the message, and a
/// first dimension of `batch` is spoken of as the batch.
[[nodiscard]] gru_status checkBuffer(const char *kind, const char *name,
                                     const gru_plan_tensor &expected,
                                     gru_dtype dtype, uint32_t rank,
                                     const int64_t *dims, int64_t batch = -1);

} // namespace gru::runtime

#endif // GRU_RUNTIME_PROGRAM_H
