//===- GRUDialect.cpp - registration and attributes of the gru dialect ----===//

#include "dialect/GRUDeviceOps.h"

#include "dialect/GRURandomOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace gru;

#include "dialect/GRUDialect.cpp.inc"
#include "dialect/GRUEnums.cpp.inc"
#include "dialect/GRUInterfaces.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/GRUAttrs.cpp.inc"

void GRUDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/GRUAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/GRUOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/GRURandomOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/GRUDeviceOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// #gru.act
//===----------------------------------------------------------------------===//

ActDefaults gru::getActDefaults(ActivationKind kind) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  switch (kind) {
  case ActivationKind::hard_sigmoid:
    return {1.0 / 6.0, 0.5, 0};
  case ActivationKind::relu:
    return {0, inf, 0};
  case ActivationKind::leaky_relu:
    return {0.2, 0, 0};
  case ActivationKind::elu:
  case ActivationKind::celu:
  case ActivationKind::affine:
  case ActivationKind::thresholded_relu:
    return {1, 0, 0};
  case ActivationKind::scaled_tanh:
    return {1, 1, 0};
  case ActivationKind::squareplus:
    return {4, 0, 0};
  case ActivationKind::soft_shrink:
  case ActivationKind::hard_shrink:
    return {0.5, 0, 0};
  default:
    return {0, 0, 0};
  }
}

unsigned gru::getNumActParameters(ActivationKind kind) {
  switch (kind) {
  case ActivationKind::relu:
    return 3;
  case ActivationKind::hard_sigmoid:
  case ActivationKind::affine:
  case ActivationKind::scaled_tanh:
    return 2;
  case ActivationKind::leaky_relu:
  case ActivationKind::elu:
  case ActivationKind::celu:
  case ActivationKind::thresholded_relu:
  case ActivationKind::squareplus:
  case ActivationKind::soft_shrink:
  case ActivationKind::hard_shrink:
    return 1;
  default:
    return 0;
  }
}

bool ActAttr::isRowwise() const {
  return getKind() == ActivationKind::softmax ||
         getKind() == ActivationKind::log_softmax ||
         getKind() == ActivationKind::sparsemax;
}

static constexpr llvm::StringLiteral actParameterNames[] = {"alpha", "beta",
                                                            "gamma"};

Attribute ActAttr::parse(AsmParser &parser, Type) {
  StringRef keyword;
  SMLoc loc;
  if (parser.parseLess() || parser.getCurrentLocation(&loc) ||
      parser.parseKeyword(&keyword))
    return {};
  std::optional<ActivationKind> kind = symbolizeActivationKind(keyword);
  if (!kind) {
    parser.emitError(loc) << "unknown activation '" << keyword << "'";
    return {};
  }
  ActDefaults defaults = getActDefaults(*kind);
  double values[] = {defaults.alpha, defaults.beta, defaults.gamma};
  unsigned count = getNumActParameters(*kind);
  while (succeeded(parser.parseOptionalComma())) {
    StringRef name;
    SMLoc nameLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&name) || parser.parseEqual())
      return {};
    auto *it = llvm::find(actParameterNames, name);
    size_t index = it - std::begin(actParameterNames);
    if (index >= count) {
      parser.emitError(nameLoc) << "activation '" << keyword
                                << "' takes no parameter '" << name << "'";
      return {};
    }
    if (parser.parseFloat(values[index]))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return ActAttr::get(parser.getContext(), *kind, values[0], values[1],
                      values[2]);
}

void ActAttr::print(AsmPrinter &printer) const {
  printer << "<" << stringifyActivationKind(getKind());
  double values[] = {getAlpha(), getBeta(), getGamma()};
  ActDefaults defaults = getActDefaults(getKind());
  double defaultValues[] = {defaults.alpha, defaults.beta, defaults.gamma};
  for (unsigned i = 0, e = getNumActParameters(getKind()); i < e; ++i) {
    // An infinite bound is the default and no bound: nobody wants to read it.
    if (std::isinf(values[i]) && values[i] == defaultValues[i])
      continue;
    printer << ", " << actParameterNames[i] << " = ";
    printer.printFloat(APFloat(values[i]));
  }
  printer << ">";
}
