//===- KerasObject.h - a named object of a Keras config ---------*- C++ -*-===//
//
// Initialisers, regularisers and constraints stand in a config as a name
// ("glorot_uniform") or as an object ({"class_name": "GlorotUniform", "config":
// {"seed": 1}}). Messages lack the beginning ("layer 'gru':
// kernel_initializer "), which the caller knows.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_WEIGHTS_KERASOBJECT_H
#define GRU_COMPILER_WEIGHTS_KERASOBJECT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <optional>
#include <string>

namespace gru {

/// A number as people write it.
std::string numberText(double number);

/// One of the classes of a family with the names that Keras knows it by.
struct KerasClass {
  llvm::StringLiteral name;      ///< "GlorotUniform"
  llvm::StringLiteral shortName; ///< "glorot_uniform"
  /// A further name, or empty.
  llvm::StringLiteral alias = "";
};

class KerasObject {
public:
  /// `value` is not null. `classes` is the family; a name that is not in it is
  /// an error that lists it. A class from outside Keras is none: its arguments
  /// and its meaning are unknown, see isForeign.
  static llvm::Expected<KerasObject> parse(const llvm::json::Value &value,
                                           llvm::ArrayRef<KerasClass> classes);

  /// The class's number in the family; nothing for a foreign class.
  std::optional<size_t> getClass() const { return index; }
  llvm::StringRef getName() const { return name; }
  bool isForeign() const { return !index; }
  /// True where the config has a name alone, so that all arguments have their
  /// defaults.
  bool isBareName() const { return bareName; }

  // Arguments; an absent or null one has the value `otherwise`.
  llvm::Expected<double> getNumber(llvm::StringRef key, double otherwise);
  llvm::Expected<std::string> getString(llvm::StringRef key,
                                        llvm::StringRef otherwise);
  llvm::Expected<llvm::SmallVector<int64_t>>
  getIntegers(llvm::StringRef key, llvm::ArrayRef<int64_t> otherwise);
  /// A seed: an integer, null, or Keras's SeedGenerator.
  llvm::Expected<std::optional<uint64_t>> getSeed();
  /// Accepts an argument whatever its value.
  void ignore(llvm::StringRef key) { read.insert(key); }

  /// An error that names an argument which nobody has asked for.
  llvm::Error checkAllRead() const;

private:
  const llvm::json::Value *find(llvm::StringRef key);

  std::string name;
  std::optional<size_t> index;
  bool bareName = false;
  llvm::json::Object config;
  llvm::StringSet<> read;
};

} // namespace gru

#endif // GRU_COMPILER_WEIGHTS_KERASOBJECT_H
