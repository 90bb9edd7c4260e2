//===- Checkpoint.cpp - state dicts written by torch.save -----------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/ZipArchive.h"
#include "compiler/import/torch/Pickle.h"
#include "compiler/import/torch/StateDict.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

#include <cstring>
#include <map>

using namespace gru;
using namespace gru::torch;
using namespace llvm;

namespace {
/// Reads the tensors that a pickle describes out of an archive.
class Reader {
public:
  Reader(StringRef file, const ZipArchive &archive, StringRef root,
         uint64_t budget)
      : file(file), archive(archive), root(root), budget(budget) {}

  Expected<StateTensor> read(StringRef name, const PickleValue &value);

private:
  Error fail(StringRef name, const Twine &message) const {
    return importError((file + ": tensor '" + printable(name) + "'").str(),
                       message);
  }
  Expected<ArrayRef<char>> getStorage(StringRef name, StringRef key,
                                      uint64_t bytes);
  /// Takes memory for `bytes`; an error where the file asks for too much.
  Error charge(StringRef name, uint64_t bytes);

  StringRef file;
  const ZipArchive &archive;
  /// The folder that all entries lie in, with its slash.
  StringRef root;
  /// Bytes that tensors and storages may still take.
  uint64_t budget;
  /// Tensors may share a storage: tied weights, or the parts of a flat buffer.
  std::map<std::string, std::vector<char>> storages;
};

/// The element type of a storage class: "torch.FloatStorage".
struct StorageType {
  unsigned size = 0;
  std::optional<WeightType> weight;
};
} // namespace

static StorageType getStorageType(StringRef name) {
  if (!name.consume_front("torch.") || !name.consume_back("Storage"))
    return {};
  return StringSwitch<StorageType>(name)
      .Case("Float", {4, WeightType::f32})
      .Case("Double", {8, WeightType::f64})
      .Case("Half", {2, WeightType::f16})
      .Case("BFloat16", {2, WeightType::bf16})
      .Case("Long", {8, std::nullopt})
      .Case("Int", {4, std::nullopt})
      .Case("Short", {2, std::nullopt})
      .Cases({"Char", "Byte", "Bool"}, {1, std::nullopt})
      .Default({});
}

Error Reader::charge(StringRef name, uint64_t bytes) {
  if (bytes > budget)
    return fail(name, "the tensors up to this one claim far more bytes than "
                      "the file has");
  budget -= bytes;
  return Error::success();
}

Expected<ArrayRef<char>> Reader::getStorage(StringRef name, StringRef key,
                                            uint64_t bytes) {
  auto [found, isNew] = storages.try_emplace(key.str());
  if (isNew) {
    if (Error error = charge(name, bytes))
      return std::move(error);
    Expected<std::vector<char>> content =
        archive.read((root + "data/" + key).str(), bytes);
    if (!content)
      return fail(name, toString(content.takeError()));
    found->second = std::move(*content);
  }
  if (found->second.size() != bytes)
    return fail(name, "its storage '" + printable(key) + "' has " +
                          Twine(found->second.size()) + " bytes, expected " +
                          Twine(bytes));
  return ArrayRef<char>(found->second);
}

/// The numbers of a tuple of sizes or strides; nothing for anything else.
static std::optional<std::vector<int64_t>>
getNumbers(const PickleValue &value) {
  std::vector<int64_t> numbers;
  if (value.kind != PickleValue::tuple)
    return std::nullopt;
  for (const PickleRef &item : value.items) {
    if (item->kind != PickleValue::integer || item->number < 0)
      return std::nullopt;
    numbers.push_back(item->number);
  }
  return numbers;
}

/// A strided tensor in row-major order. The caller has checked that it lies
/// inside its storage, which begins at `from`.
static std::vector<char> gather(const char *from, ArrayRef<int64_t> shape,
                                ArrayRef<int64_t> strides, unsigned size,
                                uint64_t bytes) {
  std::vector<char> data(bytes);
  std::vector<int64_t> index(shape.size());
  for (uint64_t to = 0; to < bytes; to += size) {
    int64_t element = 0;
    for (size_t dim = 0; dim < shape.size(); ++dim)
      element += index[dim] * strides[dim];
    std::memcpy(data.data() + to, from + element * size, size);
    for (size_t dim = shape.size(); dim-- > 0;) {
      if (++index[dim] < shape[dim])
        break;
      index[dim] = 0;
    }
  }
  return data;
}

Expected<StateTensor> Reader::read(StringRef name, const PickleValue &value) {
  const PickleValue &id = *value.items[0]->items[0];
  // ('storage', class, key, device, number of elements)
  if (id.items.size() < 5 || id.items[0]->text != "storage" ||
      id.items[1]->kind != PickleValue::global ||
      id.items[2]->kind != PickleValue::string ||
      id.items[4]->kind != PickleValue::integer)
    return fail(name, "its storage is described in an unknown way");
  StateTensor tensor;
  tensor.name = name.str();
  tensor.dtypeName = id.items[1]->text;
  StorageType type = getStorageType(tensor.dtypeName);
  if (!type.size)
    return fail(name, "its storage is a " + printable(tensor.dtypeName));
  tensor.dtype = type.weight;
  auto shape = getNumbers(*value.items[2]);
  auto strides = getNumbers(*value.items[3]);
  if (value.items[1]->kind != PickleValue::integer || !shape || !strides ||
      shape->size() != strides->size())
    return fail(name, "its offset, size or stride is no number");
  tensor.shape = std::move(*shape);
  int64_t count = id.items[4]->number, offset = value.items[1]->number;
  constexpr int64_t mostElements = int64_t(1) << 32;
  if (count < 0 || count > mostElements)
    return fail(name, "its storage claims " + Twine(count) + " elements");
  std::optional<uint64_t> bytes =
      countBytes(tensor.shape, type.size, uint64_t(count) * type.size);
  bool inside = bytes && offset >= 0 && offset <= count;
  if (inside && *bytes) {
    // The last element is the farthest, since no stride is negative.
    uint64_t last = offset;
    for (auto [size, stride] : zip_equal(tensor.shape, *strides)) {
      inside &= stride <= count || size == 1;
      if (size > 1)
        last += uint64_t(size - 1) * uint64_t(std::min(stride, count));
    }
    inside &= last < uint64_t(count);
  }
  if (!inside)
    return fail(name, shapeText(tensor.shape) + " at offset " + Twine(offset) +
                          " does not fit its storage of " + Twine(count) +
                          " elements");
  if (!tensor.dtype)
    return tensor;
  Expected<ArrayRef<char>> storage =
      getStorage(name, id.items[2]->text, uint64_t(count) * type.size);
  if (!storage)
    return storage.takeError();
  if (Error error = charge(name, *bytes))
    return std::move(error);
  tensor.data = gather(storage->data() + offset * type.size, tensor.shape,
                       *strides, type.size, *bytes);
  return tensor;
}

/// The dictionary of tensors: the pickle's value itself, or one under a usual
/// key of a training checkpoint.
static const PickleValue *findTensors(const PickleValue &root) {
  auto isStateDict = [](const PickleValue &value) {
    if (value.kind != PickleValue::dict)
      return false;
    for (size_t i = 1; i < value.items.size(); i += 2)
      if (value.items[i]->kind == PickleValue::tensor)
        return true;
    return false;
  };
  for (StringRef key : {"state_dict", "model_state_dict", "model"})
    if (const PickleValue *inner = root.lookup(key))
      if (isStateDict(*inner))
        return inner;
  return isStateDict(root) ? &root : nullptr;
}

bool gru::torch::isCheckpoint(StringRef bytes) {
  if (!bytes.starts_with("PK\x03\x04"))
    return false;
  Expected<ZipArchive> archive = ZipArchive::open("", bytes);
  if (archive)
    return archive->containsSuffix("data.pkl");
  consumeError(archive.takeError());
  return false;
}

Expected<StateDict> gru::torch::readCheckpoint(StringRef file,
                                               StringRef bytes) {
  // Some hundred bytes a tensor.
  constexpr uint64_t largestPickle = 16 << 20;
  constexpr StringLiteral pickleName("data.pkl");
  Expected<ZipArchive> archive = ZipArchive::open(file, bytes);
  if (!archive)
    return archive.takeError();
  std::string name;
  for (const std::string &entry : archive->getEntries())
    if (StringRef(entry).ends_with(pickleName)) {
      name = entry;
      break;
    }
  if (name.empty())
    return importError(file, "the archive has no data.pkl, expected one that "
                             "torch.save has written");
  StringRef root = StringRef(name).drop_back(pickleName.size());
  std::string orderName = (root + "byteorder").str();
  if (archive->contains(orderName)) {
    Expected<std::vector<char>> order = archive->read(orderName, 64);
    if (!order)
      return order.takeError();
    StringRef text(order->data(), order->size());
    if (text.trim() != "little")
      return importError(file, "its numbers are in byte order '" +
                                   printable(text) + "', expected little");
  }
  Expected<std::vector<char>> content = archive->read(name, largestPickle);
  if (!content)
    return content.takeError();
  Expected<Pickle> pickle =
      Pickle::parse((file + ": " + printable(name)).str(),
                    StringRef(content->data(), content->size()));
  if (!pickle)
    return pickle.takeError();
  const PickleValue *tensors = findTensors(pickle->getRoot());
  if (!tensors)
    return importError(file, "holds no dictionary of tensors, expected what "
                             "torch.save(module.state_dict(), FILE) writes");
  // Storages are not compressed; tied weights count twice.
  Reader reader(file, *archive, root, 8 * uint64_t(bytes.size()));
  StateDict dict{file.str(), {}, /*hasModuleOrder=*/true};
  StringSet<> names;
  for (size_t i = 0; i + 1 < tensors->items.size(); i += 2) {
    const PickleValue &key = *tensors->items[i],
                      &value = *tensors->items[i + 1];
    if (value.kind != PickleValue::tensor)
      continue;
    if (key.kind != PickleValue::string)
      return importError(file, "the name of a tensor is no string");
    if (!names.insert(key.text).second)
      return importError(file, "two tensors have the name '" +
                                   printable(key.text) + "'");
    Expected<StateTensor> tensor = reader.read(key.text, value);
    if (!tensor)
      return tensor.takeError();
    dict.tensors.push_back(std::move(*tensor));
  }
  return dict;
}
