//===- LinalgNest.cpp - how a linalg operation becomes vectors ------------===//

#include "lowering/cpu/LinalgNest.h"

#include "dialect/GRUDialect.h"

#include "mlir/Dialect/Affine/Analysis/AffineStructures.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace gru;

bool LinalgNest::analyze() {
  if (!checkBody() || !readOperands())
    return false;
  readLoops();
  if (!chooseLanes())
    return false;
  chooseRows();
  return true;
}

bool LinalgNest::checkBody() {
  int64_t bits = 0;
  auto see = [&](Type type) {
    if (type.isIndex())
      bits = std::max<int64_t>(bits, 64);
    else if (isa<FloatType>(type)) // Half types are computed in f32.
      bits =
          std::max<int64_t>({bits, 32, int64_t(type.getIntOrFloatBitWidth())});
    else if (type.isIntOrFloat())
      bits = std::max<int64_t>(bits, type.getIntOrFloatBitWidth());
    return type.isIndex() || type.isIntOrFloat();
  };
  for (BlockArgument argument : body->getArguments()) {
    // Booleans are bytes in memory and bits in vectors.
    if (!argument.getType().isIntOrFloat() ||
        argument.getType().getIntOrFloatBitWidth() % 8)
      return false;
    see(argument.getType());
  }
  for (Operation &each : body->without_terminator()) {
    if (isa<linalg::IndexOp>(each))
      asksForIndex = true;
    else if (!isa<arith::ConstantOp, ActivationOp>(each) &&
             (!OpTrait::hasElementwiseMappableTraits(&each) ||
              each.getNumRegions()))
      return false;
    if (each.getNumResults() != 1 || !see(each.getResult(0).getType()))
      return false;
    if (!isa<arith::ConstantOp, linalg::IndexOp>(each))
      ++work;
    if (isa<ActivationOp>(each) || isa<math::MathDialect>(each.getDialect()))
      work += 8;
  }
  lanes = vectorBytes * 8 / bits;
  return lanes >= 2;
}

/// A buffer without gaps is taken as one dimension.
bool LinalgNest::readOperands() {
  unsigned numLoops = op.getNumLoops();
  for (OpOperand &operand : op->getOpOperands()) {
    LinalgAccess access;
    access.value = operand.get();
    access.isOutput = op.isDpsInit(&operand);
    access.strides.assign(numLoops, 0);
    auto type = dyn_cast<MemRefType>(access.value.getType());
    if (!type) {
      if (!access.value.getType().isIntOrFloat())
        return false;
      accesses.push_back(access);
      continue;
    }
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(type.getStridesAndOffset(strides, offset)))
      return false;
    access.hasUnitStride = strides.empty() || strides.back() == 1;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    int64_t constant = 0;
    for (auto [expr, stride] : llvm::zip(map.getResults(), strides)) {
      SmallVector<int64_t> form;
      if (failed(getFlattenedAffineExpr(expr, numLoops, 0, &form)) ||
          form.size() != numLoops + 1)
        return false;
      for (unsigned loop = 0; loop < numLoops; ++loop) {
        int64_t &sum = access.strides[loop];
        if (form[loop] == 0 || ShapedType::isDynamic(sum))
          continue;
        sum =
            ShapedType::isDynamic(stride) ? stride : sum + form[loop] * stride;
      }
      constant += form.back() * (ShapedType::isDynamic(stride) ? 0 : stride);
      access.forms.push_back(std::move(form));
    }
    if (isFlat(type)) {
      SmallVector<int64_t> form = access.strides;
      form.push_back(constant);
      access.forms = {form};
    }
    accesses.push_back(access);
  }
  return true;
}

bool LinalgNest::isFlat(MemRefType type) {
  return type.getRank() > 0 && type.hasStaticShape() &&
         type.getLayout().isIdentity();
}

void LinalgNest::readLoops() {
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  SmallVector<utils::IteratorType> types = op.getIteratorTypesArray();
  for (auto [number, size] : llvm::enumerate(sizes)) {
    if (size == 1)
      continue;
    LinalgLoop loop{size,
                    Value(),
                    types[number] == utils::IteratorType::reduction,
                    {unsigned(number)}};
    if (!loops.empty() && canMerge(loops.back(), loop)) {
      loop.size *= loops.back().size;
      loops.back() = loop;
      continue;
    }
    loops.push_back(loop);
  }
}

/// Whether the iterations of both are equally spaced for every operand.
bool LinalgNest::canMerge(const LinalgLoop &outer,
                          const LinalgLoop &inner) const {
  if (asksForIndex || outer.isReduction != inner.isReduction ||
      ShapedType::isDynamic(outer.size) || ShapedType::isDynamic(inner.size))
    return false;
  unsigned i = outer.number.back(), j = inner.number.back();
  return llvm::all_of(accesses, [&](const LinalgAccess &access) {
    if (access.strides[i] == 0 && access.strides[j] == 0)
      return llvm::all_of(access.forms, [&](ArrayRef<int64_t> form) {
        return form[i] == 0 && form[j] == 0;
      });
    return access.forms.size() == 1 &&
           !ShapedType::isDynamic(access.strides[i]) &&
           !ShapedType::isDynamic(access.strides[j]) &&
           access.strides[i] == access.strides[j] * inner.size;
  });
}

/// The loop whose iterations become lanes.
bool LinalgNest::chooseLanes() {
  double best = 1.5;
  // LLVM takes vectors of bf16 apart through library calls.
  Type sum = body->getArguments().back().getType();
  bool mayReduce = getCombiner() && !sum.isF16() && !sum.isBF16();
  for (unsigned loop = 0; loop < loops.size(); ++loop) {
    bool reduction = loops[loop].isReduction;
    if (loops[loop].size == 0 || (reduction && !mayReduce))
      continue;
    double scattered = 0, contiguous = 0;
    bool fits = true;
    for (const LinalgAccess &access : accesses) {
      int64_t step = stride(access, loop);
      bool unit = access.hasUnitStride;
      if (access.isOutput)
        fits &= reduction ? step == 0 : step == 1 && unit;
      else if (step == 1 && unit)
        ++contiguous;
      else if (step == 2 && unit)
        scattered += 0.25;
      else if (step != 0)
        ++scattered;
    }
    if (!fits || (reduction && (scattered > 0 || contiguous == 0)))
      continue;
    int64_t size = loops[loop].size;
    double score = ShapedType::isDynamic(size)
                       ? lanes
                       : double(size) / llvm::divideCeil(uint64_t(size), lanes);
    // Elements that are gathered cost what they do without vectors.
    score *= (1.0 + work) / (1.0 + work + score * scattered);
    // Sums that need no tree at the end are better.
    if (reduction)
      score *= 0.5;
    if (score > best) {
      best = score;
      lane = loop;
    }
  }
  return lane >= 0;
}

Operation *LinalgNest::getCombiner() {
  if (op.getNumDpsInits() != 1)
    return nullptr;
  BlockArgument sum = body->getArguments().back();
  if (!sum.hasOneUse())
    return nullptr;
  Operation *combiner = *sum.getUsers().begin();
  Value yielded = body->getTerminator()->getOperand(0);
  if (combiner->getBlock() != body || combiner->getNumResults() != 1 ||
      combiner->getResult(0) != yielded || !yielded.hasOneUse() ||
      !isa<arith::AddFOp, arith::MulFOp, arith::MaximumFOp, arith::MinimumFOp,
           arith::MaxNumFOp, arith::MinNumFOp, arith::AddIOp, arith::MulIOp>(
          combiner) ||
      !arith::getNeutralElement(combiner))
    return nullptr;
  return combiner;
}

/// Vectors side by side and rows below each other whose sums stay in
/// registers. Some registers are left for what is multiplied.
void LinalgNest::chooseRows() {
  if (!hasReductions() || loops[lane].isReduction)
    return;
  int64_t budget = registers * 3 / 4;
  int64_t size = loops[lane].size;
  int64_t wanted = ShapedType::isDynamic(size)
                       ? 1
                       : int64_t(llvm::divideCeil(uint64_t(size), lanes));
  int64_t most = 0;
  for (unsigned loop = 0; loop < loops.size(); ++loop) {
    if (loops[loop].isReduction || int(loop) == lane ||
        ShapedType::isDynamic(loops[loop].size))
      continue;
    bool shares = llvm::any_of(accesses, [&](const LinalgAccess &access) {
      return !access.isOutput && stride(access, lane) != 0 &&
             stride(access, loop) == 0;
    });
    if (shares && loops[loop].size > most) {
      most = loops[loop].size;
      row = loop;
    }
  }
  vectors = std::min<int64_t>(wanted, row < 0 ? budget / 2 : 4);
  if (row < 0)
    return;
  int64_t fit = std::max<int64_t>(budget / vectors, 1);
  // As few blocks as possible, all of about one height.
  uint64_t blocks = llvm::divideCeil(uint64_t(most), fit);
  rows = int64_t(llvm::divideCeil(uint64_t(most), blocks));
}
