//===- GRUDialect.h - the gru dialect ---------------------------*- C++ -*-===//
//
// Includes everything generated from the dialect's ODS files.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_DIALECT_H
#define GRU_DIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialect/GRUDialect.h.inc"

#include "dialect/GRUEnums.h.inc"

namespace gru {
/// Parameters of an activation; what each means stands in the description of
/// `#gru.act`.
struct ActDefaults {
  double alpha, beta, gamma;
};
/// The parameters that a kind takes where nothing else is said.
ActDefaults getActDefaults(ActivationKind kind);
/// How many of alpha, beta, gamma a kind uses.
unsigned getNumActParameters(ActivationKind kind);

/// Names of the discardable attributes that the dialect's page lists.
inline constexpr llvm::StringLiteral kNameAttr = "gru.name";
inline constexpr llvm::StringLiteral kBatchDimAttr = "gru.batch_dim";
inline constexpr llvm::StringLiteral kWeightAttr = "gru.weight";
/// What the names of the outputs begin with that gru-time-layers adds.
inline constexpr llvm::StringLiteral kProfilePrefix = "profile:";
inline constexpr llvm::StringLiteral kWeightTypeAttr = "gru.weight_type";
inline constexpr llvm::StringLiteral kSparseAttr = "gru.sparse";
inline constexpr llvm::StringLiteral kPackedAttr = "gru.packed";
inline constexpr llvm::StringLiteral kStateAttr = "gru.state";
inline constexpr llvm::StringLiteral kOutputAttr = "gru.output";
inline constexpr llvm::StringLiteral kDimsAttr = "gru.dims";
inline constexpr llvm::StringLiteral kScratchAttr = "gru.scratch";
inline constexpr llvm::StringLiteral kSymbolsAttr = "gru.symbols";
inline constexpr llvm::StringLiteral kScratchRegionsAttr =
    "gru.scratch_regions";
/// Multiplications of an scf.parallel, for gru-distribute.
inline constexpr llvm::StringLiteral kProductsAttr = "gru.products";
inline constexpr llvm::StringLiteral kPlanAttr = "gru.plan";
inline constexpr llvm::StringLiteral kPackProgramAttr = "gru.pack_program";
} // namespace gru

#define GET_ATTRDEF_CLASSES
#include "dialect/GRUAttrs.h.inc"

#include "dialect/GRUInterfaces.h.inc"

#define GET_OP_CLASSES
#include "dialect/GRUOps.h.inc"

#endif // GRU_DIALECT_H
