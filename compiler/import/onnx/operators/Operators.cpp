//===- Operators.cpp - which function imports which operator ---------------===//

#include "compiler/import/onnx/operators/Operators.h"

#include "llvm/ADT/STLExtras.h"

#include <climits>

using namespace gru;
using namespace gru::onnx;
using namespace llvm;

static constexpr Operator operators[] = {
    {"Abs", importUnary, 1, 1},
    {"Add", importArithmetic, 2, 2},
    {"And", importLogical, 2, 2},
    {"AveragePool", importPool, 1, 1},
    {"BatchNormalization", importBatchNormalization, 5, 5},
    {"Cast", importCast, 1, 1},
    {"CastLike", importCast, 2, 2},
    {"Ceil", importUnary, 1, 1},
    {"Celu", importActivation, 1, 1},
    {"Clip", importClip, 1, 3},
    {"Concat", importConcat, 1, UINT_MAX},
    {"Constant", importConstant, 0, 0},
    {"ConstantOfShape", importConstantOfShape, 1, 1},
    {"Conv", importConv, 2, 3},
    {"ConvTranspose", importConvTranspose, 2, 3},
    {"Div", importArithmetic, 2, 2},
    {"Dropout", importDropout, 1, 3},
    {"Elu", importActivation, 1, 1},
    {"Equal", importComparison, 2, 2},
    {"Erf", importUnary, 1, 1},
    {"Exp", importUnary, 1, 1},
    {"Expand", importExpand, 2, 2},
    {"Flatten", importFlatten, 1, 1},
    {"Floor", importUnary, 1, 1},
    {"GRU", importGRU, 3, 6},
    {"Gather", importGather, 2, 2},
    {"Gelu", importActivation, 1, 1},
    {"Gemm", importGemm, 2, 3},
    {"GlobalAveragePool", importGlobalPool, 1, 1},
    {"GlobalMaxPool", importGlobalPool, 1, 1},
    {"Greater", importComparison, 2, 2},
    {"GreaterOrEqual", importComparison, 2, 2},
    {"HardSigmoid", importActivation, 1, 1},
    {"HardSwish", importActivation, 1, 1},
    {"Identity", importIdentity, 1, 1},
    {"InstanceNormalization", importInstanceNormalization, 3, 3},
    {"LayerNormalization", importLayerNormalization, 2, 3},
    {"LeakyRelu", importActivation, 1, 1},
    {"Less", importComparison, 2, 2},
    {"LessOrEqual", importComparison, 2, 2},
    {"Log", importUnary, 1, 1},
    {"LogSoftmax", importSoftmax, 1, 1},
    {"Loop", importLoop, 0, UINT_MAX},
    {"MatMul", importMatMul, 2, 2},
    {"Max", importArithmetic, 1, UINT_MAX},
    {"MaxPool", importPool, 1, 1},
    {"Mean", importArithmetic, 1, UINT_MAX},
    {"Min", importArithmetic, 1, UINT_MAX},
    {"Mish", importActivation, 1, 1},
    {"Mod", importArithmetic, 2, 2},
    {"Mul", importArithmetic, 2, 2},
    {"Neg", importUnary, 1, 1},
    {"Not", importLogical, 1, 1},
    {"Or", importLogical, 2, 2},
    {"PRelu", importPRelu, 2, 2},
    {"Pad", importPad, 1, 4},
    {"Pow", importPow, 2, 2},
    {"Range", importRange, 3, 3},
    {"Reciprocal", importUnary, 1, 1},
    {"ReduceL1", importReduction, 1, 2},
    {"ReduceL2", importReduction, 1, 2},
    {"ReduceMax", importReduction, 1, 2},
    {"ReduceMean", importReduction, 1, 2},
    {"ReduceMin", importReduction, 1, 2},
    {"ReduceProd", importReduction, 1, 2},
    {"ReduceSum", importReduction, 1, 2},
    {"ReduceSumSquare", importReduction, 1, 2},
    {"Relu", importActivation, 1, 1},
    {"Reshape", importReshape, 2, 2},
    {"ReverseSequence", importReverseSequence, 2, 2},
    {"Round", importUnary, 1, 1},
    {"ScatterND", importScatterND, 3, 3},
    {"Selu", importActivation, 1, 1},
    {"Shape", importShape, 1, 1},
    {"Sigmoid", importActivation, 1, 1},
    {"Sign", importUnary, 1, 1},
    {"Size", importSize, 1, 1},
    {"Slice", importSlice, 1, 5},
    {"Softmax", importSoftmax, 1, 1},
    {"Softplus", importActivation, 1, 1},
    {"Softsign", importActivation, 1, 1},
    {"Split", importSplit, 1, 2},
    {"Sqrt", importUnary, 1, 1},
    {"Squeeze", importSqueeze, 1, 2},
    {"Sub", importArithmetic, 2, 2},
    {"Sum", importArithmetic, 1, UINT_MAX},
    {"Swish", importActivation, 1, 1},
    {"Tanh", importActivation, 1, 1},
    {"Tile", importTile, 2, 2},
    {"Transpose", importTranspose, 1, 1},
    {"Unsqueeze", importUnsqueeze, 1, 2},
    {"Where", importWhere, 3, 3},
    {"Xor", importLogical, 2, 2},
};

const Operator *gru::onnx::findOperator(StringRef name) {
  const Operator *found =
      find_if(operators, [&](const Operator &op) { return op.name == name; });
  return found == std::end(operators) ? nullptr : found;
}

const char *gru::onnx::explainRefusal(StringRef name) {
  static constexpr std::pair<StringLiteral, const char *> reasons[] = {
      {"Scan", "a loop over nodes is not known to be a GRU; export a layer that "
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
    names.push_back(op.name);
  return listText(names);
}
