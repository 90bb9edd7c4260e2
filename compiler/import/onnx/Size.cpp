//===- Size.cpp - sizes known as formulas of open dimensions --------------===//

#include "compiler/import/onnx/Size.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <limits>
#include <map>

using namespace gru::onnx;
using namespace llvm;

/// More than exporters write; what grows further is no shape.
static constexpr size_t mostTerms = 16, mostSymbols = 8;

std::optional<unsigned> Size::getSymbol() const {
  if (terms.size() != 1 || terms[0].factor != 1 || terms[0].symbols.size() != 1)
    return std::nullopt;
  return terms[0].symbols[0];
}

std::optional<Size> gru::onnx::add(const Size &a, const Size &b) {
  std::map<ArrayRef<unsigned>, int64_t,
           decltype([](ArrayRef<unsigned> x, ArrayRef<unsigned> y) {
             return std::lexicographical_compare(x.begin(), x.end(), y.begin(),
                                                 y.end());
           })>
      factors;
  for (const Size *size : {&a, &b})
    for (const Size::Term &term : size->terms) {
      int64_t &factor = factors[term.symbols];
      if (AddOverflow(factor, term.factor, factor))
        return std::nullopt;
    }
  Size sum;
  for (auto [symbols, factor] : factors)
    if (factor)
      sum.terms.push_back({Size::Monomial(symbols), factor});
  if (sum.terms.size() > mostTerms)
    return std::nullopt;
  return sum;
}

std::optional<Size> gru::onnx::multiply(const Size &a, const Size &b) {
  Size product;
  for (const Size::Term &x : a.terms)
    for (const Size::Term &y : b.terms) {
      Size::Term term{x.symbols, 0};
      if (MulOverflow(x.factor, y.factor, term.factor))
        return std::nullopt;
      term.symbols.append(y.symbols);
      llvm::sort(term.symbols);
      if (term.symbols.size() > mostSymbols)
        return std::nullopt;
      Size one;
      one.terms.push_back(std::move(term));
      std::optional<Size> sum = add(product, one);
      if (!sum)
        return std::nullopt;
      product = std::move(*sum);
    }
  return product;
}

std::optional<Size> gru::onnx::subtract(const Size &a, const Size &b) {
  std::optional<Size> minus = multiply(b, Size(-1));
  return minus ? add(a, *minus) : std::nullopt;
}

std::optional<Size> gru::onnx::divide(const Size &a, const Size &b) {
  // By one product only: all that occurs.
  if (b.terms.size() != 1)
    return std::nullopt;
  const Size::Term &divisor = b.terms[0];
  if (a.isNumber() && b.isNumber()) {
    if (divisor.factor == -1 &&
        a.getNumber() == std::numeric_limits<int64_t>::min())
      return std::nullopt;
    return Size(a.getNumber() / divisor.factor);
  }
  Size quotient;
  for (const Size::Term &term : a.terms) {
    if (divisor.factor == -1 || term.factor % divisor.factor ||
        !std::includes(term.symbols.begin(), term.symbols.end(),
                       divisor.symbols.begin(), divisor.symbols.end()))
      return std::nullopt;
    Size::Term part{{}, term.factor / divisor.factor};
    std::set_difference(term.symbols.begin(), term.symbols.end(),
                        divisor.symbols.begin(), divisor.symbols.end(),
                        std::back_inserter(part.symbols));
    Size one;
    one.terms.push_back(std::move(part));
    std::optional<Size> sum = add(quotient, one);
    if (!sum)
      return std::nullopt;
    quotient = std::move(*sum);
  }
  return quotient;
}

std::optional<Size> gru::onnx::multiplyAll(ArrayRef<Size> sizes) {
  std::optional<Size> product = Size(1);
  for (const Size &size : sizes)
    if (!(product = multiply(*product, size)))
      return std::nullopt;
  return product;
}

std::optional<SmallVector<int64_t>>
gru::onnx::getNumbers(ArrayRef<Size> sizes) {
  SmallVector<int64_t> numbers;
  for (const Size &size : sizes) {
    if (!size.isNumber())
      return std::nullopt;
    numbers.push_back(size.getNumber());
  }
  return numbers;
}
