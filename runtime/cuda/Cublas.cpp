//===- Cublas.cpp - matrix products by cuBLAS, if it is there -------------===//

#include "Cublas.h"

#include <cstdlib>
#include <dlfcn.h>
#include <initializer_list>

using namespace gru::runtime;
using namespace gru::runtime::cuda;

namespace {
// cublas_api.h's names and values.
using Handle = void *;
enum Operation : int { kNotTransposed = 0 };
enum Math : int { kDefaultMath = 0, kTF32Math = 3 };

struct Functions {
  int (*create)(Handle *);
  int (*destroy)(Handle);
  int (*setStream)(Handle, CUstream);
  int (*setWorkspace)(Handle, void *, size_t);
  int (*setMathMode)(Handle, int);
  int (*multiply)(Handle, int, int, int, int, int, const float *, const float *,
                  int, const float *, int, const float *, float *, int);
  const char *(*describe)(int);
};

void *openLibrary() {
  const char *other = std::getenv("GRU_CUBLAS");
  if (other && *other)
    return dlopen(other, RTLD_NOW | RTLD_LOCAL);
  for (const char *name : {"libcublas.so.13", "libcublas.so.12"})
    if (void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL))
      return library;
  return nullptr;
}

/// Null where there is no cuBLAS. Loaded once in a process.
const Functions *functions() {
  static const Functions *const loaded = []() -> const Functions * {
    static Functions found;
    void *library = openLibrary();
    if (!library)
      return nullptr;
    bool complete = true;
    auto load = [&](auto &function, const char *name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
          dlsym(library, name));
      complete &= function != nullptr;
    };
    load(found.create, "cublasCreate_v2");
    load(found.destroy, "cublasDestroy_v2");
    load(found.setStream, "cublasSetStream_v2");
    load(found.setWorkspace, "cublasSetWorkspace_v2");
    load(found.setMathMode, "cublasSetMathMode");
    load(found.multiply, "cublasSgemm_v2");
    load(found.describe, "cublasGetStatusString");
    return complete ? &found : nullptr;
  }();
  return loaded;
}

gru_status failure(const char *call, int result) {
  return fail(GRU_DEVICE_FAILED, "cuBLAS: ", call, ": ",
              functions()->describe(result));
}
#define GRU_CUBLAS_CALL(function, name, ...)                                   \
  if (int result_ = functions()->function(__VA_ARGS__))                        \
  return failure(name, result_)

/// Its own memory for each stream would not do for a graph, whose replays come
/// in other streams.
constexpr size_t kWorkspace = 8 << 20;
} // namespace

Cublas::~Cublas() {
  if (handle)
    functions()->destroy(handle);
}

bool Cublas::create(CUstream stream) {
  if (!functions() || functions()->create(&handle)) {
    handle = nullptr;
    return false;
  }
  return !workspace.allocate(kWorkspace) && !setStream(stream);
}

gru_status Cublas::setStream(CUstream stream) {
  GRU_CUBLAS_CALL(setStream, "cublasSetStream", handle, stream);
  // The stream's is the library's own again.
  GRU_CUBLAS_CALL(setWorkspace, "cublasSetWorkspace", handle,
                  workspace.pointer(), kWorkspace);
  return GRU_OK;
}

gru_status Cublas::multiply(int m, int n, int k, CUdeviceptr a, CUdeviceptr b,
                            CUdeviceptr c, bool tf32) {
  const float one = 1, zero = 0;
  auto matrix = [](CUdeviceptr address) {
    return reinterpret_cast<float *>(address);
  };
  GRU_CUBLAS_CALL(setMathMode, "cublasSetMathMode", handle,
                  tf32 ? kTF32Math : kDefaultMath);
  // By columns, as it has them, the transposed ones: c^T = b^T a^T.
  GRU_CUBLAS_CALL(multiply, "cublasSgemm", handle, kNotTransposed,
                  kNotTransposed, n, m, k, &one, matrix(b), n, matrix(a), k,
                  &zero, matrix(c), n);
  return GRU_OK;
}
