//===- JsonTensors.cpp - tensors as nested lists in JSON ------------------===//

#include "compiler/import/ImportError.h"
#include "compiler/import/torch/StateDict.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>

using namespace gru;
using namespace gru::torch;
using namespace llvm;

/// Appends the numbers below `value`, whose shape from dimension `depth` on is
/// `shape`; false where it is not.
static bool append(const json::Value &value, ArrayRef<int64_t> shape,
                   std::vector<char> &data) {
  if (shape.empty()) {
    std::optional<double> number = value.getAsNumber();
    if (!number)
      return false;
    float single = static_cast<float>(*number);
    const char *bytes = reinterpret_cast<const char *>(&single);
    data.insert(data.end(), bytes, bytes + sizeof(single));
    return true;
  }
  const json::Array *list = value.getAsArray();
  return list && int64_t(list->size()) == shape.front() &&
         all_of(*list, [&](const json::Value &element) {
           return append(element, shape.drop_front(), data);
         });
}

Expected<StateTensor> gru::torch::readJsonTensor(StringRef name,
                                                 const json::Value &value) {
  StateTensor tensor;
  tensor.name = name.str();
  tensor.dtype = WeightType::f32;
  tensor.dtypeName = "number";
  const json::Value *inner = &value;
  while (const json::Array *list = inner->getAsArray()) {
    tensor.shape.push_back(list->size());
    if (list->empty())
      break;
    inner = &list->front();
  }
  if (!append(value, tensor.shape, tensor.data))
    return importError("tensor '" + printable(name) + "'",
                       "found something else than lists of numbers of equal "
                       "lengths");
  return tensor;
}

/// fc2 stands before fc10.
static bool naturalLess(const StateTensor &a, const StateTensor &b) {
  return StringRef(a.name).compare_numeric(b.name) < 0;
}

Expected<StateDict> gru::torch::readJsonTensors(StringRef file,
                                                const json::Object &object) {
  StateDict dict{file.str(), {}, /*hasModuleOrder=*/false};
  for (const auto &[key, value] : object) {
    Expected<StateTensor> tensor = readJsonTensor(key, value);
    if (!tensor)
      return importError(file, toString(tensor.takeError()));
    dict.tensors.push_back(std::move(*tensor));
  }
  // An object of JSON has no order.
  llvm::sort(dict.tensors, naturalLess);
  return dict;
}
