//===- LinalgNest.h - how a linalg operation becomes vectors --------------===//
//
// What gru-convert-linalg-to-vector knows of an operation before it changes
// anything: the operands as its loops see them, the loops that are left, and
// which of them become lanes and rows of registers.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_CPU_LINALGNEST_H
#define GRU_LOWERING_CPU_LINALGNEST_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gru {

/// An operand as the loops see it: indices[i] = sum forms[i][loop] * loop +
/// forms[i].back().
struct LinalgAccess {
  mlir::Value value;
  llvm::SmallVector<llvm::SmallVector<int64_t>> forms;
  /// Elements from one iteration of a loop to the next.
  llvm::SmallVector<int64_t> strides;
  /// The last dimension has stride 1, as vector.load wants it.
  bool hasUnitStride = true;
  bool isOutput;

  bool isScalar() const {
    return !mlir::isa<mlir::MemRefType>(value.getType());
  }
};

/// A loop that is left after loops of one iteration are gone and neighbours
/// that run along one dimension in memory are one.
struct LinalgLoop {
  int64_t size;
  mlir::Value sizeValue; ///< Null until code is emitted.
  bool isReduction;
  /// Of the operation; several if merged.
  llvm::SmallVector<unsigned> number = {};
};

/// The loops of one operation and the choices made for them.
class LinalgNest {
public:
  LinalgNest(mlir::linalg::LinalgOp op, int64_t vectorBytes, int64_t registers)
      : op(op), body(op.getBlock()), vectorBytes(vectorBytes),
        registers(registers) {}

  /// False where the operation has no form that vectors fit.
  bool analyze();

protected:
  /// Elements of an operand from one iteration of loops[loop] to the next.
  int64_t stride(const LinalgAccess &access, unsigned loop) const {
    return access.strides[loops[loop].number.back()];
  }
  /// The factor of loops[loop] in one of LinalgAccess::forms.
  int64_t form(llvm::ArrayRef<int64_t> form, unsigned loop) const {
    return form[loops[loop].number.back()];
  }
  bool hasReductions() const {
    return llvm::any_of(loops,
                        [](const LinalgLoop &l) { return l.isReduction; });
  }
  /// The operation that makes a reduction of the body's other values, or null.
  mlir::Operation *getCombiner();
  /// Whether a buffer is taken as one dimension: it has no gaps.
  static bool isFlat(mlir::MemRefType type);

  mlir::linalg::LinalgOp op;
  mlir::Block *body;
  int64_t vectorBytes, registers;

  int64_t lanes = 0;         ///< Of a vector of what is computed.
  bool asksForIndex = false; ///< The body has a linalg.index.
  llvm::SmallVector<LinalgAccess> accesses;
  llvm::SmallVector<LinalgLoop> loops;
  int lane = -1, row = -1; ///< Loops; -1 for none.
  /// Vectors side by side and rows below each other whose sums stay in
  /// registers.
  int64_t vectors = 1, rows = 1;

private:
  bool checkBody();
  bool readOperands();
  void readLoops();
  bool canMerge(const LinalgLoop &outer, const LinalgLoop &inner) const;
  bool chooseLanes();
  void chooseRows();

  int64_t work = 0; ///< Operations of the body, by their cost.
};

} // namespace gru

#endif // GRU_LOWERING_CPU_LINALGNEST_H
