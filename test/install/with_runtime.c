#include <gru/runtime.h>

#include <stdio.h>

int main(int argc, char **argv) {
  static float x[42], gains[22], speech[1];
  const int64_t x_dims[] = {1, 1, 42}, gains_dims[] = {1, 1, 22};
  const int64_t speech_dims[] = {1, 1, 1};
  gru_buffer in = {x, GRU_F32, 3, x_dims};
  gru_buffer out[] = {{gains, GRU_F32, 3, gains_dims},
                      {speech, GRU_F32, 3, speech_dims}};
  gru_program *program;
  gru_session *session;
  if (gru_program_load(argc > 1 ? argv[1] : "", NULL, 0, &program) ||
      gru_session_create(program, NULL, &session) ||
      gru_session_run(session, &in, 1, out, 2)) {
    fprintf(stderr, "%s\n", gru_last_error());
    return 1;
  }
  printf("%.6f\n", (double)speech[0]);
  gru_session_destroy(session);
  gru_program_release(program);
  return 0;
}
