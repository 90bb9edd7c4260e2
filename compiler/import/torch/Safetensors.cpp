//===- Safetensors.cpp - tensors in .safetensors files --------------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"
#include "compiler/import/torch/StateDict.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"

#include <algorithm>

using namespace gru;
using namespace gru::torch;
using namespace llvm;

static constexpr uint64_t kPrefix = 8;

bool gru::torch::isSafetensors(StringRef bytes) {
  return bytes.size() > kPrefix && bytes[kPrefix] == '{' &&
         support::endian::read64le(bytes.data()) <= bytes.size() - kPrefix;
}

/// Bytes of an element by the format's name of its type; 0 for an unknown one.
static unsigned getElementSize(StringRef dtype) {
  return StringSwitch<unsigned>(dtype)
      .Cases({"F64", "I64", "U64", "C64"}, 8)
      .Cases({"F32", "I32", "U32"}, 4)
      .Cases({"F16", "BF16", "I16", "U16"}, 2)
      .Cases({"I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"}, 1)
      .Default(0);
}

static std::optional<WeightType> getWeightType(StringRef dtype) {
  return StringSwitch<std::optional<WeightType>>(dtype)
      .Case("F64", WeightType::f64)
      .Case("F32", WeightType::f32)
      .Case("F16", WeightType::f16)
      .Case("BF16", WeightType::bf16)
      .Default(std::nullopt);
}

namespace {
/// A tensor with its place behind the header.
struct Entry {
  StateTensor tensor;
  uint64_t begin, end;
};
} // namespace

static Expected<Entry> parseEntry(StringRef file, StringRef name,
                                  const json::Value &value, uint64_t size) {
  std::string where = (file + ": tensor '" + printable(name) + "'").str();
  const json::Object *object = value.getAsObject();
  if (!object)
    return importError(where, "its header is no object");
  Entry entry;
  entry.tensor.name = name.str();
  StringRef dtype = object->getString("dtype").value_or("");
  unsigned elementSize = getElementSize(dtype);
  if (!elementSize)
    return importError(where, "dtype is '" + printable(dtype) +
                                  "', expected F32, F64, F16 or BF16");
  entry.tensor.dtypeName = dtype.str();
  entry.tensor.dtype = getWeightType(dtype);
  const json::Array *shape = object->getArray("shape");
  if (!shape)
    return importError(where, "shape is missing");
  for (const json::Value &dim : *shape) {
    std::optional<int64_t> number = dim.getAsInteger();
    if (!number || *number < 0)
      return importError(where, "shape holds something else than sizes");
    entry.tensor.shape.push_back(*number);
  }
  const json::Array *offsets = object->getArray("data_offsets");
  std::optional<uint64_t> begin, end;
  if (offsets && offsets->size() == 2) {
    begin = (*offsets)[0].getAsUINT64();
    end = (*offsets)[1].getAsUINT64();
  }
  if (!begin || !end)
    return importError(where, "data_offsets is missing, expected two numbers");
  if (*begin > *end || *end > size)
    return importError(where, "data_offsets are " + Twine(*begin) + " and " +
                                  Twine(*end) + ", but the file has " +
                                  Twine(size) + " bytes of data");
  std::optional<uint64_t> expected =
      countBytes(entry.tensor.shape, elementSize, size);
  if (expected != *end - *begin)
    return importError(
        where,
        shapeText(entry.tensor.shape) + " of " + dtype + ", found " +
            Twine(*end - *begin) + " bytes of data, expected " +
            (expected ? Twine(*expected) : Twine("more than the file has")));
  entry.begin = *begin;
  entry.end = *end;
  return entry;
}

Expected<StateDict> gru::torch::readSafetensors(StringRef file,
                                                StringRef bytes) {
  // The limit of the format's own library.
  constexpr uint64_t largestHeader = 100'000'000;
  if (bytes.size() < kPrefix)
    return importError(file, "found " + Twine(bytes.size()) +
                                 " bytes, expected a safetensors file");
  uint64_t length = support::endian::read64le(bytes.data());
  uint64_t left = bytes.size() - kPrefix;
  if (length > left || length > largestHeader)
    return importError(file, "the safetensors header claims " + Twine(length) +
                                 " bytes, expected at most " +
                                 Twine(std::min(left, largestHeader)));
  Expected<json::Object> header =
      parseJsonObject((file + ": header").str(), bytes.substr(kPrefix, length));
  if (!header)
    return header.takeError();
  StringRef data = bytes.substr(kPrefix + length);
  std::vector<Entry> entries;
  for (const auto &[key, value] : *header) {
    if (StringRef(key) == "__metadata__")
      continue;
    Expected<Entry> entry = parseEntry(file, key, value, data.size());
    if (!entry)
      return entry.takeError();
    entries.push_back(std::move(*entry));
  }
  llvm::sort(entries, [](const Entry &a, const Entry &b) {
    return std::tie(a.begin, a.end, a.tensor.name) <
           std::tie(b.begin, b.end, b.tensor.name);
  });
  StateDict dict{file.str(), {}, /*hasModuleOrder=*/false};
  uint64_t at = 0;
  for (Entry &entry : entries) {
    std::string where =
        (file + ": tensor '" + printable(entry.tensor.name) + "'").str();
    if (entry.begin < at)
      return importError(where, "its data overlap those of another tensor");
    if (entry.begin > at)
      return importError(where, "its data begin at " + Twine(entry.begin) +
                                    ", expected " + Twine(at) +
                                    ", where the tensor before ends");
    at = entry.end;
    if (entry.tensor.dtype)
      entry.tensor.data.assign(data.begin() + entry.begin,
                               data.begin() + entry.end);
    dict.tensors.push_back(std::move(entry.tensor));
  }
  if (at != data.size())
    return importError(file, "holds " + Twine(data.size()) +
                                 " bytes of data, but its tensors only " +
                                 Twine(at));
  return dict;
}
