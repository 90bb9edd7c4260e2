//===- NpzFile.cpp - weights in NumPy archives ----------------------------===//

#include "compiler/import/archive/NpzFile.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/ZipArchive.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

using namespace gru;
using namespace llvm;

/// What stands behind `key` in the dictionary of a header, without blanks.
static StringRef findValue(StringRef header, StringRef key) {
  size_t at = header.find(("'" + key + "':").str());
  if (at == StringRef::npos)
    return "";
  return header.substr(at + key.size() + 3).ltrim();
}

/// "(3, 12)" or "(5,)".
static std::optional<std::vector<int64_t>> parseShape(StringRef text) {
  if (!text.consume_front("("))
    return std::nullopt;
  std::vector<int64_t> shape;
  SmallVector<StringRef> parts;
  text.split(')').first.split(parts, ',', -1, /*KeepEmpty=*/false);
  for (StringRef part : parts) {
    int64_t size;
    if (part.trim().empty())
      continue;
    if (part.trim().getAsInteger(10, size) || size < 0)
      return std::nullopt;
    shape.push_back(size);
  }
  return shape;
}

static Expected<WeightTensor> parseArray(StringRef where, StringRef bytes) {
  constexpr StringLiteral magic("\x93NUMPY");
  constexpr size_t prefix = 10;
  if (!bytes.starts_with(magic) || bytes.size() < prefix + 2)
    return importError(where, "found no NumPy array");
  // Version 1 has two bytes for the header's length, later ones have four.
  bool isShort = bytes[magic.size()] == 1;
  size_t begin = isShort ? prefix : prefix + 2;
  size_t length = isShort ? support::endian::read16le(bytes.data() + 8)
                          : support::endian::read32le(bytes.data() + 8);
  if (length > bytes.size() - begin)
    return importError(where, "its header ends behind the file");
  StringRef header = bytes.substr(begin, length);
  StringRef data = bytes.substr(begin + length);

  WeightTensor tensor;
  StringRef type = findValue(header, "descr");
  if (type.starts_with("'<f4'"))
    tensor.dtype = WeightType::f32;
  else if (type.starts_with("'<f8'"))
    tensor.dtype = WeightType::f64;
  else if (type.starts_with("'<f2'"))
    tensor.dtype = WeightType::f16;
  else
    return importError(where, "its type is " +
                                  printable(type.split(',').first) +
                                  ", expected float16, float32 or float64");
  std::optional<std::vector<int64_t>> shape =
      parseShape(findValue(header, "shape"));
  if (!shape)
    return importError(where, "its header has no shape");
  if (findValue(header, "fortran_order").starts_with("True") &&
      shape->size() > 1)
    return importError(where, "is in Fortran order, expected C order");
  tensor.shape = std::move(*shape);
  int64_t size = getWeightTypeSize(tensor.dtype);
  for (int64_t dim : tensor.shape)
    if (MulOverflow(size, dim, size))
      return importError(where, "is larger than any memory");
  if (data.size() != uint64_t(size))
    return importError(where, "has " + Twine(data.size()) +
                                  " bytes, expected " + Twine(size) + " for " +
                                  shapeText(tensor.shape));
  tensor.data.assign(data.begin(), data.end());
  return tensor;
}

Expected<std::vector<WeightTensor>> gru::readNpz(StringRef file,
                                                 StringRef bytes) {
  constexpr uint64_t largest = uint64_t(4) << 30;
  Expected<ZipArchive> archive = ZipArchive::open(file, bytes);
  if (!archive)
    return archive.takeError();
  std::vector<WeightTensor> tensors;
  for (const std::string &entry : archive->getEntries()) {
    std::string where = (file + ": " + printable(entry)).str();
    StringRef name = entry;
    if (!name.consume_back(".npy"))
      return importError(where, "expected an .npy entry");
    Expected<std::vector<char>> content = archive->read(entry, largest);
    if (!content)
      return content.takeError();
    Expected<WeightTensor> tensor =
        parseArray(where, StringRef(content->data(), content->size()));
    if (!tensor)
      return tensor.takeError();
    tensor->name = name.str();
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}
