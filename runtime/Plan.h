//===- Plan.h - a plan that has been checked --------------------*- C++ -*-===//

#ifndef GRU_RUNTIME_PLAN_H
#define GRU_RUNTIME_PLAN_H

#include "Memory.h"
#include "gru/runtime.h"

#include <span>

namespace gru::runtime {

/// A plan for more threads is damaged.
inline constexpr uint32_t kMaxTeam = 1024;

/// An own, aligned copy of a plan's bytes. After `read` has succeeded, every
/// count, offset, index, rank, type and size in it is within bounds, so that
/// the rest of the runtime need not ask again.
class Plan {
public:
  /// Once.
  [[nodiscard]] gru_status read(const void *bytes, uint64_t size,
                                const gru_allocator &allocator = {});

  const gru_plan_header &header() const {
    return *reinterpret_cast<const gru_plan_header *>(copy.get());
  }
  std::span<const gru_plan_tensor> inputs() const {
    return {in, header().num_inputs};
  }
  std::span<const gru_plan_tensor> outputs() const {
    return {out, header().num_outputs};
  }
  std::span<const gru_plan_tensor> states() const {
    return {state, header().num_states};
  }
  std::span<const gru_plan_tensor> weights() const {
    return {weight, header().num_weights};
  }
  std::span<const gru_plan_symbol> symbols() const {
    return {symbol, header().num_symbols};
  }
  std::span<const gru_plan_pack> packs() const {
    return {pack, header().num_packs};
  }
  std::span<const gru_plan_scratch> scratch() const {
    return {region, header().num_scratch};
  }
  std::span<const gru_plan_part> parts() const {
    return {part, header().num_parts};
  }
  /// Where weight `weight` (0 kernel, 1 recurrent kernel, 2 bias) of a part's
  /// cell lies in the blob.
  uint64_t weightOffset(const gru_plan_part &part, uint32_t cell,
                        uint32_t weight) const {
    return offset64[part.first_offset + cell * part.weights_per_cell + weight];
  }
  /// PTX of a part of the library gpu.
  const char *code(const gru_plan_part &part) const {
    return codes + part.code;
  }
  const char *name(const gru_plan_tensor &tensor) const {
    return strings + tensor.name;
  }

  /// Scratch memory when every symbol is `timesteps`; false above kMaxBytes.
  [[nodiscard]] bool scratchBytes(int64_t timesteps, uint64_t &bytes) const;

private:
  gru_status split(uint64_t size);
  gru_status checkTensors(std::span<const gru_plan_tensor> tensors,
                          const char *kind, bool mayBeDynamic) const;
  gru_status checkStates() const;
  gru_status checkSymbols() const;
  gru_status checkScratch() const;
  gru_status checkParts() const;

  Block copy;
  const gru_plan_tensor *in = nullptr, *out = nullptr, *state = nullptr,
                        *weight = nullptr;
  const gru_plan_symbol *symbol = nullptr;
  const gru_plan_pack *pack = nullptr;
  const gru_plan_scratch *region = nullptr;
  const gru_plan_part *part = nullptr;
  const uint64_t *offset64 = nullptr;
  const char *codes = nullptr;
  const char *strings = nullptr;
};

/// Bytes of a tensor whose dimensions are all static; false above kMaxBytes.
[[nodiscard]] bool staticBytes(const gru_plan_tensor &tensor, uint64_t &bytes);

} // namespace gru::runtime

#endif // GRU_RUNTIME_PLAN_H
