//===- RealtimeTest.cpp - a run under RealtimeSanitizer -------------------===//
//
// The runtime's sources and an object made ahead of time, built with
// -fsanitize=realtime: everything that a function with [[clang::nonblocking]]
// reaches is watched, the generated code's calls included. With an argument the
// program does what is forbidden, to see that it would be noticed.
//
//===----------------------------------------------------------------------===//

#include "gru/runtime.h"
#include "realtime_model.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unistd.h>

namespace {

constexpr int64_t kSteps = 4;
float x[REALTIME_MODEL_X_ELEMENTS(kSteps)];
unsigned char mask[REALTIME_MODEL_MASK_ELEMENTS(kSteps)];
float fromSession[REALTIME_MODEL_OUTPUT_0_ELEMENTS(kSteps)];
float fromStream[REALTIME_MODEL_OUTPUT_0_ELEMENTS(kSteps)];
alignas(64) unsigned char memory[REALTIME_MODEL_BYTES(kSteps)];
unsigned char saved[REALTIME_MODEL_STATE_BYTES];

std::mutex mutex;
void *volatile sink;

void offend(const char *how) [[clang::nonblocking]] {
  if (!std::strcmp(how, "malloc"))
    sink = std::malloc(16);
  else if (!std::strcmp(how, "lock"))
    mutex.lock();
  else if (!std::strcmp(how, "syscall"))
    (void)!::write(1, "", 0);
}

/// All that a host may do with a deadline, a failing run included.
bool work(gru_session *session, gru_program *other, realtime_model *stream,
          const gru_buffer *inputs, const gru_buffer *outputs)
    [[clang::nonblocking]] {
  for (int call = 0; call < 3; ++call)
    if (gru_session_run(session, inputs, 2, outputs, 1) ||
        realtime_model_run(stream, kSteps, x, mask, fromStream) ||
        std::memcmp(fromSession, fromStream, sizeof(fromStream)) != 0)
      return false;
  gru_session_reset_states(session);
  realtime_model_reset(stream);
  return gru_session_run(session, inputs, 1, outputs, 1) ==
             GRU_INVALID_ARGUMENT &&
         realtime_model_run(stream, kSteps + 1, x, mask, fromStream) == -1 &&
         gru_session_save_state(session, saved, sizeof(saved)) == GRU_OK &&
         gru_session_restore_state(session, saved, sizeof(saved)) == GRU_OK &&
         gru_session_set_program(session, other) == GRU_OK &&
         gru_session_run(session, inputs, 2, outputs, 1) == GRU_OK &&
         gru_session_bind(session, inputs, 2, outputs, 1) == GRU_OK &&
         gru_session_run_bound(session) == GRU_OK;
}

} // namespace

int main(int argc, char **argv) {
  if (argc > 1) {
    offend(argv[1]);
    return 0;
  }
  for (size_t i = 0; i < REALTIME_MODEL_X_ELEMENTS(kSteps); ++i)
    x[i] = static_cast<float>(i % 11) / 5 - 1;
  std::memset(mask, 1, sizeof(mask));
  const int64_t xDims[] = {3, kSteps, 3}, maskDims[] = {3, kSteps};
  const int64_t outDims[] = {3, kSteps, 4};
  gru_buffer inputs[] = {{x, GRU_F32, 3, xDims}, {mask, GRU_BOOL, 2, maskDims}};
  gru_buffer outputs[] = {{fromSession, GRU_F32, 3, outDims}};
  gru_program *program, *other;
  gru_session *session;
  gru_session_options options{};
  options.struct_size = sizeof(options);
  options.max_timesteps = kSteps;
  realtime_model *stream = realtime_model_init(memory, sizeof(memory), kSteps);
  if (!stream ||
      gru_program_open(&realtime_model_artifact, nullptr, 0, &program) ||
      gru_program_open(&realtime_model_artifact, nullptr, 0, &other) ||
      gru_session_create(program, &options, &session)) {
    std::fprintf(stderr, "error: %s\n", gru_last_error());
    return 1;
  }
  bool good = work(session, other, stream, inputs, outputs);
  std::printf("%s\n", good ? "good" : gru_last_error());
  gru_session_destroy(session);
  gru_program_release(other);
  gru_program_release(program);
  return good ? 0 : 1;
}
