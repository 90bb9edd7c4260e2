//===- Take.h - the value of an llvm::Expected, or its error out ----------===//

#ifndef GRU_COMPILER_TAKE_H
#define GRU_COMPILER_TAKE_H

#include <utility>

/// target = the value of `expression`, an llvm::Expected; where it holds an
/// error, the surrounding function returns that.
#define GRU_TAKE(target, expression)                                           \
  do {                                                                         \
    auto expected = (expression);                                              \
    if (!expected)                                                             \
      return expected.takeError();                                             \
    target = std::move(*expected);                                             \
  } while (false)

#endif // GRU_COMPILER_TAKE_H
