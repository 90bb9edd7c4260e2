//===- FloatEnvironment.h - the processor's mode during a run ---*- C++ -*-===//

#ifndef GRU_RUNTIME_FLOATENVIRONMENT_H
#define GRU_RUNTIME_FLOATENVIRONMENT_H

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace gru::runtime {

/// While it lives: denormals are zero on the way in and out, rounding is to
/// nearest even, exceptions are masked. Decaying states would otherwise make a
/// step many times slower, and a host's rounding mode would change results.
/// The caller's mode and flags come back afterwards.
class FloatEnvironment {
public:
#if defined(__x86_64__) || defined(_M_X64)
  // Flush to zero (15), all exceptions masked (7-12), denormals are zero (6).
  FloatEnvironment() : saved(_mm_getcsr()) { _mm_setcsr(0x9fc0); }
  ~FloatEnvironment() { _mm_setcsr(saved); }

private:
  uint32_t saved;
#elif defined(__aarch64__)
  // FPCR.FZ does both; half precision keeps its denormals.
  FloatEnvironment() {
    asm volatile("mrs %0, fpcr" : "=r"(saved));
    asm volatile("msr fpcr, %0" : : "r"(uint64_t(1) << 24) : "memory");
  }
  ~FloatEnvironment() {
    asm volatile("msr fpcr, %0" : : "r"(saved) : "memory");
  }

private:
  uint64_t saved;
#else
  FloatEnvironment() {}
  ~FloatEnvironment() {}

private:
#endif
  FloatEnvironment(const FloatEnvironment &) = delete;
  FloatEnvironment &operator=(const FloatEnvironment &) = delete;
};

} // namespace gru::runtime

#endif // GRU_RUNTIME_FLOATENVIRONMENT_H
