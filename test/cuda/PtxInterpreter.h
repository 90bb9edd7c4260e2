//===- PtxInterpreter.h - runs PTX on the host, slowly ----------*- C++ -*-===//
//
// For tests on machines without a GPU: the integer and float32 part of PTX that
// LLVM writes for our kernels. Threads meet at barriers and shuffles as they do
// on a device, and a launch whose threads can never meet fails instead of
// waiting for ever.
//
// Blocks of an ordinary launch run one after the other: nothing says that two
// of them are there at once. Those of a cooperative one take turns, and what a
// block stores is seen by others only behind a release, as on a device with bad
// luck.
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

/// What the driver would have against the head of a module, or "".
std::string checkHeader(const std::string &text);

/// The entry `name` of a module; null and a `problem` if there is none or if it
/// holds anything that is not known here.
KernelPtr parse(const std::string &text, const std::string &name,
                std::string &problem);

/// Threads that a block may have.
int mostThreads(const Kernel &kernel);

/// What addresses of values, as for a launch, hold.
std::vector<uint64_t> readArguments(const Kernel &kernel, void **arguments);

/// Runs all threads. Returns "" or what went wrong.
std::string launch(const Kernel &kernel, unsigned blocks, unsigned threads,
                   unsigned sharedBytes, const std::vector<uint64_t> &arguments,
                   bool cooperative);

} // namespace ptx

#endif // GRU_TEST_CUDA_PTXINTERPRETER_H
