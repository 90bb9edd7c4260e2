//===- Numpy.h - arrays in .npy and .npz files ------------------*- C++ -*-===//
//
// The tools take their tensors from NumPy files and write their results as
// such: every framework can make and read them. Nothing here knows a model.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TOOLS_COMMON_NUMPY_H
#define GRU_TOOLS_COMMON_NUMPY_H

#include "gru/runtime.hpp"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gru {

/// A dense array in C order, with its data.
struct Array {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<char> data;

  int64_t getNumElements() const;
};

inline bool isFloat(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::f16 ||
         dtype == DType::bf16;
}
/// `[2, ?, 4]`; a negative dimension is one that the model leaves open.
std::string formatShape(llvm::ArrayRef<int64_t> shape);

/// Reads an array from `FILE.npy` or from member KEY of `FILE.npz:KEY`. Every
/// error names the file. Fortran order becomes C order; objects, structures and
/// big-endian data are refused.
llvm::Expected<Array> readArray(llvm::StringRef location);
/// The same from bytes in memory; `location` is what errors name.
llvm::Expected<Array> parseNpy(llvm::StringRef bytes, llvm::StringRef location);

/// The array as the bytes of a `.npy` file. NumPy has no bfloat16, so that is
/// written as float32, which holds each of its values.
std::string formatNpy(const Array &array);
llvm::Error writeNpy(const Array &array, llvm::StringRef path);

/// The same values in another dtype. Floats convert into each other with one
/// rounding; anything else has to have the right dtype already.
llvm::Expected<Array> convertTo(const Array &array, DType dtype);
/// The values of a float array as doubles; exact.
std::vector<double> toDoubles(const Array &array);

} // namespace gru

#endif // GRU_TOOLS_COMMON_NUMPY_H
