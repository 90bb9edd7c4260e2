//===- ShapeText.cpp - shapes in messages ---------------------------------===//

#include "dialect/ShapeText.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <limits>

using namespace llvm;

std::string gru::shapeText(ArrayRef<int64_t> shape) {
  if (shape.empty())
    return "scalar";
  std::string text;
  raw_string_ostream os(text);
  interleave(
      shape, os,
      [&](int64_t size) {
        if (size == std::numeric_limits<int64_t>::min())
          os << '?';
        else
          os << size;
      },
      "x");
  return text;
}
