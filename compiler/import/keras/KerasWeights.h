//===- KerasWeights.h - where Keras keeps a layer's weights -------*- C++ -*-===//

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
};

/// A store from which every weight is taken once.
class Weights {
public:
  virtual ~Weights();
  /// The message of an error names file, layer and weight.
  virtual llvm::Expected<WeightTensor> take(const WeightRequest &request) = 0;
  /// An error that names a weight which nothing has taken.
  virtual llvm::Error checkAllTaken() = 0;
  /// Names the store in messages.
  virtual llvm::StringRef getName() const = 0;
};

/// Opens the weights in an HDF5 file: those of a .weights.h5 file, of a legacy
/// weights file, or of a legacy whole model, whichever it is. The file must
/// outlive the result.
llvm::Expected<std::unique_ptr<Weights>> openWeights(const Hdf5File &file,
                                                     const Model &model);

/// Weights that a host program or another importer has given: of the only layer
/// that has any by their roles (kernel, recurrent_kernel, bias), of several by
/// LAYER/ROLE.
std::unique_ptr<Weights> makeGivenWeights(std::vector<WeightTensor> tensors);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASWEIGHTS_H
