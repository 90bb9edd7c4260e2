//===- KerasLayers.h - one import function per Keras layer --------*- C++
//-*-===//
//
// To add a layer, write one function and enter it into the table at the end of
// KerasLayers.cpp. The function runs twice: once when the file is opened, where
// it checks the configuration, loads the weights and works out shapes, and once
// for every import, where it also creates operations. The difference is hidden
// behind LayerContext as far as possible; `isEmitting` tells the rest.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASLAYERS_H
#define GRU_COMPILER_IMPORT_KERAS_KERASLAYERS_H

#include "compiler/import/ModelSource.h"
#include "compiler/import/keras/KerasActivations.h"
#include "compiler/import/keras/KerasConfig.h"

#include "mlir/IR/Builders.h"

#include <functional>

namespace gru::keras {

/// Element type of a tensor that flows between layers.
enum class ElementType { f32, f64, i1, i32, i64 };

/// A tensor between layers: always its type, when emitting also its value.
struct Tensor {
  llvm::SmallVector<int64_t> shape;
  ElementType type = ElementType::f32;
  mlir::Value value;
};

/// What a layer sees of the model while it is imported.
class LayerContext {
public:
  virtual ~LayerContext();

  const Layer &layer;
  /// 2 or 3.
  const unsigned version;
  const ImportOptions &options;

  /// The tensors that the layer is called on.
  llvm::SmallVector<Tensor> inputs;
  /// The initial state given to a recurrent layer, at most one per state.
  llvm::SmallVector<Tensor> initialState;

  /// An error in the form `FILE: layer 'NAME': message`.
  llvm::Error error(const llvm::Twine &message) const;

  //===--- Configuration --------------------------------------------------===//
  // Each takes the object to read from, because a cell or a wrapped layer has
  // its own. An absent or null entry has the value `otherwise`; without one it
  // is an error.

  using Config = llvm::json::Object;
  llvm::Expected<int64_t>
  getInteger(const Config &config, llvm::StringRef key,
             std::optional<int64_t> otherwise = {}) const;
  llvm::Expected<double> getNumber(const Config &config, llvm::StringRef key,
                                   std::optional<double> otherwise = {}) const;
  llvm::Expected<bool> getBool(const Config &config, llvm::StringRef key,
                               std::optional<bool> otherwise = {}) const;
  /// An absent entry has the value `otherwise`; null is linear.
  llvm::Expected<Activation> getActivation(const Config &config,
                                           llvm::StringRef key,
                                           Activation otherwise) const;
  /// The type that the layer's dtype policy computes in.
  llvm::Expected<WeightType> getComputeType(const Config &config) const;

  /// The only input, its element type that of the layer.
  llvm::Expected<Tensor> getInput(WeightType type) const;

  //===--- Weights and states ---------------------------------------------===//

  /// Changes a weight that the file keeps in another form into Keras's.
  using Transform = llvm::function_ref<void(WeightTensor &)>;

  /// A weight of the layer; see WeightRequest for `role`, `folder`, `index`.
  /// `meaning` explains the expected shape in the message for another one.
  virtual llvm::Expected<Tensor>
  getWeight(llvm::StringRef role, llvm::StringRef folder, unsigned index,
            WeightType type, llvm::ArrayRef<int64_t> shape,
            llvm::StringRef meaning, Transform transform = nullptr) = 0;

  /// The state that a stateful layer starts this call with.
  virtual Tensor getState(llvm::ArrayRef<int64_t> shape, ElementType type) = 0;
  /// The state that it leaves.
  virtual void setState(const Tensor &state) = 0;

  //===--- Operations -----------------------------------------------------===//

  /// Null while the model is only checked.
  mlir::OpBuilder *builder = nullptr;
  bool isEmitting() const { return builder != nullptr; }
  /// The layer's name as a location; only while emitting.
  mlir::Location getLocation() const { return mlir::Location(location); }

protected:
  LayerContext(llvm::StringRef file, const Layer &layer, unsigned version,
               const ImportOptions &options)
      : layer(layer), version(version), options(options), file(file) {}

  llvm::StringRef file;
  mlir::LocationAttr location;
};

using ImportFunction =
    llvm::Expected<llvm::SmallVector<Tensor>> (*)(LayerContext &);

struct LayerClass {
  llvm::StringLiteral className;
  ImportFunction function;
  /// The layer has a time loop, hence initial_state, stateful, unroll, ...
  bool recurrent;
};

/// Nothing for a class that is not supported.
const LayerClass *findLayerClass(llvm::StringRef className);
/// The names of all supported classes, for messages.
std::string listLayerClasses();

/// The layer's argument: a boolean in its config that is present and true.
bool isFlagSet(const Layer &layer, llvm::StringRef key);

ElementType getElementType(WeightType type);
llvm::StringRef getElementTypeName(ElementType type);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASLAYERS_H
