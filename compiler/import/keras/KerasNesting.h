//===- KerasNesting.h - models inside models --------------------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_KERAS_KERASNESTING_H
#define GRU_COMPILER_IMPORT_KERAS_KERASNESTING_H

#include "compiler/import/keras/KerasConfig.h"

#include "llvm/ADT/StringMap.h"

namespace gru::keras {

bool isModelClass(llvm::StringRef className);

/// Counts the calls of the models in `inner` from 0, as those of layers. A
/// model that begins with an input has been called once when it is made. Keras
/// 2 counts that call, Keras 3 where a functional model is an output.
void renumberCalls(const llvm::StringMap<Model> &inner, Model &model);

/// Puts the layers of the models in `inner`, by name, behind their models, so
/// that one flat graph is left.
llvm::Error inlineModels(llvm::StringRef where,
                         const llvm::StringMap<Model> &inner, Model &model);

/// Makes one layer of those that a file writes at several levels of nesting:
/// the first has the calls of all, the others stay behind without any.
llvm::Error joinSharedLayers(llvm::StringRef where, Model &model);

} // namespace gru::keras

#endif // GRU_COMPILER_IMPORT_KERAS_KERASNESTING_H
