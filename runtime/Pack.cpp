//===- Pack.cpp - one strided copy with a cast ----------------------------===//
//
// All layouts of all targets are made by this routine; see gru_plan_pack. The
// innermost dimension is a loop specialised for the two types, the others are
// counted generically.
//
//===----------------------------------------------------------------------===//

#include "Pack.h"

#include "Error.h"
#include "Half.h"
#include "Plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace gru::runtime;

namespace {

//===--- Checks ----------------------------------------------------------===//

/// Elements touched, as [first, last].
struct Range {
  int64_t first = 0, last = 0;

  /// Moves both ends by what one dimension can add; false on overflow.
  [[nodiscard]] bool extend(int64_t extent, int64_t stride) {
    int64_t reach;
    if (__builtin_mul_overflow(extent - 1, stride, &reach))
      return false;
    int64_t &end = reach < 0 ? first : last;
    return !__builtin_add_overflow(end, reach, &end);
  }
};

bool isFloat(gru_dtype dtype) {
  return dtype == GRU_F32 || dtype == GRU_F64 || dtype == GRU_F16 ||
         dtype == GRU_BF16;
}

bool quantizes(const gru_plan_pack &pack) {
  return pack.mode == GRU_PACK_QUANTIZE && pack.src_dtype == GRU_F32 &&
         pack.dst_dtype == GRU_I8 && pack.rank >= 2 &&
         pack.scale_strides[1] == 0;
}

bool listsRows(const gru_plan_pack &pack) {
  return pack.mode == GRU_PACK_LIST_ROWS && isFloat(pack.src_dtype) &&
         pack.dst_dtype == GRU_I32 && pack.rank == 4 &&
         pack.dst_strides[1] == 1 && pack.dst_strides[3] == 0;
}

//===--- Rows ------------------------------------------------------------===//

/// How each floating-point type is read as and written from a double. All four
/// fit into a double, so a cast and a sum of two are rounded once.
template <gru_dtype> struct Format;
template <> struct Format<GRU_F32> {
  using Storage = float;
  static double read(Storage value) { return value; }
  static Storage write(double value) { return static_cast<float>(value); }
};
template <> struct Format<GRU_F64> {
  using Storage = double;
  static double read(Storage value) { return value; }
  static Storage write(double value) { return value; }
};
template <> struct Format<GRU_F16> {
  using Storage = uint16_t;
  static double read(Storage value) { return Half::decode(value); }
  static Storage write(double value) { return Half::encode(value); }
};
template <> struct Format<GRU_BF16> {
  using Storage = uint16_t;
  static double read(Storage value) { return BFloat::decode(value); }
  static Storage write(double value) { return BFloat::encode(value); }
};

/// The innermost dimension: count elements, strides in bytes. The source need
/// not be aligned, hence memcpy.
using RowFunction = void (*)(const char *src, int64_t srcStride, char *dst,
                             int64_t dstStride, int64_t count);

template <size_t Size>
void copyRow(const char *src, int64_t srcStride, char *dst, int64_t dstStride,
             int64_t count) {
  if (srcStride == Size && dstStride == Size) {
    std::memcpy(dst, src, count * Size);
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(dst + i * dstStride, src + i * srcStride, Size);
}

template <gru_dtype Src, gru_dtype Dst, bool Accumulate>
void castRow(const char *src, int64_t srcStride, char *dst, int64_t dstStride,
             int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    typename Format<Src>::Storage from;
    std::memcpy(&from, src + i * srcStride, sizeof(from));
    typename Format<Dst>::Storage to =
        Format<Dst>::write(Format<Src>::read(from));
    if constexpr (Accumulate) {
      typename Format<Dst>::Storage old;
      std::memcpy(&old, dst + i * dstStride, sizeof(old));
      to = Format<Dst>::write(Format<Dst>::read(old) + Format<Dst>::read(to));
    }
    std::memcpy(dst + i * dstStride, &to, sizeof(to));
  }
}

template <gru_dtype Src, gru_dtype Dst>
RowFunction castRowFor(bool accumulate) {
  return accumulate ? castRow<Src, Dst, true> : castRow<Src, Dst, false>;
}

template <gru_dtype Src>
RowFunction castRowFor(gru_dtype dst, bool accumulate) {
  switch (dst) {
  case GRU_F32:
    return castRowFor<Src, GRU_F32>(accumulate);
  case GRU_F64:
    return castRowFor<Src, GRU_F64>(accumulate);
  case GRU_F16:
    return castRowFor<Src, GRU_F16>(accumulate);
  default:
    return castRowFor<Src, GRU_BF16>(accumulate);
  }
}

RowFunction rowFunctionFor(gru_dtype src, gru_dtype dst, bool accumulate) {
  if (src == dst && !accumulate) {
    switch (gru_dtype_size(src)) {
    case 1:
      return copyRow<1>;
    case 2:
      return copyRow<2>;
    case 4:
      return copyRow<4>;
    default:
      return copyRow<8>;
    }
  }
  switch (src) {
  case GRU_F32:
    return castRowFor<GRU_F32>(dst, accumulate);
  case GRU_F64:
    return castRowFor<GRU_F64>(dst, accumulate);
  case GRU_F16:
    return castRowFor<GRU_F16>(dst, accumulate);
  default:
    return castRowFor<GRU_BF16>(dst, accumulate);
  }
}

/// Calls body(source, destination, scale), all in elements, for each choice of
/// indices in which dimension 1 is 0.
template <typename Body> void forColumns(const gru_plan_pack &pack, Body body) {
  int64_t index[GRU_MAX_RANK] = {};
  while (true) {
    int64_t src = 0, dst = 0, scale = 0;
    for (uint32_t d = 0; d < pack.rank; ++d) {
      src += index[d] * pack.src_strides[d];
      dst += index[d] * pack.dst_strides[d];
      scale += index[d] * pack.scale_strides[d];
    }
    body(src, dst, scale);
    uint32_t d = pack.rank;
    while (d != 0 && (d == 2 || ++index[d - 1] == pack.extents[d - 1]))
      index[--d] = 0;
    if (d == 0)
      return;
  }
}

/// Bytes that stand side by side, as many as an int32_t has.
constexpr int64_t kGroup = 4;

/// Groups of quantized bytes along dimension 1, with the one in front.
int64_t countGroups(int64_t extent) {
  return 1 + (extent + kGroup - 1) / kGroup;
}

void quantize(const gru_plan_pack &pack, const void *weight, void *blob) {
  const char *from = static_cast<const char *>(weight);
  auto *to = static_cast<int8_t *>(blob) + pack.dst_offset;
  auto *scales =
      reinterpret_cast<float *>(static_cast<char *>(blob) + pack.scale_offset);
  forColumns(pack, [&](int64_t src, int64_t dst, int64_t scaleAt) {
    auto read = [&](int64_t k) {
      float value;
      std::memcpy(&value,
                  from + (pack.src_offset + src + k * pack.src_strides[1]) *
                             int64_t(sizeof(float)),
                  sizeof(float));
      return value;
    };
    float largest = 0;
    for (int64_t k = 0; k < pack.extents[1]; ++k)
      largest = std::max(largest, std::abs(read(k)));
    float scale = largest / 127;
    scales[scaleAt] = scale;
    int32_t sum = 0;
    for (int64_t k = 0; k < pack.extents[1]; ++k) {
      // Not a number, and what a scale of zero leaves, are zero bytes.
      double quotient = scale > 0 ? double(read(k)) / scale : 0;
      auto byte = int8_t(std::nearbyint(
          std::clamp(quotient == quotient ? quotient : 0, -127.0, 127.0)));
      to[dst + (1 + k / kGroup) * pack.dst_strides[1] + k % kGroup] = byte;
      sum += byte;
    }
    // Products wrap round, as those of the sums do.
    int32_t start = int32_t(-128u * uint32_t(sum));
    std::memcpy(to + dst, &start, sizeof(start));
  });
}

template <gru_dtype Type> bool isZero(const char *number) {
  typename Format<Type>::Storage value;
  std::memcpy(&value, number, sizeof(value));
  return Format<Type>::read(value) == 0;
}

auto isZeroFor(gru_dtype type) {
  switch (type) {
  case GRU_F32:
    return isZero<GRU_F32>;
  case GRU_F64:
    return isZero<GRU_F64>;
  case GRU_F16:
    return isZero<GRU_F16>;
  default:
    return isZero<GRU_BF16>;
  }
}

void listRows(const gru_plan_pack &pack, void *blob) {
  int64_t size = gru_dtype_size(pack.src_dtype);
  const char *from = static_cast<const char *>(blob) + pack.src_offset * size;
  auto *to =
      reinterpret_cast<int32_t *>(static_cast<char *>(blob) + pack.dst_offset);
  int64_t blocks = pack.extents[0], rows = pack.extents[1],
          gates = pack.extents[2], columns = pack.extents[3];
  auto *isZeroNumber = isZeroFor(pack.src_dtype);
  auto isZeroRow = [&](const char *row) {
    for (int64_t i = 0; i < columns; ++i)
      if (!isZeroNumber(row + i * pack.src_strides[3] * size))
        return false;
    return true;
  };
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t gate = 0; gate < gates; ++gate) {
      int32_t *list =
          to + block * pack.dst_strides[0] + gate * pack.dst_strides[2];
      int32_t count = 0;
      for (int64_t k = 0; k < rows; ++k)
        if (!isZeroRow(from +
                       (block * pack.src_strides[0] + k * pack.src_strides[1] +
                        gate * pack.src_strides[2]) *
                           size))
          list[1 + count++] = int32_t(k);
      list[0] = count;
    }
}

} // namespace

gru_status gru::runtime::checkPack(const gru_plan_pack &pack, size_t index,
                                   const Plan &plan) {
  if (pack.weight >= plan.weights().size())
    return fail(GRU_DAMAGED, "plan: pack ", index,
                ": names an unknown weight, found ", pack.weight,
                ", expected below ", plan.weights().size());
  const gru_plan_tensor &weight = plan.weights()[pack.weight];
  const char *name = plan.name(weight);
  bool lists = pack.mode == GRU_PACK_LIST_ROWS;
  if (!lists && pack.src_dtype != weight.dtype)
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': wrong source type, found ", gru_dtype_name(pack.src_dtype),
                ", expected ", gru_dtype_name(weight.dtype));
  bool copies = pack.src_dtype == pack.dst_dtype && pack.mode == GRU_PACK_STORE;
  bool casts = pack.mode == GRU_PACK_STORE || pack.mode == GRU_PACK_ADD;
  if (pack.reserved != 0 ||
      !(copies || quantizes(pack) || listsRows(pack) ||
        (casts && isFloat(pack.src_dtype) && isFloat(pack.dst_dtype))))
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': cannot be done, found ", gru_dtype_name(pack.src_dtype),
                " to ", gru_dtype_name(pack.dst_dtype), ", mode ", pack.mode,
                ", reserved ", pack.reserved);
  if (pack.rank > GRU_MAX_RANK)
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': too many dimensions, found ", pack.rank,
                ", expected at most ", GRU_MAX_RANK);

  uint64_t srcBytes = 0, srcSize = gru_dtype_size(pack.src_dtype);
  uint64_t dstSize = gru_dtype_size(pack.dst_dtype);
  uint64_t blobBytes = plan.header().weights_bytes;
  bool inBounds = staticBytes(weight, srcBytes);
  if (lists)
    srcBytes = blobBytes;
  uint64_t srcCount = srcBytes / srcSize, dstCount = blobBytes / dstSize;
  if (pack.dst_offset % dstSize != 0 || pack.dst_offset > blobBytes)
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': wrong destination, found byte ", pack.dst_offset,
                ", expected a multiple of ", dstSize, " up to ", blobBytes);

  Range src{pack.src_offset, pack.src_offset};
  Range dst{int64_t(pack.dst_offset / dstSize),
            int64_t(pack.dst_offset / dstSize)};
  // More iterations than both sides have elements would be of no use, and a
  // damaged extent must not keep us busy for ever.
  uint64_t count = 1, maxCount = std::max(srcCount, dstCount);
  bool quantized = pack.mode == GRU_PACK_QUANTIZE;
  bool empty = false;
  for (uint32_t d = 0; d < pack.rank; ++d) {
    int64_t extent = pack.extents[d];
    if (extent < 0)
      return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                  "': negative extent, found ", extent);
    empty |= extent == 0;
    if (extent == 0)
      continue;
    inBounds = inBounds && multiply(count, extent) &&
               src.extend(extent, pack.src_strides[d]) &&
               dst.extend(quantized && d == 1 ? countGroups(extent)
                          : lists && d == 1   ? 1 + extent
                                              : extent,
                          pack.dst_strides[d]);
  }
  if (quantized)
    inBounds = inBounds && dst.extend(kGroup, 1);
  if (empty)
    return GRU_OK;
  if (!inBounds || count > maxCount)
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': absurd extents, found ",
                Shape{pack.extents, pack.rank, false}, ", expected at most ",
                maxCount, " elements");
  if (quantized) {
    Range scale{int64_t(pack.scale_offset / sizeof(float)),
                int64_t(pack.scale_offset / sizeof(float))};
    bool fits = pack.scale_offset % sizeof(float) == 0 &&
                pack.scale_offset <= blobBytes;
    for (uint32_t d = 0; d < pack.rank; ++d)
      fits = fits && scale.extend(pack.extents[d], pack.scale_strides[d]);
    if (!fits || scale.first < 0 ||
        uint64_t(scale.last) >= blobBytes / sizeof(float))
      return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                  "': writes scales out of range, found byte ",
                  pack.scale_offset, ", expected them in ", blobBytes,
                  " bytes");
  }
  if (src.first < 0 || uint64_t(src.last) >= srcCount)
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': reads out of range, found elements ", src.first, " to ",
                src.last, ", expected below ", srcCount);
  if (dst.first < 0 || uint64_t(dst.last) >= dstCount)
    return fail(GRU_DAMAGED, "plan: pack ", index, " of weight '", name,
                "': writes out of range, found elements ", dst.first, " to ",
                dst.last, ", expected below ", dstCount);
  return GRU_OK;
}

void gru::runtime::runPack(const gru_plan_pack &pack, const void *weight,
                           void *blob) {
  for (uint32_t d = 0; d < pack.rank; ++d)
    if (pack.extents[d] == 0)
      return;
  if (pack.mode == GRU_PACK_QUANTIZE)
    return quantize(pack, weight, blob);
  if (pack.mode == GRU_PACK_LIST_ROWS)
    return listRows(pack, blob);
  int64_t srcSize = gru_dtype_size(pack.src_dtype);
  int64_t dstSize = gru_dtype_size(pack.dst_dtype);
  RowFunction row =
      rowFunctionFor(pack.src_dtype, pack.dst_dtype, pack.mode == GRU_PACK_ADD);
  const char *src =
      static_cast<const char *>(weight) + pack.src_offset * srcSize;
  char *dst = static_cast<char *>(blob) + pack.dst_offset;
  if (pack.rank == 0)
    return row(src, srcSize, dst, dstSize, 1);

  uint32_t inner = pack.rank - 1;
  // The stride of a single element is not used and has not been checked.
  bool single = pack.extents[inner] == 1;
  int64_t srcStride = single ? 0 : pack.src_strides[inner] * srcSize;
  int64_t dstStride = single ? 0 : pack.dst_strides[inner] * dstSize;
  int64_t index[GRU_MAX_RANK] = {};
  while (true) {
    int64_t srcElement = 0, dstElement = 0;
    for (uint32_t d = 0; d < inner; ++d) {
      srcElement += index[d] * pack.src_strides[d];
      dstElement += index[d] * pack.dst_strides[d];
    }
    row(src + srcElement * srcSize, srcStride, dst + dstElement * dstSize,
        dstStride, pack.extents[inner]);
    // Count up, the dimension before the innermost first.
    uint32_t d = inner;
    while (d != 0 && ++index[d - 1] == pack.extents[d - 1])
      index[--d] = 0;
    if (d == 0)
      return;
  }
}
