//===- Driver.cpp - the CUDA driver and cuDNN, loaded at run time ---------===//

#include "Driver.h"

#ifdef GRU_HAS_CUDNN
#include <atomic>
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
PointerQuery gru::runtime::cuda::findPointerQuery() { return nullptr; }

#else

namespace {

/// What our kernels are compiled for: EmitPTX.cpp says the same to LLVM.
constexpr int kLeastCapability = 8, kLeastDriver = 11080; // PTX 7.8

const char *driverName() {
  const char *other = std::getenv("GRU_CUDA_DRIVER");
  return other && *other ? other : "libcuda.so.1";
}
const char *cudnnName() {
  const char *other = std::getenv("GRU_CUDNN");
  return other && *other ? other : "libcudnn.so.9";
}

// cuda.h maps names to versions with macros, so a name has to be expanded
// before it becomes text: what was compiled against is what is asked for.
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
  static std::string open(const char *name, void *&library) {
    // Never closed: handles and contexts live as long as the process.
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library)
      return "";
    const char *why = dlerror();
    return why ? why : std::string(name) + ": cannot be loaded";
  }

  std::string loadDriver() {
    void *library;
    std::string why = open(driverName(), library);
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
    return checkAge();
  }

  /// Whether driver and device are new enough for our kernels.
  std::string checkAge() {
    auto asText = [](int major, int minor) {
      return std::to_string(major) + "." + std::to_string(minor);
    };
    int version = 0, major = 0, minor = 0;
    CUdevice device;
    if (CUresult result = driver.cuDriverGetVersion(&version))
      return "the NVIDIA driver has no version: " + describe(result);
    if (version < kLeastDriver)
      return "the NVIDIA driver is for CUDA " +
             asText(version / 1000, version % 1000 / 10) + ", expected " +
             asText(kLeastDriver / 1000, kLeastDriver % 1000 / 10) +
             " or newer";
    for (auto [value, attribute] :
         {std::pair(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
          std::pair(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)})
      if (driver.cuDeviceGet(&device, 0) ||
          driver.cuDeviceGetAttribute(value, attribute, device))
        return "the NVIDIA driver does not describe the device";
    if (major < kLeastCapability)
      return "the NVIDIA GPU has compute capability " + asText(major, minor) +
             ", expected " + asText(kLeastCapability, 0) + " or newer";
    return "";
  }

  std::string loadCudnn() {
    void *library;
    std::string why = open(cudnnName(), library);
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

PointerQuery gru::runtime::cuda::findPointerQuery() {
  static std::atomic<decltype(&::cuPointerGetAttribute)> query;
  if (!query)
    if (void *library = dlopen(driverName(), RTLD_NOW | RTLD_NOLOAD))
      query = reinterpret_cast<decltype(&::cuPointerGetAttribute)>(
          dlsym(library, GRU_TEXT(cuPointerGetAttribute)));
  if (!query)
    return nullptr;
  return [](const void *address) {
    unsigned type = 0, isManaged = 0;
    auto place = reinterpret_cast<CUdeviceptr>(address);
    auto ask = query.load();
    // Memory that it has not made is unknown to the driver, which is no
    // failure; what it moves to and fro the host may read.
    return !ask(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, place) &&
           type == CU_MEMORYTYPE_DEVICE &&
           !ask(&isManaged, CU_POINTER_ATTRIBUTE_IS_MANAGED, place) &&
           !isManaged;
  };
}

const Driver &gru::runtime::cuda::driver() { return libraries().driver; }
const Cudnn &gru::runtime::cuda::cudnn() { return libraries().cudnn; }

#endif // GRU_HAS_CUDNN
