//===- Operators.cpp - which function imports which operator --------------===//

#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <climits>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

static constexpr Operator operators[] = {
    {"Abs Ceil Erf Exp Floor Log Neg Reciprocal Round Sign Sqrt", importUnary,
     1, 1},
    {"Add Div Mod Mul Sub", importArithmetic, 2, 2},
    {"And Or Xor", importLogical, 2, 2},
    {"AveragePool MaxPool", importPool, 1, 1},
    {"BatchNormalization", importBatchNormalization, 5, 5},
    {"Cast", importCast, 1, 1},
    {"CastLike", importCast, 2, 2},
    {"Celu Elu Gelu HardSigmoid HardSwish LeakyRelu Mish Relu Selu "
     "Sigmoid Softplus Softsign Swish Tanh",
     importActivation, 1, 1},
    {"Clip", importClip, 1, 3},
    {"Concat", importConcat, 1, UINT_MAX},
    {"Constant", importConstant, 0, 0},
    {"ConstantOfShape", importConstantOfShape, 1, 1},
    {"Conv", importConv, 2, 3},
    {"ConvTranspose", importConvTranspose, 2, 3},
    {"Dropout", importDropout, 1, 3},
    {"Equal Greater GreaterOrEqual Less LessOrEqual", importComparison, 2, 2},
    {"Expand", importExpand, 2, 2},
    {"Flatten", importFlatten, 1, 1},
    {"GRU", importGRU, 3, 6},
    {"Gather", importGather, 2, 2},
    {"Gemm", importGemm, 2, 3},
    {"GlobalAveragePool GlobalMaxPool", importGlobalPool, 1, 1},
    {"Identity", importIdentity, 1, 1},
    {"InstanceNormalization", importInstanceNormalization, 3, 3},
    {"LayerNormalization", importLayerNormalization, 2, 3},
    {"LogSoftmax Softmax", importSoftmax, 1, 1},
    {"Loop", importLoop, 0, UINT_MAX},
    {"MatMul", importMatMul, 2, 2},
    {"Max Mean Min Sum", importArithmetic, 1, UINT_MAX},
    {"Not", importLogical, 1, 1},
    {"PRelu", importPRelu, 2, 2},
    {"Pad", importPad, 1, 4},
    {"Pow", importPow, 2, 2},
    {"Range", importRange, 3, 3},
    {"ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd "
     "ReduceSum ReduceSumSquare",
     importReduction, 1, 2},
    {"Reshape", importReshape, 2, 2},
    {"ReverseSequence", importReverseSequence, 2, 2},
    {"ScatterND", importScatterND, 3, 3},
    {"Shape", importShape, 1, 1},
    {"Size", importSize, 1, 1},
    {"Slice", importSlice, 1, 5},
    {"Split", importSplit, 1, 2},
    {"Squeeze", importSqueeze, 1, 2},
    {"Tile", importTile, 2, 2},
    {"Transpose", importTranspose, 1, 1},
    {"Unsqueeze", importUnsqueeze, 1, 2},
    {"Where", importWhere, 3, 3},
};

const Operator *gru::onnx::findOperator(StringRef name) {
  const Operator *found = find_if(operators, [&](const Operator &op) {
    return is_contained(split(op.names, ' '), name);
  });
  return found == std::end(operators) ? nullptr : found;
}

const char *gru::onnx::explainRefusal(StringRef name) {
  static constexpr std::pair<StringLiteral, const char *> reasons[] = {
      {"Scan",
       "a loop over nodes is not known to be a GRU; export a layer that "
       "becomes a GRU node"},
      {"If", "what runs would depend on values; export the model with the "
             "condition fixed"},
      {"LSTM", "this is a compiler for GRU models"},
      {"RNN", "this is a compiler for GRU models"},
  };
  for (const auto &[op, reason] : reasons)
    if (op == name)
      return reason;
  return nullptr;
}

std::string gru::onnx::listOperators() {
  SmallVector<StringRef> names;
  for (const Operator &op : operators)
    append_range(names, split(op.names, ' '));
  sort(names);
  return listText(names);
}
