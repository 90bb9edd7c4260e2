//===- Tensor.h - what flows between the nodes of an ONNX graph -----------===//

#ifndef GRU_COMPILER_IMPORT_ONNX_TENSOR_H
#define GRU_COMPILER_IMPORT_ONNX_TENSOR_H

#include "compiler/import/onnx/Size.h"

#include "mlir/IR/Types.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace onnx {
class TensorProto;
} // namespace onnx

namespace gru::onnx {

/// The element types that are read. The first four are those of weights.
enum class DataType { f32, f64, f16, bf16, i1, i32, i64 };

bool isFloat(DataType type);
/// Bytes of an element in a Literal.
unsigned getByteSize(DataType type);
/// "float32", ...
llvm::StringRef getName(DataType type);
mlir::Type getMLIRType(mlir::MLIRContext *context, DataType type);
/// Nothing for a number of TensorProto.DataType that is not read.
std::optional<DataType> getDataType(int32_t number);
/// What TensorProto.DataType calls the number.
std::string getDataTypeName(int32_t number);

/// Values that stand in the file, or are made of such by moving elements
/// around: row-major, in the byte order of this machine.
struct Literal {
  std::string name;
  DataType type = DataType::f32;
  llvm::SmallVector<int64_t> shape;
  std::vector<char> bytes;

  int64_t getNumElements() const { return bytes.size() / getByteSize(type); }
  /// An element as a number.
  double getDouble(int64_t index) const;
  int64_t getInteger(int64_t index) const;
};

/// Decodes a TensorProto; data beside the model is read from files below
/// `folder`. The message of an error does not name the tensor.
llvm::Expected<Literal> readTensor(const ::onnx::TensorProto &proto,
                                   llvm::StringRef folder);

/// A tensor between nodes. Besides its type it has a value, unless it is known
/// already when the model is imported; then it has one of the other three, and
/// gets a value only where a node needs one (Node::getValue). Integers that
/// become too many while tensors are put together have both.
struct Tensor {
  /// Numbers, or symbols by themselves.
  Sizes shape;
  DataType type = DataType::f32;
  mlir::Value value;
  /// A trained weight or another constant.
  std::shared_ptr<const Literal> literal;
  /// Few integers or booleans, row-major: shapes, axes, indices, conditions.
  std::optional<Sizes> numbers;
  /// All elements are this number.
  std::optional<double> splat;

  size_t getRank() const { return shape.size(); }
  bool isKnown() const { return literal || numbers || splat; }
};

/// Most elements that `numbers` may have.
inline constexpr int64_t mostNumbers = 4096;

using Tensors = llvm::SmallVector<Tensor>;

/// "4x?x3".
std::string shapeText(llvm::ArrayRef<Size> shape);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_TENSOR_H
