//===- Hdf5File.cpp - attributes and datasets of an HDF5 file --------------===//

#include "compiler/import/archive/Hdf5File.h"

#include "compiler/import/ImportError.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"

#include <hdf5.h>

#include <mutex>

using namespace gru;
using namespace llvm;

/// Largest dataset; a GRU of 8192 units has recurrent weights of 0.8 GB.
static constexpr uint64_t kLargestDataset = uint64_t(2) << 30;
/// Largest attribute: Keras keeps the whole config of a model in one.
static constexpr uint64_t kLargestAttribute = uint64_t(256) << 20;
/// No deflated byte stands for more than this many bytes.
static constexpr uint64_t kLargestRatio = 1040;
static constexpr unsigned kDeepestGroup = 32;
static constexpr unsigned kMostLinks = 200000;

namespace {
/// Holds the lock around libhdf5 and keeps it from printing to stderr.
class Session {
public:
  Session() : lock(mutex()) {
    H5Eget_auto2(H5E_DEFAULT, &function, &data);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Session() {
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, function, data);
  }

private:
  static std::recursive_mutex &mutex() {
    static std::recursive_mutex theMutex;
    return theMutex;
  }
  std::lock_guard<std::recursive_mutex> lock;
  H5E_auto2_t function = nullptr;
  void *data = nullptr;
};

/// An identifier of libhdf5 with the function that closes it.
class Handle {
public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id(id), close(close) {}
  Handle(Handle &&other) : id(other.id), close(other.close) { other.id = -1; }
  Handle &operator=(Handle &&) = delete;
  ~Handle() {
    if (id >= 0)
      close(id);
  }
  explicit operator bool() const { return id >= 0; }
  operator hid_t() const { return id; }

private:
  hid_t id;
  herr_t (*close)(hid_t);
};
} // namespace

/// What libhdf5 says about its last failure, innermost cause first.
static std::string lastError() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t *error, void *data) -> herr_t {
        auto &text = *static_cast<std::string *>(data);
        if (text.empty() && error->desc)
          text = error->desc;
        return 0;
      },
      &text);
  return text.empty() ? "damaged file" : text;
}

/// Opens the object at `path`, following hard links only: a soft or external
/// link could name any file of the machine.
static Handle openObject(hid_t file, StringRef path) {
  SmallVector<StringRef> parts;
  path.split(parts, '/', -1, /*KeepEmpty=*/false);
  Handle object(H5Oopen(file, "/", H5P_DEFAULT), H5Oclose);
  std::string prefix;
  for (StringRef part : parts) {
    prefix += "/" + part.str();
    H5L_info_t info;
    if (!object || H5Lexists(file, prefix.c_str(), H5P_DEFAULT) <= 0 ||
        H5Lget_info(file, prefix.c_str(), &info, H5P_DEFAULT) < 0 ||
        info.type != H5L_TYPE_HARD)
      return Handle(-1, H5Oclose);
  }
  if (parts.empty())
    return object;
  return Handle(H5Oopen(file, prefix.c_str(), H5P_DEFAULT), H5Oclose);
}

/// Checks the collections of variable-length strings. libhdf5 1.10 believes the
/// sizes in them and reads past its buffers in a damaged file.
static Error checkGlobalHeaps(StringRef file, StringRef bytes) {
  constexpr uint64_t headerSize = 16;
  auto roundUp = [](uint64_t size) { return (size + 7) / 8 * 8; };
  for (uint64_t start = bytes.find("GCOL"); start != StringRef::npos;
       start = bytes.find("GCOL", start + 1)) {
    // Collections are aligned and of version 1; other hits are chance.
    if (start % 8 != 0 || bytes.size() - start < headerSize ||
        bytes[start + 4] != 1)
      continue;
    auto fail = [&] {
      return importError(file, "damaged HDF5 file: the string heap at byte " +
                                   Twine(start) + " is inconsistent");
    };
    uint64_t size = support::endian::read64le(bytes.data() + start + 8);
    if (size < headerSize || size > bytes.size() - start)
      return fail();
    StringRef heap = bytes.substr(start, size);
    SmallDenseSet<uint16_t> seen;
    for (uint64_t at = headerSize; at + headerSize <= size;) {
      uint16_t index = support::endian::read16le(heap.data() + at);
      uint64_t length = support::endian::read64le(heap.data() + at + 8);
      // Object 0 is the free rest; its length counts its own header.
      if (index == 0) {
        if (length != size - at)
          return fail();
        break;
      }
      if (length > size - at - headerSize || !seen.insert(index).second ||
          roundUp(length) > size - at - headerSize)
        return fail();
      at += headerSize + roundUp(length);
    }
  }
  return Error::success();
}

Expected<Hdf5File> Hdf5File::open(StringRef file, StringRef bytes) {
  if (Error error = checkGlobalHeaps(file, bytes))
    return error;
  Session session;
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (!access || H5Pset_fapl_core(access, 1 << 16, 0) < 0 ||
      // The library takes a pointer to non-const but only copies from it.
      H5Pset_file_image(access, const_cast<char *>(bytes.data()),
                        bytes.size()) < 0)
    return importError(file, "cannot read as HDF5: " + lastError());
  hid_t id = H5Fopen("model", H5F_ACC_RDONLY, access);
  if (id < 0)
    return importError(file, "damaged or truncated HDF5 file: " + lastError());
  return Hdf5File(file, bytes.size(), id);
}

Hdf5File::~Hdf5File() {
  if (handle < 0)
    return;
  Session session;
  H5Fclose(handle);
}

bool Hdf5File::hasGroup(StringRef path) const {
  Session session;
  Handle object = openObject(handle, path);
  return object && H5Iget_type(object) == H5I_GROUP;
}

bool Hdf5File::hasDataset(StringRef path) const {
  Session session;
  Handle object = openObject(handle, path);
  return object && H5Iget_type(object) == H5I_DATASET;
}

/// Reads an attribute that holds a string or a list of strings, of fixed or
/// variable length.
static Expected<std::vector<std::string>>
readAttribute(const Twine &where, hid_t object, const std::string &name) {
  auto fail = [&](const Twine &what) {
    return importError(where.str(), "attribute '" + name + "': " + what);
  };
  Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute)
    return fail(lastError());
  Handle type(H5Aget_type(attribute), H5Tclose);
  Handle space(H5Aget_space(attribute), H5Sclose);
  if (!type || !space)
    return fail(lastError());
  hssize_t count = H5Sget_simple_extent_npoints(space);
  std::vector<std::string> strings;
  // An empty list has whatever type NumPy gives to it.
  if (count == 0)
    return strings;
  if (count < 0 || H5Tget_class(type) != H5T_STRING)
    return fail("expected a string");
  if (H5Tis_variable_str(type) > 0) {
    if (uint64_t(count) * sizeof(char *) > kLargestAttribute)
      return fail("claims " + Twine(count) + " strings");
    std::vector<char *> pointers(count, nullptr);
    Handle memory(H5Tcopy(H5T_C_S1), H5Tclose);
    if (!memory || H5Tset_size(memory, H5T_VARIABLE) < 0 ||
        H5Tset_cset(memory, H5Tget_cset(type)) < 0 ||
        H5Aread(attribute, memory, pointers.data()) < 0)
      return fail(lastError());
    for (char *pointer : pointers)
      strings.emplace_back(pointer ? pointer : "");
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, pointers.data());
    return strings;
  }
  uint64_t width = H5Tget_size(type);
  if (width == 0 || width > kLargestAttribute ||
      uint64_t(count) > kLargestAttribute / width)
    return fail("claims " + Twine(count) + " strings of " + Twine(width) +
                " bytes");
  std::vector<char> bytes(width * count);
  if (H5Aread(attribute, type, bytes.data()) < 0)
    return fail(lastError());
  for (hssize_t i = 0; i < count; ++i) {
    StringRef text(bytes.data() + i * width, width);
    strings.push_back(text.take_until([](char c) { return c == 0; }).str());
  }
  return strings;
}

Expected<std::optional<std::string>>
Hdf5File::readString(StringRef path, StringRef attribute) const {
  Session session;
  Handle object = openObject(handle, path);
  if (!object || H5Aexists(object, attribute.str().c_str()) <= 0)
    return std::nullopt;
  auto strings = readAttribute(file, object, attribute.str());
  if (!strings)
    return strings.takeError();
  if (strings->size() != 1)
    return importError(file, "attribute '" + attribute + "': found " +
                                 Twine(strings->size()) +
                                 " strings, expected 1");
  return std::move(strings->front());
}

Expected<std::optional<std::vector<std::string>>>
Hdf5File::readStrings(StringRef path, StringRef attribute) const {
  Session session;
  Handle object = openObject(handle, path);
  if (!object)
    return std::nullopt;
  auto exists = [&](const std::string &name) {
    return H5Aexists(object, name.c_str()) > 0;
  };
  std::string where = (file + ": " + path).str();
  if (exists(attribute.str())) {
    auto strings = readAttribute(where, object, attribute.str());
    if (!strings)
      return strings.takeError();
    return std::move(*strings);
  }
  std::vector<std::string> all;
  unsigned part = 0;
  for (;; ++part) {
    std::string name = attribute.str() + utostr(part);
    if (!exists(name))
      break;
    auto strings = readAttribute(where, object, name);
    if (!strings)
      return strings.takeError();
    all.insert(all.end(), strings->begin(), strings->end());
  }
  if (part == 0)
    return std::nullopt;
  return all;
}

static Error listInto(StringRef file, hid_t group, const std::string &prefix,
                      unsigned depth, unsigned &links,
                      std::vector<std::string> &datasets) {
  H5G_info_t info;
  if (H5Gget_info(group, &info) < 0)
    return importError(file, "group '" + prefix + "': " + lastError());
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    if (++links > kMostLinks || depth > kDeepestGroup)
      return importError(file, "group '" + printable(prefix) +
                                   "': too many or too deeply nested links");
    ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC,
                                        i, nullptr, 0, H5P_DEFAULT);
    if (length < 0 || length > 1 << 16)
      return importError(file, "group '" + prefix + "': " + lastError());
    std::string name(length, 0);
    if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i,
                           name.data(), length + 1, H5P_DEFAULT) < 0)
      return importError(file, "group '" + prefix + "': " + lastError());
    H5L_info_t link;
    if (H5Lget_info(group, name.c_str(), &link, H5P_DEFAULT) < 0)
      return importError(file, "group '" + prefix + "': " + lastError());
    if (link.type != H5L_TYPE_HARD)
      continue;
    std::string path = prefix.empty() ? name : prefix + "/" + name;
    Handle child(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose);
    if (!child)
      return importError(file, "object '" + path + "': " + lastError());
    H5I_type_t type = H5Iget_type(child);
    if (type == H5I_DATASET)
      datasets.push_back(path);
    else if (type == H5I_GROUP)
      if (Error error = listInto(file, child, path, depth + 1, links, datasets))
        return error;
  }
  return Error::success();
}

Expected<std::vector<std::string>>
Hdf5File::listDatasets(StringRef path) const {
  Session session;
  std::vector<std::string> datasets;
  Handle group = openObject(handle, path);
  if (!group || H5Iget_type(group) != H5I_GROUP)
    return datasets;
  unsigned links = 0;
  if (Error error = listInto(file, group, "", 0, links, datasets))
    return error;
  return datasets;
}

/// True for the four IEEE-like formats that weights come in. Others would go
/// through the library's bit-by-bit conversion, which trusts the file.
static bool isKnownFloat(hid_t type) {
  if (H5Tget_class(type) != H5T_FLOAT)
    return false;
  struct Format {
    size_t size, sign, exponent, exponentBits, mantissaBits, bias;
  };
  static const Format formats[] = {{4, 31, 23, 8, 23, 127},
                                   {8, 63, 52, 11, 52, 1023},
                                   {2, 15, 10, 5, 10, 15},
                                   {2, 15, 7, 8, 7, 127}};
  H5T_order_t order = H5Tget_order(type);
  size_t sign, exponent, exponentBits, mantissa, mantissaBits;
  if ((order != H5T_ORDER_LE && order != H5T_ORDER_BE) ||
      H5Tget_fields(type, &sign, &exponent, &exponentBits, &mantissa,
                    &mantissaBits) < 0 ||
      H5Tget_norm(type) != H5T_NORM_IMPLIED || H5Tget_offset(type) != 0)
    return false;
  for (const Format &f : formats)
    if (H5Tget_size(type) == f.size && sign == f.sign &&
        exponent == f.exponent && exponentBits == f.exponentBits &&
        mantissa == 0 && mantissaBits == f.mantissaBits &&
        H5Tget_ebias(type) == f.bias && H5Tget_precision(type) == 8 * f.size)
      return true;
  return false;
}

Expected<WeightTensor> Hdf5File::readDataset(StringRef path,
                                             WeightType type) const {
  Session session;
  auto fail = [&](const Twine &what) {
    return importError(file, "dataset '" + path + "': " + what);
  };
  Handle object = openObject(handle, path);
  if (!object || H5Iget_type(object) != H5I_DATASET)
    return fail("not found");
  Handle stored(H5Dget_type(object), H5Tclose);
  Handle space(H5Dget_space(object), H5Sclose);
  Handle properties(H5Dget_create_plist(object), H5Pclose);
  if (!stored || !space || !properties)
    return fail(lastError());
  if (!isKnownFloat(stored))
    return fail("found another element type, expected float16, bfloat16, "
                "float32 or float64");

  WeightTensor tensor;
  tensor.dtype = type;
  constexpr int largestRank = 8;
  int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0 || rank > largestRank)
    return fail("found rank " + Twine(rank) + ", expected at most " +
                Twine(largestRank));
  hsize_t sizes[largestRank];
  if (H5Sget_simple_extent_dims(space, sizes, nullptr) < 0 ||
      H5Sget_simple_extent_type(space) == H5S_NULL)
    return fail("has no shape");
  uint64_t count = 1;
  for (int i = 0; i < rank; ++i) {
    if (sizes[i] != 0 && count > kLargestDataset / sizes[i])
      return fail("claims more than " + Twine(kLargestDataset) + " numbers");
    count *= sizes[i];
    tensor.shape.push_back(sizes[i]);
  }
  uint64_t fileBytes = count * H5Tget_size(stored);
  uint64_t bytes = count * getWeightTypeSize(type);
  if (std::max(bytes, fileBytes) > kLargestDataset)
    return fail("claims " + Twine(fileBytes) + " bytes, expected at most " +
                Twine(kLargestDataset));
  // What the file stores for it: all of it, or compressed chunks.
  uint64_t storage = H5Dget_storage_size(object);
  bool chunked = H5Pget_layout(properties) == H5D_CHUNKED;
  if (H5Pget_layout(properties) == H5D_VIRTUAL ||
      H5Pget_external_count(properties) > 0)
    return fail("lies in another file, expected its numbers in this one");
  if (storage > size ||
      (chunked ? storage * kLargestRatio < fileBytes : storage < fileBytes))
    return fail("claims " + Twine(fileBytes) + " bytes, found " +
                Twine(std::min(storage, size)));
  tensor.data.resize(bytes);
  hid_t memory =
      type == WeightType::f64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
  if (type != WeightType::f32 && type != WeightType::f64)
    return fail("cannot be read as " + getWeightTypeName(type));
  if (count > 0 && H5Dread(object, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                           tensor.data.data()) < 0)
    return fail(lastError());
  return tensor;
}
