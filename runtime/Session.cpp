//===- Session.cpp - state, scratch and the run ---------------------------===//

#include "Error.h"
#include "FloatEnvironment.h"
#include "Session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

using namespace gru::runtime;

namespace {

/// What runs the program's parts; null where it has none.
gru_status makeDevice(const gru_session &session, const gru_program &program,
                      std::unique_ptr<cuda::Device> &device) {
  if (program.plan.parts().empty())
    return GRU_OK;
  char *memory = session.memory.get();
  cuda::SessionMemory seen{static_cast<const char *>(program.weights), memory,
                           memory + session.scratchOffset, 0};
  if (gru_status status = gru_program_scratch_bytes(
          &program, session.maxTimesteps, &seen.scratchBytes))
    return status;
  if (gru_status status = cuda::createDevice(program.plan, seen,
                                             session.maxTimesteps, device))
    return status;
  return session.stream ? device->setStream(session.stream) : GRU_OK;
}

/// Threads for a program that was compiled for `size` of them.
gru_status prepareTeam(gru_session &session, uint32_t size,
                       const gru_thread_pool *pool) {
  if (pool) {
    if (gru_status status = readVersioned(pool, "thread pool", session.pool))
      return status;
    if (!session.pool.run || session.pool.size < 1)
      return fail(GRU_INVALID_ARGUMENT, "thread pool: ",
                  session.pool.run ? "size is 0, expected 1 or more"
                                   : "run is null");
    size = std::min(size, session.pool.size);
  }
  session.team = create<Team>(session.allocator);
  if (!session.team || !session.team->create(size, session.allocator))
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate its team");
  if (pool || size == 1)
    return GRU_OK;
  session.workers = create<Workers>(session.allocator);
  if (!session.workers ||
      !session.workers->create(size - 1, session.allocator))
    return fail(GRU_OUT_OF_MEMORY, "session: cannot create ", size - 1,
                " threads");
  return GRU_OK;
}

/// What one member of a team does in a run.
struct Run {
  gru_kernel kernel;
  const gru_call *call;
  uint32_t members;
};
#ifdef __clang__
__attribute__((no_sanitize("function")))
#endif
void runMember(void *argument, uint32_t member) {
  const Run &run = *static_cast<const Run *>(argument);
  // A pool may have more than the program has use for.
  if (member >= run.members)
    return;
  FloatEnvironment environment;
  run.kernel(run.call, int32_t(member));
}

void prepareCall(gru_session &session) {
  char *memory = session.memory.get();
  session.call = {session.in,
                  session.out,
                  session.program->weights,
                  memory,
                  memory + session.scratchOffset,
                  session.dims,
                  session.team,
                  session.device.get()};
}

gru_status prepare(gru_session &session, gru_program *program,
                   const gru_session_options &read) {
  if (read.max_timesteps < 0)
    return fail(GRU_INVALID_ARGUMENT,
                "session options: max_timesteps is out of range, found ",
                read.max_timesteps, ", expected at least 1, or 0 for ",
                GRU_DEFAULT_MAX_TIMESTEPS);
  session.maxTimesteps =
      read.max_timesteps ? read.max_timesteps : GRU_DEFAULT_MAX_TIMESTEPS;

  const Plan &plan = program->plan;
  uint64_t scratch;
  if (gru_status status =
          gru_program_scratch_bytes(program, session.maxTimesteps, &scratch))
    return status;
  session.scratchOffset = alignUp(plan.header().state_bytes);
  uint64_t bytes = session.scratchOffset + scratch;
  if (!session.memory.allocate(bytes, session.allocator))
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate ", bytes,
                " bytes for max_timesteps = ", session.maxTimesteps);

  size_t numIn = session.numInputs = plan.inputs().size();
  size_t numOut = session.numOutputs = plan.outputs().size();
  size_t numDims = plan.symbols().size();
  static_assert(sizeof(void *) == sizeof(int64_t));
  if (!session.tables.allocate((numIn + numOut + numDims) * sizeof(void *),
                               session.allocator))
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate its tables");
  char *tables = session.tables.get();
  session.in = reinterpret_cast<const void **>(tables);
  session.out = reinterpret_cast<void **>(tables + numIn * sizeof(void *));
  session.dims =
      reinterpret_cast<int64_t *>(tables + (numIn + numOut) * sizeof(void *));
  if (!session.boundTensors.allocate((numIn + numOut) * sizeof(Bound),
                                     session.allocator))
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate its tables");
  session.bound = reinterpret_cast<Bound *>(session.boundTensors.get());
  if (uint32_t threads = gru_program_threads(program); threads > 1)
    if (gru_status status = prepareTeam(session, threads, read.pool))
      return status;
  session.program = gru_program_retain(program);
  if (gru_status status = makeDevice(session, *program, session.device))
    return status;
  if (!session.device)
    session.isOnDevice = cuda::findPointerQuery();
  prepareCall(session);
  return GRU_OK;
}

/// The shape that a run gives an output, to compare and to print.
gru_plan_tensor resolve(const gru_plan_tensor &tensor, const int64_t *symbols) {
  gru_plan_tensor resolved = tensor;
  for (uint32_t d = 0; d < tensor.rank; ++d)
    if (tensor.dims[d] < 0)
      resolved.dims[d] = symbols[-1 - tensor.dims[d]];
  return resolved;
}

/// Bytes of a tensor whose shape has been checked.
gru_status checkData(const char *kind, const char *name,
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

/// Code on the host would crash on memory of a device. Only what is bound anew is
/// looked at: asking the driver is nothing for each run of a stream.
gru_status checkPlaces(const gru_session &session) {
  if (!session.isOnDevice)
    return GRU_OK;
  const Plan &plan = session.program->plan;
  auto check = [&](const char *kind, std::span<const gru_plan_tensor> tensors,
                   const void *const *addresses) -> gru_status {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (session.isOnDevice(addresses[i]))
        return fail(GRU_INVALID_ARGUMENT, kind, " '", plan.name(tensors[i]),
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
/// begun behind this one. True if everything but the addresses is as in the last
/// run and these are right too; what is wrong is for bind to say.
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

gru_status gru_session_create(gru_program *program,
                              const gru_session_options *options,
                              gru_session **session) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_create: session is null");
  *session = nullptr;
  if (!program)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_create: program is null");
  gru_session_options read{};
  if (options)
    if (gru_status status =
            readVersioned(options, "session options", read,
                          offsetof(gru_session_options, allocator)))
      return status;
  gru_allocator allocator;
  if (gru_status status = readAllocator(read.allocator, allocator))
    return status;
  auto *created = create<gru_session>(allocator);
  if (!created)
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate ",
                sizeof(gru_session), " bytes");
  created->allocator = allocator;
  if (gru_status status = prepare(*created, program, read)) {
    destroy(allocator, created);
    return status;
  }
  *session = created;
  return GRU_OK;
}

void gru_session_destroy(gru_session *session) {
  if (!session)
    return;
  gru_allocator allocator = session->allocator;
  destroy(allocator, session);
}

gru_status gru_session_set_program(gru_session *session, gru_program *program) {
  if (!session || !program)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_set_program: ",
                session ? "program" : "session", " is null");
  const gru_program &old = *session->program;
  const gru_plan_header &plan = program->plan.header();
  if (program->artifact.kernel != old.artifact.kernel ||
      plan.size != old.plan.header().size ||
      std::memcmp(&plan, &old.plan.header(), plan.size) != 0)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_session_set_program: is another kernel, expected the "
                "session's own with other weights");
  // A device has the weights, too.
  std::unique_ptr<cuda::Device> device;
  if (gru_status status = makeDevice(*session, *program, device))
    return status;
  session->device = std::move(device);
  gru_program_retain(program);
  gru_program_release(session->program);
  session->program = program;
  prepareCall(*session);
  return GRU_OK;
}

gru_program *gru_session_program(const gru_session *session) {
  return session ? session->program : nullptr;
}

uint64_t gru_session_num_mask_fallbacks(const gru_session *session) {
  return session && session->device ? session->device->getNumMaskFallbacks() : 0;
}

gru_status gru_session_set_stream(gru_session *session, void *stream) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "gru_session_set_stream: session is null");
  if (!session->device)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_session_set_stream: the program has no parts on a device");
  if (gru_status status = session->device->setStream(stream))
    return status;
  session->stream = stream;
  return GRU_OK;
}

int64_t gru_session_max_timesteps(const gru_session *session) {
  return session ? session->maxTimesteps : 0;
}

[[gnu::noinline]] static gru_status runTeam(gru_session &session) {
  session.team->begin();
  Run run{session.program->artifact.kernel, &session.call,
          session.team->size()};
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
static inline gru_status
runBound(gru_session &session) {
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
    if (gru_status status = bindAnew(*session, {inputs, num_inputs},
                                     {outputs, num_outputs}))
      return status;
  return runBound(*session);
}

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
    return fail(GRU_INVALID_ARGUMENT, "reset_states: wrong number of values, "
                "found ", num_values, ", expected ", numStates,
                ", one per state");
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
  if (gru_status status = forStates([&](const gru_plan_tensor &state,
                                        const gru_buffer &value) {
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
