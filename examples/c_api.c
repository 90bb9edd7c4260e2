/*===- c_api.c - the C interface, from a layer to a stream ------------------===*\
|*
|* The same as the C++ examples in C99: describes a GRU layer by Keras's
|* arguments, compiles it, and runs one timestep per call.
|*
\*===----------------------------------------------------------------------===*/

#include "gru/gru.h"

#include <stdio.h>

enum { UNITS = 4, FEATURES = 2, STEPS = 5 };

int main(void) {
  /* Weights as Keras has them: columns are gates z, r, h. */
  static float kernel[FEATURES * 3 * UNITS];
  static float recurrent_kernel[UNITS * 3 * UNITS];
  static float bias[2 * 3 * UNITS];
  const int64_t kernel_dims[] = {FEATURES, 3 * UNITS};
  const int64_t recurrent_dims[] = {UNITS, 3 * UNITS};
  const int64_t bias_dims[] = {2, 3 * UNITS};
  const gru_weight weights[] = {
      {"kernel", GRU_F32, 2, kernel_dims, kernel},
      {"recurrent_kernel", GRU_F32, 2, recurrent_dims, recurrent_kernel},
      {"bias", GRU_F32, 2, bias_dims, bias}};
  gru_gru_options layer;
  gru_compile_options options = {0};
  gru_model *model = NULL;
  gru_program *program = NULL;
  gru_session *session = NULL;
  int step, i, result = 1;

  for (i = 0; i < FEATURES * 3 * UNITS; ++i)
    kernel[i] = 0.1f * (float)(i % 7 - 3);
  for (i = 0; i < UNITS * 3 * UNITS; ++i)
    recurrent_kernel[i] = 0.1f * (float)(i % 5 - 2);

  gru_gru_options_init(&layer); /* Keras's defaults */
  layer.units = UNITS;
  layer.stateful = 1;
  options.struct_size = sizeof(options);
  options.batch = 1;
  if (gru_model_build_gru(&layer, FEATURES, weights, 3, &model) ||
      gru_compile(model, &options, &program) ||
      gru_session_create(program, NULL, &session))
    goto done;

  for (step = 0; step < STEPS; ++step) {
    float x[FEATURES], y[UNITS];
    const int64_t in_dims[] = {1, 1, FEATURES}, out_dims[] = {1, UNITS};
    gru_buffer in = {NULL, GRU_F32, 3, NULL}, out = {NULL, GRU_F32, 2, NULL};
    in.data = x;
    in.dims = in_dims;
    out.data = y;
    out.dims = out_dims;
    x[0] = 1.0f;
    x[1] = (float)step;
    /* The session keeps the state from step to step. */
    if (gru_session_run(session, &in, 1, &out, 1))
      goto done;
    printf("step %d:", step);
    for (i = 0; i < UNITS; ++i)
      printf(" %9.6f", (double)y[i]);
    printf("\n");
  }
  result = 0;

done:
  if (result)
    fprintf(stderr, "c_api: error: %s\n", gru_last_error());
  gru_session_destroy(session);
  gru_program_release(program);
  gru_model_destroy(model);
  return result;
}
