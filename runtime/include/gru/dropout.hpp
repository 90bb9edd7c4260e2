//===- gru/dropout.hpp - dropout masks in training --------------*- C++ -*-===//
//
// A thin layer over gru/dropout.h, which holds the rules.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_DROPOUT_HPP
#define GRU_DROPOUT_HPP

#include "gru/dropout.h"
#include "gru/runtime.hpp"

namespace gru {

/// What a session of a program for training draws from.
inline void set_seed(Session &session, uint64_t seed) {
  gru_session_set_seed(session.get(), seed);
}
inline void reset_dropout_mask(Session &session) {
  gru_session_reset_dropout_mask(session.get());
}
inline void reset_recurrent_dropout_mask(Session &session) {
  gru_session_reset_recurrent_dropout_mask(session.get());
}

/// Masks of shape `dims`, behind each other; none where the rate is 0. Valid
/// until the mask is reset.
struct Masks {
  std::span<const float> data;
  size_t count = 0;
  std::vector<int64_t> dims;
};

/// The dropout masks of a Keras cell (see gru_cell_dropout). Move-only; used by
/// one thread at a time.
class CellDropout {
public:
  struct Options {
    double dropout = 0, recurrent_dropout = 0;
    uint64_t seed = 0;
    uint32_t stream = 0;
  };

  static Result<CellDropout> create(const Options &options) {
    gru_cell_dropout_options raw{};
    raw.struct_size = sizeof(raw);
    raw.stream = options.stream;
    raw.dropout = options.dropout;
    raw.recurrent_dropout = options.recurrent_dropout;
    raw.seed = options.seed;
    gru_cell_dropout *cell;
    if (gru_status status = gru_cell_dropout_create(&raw, &cell))
      return Error::last(status);
    return CellDropout(cell);
  }
  CellDropout(CellDropout &&other) noexcept
      : handle(std::exchange(other.handle, nullptr)) {}
  CellDropout &operator=(CellDropout &&other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~CellDropout() { gru_cell_dropout_destroy(handle); }

  Result<Masks> get_dropout_mask_for_cell(std::span<const int64_t> dims,
                                          bool training, size_t count = 1) {
    return get(gru_cell_dropout_get_mask, dims, training, count);
  }
  Result<Masks>
  get_recurrent_dropout_mask_for_cell(std::span<const int64_t> dims,
                                      bool training, size_t count = 1) {
    return get(gru_cell_dropout_get_recurrent_mask, dims, training, count);
  }
  void reset_dropout_mask() { gru_cell_dropout_reset_mask(handle); }
  void reset_recurrent_dropout_mask() {
    gru_cell_dropout_reset_recurrent_mask(handle);
  }

private:
  explicit CellDropout(gru_cell_dropout *cell) : handle(cell) {}

  template <typename Function>
  Result<Masks> get(Function function, std::span<const int64_t> dims,
                    bool training, size_t count) {
    gru_masks raw;
    if (gru_status status =
            function(handle, dims.data(), static_cast<uint32_t>(dims.size()),
                     training, count, &raw))
      return Error::last(status);
    Masks masks;
    masks.count = raw.count;
    masks.dims.assign(raw.dims, raw.dims + raw.rank);
    size_t size = raw.count;
    for (int64_t dim : masks.dims)
      size *= static_cast<size_t>(dim);
    masks.data = {raw.data, raw.data ? size : 0};
    return masks;
  }

  gru_cell_dropout *handle = nullptr;
};

} // namespace gru

#endif // GRU_DROPOUT_HPP
