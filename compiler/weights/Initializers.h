//===- Initializers.h - first values of weights -----------------*- C++ -*-===//
//
// Keras's initialisers. The distributions are Keras's; the numbers are our own,
// and the same for the same seed on every machine: they come from additions,
// multiplications, divisions and square roots alone, which IEEE 754 fixes.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_WEIGHTS_INITIALIZERS_H
#define GRU_COMPILER_WEIGHTS_INITIALIZERS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gru {

class Initializer {
public:
  /// From a config's entry, a name or an object. A class from outside Keras is
  /// accepted; only `draw` fails.
  static llvm::Expected<Initializer> parse(const llvm::json::Value &value);

  /// Values in row-major order. Gates stand side by side in the last dimension,
  /// as Keras initialises them: as one matrix. `seed` counts where the
  /// initialiser has none of its own. Errors: a shape that the initialiser
  /// cannot have.
  llvm::Expected<std::vector<double>> draw(llvm::ArrayRef<int64_t> shape,
                                           uint64_t seed) const;

private:
  enum class Kind {
    constant,
    uniform,
    normal,
    truncatedNormal,
    varianceScaling,
    orthogonal,
    identity,
    foreign,
  };
  enum class Mode { fanIn, fanOut, fanAverage };

  std::string name;
  Kind kind = Kind::constant;
  /// constant: value; uniform: from a to b; normal: mean a, deviation b;
  /// varianceScaling: scale a; orthogonal and identity: gain a.
  double a = 0, b = 0;
  /// Of varianceScaling.
  Mode mode = Mode::fanIn;
  Kind distribution = Kind::truncatedNormal;
  std::optional<uint64_t> ownSeed;
};

} // namespace gru

#endif // GRU_COMPILER_WEIGHTS_INITIALIZERS_H
