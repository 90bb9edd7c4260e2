//===- RunGraph.h - a run that comes again, as one launch -------*- C++ -*-===//
//
// Launching a kernel costs the host some microseconds, and cuDNN's standard
// algorithm launches several for each timestep. A run that has just been made
// with the same addresses and shapes is captured as a CUDA graph, and from then
// on is one launch.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_CUDA_RUNGRAPH_H
#define GRU_RUNTIME_CUDA_RUNGRAPH_H

#include "../Plan.h"
#include "DeviceMemory.h"

#include <vector>

namespace gru::runtime::cuda {

/// Of the last run. Used with the context current.
class RunGraph {
public:
  explicit RunGraph(const Plan &plan);
  RunGraph(const RunGraph &) = delete;
  RunGraph &operator=(const RunGraph &) = delete;
  ~RunGraph() { forget(); }

  /// Whether the last run was the same; if not, this one is the last from now
  /// on.
  bool isSame(const gru_call &call);
  /// Whatever comes next is another run.
  void forget();
  /// The last run does what no graph can.
  void refuse();
  bool isTried() const { return tried; }
  bool isReady() const { return executable != nullptr; }

  /// Between begin and end the work of a run goes into the graph, not into the
  /// stream. False: that did not work, and the run has to be made as ever.
  [[nodiscard]] bool begin(CUstream stream);
  [[nodiscard]] bool end(CUstream stream);

  [[nodiscard]] gru_status launch(CUstream stream) const {
    GRU_DRIVER(cuGraphLaunch, executable, stream);
    return GRU_OK;
  }

private:
  const size_t numInputs, numOutputs, numSymbols;
  std::vector<uint64_t> last; ///< Addresses and the values of symbols.
  bool known = false, tried = false;
  CUgraphExec executable = nullptr;
};

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_RUNGRAPH_H
