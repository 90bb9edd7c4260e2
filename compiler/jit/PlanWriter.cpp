//===- PlanWriter.cpp - the plan as bytes ---------------------------------===//

#include "compiler/jit/PlanWriter.h"

#include "compiler/import/DType.h"
#include "gru/plan.h"

#include "mlir/IR/BuiltinTypes.h"

#include <cstring>

using namespace mlir;
using namespace gru;

namespace {
class Writer {
public:
  llvm::Expected<std::string> run(DictionaryAttr plan) {
    this->plan = plan;
    gru_plan_header header{};
    header.magic = GRU_PLAN_MAGIC;
    header.version = GRU_PLAN_VERSION;
    header.weights_bytes = number(plan, "weights_bytes");
    header.state_bytes = number(plan, "state_bytes");
    header.team = std::max<int64_t>(1, number(plan, "team"));
    header.num_inputs = tensors("inputs");
    header.num_outputs = tensors("outputs");
    header.num_states = tensors("states");
    header.num_weights = weights();
    header.num_symbols = symbols();
    header.num_packs = packs();
    header.num_scratch = scratch();
    header.num_parts = parts();
    header.num_offsets = offsets.size();
    for (uint64_t offset : offsets)
      append(offset);
    header.code_size = code.size();
    body += code;
    header.strings_size = strings.size();
    header.size = sizeof(header) + body.size() + strings.size();
    if (!problem.empty())
      return llvm::createStringError("plan: " + problem);
    std::string bytes(reinterpret_cast<const char *>(&header), sizeof(header));
    return bytes + body + strings;
  }

private:
  static int64_t number(DictionaryAttr dict, StringRef name) {
    auto attr = dict.getAs<IntegerAttr>(name);
    return attr ? attr.getInt() : 0;
  }

  ArrayRef<Attribute> list(StringRef name) {
    auto attr = plan.getAs<ArrayAttr>(name);
    return attr ? attr.getValue() : ArrayRef<Attribute>();
  }

  template <typename T> void append(const T &record) {
    body.append(reinterpret_cast<const char *>(&record), sizeof(record));
  }

  uint32_t dtype(Type type) {
    if (uint32_t number = getDType(type))
      return number;
    fail("has a tensor of an element type that programs cannot have");
    return 0;
  }

  void fail(StringRef what) {
    if (problem.empty())
      problem = what;
  }

  /// Zero padded copy into a record's array.
  void copyDims(ArrayRef<int64_t> from, int64_t *to) {
    if (from.size() > GRU_MAX_RANK)
      return fail("has a tensor of rank " + std::to_string(from.size()) +
                  ", expected at most " + std::to_string(GRU_MAX_RANK));
    llvm::copy(from, to);
  }

  void tensor(StringAttr name, Type element, ArrayRef<int64_t> shape,
              uint64_t offset, uint32_t flags = 0) {
    gru_plan_tensor record{};
    record.flags = flags;
    record.name = strings.size();
    strings += name.str();
    strings.push_back('\0');
    record.dtype = dtype(element);
    record.rank = shape.size();
    copyDims(shape, record.dims);
    record.offset = offset;
    append(record);
  }

  uint32_t tensors(StringRef kind) {
    for (Attribute attr : list(kind)) {
      auto dict = cast<DictionaryAttr>(attr);
      tensor(dict.getAs<StringAttr>("name"),
             dict.getAs<TypeAttr>("type").getValue(),
             dict.getAs<DenseI64ArrayAttr>("shape").asArrayRef(),
             number(dict, "offset"),
             dict.contains("on_host") ? GRU_TENSOR_ON_HOST : 0);
    }
    return list(kind).size();
  }

  uint32_t weights() {
    for (Attribute attr : list("weights")) {
      auto dict = cast<DictionaryAttr>(attr);
      auto type =
          cast<RankedTensorType>(dict.getAs<TypeAttr>("type").getValue());
      weightTypes.push_back(type.getElementType());
      tensor(dict.getAs<StringAttr>("name"), type.getElementType(),
             type.getShape(), 0);
    }
    return weightTypes.size();
  }

  uint32_t symbols() {
    for (Attribute attr : list("symbols")) {
      auto where = cast<DenseI64ArrayAttr>(attr);
      append(gru_plan_symbol{uint32_t(where[0]), uint32_t(where[1])});
    }
    return list("symbols").size();
  }

  uint32_t packs() {
    for (Attribute attr : list("packs")) {
      auto dict = cast<DictionaryAttr>(attr);
      gru_plan_pack record{};
      record.weight = number(dict, "weight");
      record.src_dtype = dtype(weightTypes[record.weight]);
      Type element = dict.getAs<TypeAttr>("type").getValue();
      record.dst_dtype = element.isInteger(8) ? GRU_I8 : dtype(element);
      record.mode = dict.contains("accumulate") ? GRU_PACK_ADD : GRU_PACK_STORE;
      if (auto strides = dict.getAs<DenseI64ArrayAttr>("scale_strides")) {
        record.mode = GRU_PACK_QUANTIZE;
        record.scale_offset = number(dict, "scale_offset");
        copyDims(strides.asArrayRef(), record.scale_strides);
      }
      if (dict.contains("list_rows")) {
        record.mode = GRU_PACK_LIST_ROWS;
        record.src_dtype = dtype(element);
        record.dst_dtype = GRU_I32;
      }
      ArrayRef<int64_t> extents =
          dict.getAs<DenseI64ArrayAttr>("extents").asArrayRef();
      record.rank = extents.size();
      record.dst_offset = number(dict, "offset");
      record.src_offset = number(dict, "source_offset");
      copyDims(extents, record.extents);
      copyDims(dict.getAs<DenseI64ArrayAttr>("source_strides").asArrayRef(),
               record.src_strides);
      copyDims(dict.getAs<DenseI64ArrayAttr>("strides").asArrayRef(),
               record.dst_strides);
      append(record);
    }
    return list("packs").size();
  }

  uint32_t scratch() {
    for (Attribute attr : list("scratch")) {
      auto region = cast<DenseI64ArrayAttr>(attr).asArrayRef();
      gru_plan_scratch record{};
      record.coefficient = region.front();
      record.num_symbols = region.size() - 1;
      for (auto [i, symbol] : llvm::enumerate(region.drop_front()))
        record.symbols[i] = symbol;
      append(record);
    }
    return list("scratch").size();
  }

  uint32_t parts() {
    for (Attribute attr : list("parts")) {
      auto dict = cast<DictionaryAttr>(attr);
      gru_plan_part record{};
      record.library = number(dict, "library");
      record.num_buffers = number(dict, "buffers");
      record.num_values = number(dict, "values");
      record.code = code.size();
      if (auto text = dict.getAs<StringAttr>("code"))
        code += text.str();
      code.push_back('\0');
      if (record.library != GRU_PART_KERNEL) {
        record.dtype = dtype(dict.getAs<TypeAttr>("type").getValue());
        record.flags = number(dict, "flags");
        record.layers = number(dict, "layers");
        record.directions = number(dict, "directions");
        record.weights_per_cell = number(dict, "weights_per_cell");
        record.features = number(dict, "features");
        record.units = number(dict, "units");
        record.batch = number(dict, "batch");
        record.timesteps = number(dict, "timesteps");
        record.first_offset = offsets.size();
        llvm::append_range(
            offsets, dict.getAs<DenseI64ArrayAttr>("offsets").asArrayRef());
      }
      append(record);
    }
    return list("parts").size();
  }

  DictionaryAttr plan;
  SmallVector<uint64_t> offsets;
  std::string body, code, strings, problem;
  SmallVector<Type> weightTypes;
};
} // namespace

llvm::Expected<std::string> gru::writePlan(DictionaryAttr plan) {
  return Writer().run(plan);
}
