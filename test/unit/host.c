/* The C interface as a C99 host uses it: errors with their text, an allocator
   of its own, saving and restoring a state, other weights while a stream goes
   on. */

#include "gru/gru.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 5, FEATURES = 3 };

static size_t bytes_out;

static void *allocate(void *context, size_t size, size_t alignment) {
  *(size_t *)context += size;
  return aligned_alloc(alignment, size);
}
static void release(void *context, void *memory, size_t size) {
  *(size_t *)context -= size;
  free(memory);
}

static int remarks;
static void on_remark(void *context, const char *text) {
  (void)context;
  remarks += text[0] != '\0';
}

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "host.c:%d: %s (%s)\n", __LINE__, #condition,            \
              gru_last_error());                                               \
      return 1;                                                                \
    }                                                                          \
  } while (0)

static float kernel[FEATURES * 3 * UNITS], recurrent[UNITS * 3 * UNITS];
static float bias[2 * 3 * UNITS];

static float step(gru_session *session, float value) {
  float x[FEATURES], y[UNITS];
  const int64_t in_dims[] = {1, 1, FEATURES}, out_dims[] = {1, UNITS};
  gru_buffer in = {NULL, GRU_F32, 3, NULL}, out = {NULL, GRU_F32, 2, NULL};
  int i;
  for (i = 0; i < FEATURES; ++i)
    x[i] = value + (float)i;
  in.data = x;
  in.dims = in_dims;
  out.data = y;
  out.dims = out_dims;
  return gru_session_run(session, &in, 1, &out, 1) ? -99.0f : y[0];
}

int main(void) {
  const int64_t kernel_dims[] = {FEATURES, 3 * UNITS};
  const int64_t recurrent_dims[] = {UNITS, 3 * UNITS};
  const int64_t bias_dims[] = {2, 3 * UNITS};
  gru_weight weights[] = {{"kernel", GRU_F32, 2, NULL, kernel},
                          {"recurrent_kernel", GRU_F32, 2, NULL, recurrent},
                          {"bias", GRU_F32, 2, NULL, bias}};
  gru_allocator allocator = {0};
  gru_gru_options layer;
  gru_compile_options options = {0};
  gru_session_options session_options = {0};
  gru_model *model;
  gru_program *program, *other;
  gru_session *session;
  gru_tensor_info info;
  char *state;
  size_t size, i;
  float first, second;

  for (i = 0; i < sizeof(kernel) / sizeof(float); ++i)
    kernel[i] = 0.1f * (float)((int)(i % 7) - 3);
  for (i = 0; i < sizeof(recurrent) / sizeof(float); ++i)
    recurrent[i] = 0.1f * (float)((int)(i % 5) - 2);
  weights[0].dims = kernel_dims;
  weights[1].dims = recurrent_dims;
  weights[2].dims = bias_dims;
  allocator.struct_size = sizeof(allocator);
  allocator.allocate = allocate;
  allocator.release = release;
  allocator.context = &bytes_out;

  CHECK(gru_abi_version() == GRU_ABI_VERSION);
  CHECK(gru_model_load("no-such-file.keras", NULL, &model) == GRU_IO);
  CHECK(model == NULL && strstr(gru_last_error(), "no-such-file.keras"));

  gru_gru_options_init(&layer);
  layer.units = UNITS;
  layer.stateful = 1;
  layer.name = "cell";
  CHECK(!gru_model_build_gru(&layer, FEATURES, weights, 3, &model));
  options.struct_size = sizeof(options);
  options.batch = 1;
  options.on_remark = on_remark;
  options.allocator = &allocator;
  options.target = "tpu";
  CHECK(gru_compile(model, &options, &program) == GRU_UNSUPPORTED);
  options.target = "cpu";
  CHECK(!gru_compile(model, &options, &program));
  CHECK(bytes_out > gru_program_weights_bytes(program));

  CHECK(gru_program_num_tensors(program, GRU_KIND_INPUT) == 1);
  CHECK(!gru_program_tensor(program, GRU_KIND_INPUT, 0, &info));
  CHECK(!strcmp(info.name, "x") && info.rank == 3 && info.dims[0] == 1 &&
        info.dims[1] == -1 && info.dims[2] == FEATURES);
  CHECK(gru_program_num_tensors(program, GRU_KIND_WEIGHT) == 3);
  {
    /* The program's names of the weights: layer/kernel and so on. */
    gru_weight named[3];
    for (i = 0; i < 3; ++i) {
      size_t w;
      CHECK(!gru_program_tensor(program, GRU_KIND_WEIGHT, i, &info));
      for (w = 0; w < 3; ++w) {
        const char *last = strrchr(info.name, '/');
        if (!strcmp(last ? last + 1 : info.name, weights[w].name))
          break;
      }
      CHECK(w < 3);
      named[i] = weights[w];
      named[i].name = info.name;
    }
    session_options.struct_size = sizeof(session_options);
    session_options.max_timesteps = 1;
    session_options.allocator = &allocator;
    CHECK(!gru_session_create(program, &session_options, &session));

    size = gru_session_state_size(session);
    state = malloc(size);
    CHECK(state && size > 0);
    step(session, 0.5f);
    CHECK(!gru_session_save_state(session, state, size));
    first = step(session, -0.25f);
    second = step(session, -0.25f);
    CHECK(first != second);
    CHECK(!gru_session_restore_state(session, state, size));
    CHECK(step(session, -0.25f) == first);
    CHECK(gru_session_restore_state(session, state, size - 1) ==
          GRU_INVALID_ARGUMENT);

    /* Other weights, the same state. */
    for (i = 0; i < sizeof(bias) / sizeof(float); ++i)
      bias[i] = 0.5f;
    CHECK(!gru_program_with_weights(program, named, 3, &other));
    CHECK(!gru_session_set_program(session, other));
    CHECK(!gru_session_restore_state(session, state, size));
    CHECK(step(session, -0.25f) != first);
    CHECK(!gru_session_set_program(session, program));
    CHECK(!gru_session_restore_state(session, state, size));
    CHECK(step(session, -0.25f) == first);
    CHECK(gru_program_with_weights(program, named, 2, &other) ==
          GRU_INVALID_ARGUMENT);
    CHECK(other == NULL);
  }
  free(state);
  gru_model_destroy(model);
  gru_program_release(program);
  gru_session_destroy(session);
  return 0;
}
