//===- Report.cpp - what gru-run says and writes --------------------------===//

#include "Report.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <cmath>

using namespace gru;
using llvm::createStringError;
using llvm::format;
using llvm::raw_ostream;
using llvm::Twine;

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

Difference gru::compare(const Array &values, const Array &expected, double atol,
                        double rtol) {
  Difference difference;
  std::vector<double> found = toDoubles(values), wanted = toDoubles(expected);
  size_t worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    // Equal infinities would give NaN.
    bool same = found[i] == wanted[i] ||
                (std::isnan(found[i]) && std::isnan(wanted[i]));
    double error = same ? 0.0 : std::abs(found[i] - wanted[i]);
    difference.within &= same || error <= atol + rtol * std::abs(wanted[i]);
    bool larger = std::isnan(error) ? !std::isnan(difference.largest)
                                    : error > difference.largest;
    if (larger) {
      difference.largest = error;
      worst = i;
    }
  }
  if (found.empty())
    return difference;
  difference.index.resize(values.shape.size());
  for (size_t i = values.shape.size(); i-- > 0;) {
    difference.index[i] = int64_t(worst) % values.shape[i];
    worst /= values.shape[i];
  }
  return difference;
}

/// `call 1: ` where there are several calls.
static std::string prefix(size_t call, size_t calls) {
  return calls > 1 ? ("call " + Twine(call) + ": ").str() : "";
}

static void printDifference(raw_ostream &os, const Difference &difference) {
  os << "largest error " << format("%.3g", difference.largest) << " at "
     << formatShape(difference.index);
}

llvm::Error gru::checkExpected(raw_ostream &os, const Arguments &arguments,
                               const Outputs &outputs) {
  std::string failed;
  for (size_t call = 0; call < outputs.calls.size(); ++call) {
    for (const NamedFile &file : arguments.calls[call].expected) {
      auto name = llvm::find(outputs.names, file.name);
      if (name == outputs.names.end())
        return createStringError(arguments.model + ": no output '" + file.name +
                                 "', the model's outputs are " +
                                 llvm::join(outputs.names, ", "));
      llvm::Expected<Array> expected = readArray(file.file);
      if (!expected)
        return expected.takeError();
      const Array &values = outputs.calls[call][name - outputs.names.begin()];
      if (expected->shape != values.shape)
        return createStringError(
            prefix(call, outputs.calls.size()) + "output '" + file.name +
            "': shape, found " + formatShape(values.shape) + ", expected " +
            formatShape(expected->shape) + " as in " + file.file);
      if (!isFloat(expected->dtype) || !isFloat(values.dtype))
        return createStringError(
            prefix(call, outputs.calls.size()) + "output '" + file.name +
            "': dtype, found " + dtypeName(values.dtype) +
            ", expected a float as " + dtypeName(expected->dtype) + " in " +
            file.file);
      Difference difference =
          compare(values, *expected, arguments.atol, arguments.rtol);
      os << prefix(call, outputs.calls.size()) << "expected " << file.name
         << ": ";
      printDifference(os, difference);
      os << (difference.within ? ", within " : ", not within ")
         << format("%.3g + %.3g * |expected|\n", arguments.atol,
                   arguments.rtol);
      if (!difference.within && failed.empty())
        failed = prefix(call, outputs.calls.size()) + "output '" + file.name +
                 "' differs from " + file.file;
    }
  }
  return failed.empty() ? llvm::Error::success() : createStringError(failed);
}

/// The largest errors in each quarter of the timesteps, which show whether an
/// error grows from step to step.
static void printDrift(raw_ostream &os, const Array &values,
                       const Array &expected,
                       const std::vector<int64_t> &dims) {
  constexpr int64_t kParts = 4;
  const std::vector<int64_t> &shape = values.shape;
  // A sequence's time is open, else the second dimension.
  auto open = llvm::find(dims, -1);
  size_t timeDim = open == dims.end() ? 1 : open - dims.begin();
  if (shape.size() != 3 || shape[timeDim] < 2 * kParts)
    return;
  std::vector<double> found = toDoubles(values), wanted = toDoubles(expected);
  int64_t inner = 1, time = shape[timeDim];
  for (size_t dim = timeDim + 1; dim < shape.size(); ++dim)
    inner *= shape[dim];
  double largest[kParts] = {};
  for (size_t i = 0; i < found.size(); ++i) {
    double &part = largest[int64_t(i) / inner % time * kParts / time];
    part = std::max(part, std::abs(found[i] - wanted[i]));
  }
  os << "  by quarters of the " << time << " timesteps:";
  for (double error : largest)
    os << ' ' << format("%.3g", error);
  os << '\n';
}

llvm::Error gru::verify(raw_ostream &os, const Model &model,
                        const Arguments &arguments, std::span<const Call> calls,
                        const Outputs &outputs) {
  CompileOptions options = getCompileOptions(model, arguments, calls);
  options.target = "reference";
  options.require_backend.clear();
  options.halide_schedule.clear();
  options.f64_outputs = true;
  Result<Program> reference = compile(model, options);
  if (!reference)
    return toLLVM(reference.error());
  llvm::Expected<Outputs> expected =
      runCalls(*reference, calls, arguments.seed);
  if (!expected)
    return expected.takeError();
  if (arguments.losses)
    if (llvm::Error error = addLosses(model, *expected))
      return error;
  std::vector<TensorInfo> infos = reference->outputs();
  std::string failed;
  for (size_t call = 0; call < outputs.calls.size(); ++call) {
    for (size_t i = 0; i < outputs.calls[call].size(); ++i) {
      if (!isFloat(outputs.calls[call][i].dtype))
        continue;
      os << prefix(call, outputs.calls.size()) << "verify " << outputs.names[i]
         << ": ";
      Difference difference =
          compare(outputs.calls[call][i], expected->calls[call][i],
                  arguments.atol, arguments.rtol);
      printDifference(os, difference);
      os << " from the reference in float64\n";
      // Losses have been added behind the program's outputs.
      if (!arguments.weightType.empty() && i < infos.size())
        printDrift(os, outputs.calls[call][i], expected->calls[call][i],
                   infos[i].dims);
      if (!difference.within && failed.empty())
        failed = prefix(call, outputs.calls.size()) + outputs.names[i];
    }
  }
  if (!failed.empty())
    return llvm::createStringError(
        "verify: " + failed +
        " differs from the reference by more than the "
        "tolerance");
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Printing
//===----------------------------------------------------------------------===//

void gru::printStatistics(raw_ostream &os, const Outputs &outputs) {
  for (size_t call = 0; call < outputs.calls.size(); ++call) {
    for (size_t i = 0; i < outputs.calls[call].size(); ++i) {
      const Array &array = outputs.calls[call][i];
      os << prefix(call, outputs.calls.size()) << outputs.names[i] << ' '
         << formatShape(array.shape) << ' ' << dtypeName(array.dtype);
      if (isFloat(array.dtype) && array.getNumElements()) {
        std::vector<double> values = toDoubles(array);
        auto [least, greatest] =
            std::minmax_element(values.begin(), values.end());
        double sum = 0;
        for (double value : values)
          sum += value;
        os << format(": min %.6g, max %.6g, mean %.6g", *least, *greatest,
                     sum / double(values.size()));
        if (auto wrong = llvm::count_if(
                values, [](double value) { return !std::isfinite(value); }))
          os << ", " << wrong << " not finite";
      }
      os << '\n';
    }
  }
}

/// A time in the unit that reads best.
static void printTime(raw_ostream &os, double nanoseconds) {
  if (nanoseconds < 1e3)
    os << format("%.0f ns", nanoseconds);
  else if (nanoseconds < 1e6)
    os << format("%.2f us", nanoseconds / 1e3);
  else
    os << format("%.2f ms", nanoseconds / 1e6);
}

void gru::printTiming(raw_ostream &os, const Timing &timing) {
  os << "call: median ";
  printTime(os, timing.median);
  os << ", fastest ";
  printTime(os, timing.fastest);
  os << " (" << timing.calls << " calls of " << timing.steps << " steps)\n";
  os << "step: median ";
  printTime(os, timing.median / double(timing.steps));
  os << ", fastest ";
  printTime(os, timing.fastest / double(timing.steps));
  os << '\n';
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

/// Names come from the model's file: a name must stay a name inside the folder.
static std::string toFileName(llvm::StringRef name) {
  std::string result;
  for (char c : name)
    result += llvm::isAlnum(c) || llvm::StringRef("_-.").contains(c) ? c : '_';
  if (result.empty() || result.front() == '.')
    result.insert(result.begin(), '_');
  return result + ".npy";
}

/// Writes every array under a temporary name first and renames them once all
/// are written.
static llvm::Error
writeAll(const std::string &directory,
         const std::vector<std::pair<std::string, const Array *>> &files) {
  llvm::StringSet<> names;
  for (auto &[name, array] : files)
    if (!names.insert(toFileName(name)).second)
      return createStringError(directory + ": two arrays would become '" +
                               toFileName(name) + "'");
  if (std::error_code code = llvm::sys::fs::create_directories(directory))
    return createStringError(directory + ": cannot create: " + code.message());

  auto path = [&](const std::string &name) {
    llvm::SmallString<128> path(directory);
    llvm::sys::path::append(path, toFileName(name));
    return path.str().str();
  };
  const std::string partial = ".part";
  auto removePartial = [&] {
    for (auto &[name, array] : files)
      llvm::sys::fs::remove(path(name) + partial);
  };
  for (auto &[name, array] : files)
    if (llvm::Error error = writeNpy(*array, path(name) + partial)) {
      removePartial();
      return error;
    }
  for (auto &[name, array] : files)
    if (std::error_code code =
            llvm::sys::fs::rename(path(name) + partial, path(name))) {
      removePartial();
      return createStringError(path(name) +
                               ": cannot write: " + code.message());
    }
  return llvm::Error::success();
}

llvm::Error gru::writeOutputs(const Arguments &arguments,
                              const Outputs &outputs) {
  std::vector<std::pair<std::string, const Array *>> files;
  for (size_t call = 0; call < outputs.calls.size(); ++call)
    for (size_t i = 0; i < outputs.calls[call].size(); ++i)
      files.emplace_back((outputs.calls.size() > 1
                              ? "call" + std::to_string(call) + "_"
                              : "") +
                             outputs.names[i],
                         &outputs.calls[call][i]);
  return writeAll(arguments.outputDir, files);
}

llvm::Error gru::writeWeights(const Model &model, const Arguments &arguments) {
  std::vector<Array> arrays;
  std::vector<std::pair<std::string, const Array *>> files;
  std::vector<WeightView> weights = model.weights();
  arrays.reserve(weights.size());
  for (const WeightView &weight : weights) {
    Array array{weight.dtype, weight.dims, {}};
    const char *data = static_cast<const char *>(weight.data);
    array.data.assign(data,
                      data + array.getNumElements() * dtypeSize(weight.dtype));
    arrays.push_back(std::move(array));
    files.emplace_back(weight.name, &arrays.back());
  }
  return writeAll(arguments.weightsDir, files);
}
