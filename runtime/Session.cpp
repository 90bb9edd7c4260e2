//===- Session.cpp - what a run needs, allocated before it ----------------===//

#include "Error.h"
#include "Session.h"

#include <algorithm>
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
  if (gru_status status =
          cuda::createDevice(program.plan, seen, session.maxTimesteps, device))
    return status;
  return session.stream ? device->setStream(session.stream) : GRU_OK;
}

/// Threads for a program that was compiled for `size` of them.
gru_status prepareTeam(gru_session &session, uint32_t size,
                       const gru_session_options &options) {
  const gru_thread_pool *pool = options.pool;
  if (pool) {
    if (options.num_cpus)
      return fail(GRU_INVALID_ARGUMENT,
                  "session options: cpus are given with a "
                  "pool, whose threads are not ours");
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
  if (!session.workers)
    return fail(GRU_OUT_OF_MEMORY, "session: cannot allocate its threads");
  return session.workers->create(size - 1, {options.cpus, options.num_cpus},
                                 session.allocator);
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
  if (read.num_cpus && !read.cpus)
    return fail(GRU_INVALID_ARGUMENT, "session options: cpus is null");
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
    if (gru_status status = prepareTeam(session, threads, read))
      return status;
  session.program = gru_program_retain(program);
  if (gru_status status = makeDevice(session, *program, session.device))
    return status;
  if (!session.device)
    session.isOnDevice = cuda::findPointerQuery();
  prepareCall(session);
  return GRU_OK;
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
    return fail(GRU_INVALID_ARGUMENT,
                "gru_session_set_program: ", session ? "program" : "session",
                " is null");
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
  return session && session->device ? session->device->getNumMaskFallbacks()
                                    : 0;
}

gru_status gru_session_set_stream(gru_session *session, void *stream) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_session_set_stream: session is null");
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
