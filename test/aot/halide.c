/* Calls what Halide made ahead of time, by its own header: one step of a layer
   of 20 units (two blocks of 16) for 9 rows, against the formula. With CUDA the
   object has Halide's runtime in it, which says so where there is no device. */

#include "HalideRuntime.h"
#include "step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 9, H = 20, W = 16, NB = 2, P = NB * W };

static float projection[B][NB][3][W], kernel[NB][H][3][W], bias[NB][1][W],
    state[B][P], new_state[B][P];

/* Halide's first dimension is C's last one. */
static halide_buffer_t buffer(void *data, int rank, halide_dimension_t *dims,
                              const int *sizes) {
  halide_buffer_t result;
  memset(&result, 0, sizeof(result));
  result.host = data;
  result.type.code = halide_type_float;
  result.type.bits = 32;
  result.type.lanes = 1;
  result.dimensions = rank;
  result.dim = dims;
  for (int d = 0, stride = 1; d < rank; stride *= sizes[d++]) {
    memset(&dims[d], 0, sizeof(dims[d]));
    dims[d].extent = sizes[d];
    dims[d].stride = stride;
  }
#ifdef CUDA
  result.flags = halide_buffer_flag_host_dirty;
#endif
  return result;
}

static float next(void) {
  static unsigned seed = 1;
  seed = seed * 1664525u + 1013904223u;
  return (float)(seed >> 8) / (1 << 23) - 1;
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double expected(int b, int j) {
  int n = j / W, i = j % W;
  double sums[3] = {projection[b][n][0][i], projection[b][n][1][i],
                    bias[n][0][i]};
  for (int g = 0; g < 3; ++g)
    for (int k = 0; k < H; ++k)
      sums[g] += (double)state[b][k] * kernel[n][k][g][i];
  double z = sigmoid(sums[0]);
  double h = tanh(projection[b][n][2][i] + sigmoid(sums[1]) * sums[2]);
  return z * state[b][j] + (1 - z) * h;
}

#ifdef CUDA
static void report(void *context, const char *message) {
  printf("halide says: %s\n", message);
}
#endif

int main(void) {
  for (unsigned i = 0; i < sizeof(projection) / 4; ++i)
    ((float *)projection)[i] = next();
  for (unsigned i = 0; i < sizeof(kernel) / 4; ++i)
    ((float *)kernel)[i] = 0.3f * next();
  for (unsigned i = 0; i < sizeof(bias) / 4; ++i)
    ((float *)bias)[i] = next();
  for (int b = 0; b < B; ++b)
    for (int j = 0; j < H; ++j)
      state[b][j] = next();

  halide_dimension_t dims[5][4];
  const int projectionSizes[] = {W, 3, NB, B}, kernelSizes[] = {W, 3, H, NB},
            biasSizes[] = {W, 1, NB}, stateSizes[] = {P, B};
  halide_buffer_t p = buffer(projection, 4, dims[0], projectionSizes),
                  u = buffer(kernel, 4, dims[1], kernelSizes),
                  c = buffer(bias, 3, dims[2], biasSizes),
                  h = buffer(state, 2, dims[3], stateSizes),
                  y = buffer(new_state, 2, dims[4], stateSizes);
  /* Padding is never written. */
  y.dim[0].extent = H;
#ifdef CUDA
  y.flags = 0;
  halide_set_error_handler(report);
#endif
  int error = halide_step_all_b9_h20(&p, &u, &c, &h, &y);
#ifdef CUDA
  if (!error)
    error = halide_copy_to_host(NULL, &y);
#endif
  if (error) {
    printf("refused\n");
    return 0;
  }
  double worst = 0;
  for (int b = 0; b < B; ++b)
    for (int j = 0; j < H; ++j)
      worst = fmax(worst, fabs(new_state[b][j] - expected(b, j)));
  printf(worst < 1e-5 ? "agrees\n" : "differs by %g\n", worst);
  return 0;
}
