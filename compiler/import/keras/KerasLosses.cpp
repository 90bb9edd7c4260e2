//===- KerasLosses.cpp - activities, and the order of a model's losses ----===//

#include "compiler/import/keras/KerasWalk.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <tuple>

using namespace gru;
using namespace gru::keras;
using namespace llvm;

/// The activity regulariser of a layer, as an entry of a config; null where it
/// has none.
static json::Value getActivityRegularizer(const Layer &layer,
                                          unsigned version) {
  // That of its parts.
  if (version == 3 && layer.className == "MultiHeadAttention")
    return nullptr;
  if (const json::Value *value =
          findEntry(layer.config, "activity_regularizer"))
    return *value;
  if (layer.className != "ActivityRegularization")
    return nullptr;
  json::Object factors;
  for (StringRef key : {"l1", "l2"})
    if (const json::Value *value = findEntry(layer.config, key))
      factors[key] = *value;
  return json::Object{{"class_name", "L1L2"}, {"config", std::move(factors)}};
}

Error CallContext::addActivities(ArrayRef<Tensor> outputs) {
  json::Value value = getActivityRegularizer(layer, version);
  if (value.getAsNull())
    return Error::success();
  Expected<Regularizer> regularizer = Regularizer::parse(value, version);
  if (!regularizer)
    return error("activity_regularizer " + toString(regularizer.takeError()));
  for (const Tensor &output : outputs) {
    size_t count = count_if(walk.activities, [&](const Walk::State &other) {
      return StringRef(other.name).starts_with(owner.name + "/activity");
    });
    std::string name = owner.name + "/activity" +
                       (count ? "_" + std::to_string(count) : std::string());
    walk.activities.push_back({name, output});
    walk.contents.activities.push_back({name, *regularizer});
    walk.activityOwners.emplace_back(&owner - walk.model.layers.data(), part);
  }
  return Error::success();
}

/// The place of each layer in Keras 3's walk over a model and the models in it,
/// which goes through the layers of an inner one backwards.
static std::vector<size_t> getFlatOrder(const Model &model) {
  std::vector<size_t> places(model.layers.size());
  size_t place = 0;
  std::function<void(StringRef)> visit = [&](StringRef parent) {
    SmallVector<size_t> children;
    for (auto [index, layer] : llvm::enumerate(model.layers))
      if (layer.parent == parent)
        children.push_back(index);
    if (!parent.empty())
      std::reverse(children.begin(), children.end());
    for (size_t index : children) {
      places[index] = place++;
      if (model.layers[index].isModel)
        visit(model.layers[index].name);
    }
  };
  visit("");
  return places;
}

/// Keras 2 lists the losses layer by layer and part by part (the directions of
/// a Bidirectional), of activities in front of those of weights. Keras 3 lists
/// those of all activities, coming to the parts of a layer backwards, and then
/// those of all weights that are trained.
void Walk::orderLosses() {
  bool isKeras3 = model.version == 3;
  std::vector<size_t> places = getFlatOrder(model);
  std::map<std::pair<size_t, std::string>, int64_t> parts;
  // The layer itself comes before its parts.
  auto getPart = [&](const std::pair<size_t, std::string> &owner) {
    int64_t next = owner.second.empty() ? 0 : 1 + parts.size();
    return parts.insert({owner, next}).first->second;
  };
  using Key = std::tuple<bool, size_t, int64_t, bool, size_t>;
  std::vector<std::pair<Key, LossTerm>> entries;
  for (auto [index, rules] : llvm::enumerate(contents.weightRules)) {
    int64_t part = getPart(weightOwners[index]);
    if (rules.regularizer && (!isKeras3 || isTrained[index]))
      entries.push_back({Key(isKeras3, weightOwners[index].first,
                             isKeras3 ? 0 : part, true, index),
                         {false, index}});
  }
  for (auto [index, owner] : llvm::enumerate(activityOwners)) {
    int64_t part = getPart(owner);
    if (isKeras3 && part > 0)
      part = std::numeric_limits<int64_t>::max() - part;
    entries.push_back({Key(false, isKeras3 ? places[owner.first] : owner.first,
                           part, false, index),
                       {true, index}});
  }
  llvm::sort(entries, [](auto &a, auto &b) { return a.first < b.first; });
  for (const auto &[key, term] : entries)
    contents.lossTerms.push_back(term);
}
