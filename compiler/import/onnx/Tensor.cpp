//===- Tensor.cpp - what flows between the nodes of an ONNX graph ---------===//

#include "compiler/import/onnx/Tensor.h"

#include "compiler/import/ImportError.h"
#include "third_party/onnx/onnx-ml.pb.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SwapByteOrder.h"

#include <cstring>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

using ::onnx::TensorProto;

bool gru::onnx::isFloat(DataType type) { return type <= DataType::bf16; }

unsigned gru::onnx::getByteSize(DataType type) {
  switch (type) {
  case DataType::f32:
  case DataType::i32:
    return 4;
  case DataType::f64:
  case DataType::i64:
    return 8;
  case DataType::f16:
  case DataType::bf16:
    return 2;
  case DataType::i1:
    return 1;
  }
  llvm_unreachable("unknown type");
}

StringRef gru::onnx::getName(DataType type) {
  constexpr StringLiteral names[] = {
      "float32", "float64", "float16", "bfloat16", "bool", "int32", "int64"};
  return names[int(type)];
}

mlir::Type gru::onnx::getMLIRType(mlir::MLIRContext *context, DataType type) {
  mlir::Builder b(context);
  switch (type) {
  case DataType::f32:
    return b.getF32Type();
  case DataType::f64:
    return b.getF64Type();
  case DataType::f16:
    return b.getF16Type();
  case DataType::bf16:
    return b.getBF16Type();
  case DataType::i1:
    return b.getI1Type();
  case DataType::i32:
    return b.getI32Type();
  case DataType::i64:
    return b.getI64Type();
  }
  llvm_unreachable("unknown type");
}

std::optional<DataType> gru::onnx::getDataType(int32_t number) {
  switch (number) {
  case TensorProto::FLOAT:
    return DataType::f32;
  case TensorProto::DOUBLE:
    return DataType::f64;
  case TensorProto::FLOAT16:
    return DataType::f16;
  case TensorProto::BFLOAT16:
    return DataType::bf16;
  case TensorProto::BOOL:
    return DataType::i1;
  case TensorProto::INT32:
    return DataType::i32;
  case TensorProto::INT64:
    return DataType::i64;
  }
  return std::nullopt;
}

std::string gru::onnx::getDataTypeName(int32_t number) {
  if (TensorProto::DataType_IsValid(number))
    return StringRef(TensorProto::DataType_Name(TensorProto::DataType(number)))
        .lower();
  return "number " + std::to_string(number);
}

std::string gru::onnx::shapeText(ArrayRef<Size> shape) {
  SmallVector<int64_t> dims;
  for (const Size &size : shape)
    dims.push_back(size.isNumber() ? size.getNumber() : kDynamicSize);
  return gru::shapeText(dims);
}

//===----------------------------------------------------------------------===//
// Literals
//===----------------------------------------------------------------------===//

template <typename T> static T read(const Literal &literal, int64_t index) {
  T value;
  std::memcpy(&value, literal.bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

double Literal::getDouble(int64_t index) const {
  switch (type) {
  case DataType::f32:
    return read<float>(*this, index);
  case DataType::f64:
    return read<double>(*this, index);
  case DataType::f16:
  case DataType::bf16: {
    APFloat value(type == DataType::f16 ? APFloat::IEEEhalf()
                                        : APFloat::BFloat(),
                  APInt(16, read<uint16_t>(*this, index)));
    return value.convertToDouble();
  }
  default:
    return double(getInteger(index));
  }
}

int64_t Literal::getInteger(int64_t index) const {
  switch (type) {
  case DataType::i1:
    return read<uint8_t>(*this, index) != 0;
  case DataType::i32:
    return read<int32_t>(*this, index);
  case DataType::i64:
    return read<int64_t>(*this, index);
  default:
    return int64_t(getDouble(index));
  }
}

/// The bytes of a tensor that lie in another file. Its path may not leave the
/// model's folder: a model from elsewhere must not read what it likes.
static Expected<std::vector<char>>
readExternal(const TensorProto &proto, StringRef folder, uint64_t size) {
  StringRef location;
  uint64_t offset = 0, length = size;
  for (const auto &entry : proto.external_data()) {
    StringRef key = entry.key(), value = entry.value();
    if (key == "location")
      location = value;
    else if ((key == "offset" && value.getAsInteger(10, offset)) ||
             (key == "length" && value.getAsInteger(10, length)))
      return importError("", "external_data has " + key + " '" +
                                 printable(value) + "', expected a number");
  }
  bool leaves = location.empty() || sys::path::is_absolute(location) ||
                location.contains('\0') || location.contains('\\');
  for (auto part = sys::path::begin(location), end = sys::path::end(location);
       part != end; ++part)
    leaves |= *part == "..";
  if (leaves)
    return importError("", "external_data has location '" +
                               printable(location) +
                               "', expected a file in the model's folder");
  if (length != size)
    return importError("", "external_data has " + Twine(length) +
                               " bytes, expected " + Twine(size));
  SmallString<128> path(folder), realFolder, realPath;
  sys::path::append(path, location);
  // A link may lead out as well as a name.
  if (sys::fs::real_path(folder.empty() ? "." : folder, realFolder) ||
      sys::fs::real_path(path, realPath))
    return importError("", "external_data: cannot read the file '" +
                               printable(location) + "' beside the model");
  if (!realFolder.ends_with("/"))
    realFolder += "/";
  if (!realPath.str().starts_with(realFolder))
    return importError("", "external_data: '" + printable(location) +
                               "' leads out of the model's folder");
  uint64_t fileSize = 0;
  if (!sys::fs::is_regular_file(realPath) ||
      sys::fs::file_size(realPath, fileSize))
    return importError("", "external_data: '" + printable(location) +
                               "' is not a file");
  if (offset > fileSize || length > fileSize - offset)
    return importError("", "external_data has " + Twine(length) + " bytes at " +
                               Twine(offset) + " of '" + printable(location) +
                               "', which has " + Twine(fileSize));
  if (length == 0)
    return std::vector<char>();
  auto buffer = MemoryBuffer::getFileSlice(realPath, length, offset);
  if (!buffer)
    return importError("", "external_data: cannot read '" +
                               printable(location) +
                               "': " + buffer.getError().message());
  return std::vector<char>((*buffer)->getBufferStart(),
                           (*buffer)->getBufferEnd());
}

/// Elements from one of the typed fields, as `To`.
template <typename To, typename Field>
static Error readField(const Field &field, StringRef name, int64_t count,
                       std::vector<char> &bytes) {
  if (field.size() != count)
    return importError("", name + " has " + Twine(field.size()) +
                               " elements, expected " + Twine(count));
  bytes.resize(count * sizeof(To));
  for (int64_t i = 0; i < count; ++i) {
    To value = static_cast<To>(field[i]);
    std::memcpy(bytes.data() + i * sizeof(To), &value, sizeof(To));
  }
  return Error::success();
}

Expected<Literal> gru::onnx::readTensor(const TensorProto &proto,
                                        StringRef folder) {
  constexpr int64_t mostElements = int64_t(1) << 32;
  std::optional<DataType> type = getDataType(proto.data_type());
  if (!type)
    return importError("", "data_type is " +
                               getDataTypeName(proto.data_type()) +
                               ", expected float, double, float16, bfloat16, "
                               "bool, int32 or int64");
  Literal literal;
  literal.name = proto.name();
  literal.type = *type;
  int64_t count = 1;
  for (int64_t dim : proto.dims()) {
    if (dim < 0 || MulOverflow(count, dim, count) || count > mostElements)
      return importError("", "dims hold " + Twine(dim) +
                                 ", expected sizes of at most 2^32 elements "
                                 "together");
    literal.shape.push_back(dim);
  }
  if (proto.has_segment())
    return importError("", "segments are not supported");
  uint64_t size = uint64_t(count) * getByteSize(*type);
  bool external = proto.data_location() == TensorProto::EXTERNAL;
  if (external || proto.has_raw_data()) {
    if (external) {
      Expected<std::vector<char>> bytes = readExternal(proto, folder, size);
      if (!bytes)
        return bytes.takeError();
      literal.bytes = std::move(*bytes);
    } else {
      const std::string &raw = proto.raw_data();
      if (raw.size() != size)
        return importError("", "raw_data has " + Twine(raw.size()) +
                                   " bytes, expected " + Twine(size));
      literal.bytes.assign(raw.begin(), raw.end());
    }
    // The file is little-endian.
    unsigned width = getByteSize(*type);
    if (sys::IsBigEndianHost)
      for (uint64_t i = 0; i < size; i += width)
        std::reverse(literal.bytes.begin() + i,
                     literal.bytes.begin() + i + width);
    return literal;
  }
  auto read = [&]() -> Error {
    switch (*type) {
    case DataType::f32:
      return readField<float>(proto.float_data(), "float_data", count,
                              literal.bytes);
    case DataType::f64:
      return readField<double>(proto.double_data(), "double_data", count,
                               literal.bytes);
    case DataType::f16:
    case DataType::bf16:
      return readField<uint16_t>(proto.int32_data(), "int32_data", count,
                                 literal.bytes);
    case DataType::i1:
      return readField<uint8_t>(proto.int32_data(), "int32_data", count,
                                literal.bytes);
    case DataType::i32:
      return readField<int32_t>(proto.int32_data(), "int32_data", count,
                                literal.bytes);
    case DataType::i64:
      return readField<int64_t>(proto.int64_data(), "int64_data", count,
                                literal.bytes);
    }
    llvm_unreachable("unknown type");
  };
  if (Error error = read())
    return error;
  return literal;
}
