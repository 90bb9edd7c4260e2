//===- KerasWalk.h - one walk over a model's layers -------------*- C++ -*-===//
//
// What KerasGraph.h promises, and for the files that implement it only:
//
//   KerasGraph.cpp      the walk: in which order layers are called, the results
//   KerasInputs.cpp     the model's inputs
//   KerasArguments.cpp  what a layer is called on
//   KerasCall.cpp       what a layer asks for while it is imported
//   KerasMasks.cpp      the random numbers that it draws in training
//   KerasLosses.cpp     activities, and the order of losses
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASWALK_H
#define GRU_COMPILER_IMPORT_KERAS_KERASWALK_H

#include "compiler/import/keras/KerasGraph.h"
#include "compiler/import/keras/KerasLayers.h"

#include "llvm/ADT/StringMap.h"

#include <map>

namespace gru::keras {

/// The number of a `gru_dtype`.
uint32_t getDType(ElementType type);

/// a/b, or one of them where the other is empty.
std::string joinPath(llvm::StringRef a, llvm::StringRef b);

/// Calls `visit` on every tensor in a node's arguments; stops where it is
/// false.
bool allTensors(const Node &node,
                llvm::function_ref<bool(const TensorRef &)> visit);

class Walk;

/// One call of one layer during a walk, or of a layer inside it.
class CallContext final : public LayerContext {
public:
  CallContext(Walk &walk, const Layer &layer)
      : CallContext(walk, layer, layer, "", "") {}
  CallContext(Walk &walk, const Layer &owner, const Layer &layer,
              std::string folder, std::string part);

  llvm::Expected<Tensor> getWeight(llvm::StringRef role, llvm::StringRef folder,
                                   unsigned index, WeightType type,
                                   llvm::ArrayRef<int64_t> shape,
                                   llvm::StringRef meaning, Transform transform,
                                   llvm::ArrayRef<int64_t> fileShape) override;
  void ignoreWeight(llvm::StringRef role, unsigned index) override;
  Tensor getState(llvm::StringRef part, llvm::ArrayRef<int64_t> shape,
                  ElementType type) override;
  std::string getStateName(llvm::StringRef part) const override;
  void setState(llvm::StringRef part, const Tensor &state) override;
  void describe(llvm::StringRef part, llvm::StringRef attribute,
                llvm::json::Value value) override;
  void describeStates(llvm::StringRef part, llvm::ArrayRef<int64_t> sizes,
                      ElementType type) override;
  llvm::Error addActivities(llvm::ArrayRef<Tensor> outputs) override;
  llvm::Expected<Tensor> getDropoutMask(const MaskRequest &request) override;
  void tellTimeIsFixed() override;
  std::unique_ptr<LayerContext> makeInner(const Layer &inner,
                                          llvm::StringRef folder,
                                          llvm::StringRef part) override;

private:
  llvm::Expected<WeightRules> readRules(llvm::StringRef role) const;
  LayerSpec &getLayerSpec(llvm::StringRef innerPart);
  Tensor drawMask(const MaskRequest &request, int64_t stream);

  Walk &walk;
  /// The layer of the model that holds weights and states.
  const Layer &owner;
  /// In front of folders, and of roles and names of states.
  std::string folder, part;
};

/// Visits the calls of a model's layers in an order in which every input is
/// there before it is used.
class Walk {
public:
  /// Checks the model and takes its weights out of `store`.
  Walk(llvm::StringRef file, const Model &model, Weights &store,
       const ImportOptions &options)
      : file(file), model(model), options(options), store(&store) {}

  /// Creates the body of `function`.
  Walk(llvm::StringRef file, const Model &model, const ImportOptions &options,
       mlir::func::FuncOp function)
      : file(file), model(model), options(options), function(function),
        builder(mlir::OpBuilder::atBlockBegin(function.addEntryBlock())) {}

  llvm::Error run();

  /// What a check has found.
  GraphContents contents;

private:
  friend class CallContext;
  using Key = std::pair<std::string, int64_t>;

  /// A state of a stateful layer, with the value it has at this point.
  struct State {
    std::string name;
    Tensor value;
  };

  llvm::Error addInputs();
  llvm::Expected<bool> tryCall(const Layer &layer, int64_t index);
  llvm::Error call(const Layer &layer, const Node &node, int64_t index);
  llvm::Expected<Tensors> resolve(const Layer &layer, const Argument &argument);
  llvm::Error readArguments(LayerContext &context, const Node &node,
                            const LayerClass &layerClass);
  llvm::Error finish();
  void orderLosses();

  mlir::Type getType(const Tensor &tensor) const;
  /// Appends an argument to one of the three groups of the function's
  /// arguments: inputs, states, weights.
  mlir::Value addArgument(const Tensor &tensor, unsigned &group,
                          unsigned before, mlir::Attribute location,
                          mlir::ArrayRef<mlir::NamedAttribute> attributes);
  mlir::Value getDropoutKey();
  bool isEmitting() const { return builder.has_value(); }

  llvm::StringRef file;
  const Model &model;
  const ImportOptions &options;
  Weights *store = nullptr;

  mlir::func::FuncOp function;
  std::optional<mlir::OpBuilder> builder;
  unsigned numInputs = 0, numStates = 0, numWeights = 0;
  llvm::SmallVector<mlir::DictionaryAttr> argumentAttributes;

  std::map<Key, Tensors> results;
  llvm::StringMap<const Layer *> layers;
  /// The model's recurrent layer, if there is just one.
  const Layer *onlyRecurrent = nullptr;
  llvm::StringMap<Tensor> weightTensors;
  std::vector<State> states;
  std::vector<State> activities;
  /// What the weights and activities of `contents` belong to: the number of a
  /// layer and the part of it. And whether the weights are trained.
  llvm::SmallVector<std::pair<size_t, std::string>> weightOwners,
      activityOwners;
  llvm::SmallVector<bool> isTrained;
  /// The names of all masks that layers ask for in training, and those of them
  /// that are given.
  std::vector<std::string> maskNames;
  llvm::StringMap<Tensor> givenMasks;
  int64_t numMasks = 0;
  /// The state that masks are drawn from, last among the states; null if none
  /// is drawn.
  mlir::Value dropoutKey;
  bool advancesKey = false;
};

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASWALK_H
