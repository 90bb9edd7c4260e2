//===- Operators.h - the import functions of all operators ------*- C++ -*-===//

#ifndef GRU_COMPILER_IMPORT_ONNX_OPERATORS_OPERATORS_H
#define GRU_COMPILER_IMPORT_ONNX_OPERATORS_OPERATORS_H

#include "compiler/import/onnx/Node.h"

namespace gru::onnx {

using ImportFunction = llvm::Expected<Tensors> (*)(Node &);

/// Operators that one function imports.
struct Operator {
  llvm::StringLiteral names; ///< With blanks between them.
  ImportFunction function;
  unsigned minInputs, maxInputs;
};

/// Null for one that is not supported.
const Operator *findOperator(llvm::StringRef name);
/// Why a known operator is refused and what to do instead; null for others.
const char *explainRefusal(llvm::StringRef name);
/// The names of all supported operators, for messages.
std::string listOperators();

// Recurrent.cpp
llvm::Expected<Tensors> importGRU(Node &node);

// Loop.cpp
llvm::Expected<Tensors> importLoop(Node &node);

// Constants.cpp
llvm::Expected<Tensors> importConstant(Node &node);
llvm::Expected<Tensors> importConstantOfShape(Node &node);
llvm::Expected<Tensors> importShape(Node &node);
llvm::Expected<Tensors> importSize(Node &node);
llvm::Expected<Tensors> importRange(Node &node);
llvm::Expected<Tensors> importCast(Node &node);
llvm::Expected<Tensors> importIdentity(Node &node);
llvm::Expected<Tensors> importDropout(Node &node);

// Unary.cpp
llvm::Expected<Tensors> importActivation(Node &node);
llvm::Expected<Tensors> importUnary(Node &node);
llvm::Expected<Tensors> importSoftmax(Node &node);

// Elementwise.cpp
llvm::Expected<Tensors> importArithmetic(Node &node);
llvm::Expected<Tensors> importComparison(Node &node);
llvm::Expected<Tensors> importLogical(Node &node);
llvm::Expected<Tensors> importPow(Node &node);
llvm::Expected<Tensors> importPRelu(Node &node);
llvm::Expected<Tensors> importClip(Node &node);
llvm::Expected<Tensors> importWhere(Node &node);

// Shapes.cpp
llvm::Expected<Tensors> importReshape(Node &node);
llvm::Expected<Tensors> importFlatten(Node &node);
llvm::Expected<Tensors> importSqueeze(Node &node);
llvm::Expected<Tensors> importUnsqueeze(Node &node);
llvm::Expected<Tensors> importTranspose(Node &node);
llvm::Expected<Tensors> importExpand(Node &node);
llvm::Expected<Tensors> importTile(Node &node);

// Slicing.cpp
llvm::Expected<Tensors> importSlice(Node &node);
llvm::Expected<Tensors> importSplit(Node &node);
llvm::Expected<Tensors> importConcat(Node &node);

// Gather.cpp
llvm::Expected<Tensors> importGather(Node &node);
llvm::Expected<Tensors> importScatterND(Node &node);

// Padding.cpp
llvm::Expected<Tensors> importPad(Node &node);
llvm::Expected<Tensors> importReverseSequence(Node &node);

// Products.cpp
llvm::Expected<Tensors> importMatMul(Node &node);
llvm::Expected<Tensors> importGemm(Node &node);

// Normalization.cpp
llvm::Expected<Tensors> importReduction(Node &node);
llvm::Expected<Tensors> importLayerNormalization(Node &node);
llvm::Expected<Tensors> importBatchNormalization(Node &node);
llvm::Expected<Tensors> importInstanceNormalization(Node &node);

// Convolution.cpp
llvm::Expected<Tensors> importConv(Node &node);
llvm::Expected<Tensors> importConvTranspose(Node &node);
llvm::Expected<Tensors> importPool(Node &node);
llvm::Expected<Tensors> importGlobalPool(Node &node);

} // namespace gru::onnx

#endif // GRU_COMPILER_IMPORT_ONNX_OPERATORS_OPERATORS_H
