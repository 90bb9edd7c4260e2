//===- Plan.cpp - reads and checks a plan ---------------------------------===//
//
// A plan comes from a file or a cache as often as from the compiler, so nothing
// in it is believed.
//
//===----------------------------------------------------------------------===//

#include "Plan.h"

#include "Error.h"
#include "Pack.h"

#include <algorithm>

using namespace gru::runtime;

// Compilers write these structs field by field: their layout is fixed.
static_assert(sizeof(gru_plan_header) == 80);
static_assert(sizeof(gru_plan_tensor) == 72);
static_assert(sizeof(gru_plan_symbol) == 8);
static_assert(sizeof(gru_plan_pack) == 240);
static_assert(sizeof(gru_plan_scratch) == 24);
static_assert(sizeof(gru_plan_part) == 72);
static_assert(offsetof(gru_plan_header, weights_bytes) == 48);
static_assert(offsetof(gru_plan_tensor, offset) == 64);
static_assert(offsetof(gru_plan_pack, extents) == 40);
static_assert(offsetof(gru_plan_pack, scale_offset) == 184);
// Generated code reads this one by the pointers' numbers.
static_assert(sizeof(gru_call) == 8 * sizeof(void *));

bool gru::runtime::staticBytes(const gru_plan_tensor &tensor, uint64_t &bytes) {
  bytes = gru_dtype_size(tensor.dtype);
  // A zero must not hide an absurd dimension behind it.
  bool empty = false;
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    empty |= tensor.dims[i] == 0;
    if (tensor.dims[i] > 0 && !multiply(bytes, tensor.dims[i]))
      return false;
  }
  if (empty)
    bytes = 0;
  return true;
}

gru_status Plan::read(const void *bytes, uint64_t size,
                      const gru_allocator &allocator) {
  if (!bytes)
    return fail(GRU_INVALID_ARGUMENT, "plan: is null");
  if (size < sizeof(gru_plan_header))
    return fail(GRU_DAMAGED, "plan: is truncated, found ", size,
                " bytes, expected at least ", sizeof(gru_plan_header));
  gru_plan_header head;
  std::memcpy(&head, bytes, sizeof(head));
  if (head.magic != GRU_PLAN_MAGIC)
    return fail(GRU_DAMAGED, "plan: wrong magic number, found ", head.magic,
                ", expected ", GRU_PLAN_MAGIC);
  if (head.version != GRU_PLAN_VERSION)
    return fail(GRU_UNSUPPORTED, "plan: unknown version, found ", head.version,
                ", expected ", GRU_PLAN_VERSION);
  if (head.size != size)
    return fail(GRU_DAMAGED, "plan: wrong size, found ", size,
                " bytes, expected ", head.size);
  if (size > kMaxBytes || !copy.allocate(size, allocator))
    return fail(GRU_OUT_OF_MEMORY, "plan: cannot allocate ", size, " bytes");
  std::memcpy(copy.get(), bytes, size);

  if (gru_status status = split(size))
    return status;
  if (header().team < 1 || header().team > kMaxTeam)
    return fail(GRU_DAMAGED, "plan: absurd number of threads, found ",
                header().team, ", expected 1 to ", kMaxTeam);
  if (header().weights_bytes > kMaxBytes)
    return fail(GRU_DAMAGED, "plan: absurd size of the weights, found ",
                header().weights_bytes, " bytes, expected at most ", kMaxBytes);
  if (header().state_bytes > kMaxBytes)
    return fail(GRU_DAMAGED, "plan: absurd size of the states, found ",
                header().state_bytes, " bytes, expected at most ", kMaxBytes);
  if (gru_status status = checkTensors(inputs(), "input", true))
    return status;
  if (gru_status status = checkTensors(outputs(), "output", true))
    return status;
  if (gru_status status = checkTensors(states(), "state", false))
    return status;
  if (gru_status status = checkTensors(weights(), "weight", false))
    return status;
  if (gru_status status = checkStates())
    return status;
  if (gru_status status = checkSymbols())
    return status;
  if (gru_status status = checkScratch())
    return status;
  if (gru_status status = checkParts())
    return status;
  for (size_t i = 0; i < packs().size(); ++i)
    if (gru_status status = checkPack(packs()[i], i, *this))
      return status;
  return GRU_OK;
}

/// Finds where each array begins; they must fill the plan exactly.
gru_status Plan::split(uint64_t size) {
  const gru_plan_header &head = header();
  // Counts are 32 bits wide, so the sum cannot overflow.
  uint64_t offset = sizeof(gru_plan_header);
  auto take = [&]<typename T>(const T *&array, uint64_t count) {
    // Not dereferenced before the sum has been compared with the size.
    array = reinterpret_cast<const T *>(offset <= size ? copy.get() + offset
                                                       : nullptr);
    offset += count * sizeof(T);
  };
  take(in, head.num_inputs);
  take(out, head.num_outputs);
  take(state, head.num_states);
  take(weight, head.num_weights);
  take(symbol, head.num_symbols);
  take(pack, head.num_packs);
  take(region, head.num_scratch);
  take(part, head.num_parts);
  take(offset64, head.num_offsets);
  take(codes, head.code_size);
  take(strings, head.strings_size);
  if (offset != size)
    return fail(GRU_DAMAGED, "plan: its counts do not fit its size, found ",
                size, " bytes, expected ", offset);
  if (head.strings_size != 0 && strings[head.strings_size - 1] != '\0')
    return fail(GRU_DAMAGED, "plan: the last name has no end");
  return GRU_OK;
}

gru_status Plan::checkTensors(std::span<const gru_plan_tensor> tensors,
                              const char *kind, bool mayBeDynamic) const {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const gru_plan_tensor &tensor = tensors[i];
    if (tensor.name >= header().strings_size)
      return fail(GRU_DAMAGED, "plan: ", kind, " ", i,
                  ": name is out of range, found ", tensor.name,
                  ", expected below ", header().strings_size);
    if (gru_dtype_size(tensor.dtype) == 0 || tensor.dtype == GRU_I8)
      return fail(GRU_DAMAGED, "plan: ", kind, " '", name(tensor),
                  "': unknown type, found ", tensor.dtype);
    if (tensor.rank > GRU_MAX_RANK)
      return fail(GRU_DAMAGED, "plan: ", kind, " '", name(tensor),
                  "': too many dimensions, found ", tensor.rank,
                  ", expected at most ", GRU_MAX_RANK);
    if (tensor.flags > GRU_TENSOR_ON_HOST)
      return fail(GRU_DAMAGED, "plan: ", kind, " '", name(tensor),
                  "': flags are not known, found ", tensor.flags);
    for (uint32_t d = 0; d < tensor.rank; ++d) {
      int64_t dim = tensor.dims[d];
      if (dim >= 0)
        continue;
      if (!mayBeDynamic)
        return fail(GRU_DAMAGED, "plan: ", kind, " '", name(tensor),
                    "': dimension ", d, " is dynamic, found ", dim,
                    ", expected a size");
      if (-1 - dim >= int64_t(header().num_symbols))
        return fail(GRU_DAMAGED, "plan: ", kind, " '", name(tensor),
                    "': dimension ", d, " names an unknown symbol, found ",
                    -1 - dim, ", expected below ", header().num_symbols);
    }
    uint64_t bytes;
    if (!staticBytes(tensor, bytes))
      return fail(GRU_DAMAGED, "plan: ", kind, " '", name(tensor),
                  "': absurd shape, found ", planShape(tensor));
  }
  return GRU_OK;
}

/// States lie within their blob and do not overlap.
gru_status Plan::checkStates() const {
  Block block;
  uint64_t bytesOfOrder = states().size() * sizeof(uint32_t);
  if (!block.allocate(bytesOfOrder))
    return fail(GRU_OUT_OF_MEMORY, "plan: cannot allocate ", bytesOfOrder,
                " bytes");
  std::span<uint32_t> order(reinterpret_cast<uint32_t *>(block.get()),
                            states().size());
  for (uint32_t i = 0; i < order.size(); ++i)
    order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return states()[a].offset < states()[b].offset;
  });
  uint64_t end = 0;
  for (uint32_t index : order) {
    const gru_plan_tensor &tensor = states()[index];
    uint64_t bytes;
    bool known = staticBytes(tensor, bytes);
    uint64_t total = header().state_bytes;
    if (!known || bytes > total || tensor.offset > total - bytes)
      return fail(GRU_DAMAGED, "plan: state '", name(tensor),
                  "': is out of range, found ", bytes, " bytes at ",
                  tensor.offset, ", expected within ", total);
    if (tensor.offset % gru_dtype_size(tensor.dtype) != 0)
      return fail(GRU_DAMAGED, "plan: state '", name(tensor),
                  "': is not aligned, found offset ", tensor.offset);
    if (bytes != 0 && tensor.offset < end)
      return fail(GRU_DAMAGED, "plan: state '", name(tensor),
                  "': overlaps another, found offset ", tensor.offset,
                  ", expected at least ", end);
    end = std::max(end, tensor.offset + bytes);
  }
  return GRU_OK;
}

gru_status Plan::checkSymbols() const {
  for (size_t s = 0; s < symbols().size(); ++s) {
    auto [input, dim] = symbols()[s];
    if (input >= inputs().size())
      return fail(GRU_DAMAGED, "plan: symbol ", s,
                  ": names an unknown input, found ", input,
                  ", expected below ", inputs().size());
    const gru_plan_tensor &tensor = inputs()[input];
    if (dim >= tensor.rank || tensor.dims[dim] != -1 - int64_t(s))
      return fail(GRU_DAMAGED, "plan: symbol ", s, ": is not dimension ", dim,
                  " of input '", name(tensor), "', found ", planShape(tensor));
  }
  return GRU_OK;
}

gru_status Plan::checkScratch() const {
  for (size_t i = 0; i < scratch().size(); ++i) {
    const gru_plan_scratch &record = scratch()[i];
    if (record.num_symbols > std::size(record.symbols))
      return fail(GRU_DAMAGED, "plan: scratch ", i,
                  ": too many symbols, found ", record.num_symbols,
                  ", expected at most ", std::size(record.symbols));
    for (uint32_t s = 0; s < record.num_symbols; ++s)
      if (record.symbols[s] >= symbols().size())
        return fail(GRU_DAMAGED, "plan: scratch ", i,
                    ": names an unknown symbol, found ", record.symbols[s],
                    ", expected below ", symbols().size());
  }
  // Whether the sum for the shortest run is already absurd.
  uint64_t bytes;
  if (!scratchBytes(1, bytes))
    return fail(GRU_DAMAGED,
                "plan: absurd size of the scratch memory, "
                "expected at most ",
                kMaxBytes);
  return GRU_OK;
}

/// Sizes are sane and all weights lie within their blob.
gru_status Plan::checkParts() const {
  constexpr int64_t most = int64_t(1) << 31;
  if (uint32_t size = header().code_size; size && codes[size - 1] != 0)
    return fail(GRU_DAMAGED, "plan: its code does not end with a zero");
  for (size_t i = 0; i < parts().size(); ++i) {
    const gru_plan_part &part = parts()[i];
    auto wrong = [&](const char *what, int64_t found) {
      return fail(GRU_DAMAGED, "plan: part ", i, ": ", what,
                  " is out of range, found ", found);
    };
    if (part.library < GRU_PART_CUDNN || part.library > GRU_PART_KERNEL)
      return wrong("library", part.library);
    if (part.code >= header().code_size)
      return wrong("code", part.code);
    if (part.num_buffers > 4096 || part.num_values > 4096)
      return wrong("number of arguments",
                   std::max(part.num_buffers, part.num_values));
    if (part.library == GRU_PART_KERNEL)
      continue;
    if (part.dtype < GRU_F32 || part.dtype > GRU_BF16)
      return wrong("type", part.dtype);
    if (part.layers < 1 || part.layers > 4096)
      return wrong("layers", part.layers);
    if (part.directions < 1 || part.directions > 2)
      return wrong("directions", part.directions);
    if (part.weights_per_cell < 2 || part.weights_per_cell > 3)
      return wrong("weights_per_cell", part.weights_per_cell);
    for (int64_t size : {part.features, part.units, part.batch})
      if (size < 1 || size > most)
        return wrong("a size", size);
    if (part.timesteps < 0 || part.timesteps > most)
      return wrong("timesteps", part.timesteps);
    uint64_t count =
        uint64_t(part.layers) * part.directions * part.weights_per_cell;
    if (part.first_offset > header().num_offsets ||
        count > header().num_offsets - part.first_offset)
      return wrong("first_offset", part.first_offset);
    for (uint64_t w = 0; w < count; ++w) {
      uint64_t begin = offset64[part.first_offset + w];
      uint64_t bytes = gru_dtype_size(part.dtype) * 3;
      uint64_t cell = w / part.weights_per_cell,
               kind = w % part.weights_per_cell;
      uint64_t rows = kind == 1   ? part.units
                      : kind == 2 ? (part.flags & GRU_PART_RESET_AFTER ? 2 : 1)
                      : cell < part.directions ? part.features
                                               : part.directions * part.units;
      uint64_t total = header().weights_bytes;
      if (!multiply(bytes, rows) || !multiply(bytes, part.units) ||
          bytes > total || begin > total - bytes)
        return wrong("weight", begin);
    }
  }
  return GRU_OK;
}

bool Plan::scratchBytes(int64_t timesteps, uint64_t &bytes) const {
  bytes = 0;
  for (const gru_plan_scratch &record : scratch()) {
    uint64_t size = record.coefficient;
    if (size > kMaxBytes)
      return false;
    for (uint32_t s = 0; s < record.num_symbols; ++s)
      if (!multiply(size, timesteps))
        return false;
    bytes += size;
    if (bytes > kMaxBytes)
      return false;
  }
  return true;
}
