//===- KerasObject.cpp - a named object of a Keras config -----------------===//

#include "compiler/weights/KerasObject.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace gru;
using namespace llvm;

std::string gru::numberText(double number) {
  std::string text;
  raw_string_ostream(text) << format("%g", number);
  return text;
}

static std::string jsonText(const json::Value &value) {
  constexpr size_t longest = 80;
  std::string text;
  raw_string_ostream(text) << value;
  return text.size() <= longest ? text : text.substr(0, longest) + "...";
}

/// True for the modules that Keras and its predecessors live in. Files from
/// before Keras 2.13 name no module.
static bool isKerasModule(StringRef module) {
  StringRef first = module.split('.').first;
  return is_contained({"", "keras", "tf_keras", "tensorflow", "builtins"},
                      first);
}

Expected<KerasObject> KerasObject::parse(const json::Value &value,
                                         ArrayRef<KerasClass> classes) {
  KerasObject result;
  StringRef module, registered;
  if (std::optional<StringRef> text = value.getAsString()) {
    result.name = text->str();
    result.bareName = true;
  } else if (const json::Object *object = value.getAsObject()) {
    std::optional<StringRef> className = object->getString("class_name");
    if (!className)
      return createStringError(
          "is " + jsonText(value) +
          ", expected a name or an object with class_name");
    result.name = className->str();
    module = object->getString("module").value_or("");
    registered = object->getString("registered_name").value_or("");
    if (const json::Object *config = object->getObject("config"))
      result.config = *config;
    // Keras 3 writes a function, or a class without its module, by its name.
    if (*className == "function")
      if (std::optional<StringRef> text = object->getString("config"))
        result.name = text->str();
  } else {
    return createStringError("is " + jsonText(value) +
                             ", expected a name or an object with class_name");
  }
  if (isKerasModule(module))
    for (auto [index, known] : enumerate(classes))
      if (result.name == known.name || result.name == known.shortName ||
          (!known.alias.empty() && result.name == known.alias)) {
        result.index = index;
        return result;
      }
  // Somebody's own class has a module of its own, a registered name
  // ("package>Class"), or comes from an old file that does not say.
  bool isOwn = !isKerasModule(module) || StringRef(registered).contains('>') ||
               (module.empty() && !result.bareName);
  if (isOwn)
    return result;
  SmallVector<StringRef> names;
  for (const KerasClass &known : classes)
    names.push_back(known.shortName);
  return createStringError("is '" + result.name + "', expected one of " +
                           join(names, ", "));
}

const json::Value *KerasObject::find(StringRef key) {
  read.insert(key);
  const json::Value *value = config.get(key);
  return value && !value->getAsNull() ? value : nullptr;
}

Expected<double> KerasObject::getNumber(StringRef key, double otherwise) {
  const json::Value *value = find(key);
  if (!value)
    return otherwise;
  if (std::optional<double> number = value->getAsNumber())
    return *number;
  return createStringError("is " + name + " with " + key + " " +
                           jsonText(*value) + ", expected a number");
}

Expected<std::string> KerasObject::getString(StringRef key,
                                             StringRef otherwise) {
  const json::Value *value = find(key);
  if (!value)
    return otherwise.str();
  if (std::optional<StringRef> text = value->getAsString())
    return text->str();
  return createStringError("is " + name + " with " + key + " " +
                           jsonText(*value) + ", expected a name");
}

Expected<SmallVector<int64_t>>
KerasObject::getIntegers(StringRef key, ArrayRef<int64_t> otherwise) {
  const json::Value *value = find(key);
  if (!value)
    return SmallVector<int64_t>(otherwise);
  if (std::optional<int64_t> number = value->getAsInteger())
    return SmallVector<int64_t>{*number};
  SmallVector<int64_t> result;
  if (const json::Array *list = value->getAsArray()) {
    for (const json::Value &element : *list)
      if (std::optional<int64_t> number = element.getAsInteger())
        result.push_back(*number);
    if (result.size() == list->size())
      return result;
  }
  return createStringError("is " + name + " with " + key + " " +
                           jsonText(*value) +
                           ", expected an integer or a list of integers");
}

Expected<std::optional<uint64_t>> KerasObject::getSeed() {
  const json::Value *value = find("seed");
  if (!value)
    return std::nullopt;
  const json::Value *seed = value;
  if (const json::Object *object = value->getAsObject())
    if (const json::Object *inner = object->getObject("config"))
      seed = inner->get("seed");
  if (!seed || seed->getAsNull())
    return std::nullopt;
  if (std::optional<int64_t> number = seed->getAsInteger())
    return uint64_t(*number);
  if (std::optional<uint64_t> number = seed->getAsUINT64())
    return *number;
  return createStringError("is " + name + " with seed " + jsonText(*value) +
                           ", expected an integer or null");
}

Error KerasObject::checkAllRead() const {
  for (const auto &entry : config)
    if (!read.contains(entry.first))
      return createStringError("is " + name + " with the argument '" +
                               StringRef(entry.first) +
                               "', which it does not have");
  return Error::success();
}
