//===- Constraints.h - what is done to weights after a step -----*- C++ -*-===//

#ifndef GRU_COMPILER_WEIGHTS_CONSTRAINTS_H
#define GRU_COMPILER_WEIGHTS_CONSTRAINTS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <string>

namespace gru {

/// One of Keras's constraints.
class Constraint {
public:
  /// From a config's entry, a name or an object. A class from outside Keras is
  /// accepted; only `apply` fails.
  static llvm::Expected<Constraint> parse(const llvm::json::Value &value);

  /// Changes the weight in place. Errors: axes that it does not have.
  llvm::Error apply(llvm::MutableArrayRef<double> values,
                    llvm::ArrayRef<int64_t> shape) const;

private:
  enum class Kind { nonNegative, norm, foreign };

  std::string name;
  Kind kind = Kind::norm;
  /// Norms over `axes` become rate * clip(norm, least, greatest) + (1 - rate)
  /// * norm.
  double least = 0, greatest = 0, rate = 1;
  llvm::SmallVector<int64_t> axes;
};

} // namespace gru

#endif // GRU_COMPILER_WEIGHTS_CONSTRAINTS_H
