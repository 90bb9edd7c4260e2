//===- Model.h - what a gru_model is ----------------------------*- C++ -*-===//

#ifndef GRU_COMPILER_API_MODEL_H
#define GRU_COMPILER_API_MODEL_H

#include "compiler/import/ModelSource.h"

struct gru_model {
  std::unique_ptr<gru::ModelSource> source;
};

#endif // GRU_COMPILER_API_MODEL_H
