//===- Part.h - one device call of a program ---------------------*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_PART_H
#define GRU_RUNTIME_CUDA_PART_H

#include "../Plan.h"
#include "DeviceMemory.h"
#include "Sequences.h"

#include <memory>

namespace gru::runtime::cuda {

/// The buffers of one call by their roles; see gru_plan_part.
struct PartBuffers {
  const char *input;
  void *const *initialStates; ///< null where there are none
  const uint8_t *mask;        ///< null where there is none
  void *const *sequences;
  void *const *lasts;
  void *const *states;

  static PartBuffers read(const gru_plan_part &part, void *const *buffers);
};

class Part {
public:
  virtual ~Part() = default;
  /// In the stream, with the context current; finished when it returns.
  [[nodiscard]] virtual gru_status run(int64_t timesteps,
                                       const PartBuffers &buffers) = 0;
};

[[nodiscard]] gru_status createCudnnPart(const Plan &plan,
                                         const gru_plan_part &part,
                                         const char *weights,
                                         int64_t maxTimesteps, CUstream stream,
                                         cudnnHandle_t handle,
                                         std::unique_ptr<Part> &result);
[[nodiscard]] gru_status createGPUPart(const Plan &plan,
                                       const gru_plan_part &part,
                                       const char *weights,
                                       int64_t maxTimesteps, CUstream stream,
                                       CUdevice device,
                                       std::unique_ptr<Part> &result);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_PART_H
