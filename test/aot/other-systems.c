/* Calls what the header declares, all of it, in C99 and in C++; linked as a
   library by the linker of the system, which accepts nothing undefined. */

#include "net.h"

#ifdef _MSC_VER
/* What the C library of that system has: floating-point numbers occur. */
int _fltused = 0;
#endif

#ifdef __cplusplus
extern "C"
#endif
    int entry(void *memory, size_t size, const float *x, float *y, float *z);

const struct gru_artifact *artifact = &net_artifact;

int entry(void *memory, size_t size, const float *x, float *y, float *z) {
  net *stream = net_init(memory, size, 2);
  if (!stream || size < NET_BYTES(2) || NET_MAIN_INPUT_ELEMENTS(2) != 2 * 42 ||
      NET_STATE_BYTES == 0 || (uintptr_t)memory % NET_ALIGNMENT != 0 ||
      NET_MAX_TIMESTEPS < 2)
    return -1;
  net_reset(stream);
  return net_state(stream) ? net_run(stream, 2, x, y, z) : -1;
}
