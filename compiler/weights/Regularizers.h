//===- Regularizers.h - what a tensor adds to the loss ----------*- C++ -*-===//

#ifndef GRU_COMPILER_WEIGHTS_REGULARIZERS_H
#define GRU_COMPILER_WEIGHTS_REGULARIZERS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <string>

namespace gru {

/// One of Keras's regularisers.
class Regularizer {
public:
  /// From a config's entry, a name or an object. A class from outside Keras is
  /// accepted; only `evaluate` fails. `version`, 2 or 3, is Keras's.
  static llvm::Expected<Regularizer> parse(const llvm::json::Value &value,
                                           unsigned version);

  /// The loss, summed in float64. Errors: a shape that it is not defined for.
  llvm::Expected<double> evaluate(llvm::ArrayRef<double> values,
                                  llvm::ArrayRef<int64_t> shape) const;

private:
  enum class Kind { norms, orthogonalRows, orthogonalColumns, foreign };

  std::string name;
  Kind kind = Kind::norms;
  double l1 = 0, l2 = 0, factor = 0;
};

} // namespace gru

#endif // GRU_COMPILER_WEIGHTS_REGULARIZERS_H
