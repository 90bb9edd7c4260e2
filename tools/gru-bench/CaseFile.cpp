//===- CaseFile.cpp - workloads with weights and expected outputs ---------===//

#include "CaseFile.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>

using namespace gru;
using llvm::createStringError;
using llvm::formatv;

namespace {
/// Takes numbers off the front of a file and remembers when there are too few.
class Reader {
public:
  explicit Reader(llvm::StringRef bytes) : bytes(bytes) {}

  int64_t integer() {
    int32_t value = 0;
    take(&value, sizeof(value));
    return value;
  }

  template <typename T> std::vector<T> values(uint64_t count) {
    std::vector<T> result;
    // Before the allocation: a damaged header may claim anything.
    if (count > bytes.size() / sizeof(T)) {
      complete = false;
      return result;
    }
    result.resize(count);
    take(result.data(), count * sizeof(T));
    return result;
  }

  bool isComplete() const { return complete; }

private:
  void take(void *to, size_t size) {
    if (size > bytes.size()) {
      complete = false;
      return;
    }
    std::memcpy(to, bytes.data(), size);
    bytes = bytes.drop_front(size);
  }

  llvm::StringRef bytes;
  bool complete = true;
};
} // namespace

llvm::Expected<Case> gru::readCase(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError(path + ": " + buffer.getError().message());
  Reader reader((*buffer)->getBuffer());
  if (reader.integer() != 0x47525531)
    return createStringError(path + ": found no case file");
  Case result;
  result.stream = reader.integer() != 0;
  result.batch = reader.integer();
  result.timesteps = reader.integer();
  result.features = reader.integer();
  int64_t numLayers = reader.integer();
  auto inRange = [](int64_t value) { return value >= 1 && value <= 1 << 20; };
  if (!inRange(result.batch) || !inRange(result.timesteps) ||
      !inRange(result.features) || numLayers < 1 || numLayers > 64)
    return createStringError(path + ": found a size out of range");
  for (int64_t i = 0; i < numLayers; ++i) {
    Case::Layer layer{};
    layer.units = reader.integer();
    layer.directions = reader.integer();
    if (!inRange(layer.units) || layer.directions < 1 || layer.directions > 2)
      return createStringError(
          path + ": found a layer of " + std::to_string(layer.units) +
          " units and " + std::to_string(layer.directions) + " directions");
    result.layers.push_back(layer);
  }
  int64_t features = result.features;
  for (size_t i = 0; i < result.layers.size(); ++i) {
    int64_t units = result.layers[i].units;
    for (int64_t d = 0; d < result.layers[i].directions; ++d) {
      std::string name = formatv("l{0}d{1}/", i, d);
      for (auto [role, rows] :
           {std::pair<const char *, int64_t>{"kernel", features},
            {"recurrent_kernel", units},
            {"bias", 2}})
        result.weights.push_back({name + role,
                                  {rows, 3 * units},
                                  WeightType::f32,
                                  reader.values<char>(rows * 3 * units * 4)});
    }
    features = units * result.layers[i].directions;
  }
  uint64_t rows = uint64_t(result.batch) * result.timesteps;
  result.x = reader.values<float>(rows * result.features);
  result.reference = reader.values<float>(rows * result.outputs());
  if (!reader.isComplete())
    return createStringError(path + ": the file ends too early");
  return result;
}

std::string Case::toMlir() const {
  std::string arguments, states, body, newStates, resultTypes;
  std::string value = "%x";
  int64_t width = features, numStates = 0;
  std::string time = stream ? "1" : "?";
  auto sequence = [&](int64_t size) {
    return formatv("tensor<{0}x{1}x{2}xf32>", batch, time, size).str();
  };
  for (size_t i = 0; i < layers.size(); ++i) {
    int64_t units = layers[i].units;
    std::string kernel = formatv("tensor<{0}x{1}xf32>", width, 3 * units);
    std::string recurrent = formatv("tensor<{0}x{1}xf32>", units, 3 * units);
    std::string bias = formatv("tensor<2x{0}xf32>", 3 * units);
    std::string state = formatv("tensor<{0}x{1}xf32>", batch, units);
    std::vector<std::string> parts;
    for (int64_t d = 0; d < layers[i].directions; ++d) {
      std::string id = formatv("{0}_{1}", i, d);
      std::string weight = formatv("l{0}d{1}/", i, d);
      arguments +=
          formatv(", %W{0}: {1} {{gru.weight = \"{2}kernel\"}, "
                  "%U{0}: {3} {{gru.weight = \"{2}recurrent_kernel\"}, "
                  "%b{0}: {4} {{gru.weight = \"{2}bias\"}",
                  id, kernel, weight, recurrent, bias);
      std::string initial;
      if (stream) {
        states += formatv(", %h{0}: {1} {{gru.state = {2} : i64, gru.name = "
                          "\"h{0}\"}",
                          id, state, numStates);
        initial = formatv(" initial_state(%h{0} : {1})", id, state);
        newStates += formatv(", %s{0}#2", id);
        resultTypes +=
            formatv(", {0} {{gru.state = {1} : i64}", state, numStates);
        ++numStates;
      }
      body += formatv(
          "  %s{0}:3 = gru.gru {1} kernel(%W{0}, %U{0}) bias(%b{0} : {2}){3} "
          "{{activation = #gru.act<tanh>, recurrent_activation = "
          "#gru.act<sigmoid>, reset_after{4}} : {5}, {6}, {7} -> {8}, {9}, "
          "{9}\n",
          id, value, bias, initial, d ? ", go_backwards" : "", sequence(width),
          kernel, recurrent, sequence(units), state);
      if (d)
        body +=
            formatv("  %r{0} = gru.reverse %s{0}#0 {{dim = 1 : i64} : {1}\n",
                    id, sequence(units));
      parts.push_back((d ? "%r" + id : "%s" + id + "#0"));
    }
    width = units * layers[i].directions;
    value = parts.front();
    if (parts.size() == 2) {
      body += formatv("  %c{0} = tensor.concat dim(2) {1}, {2} : ({3}, {3}) -> "
                      "{4}\n",
                      i, parts[0], parts[1], sequence(units), sequence(width));
      value = formatv("%c{0}", i);
    }
  }
  std::string types = sequence(width);
  std::string stateTypes;
  for (const Layer &layer : layers)
    for (int64_t d = 0; stream && d < layer.directions; ++d)
      stateTypes += formatv(", tensor<{0}x{1}xf32>", batch, layer.units);
  return formatv("func.func @main(%x: {0} {{gru.name = \"x\"}{1}{2}) -> ({3} "
                 "{{gru.name = \"y\"}{4}) {{\n{5}  return {6}{7} : {3}{8}\n}\n",
                 sequence(features), states, arguments, types, resultTypes,
                 body, value, newStates, stateTypes)
      .str();
}
