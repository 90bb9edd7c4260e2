//===- MlirSource.cpp - models written as MLIR ----------------------------===//

#include "compiler/import/mlir/MlirSource.h"

#include "compiler/import/DType.h"
#include "compiler/import/ImportError.h"
#include "dialect/GRUDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"

#include <cmath>
#include <cstring>
#include <random>

using namespace gru;
using namespace llvm;

namespace {
class MlirSource final : public ModelSource {
public:
  MlirSource(StringRef path, StringRef text, std::vector<WeightTensor> given)
      : path(path), text(text), given(std::move(given)) {}

  Error load();

  Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  import(mlir::MLIRContext &context, const ImportOptions &) const override {
    // Shapes are specialised by the pipeline (gru-specialize).
    std::string problem;
    mlir::ScopedDiagnosticHandler handler(&context,
                                          [&](mlir::Diagnostic &diagnostic) {
                                            if (problem.empty())
                                              problem = diagnostic.str();
                                          });
    mlir::OwningOpRef<mlir::ModuleOp> module =
        mlir::parseSourceString<mlir::ModuleOp>(
            text, mlir::ParserConfig(&context), path);
    if (!module)
      return importError(path, problem.empty() ? "cannot be parsed" : problem);
    return module;
  }

  void hashStructure(raw_ostream &os) const override { os << "mlir\n" << text; }

private:
  Expected<TensorSpec> describe(mlir::Type type, StringRef name);
  Error addWeight(mlir::Type type, StringRef name, bool sparse);

  std::string path, text;
  std::vector<WeightTensor> given;
};
} // namespace

Expected<TensorSpec> MlirSource::describe(mlir::Type type, StringRef name) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  uint32_t dtype = tensor ? getDType(tensor.getElementType()) : 0;
  if (dtype == 0)
    return importError(path, "'" + name +
                                 "' is not a ranked tensor of a type that "
                                 "programs can have");
  TensorSpec spec{name.str(), dtype, {}};
  for (int64_t size : tensor.getShape())
    spec.shape.push_back(mlir::ShapedType::isDynamic(size) ? -1 : size);
  return spec;
}

Error MlirSource::addWeight(mlir::Type type, StringRef name, bool sparse) {
  auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape() || !tensor.getElementType().isF32())
    return importError(path, "weight '" + name +
                                 "' is not a tensor of f32 with a fixed shape");
  auto found =
      find_if(given, [&](const WeightTensor &w) { return w.name == name; });
  if (found != given.end()) {
    // Its shape is checked when the program is opened.
    weights.push_back(std::move(*found));
    return Error::success();
  }
  WeightTensor weight;
  weight.name = name.str();
  weight.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
  int64_t rows = tensor.getRank() > 1 ? tensor.getDimSize(0) : 1;
  // The generator's sequence is part of the C++ standard; a distribution's is
  // not.
  std::minstd_rand generator(weights.size() + 1);
  double scale = 1 / std::sqrt(double(std::max<int64_t>(rows, 4)));
  std::vector<float> values(tensor.getNumElements());
  for (float &value : values)
    value = float((2.0 * generator() / generator.max() - 1) * scale);
  constexpr size_t kRun = 16;
  if (sparse)
    for (size_t i = 0; i < values.size(); i += kRun)
      if (generator() % 4 != 0)
        std::fill_n(&values[i], std::min(kRun, values.size() - i), 0.0f);
  weight.data.resize(values.size() * sizeof(float));
  std::memcpy(weight.data.data(), values.data(), weight.data.size());
  weights.push_back(std::move(weight));
  return Error::success();
}

Error MlirSource::load() {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  context.loadDialect<GRUDialect, mlir::arith::ArithDialect,
                      mlir::func::FuncDialect, mlir::linalg::LinalgDialect,
                      mlir::math::MathDialect, mlir::tensor::TensorDialect>();
  Expected<mlir::OwningOpRef<mlir::ModuleOp>> module = import(context, {});
  if (!module)
    return module.takeError();
  auto main = (*module)->lookupSymbol<mlir::func::FuncOp>("main");
  if (!main || main.isDeclaration())
    return importError(path, "has no function @main");
  for (auto [index, type] : enumerate(main.getArgumentTypes())) {
    if (auto name =
            main.getArgAttrOfType<mlir::StringAttr>(index, kWeightAttr)) {
      if (Error error = addWeight(type, name.getValue(),
                                  bool(main.getArgAttr(index, kSparseAttr))))
        return error;
      continue;
    }
    if (main.getArgAttr(index, kStateAttr))
      continue;
    auto name = main.getArgAttrOfType<mlir::StringAttr>(index, kNameAttr);
    if (!name)
      return importError(path, "argument " + Twine(index) +
                                   " of @main has "
                                   "neither gru.name nor gru.weight");
    Expected<TensorSpec> spec = describe(type, name.getValue());
    if (!spec)
      return spec.takeError();
    inputs.push_back(std::move(*spec));
  }
  for (auto [index, type] : enumerate(main.getResultTypes())) {
    if (main.getResultAttr(index, kStateAttr))
      continue;
    auto name = main.getResultAttrOfType<mlir::StringAttr>(index, kNameAttr);
    Expected<TensorSpec> spec =
        describe(type, name ? name.str() : "output_" + std::to_string(index));
    if (!spec)
      return spec.takeError();
    outputs.push_back(std::move(*spec));
  }
  return Error::success();
}

Expected<std::unique_ptr<ModelSource>>
gru::openMlir(StringRef path, StringRef text,
              std::vector<WeightTensor> weights) {
  auto source = std::make_unique<MlirSource>(path, text, std::move(weights));
  if (Error error = source->load())
    return error;
  return source;
}
