//===- Size.h - sizes known as formulas of open dimensions ------*- C++ -*-===//
//
// Exporters compute shapes inside the graph: Shape, Gather, Mul, Concat, then
// Reshape. What those nodes make of open dimensions is followed here as a
// polynomial with integer coefficients, so that `batch * 33 / 33` is `batch`
// again and no such node is left in the program.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_COMPILER_IMPORT_ONNX_SIZE_H
#define GRU_COMPILER_IMPORT_ONNX_SIZE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <optional>

namespace gru::onnx {

/// An integer: a number, or a sum of products of symbols. A symbol stands for
/// an open dimension of the model's inputs; Graph knows which.
class Size {
public:
  using Monomial = llvm::SmallVector<unsigned, 2>; ///< Sorted symbols.
  struct Term {
    Monomial symbols;
    int64_t factor;
    bool operator==(const Term &) const = default;
  };

  Size(int64_t number = 0) {
    if (number)
      terms.push_back({{}, number});
  }
  static Size ofSymbol(unsigned symbol) {
    Size size;
    size.terms.push_back({{symbol}, 1});
    return size;
  }

  bool isNumber() const {
    return terms.empty() || (terms.size() == 1 && terms[0].symbols.empty());
  }
  /// Only of a number.
  int64_t getNumber() const { return terms.empty() ? 0 : terms[0].factor; }
  bool is(int64_t number) const { return isNumber() && getNumber() == number; }
  std::optional<unsigned> getSymbol() const;
  llvm::ArrayRef<Term> getTerms() const { return terms; }

  bool operator==(const Size &other) const { return terms == other.terms; }

private:
  friend std::optional<Size> add(const Size &, const Size &);
  friend std::optional<Size> multiply(const Size &, const Size &);
  friend std::optional<Size> divide(const Size &, const Size &);

  llvm::SmallVector<Term, 1> terms; ///< Sorted by symbols, factors not 0.
};

using Sizes = llvm::SmallVector<Size>;

/// Nothing where a number overflows.
std::optional<Size> add(const Size &a, const Size &b);
std::optional<Size> multiply(const Size &a, const Size &b);
std::optional<Size> subtract(const Size &a, const Size &b);
/// Nothing where the quotient is no polynomial. Numbers are divided towards
/// zero, as ONNX does.
std::optional<Size> divide(const Size &a, const Size &b);
/// The product of all.
std::optional<Size> multiplyAll(llvm::ArrayRef<Size> sizes);

/// All numbers, or nothing where one is open.
std::optional<llvm::SmallVector<int64_t>>
getNumbers(llvm::ArrayRef<Size> sizes);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_SIZE_H
