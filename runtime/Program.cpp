//===- Program.cpp - opens programs and answers questions about them ------===//

#include "Program.h"

#include "Error.h"
#include "Pack.h"

using namespace gru::runtime;

namespace {

const gru_weight *findWeight(std::span<const gru_weight> weights,
                             std::string_view name) {
  for (const gru_weight &weight : weights)
    if (weight.name == name)
      return &weight;
  return nullptr;
}

gru_status checkWeight(const char *name, const gru_plan_tensor &expected,
                       const gru_weight *weight) {
  if (!weight)
    return fail(GRU_INVALID_ARGUMENT, "weight '", name,
                "': is missing, expected ", gru_dtype_name(expected.dtype), " ",
                planShape(expected));
  if (gru_status status = checkBuffer("weight", name, expected, weight->dtype,
                                      weight->rank, weight->dims))
    return status;
  uint64_t bytes;
  if (!staticBytes(expected, bytes))
    return fail(GRU_INTERNAL, "weight '", name, "': has no size");
  if (bytes != 0 && !weight->data)
    return fail(GRU_INVALID_ARGUMENT, "weight '", name,
                "': data is null, expected ", bytes, " bytes");
  return GRU_OK;
}

/// Finds the plan's weights and packs them into a blob of zeros.
gru_status packWeights(const Plan &plan, std::span<const gru_weight> weights,
                       void *blob) {
  for (size_t i = 0; i < weights.size(); ++i)
    if (!weights[i].name)
      return fail(GRU_INVALID_ARGUMENT, "weight ", i, ": name is null");

  Block found;
  if (!found.allocate(plan.weights().size() * sizeof(const void *)))
    return fail(GRU_OUT_OF_MEMORY, "program: cannot allocate a table of ",
                plan.weights().size(), " weights");
  auto *sources = reinterpret_cast<const void **>(found.get());
  for (size_t i = 0; i < plan.weights().size(); ++i) {
    const gru_plan_tensor &expected = plan.weights()[i];
    const char *name = plan.name(expected);
    const gru_weight *weight = findWeight(weights, name);
    if (gru_status status = checkWeight(name, expected, weight))
      return status;
    sources[i] = weight->data;
  }
  for (const gru_plan_pack &pack : plan.packs())
    runPack(pack, sources[pack.weight], blob);
  return GRU_OK;
}

/// What an object made ahead of time brings along.
gru_status takePackedWeights(gru_program &program) {
  const gru_artifact &artifact = program.artifact;
  uint64_t expected = program.plan.header().weights_bytes;
  if (artifact.packed_weights_size != expected)
    return fail(GRU_INVALID_ARGUMENT, "artifact: packed weights have ",
                artifact.packed_weights_size, " bytes, expected ", expected);
  if (reinterpret_cast<uintptr_t>(artifact.packed_weights) % kAlignment != 0)
    return fail(GRU_INVALID_ARGUMENT,
                "artifact: packed weights are not aligned, expected a multiple "
                "of ",
                kAlignment, " bytes");
  program.weights = artifact.packed_weights;
  return GRU_OK;
}

gru_status open(gru_program &program, std::span<const gru_weight> weights) {
  if (!program.artifact.kernel)
    return fail(GRU_INVALID_ARGUMENT, "artifact: kernel is null");
  if (gru_status status = program.plan.read(
          program.artifact.plan, program.artifact.plan_size, program.allocator))
    return status;
  if (weights.empty() && program.artifact.packed_weights)
    return takePackedWeights(program);
  uint64_t bytes = program.plan.header().weights_bytes;
  if (bytes != 0 && program.plan.packs().empty())
    return fail(GRU_INVALID_ARGUMENT,
                "artifact: has no pack program, so its weights cannot be "
                "replaced (compile it with --hot-swap)");
  if (!program.ownWeights.allocate(bytes, program.allocator))
    return fail(GRU_OUT_OF_MEMORY, "program: cannot allocate ", bytes,
                " bytes for the weights");
  program.weights = program.ownWeights.get();
  return packWeights(program.plan, weights, program.ownWeights.get());
}

gru_status openInto(const gru_artifact &artifact,
                    std::span<const gru_weight> weights,
                    gru_program **program) {
  gru_allocator allocator;
  if (gru_status status = readAllocator(artifact.allocator, allocator))
    return status;
  auto *opened = create<gru_program>(allocator);
  if (!opened)
    return fail(GRU_OUT_OF_MEMORY, "program: cannot allocate ",
                sizeof(gru_program), " bytes");
  opened->artifact = artifact;
  opened->allocator = allocator;
  if (gru_status status = open(*opened, weights)) {
    destroy(allocator, opened);
    return status;
  }
  *program = opened;
  return GRU_OK;
}

std::span<const gru_plan_tensor> tensorsOf(const Plan &plan,
                                           gru_tensor_kind kind) {
  switch (kind) {
  case GRU_KIND_INPUT:
    return plan.inputs();
  case GRU_KIND_OUTPUT:
    return plan.outputs();
  case GRU_KIND_STATE:
    return plan.states();
  case GRU_KIND_WEIGHT:
    return plan.weights();
  }
  return {};
}

} // namespace

gru_status gru::runtime::checkBuffer(const char *kind, const char *name,
                                     const gru_plan_tensor &expected,
                                     gru_dtype dtype, uint32_t rank,
                                     const int64_t *dims, int64_t batch) {
  if (dtype != expected.dtype) {
    if (gru_dtype_size(dtype) == 0)
      return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                  "': unknown type, found ", dtype, ", expected ",
                  gru_dtype_name(expected.dtype));
    return fail(GRU_INVALID_ARGUMENT, kind, " '", name, "': wrong type, found ",
                gru_dtype_name(dtype), ", expected ",
                gru_dtype_name(expected.dtype));
  }
  if (rank != 0 && !dims)
    return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                "': dims is null, expected ", expected.rank, " sizes");
  Shape found{dims, rank, false};
  if (rank != expected.rank)
    return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                "': wrong shape, found ", found, ", expected ",
                planShape(expected));
  for (uint32_t d = 0; d < rank; ++d) {
    if (expected.dims[d] < 0 || dims[d] == expected.dims[d])
      continue;
    // People may well expect the batch to be free.
    bool onlyBatch = d == 0 && expected.dims[d] == batch;
    for (uint32_t other = 1; onlyBatch && other < rank; ++other)
      onlyBatch =
          expected.dims[other] < 0 || dims[other] == expected.dims[other];
    if (onlyBatch)
      return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                  "': wrong batch, found ", dims[0], " in ", found,
                  ", expected ", expected.dims[0], " in ", planShape(expected),
                  " (the program is compiled for one batch)");
    return fail(GRU_INVALID_ARGUMENT, kind, " '", name,
                "': wrong shape, found ", found, ", expected ",
                planShape(expected));
  }
  return GRU_OK;
}

gru_status gru::runtime::bindInputs(const Plan &plan, const gru_buffer *inputs,
                                    size_t numInputs, int64_t maxTimesteps,
                                    int64_t *symbols) {
  std::span<const gru_plan_tensor> expected = plan.inputs();
  if (numInputs != expected.size())
    return fail(GRU_INVALID_ARGUMENT, "inputs: wrong number, found ", numInputs,
                ", expected ", expected.size());
  if (numInputs != 0 && !inputs)
    return fail(GRU_INVALID_ARGUMENT, "inputs: is null, expected ",
                expected.size(), " tensors");
  // What the first input begins with is the batch, or a time that is open.
  int64_t batch = numInputs && expected[0].rank ? expected[0].dims[0] : -1;
  for (size_t i = 0; i < numInputs; ++i) {
    const gru_buffer &input = inputs[i];
    const char *name = plan.name(expected[i]);
    if (gru_status status = checkBuffer("input", name, expected[i], input.dtype,
                                        input.rank, input.dims, batch))
      return status;
    for (uint32_t d = 0; d < input.rank; ++d) {
      if (expected[i].dims[d] >= 0)
        continue;
      if (input.dims[d] < 1)
        return fail(GRU_INVALID_ARGUMENT, "input '", name, "': dimension ", d,
                    " is empty, found ", input.dims[d], " in ",
                    Shape{input.dims, input.rank, false},
                    ", expected at least 1");
      if (input.dims[d] > maxTimesteps)
        return fail(GRU_INVALID_ARGUMENT, "input '", name, "': dimension ", d,
                    " is too long for the session, found ", input.dims[d],
                    " in ", Shape{input.dims, input.rank, false},
                    ", expected at most max_timesteps = ", maxTimesteps);
    }
  }
  for (size_t s = 0; s < plan.symbols().size(); ++s) {
    auto [input, dim] = plan.symbols()[s];
    symbols[s] = inputs[input].dims[dim];
  }
  // A symbol may occur in several places, which have to agree.
  for (size_t i = 0; i < numInputs; ++i)
    for (uint32_t d = 0; d < inputs[i].rank; ++d) {
      int64_t dim = expected[i].dims[d];
      if (dim < 0 && inputs[i].dims[d] != symbols[-1 - dim])
        return fail(GRU_INVALID_ARGUMENT, "input '", plan.name(expected[i]),
                    "': dimension ", d, " disagrees with input '",
                    plan.name(expected[plan.symbols()[-1 - dim].input]),
                    "', found ", inputs[i].dims[d], ", expected ",
                    symbols[-1 - dim]);
    }
  return GRU_OK;
}

gru_status gru_plan_weights_bytes(const void *bytes, uint64_t size,
                                  uint64_t *result) {
  if (!result)
    return fail(GRU_INVALID_ARGUMENT, "gru_plan_weights_bytes: bytes is null");
  Plan plan;
  if (gru_status status = plan.read(bytes, size))
    return status;
  *result = plan.header().weights_bytes;
  return GRU_OK;
}

gru_status gru_pack_weights(const void *bytes, uint64_t plan_size,
                            const gru_weight *weights, size_t num_weights,
                            void *blob, uint64_t size) {
  if (num_weights != 0 && !weights)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_pack_weights: weights is null, expected ", num_weights);
  Plan plan;
  if (gru_status status = plan.read(bytes, plan_size))
    return status;
  uint64_t expected = plan.header().weights_bytes;
  if (size != expected)
    return fail(GRU_INVALID_ARGUMENT, "packed weights: wrong size, found ",
                size, " bytes, expected ", expected);
  if (!blob && size != 0)
    return fail(GRU_INVALID_ARGUMENT, "packed weights: blob is null");
  if (size != 0 && plan.packs().empty())
    return fail(GRU_INVALID_ARGUMENT,
                "plan: has no pack program (compile with --hot-swap)");
  // Into memory of our own first: a call that fails has no effect.
  Block packed;
  if (!packed.allocate(size))
    return fail(GRU_OUT_OF_MEMORY, "packed weights: cannot allocate ", size,
                " bytes");
  if (gru_status status =
          packWeights(plan, {weights, num_weights}, packed.get()))
    return status;
  if (size != 0)
    std::memcpy(blob, packed.get(), size);
  return GRU_OK;
}

gru_status gru_program_open(const gru_artifact *artifact,
                            const gru_weight *weights, size_t num_weights,
                            gru_program **program) {
  if (!program)
    return fail(GRU_INVALID_ARGUMENT, "gru_program_open: program is null");
  *program = nullptr;
  if (!artifact)
    return fail(GRU_INVALID_ARGUMENT, "gru_program_open: artifact is null");
  if (num_weights != 0 && !weights)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_open: weights is null, expected ", num_weights);
  gru_artifact read;
  if (gru_status status = readVersioned(artifact, "artifact", read,
                                        offsetof(gru_artifact, packed_weights)))
    return status;
  return openInto(read, {weights, num_weights}, program);
}

gru_status gru_program_with_weights(gru_program *program,
                                    const gru_weight *weights,
                                    size_t num_weights, gru_program **swapped) {
  if (!swapped)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_with_weights: swapped is null");
  *swapped = nullptr;
  if (!program || (num_weights != 0 && !weights))
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_with_weights: ", program ? "weights" : "program",
                " is null");
  // The kernel is the old program's, and lives as long as somebody needs it.
  gru_artifact artifact = program->artifact;
  artifact.plan = &program->plan.header();
  artifact.plan_size = program->plan.header().size;
  artifact.allocator =
      program->allocator.allocate ? &program->allocator : nullptr;
  artifact.packed_weights = nullptr;
  artifact.packed_weights_size = 0;
  artifact.release = [](void *context) {
    gru_program_release(static_cast<gru_program *>(context));
  };
  artifact.context = program;
  if (gru_status status = openInto(artifact, {weights, num_weights}, swapped))
    return status;
  gru_program_retain(program);
  return GRU_OK;
}

gru_program *gru_program_retain(gru_program *program) {
  if (program)
    program->references.fetch_add(1, std::memory_order_relaxed);
  return program;
}

void gru_program_release(gru_program *program) {
  if (!program ||
      program->references.fetch_sub(1, std::memory_order_acq_rel) != 1)
    return;
  gru_artifact artifact = program->artifact;
  gru_allocator allocator = program->allocator;
  destroy(allocator, program);
  if (artifact.release)
    artifact.release(artifact.context);
}

size_t gru_program_num_tensors(const gru_program *program,
                               gru_tensor_kind kind) {
  return program ? tensorsOf(program->plan, kind).size() : 0;
}

gru_status gru_program_tensor(const gru_program *program, gru_tensor_kind kind,
                              size_t index, gru_tensor_info *info) {
  if (!program || !info)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_tensor: ", program ? "info" : "program",
                " is null");
  std::span<const gru_plan_tensor> tensors = tensorsOf(program->plan, kind);
  if (index >= tensors.size())
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_tensor: index is out of range, found ", index,
                ", expected below ", tensors.size());
  const gru_plan_tensor &tensor = tensors[index];
  *info = {program->plan.name(tensor), tensor.dtype, tensor.rank, {}};
  for (uint32_t d = 0; d < tensor.rank; ++d)
    info->dims[d] = tensor.dims[d] < 0 ? -1 : tensor.dims[d];
  return GRU_OK;
}

uint64_t gru_program_weights_bytes(const gru_program *program) {
  return program ? program->plan.header().weights_bytes : 0;
}

uint32_t gru_program_threads(const gru_program *program) {
  return program ? program->plan.header().team : 0;
}

uint64_t gru_program_state_bytes(const gru_program *program) {
  return program ? program->plan.header().state_bytes : 0;
}

gru_status gru_program_scratch_bytes(const gru_program *program,
                                     int64_t timesteps, uint64_t *bytes) {
  if (!program || !bytes)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_scratch_bytes: ", program ? "bytes" : "program",
                " is null");
  if (timesteps < 1)
    return fail(GRU_INVALID_ARGUMENT, "timesteps: is out of range, found ",
                timesteps, ", expected at least 1");
  uint64_t result;
  if (!program->plan.scratchBytes(timesteps, result))
    return fail(GRU_OUT_OF_MEMORY, "scratch for ", timesteps,
                " timesteps: is too large, expected at most ", kMaxBytes,
                " bytes");
  *bytes = result;
  return GRU_OK;
}

gru_status gru_program_output_shape(const gru_program *program,
                                    const gru_buffer *inputs, size_t num_inputs,
                                    size_t index, int64_t *dims,
                                    uint32_t *rank) {
  if (!program || !dims)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_output_shape: ", program ? "dims" : "program",
                " is null");
  const Plan &plan = program->plan;
  if (index >= plan.outputs().size())
    return fail(GRU_INVALID_ARGUMENT,
                "gru_program_output_shape: index is out of range, found ",
                index, ", expected below ", plan.outputs().size());
  Block symbols;
  if (!symbols.allocate(plan.symbols().size() * sizeof(int64_t)))
    return fail(GRU_OUT_OF_MEMORY, "program: cannot allocate ",
                plan.symbols().size(), " symbols");
  auto *values = reinterpret_cast<int64_t *>(symbols.get());
  if (gru_status status =
          bindInputs(plan, inputs, num_inputs, INT64_MAX, values))
    return status;
  const gru_plan_tensor &output = plan.outputs()[index];
  for (uint32_t d = 0; d < output.rank; ++d)
    dims[d] = output.dims[d] < 0 ? values[-1 - output.dims[d]] : output.dims[d];
  if (rank)
    *rank = output.rank;
  return GRU_OK;
}
