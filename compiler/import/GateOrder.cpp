//===- GateOrder.cpp - weights of other frameworks in Keras's form --------===//

#include "compiler/import/GateOrder.h"

#include <cassert>
#include <cstring>

using namespace gru;

/// Where gate `gate` of Keras's order z, r, h stands in `order`.
static int64_t getPosition(GateOrder order, int64_t gate) {
  return order == GateOrder::rzh && gate < 2 ? 1 - gate : gate;
}

WeightTensor gru::toKerasMatrix(const WeightTensor &rows, GateOrder order) {
  assert(rows.shape.size() == 2 && rows.shape[0] % 3 == 0);
  int64_t units = rows.shape[0] / 3, inputs = rows.shape[1];
  size_t size = getWeightTypeSize(rows.dtype);
  WeightTensor result{rows.name, {inputs, 3 * units}, rows.dtype, {}};
  result.data.resize(rows.data.size());
  char *to = result.data.data();
  for (int64_t input = 0; input < inputs; ++input)
    for (int64_t gate = 0; gate < 3; ++gate) {
      int64_t first = getPosition(order, gate) * units;
      for (int64_t unit = 0; unit < units; ++unit, to += size)
        std::memcpy(to,
                    rows.data.data() + ((first + unit) * inputs + input) * size,
                    size);
    }
  return result;
}

WeightTensor gru::toKerasBias(const WeightTensor &input,
                              const WeightTensor &recurrent, GateOrder order) {
  assert(input.shape == recurrent.shape && input.dtype == recurrent.dtype);
  int64_t units = input.shape[0] / 3;
  size_t block = units * getWeightTypeSize(input.dtype);
  WeightTensor result{input.name, {2, 3 * units}, input.dtype, {}};
  for (const WeightTensor *row : {&input, &recurrent})
    for (int64_t gate = 0; gate < 3; ++gate) {
      auto begin = row->data.begin() + getPosition(order, gate) * block;
      result.data.insert(result.data.end(), begin, begin + block);
    }
  return result;
}

void gru::transposeCudnnGates(WeightTensor &kernel) {
  int64_t rows = kernel.shape[0], units = kernel.shape[1] / 3;
  unsigned size = getWeightTypeSize(kernel.dtype);
  std::vector<char> source = kernel.data;
  // Number `index` of gate g, read row by row.
  auto sourceAt = [&](int64_t gate, int64_t index) {
    return source.data() +
           (index / units * 3 * units + gate * units + index % units) * size;
  };
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t gate = 0; gate < 3; ++gate)
      for (int64_t unit = 0; unit < units; ++unit)
        std::memcpy(kernel.data.data() +
                        (row * 3 * units + gate * units + unit) * size,
                    sourceAt(gate, unit * rows + row), size);
}

WeightTensor gru::transpose(const WeightTensor &matrix) {
  assert(matrix.shape.size() == 2);
  int64_t rows = matrix.shape[0], columns = matrix.shape[1];
  size_t size = getWeightTypeSize(matrix.dtype);
  WeightTensor result{matrix.name, {columns, rows}, matrix.dtype, {}};
  result.data.resize(matrix.data.size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      std::memcpy(result.data.data() + (column * rows + row) * size,
                  matrix.data.data() + (row * columns + column) * size, size);
  return result;
}
