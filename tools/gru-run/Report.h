//===- Report.h - what gru-run says and writes ------------------*- C++ -*-===//

#ifndef GRU_TOOLS_GRU_RUN_REPORT_H
#define GRU_TOOLS_GRU_RUN_REPORT_H

#include "Execution.h"

#include "llvm/Support/raw_ostream.h"

namespace gru {

/// Where two arrays of one shape differ most.
struct Difference {
  double largest = 0;
  /// Empty where there are no elements.
  std::vector<int64_t> index;
  /// Whether |value - expected| <= atol + rtol * |expected| everywhere.
  bool within = true;
};
/// A NaN differs from all but a NaN, by NaN.
Difference compare(const Array &values, const Array &expected, double atol,
                   double rtol);

/// `output_0 [1, 16, 4] float32: min -0.9, max 0.8, mean 0.01` per output.
void printStatistics(llvm::raw_ostream &os, const Outputs &outputs);
void printTiming(llvm::raw_ostream &os, const Timing &timing);

/// Compares with the files of --expected; an error where any output differs
/// by more than the tolerance.
llvm::Error checkExpected(llvm::raw_ostream &os, const Arguments &arguments,
                          const Outputs &outputs);
/// Runs the model on the reference target in float64 and prints how far the
/// outputs are from that.
llvm::Error verify(llvm::raw_ostream &os, const Model &model,
                   const Arguments &arguments, std::span<const Call> calls,
                   const Outputs &outputs);

/// Writes all outputs, or none.
llvm::Error writeOutputs(const Arguments &arguments, const Outputs &outputs);
/// Writes all weights, or none.
llvm::Error writeWeights(const Model &model, const Arguments &arguments);

} // namespace gru

#endif // GRU_TOOLS_GRU_RUN_REPORT_H
