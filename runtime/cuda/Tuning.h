//===- Tuning.h - what was measured on a device -----------------*- C++ -*-===//

#ifndef GRU_RUNTIME_CUDA_TUNING_H
#define GRU_RUNTIME_CUDA_TUNING_H

#include <cstdint>
#include <optional>
#include <string>

namespace gru::runtime::cuda {

/// What this process or the store of gru_set_tuning_store remembers of a key.
/// For any number of threads.
std::optional<int32_t> findTuning(const std::string &key);
void setTuning(const std::string &key, int32_t value);

} // namespace gru::runtime::cuda

#endif // GRU_RUNTIME_CUDA_TUNING_H
