//===- StateDict.cpp - the tensors of a PyTorch module --------------------===//

#include "compiler/import/torch/StateDict.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

using namespace gru;
using namespace gru::torch;
using namespace llvm;

const StateTensor *StateDict::find(StringRef name) const {
  auto found = find_if(
      tensors, [&](const StateTensor &tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

std::optional<uint64_t> gru::torch::countBytes(ArrayRef<int64_t> shape,
                                               uint64_t size, uint64_t limit) {
  // A size of 0 makes the product 0, but not the others small.
  uint64_t bytes = size;
  for (int64_t dim : shape) {
    bool overflow = false;
    if (dim < 0)
      return std::nullopt;
    bytes = SaturatingMultiply(bytes, uint64_t(dim), &overflow);
    if (overflow)
      return std::nullopt;
  }
  if (bytes > limit)
    return std::nullopt;
  return bytes;
}

Expected<StateDict> gru::torch::readStateDict(StringRef file, StringRef bytes) {
  if (isCheckpoint(bytes))
    return readCheckpoint(file, bytes);
  if (isSafetensors(bytes) || sys::path::extension(file) == ".safetensors")
    return readSafetensors(file, bytes);
  if (bytes.ltrim().starts_with("{")) {
    Expected<json::Object> object = parseJsonObject(file, bytes);
    if (!object)
      return object.takeError();
    const json::Object *inner = object->getObject("state_dict");
    return readJsonTensors(file, inner ? *inner : *object);
  }
  return importError(file, "found no weights of PyTorch, expected a state dict "
                           "in safetensors, in a zip archive of torch.save, or "
                           "in JSON");
}
