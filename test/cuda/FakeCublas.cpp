//===- FakeCublas.cpp - a cuBLAS without a GPU ----------------------------===//
//
// A test double, loaded through GRU_CUBLAS: products in double precision.
//
//===----------------------------------------------------------------------===//

#include "FakeDevice.h"

#include <cstdlib>

using namespace fake;

namespace {
// Of cublasStatus_t, cublasOperation_t and cublasMath_t.
enum Status {
  kSuccess = 0,
  kNotInitialized = 1,
  kInvalidValue = 7,
  kFailed = 13
};
enum { kNotTransposed = 0 };
enum { kDefaultMath = 0, kTF32Math = 3 };

struct Handle {
  Stream *stream;
  int math = kDefaultMath;
};
} // namespace

extern "C" {
/// For tests: how often a product was made.
__attribute__((visibility("default"))) int gru_fake_num_products = 0;
}

EXPORT const char *cublasGetStatusString(int status) {
  return status == kInvalidValue ? "CUBLAS_STATUS_INVALID_VALUE"
                                 : "CUBLAS_STATUS_EXECUTION_FAILED";
}
EXPORT int cublasCreate_v2(Handle **handle) {
  if (mustFail("cublasCreate"))
    return kNotInitialized;
  *handle = new Handle{Stream::find(nullptr)};
  return kSuccess;
}
EXPORT int cublasDestroy_v2(Handle *handle) {
  delete handle;
  return kSuccess;
}
EXPORT int cublasSetStream_v2(Handle *handle, CUstream stream) {
  handle->stream = Stream::find(stream);
  return handle->stream ? kSuccess : kInvalidValue;
}
EXPORT int cublasSetWorkspace_v2(Handle *, void *workspace, size_t bytes) {
  bool isAligned = reinterpret_cast<uintptr_t>(workspace) % 256 == 0;
  return isAligned && Memory::get().has(workspace, bytes) ? kSuccess
                                                          : kInvalidValue;
}
EXPORT int cublasSetMathMode(Handle *handle, int mode) {
  // A test says where it asks for TF32.
  if (mode != (std::getenv("GRU_FAKE_TF32") ? kTF32Math : kDefaultMath))
    return kInvalidValue;
  handle->math = mode;
  return kSuccess;
}
EXPORT int cublasSgemm_v2(Handle *handle, int transposedA, int transposedB,
                          int m, int n, int k, const float *alpha,
                          const float *a, int lda, const float *b, int ldb,
                          const float *beta, float *c, int ldc) {
  if (!handle)
    return kNotInitialized;
  if (mustFail("cublasSgemm"))
    return kFailed;
  // What this double computes.
  if (transposedA != kNotTransposed || transposedB != kNotTransposed ||
      *alpha != 1 || *beta != 0)
    return kInvalidValue;
  if (m < 0 || n < 0 || k < 0 || lda < m || ldb < k || ldc < m)
    return kInvalidValue;
  auto covers = [](const float *matrix, int64_t ld, int64_t rows,
                   int64_t columns) {
    return rows == 0 || columns == 0 ||
           Memory::get().has(matrix,
                             (ld * (columns - 1) + rows) * sizeof(float));
  };
  if (!covers(a, lda, m, k) || !covers(b, ldb, k, n) || !covers(c, ldc, m, n))
    return kInvalidValue;
  ++gru_fake_num_products;
  handle->stream->add([=] {
    std::vector<double> sums(m);
    for (int64_t j = 0; j < n; ++j) {
      sums.assign(m, 0);
      for (int64_t l = 0; l < k; ++l)
        for (int64_t i = 0; i < m; ++i)
          sums[i] += double(a[l * lda + i]) * b[j * ldb + l];
      for (int64_t i = 0; i < m; ++i)
        c[j * ldc + i] = float(sums[i]);
    }
    return std::string();
  });
  return kSuccess;
}
