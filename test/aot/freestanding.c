/* Runs an ahead-of-time model without any library, not even libc, and writes
   the outputs as raw floats to standard output. Compiled by lit for several
   machines; MODEL_H, MODEL and sizes come from the command line. */

#include "model.h"

#include <stddef.h>
#include <stdint.h>

enum { STEPS = 7 };

static _Alignas(MODEL_ALIGNMENT) unsigned char memory[MODEL_BYTES(STEPS)];
static float x[MODEL_X_ELEMENTS(STEPS)];
static float y[MODEL_OUTPUT_0_ELEMENTS(STEPS)];

#if defined(__x86_64__)
static long call3(long number, long a, const void *b, unsigned long c) {
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
  return result;
}
enum { SYS_write = 1, SYS_exit = 60 };
#elif defined(__aarch64__)
static long call3(long number, long a, const void *b, unsigned long c) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register const void *x1 __asm__("x1") = b;
  register unsigned long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}
enum { SYS_write = 64, SYS_exit = 93 };
#endif

/* Two runs with a reset between them that must not matter, then one that does
   not fit. */
static int work(void) {
  model *stream = model_init(memory, sizeof(memory), STEPS);
  unsigned state = 1;
  if (!stream)
    return 1;
  for (size_t i = 0; i < MODEL_X_ELEMENTS(STEPS); ++i) {
    state = state * 1664525u + 1013904223u;
    x[i] = (float)(int)(state >> 8) / 8388608.0f - 1.0f;
  }
  if (model_run(stream, STEPS, x, y))
    return 2;
  model_reset(stream);
  if (model_run(stream, STEPS, x, y))
    return 3;
  if (model_run(stream, STEPS + 1, x, y) != -1 ||
      model_run(stream, 0, x, y) != -1)
    return 4;
  return call3(SYS_write, 1, y, sizeof(y)) == (long)sizeof(y) ? 0 : 5;
}

__attribute__((used)) void start(void) {
  call3(SYS_exit, work(), 0, 0);
  for (;;)
    ;
}

/* The stack is aligned here as a call would leave it. */
#if defined(__x86_64__)
__asm__(
    ".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, xzr\n bl start\n");
#endif
