/*===- ahead_of_time.c - a model as an object, without any library ----------===*\
|*
|* CMake's gru_add_model has compiled rnnoise's network to rnnoise.o and
|* rnnoise.h; this program links those and libc. Memory is static: nothing is
|* allocated at all.
|*
\*===----------------------------------------------------------------------===*/

#include "rnnoise.h"

#include <stdio.h>

enum { FRAMES = 8, FEATURES = 42, BANDS = 22 };

static _Alignas(RNNOISE_ALIGNMENT) unsigned char memory[RNNOISE_BYTES(FRAMES)];

int main(void) {
  float features[FRAMES * FEATURES], gains[FRAMES * BANDS], speech[FRAMES];
  rnnoise *stream = rnnoise_init(memory, sizeof(memory), FRAMES);
  int i;
  if (!stream)
    return 1;
  printf("%zu bytes for a stream of at most %d frames a call\n", sizeof(memory),
         FRAMES);
  for (i = 0; i < FRAMES * FEATURES; ++i)
    features[i] = (float)(i % 7 - 3) / 3;
  if (rnnoise_run(stream, FRAMES, features, gains, speech))
    return 1;
  for (i = 0; i < FRAMES; ++i)
    printf("frame %d: speech %.4f, first gain %.4f\n", i, (double)speech[i],
           (double)gains[i * BANDS]);
  return 0;
}
