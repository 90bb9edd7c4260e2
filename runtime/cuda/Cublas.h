//===- Cublas.h - matrix products by cuBLAS, if it is there -----*- C++ -*-===//
//
// Its few functions are declared here: their interface has been the same since
// 2011, and their headers are a wheel of hundreds of megabytes.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_CUDA_CUBLAS_H
#define GRU_RUNTIME_CUDA_CUBLAS_H

#include "DeviceMemory.h"

namespace gru::runtime::cuda {

/// Products in a stream; one for each session that has large ones.
class Cublas {
public:
  Cublas() = default;
  Cublas(const Cublas &) = delete;
  Cublas &operator=(const Cublas &) = delete;
  ~Cublas();

  /// False where there is no cuBLAS, or none that works. GRU_CUBLAS may name
  /// the library.
  [[nodiscard]] bool create(CUstream stream);
  [[nodiscard]] gru_status setStream(CUstream stream);

  /// c[m, n] = a[m, k] b[k, n], all float32, dense and row-major. `tf32`: a and
  /// b may be rounded to 10 bits of mantissa.
  [[nodiscard]] gru_status multiply(int m, int n, int k, CUdeviceptr a,
                                    CUdeviceptr b, CUdeviceptr c, bool tf32);

private:
  void *handle = nullptr;
  DeviceBlock workspace;
};

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_CUBLAS_H
