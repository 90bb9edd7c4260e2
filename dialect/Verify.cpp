//===- Verify.cpp - what verifiers share ----------------------------------===//

#include "dialect/Verify.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace gru;

bool gru::fits(int64_t found, int64_t expected) {
  return ShapedType::isDynamic(found) || ShapedType::isDynamic(expected) ||
         found == expected;
}

ArrayRef<int64_t> gru::shapeOf(Value value) {
  return cast<ShapedType>(value.getType()).getShape();
}

LogicalResult gru::checkShape(Operation *op, StringRef argument, Value value,
                              ArrayRef<int64_t> expected, StringRef meaning) {
  if (!value)
    return success();
  ArrayRef<int64_t> found = shapeOf(value);
  if (found.size() == expected.size() &&
      llvm::all_of(llvm::zip(found, expected),
                   [](auto p) { return fits(std::get<0>(p), std::get<1>(p)); }))
    return success();
  return op->emitOpError() << argument << " is " << shapeText(found)
                           << ", expected " << shapeText(expected) << " ("
                           << meaning << ")";
}

LogicalResult
gru::checkElementTypes(Operation *op, Value reference,
                       ArrayRef<std::pair<StringRef, Value>> others) {
  Type expected = getElementTypeOrSelf(reference.getType());
  for (auto [name, value] : others)
    if (value && getElementTypeOrSelf(value.getType()) != expected)
      return op->emitOpError()
             << name << " has element type "
             << getElementTypeOrSelf(value.getType()) << ", expected "
             << expected << " like the input";
  return success();
}

void gru::destinationEffects(
    DestinationStyleOpInterface op, ArrayRef<Value> readInits,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  auto add = [&](OpOperand &operand, MemoryEffects::Effect *effect) {
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(effect, &operand,
                           SideEffects::DefaultResource::get());
  };
  for (OpOperand *operand : op.getDpsInputOperands())
    add(*operand, MemoryEffects::Read::get());
  for (OpOperand &operand : op.getDpsInitsMutable()) {
    if (llvm::is_contained(readInits, operand.get()))
      add(operand, MemoryEffects::Read::get());
    add(operand, MemoryEffects::Write::get());
  }
}

LogicalResult gru::verifyResults(DestinationStyleOpInterface op) {
  SmallVector<Type> expected;
  for (OpOperand &init : op.getDpsInitsMutable())
    if (isa<TensorType>(init.get().getType()))
      expected.push_back(init.get().getType());
  if (llvm::equal(op->getResultTypes(), expected))
    return success();
  return op->emitOpError() << "has " << op->getNumResults()
                           << " results, expected one of the same type per "
                              "tensor destination";
}
