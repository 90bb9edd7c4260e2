//===- ModelSource.h - a model that can be compiled -------------*- C++ -*-===//
//
// What the compiler knows of a model before it is specialised: its structure,
// checked, and its weights in Keras form. A source holds no MLIR, so that a
// warm start, which finds its kernel in the cache by the hash of the structure,
// creates no MLIR context; `import` makes the module when it is needed.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_MODELSOURCE_H
#define GRU_COMPILER_IMPORT_MODELSOURCE_H

#include "compiler/weights/Constraints.h"
#include "compiler/weights/Initializers.h"
#include "compiler/weights/Regularizers.h"

#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
namespace json {
class Object;
} // namespace json
} // namespace llvm

namespace mlir {
class MLIRContext;
class ModuleOp;
} // namespace mlir

namespace gru {

/// Element type of a weight. The numbers are those of `gru_dtype` in a plan.
enum class WeightType { f32 = 1, f64 = 2, f16 = 3, bf16 = 4 };

/// Bytes of one element.
unsigned getWeightTypeSize(WeightType type);
/// "float32", "float64", ... as Keras writes them.
llvm::StringRef getWeightTypeName(WeightType type);

/// A trained weight in Keras form: gates in the order z, r, h by columns, row
/// major, in the byte order of this machine.
struct WeightTensor {
  /// "layer/kernel": the name in `gru.weight`, unique in a model.
  std::string name;
  std::vector<int64_t> shape;
  WeightType dtype = WeightType::f32;
  std::vector<char> data;
};

/// The values of dense bytes as doubles; exact.
std::vector<double> readValues(const void *data, WeightType type, size_t count);
/// The other way round, with one rounding.
void writeValues(llvm::ArrayRef<double> values, WeightType type, void *data);

/// What a config says about a weight besides its form.
struct WeightRules {
  std::optional<Initializer> initializer;
  std::optional<Regularizer> regularizer;
  std::optional<Constraint> constraint;
  /// The shape that the initialiser sees, where it is not the weight's own.
  std::vector<int64_t> initialShape;
};

/// A layer of a model, or a direction or cell inside one, as its attributes
/// tell it.
struct LayerSpec {
  /// "gru", "bidirectional/forward", "rnn/cell0"
  std::string name;
  /// Attribute to JSON text: the config's entries and what follows from them.
  std::map<std::string, std::string> attributes;
  /// Units and type of each state, for recurrent layers and cells.
  std::vector<int64_t> stateSizes;
  uint32_t stateType = 0;
};

/// Something that an activity regulariser looks at: an output of a layer's
/// call, in an import with `ImportOptions::activities` an output of the model.
struct ActivitySpec {
  /// "layer/activity", "layer/activity_1", ...
  std::string name;
  Regularizer regularizer;
};

/// One summand of the loss: of an activity or of a weight.
struct LossTerm {
  bool isActivity = false;
  size_t index = 0;
};

/// An input or output of a model.
struct TensorSpec {
  std::string name;
  /// The number of a `gru_dtype`.
  uint32_t dtype = 1;
  /// Negative where each program or run decides.
  std::vector<int64_t> shape;
  /// Which dimensions are batch and time, -1: none; where absent, Keras's
  /// layout tells. See ModelSource::getBatchDim.
  std::optional<int64_t> batchDim = {}, timeDim = {};
};

/// A dropout mask that the caller gives instead of having it drawn.
struct MaskSpec {
  std::string name;
  /// Every dimension is known.
  std::vector<int64_t> shape;
};

struct ImportOptions {
  /// Size of the batch; 0: dynamic, unless a stateful layer has it fixed.
  int64_t batch = 0;
  /// Number of timesteps; 0: dynamic, unless an unrolled layer has it fixed.
  int64_t timesteps = 0;
  /// Import for training, where dropout acts.
  bool training = false;
  /// Give what activity regularisers look at as further outputs.
  bool activities = false;
  /// With `training`: these masks are further inputs of the module, behind
  /// those of the model and in the order in which its layers use them.
  std::vector<MaskSpec> masks = {};
};

/// A model file or a description, read and checked. Constant after creation,
/// so that several threads may import from one source, each into a context of
/// its own.
class ModelSource {
public:
  virtual ~ModelSource();

  /// Makes a module with one function `main`: model inputs, states of stateful
  /// layers and weights as arguments, outputs and new states as results. The
  /// weight arguments stand in the order of `getWeights`.
  virtual llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  import(mlir::MLIRContext &context, const ImportOptions &options) const = 0;

  llvm::ArrayRef<WeightTensor> getWeights() const { return weights; }
  llvm::ArrayRef<TensorSpec> getInputs() const { return inputs; }
  llvm::ArrayRef<TensorSpec> getOutputs() const { return outputs; }

  /// In the order of the weights; empty where the format has no such rules.
  llvm::ArrayRef<WeightRules> getWeightRules() const { return weightRules; }
  llvm::ArrayRef<ActivitySpec> getActivities() const { return activities; }
  /// In the order of Keras's `losses`.
  llvm::ArrayRef<LossTerm> getLossTerms() const { return lossTerms; }
  /// In the model's order; parts of a layer follow it. Empty for MLIR.
  llvm::ArrayRef<LayerSpec> getLayers() const { return layers; }
  /// The first stateful layer whose batch the model leaves open, or empty.
  llvm::StringRef getLayerWithoutBatch() const { return layerWithoutBatch; }
  /// True where no weights were given, so that initialisers drew them.
  bool hasInitialWeights() const { return initialWeights; }

  /// The dimensions of an input that are batch and time; -1 where there is
  /// none: time for what is no sequence, batch in an unbatched call of
  /// PyTorch's.
  virtual int64_t getBatchDim(const TensorSpec &input) const;
  virtual int64_t getTimeDim(const TensorSpec &input) const;
  /// The batch to compile for where nobody asks for one: the model's own, else
  /// 1.
  int64_t getDefaultBatch() const;
  /// True where the model can only be compiled for a known number of timesteps:
  /// it has layers behind which shapes follow from nothing else.
  bool needsTimesteps() const { return fixedTime; }

  /// Writes the bytes that decide what code is made: the configuration with
  /// everything that only training reads left out, names, types and shapes of
  /// the weights, but not their values.
  virtual void hashStructure(llvm::raw_ostream &os) const = 0;

protected:
  std::vector<WeightTensor> weights;
  std::vector<TensorSpec> inputs, outputs;
  std::vector<WeightRules> weightRules;
  std::vector<ActivitySpec> activities;
  std::vector<LossTerm> lossTerms;
  std::vector<LayerSpec> layers;
  std::string layerWithoutBatch;
  bool timeMajor = false, fixedTime = false, initialWeights = false;
};

/// Reads a model. The format is recognised by the file's content: a Keras
/// archive (.keras), a Keras HDF5 model (.h5), or a Keras JSON config; a state
/// dict of PyTorch (.safetensors, .pt, JSON) or a config of its modules with
/// `weightsPath`; RTNeural's JSON; an ONNX model (.onnx); or by its extension:
/// MLIR text (.mlir).
/// With `weightsPath` the weights of an archive or HDF5 model are replaced by
/// those of that file. Where a Keras config comes without weights, the
/// layers' initialisers draw them.
///
/// The JSON config of one recurrent layer or cell is a model too; its weights
/// come from an .npz file, by the names kernel, recurrent_kernel, bias
/// (cell0_kernel, ... for several cells). A layer has the input x, and of the
/// call arguments mask and initial_state (initial_state_0, ...) those that
/// `callArguments` names; a cell has x and state (state_0, ...), and the
/// outputs output and new_state (new_state_0, ...).
llvm::Expected<std::unique_ptr<ModelSource>>
openModel(llvm::StringRef path, llvm::StringRef weightsPath = "",
          llvm::ArrayRef<std::string> callArguments = {});

/// A model without a file: one recurrent layer over an input `x` of shape
/// [batch, timesteps, features]. `layerConfig` is a Keras layer config, either
/// of a GRU ({"units": 32, ...}) or with its class ({"class_name": "RNN",
/// "config": {...}}). An argument that is absent has Keras's default; an
/// unknown one is an error. The weights are named kernel, recurrent_kernel and
/// bias. `kerasVersion`, 2 or 3, chooses the meaning of hard_sigmoid.
llvm::Expected<std::unique_ptr<ModelSource>>
buildKerasLayerModel(llvm::json::Object layerConfig,
                     std::vector<WeightTensor> weights, int64_t features,
                     unsigned kerasVersion = 3);

} // namespace gru

#endif // GRU_COMPILER_IMPORT_MODELSOURCE_H
