#include "denoise.h"

#include <stdio.h>

static _Alignas(DENOISE_ALIGNMENT) unsigned char memory[DENOISE_BYTES(1)];

int main(void) {
  static float x[42], gains[22], speech[1];
  denoise *stream = denoise_init(memory, sizeof(memory), 1);
  if (!stream || denoise_run(stream, 1, x, gains, speech))
    return 1;
  printf("%.6f\n", (double)speech[0]);
  return 0;
}
