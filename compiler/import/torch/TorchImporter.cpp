//===- TorchImporter.cpp - files of PyTorch -------------------------------===//

#include "compiler/import/torch/TorchImporter.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"
#include "compiler/import/torch/NetworkBuilder.h"
#include "compiler/import/torch/TorchConfig.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

/// The config beside a file of weights; nothing if there is none.
static Expected<std::optional<Network>> findConfig(StringRef path) {
  SmallString<128> own(path), common(sys::path::parent_path(path));
  sys::path::replace_extension(own, "json");
  sys::path::append(common, "module.json");
  for (StringRef candidate : {own.str(), common.str()}) {
    if (candidate == path || !sys::fs::exists(candidate))
      continue;
    Expected<std::string> text = keras::readFile(candidate);
    if (!text)
      return text.takeError();
    Expected<json::Object> root = parseJsonObject(candidate, *text);
    if (!root)
      return root.takeError();
    // Something else may have the weights' name.
    if (!isModuleConfig(*root))
      continue;
    Expected<Network> network = parseModuleConfig(candidate, *root);
    if (!network)
      return network.takeError();
    return std::move(*network);
  }
  return std::nullopt;
}

ExpectedSource gru::torch::openWeights(StringRef path, StringRef bytes,
                                       ArrayRef<std::string> callArguments) {
  Expected<StateDict> dict = readStateDict(path, bytes);
  if (!dict)
    return dict.takeError();
  Expected<std::optional<Network>> found = findConfig(path);
  if (!found)
    return found.takeError();
  if (*found)
    return NetworkBuilder(path, std::move(**found), std::move(*dict),
                          callArguments)
        .build();
  Expected<Network> network = inferNetwork(*dict);
  if (!network)
    return network.takeError();
  return NetworkBuilder(path, std::move(*network), std::move(*dict),
                        callArguments)
      .build();
}

ExpectedSource gru::torch::openConfig(StringRef path, const json::Object &root,
                                      StringRef weightsPath,
                                      ArrayRef<std::string> callArguments) {
  Expected<Network> network = parseModuleConfig(path, root);
  if (!network)
    return network.takeError();
  if (weightsPath.empty())
    return importError(path, "a module config holds no weights, expected a "
                             "file of weights (.safetensors or .pt) given "
                             "with it, as --weights does");
  Expected<std::string> bytes = keras::readFile(weightsPath);
  if (!bytes)
    return bytes.takeError();
  Expected<StateDict> dict = readStateDict(weightsPath, *bytes);
  if (!dict)
    return dict.takeError();
  return NetworkBuilder(path, std::move(*network), std::move(*dict),
                        callArguments)
      .build();
}

bool gru::torch::isJsonModel(const json::Object &root) {
  if (root.getObject("state_dict"))
    return true;
  return any_of(root, [](const auto &entry) {
    return StringRef(entry.first).contains("weight_ih") &&
           entry.second.getAsArray();
  });
}

ExpectedSource gru::torch::openJsonModel(StringRef path,
                                         const json::Object &root,
                                         ArrayRef<std::string> callArguments) {
  const json::Object *state = root.getObject("state_dict");
  const json::Object *data = root.getObject("model_data");
  std::optional<Network> network;
  if (state && data) {
    Expected<Network> parsed = parseModelData(path, *data);
    if (!parsed)
      return parsed.takeError();
    network = std::move(*parsed);
  }
  Expected<StateDict> dict = readJsonTensors(path, state ? *state : root);
  if (!dict)
    return dict.takeError();
  if (!network) {
    Expected<Network> inferred = inferNetwork(*dict);
    if (!inferred)
      return inferred.takeError();
    network = std::move(*inferred);
  }
  return NetworkBuilder(path, std::move(*network), std::move(*dict),
                        callArguments)
      .build();
}
