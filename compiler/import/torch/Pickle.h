//===- Pickle.h - the part of Python's pickles that state dicts use -------===//
//
// A pickle is a program for a stack machine that may call any function of
// Python. The machine here has no functions: it makes plain values, and knows
// the few names by which PyTorch describes a tensor. Any other name, and any
// opcode that torch.save does not write for a state dict, is an error. It does
// no more steps and takes no more memory than the pickle has bytes.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_TORCH_PICKLE_H
#define GRU_COMPILER_IMPORT_TORCH_PICKLE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gru::torch {

struct PickleValue;
using PickleRef = std::shared_ptr<PickleValue>;

/// A value of a pickle. Containers may be shared, and may hold themselves;
/// nobody walks through them deeper than a state dict is.
struct PickleValue {
  enum Kind {
    none,
    boolean,
    integer,
    real,
    string,
    /// A name in a module: "collections.OrderedDict".
    global,
    tuple,
    list,
    /// Keys and values in turn.
    dict,
    /// What a persistent id refers to: items[0] is the id, a tuple.
    storage,
    /// Arguments of torch._utils._rebuild_tensor_v2: storage, offset, size,
    /// stride, ...
    tensor,
  };
  Kind kind = none;
  int64_t number = 0;
  std::string text;
  std::vector<PickleRef> items;

  bool isGlobal(llvm::StringRef name) const {
    return kind == global && text == name;
  }
  /// The value under a key of a dict; null if there is none.
  const PickleValue *lookup(llvm::StringRef key) const;
};

/// A pickle's values, which may refer to each other in circles and so are owned
/// together. Move-only.
class Pickle {
public:
  /// Runs the pickle; `where` begins the messages.
  static llvm::Expected<Pickle> parse(llvm::StringRef where,
                                      llvm::StringRef bytes);
  Pickle(Pickle &&) = default;
  Pickle &operator=(Pickle &&) = delete;
  /// Breaks the circles.
  ~Pickle();

  const PickleValue &getRoot() const { return *root; }

private:
  friend class PickleMachine;
  Pickle() = default;
  std::vector<PickleRef> values;
  PickleRef root;
};

} // namespace gru::torch

#endif // GRU_COMPILER_IMPORT_TORCH_PICKLE_H
