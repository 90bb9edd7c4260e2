//===- PlansByHand.h - programs without a compiler --------------*- C++ -*-===//
//
// Plans are built by hand here, good and damaged ones, and the kernel is a
// plain C++ function, so that the runtime is tested without a compiler.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TEST_UNIT_PLANSBYHAND_H
#define GRU_TEST_UNIT_PLANSBYHAND_H

#include "gru/runtime.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace gru {

constexpr int64_t symbol(int64_t s) { return -1 - s; }

struct PlanBuilder {
  gru_plan_header header{};
  std::vector<gru_plan_tensor> inputs, outputs, states, weights;
  std::vector<gru_plan_symbol> symbols;
  std::vector<gru_plan_pack> packs;
  std::vector<gru_plan_scratch> scratch;
  std::vector<gru_plan_part> parts;
  std::vector<uint64_t> offsets;
  std::string code, strings;
  uint32_t team = 1;

  gru_plan_tensor tensor(std::string_view name, gru_dtype dtype,
                         std::vector<int64_t> dims, uint64_t offset = 0) {
    gru_plan_tensor result{};
    result.name = strings.size();
    strings.append(name).push_back('\0');
    result.dtype = dtype;
    result.rank = dims.size();
    std::copy(dims.begin(), dims.end(), result.dims);
    result.offset = offset;
    return result;
  }

  static gru_plan_pack pack(uint32_t weight, gru_dtype src, gru_dtype dst,
                            uint64_t offset, std::vector<int64_t> extents,
                            std::vector<int64_t> srcStrides,
                            std::vector<int64_t> dstStrides) {
    gru_plan_pack result{};
    result.weight = weight;
    result.src_dtype = src;
    result.dst_dtype = dst;
    result.rank = extents.size();
    result.dst_offset = offset;
    std::copy(extents.begin(), extents.end(), result.extents);
    std::copy(srcStrides.begin(), srcStrides.end(), result.src_strides);
    std::copy(dstStrides.begin(), dstStrides.end(), result.dst_strides);
    return result;
  }

  std::vector<char> bytes() const {
    gru_plan_header head = header;
    head.magic = GRU_PLAN_MAGIC;
    head.version = GRU_PLAN_VERSION;
    head.team = team;
    head.num_inputs = inputs.size();
    head.num_outputs = outputs.size();
    head.num_states = states.size();
    head.num_weights = weights.size();
    head.num_symbols = symbols.size();
    head.num_packs = packs.size();
    head.num_scratch = scratch.size();
    head.num_parts = parts.size();
    head.num_offsets = offsets.size();
    head.code_size = code.size();
    head.strings_size = strings.size();
    std::vector<char> result(sizeof(head));
    auto append = [&](const auto &array) {
      const char *data = reinterpret_cast<const char *>(array.data());
      result.insert(result.end(), data,
                    data + array.size() * sizeof(*array.data()));
    };
    append(inputs);
    append(outputs);
    append(states);
    append(weights);
    append(symbols);
    append(packs);
    append(scratch);
    append(parts);
    append(offsets);
    append(code);
    append(strings);
    head.size = result.size();
    std::memcpy(result.data(), &head, sizeof(head));
    return result;
  }
};

/// y[b, t, u] = h += x[b, t, u] * scale[u] + offset[u], through scratch.
/// Weights: scale, padded to 64 bytes; offset at byte 64.
inline constexpr int64_t kBatch = 2, kUnits = 3;

inline void kernel(const gru_call *call, int32_t thread) {
  ASSERT_EQ(thread, 0);
  ASSERT_EQ(call->team, nullptr);
  for (const void *blob :
       {call->weights, (const void *)call->state, (const void *)call->scratch})
    ASSERT_EQ(reinterpret_cast<uintptr_t>(blob) % 64, 0u);
  const float *x = static_cast<const float *>(call->in[0]);
  float *y = static_cast<float *>(call->out[0]);
  const float *scale = static_cast<const float *>(call->weights);
  const float *offset = scale + 16;
  float *h = static_cast<float *>(call->state);
  float *scratch = static_cast<float *>(call->scratch);
  int64_t steps = call->dims[0];
  for (int64_t i = 0; i < kBatch * steps * kUnits; ++i)
    scratch[i] = x[i] * scale[i % kUnits] + offset[i % kUnits];
  for (int64_t b = 0; b < kBatch; ++b)
    for (int64_t t = 0; t < steps; ++t)
      for (int64_t u = 0; u < kUnits; ++u) {
        int64_t i = (b * steps + t) * kUnits + u;
        y[i] = h[b * kUnits + u] += scratch[i];
      }
}

inline PlanBuilder makePlan() {
  PlanBuilder plan;
  plan.inputs = {plan.tensor("x", GRU_F32, {kBatch, symbol(0), kUnits})};
  plan.outputs = {
      plan.tensor("output_0", GRU_F32, {kBatch, symbol(0), kUnits})};
  plan.states = {plan.tensor("gru", GRU_F32, {kBatch, kUnits})};
  plan.weights = {plan.tensor("gru/scale", GRU_F32, {kUnits}),
                  plan.tensor("gru/offset", GRU_F32, {kUnits})};
  plan.symbols = {{0, 1}};
  plan.packs = {PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {kUnits}, {1}, {1}),
                PlanBuilder::pack(1, GRU_F32, GRU_F32, 64, {kUnits}, {1}, {1})};
  plan.scratch = {{64, 0, {}}, {kBatch * kUnits * sizeof(float), 1, {0}}};
  plan.header.weights_bytes = 128;
  plan.header.state_bytes = 64;
  return plan;
}

inline gru_artifact makeArtifact(const std::vector<char> &plan,
                                 gru_kernel function = kernel) {
  gru_artifact artifact{};
  artifact.struct_size = sizeof(artifact);
  artifact.kernel = function;
  artifact.plan = plan.data();
  artifact.plan_size = plan.size();
  return artifact;
}

inline const int64_t kUnitsShape[] = {kUnits};
inline const float kScale[kUnits] = {1, 2, 3}, kOffset[kUnits] = {0.5, 0, -1};
inline const std::vector<gru_weight> kWeights = {
    {"unused", GRU_F32, 1, kUnitsShape, kScale},
    {"gru/offset", GRU_F32, 1, kUnitsShape, kOffset},
    {"gru/scale", GRU_F32, 1, kUnitsShape, kScale}};

inline Result<Program> open(const std::vector<char> &plan,
                            const std::vector<gru_weight> &weights = kWeights) {
  return Program::open(makeArtifact(plan), weights);
}

inline Program makeProgram() {
  Result<Program> program = open(makePlan().bytes());
  EXPECT_TRUE(program) << program.error().message();
  return *program;
}

/// Opening fails with this status and a text that contains `text`.
inline void expectDamaged(const std::vector<char> &plan,
                          const std::string &text,
                          gru_status status = GRU_DAMAGED) {
  Result<Program> program = open(plan);
  ASSERT_FALSE(program) << "expected: " << text;
  EXPECT_EQ(program.error().code(), status);
  EXPECT_THAT(program.error().message(), ::testing::HasSubstr(text));
}

template <typename Edit>
void expectDamaged(Edit edit, const std::string &text,
                   gru_status status = GRU_DAMAGED) {
  PlanBuilder plan = makePlan();
  edit(plan);
  expectDamaged(plan.bytes(), text, status);
}

} // namespace gru

#endif // GRU_TEST_UNIT_PLANSBYHAND_H
