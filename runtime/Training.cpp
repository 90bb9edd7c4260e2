//===- Training.cpp - calls of a session with training=True ---------------===//
//
// A program is compiled for inference or for training. A session of the first
// takes a program of the second beside its own, with scratch memory of its own,
// and the two share the states of the model's layers: a call starts with the
// states that the last one left, whichever of the two it was.
//
//===----------------------------------------------------------------------===//

#include "Error.h"
#include "Session.h"

#include "gru/dropout.h"

#include <algorithm>
#include <cstring>
#include <span>

using namespace gru::runtime;

/// Whether the two tensors are of one name, type and shape. Symbols are
/// numbered in the order of the inputs, which are compared first.
static bool isSame(const Plan &planOfA, const gru_plan_tensor &a,
                   const Plan &planOfB, const gru_plan_tensor &b) {
  return a.dtype == b.dtype && a.rank == b.rank &&
         std::equal(a.dims, a.dims + a.rank, b.dims) &&
         !std::strcmp(planOfA.name(a), planOfB.name(b));
}

/// Whether `training` takes, gives and keeps what `plan` does, apart from the
/// key of the masks.
static gru_status checkSame(const Plan &plan, const Plan &training) {
  auto check = [&](const char *kind, std::span<const gru_plan_tensor> own,
                   std::span<const gru_plan_tensor> other) -> gru_status {
    if (!own.empty() && isDropoutKey(plan, own.back()))
      own = own.first(own.size() - 1);
    if (!other.empty() && isDropoutKey(training, other.back()))
      other = other.first(other.size() - 1);
    if (own.size() != other.size())
      return fail(GRU_INVALID_ARGUMENT, "training program: wrong number of ",
                  kind, "s, found ", other.size(), ", expected ", own.size(),
                  " as in the session's program");
    for (size_t i = 0; i < own.size(); ++i)
      if (!isSame(plan, own[i], training, other[i]))
        return fail(GRU_INVALID_ARGUMENT, "training program: ", kind, " ", i,
                    ": found '", training.name(other[i]), "' ",
                    gru_dtype_name(other[i].dtype), " ", planShape(other[i]),
                    ", expected '", plan.name(own[i]), "' ",
                    gru_dtype_name(own[i].dtype), " ", planShape(own[i]),
                    " as in the session's program");
    return GRU_OK;
  };
  if (gru_status status = check("input", plan.inputs(), training.inputs()))
    return status;
  if (gru_status status = check("output", plan.outputs(), training.outputs()))
    return status;
  return check("state", plan.states(), training.states());
}

/// Copies the states of layers from one session to the other.
static void copyStates(const gru_session &from, gru_session &to) {
  const Plan &source = from.program->plan, &target = to.program->plan;
  for (size_t i = 0; i < source.states().size() && i < target.states().size();
       ++i) {
    const gru_plan_tensor &state = source.states()[i];
    uint64_t bytes;
    if (!isDropoutKey(source, state) && staticBytes(state, bytes) && bytes != 0)
      std::memcpy(to.memory.get() + target.states()[i].offset,
                  from.memory.get() + state.offset, bytes);
  }
}

gru_status gru_session_set_training_program(gru_session *session,
                                            gru_program *program) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_session_set_training_program: session is null");
  gru_session *training = nullptr;
  if (program) {
    if (gru_status status = checkSame(session->program->plan, program->plan))
      return status;
    gru_session_options options{};
    options.struct_size = sizeof(options);
    options.max_timesteps = session->maxTimesteps;
    if (session->allocator.struct_size != 0)
      options.allocator = &session->allocator;
    if (session->pool.struct_size != 0)
      options.pool = &session->pool;
    if (gru_status status = gru_session_create(program, &options, &training))
      return status;
    gru_session_set_seed(training, session->seed);
  }
  gru_session_destroy(session->training);
  session->training = training;
  return GRU_OK;
}

gru_program *gru_session_training_program(const gru_session *session) {
  return session && session->training ? session->training->program : nullptr;
}

gru_status gru_session_run_training(gru_session *session,
                                    const gru_buffer *inputs, size_t num_inputs,
                                    const gru_buffer *outputs,
                                    size_t num_outputs) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_session_run_training: session is null");
  if (!session->training)
    return fail(GRU_INVALID_ARGUMENT,
                "training: the session has no program for it, expected "
                "gru_session_prepare_training or "
                "gru_session_set_training_program before this call");
  copyStates(*session, *session->training);
  if (gru_status status = gru_session_run(session->training, inputs, num_inputs,
                                          outputs, num_outputs))
    return status;
  copyStates(*session->training, *session);
  return GRU_OK;
}

void gru_session_set_seed(gru_session *session, uint64_t seed) {
  if (!session)
    return;
  session->seed = seed;
  gru_session_set_seed(session->training, seed);
  if (uint64_t *key = session->dropoutKey()) {
    key[0] = seed;
    key[1] = key[2] = 0;
  }
}

void gru_session_reset_dropout_mask(gru_session *session) {
  if (!session)
    return;
  gru_session_reset_dropout_mask(session->training);
  if (uint64_t *key = session->dropoutKey())
    ++key[1];
}

void gru_session_reset_recurrent_dropout_mask(gru_session *session) {
  if (!session)
    return;
  gru_session_reset_recurrent_dropout_mask(session->training);
  if (uint64_t *key = session->dropoutKey())
    ++key[2];
}
