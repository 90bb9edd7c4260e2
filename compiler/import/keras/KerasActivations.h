//===- KerasActivations.h - Keras's activations -----------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASACTIVATIONS_H
#define GRU_COMPILER_IMPORT_KERAS_KERASACTIVATIONS_H

#include "dialect/GRUDialect.h"

#include "llvm/Support/JSON.h"

namespace gru::keras {

/// An activation with explicit parameters, as in `#gru.act`, but without a
/// context.
struct Activation {
  ActivationKind kind = ActivationKind::linear;
  double alpha = 0, beta = 0, gamma = 0;

  Activation() = default;
  Activation(ActivationKind kind);
  ActAttr getAttr(mlir::MLIRContext *context) const {
    return ActAttr::get(context, kind, alpha, beta, gamma);
  }
};

/// The activation that a config's value stands for: a name, null (linear), or a
/// layer object such as {"class_name": "LeakyReLU", ...}. `version` is 2 or 3.
/// The error says what was found and what is accepted; the caller adds where.
llvm::Expected<Activation> parseActivation(const llvm::json::Value &value,
                                           unsigned version);

/// The activation of an activation layer (ReLU, LeakyReLU, ELU, Softmax, ...),
/// nothing if the class is none.
std::optional<llvm::Expected<Activation>>
parseActivationLayer(llvm::StringRef className,
                     const llvm::json::Object &config, unsigned version);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASACTIVATIONS_H
