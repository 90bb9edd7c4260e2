//===- Run.cpp - tensors bound to a session, and the run ------------------===//

#include "Error.h"
#include "FloatEnvironment.h"
#include "Session.h"

using namespace gru::runtime;

gru_status gru::runtime::checkData(const char *kind, const char *name,
                                   const gru_buffer &buffer, uint64_t &bytes) {
  bytes = gru_dtype_size(buffer.dtype);
  uint64_t element = bytes;
  for (uint32_t d = 0; d < buffer.rank; ++d)
    if (__builtin_mul_overflow(bytes, uint64_t(buffer.dims[d]), &bytes))
      return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                  "': is larger than any memory, found ",
                  Shape{buffer.dims, buffer.rank, false});
  if (bytes != 0 && !buffer.data)
    return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                "': data is null, expected ", bytes, " bytes");
  if (reinterpret_cast<uintptr_t>(buffer.data) % element != 0)
    return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                "': data is not aligned, expected a multiple of ", element,
                " bytes");
  return GRU_OK;
}

namespace {

/// The shape that a run gives an output, to compare and to print.
gru_plan_tensor resolve(const gru_plan_tensor &tensor, const int64_t *symbols) {
  gru_plan_tensor resolved = tensor;
  for (uint32_t d = 0; d < tensor.rank; ++d)
    if (tensor.dims[d] < 0)
      resolved.dims[d] = symbols[-1 - tensor.dims[d]];
  return resolved;
}

bool overlap(const void *a, uint64_t bytesOfA, const void *b,
             uint64_t bytesOfB) {
  auto beginOfA = reinterpret_cast<uintptr_t>(a);
  auto beginOfB = reinterpret_cast<uintptr_t>(b);
  return beginOfA < beginOfB + bytesOfB && beginOfB < beginOfA + bytesOfA;
}

/// Kernels assume that what they write is read by nobody else.
gru_status checkOverlap(const Plan &plan, std::span<const gru_buffer> inputs,
                        std::span<const gru_buffer> outputs, size_t index,
                        uint64_t bytes) {
  auto bytesOf = [](const gru_buffer &buffer) {
    uint64_t size = gru_dtype_size(buffer.dtype);
    for (uint32_t d = 0; d < buffer.rank; ++d)
      size *= uint64_t(buffer.dims[d]);
    return size;
  };
  const void *data = outputs[index].data;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (overlap(data, bytes, inputs[i].data, bytesOf(inputs[i])))
      return fail(GRU_INVALID_ARGUMENT, "output '",
                  plan.name(plan.outputs()[index]), "': overlaps input '",
                  plan.name(plan.inputs()[i]), "'");
  for (size_t i = 0; i < index; ++i)
    if (overlap(data, bytes, outputs[i].data, bytesOf(outputs[i])))
      return fail(GRU_INVALID_ARGUMENT, "output '",
                  plan.name(plan.outputs()[index]), "': overlaps output '",
                  plan.name(plan.outputs()[i]), "'");
  return GRU_OK;
}

/// Fills the session's tables, or says what is wrong with the tensors.
gru_status bind(gru_session &session, std::span<const gru_buffer> inputs,
                std::span<const gru_buffer> outputs) {
  const Plan &plan = session.program->plan;
  if (gru_status status = bindInputs(plan, inputs.data(), inputs.size(),
                                     session.maxTimesteps, session.dims))
    return status;
  uint64_t bytes;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (gru_status status =
            checkData("input", plan.name(plan.inputs()[i]), inputs[i], bytes))
      return status;
    session.in[i] = inputs[i].data;
  }

  if (outputs.size() != plan.outputs().size())
    return fail(GRU_INVALID_ARGUMENT, "outputs: wrong number, found ",
                outputs.size(), ", expected ", plan.outputs().size());
  if (!outputs.empty() && !outputs.data())
    return fail(GRU_INVALID_ARGUMENT, "outputs: is null, expected ",
                outputs.size(), " tensors");
  for (size_t i = 0; i < outputs.size(); ++i) {
    const char *name = plan.name(plan.outputs()[i]);
    gru_plan_tensor expected = resolve(plan.outputs()[i], session.dims);
    if (gru_status status =
            checkBuffer("output", name, expected, outputs[i].dtype,
                        outputs[i].rank, outputs[i].dims))
      return status;
    if (gru_status status = checkData("output", name, outputs[i], bytes))
      return status;
    if (gru_status status = checkOverlap(plan, inputs, outputs, i, bytes))
      return status;
    session.out[i] = outputs[i].data;
  }
  return GRU_OK;
}

/// Code on the host would crash on memory of a device. Only what is bound anew
/// is looked at: asking the driver is nothing for each run of a stream.
gru_status checkPlaces(const gru_session &session) {
  if (!session.isOnDevice)
    return GRU_OK;
  const Plan &plan = session.program->plan;
  auto check = [&](const char *kind, std::span<const gru_plan_tensor> tensors,
                   const void *const *addresses) -> gru_status {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (session.isOnDevice(addresses[i]))
        return fail(
            GRU_INVALID_ARGUMENT, kind, " '", plan.name(tensors[i]),
            "': lies in a device's memory, but the program was compiled "
            "for the CPU; copy it to the host, or compile for 'cudnn', "
            "'gpu' or 'auto'");
    return GRU_OK;
  };
  if (gru_status status = check("input", plan.inputs(), session.in))
    return status;
  return check("output", plan.outputs(), session.out);
}

/// Notes what bind has found right.
void remember(gru_session &session, std::span<const gru_buffer> inputs,
              std::span<const gru_buffer> outputs) {
  Bound *bound = session.bound;
  for (auto buffers : {inputs, outputs})
    for (const gru_buffer &buffer : buffers) {
      bound->kind = kindOf(buffer);
      bound->rank = buffer.rank;
      bound->bytes = gru_dtype_size(buffer.dtype);
      bound->misaligned = bound->bytes - 1;
      for (uint32_t d = 0; d < buffer.rank; ++d) {
        bound->dims[d] = buffer.dims[d];
        bound->bytes *= uint64_t(buffer.dims[d]);
      }
      ++bound;
    }
  session.hasBound = true;
}

/// Checks everything, and remembers it if it is right.
[[gnu::noinline]] gru_status bindAnew(gru_session &session,
                                      std::span<const gru_buffer> inputs,
                                      std::span<const gru_buffer> outputs) {
  session.hasBound = false; // until all is found right again
  if (gru_status status = bind(session, inputs, outputs))
    return status;
  if (gru_status status = checkPlaces(session))
    return status;
  remember(session, inputs, outputs);
  return GRU_OK;
}

/// Puts the addresses of buffers into a table if each is as it was in the last
/// run, but for where it lies.
inline bool refill(const gru_buffer *buffer, size_t count, const Bound *bound,
                   const void **table) {
  for (const gru_buffer *end = buffer + count; buffer != end;
       ++buffer, ++bound, ++table) {
    auto address = reinterpret_cast<uintptr_t>(buffer->data);
    if (kindOf(*buffer) != bound->kind || !address ||
        address & bound->misaligned)
      return false;
    *table = buffer->data;
    if (bound->rank == 0)
      continue;
    const int64_t *dims = buffer->dims, *boundDims = bound->dims;
    if (!dims)
      return false;
    const int64_t *endDims = boundDims + bound->rank;
    for (; boundDims != endDims; ++dims, ++boundDims)
      if (*dims != *boundDims)
        return false;
  }
  return true;
}

/// Streams run the same shapes again and again, and for a small network the
/// checks cost as much as the step: a processor sees some two hundred
/// instructions ahead, and what is in between keeps the next step from being
/// begun behind this one. True if everything but the addresses is as in the
/// last run and these are right too; what is wrong is for bind to say.
inline bool bindAgain(gru_session &session, const gru_buffer *inputs,
                      size_t numInputs, const gru_buffer *outputs,
                      size_t numOutputs) {
  if (!session.hasBound || !inputs || !outputs ||
      numInputs != session.numInputs || numOutputs != session.numOutputs)
    return false;
  const Bound *in = session.bound, *out = in + numInputs;
  if (!refill(inputs, numInputs, in, session.in) ||
      !refill(outputs, numOutputs, out, const_cast<const void **>(session.out)))
    return false;
  for (size_t i = 0; i < numOutputs; ++i) {
    for (size_t k = 0; k < numInputs; ++k)
      if (overlap(outputs[i].data, out[i].bytes, inputs[k].data, in[k].bytes))
        return false;
    for (size_t k = 0; k < i; ++k)
      if (overlap(outputs[i].data, out[i].bytes, outputs[k].data, out[k].bytes))
        return false;
  }
  return true;
}

/// What one member of a team does in a run.
struct Run {
  gru_kernel kernel;
  const gru_call *call;
  Team *team;
};
#ifdef __clang__
__attribute__((no_sanitize("function")))
#endif
void runMember(void *argument, uint32_t member) {
  const Run &run = *static_cast<const Run *>(argument);
  // A pool may have more than the program has use for.
  if (member >= run.team->size())
    return;
  FloatEnvironment environment;
  run.team->enter(member);
  run.kernel(run.call, int32_t(member));
  run.team->leave(member);
}

} // namespace

[[gnu::noinline]] static gru_status runTeam(gru_session &session) {
  session.team->begin();
  Run run{session.program->artifact.kernel, &session.call, session.team};
  if (session.workers)
    session.workers->run(runMember, &run);
  else if (session.pool.run)
    session.pool.run(session.pool.context, runMember, &run);
  else
    runMember(&run, 0);
  return GRU_OK;
}

/* Kernels carry no type information for the sanitizer of indirect calls. */
#ifdef __clang__
__attribute__((no_sanitize("function")))
#endif
static inline gru_status runBound(gru_session &session) {
  if (session.team)
    return runTeam(session);
  if (session.device)
    return session.device->call(session.program->artifact.kernel, session.call);
  FloatEnvironment environment;
  session.program->artifact.kernel(&session.call, /*member=*/0);
  return GRU_OK;
}

gru_status gru_session_bind(gru_session *session, const gru_buffer *inputs,
                            size_t num_inputs, const gru_buffer *outputs,
                            size_t num_outputs) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_bind: session is null");
  return bindAnew(*session, {inputs, num_inputs}, {outputs, num_outputs});
}

gru_status gru_session_run_bound(gru_session *session) {
  if (!session || !session->hasBound)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_run_bound: ",
                session ? "nothing is bound, expected gru_session_bind before"
                        : "session is null");
  return runBound(*session);
}

gru_status gru_session_run(gru_session *session, const gru_buffer *inputs,
                           size_t num_inputs, const gru_buffer *outputs,
                           size_t num_outputs) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_run: session is null");
  if (!bindAgain(*session, inputs, num_inputs, outputs, num_outputs))
    if (gru_status status =
            bindAnew(*session, {inputs, num_inputs}, {outputs, num_outputs}))
      return status;
  return runBound(*session);
}
