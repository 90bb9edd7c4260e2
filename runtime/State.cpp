//===- State.cpp - a session's states: reset, read, save ------------------===//

#include "Error.h"
#include "Session.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace gru::runtime;

namespace {

/// Where state `index` lies, if `size` is its size and `data` is not null.
gru_status findState(const gru_session *session, size_t index, const void *data,
                     size_t size, char *&place) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "session: is null");
  const Plan &plan = session->program->plan;
  if (index >= plan.states().size())
    return fail(GRU_INVALID_ARGUMENT, "state ", index,
                ": is out of range, expected below ", plan.states().size());
  const gru_plan_tensor &state = plan.states()[index];
  uint64_t bytes;
  if (!staticBytes(state, bytes))
    return fail(GRU_INTERNAL, "state '", plan.name(state), "': has no size");
  if (size != bytes)
    return fail(GRU_INVALID_ARGUMENT, "state '", plan.name(state),
                "': wrong size, found ", size, " bytes, expected ", bytes,
                " for ", gru_dtype_name(state.dtype), " ", planShape(state));
  if (!data && bytes != 0)
    return fail(GRU_INVALID_ARGUMENT, "state '", plan.name(state),
                "': data is null");
  place = session->memory.get() + state.offset;
  return GRU_OK;
}

size_t numLayerStates(const gru_session &session) {
  return session.program->plan.states().size() - (session.dropoutKey() ? 1 : 0);
}

/// Makes all states zero but the key of dropout masks.
void clearStates(gru_session &session) {
  uint64_t *key = session.dropoutKey();
  std::array<uint64_t, 3> kept{};
  if (key)
    std::copy_n(key, kept.size(), kept.begin());
  std::memset(session.memory.get(), 0, gru_session_state_size(&session));
  if (key)
    std::copy(kept.begin(), kept.end(), key);
}

gru_status checkStateful(const gru_session *session) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "session: is null");
  if (numLayerStates(*session) == 0)
    return fail(GRU_INVALID_ARGUMENT,
                "reset_states: the model has no stateful layer, so there is no "
                "state to reset");
  return GRU_OK;
}

gru_status checkSavedState(const gru_session *session, const void *data,
                           size_t size) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "session: is null");
  if (size != gru_session_state_size(session))
    return fail(GRU_INVALID_ARGUMENT, "saved state: wrong size, found ", size,
                " bytes, expected ", gru_session_state_size(session));
  if (!data && size != 0)
    return fail(GRU_INVALID_ARGUMENT, "saved state: data is null");
  return GRU_OK;
}

void copy(void *to, const void *from, size_t size) {
  if (size != 0)
    std::memcpy(to, from, size);
}

} // namespace

gru_status gru_session_reset_states(gru_session *session) {
  if (gru_status status = checkStateful(session))
    return status;
  clearStates(*session);
  return GRU_OK;
}

gru_status gru_session_reset_states_to(gru_session *session,
                                       const gru_buffer *values,
                                       size_t num_values) {
  if (gru_status status = checkStateful(session))
    return status;
  const Plan &plan = session->program->plan;
  size_t numStates = numLayerStates(*session);
  if (num_values != numStates)
    return fail(GRU_INVALID_ARGUMENT,
                "reset_states: wrong number of values, "
                "found ",
                num_values, ", expected ", numStates, ", one per state");
  if (!values)
    return fail(GRU_INVALID_ARGUMENT, "reset_states: values is null");
  // All are checked before any is copied.
  uint64_t bytes;
  auto forStates = [&](auto visit) -> gru_status {
    const gru_buffer *value = values;
    for (const gru_plan_tensor &state : plan.states())
      if (!isDropoutKey(plan, state))
        if (gru_status status = visit(state, *value++))
          return status;
    return GRU_OK;
  };
  if (gru_status status =
          forStates([&](const gru_plan_tensor &state, const gru_buffer &value) {
            const char *name = plan.name(state);
            if (gru_status status =
                    checkBuffer("reset_states: state", name, state, value.dtype,
                                value.rank, value.dims))
              return status;
            return checkData("reset_states: state", name, value, bytes);
          }))
    return status;
  return forStates([&](const gru_plan_tensor &state, const gru_buffer &value) {
    if (staticBytes(state, bytes))
      copy(session->memory.get() + state.offset, value.data, bytes);
    return GRU_OK;
  });
}

gru_status gru_session_get_state(const gru_session *session, size_t index,
                                 void *data, size_t size) {
  char *place;
  if (gru_status status = findState(session, index, data, size, place))
    return status;
  copy(data, place, size);
  return GRU_OK;
}

gru_status gru_session_set_state(gru_session *session, size_t index,
                                 const void *data, size_t size) {
  char *place;
  if (gru_status status = findState(session, index, data, size, place))
    return status;
  copy(place, data, size);
  return GRU_OK;
}

size_t gru_session_state_size(const gru_session *session) {
  return session ? session->program->plan.header().state_bytes : 0;
}

gru_status gru_session_save_state(const gru_session *session, void *data,
                                  size_t size) {
  if (gru_status status = checkSavedState(session, data, size))
    return status;
  copy(data, session->memory.get(), size);
  return GRU_OK;
}

gru_status gru_session_restore_state(gru_session *session, const void *data,
                                     size_t size) {
  if (gru_status status = checkSavedState(session, data, size))
    return status;
  copy(session->memory.get(), data, size);
  return GRU_OK;
}
