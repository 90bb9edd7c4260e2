//===- KerasWeights.h - where Keras keeps a layer's weights -----*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASWEIGHTS_H
#define GRU_COMPILER_IMPORT_KERAS_KERASWEIGHTS_H

#include "compiler/import/ModelSource.h"
#include "compiler/import/archive/Hdf5File.h"
#include "compiler/import/keras/KerasConfig.h"

namespace gru::keras {

/// Which weight of a layer is wanted. The two kinds of weight files look at
/// different parts of it.
struct WeightRequest {
  const Layer &layer;
  /// "kernel": the last part of its name in legacy files.
  llvm::StringRef role;
  /// Folder of the weight below the layer's own, "" or "cell", and its number
  /// there, in .weights.h5 files.
  llvm::StringRef folder;
  unsigned index;
  WeightType type;
  /// The shape, and the initialiser with its name in messages, for weights that
  /// no file holds.
  llvm::ArrayRef<int64_t> shape = {};
  const Initializer *initializer = nullptr;
  llvm::StringRef initializerName = {};
};

/// A store from which every weight is taken once.
class Weights {
public:
  virtual ~Weights();
  /// The message of an error names file, layer and weight.
  virtual llvm::Expected<WeightTensor> take(const WeightRequest &request) = 0;
  /// Lets a weight count as taken that means nothing for a run, if it is there.
  virtual void ignore(const WeightRequest &request) {}
  /// An error that names a weight which nothing has taken.
  virtual llvm::Error checkAllTaken() = 0;
  /// Names the store in messages.
  virtual llvm::StringRef getName() const = 0;
  /// True where the weights are drawn, so that they have Keras's form.
  virtual bool isInitial() const { return false; }
};

/// Opens the weights in an HDF5 file: those of a .weights.h5 file, of a legacy
/// weights file, or of a legacy whole model, whichever it is. The first kind
/// has the weights of a shared layer once, so the layers of `model` are joined.
/// The file must outlive the result.
llvm::Expected<std::unique_ptr<Weights>> openWeights(const Hdf5File &file,
                                                     Model &model);

/// Weights that a host program or another importer has given: of the only layer
/// that has any by their roles (kernel, recurrent_kernel, bias), of several by
/// LAYER/ROLE.
std::unique_ptr<Weights> makeGivenWeights(std::vector<WeightTensor> tensors);

/// Weights as the layers' initialisers draw them. An initialiser without a seed
/// takes one from the weight's name, so that every weight differs and every run
/// gives the same. `file` names the model in messages.
std::unique_ptr<Weights> makeInitialWeights(llvm::StringRef file);

/// The seed of weight `name` for initialisers without one, where the user's
/// seed is `seed`; 0 stands for none.
uint64_t getWeightSeed(llvm::StringRef name, uint64_t seed);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASWEIGHTS_H
