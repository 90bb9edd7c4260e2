//===- Constraints.cpp - what is done to weights after a step -------------===//

#include "compiler/weights/Constraints.h"

#include "compiler/Take.h"
#include "compiler/weights/KerasObject.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace gru;
using namespace llvm;

namespace {
enum Class : size_t { MaxNorm, NonNeg, UnitNorm, MinMaxNorm };
} // namespace

/// In the order of Class.
static constexpr KerasClass kClasses[] = {
    {"MaxNorm", "max_norm", "maxnorm"},
    {"NonNeg", "non_neg", "nonneg"},
    {"UnitNorm", "unit_norm", "unitnorm"},
    {"MinMaxNorm", "min_max_norm"},
};

Expected<Constraint> Constraint::parse(const json::Value &value) {
  // For kernels of rank 4 alone, which no layer here has.
  for (StringRef name : {"RadialConstraint", "radial_constraint"})
    if (value.getAsString() == name ||
        (value.getAsObject() &&
         value.getAsObject()->getString("class_name") == name))
      return createStringError("is " + name +
                               ", which is for kernels of Conv2D only");
  Expected<KerasObject> object = KerasObject::parse(value, kClasses);
  if (!object)
    return object.takeError();
  Constraint result;
  result.name = object->getName().str();
  if (object->isForeign()) {
    result.kind = Kind::foreign;
    return result;
  }
  switch (*object->getClass()) {
  case MaxNorm:
    GRU_TAKE(result.greatest, object->getNumber("max_value", 2));
    break;
  case NonNeg:
    result.kind = Kind::nonNegative;
    break;
  case UnitNorm:
    result.least = result.greatest = 1;
    break;
  case MinMaxNorm:
    GRU_TAKE(result.least, object->getNumber("min_value", 0));
    GRU_TAKE(result.greatest, object->getNumber("max_value", 1));
    GRU_TAKE(result.rate, object->getNumber("rate", 1));
    break;
  }
  if (result.kind == Kind::norm)
    GRU_TAKE(result.axes, object->getIntegers("axis", {0}));
  if (Error error = object->checkAllRead())
    return std::move(error);
  return result;
}

Error Constraint::apply(MutableArrayRef<double> values,
                        ArrayRef<int64_t> shape) const {
  if (kind == Kind::foreign)
    return createStringError("is '" + name +
                             "', which is not of Keras, so that it cannot be "
                             "applied");
  if (kind == Kind::nonNegative) {
    for (double &value : values)
      value = std::max(value, 0.0);
    return Error::success();
  }
  int64_t rank = shape.size();
  std::vector<bool> summed(rank);
  for (int64_t axis : axes) {
    if (axis < -rank || axis >= rank)
      return createStringError("is " + name + " with axis " + Twine(axis) +
                               " on a weight with " + Twine(rank) +
                               " dimensions");
    summed[axis < 0 ? axis + rank : axis] = true;
  }
  // The group of an element is its index with the summed dimensions left out.
  std::vector<int64_t> groupStride(rank);
  int64_t groups = 1;
  for (int64_t d = rank; d-- > 0;)
    if (!summed[d]) {
      groupStride[d] = groups;
      groups *= shape[d];
    }
  auto groupOf = [&](int64_t index) {
    int64_t group = 0;
    for (int64_t d = rank; d-- > 0; index /= shape[d])
      group += groupStride[d] * (index % shape[d]);
    return group;
  };
  std::vector<double> factors(groups);
  for (auto [index, value] : enumerate(values))
    factors[groupOf(index)] += value * value;
  constexpr double epsilon = 1e-7;
  for (double &factor : factors) {
    double norm = std::sqrt(factor);
    double clipped = std::min(std::max(norm, least), greatest);
    factor = (rate * clipped + (1 - rate) * norm) / (epsilon + norm);
  }
  for (auto [index, value] : enumerate(values))
    value *= factors[groupOf(index)];
  return Error::success();
}
