//===- KerasImporter.cpp - Keras files to MLIR ----------------------------===//
//
// Opens the forms of a Keras model and holds what was read; KerasGraph.cpp
// makes operations of it.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/keras/KerasImporter.h"

#include "compiler/import/ImportError.h"
#include "compiler/import/archive/Json.h"
#include "compiler/import/archive/ZipArchive.h"
#include "compiler/import/keras/KerasConfig.h"
#include "compiler/import/keras/KerasGraph.h"
#include "compiler/import/keras/KerasLayerModel.h"
#include "compiler/import/keras/KerasWeights.h"
#include "dialect/GRUDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>
using namespace gru;
using namespace gru::keras;
using namespace llvm;

//===----------------------------------------------------------------------===//
// The source
//===----------------------------------------------------------------------===//

namespace {
class KerasSource final : public ModelSource {
public:
  KerasSource(StringRef file, Model model, const json::Object &config)
      : file(file), model(std::move(model)) {
    raw_string_ostream os(structure);
    os << "keras " << this->model.version << '\n';
    writeStructure(os, json::Object(config));
  }

  Error load(Weights &store) {
    ImportOptions options;
    ShapeRules rules = getShapeRules(model, options);
    timeMajor = rules.timeMajor;
    fixedTime = rules.fixedTime;
    initialWeights = store.isInitial();
    Expected<GraphContents> contents = checkGraph(file, model, store);
    if (!contents)
      return contents.takeError();
    model.fixedTime = contents->fixedTime;
    fixedTime |= contents->fixedTime;
    weights = std::move(contents->weights);
    weightRules = std::move(contents->weightRules);
    activities = std::move(contents->activities);
    lossTerms = std::move(contents->lossTerms);
    layers = std::move(contents->layers);
    layerWithoutBatch = std::move(contents->layerWithoutBatch);
    inputs = std::move(contents->inputs);
    outputs = std::move(contents->outputs);
    return Error::success();
  }

  Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  import(mlir::MLIRContext &context,
         const ImportOptions &options) const override;

  void hashStructure(raw_ostream &os) const override {
    os << structure << '\n';
    for (const WeightTensor &weight : weights)
      os << weight.name << ' ' << shapeText(weight.shape) << ' '
         << getWeightTypeName(weight.dtype) << '\n';
    // They become outputs on request.
    for (const ActivitySpec &activity : activities)
      os << activity.name << '\n';
  }

private:
  static void writeStructure(raw_ostream &os, const json::Value &value);

  std::string file;
  Model model;
  std::string structure;
};
} // namespace

/// Writes a config without what only training or Keras itself reads, so that a
/// model saved again after more training finds its kernels.
void KerasSource::writeStructure(raw_ostream &os, const json::Value &value) {
  if (const json::Array *array = value.getAsArray()) {
    os << '[';
    for (const json::Value &element : *array) {
      writeStructure(os, element);
      os << ',';
    }
    os << ']';
    return;
  }
  const json::Object *object = value.getAsObject();
  if (!object) {
    os << value;
    return;
  }
  auto isLeftOut = [](StringRef key) {
    return key.ends_with("_initializer") || key.ends_with("_regularizer") ||
           key.ends_with("_constraint") || key == "shared_object_id" ||
           key == "build_config" || key == "compile_config";
  };
  SmallVector<StringRef> keys;
  for (const auto &entry : *object)
    if (!isLeftOut(entry.first))
      keys.push_back(entry.first);
  llvm::sort(keys);
  os << '{';
  for (StringRef key : keys) {
    os << json::Value(key) << ':';
    writeStructure(os, *object->get(key));
    os << ',';
  }
  os << '}';
}

Expected<mlir::OwningOpRef<mlir::ModuleOp>>
KerasSource::import(mlir::MLIRContext &context,
                    const ImportOptions &options) const {
  constexpr int64_t largest = std::numeric_limits<int32_t>::max();
  for (auto [name, size] :
       {std::pair<StringRef, int64_t>{"batch", options.batch},
        {"timesteps", options.timesteps}})
    if (size < 0 || size > largest)
      return importError(file, name + " is " + Twine(size) +
                                   ", expected a positive number, or 0 for a "
                                   "dynamic size");
  context.loadDialect<GRUDialect, mlir::func::FuncDialect,
                      mlir::arith::ArithDialect, mlir::linalg::LinalgDialect,
                      mlir::math::MathDialect, mlir::tensor::TensorDialect>();
  auto location = mlir::FileLineColLoc::get(&context, file, 0, 0);
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(location);
  auto builder = mlir::OpBuilder::atBlockEnd(module->getBody());
  auto function = mlir::func::FuncOp::create(builder, location, "main",
                                             builder.getFunctionType({}, {}));
  if (Error error = emitGraph(file, model, options, function))
    return error;
  // The importer has checked every shape, but a handler may be listening and
  // a module that does not verify must not leave here.
  std::string message;
  mlir::ScopedDiagnosticHandler handler(&context,
                                        [&](mlir::Diagnostic &diagnostic) {
                                          if (message.empty())
                                            message = diagnostic.str();
                                          return mlir::success();
                                        });
  if (failed(mlir::verify(*module)))
    return importError(file, message);
  return module;
}

ExpectedSource gru::keras::finishSource(StringRef file, Model model,
                                        const json::Object &config,
                                        Weights &store) {
  auto source = std::make_unique<KerasSource>(file, model, config);
  if (Error error = source->load(store))
    return error;
  return source;
}

Expected<std::string> gru::keras::readFile(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return importError(path,
                       "cannot read the file: " + buffer.getError().message());
  return (*buffer)->getBuffer().str();
}

static ExpectedSource finishWithHdf5(StringRef file, Model model,
                                     const json::Object &config,
                                     const Hdf5File &weights) {
  Expected<std::unique_ptr<Weights>> store = openWeights(weights, model);
  if (!store)
    return store.takeError();
  return finishSource(file, std::move(model), config, **store);
}

static ExpectedSource finishWithWeightsFile(StringRef file, Model model,
                                            const json::Object &config,
                                            StringRef weightsPath) {
  Expected<std::string> bytes = readFile(weightsPath);
  if (!bytes)
    return bytes.takeError();
  Expected<Hdf5File> weights = Hdf5File::open(weightsPath, *bytes);
  if (!weights)
    return weights.takeError();
  return finishWithHdf5(file, std::move(model), config, *weights);
}

static ExpectedSource finishWithInitialWeights(StringRef file, Model model,
                                               const json::Object &config) {
  std::unique_ptr<Weights> store = makeInitialWeights(file);
  return finishSource(file, std::move(model), config, *store);
}

/// Keras's major version out of "2.2.4-tf" or "3.15.1".
static Expected<unsigned> parseVersion(StringRef where, StringRef text) {
  StringRef major = text.split('.').first;
  if (major == "2")
    return 2;
  if (major == "3")
    return 3;
  return importError(where, "keras_version is '" + printable(text) +
                                "', expected 2.x or 3.x" +
                                (major == "1" ? "; load the model with Keras "
                                                "2.0 to 2.2 and save it again"
                                              : ""));
}

//===----------------------------------------------------------------------===//
// Ways in
//===----------------------------------------------------------------------===//

ExpectedSource gru::keras::openArchive(StringRef path, StringRef bytes,
                                       StringRef weightsPath) {
  constexpr uint64_t largestText = uint64_t(256) << 20;
  constexpr uint64_t largestWeights = uint64_t(4) << 30;
  Expected<ZipArchive> archive = ZipArchive::open(path, bytes);
  if (!archive)
    return archive.takeError();
  if (!archive->contains("config.json"))
    return importError(path, "found a zip archive without config.json, "
                             "expected a Keras model");
  auto readObject = [&](StringRef entry) -> Expected<json::Object> {
    Expected<std::vector<char>> text = archive->read(entry, largestText);
    if (!text)
      return text.takeError();
    return parseJsonObject((path + ": " + entry).str(),
                           StringRef(text->data(), text->size()));
  };
  Expected<json::Object> metadata = readObject("metadata.json");
  if (!metadata)
    return metadata.takeError();
  Expected<unsigned> version =
      parseVersion((path + ": metadata.json").str(),
                   metadata->getString("keras_version").value_or(""));
  if (!version)
    return version.takeError();
  Expected<json::Object> config = readObject("config.json");
  if (!config)
    return config.takeError();
  Expected<Model> model = parseModel(path, *config, *version);
  if (!model)
    return model.takeError();
  if (!weightsPath.empty())
    return finishWithWeightsFile(path, std::move(*model), *config, weightsPath);
  Expected<std::vector<char>> image =
      archive->read("model.weights.h5", largestWeights);
  if (!image)
    return image.takeError();
  Expected<Hdf5File> weights =
      Hdf5File::open((path + ": model.weights.h5").str(),
                     StringRef(image->data(), image->size()));
  if (!weights)
    return weights.takeError();
  return finishWithHdf5(path, std::move(*model), *config, *weights);
}

ExpectedSource gru::keras::openHdf5(StringRef path, StringRef bytes,
                                    StringRef weightsPath) {
  Expected<Hdf5File> file = Hdf5File::open(path, bytes);
  if (!file)
    return file.takeError();
  auto text = file->readString("", "model_config");
  if (!text)
    return text.takeError();
  if (!*text)
    return importError(path, "attribute 'model_config' is missing, expected a "
                             "whole Keras model; for a file of weights only, "
                             "give the model's JSON config and this file as "
                             "its weights");
  auto versionText = file->readString("", "keras_version");
  if (!versionText)
    return versionText.takeError();
  unsigned version = 2;
  if (*versionText) {
    Expected<unsigned> parsed = parseVersion(path, **versionText);
    if (!parsed)
      return parsed.takeError();
    version = *parsed;
  }
  Expected<json::Object> config =
      parseJsonObject((path + ": model_config").str(), **text);
  if (!config)
    return config.takeError();
  Expected<Model> model = parseModel(path, *config, version);
  if (!model)
    return model.takeError();
  if (!weightsPath.empty())
    return finishWithWeightsFile(path, std::move(*model), *config, weightsPath);
  return finishWithHdf5(path, std::move(*model), *config, *file);
}

ExpectedSource gru::keras::openJson(StringRef path, const json::Object &config,
                                    StringRef weightsPath,
                                    ArrayRef<std::string> callArguments) {
  if (isLayerConfig(config))
    return openLayer(path, config, weightsPath, callArguments);
  Expected<Model> model = parseModel(path, config, 0);
  if (!model)
    return model.takeError();
  if (weightsPath.empty())
    return finishWithInitialWeights(path, std::move(*model), config);
  return finishWithWeightsFile(path, std::move(*model), config, weightsPath);
}
