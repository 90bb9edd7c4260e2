//===- Hdf5File.cpp - attributes and datasets of an HDF5 file -------------===//

#include "compiler/import/archive/Hdf5File.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Hdf5Attributes.h"
#include "compiler/import/archive/Hdf5Image.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

#include <hdf5.h>

#include <bit>
#include <cstring>
#include <mutex>

using namespace gru;
using namespace llvm;

/// Largest dataset; a GRU of 8192 units has recurrent weights of 0.8 GB.
static constexpr uint64_t kLargestDataset = uint64_t(2) << 30;
static constexpr unsigned kDeepestGroup = 32;
static constexpr unsigned kMostLinks = 200000;

// The form of an object's description that has its address in the file.
#if H5_VERSION_GE(1, 12, 0)
using ObjectInfo = H5O_info1_t;
#else
using ObjectInfo = H5O_info_t;
#endif

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
    if (!foundDamage)
      H5Eset_auto2(H5E_DEFAULT, function, data);
  }

  /// A failure inside libhdf5 1.10 can leave its lists of objects in disorder,
  /// about which it complains to stderr when the process ends, unless its
  /// printing is off; so it stays off from then on.
  static inline bool foundDamage = false;

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
  Session::foundDamage = true;
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

/// True if `path` leads somewhere over hard links only: a soft or external link
/// could name any file of the machine.
static bool hasLinks(hid_t file, StringRef path) {
  SmallVector<StringRef> parts;
  path.split(parts, '/', -1, /*KeepEmpty=*/false);
  std::string prefix;
  for (StringRef part : parts) {
    prefix += "/" + part.str();
    H5L_info_t info;
    if (H5Lexists(file, prefix.c_str(), H5P_DEFAULT) <= 0 ||
        H5Lget_info(file, prefix.c_str(), &info, H5P_DEFAULT) < 0 ||
        info.type != H5L_TYPE_HARD)
      return false;
  }
  return true;
}

static Handle openObject(hid_t file, StringRef path) {
  if (!hasLinks(file, path))
    return Handle(-1, H5Oclose);
  return Handle(H5Oopen(file, ("/" + path).str().c_str(), H5P_DEFAULT),
                H5Oclose);
}

Expected<Hdf5File> Hdf5File::open(StringRef file, StringRef bytes) {
  Session session;
  // Open until the error is read: closing it would clear that.
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  hid_t id = access && setHdf5Image(access, bytes)
                 ? H5Fopen("image", H5F_ACC_RDONLY, access)
                 : -1;
  if (id < 0)
    return importError(file, "damaged or truncated HDF5 file: " + lastError());
  return Hdf5File(file, bytes, id);
}

Hdf5File::~Hdf5File() {
  if (handle < 0)
    return;
  Session session;
  if (H5Fclose(handle) < 0)
    Session::foundDamage = true;
}

bool Hdf5File::hasGroup(StringRef path) const {
  Session session;
  Handle object = openObject(handle, path);
  return object && H5Iget_type(object) == H5I_GROUP;
}

bool Hdf5File::contains(StringRef path) const {
  Session session;
  return hasLinks(handle, path);
}

Expected<std::optional<std::vector<std::string>>>
Hdf5File::readAttribute(StringRef path, StringRef attribute) const {
  Session session;
  Handle object = openObject(handle, path);
  if (!object)
    return std::nullopt;
  auto fail = [&](const Twine &what) {
    return importError(path.empty() ? file : file + ": " + path.str(),
                       "attribute '" + attribute + "': " + what);
  };
  ObjectInfo info;
  Handle properties(H5Fget_create_plist(handle), H5Pclose);
  hsize_t userBlock = 0;
  size_t addressSize = 0, lengthSize = 0;
  if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0 || !properties ||
      H5Pget_userblock(properties, &userBlock) < 0 ||
      H5Pget_sizes(properties, &addressSize, &lengthSize) < 0)
    return fail(lastError());
  if (addressSize != 8 || lengthSize != 8 || userBlock > bytes.size())
    return fail("the file has addresses of " + Twine(addressSize) +
                " bytes, expected 8");
  auto strings = readHdf5Strings(bytes.substr(userBlock), info.addr, attribute);
  if (!strings)
    return fail(toString(strings.takeError()));
  return strings;
}

Expected<std::optional<std::string>>
Hdf5File::readString(StringRef path, StringRef attribute) const {
  auto strings = readAttribute(path, attribute);
  if (!strings)
    return strings.takeError();
  if (!*strings)
    return std::nullopt;
  if ((*strings)->size() != 1)
    return importError(file, "attribute '" + attribute + "': found " +
                                 Twine((*strings)->size()) +
                                 " strings, expected 1");
  return std::move((*strings)->front());
}

Expected<std::optional<std::vector<std::string>>>
Hdf5File::readStrings(StringRef path, StringRef attribute) const {
  auto whole = readAttribute(path, attribute);
  if (!whole || *whole)
    return whole;
  std::vector<std::string> all;
  for (unsigned part = 0;; ++part) {
    auto strings = readAttribute(path, attribute.str() + utostr(part));
    if (!strings)
      return strings.takeError();
    if (!*strings) {
      if (part == 0)
        return std::nullopt;
      return all;
    }
    all.insert(all.end(), (*strings)->begin(), (*strings)->end());
  }
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

/// The bit patterns of bfloat16, which NumPy does not have, come as numbers
/// that HDF5 knows nothing of.
static bool isOpaqueHalf(hid_t type) {
  return H5Tget_class(type) == H5T_OPAQUE && H5Tget_size(type) == 2;
}

/// Turns the bfloat16 numbers in the first half (or quarter) of `data` into
/// float32 (or float64), in place from the end.
static void widenBFloat(std::vector<char> &data, uint64_t count,
                        WeightType type) {
  unsigned size = getWeightTypeSize(type);
  for (uint64_t i = count; i-- > 0;) {
    uint16_t bits;
    std::memcpy(&bits, data.data() + i * sizeof(bits), sizeof(bits));
    float single = std::bit_cast<float>(uint32_t(bits) << 16);
    double value = single;
    if (type == WeightType::f64)
      std::memcpy(data.data() + i * size, &value, size);
    else
      std::memcpy(data.data() + i * size, &single, size);
  }
}

Expected<WeightTensor> Hdf5File::readDataset(StringRef path,
                                             WeightType type) const {
  Session session;
  auto fail = [&](const Twine &what) {
    return importError(file, "dataset '" + path + "': " + what);
  };
  Handle object = openObject(handle, path);
  if (!object)
    return fail(lastError());
  if (H5Iget_type(object) != H5I_DATASET)
    return fail("found a group, expected a dataset");
  Handle stored(H5Dget_type(object), H5Tclose);
  Handle space(H5Dget_space(object), H5Sclose);
  Handle properties(H5Dget_create_plist(object), H5Pclose);
  if (!stored || !space || !properties)
    return fail(lastError());
  bool isBFloat = isOpaqueHalf(stored);
  if (isBFloat) {
    // Keras says what it is, except in the legacy format.
    auto name = readString(path, "dtype");
    if (!name)
      return name.takeError();
    isBFloat = !*name || **name == "bfloat16";
  }
  if (!isBFloat && !isKnownFloat(stored))
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
  uint64_t memoryBytes = count * getWeightTypeSize(type);
  if (std::max(memoryBytes, fileBytes) > kLargestDataset)
    return fail("claims " + Twine(fileBytes) + " bytes, expected at most " +
                Twine(kLargestDataset));
  // Keras stores weights in one piece. libhdf5 1.10 reads outside its buffers
  // where the chunks of a damaged file are smaller than they claim.
  H5D_layout_t layout = H5Pget_layout(properties);
  if (layout != H5D_CONTIGUOUS && layout != H5D_COMPACT)
    return fail("is stored in chunks, expected one piece as Keras writes it; "
                "'h5repack -f NONE -l CONTI' makes such a file");
  if (H5Pget_external_count(properties) > 0)
    return fail("lies in another file, expected its numbers in this one");
  uint64_t storage = H5Dget_storage_size(object);
  if (storage > bytes.size() || storage < fileBytes)
    return fail("claims " + Twine(fileBytes) + " bytes, found " +
                Twine(std::min<uint64_t>(storage, bytes.size())));
  tensor.data.resize(memoryBytes);
  hid_t memory = type == WeightType::f64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
  if (type != WeightType::f32 && type != WeightType::f64)
    return fail("cannot be read as " + getWeightTypeName(type));
  if (isBFloat)
    memory = stored;
  if (count > 0 && H5Dread(object, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                           tensor.data.data()) < 0)
    return fail(lastError());
  if (isBFloat)
    widenBFloat(tensor.data, count, type);
  return tensor;
}
