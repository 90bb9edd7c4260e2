//===- CellDropout.cpp - the dropout masks of a Keras cell ----------------===//

#include "Error.h"
#include "Random.h"

#include "gru/dropout.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

using namespace gru::runtime;

namespace {
/// One of the two masks of a cell, with Keras's rules of keeping it.
class KeptMask {
public:
  KeptMask(const char *name, double rate, uint32_t stream)
      : name(name), rate(std::clamp(rate, 0.0, 1.0)), stream(stream) {}

  gru_status get(uint64_t seed, const int64_t *dims, uint32_t rank,
                 bool training, size_t count, gru_masks &masks);
  void reset() {
    kept = false;
    ++draw;
  }

private:
  const char *name;
  double rate;
  uint32_t stream;
  uint64_t draw = 0;
  /// Whether `values` holds a drawn mask.
  bool kept = false;
  gru_masks drawn{};
  std::vector<float> values, ones;
};

gru_status KeptMask::get(uint64_t seed, const int64_t *dims, uint32_t rank,
                         bool training, size_t count, gru_masks &masks) {
  masks = {};
  if (rate == 0)
    return GRU_OK;
  if (training && kept) {
    masks = drawn;
    return GRU_OK;
  }
  if (rank > GRU_MAX_RANK || (rank && !dims))
    return fail(GRU_INVALID_ARGUMENT, name, ": rank is ", rank,
                " or dims is null, expected at most ", GRU_MAX_RANK);
  if (count < 1)
    return fail(GRU_INVALID_ARGUMENT, name, ": count is 0, expected 1 or more");
  // With more elements the generator would repeat itself.
  constexpr uint64_t most = uint64_t(1) << 34;
  uint64_t size = count;
  for (uint32_t d = 0; d < rank; ++d)
    if (dims[d] < 0 || __builtin_mul_overflow(size, uint64_t(dims[d]), &size) ||
        size > most)
      return fail(GRU_INVALID_ARGUMENT, name, ": dims is ",
                  Shape{dims, rank, false}, ", expected at most 2^34 elements");
  if (training && rate == 1)
    return fail(GRU_INVALID_ARGUMENT, name,
                ": rate is 1 in training, expected a rate below 1");
  gru_masks result{};
  result.count = count;
  result.rank = rank;
  std::copy_n(dims, rank, result.dims);
  std::vector<float> &target = training ? values : ones;
  try {
    target.assign(size, 1.0f);
  } catch (const std::bad_alloc &) {
    return fail(GRU_OUT_OF_MEMORY, name, ": cannot allocate ", size,
                " elements");
  }
  if (training) {
    auto threshold = uint32_t(std::floor(rate * 0x1p32));
    auto scale = float(1 / (1 - rate));
    for (uint64_t i = 0; i < size; ++i)
      target[i] = dropoutBits(i, seed, draw, stream) < threshold ? 0 : scale;
  }
  result.data = target.data();
  if (training) {
    kept = true;
    drawn = result;
  }
  masks = result;
  return GRU_OK;
}
} // namespace

struct gru_cell_dropout {
  uint64_t seed;
  KeptMask mask, recurrentMask;
};

gru_status gru_cell_dropout_create(const gru_cell_dropout_options *given,
                                   gru_cell_dropout **cell) {
  if (!cell)
    return fail(GRU_INVALID_ARGUMENT, "gru_cell_dropout_create: cell is null");
  *cell = nullptr;
  if (!given)
    return fail(GRU_INVALID_ARGUMENT,
                "gru_cell_dropout_create: options is null");
  gru_cell_dropout_options options;
  if (gru_status status = readVersioned(given, "cell dropout options", options))
    return status;
  if (std::isnan(options.dropout) || std::isnan(options.recurrent_dropout))
    return fail(GRU_INVALID_ARGUMENT,
                "cell dropout options: a rate is not a number");
  auto *created = new (std::nothrow) gru_cell_dropout{
      options.seed,
      {"dropout", options.dropout, options.stream},
      {"recurrent_dropout", options.recurrent_dropout, options.stream + 1}};
  if (!created)
    return fail(GRU_OUT_OF_MEMORY, "cell dropout: cannot allocate ",
                sizeof(gru_cell_dropout), " bytes");
  *cell = created;
  return GRU_OK;
}

void gru_cell_dropout_destroy(gru_cell_dropout *cell) { delete cell; }

gru_status gru_cell_dropout_get_mask(gru_cell_dropout *cell,
                                     const int64_t *dims, uint32_t rank,
                                     int32_t training, size_t count,
                                     gru_masks *masks) {
  if (!cell || !masks)
    return fail(GRU_INVALID_ARGUMENT, "dropout: cell or masks is null");
  return cell->mask.get(cell->seed, dims, rank, training, count, *masks);
}

gru_status gru_cell_dropout_get_recurrent_mask(gru_cell_dropout *cell,
                                               const int64_t *dims,
                                               uint32_t rank, int32_t training,
                                               size_t count, gru_masks *masks) {
  if (!cell || !masks)
    return fail(GRU_INVALID_ARGUMENT,
                "recurrent_dropout: cell or masks is null");
  return cell->recurrentMask.get(cell->seed, dims, rank, training, count,
                                 *masks);
}

void gru_cell_dropout_reset_mask(gru_cell_dropout *cell) {
  if (cell)
    cell->mask.reset();
}

void gru_cell_dropout_reset_recurrent_mask(gru_cell_dropout *cell) {
  if (cell)
    cell->recurrentMask.reset();
}
