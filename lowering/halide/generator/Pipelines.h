//===- Pipelines.h - steps and products as Halide pipelines -----*- C++ -*-===//

#ifndef GRU_LOWERING_HALIDE_GENERATOR_PIPELINES_H
#define GRU_LOWERING_HALIDE_GENERATOR_PIPELINES_H

#include "lowering/halide/generator/Request.h"

#include <Halide.h>

namespace gru {

/// A scheduled pipeline and its inputs in the order of the function's buffers;
/// outputs come behind them.
struct HalidePipeline {
  Halide::Pipeline pipeline;
  std::vector<Halide::Argument> inputs;
};

/// The buffers of a function that are read, as parameters of a pipeline.
class HalideInputs {
public:
  explicit HalideInputs(const HalideFunction &function) : function(function) {}

  /// The input of this name; undefined where the function has none.
  Halide::ImageParam operator[](const std::string &name);
  const HalideBuffer *find(const std::string &name) const;
  const std::vector<Halide::Argument> &getArguments() const {
    return arguments;
  }

private:
  const HalideFunction &function;
  std::map<std::string, Halide::ImageParam> params;
  std::vector<Halide::Argument> arguments;
};

/// Tells Halide the sizes and strides that are fixed. `extents` may be left to
/// the first of several outputs.
void constrain(Halide::OutputImageParam param, const HalideBuffer &buffer,
               bool extents = true);

/// gru.step, or one phase of it.
HalidePipeline buildStep(const HalideFunction &function);
/// gru.packed_dense: a dense layer or an input projection.
HalidePipeline buildDense(const HalideFunction &function);

} // namespace gru

#endif // GRU_LOWERING_HALIDE_GENERATOR_PIPELINES_H
