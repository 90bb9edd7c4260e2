//===- KerasLayers.h - one import function per Keras layer ------*- C++ -*-===//
//
// To add a layer, write one function in the file of its family under layers/,
// declare it in layers/Layers.h and enter it into the table at the end of
// KerasLayers.cpp. The function runs twice: once when the file is opened, where
// it checks the configuration, loads the weights and works out shapes, and once
// for every import, where it also creates operations. The difference is hidden
// behind LayerContext as far as possible; `isEmitting` tells the rest.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASLAYERS_H
#define GRU_COMPILER_IMPORT_KERAS_KERASLAYERS_H

#include "compiler/Take.h"
#include "compiler/import/ModelSource.h"
#include "compiler/import/keras/KerasActivations.h"
#include "compiler/import/keras/KerasConfig.h"

#include "mlir/IR/Builders.h"

#include <map>
#include <memory>

namespace gru::keras {

/// Element type of a tensor that flows between layers.
enum class ElementType { f32, f64, f16, bf16, i1, i32, i64 };

bool isFloat(ElementType type);

/// A tensor between layers: always its type, when emitting also its value.
struct Tensor {
  llvm::SmallVector<int64_t> shape;
  ElementType type = ElementType::f32;
  mlir::Value value;
  /// Keras's implicit mask, [batch, timesteps] i1; null where there is none.
  std::shared_ptr<const Tensor> mask;
  /// A plain number among the arguments of an operation; it has no shape, and
  /// the type of what it meets.
  std::optional<double> number;
};

using Tensors = llvm::SmallVector<Tensor>;

/// Random numbers that a layer asks for in training: most often a dropout mask.
struct MaskRequest {
  struct Normal {
    double mean, stddev;
  };

  MaskRequest() = default;
  /// A number for each element of `like`, whose first dimension is the batch.
  MaskRequest(llvm::StringRef name, const Tensor &like)
      : name(name.str()), like(like), batchDims{0} {
    llvm::SmallVector<int64_t> &form = forms.emplace_back();
    for (int64_t dim = 0, rank = like.shape.size(); dim < rank; ++dim)
      form.push_back(-1 - dim);
  }

  /// dropout_mask, recurrent_dropout_mask_cell1, noise, ...
  std::string name;
  /// The layer's input, which some of the mask's dimensions are like.
  Tensor like;
  /// The shapes that the mask may have where it is given. A negative dimension
  /// -1 - d is dimension d of `like`. The first is the one that is drawn.
  llvm::SmallVector<llvm::SmallVector<int64_t>> forms;
  /// Which dimension of each form is the batch.
  llvm::SmallVector<int64_t> batchDims;
  double rate = 0;
  /// What a mask holds where it does not drop; 1/(1 - rate) where it is not
  /// said.
  std::optional<double> scale;
  /// Numbers of this distribution instead of a mask.
  std::optional<Normal> normal;
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
  Tensors inputs;
  /// The initial state given to a recurrent layer, at most one per state.
  Tensors initialState;
  /// The masks of the inputs, explicit or implicit; null where there is none.
  /// Shorter than `inputs` where the rest has none.
  llvm::SmallVector<std::shared_ptr<const Tensor>> masks;
  /// The mask that goes on from the first input to the outputs. It may be there
  /// where `masks` is empty: Keras 3 hides the masks of its inputs from a layer
  /// that is called with an initial state.
  std::shared_ptr<const Tensor> passedMask;
  /// Whether a TimeDistributed calls the layer, on all timesteps in one.
  bool isTimeDistributed = false;
  /// Arguments that only the layer itself understands. What it leaves here is
  /// an error.
  std::map<std::string, Tensor> namedTensors;
  std::map<std::string, llvm::json::Value> namedValues;

  /// The mask of the first input, null if there is none.
  std::shared_ptr<const Tensor> getMask() const {
    return masks.empty() ? nullptr : masks.front();
  }
  /// Removes a tensor or a flag from the named arguments.
  std::optional<Tensor> takeTensor(llvm::StringRef name);
  bool takeFlag(llvm::StringRef name);

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

  /// The only input, cast to the type of the layer where it is another float.
  llvm::Expected<Tensor> getInput(WeightType type) const;
  /// All inputs, at least `least`, cast likewise.
  llvm::Expected<Tensors> getInputs(WeightType type, size_t least) const;
  llvm::Expected<Tensor> castInput(const Tensor &input, WeightType type) const;

  //===--- Weights, states, masks -----------------------------------------===//

  /// Where the weights' initialisers, regularisers and constraints stand; the
  /// layer's own config where it is null. A cell has its own.
  const Config *weightConfig = nullptr;

  /// Changes a weight that the file keeps in another form into Keras's.
  using Transform = llvm::function_ref<void(WeightTensor &)>;

  /// A weight of the layer; see WeightRequest for `role`, `folder`, `index`.
  /// `meaning` explains the expected shape in the message for another one. The
  /// file may hold the same elements as `fileShape` instead.
  virtual llvm::Expected<Tensor>
  getWeight(llvm::StringRef role, llvm::StringRef folder, unsigned index,
            WeightType type, llvm::ArrayRef<int64_t> shape,
            llvm::StringRef meaning, Transform transform = nullptr,
            llvm::ArrayRef<int64_t> fileShape = {}) = 0;

  /// Lets a weight of the file be that means nothing for a run.
  virtual void ignoreWeight(llvm::StringRef role, unsigned index) = 0;

  /// The state that a stateful layer starts this call with. `part` tells the
  /// states of one layer apart.
  virtual Tensor getState(llvm::StringRef part, llvm::ArrayRef<int64_t> shape,
                          ElementType type) = 0;
  /// What programs call that state.
  virtual std::string getStateName(llvm::StringRef part) const = 0;
  /// The state that it leaves.
  virtual void setState(llvm::StringRef part, const Tensor &state) = 0;

  /// Tells an attribute of the layer, or of its part `part`, that is not its
  /// config's entry as it stands there.
  virtual void describe(llvm::StringRef part, llvm::StringRef attribute,
                        llvm::json::Value value) = 0;
  /// Tells the units of each state of the layer, or of its part.
  virtual void describeStates(llvm::StringRef part,
                              llvm::ArrayRef<int64_t> sizes,
                              ElementType type) = 0;

  /// Tells that the layer has returned `outputs`, which its activity
  /// regulariser, if it has one, looks at. The walk does this for every layer
  /// of the model; a wrapper does it for the layers that it calls.
  virtual llvm::Error addActivities(llvm::ArrayRef<Tensor> outputs) = 0;
  /// A dropout mask, or what else `request` describes: one that is given, or
  /// one that is drawn for each call. Only in training.
  virtual llvm::Expected<Tensor> getDropoutMask(const MaskRequest &request) = 0;

  /// Tells that the layer's shapes follow only from a known number of
  /// timesteps, where its class does not say so (LayerClass::fixedTime).
  virtual void tellTimeIsFixed() = 0;

  /// A context for a layer inside this one, without arguments. Its weights lie
  /// in `folder` of this layer's; their roles and states have `part` in front.
  virtual std::unique_ptr<LayerContext> makeInner(const Layer &inner,
                                                  llvm::StringRef folder,
                                                  llvm::StringRef part) = 0;

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

using ImportFunction = llvm::Expected<Tensors> (*)(LayerContext &);

/// What becomes of a mask at a layer.
enum class MaskRule {
  drops,          ///< The outputs have none, and the layer does not look at it.
  passes,         ///< The first input's mask is the outputs' too.
  passesInKeras3, ///< Keras 2 drops it.
  uses,           ///< The layer's function looks at it and decides.
};

struct LayerClass {
  llvm::StringLiteral className;
  ImportFunction function;
  MaskRule mask = MaskRule::drops;
  /// The layer has a time loop, hence initial_state, stateful, unroll, ...
  bool recurrent = false;
  /// Shapes behind it follow only from a known number of timesteps.
  bool fixedTime = false;
  /// A GRU layer, a cell, or a wrapper of one.
  bool hasCells() const;
};

/// Nothing for a class that is not supported.
const LayerClass *findLayerClass(llvm::StringRef className);
const LayerClass *findLayerClass(const Layer &layer);
/// The names of all supported classes, for messages.
std::string listLayerClasses();

/// True for a boolean that is present and true in the layer's config, or in
/// that of a layer that it wraps.
bool isFlagSet(const llvm::json::Object &config, llvm::StringRef key);

/// True for a TimeDistributed whose layer treats every timestep alike anyway.
bool isTimeDistributedTrivial(const Layer &layer);

/// An entry that is neither absent nor null, else null.
const llvm::json::Value *findEntry(const llvm::json::Object &config,
                                   llvm::StringRef key);
/// A value as it is shown in messages.
std::string jsonText(const llvm::json::Value &value);

ElementType getElementType(WeightType type);
llvm::StringRef getElementTypeName(ElementType type);
mlir::Type getMLIRType(mlir::MLIRContext *context, ElementType type);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASLAYERS_H
