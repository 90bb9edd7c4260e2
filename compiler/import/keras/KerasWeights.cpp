//===- KerasWeights.cpp - where Keras keeps a layer's weights -------------===//

#include "compiler/import/keras/KerasWeights.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/keras/KerasNesting.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/xxhash.h"

#include <cstring>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

Weights::~Weights() = default;

static Error missing(StringRef where, const WeightRequest &request,
                     const Twine &place) {
  return importError(where, "layer '" + printable(request.layer.name) +
                                "': weight '" + request.role +
                                "' is missing, expected it " + place);
}

//===----------------------------------------------------------------------===//
// .weights.h5
//===----------------------------------------------------------------------===//

/// Keras's to_snake_case: GRUCell to gru_cell, LeakyReLU to leaky_re_lu.
static std::string toSnakeCase(StringRef name) {
  std::string word;
  for (char c : name)
    if (isAlnum(c) || c == '_')
      word += c;
  // (.)([A-Z][a-z]+) and then ([a-z])([A-Z]), matches not overlapping.
  std::string first;
  for (size_t i = 0; i < word.size();) {
    if (i + 2 < word.size() && isUpper(word[i + 1]) && isLower(word[i + 2])) {
      first += word[i];
      first += '_';
      for (first += word[++i], ++i; i < word.size() && isLower(word[i]); ++i)
        first += word[i];
    } else
      first += word[i++];
  }
  std::string second;
  for (size_t i = 0; i < first.size(); ++i) {
    second += first[i];
    if (isLower(first[i]) && i + 1 < first.size() && isUpper(first[i + 1]))
      second += '_';
  }
  return StringRef(second).lower();
}

namespace {
/// The layout of .keras archives: layers/<class>[_k]/<folder>/vars/<i>, where k
/// counts the layers of that class in the model's order. Names of layers do not
/// occur in it.
class FolderWeights : public Weights {
public:
  FolderWeights(const Hdf5File &file, const Model &model) : file(file) {
    StringMap<unsigned> used;
    for (const Layer &layer : model.layers) {
      if (layer.isOperation)
        continue;
      // A Sequential model does not count its input among its layers.
      if (model.sequential && layer.className == "InputLayer")
        continue;
      // Keras 2 does not count what has been written before.
      if (model.version == 2 && !layer.sharedWith.empty())
        continue;
      // The class only: a custom class's module is not in the folder's name.
      std::string folder =
          toSnakeCase(StringRef(layer.className).rsplit('.').second.empty()
                          ? StringRef(layer.className)
                          : StringRef(layer.className).rsplit('.').second);
      // Counted anew in every model inside the model.
      std::string base;
      if (!layer.parent.empty())
        base = folders.lookup(layer.parent) + "/layers/";
      folder = base + folder;
      unsigned count = used[folder]++;
      folders[layer.name] = count ? folder + "_" + utostr(count) : folder;
    }
  }

  StringRef getName() const override { return file.getName(); }

  void ignore(const WeightRequest &request) override {
    taken.insert(folders.lookup(request.layer.name) + "/vars/" +
                 utostr(request.index));
  }

  Expected<WeightTensor> take(const WeightRequest &request) override {
    std::string base = folders.lookup(request.layer.name) + "/";
    std::string vars = "vars/" + utostr(request.index), path = base + vars;
    if (!request.folder.empty()) {
      path = (base + request.folder + "/" + vars).str();
      // Keras files what is under a private name only under that name.
      if (std::string hidden = (base + "_" + request.folder + "/" + vars).str();
          !file.contains("layers/" + path) && file.contains("layers/" + hidden))
        path = hidden;
    }
    if (!file.contains("layers/" + path))
      return missing(file.getName(), request, "at 'layers/" + path + "'");
    taken.insert(path);
    return file.readDataset("layers/" + path, request.type);
  }

  Error checkAllTaken() override {
    Expected<std::vector<std::string>> all = file.listDatasets("layers");
    if (!all)
      return all.takeError();
    for (const std::string &path : *all)
      // Random generators of dropout layers keep their seed in the file.
      if (!taken.contains(path) &&
          StringRef(path).find("seed_generator/") == StringRef::npos)
        return importError(file.getName(), "weight 'layers/" + printable(path) +
                                               "' belongs to no layer of the "
                                               "model");
    return Error::success();
  }

private:
  const Hdf5File &file;
  StringMap<std::string> folders;
  StringSet<> taken;
};

//===----------------------------------------------------------------------===//
// Legacy HDF5
//===----------------------------------------------------------------------===//

/// The layout of legacy files: a group per layer whose attribute weight_names
/// lists the layer's weights in order.
class NamedWeights : public Weights {
public:
  static Expected<std::unique_ptr<Weights>>
  open(const Hdf5File &file, StringRef root, const Model &model) {
    auto weights = std::make_unique<NamedWeights>(file, root);
    auto layers = file.readStrings(root, "layer_names");
    if (!layers)
      return layers.takeError();
    if (!*layers)
      return importError(file.getName(), "group '" + root +
                                             "': attribute 'layer_names' is "
                                             "missing");
    for (const std::string &layer : **layers) {
      auto names = file.readStrings(weights->path(layer), "weight_names");
      if (!names)
        return names.takeError();
      if (!*names)
        return importError(file.getName(),
                           "layer '" + printable(layer) +
                               "': attribute 'weight_names' is missing");
      std::vector<Entry> &entries = weights->entries[layer];
      for (std::string &name : **names)
        entries.push_back({std::move(name), false});
    }
    return weights;
  }

  NamedWeights(const Hdf5File &file, StringRef root) : file(file), root(root) {}

  StringRef getName() const override { return file.getName(); }

  void ignore(const WeightRequest &request) override {
    auto layer = entries.find(getGroup(request.layer));
    if (layer == entries.end())
      return;
    for (Entry &entry : layer->second)
      if (!entry.taken && roleOf(entry.name) == request.role) {
        entry.taken = true;
        return;
      }
  }

  Expected<WeightTensor> take(const WeightRequest &request) override {
    std::string group = getGroup(request.layer);
    auto layer = entries.find(group);
    if (layer == entries.end())
      return missing(file.getName(), request, "in group '" + path(group) + "'");
    // The weights of a wrapped layer stand one after the other; what lies in
    // front of the last part of their names differs from version to version.
    Entry *entry = find(layer->second, roleOf(request.role));
    if (!entry)
      return missing(file.getName(), request,
                     "in weight_names of group '" + path(group) + "'");
    entry->taken = true;
    std::string dataset = path(group) + "/" + entry->name;
    if (!file.contains(dataset))
      return missing(file.getName(), request, "at '" + dataset + "'");
    return file.readDataset(dataset, request.type);
  }

  Error checkAllTaken() override {
    std::vector<StringRef> layers(entries.keys().begin(), entries.keys().end());
    llvm::sort(layers);
    for (StringRef layer : layers)
      for (const Entry &entry : entries[layer])
        if (!entry.taken &&
            StringRef(entry.name).find("seed_generator") == StringRef::npos)
          return importError(file.getName(),
                             "weight '" + printable(entry.name) +
                                 "' of layer '" + printable(layer) +
                                 "' is not used by the model");
    return Error::success();
  }

private:
  struct Entry {
    std::string name;
    bool taken;
  };

  /// The layers of a model inside the model share its group.
  static std::string getGroup(const Layer &layer) {
    std::string group = StringRef(layer.parent).split('/').first.str();
    return group.empty() ? layer.name : group;
  }

  std::string path(StringRef layer) const {
    return root.empty() ? layer.str() : root + "/" + layer.str();
  }

  /// "kernel" for "gru/gru_cell/kernel:0" and for "dense/kernel_1:0".
  static StringRef roleOf(StringRef name) {
    StringRef last =
        name.rsplit('/').second.empty() ? name : name.rsplit('/').second;
    last = last.split(':').first;
    auto [stem, number] = last.rsplit('_');
    return !number.empty() && all_of(number, isDigit) ? stem : last;
  }

  /// The next weight with that role. Keras itself goes by order alone; so do
  /// we for a name that says nothing.
  Entry *find(std::vector<Entry> &candidates, StringRef role) const {
    for (Entry &entry : candidates)
      if (!entry.taken && roleOf(entry.name) == role)
        return &entry;
    for (Entry &entry : candidates)
      if (!entry.taken)
        return is_contained({"kernel", "recurrent_kernel", "bias"},
                            roleOf(entry.name))
                   ? nullptr
                   : &entry;
    return nullptr;
  }

  const Hdf5File &file;
  std::string root;
  StringMap<std::vector<Entry>> entries;
};

//===----------------------------------------------------------------------===//
// Weights given by a program
//===----------------------------------------------------------------------===//

class GivenWeights : public Weights {
public:
  GivenWeights(std::vector<WeightTensor> tensors)
      : tensors(std::move(tensors)), taken(this->tensors.size(), false) {}

  StringRef getName() const override { return ""; }

  Expected<WeightTensor> take(const WeightRequest &request) override {
    // NumPy's keys have no folders: cell0_kernel for cell0/kernel.
    std::string name = request.role.str();
    llvm::replace(name, '/', '_');
    for (auto [index, tensor] : llvm::enumerate(tensors)) {
      if ((tensor.name != name &&
           tensor.name != request.layer.name + "/" + request.role.str()) ||
          taken[index])
        continue;
      taken[index] = true;
      return convert(tensor, request);
    }
    return missing("", request, "among the given weights");
  }

  Error checkAllTaken() override {
    for (auto [index, tensor] : llvm::enumerate(tensors))
      if (!taken[index])
        return importError("", "weight '" + printable(tensor.name) +
                                   "' is not used by the layer");
    return Error::success();
  }

private:
  static Expected<WeightTensor> convert(const WeightTensor &tensor,
                                        const WeightRequest &request) {
    auto fail = [&](const Twine &what) {
      return importError("", "layer '" + printable(request.layer.name) +
                                 "': " + request.role + " " + what);
    };
    uint64_t count = 1;
    for (int64_t size : tensor.shape)
      if (size < 0 || (size > 0 && count > (uint64_t(1) << 40) / size))
        return fail("has the impossible shape " + shapeText(tensor.shape));
      else
        count *= size;
    if (tensor.data.size() != count * getWeightTypeSize(tensor.dtype))
      return fail("has " + Twine(tensor.data.size()) + " bytes, expected " +
                  Twine(count * getWeightTypeSize(tensor.dtype)) + " for " +
                  shapeText(tensor.shape) + " " +
                  getWeightTypeName(tensor.dtype));
    if (tensor.dtype == request.type)
      return tensor;
    WeightTensor result = tensor;
    result.dtype = request.type;
    if (tensor.dtype == WeightType::f32 && request.type == WeightType::f64)
      convertNumbers<float, double>(tensor.data, result.data, count);
    else if (tensor.dtype == WeightType::f64 && request.type == WeightType::f32)
      convertNumbers<double, float>(tensor.data, result.data, count);
    else if (tensor.dtype == WeightType::f16 && request.type == WeightType::f32)
      widenHalves(APFloat::IEEEhalf(), tensor.data, result.data, count);
    else if (tensor.dtype == WeightType::bf16 &&
             request.type == WeightType::f32)
      widenHalves(APFloat::BFloat(), tensor.data, result.data, count);
    else
      return fail("is " + getWeightTypeName(tensor.dtype) + ", expected " +
                  getWeightTypeName(request.type));
    return result;
  }

  template <typename From, typename To>
  static void convertNumbers(const std::vector<char> &from,
                             std::vector<char> &to, uint64_t count) {
    to.resize(count * sizeof(To));
    for (uint64_t i = 0; i < count; ++i) {
      From value;
      std::memcpy(&value, from.data() + i * sizeof(From), sizeof(From));
      To converted = static_cast<To>(value);
      std::memcpy(to.data() + i * sizeof(To), &converted, sizeof(To));
    }
  }

  static void widenHalves(const fltSemantics &semantics,
                          const std::vector<char> &from, std::vector<char> &to,
                          uint64_t count) {
    to.resize(count * sizeof(float));
    for (uint64_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, from.data() + i * sizeof(bits), sizeof(bits));
      float single = APFloat(semantics, APInt(16, bits)).convertToFloat();
      std::memcpy(to.data() + i * sizeof(single), &single, sizeof(single));
    }
  }

  std::vector<WeightTensor> tensors;
  std::vector<bool> taken;
};
//===----------------------------------------------------------------------===//
// No weights
//===----------------------------------------------------------------------===//

/// Elements that initialisers draw for a whole model, 1 GiB of float32: a
/// config without weights is there to try things out, and may say any size.
constexpr uint64_t kMostDrawn = uint64_t(1) << 28;

class InitialWeights : public Weights {
public:
  InitialWeights(StringRef file) : file(file) {}

  StringRef getName() const override { return file; }
  bool isInitial() const override { return true; }

  Expected<WeightTensor> take(const WeightRequest &request) override {
    WeightTensor tensor;
    tensor.dtype = request.type;
    tensor.shape.assign(request.shape.begin(), request.shape.end());
    std::string name = (request.layer.name + "/" + request.role).str();
    uint64_t count = 1;
    for (int64_t size : request.shape)
      count = SaturatingMultiply(count, uint64_t(size));
    drawn = SaturatingAdd(drawn, count);
    if (drawn > kMostDrawn)
      return importError(
          file, "layer '" + printable(request.layer.name) +
                    "': " + request.role + " is " + shapeText(request.shape) +
                    ", but no more than " + Twine(kMostDrawn) +
                    " elements are drawn; give a file of weights");
    Expected<std::vector<double>> values =
        request.initializer->draw(request.shape, getWeightSeed(name, 0));
    if (!values)
      return importError(file, "layer '" + printable(request.layer.name) +
                                   "': " + request.initializerName + " " +
                                   toString(values.takeError()));
    tensor.data.resize(values->size() * getWeightTypeSize(request.type));
    writeValues(*values, request.type, tensor.data.data());
    return tensor;
  }

  Error checkAllTaken() override { return Error::success(); }

private:
  std::string file;
  uint64_t drawn = 0;
};
} // namespace

uint64_t gru::keras::getWeightSeed(StringRef name, uint64_t seed) {
  return xxh3_64bits(name) ^ seed;
}

std::unique_ptr<Weights> gru::keras::makeInitialWeights(StringRef file) {
  return std::make_unique<InitialWeights>(file);
}

Expected<std::unique_ptr<Weights>> gru::keras::openWeights(const Hdf5File &file,
                                                           Model &model) {
  if (file.hasGroup("model_weights"))
    return NamedWeights::open(file, "model_weights", model);
  auto layers = file.readStrings("", "layer_names");
  if (!layers)
    return layers.takeError();
  if (*layers)
    return NamedWeights::open(file, "", model);
  if (!file.hasGroup("layers"))
    return importError(file.getName(),
                       "holds no Keras weights, expected a group "
                       "'layers' or 'model_weights' or an attribute "
                       "'layer_names'");
  if (Error error = joinSharedLayers(file.getName(), model))
    return std::move(error);
  return std::make_unique<FolderWeights>(file, model);
}

std::unique_ptr<Weights>
gru::keras::makeGivenWeights(std::vector<WeightTensor> tensors) {
  return std::make_unique<GivenWeights>(std::move(tensors));
}
