//===- ModelSource.cpp - recognises the format of a model -----------------===//

#include "compiler/import/ModelSource.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"
#include "compiler/import/keras/KerasImporter.h"
#include "compiler/import/mlir/MlirSource.h"
#include "compiler/import/onnx/OnnxImporter.h"
#include "compiler/import/rtneural/RTNeuralImporter.h"
#include "compiler/import/torch/TorchConfig.h"
#include "compiler/import/torch/TorchImporter.h"
#include "runtime/Half.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cstring>

using namespace gru;
using namespace llvm;

ModelSource::~ModelSource() = default;

unsigned gru::getWeightTypeSize(WeightType type) {
  switch (type) {
  case WeightType::f32:
    return 4;
  case WeightType::f64:
    return 8;
  case WeightType::f16:
  case WeightType::bf16:
    return 2;
  }
  llvm_unreachable("unknown weight type");
}

StringRef gru::getWeightTypeName(WeightType type) {
  switch (type) {
  case WeightType::f32:
    return "float32";
  case WeightType::f64:
    return "float64";
  case WeightType::f16:
    return "float16";
  case WeightType::bf16:
    return "bfloat16";
  }
  llvm_unreachable("unknown weight type");
}

template <typename T>
static void readAs(const void *data, std::vector<double> &values) {
  for (size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, static_cast<const char *>(data) + i * sizeof(value),
                sizeof(value));
    values[i] = value;
  }
}

std::vector<double> gru::readValues(const void *data, WeightType type,
                                    size_t count) {
  std::vector<double> values(count);
  if (type == WeightType::f32)
    readAs<float>(data, values);
  else if (type == WeightType::f64)
    readAs<double>(data, values);
  else {
    readAs<uint16_t>(data, values);
    for (double &value : values)
      value = type == WeightType::f16
                  ? runtime::Half::decode(uint16_t(value))
                  : runtime::BFloat::decode(uint16_t(value));
  }
  return values;
}

void gru::writeValues(ArrayRef<double> values, WeightType type, void *data) {
  char *to = static_cast<char *>(data);
  auto put = [&](auto value) {
    std::memcpy(to, &value, sizeof(value));
    to += sizeof(value);
  };
  for (double value : values) {
    if (type == WeightType::f32)
      put(float(value));
    else if (type == WeightType::f64)
      put(value);
    else
      put(type == WeightType::f16 ? runtime::Half::encode(value)
                                  : runtime::BFloat::encode(value));
  }
}

/// An HDF5 file may start with a block of somebody else's; its signature then
/// stands at 512, 1024, 2048, ...
static bool isHdf5(StringRef bytes) {
  StringRef signature("\x89HDF\r\n\x1a\n", 8);
  if (bytes.starts_with(signature))
    return true;
  for (uint64_t offset = 512; offset < bytes.size(); offset *= 2)
    if (bytes.substr(offset).starts_with(signature))
      return true;
  return false;
}

/// What to tell about formats that are known but not read; empty otherwise.
static StringRef describeForeign(StringRef path, StringRef bytes) {
  StringRef name = sys::path::filename(path);
  StringRef extension = sys::path::extension(path);
  if (extension == ".pt" || extension == ".pth" ||
      bytes.starts_with(StringRef("\x80\x02", 2)))
    return "found a pickle of PyTorch before 1.6, expected a zip archive: load "
           "it and save its state_dict() again";
  if (name == "checkpoint" || extension == ".index" || extension == ".ckpt" ||
      name.contains(".data-0"))
    return "found a TensorFlow checkpoint, which holds no graph, expected a "
           "Keras model: load it into the model in Python and save that as "
           ".keras";
  if (extension == ".pb")
    return "found a TensorFlow graph, expected a Keras model: load it with "
           "tf.keras.models.load_model and save it as .keras";
  if (extension == ".tflite")
    return "found a TensorFlow Lite model, expected the Keras model that it "
           "was "
           "made from (.keras or .h5)";
  return "";
}

/// A sequence of feature vectors, or of tokens or mask bits.
static bool isSequence(const TensorSpec &input) {
  constexpr uint32_t firstInteger = 5;
  return input.shape.size() == (input.dtype < firstInteger ? 3 : 2);
}

int64_t ModelSource::getBatchDim(const TensorSpec &input) const {
  if (input.batchDim)
    return *input.batchDim;
  return timeMajor && isSequence(input) ? 1 : 0;
}

int64_t ModelSource::getTimeDim(const TensorSpec &input) const {
  if (input.timeDim)
    return *input.timeDim;
  return isSequence(input) ? 1 - getBatchDim(input) : -1;
}

int64_t ModelSource::getDefaultBatch() const {
  for (const TensorSpec &input : inputs)
    if (int64_t dim = getBatchDim(input);
        dim >= 0 && dim < int64_t(input.shape.size()) && input.shape[dim] > 0)
      return input.shape[dim];
  return 1;
}

/// `kind` holds its weights, so that others would be ignored.
static Error refuseWeights(StringRef path, StringRef weightsPath,
                           StringRef kind) {
  if (weightsPath.empty())
    return Error::success();
  return importError(path, kind +
                               " holds its weights, but others were given: "
                               "'" +
                               weightsPath + "'");
}

/// The formats that are JSON tell themselves apart by their keys.
static Expected<std::unique_ptr<ModelSource>>
openJson(StringRef path, StringRef text, StringRef weightsPath,
         ArrayRef<std::string> callArguments) {
  Expected<json::Object> root = parseJsonObject(path, text);
  if (!root)
    return root.takeError();
  bool isRTNeural = rtneural::isModel(*root);
  if (isRTNeural || torch::isJsonModel(*root)) {
    if (Error error = refuseWeights(path, weightsPath,
                                    isRTNeural ? "a model of RTNeural"
                                               : "a model of PyTorch as JSON"))
      return error;
    if (isRTNeural)
      return rtneural::openModel(path, *root);
    return torch::openJsonModel(path, *root, callArguments);
  }
  if (torch::isModuleConfig(*root))
    return torch::openConfig(path, *root, weightsPath, callArguments);
  return keras::openJson(path, *root, weightsPath, callArguments);
}

Expected<std::unique_ptr<ModelSource>>
gru::openModel(StringRef path, StringRef weightsPath,
               ArrayRef<std::string> callArguments) {
  if (sys::fs::is_directory(path)) {
    SmallString<128> inside(path);
    sys::path::append(inside, "saved_model.pb");
    if (sys::fs::exists(inside))
      return importError(path,
                         "found a TensorFlow SavedModel, expected a Keras "
                         "model: load it with tf.keras.models.load_model "
                         "and save it as .keras");
    return importError(path,
                       "found a directory, expected a Keras model (.keras "
                       "or .h5)");
  }
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return importError(path,
                       "cannot read the file: " + buffer.getError().message());
  StringRef bytes = (*buffer)->getBuffer();
  if (bytes.empty())
    return importError(path, "the file is empty");
  auto openStateDict = [&]() -> Expected<std::unique_ptr<ModelSource>> {
    if (Error error = refuseWeights(path, weightsPath, "a state dict"))
      return error;
    return torch::openWeights(path, bytes, callArguments);
  };
  if (torch::isCheckpoint(bytes))
    return openStateDict();
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06"))
    return keras::openArchive(path, bytes, weightsPath);
  if (isHdf5(bytes))
    return keras::openHdf5(path, bytes, weightsPath);
  StringRef text = bytes;
  text.consume_front("\xEF\xBB\xBF");
  if (text.ltrim().starts_with("{"))
    return openJson(path, bytes, weightsPath, callArguments);
  if (sys::path::extension(path) == ".safetensors" ||
      torch::isSafetensors(bytes))
    return openStateDict();
  if (sys::path::extension(path) == ".onnx" || onnx::mayBeOnnx(bytes)) {
    if (Error error = refuseWeights(path, weightsPath, "an ONNX model"))
      return error;
    return onnx::openOnnx(path, bytes);
  }
  if (StringRef foreign = describeForeign(path, bytes); !foreign.empty())
    return importError(path, foreign);
  StringRef extension = sys::path::extension(path);
  if (extension == ".mlir") {
    if (!weightsPath.empty())
      return importError(path, "the weights of MLIR are drawn, but a file of "
                               "them was given: '" +
                                   weightsPath + "'");
    return openMlir(path, bytes);
  }
  if (extension == ".keras")
    return importError(path, "found no zip archive, expected a Keras model");
  if (extension == ".h5" || extension == ".hdf5")
    return importError(path, "found no HDF5 file, expected a Keras model");
  return importError(path, "found an unknown format, expected a Keras model "
                           "(.keras, .h5, or a JSON config with its weights), "
                           "an ONNX model, a state dict of PyTorch "
                           "(.safetensors, .pt), a model of RTNeural (.json), "
                           "or .mlir");
}
