//===- Numpy.cpp - arrays in .npy and .npz files --------------------------===//
//
// The header's dictionary is xtensor's business. The frame around it is read
// here, for two reasons: xtensor 0.24 takes the length of a header of 128 bytes
// and more as a signed char, and it allocates what the header claims before it
// looks whether the file is that long.
//
//===----------------------------------------------------------------------===//

#include "tools/common/Numpy.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

#include <xtensor/xnpy.hpp>
#include <zip.h>

#include <bit>
#include <cstring>
#include <limits>
#include <sstream>

using namespace gru;
using llvm::createStringError;
using llvm::Expected;
using llvm::StringRef;
using llvm::Twine;

static_assert(std::endian::native == std::endian::little,
              "arrays are taken as they lie in the file");

static llvm::Error fail(StringRef location, const Twine &message) {
  return createStringError(location + ": " + message);
}

int64_t Array::getNumElements() const {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

std::string gru::formatShape(llvm::ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << '[';
  llvm::interleaveComma(shape, os, [&](int64_t dim) {
    if (dim < 0)
      os << '?';
    else
      os << dim;
  });
  os << ']';
  return text;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Copies data whose first index runs fastest into C order.
static std::vector<char> toCOrder(StringRef data, llvm::ArrayRef<int64_t> shape,
                                  size_t elementSize) {
  std::vector<char> result(data.size());
  std::vector<int64_t> index(shape.size(), 0);
  for (size_t to = 0; to < data.size(); to += elementSize) {
    size_t from = 0, stride = elementSize;
    for (size_t i = 0; i < shape.size(); ++i) {
      from += index[i] * stride;
      stride *= shape[i];
    }
    std::memcpy(result.data() + to, data.data() + from, elementSize);
    for (size_t i = shape.size(); i-- > 0;) {
      if (++index[i] < shape[i])
        break;
      index[i] = 0;
    }
  }
  return result;
}

static Expected<DType> parseDescr(StringRef descr, StringRef location) {
  if (descr.starts_with(">"))
    return fail(location, "dtype, found big-endian '" + descr +
                              "', expected little-endian data");
  int code = llvm::StringSwitch<int>(descr)
                 .Case("<f4", int(DType::f32))
                 .Case("<f8", int(DType::f64))
                 .Case("<f2", int(DType::f16))
                 .Case("|b1", int(DType::boolean))
                 .Case("<i4", int(DType::i32))
                 .Case("<i8", int(DType::i64))
                 .Default(0);
  if (!code)
    return fail(location, "dtype, found '" + descr +
                              "', expected float16, float32, float64, bool, "
                              "int32 or int64");
  return DType(code);
}

Expected<Array> gru::parseNpy(StringRef bytes, StringRef location) {
  constexpr StringRef magic("\x93NUMPY", 6);
  if (!bytes.starts_with(magic) || bytes.size() < magic.size() + 2)
    return fail(location, "not a .npy array");
  unsigned major = static_cast<unsigned char>(bytes[6]);
  size_t headerAt = major == 1 ? 10 : 12;
  if (major < 1 || major > 2)
    return fail(location, "version of the .npy format, found " + Twine(major) +
                              ", expected 1 or 2");
  if (bytes.size() < headerAt)
    return fail(location, "truncated .npy header");
  size_t headerSize = major == 1
                          ? llvm::support::endian::read16le(bytes.data() + 8)
                          : llvm::support::endian::read32le(bytes.data() + 8);
  if (headerSize > bytes.size() - headerAt)
    return fail(location, "truncated .npy header, found " +
                              Twine(bytes.size() - headerAt) +
                              " bytes, expected " + Twine(headerSize));
  StringRef header = bytes.substr(headerAt, headerSize);
  StringRef data = bytes.substr(headerAt + headerSize);
  // A padded line; xtensor insists on the newline, the format does not.
  header = header.rtrim(" \n");
  if (header.contains("'|O'") || header.contains("'descr': ["))
    return fail(location, "dtype, found Python objects or a structure, "
                          "expected plain numbers");
  // What xtensor's parser takes for granted: it looks at the last character of
  // empty values, and a dimension that is no number is 0 to it.
  static const llvm::Regex form("^\\{ *'descr': *'[^']+', *'fortran_order': "
                                "*(True|False), *'shape': *\\([0-9, ]*\\),? "
                                "*\\}$");
  if (!form.match(header))
    return fail(location, "malformed .npy header");

  std::string descr;
  bool fortranOrder = false;
  std::vector<size_t> shape;
  try {
    xt::detail::parse_header(header.str() + "\n", descr, &fortranOrder, shape);
  } catch (const std::exception &error) {
    return fail(location, Twine("malformed .npy header: ") + error.what());
  }

  Array array;
  Expected<DType> dtype = parseDescr(descr, location);
  if (!dtype)
    return dtype.takeError();
  array.dtype = *dtype;
  // The product may wrap around; what the file holds bounds it.
  size_t expected = dtypeSize(array.dtype);
  bool tooMuch = false;
  for (size_t dim : shape) {
    tooMuch |= dim > size_t(std::numeric_limits<int64_t>::max());
    array.shape.push_back(int64_t(dim));
    bool overflow = false;
    expected = llvm::SaturatingMultiply(expected, dim, &overflow);
    tooMuch |= overflow;
  }
  if (tooMuch || expected != data.size())
    return fail(location, "shape " + formatShape(array.shape) + " of " +
                              dtypeName(array.dtype) + ", found " +
                              Twine(data.size()) + " bytes of data, expected " +
                              (tooMuch ? "far more" : Twine(expected).str()));
  array.data = fortranOrder && shape.size() > 1
                   ? toCOrder(data, array.shape, dtypeSize(array.dtype))
                   : std::vector<char>(data.begin(), data.end());
  return array;
}

/// Reads member `key.npy` of an archive; errors list the members there are.
static Expected<std::string> readMember(StringRef path, StringRef key) {
  int code = 0;
  zip_t *archive = zip_open(path.str().c_str(), ZIP_RDONLY, &code);
  if (!archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    llvm::scope_exit clear([&] { zip_error_fini(&error); });
    return fail(path, Twine("cannot open the archive: ") +
                          zip_error_strerror(&error));
  }
  llvm::scope_exit close([&] { zip_discard(archive); });

  std::string name = (key + ".npy").str();
  zip_int64_t index = zip_name_locate(archive, name.c_str(), 0);
  if (index < 0) {
    std::vector<StringRef> keys;
    for (zip_int64_t i = 0, e = zip_get_num_entries(archive, 0); i < e; ++i)
      if (const char *member = zip_get_name(archive, i, 0)) {
        StringRef found = member;
        found.consume_back(".npy");
        keys.push_back(found);
      }
    return fail(path, "no array '" + key + "', found " +
                          (keys.empty() ? "none" : llvm::join(keys, ", ")));
  }

  zip_file_t *file = zip_fopen_index(archive, index, 0);
  if (!file)
    return fail((path + ":" + key).str(), zip_strerror(archive));
  llvm::scope_exit closeFile([&] { zip_fclose(file); });
  // Grows with what is really there: the size in the directory may be a lie.
  std::string bytes;
  char block[1 << 16];
  zip_int64_t count;
  while ((count = zip_fread(file, block, sizeof(block))) > 0)
    bytes.append(block, size_t(count));
  if (count < 0)
    return fail((path + ":" + key).str(), zip_file_strerror(file));
  return bytes;
}

Expected<Array> gru::readArray(StringRef location) {
  // The last colon separates, and only after `.npz`: paths may hold colons.
  auto [path, key] = location.rsplit(':');
  if (path.ends_with(".npz") && !key.empty()) {
    Expected<std::string> bytes = readMember(path, key);
    if (!bytes)
      return bytes.takeError();
    return parseNpy(*bytes, location);
  }
  if (location.ends_with(".npz"))
    return fail(location, "an archive needs the array's name, as in FILE.npz:"
                          "NAME");
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> buffer =
      llvm::MemoryBuffer::getFile(location, /*IsText=*/false,
                                  /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail(location, "cannot open: " + buffer.getError().message());
  return parseNpy((*buffer)->getBuffer(), location);
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static StringRef getDescr(DType dtype) {
  switch (dtype) {
  case DType::f32:
  case DType::bf16:
    return "<f4";
  case DType::f64:
    return "<f8";
  case DType::f16:
    return "<f2";
  case DType::boolean:
    return "|b1";
  case DType::i32:
    return "<i4";
  case DType::i64:
    return "<i8";
  }
  return "";
}

std::string gru::formatNpy(const Array &array) {
  if (array.dtype == DType::bf16)
    return formatNpy(llvm::cantFail(convertTo(array, DType::f32)));
  std::ostringstream os;
  xt::detail::write_header(os, getDescr(array.dtype).str(),
                           /*fortran_order=*/false, array.shape);
  os.write(array.data.data(), std::streamsize(array.data.size()));
  return os.str();
}

llvm::Error gru::writeNpy(const Array &array, StringRef path) {
  std::error_code code;
  llvm::raw_fd_ostream os(path, code);
  if (code)
    return fail(path, "cannot write: " + code.message());
  os << formatNpy(array);
  os.close();
  if (os.has_error()) {
    code = os.error();
    os.clear_error();
    return fail(path, "cannot write: " + code.message());
  }
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Conversion
//===----------------------------------------------------------------------===//

template <typename T> static T load(const Array &array, int64_t index) {
  T value;
  std::memcpy(&value, array.data.data() + index * sizeof(T), sizeof(T));
  return value;
}

static const llvm::fltSemantics &getSemantics(DType dtype) {
  return dtype == DType::f16 ? llvm::APFloat::IEEEhalf()
                             : llvm::APFloat::BFloat();
}

std::vector<double> gru::toDoubles(const Array &array) {
  assert(isFloat(array.dtype) && "only floats have a value as double");
  std::vector<double> values(array.getNumElements());
  for (size_t i = 0; i < values.size(); ++i) {
    if (array.dtype == DType::f64)
      values[i] = load<double>(array, i);
    else if (array.dtype == DType::f32)
      values[i] = load<float>(array, i);
    else
      values[i] = llvm::APFloat(getSemantics(array.dtype),
                                llvm::APInt(16, load<uint16_t>(array, i)))
                      .convertToDouble();
  }
  return values;
}

Expected<Array> gru::convertTo(const Array &array, DType dtype) {
  if (array.dtype == dtype)
    return array;
  if (!isFloat(array.dtype) || !isFloat(dtype))
    return createStringError(Twine("cannot convert ") + dtypeName(array.dtype) +
                             " to " + dtypeName(dtype));
  Array result{dtype, array.shape, {}};
  result.data.resize(array.getNumElements() * dtypeSize(dtype));
  char *to = result.data.data();
  for (double value : toDoubles(array)) {
    if (dtype == DType::f64) {
      std::memcpy(to, &value, sizeof(value));
    } else if (dtype == DType::f32) {
      float narrow = static_cast<float>(value);
      std::memcpy(to, &narrow, sizeof(narrow));
    } else {
      llvm::APFloat narrow(value);
      bool inexact;
      narrow.convert(getSemantics(dtype), llvm::APFloat::rmNearestTiesToEven,
                     &inexact);
      uint16_t bits =
          static_cast<uint16_t>(narrow.bitcastToAPInt().getZExtValue());
      std::memcpy(to, &bits, sizeof(bits));
    }
    to += dtypeSize(dtype);
  }
  return result;
}
