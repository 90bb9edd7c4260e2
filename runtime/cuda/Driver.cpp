//===- Driver.cpp - the CUDA driver and cuDNN, loaded at run time ---------===//

#include "Driver.h"

#ifdef GRU_HAS_CUDNN
#include <cstdlib>
#include <dlfcn.h>
#endif

using namespace gru::runtime::cuda;

#ifndef GRU_HAS_CUDNN

const std::string &gru::runtime::cuda::deviceProblem() {
  static const std::string problem =
      "this build has no device support (the headers of CUDA and cuDNN were not "
      "found when it was configured)";
  return problem;
}
const std::string &gru::runtime::cuda::cudnnProblem() {
  return deviceProblem();
}

#else

namespace {

// cuda.h maps names to versions with macros, so a name has to be expanded before
// it becomes text: what was compiled against is what is asked for.
#define GRU_TEXT_OF(name) #name
#define GRU_TEXT(name) GRU_TEXT_OF(name)

struct Libraries {
  Driver driver;
  Cudnn cudnn;
  std::string deviceProblem, cudnnProblem;

  Libraries() {
    deviceProblem = loadDriver();
    cudnnProblem = deviceProblem.empty() ? loadCudnn() : deviceProblem;
  }

private:
  static std::string open(const char *variable, const char *name,
                          void *&library) {
    const char *other = std::getenv(variable);
    // Never closed: handles and contexts live as long as the process.
    library = dlopen(other && *other ? other : name, RTLD_NOW | RTLD_LOCAL);
    if (library)
      return "";
    const char *why = dlerror();
    return why ? why : std::string(name) + ": cannot be loaded";
  }

  std::string loadDriver() {
    void *library;
    std::string why = open("GRU_CUDA_DRIVER", "libcuda.so.1", library);
    if (!why.empty())
      return "no NVIDIA driver: " + why;
#define GRU_LOAD(table, name)                                                  \
  table.name =                                                                 \
      reinterpret_cast<decltype(table.name)>(dlsym(library, GRU_TEXT(name)));  \
  if (!table.name)                                                             \
    return std::string(#table " is too old: it has no ") + GRU_TEXT(name);
#define GRU_LOAD_DRIVER(name) GRU_LOAD(driver, name)
    GRU_CUDA_FUNCTIONS(GRU_LOAD_DRIVER)
#undef GRU_LOAD_DRIVER
    if (CUresult result = driver.cuInit(0))
      return "the NVIDIA driver does not start: " + describe(result);
    int count = 0;
    if (CUresult result = driver.cuDeviceGetCount(&count))
      return "the NVIDIA driver lists no devices: " + describe(result);
    if (count == 0)
      return "no NVIDIA GPU in this machine";
    return "";
  }

  std::string loadCudnn() {
    void *library;
    std::string why = open("GRU_CUDNN", "libcudnn.so.9", library);
    if (!why.empty())
      return "no cuDNN 9: " + why;
#define GRU_LOAD_CUDNN(name) GRU_LOAD(cudnn, name)
    GRU_CUDNN_FUNCTIONS(GRU_LOAD_CUDNN)
#undef GRU_LOAD_CUDNN
    return "";
  }

  std::string describe(CUresult result) const {
    const char *text = nullptr;
    if (driver.cuGetErrorString(result, &text) || !text)
      return "error " + std::to_string(result);
    return text;
  }
};

const Libraries &libraries() {
  static const Libraries loaded;
  return loaded;
}

} // namespace

const std::string &gru::runtime::cuda::deviceProblem() {
  return libraries().deviceProblem;
}
const std::string &gru::runtime::cuda::cudnnProblem() {
  return libraries().cudnnProblem;
}
const Driver &gru::runtime::cuda::driver() { return libraries().driver; }
const Cudnn &gru::runtime::cuda::cudnn() { return libraries().cudnn; }

#endif // GRU_HAS_CUDNN
