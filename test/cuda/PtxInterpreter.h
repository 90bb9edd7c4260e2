//===- PtxInterpreter.h - runs PTX on the host, slowly ------------*- C++ -*-===//
//
// For tests on machines without a GPU: the integer and float32 part of PTX that
// LLVM writes for our kernels, with the threads of a cooperative launch taking
// turns. Threads meet at barriers and shuffles as they do on a device, and a
// launch whose threads can never meet fails instead of waiting for ever.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TEST_CUDA_PTXINTERPRETER_H
#define GRU_TEST_CUDA_PTXINTERPRETER_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ptx {

class Kernel;
struct KernelDeleter {
  void operator()(Kernel *kernel) const;
};
using KernelPtr = std::unique_ptr<Kernel, KernelDeleter>;

/// The entry `name` of a module; null and a `problem` if there is none or if it
/// holds anything that is not known here.
KernelPtr parse(const std::string &text, const std::string &name,
                std::string &problem);

/// Runs all threads. `arguments` are addresses of values, as for a launch.
/// Returns "" or what went wrong.
std::string launch(const Kernel &kernel, unsigned blocks, unsigned threads,
                   unsigned sharedBytes, void **arguments);

} // namespace ptx

#endif // GRU_TEST_CUDA_PTXINTERPRETER_H
