//===- Session.h - state and scratch memory of one stream -------*- C++ -*-===//

#ifndef GRU_RUNTIME_SESSION_H
#define GRU_RUNTIME_SESSION_H

#include "Program.h"
#include "Team.h"
#include "cuda/Device.h"
#include "cuda/Driver.h"

#include <cstring>
#include <memory>

namespace gru::runtime {

/// The state that seeds and counts dropout masks; it belongs to no layer.
inline bool isDropoutKey(const Plan &plan, const gru_plan_tensor &state) {
  return state.dtype == GRU_I64 && state.rank == 1 && state.dims[0] == 3 &&
         !std::strcmp(plan.name(state), "dropout_key");
}

/// The dtype and the rank of a buffer, compared as one.
inline uint64_t kindOf(const gru_buffer &buffer) {
  return uint64_t(buffer.rank) << 32 | uint32_t(buffer.dtype);
}

/// What a tensor of the last run looked like, apart from where it was.
struct Bound {
  uint64_t kind;
  uint32_t rank;
  int64_t dims[GRU_MAX_RANK];
  uint64_t bytes;
  uintptr_t misaligned; ///< The bits of an address that must be zero.
};

/// Whether the data of a buffer whose shape has been checked is there and
/// aligned; `bytes` becomes its size.
[[nodiscard]] gru_status checkData(const char *kind, const char *name,
                                   const gru_buffer &buffer, uint64_t &bytes);

} // namespace gru::runtime

/// Everything that a run needs is allocated when the session is created.
struct gru_session {
  gru_program *program = nullptr;
  gru_allocator allocator{};
  int64_t maxTimesteps = 0;
  gru::runtime::Block memory; ///< State, then scratch.
  gru::runtime::Block tables; ///< The three arrays below.
  const void **in = nullptr;
  void **out = nullptr;
  int64_t *dims = nullptr;
  size_t numInputs = 0, numOutputs = 0;
  uint64_t scratchOffset = 0;
  gru_call call{}; ///< Stays the same from run to run; the tables do not.
  gru::runtime::Block boundTensors;     ///< Inputs, then outputs.
  gru::runtime::Bound *bound = nullptr; ///< In there.
  bool hasBound = false;                ///< Whether a run has been checked.
  void *stream = nullptr;               ///< Of the caller's, for the device.
  /// Where the plan has parts.
  std::unique_ptr<gru::runtime::cuda::Device> device;
  gru::runtime::Team *team = nullptr; ///< Null: one thread.
  /// Null: one thread, or the host's pool.
  gru::runtime::Workers *workers = nullptr;
  gru_thread_pool pool{};
  /// Of a program without a device, in a process with a driver; else null.
  gru::runtime::cuda::PointerQuery isOnDevice = nullptr;

  /// Runs the calls with training=True on the states of this one; null until it
  /// is prepared. `seed` waits for it.
  gru_session *training = nullptr;
  uint64_t seed = 0;

  ~gru_session() {
    gru_session_destroy(training);
    device.reset(); // It refers to the program.
    if (workers)
      gru::runtime::destroy(allocator, workers);
    if (team)
      gru::runtime::destroy(allocator, team);
    gru_program_release(program);
  }

  /// Seed, draws of masks and of recurrent masks; null where none are drawn.
  uint64_t *dropoutKey() const {
    const gru::runtime::Plan &plan = program->plan;
    for (const gru_plan_tensor &state : plan.states())
      if (gru::runtime::isDropoutKey(plan, state))
        return reinterpret_cast<uint64_t *>(memory.get() + state.offset);
    return nullptr;
  }
};

#endif // GRU_RUNTIME_SESSION_H
