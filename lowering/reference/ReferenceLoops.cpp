//===- ReferenceLoops.cpp - the yardstick: plain scalar loops -------------===//
//
// Every gru operation as the loops that its formula says; that of a step stands
// in Recurrence.h.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/reference/Recurrence.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

namespace gru {
#define GEN_PASS_DEF_CONVERTTOREFERENCELOOPSPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;
using namespace gru::reference;

namespace {
class ReferenceLowering {
public:
  explicit ReferenceLowering(func::FuncOp func) : func(func) {}

  LogicalResult run() {
    SmallVector<Operation *> ops;
    func.walk([&](Operation *op) {
      if (isa<GRUOp, CellOp, DenseOp, PackOp, QuantizedPackOp, QuantizeRowsOp,
              PackedDenseOp, RecurOp, StepOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      OpBuilder b(op);
      Scalar s(b, op->getLoc());
      llvm::TypeSwitch<Operation *>(op)
          .Case<GRUOp, CellOp, DenseOp, PackOp, QuantizedPackOp, QuantizeRowsOp,
                PackedDenseOp, RecurOp, StepOp>(
              [&](auto typed) { lower(s, typed); });
      op->erase();
    }
    return success();
  }

private:
  //===--------------------------------------------------------------------===//
  // Layer level
  //===--------------------------------------------------------------------===//

  /// Column gate * H + unit.
  static Value column(Scalar &s, int64_t gate, int64_t units, Value unit) {
    return s.addIndex(s.index(gate * units), unit);
  }

  /// Row 0 plus, for z and r, row 1 of a bias; null without a bias.
  static Value inputBias(Scalar &s, Value bias, int64_t gate, int64_t units,
                         Value unit, bool resetAfter, Type element) {
    if (!bias)
      return s.number(element, 0);
    Value at = column(s, gate, units, unit);
    if (!resetAfter)
      return s.load(bias, at);
    Value sum = s.load(bias, {s.index(0), at});
    if (gate < 2)
      sum = s.add(sum, s.load(bias, {s.index(1), at}));
    return sum;
  }

  void lower(Scalar &s, GRUOp op) {
    auto buffer = [&](Value value) {
      return value ? asBuffer(s.b, s.loc, value) : Value();
    };
    Value x = buffer(op.getInput()), kernel = buffer(op.getKernel());
    Value recurrent = buffer(op.getRecurrentKernel());
    Value bias = buffer(op.getBias()), mask = buffer(op.getMask());
    Value lengths = buffer(op.getLengths()), reset = buffer(op.getReset());
    Value dropout = buffer(op.getDropoutMask());
    Value recurrentDropout = buffer(op.getRecurrentDropoutMask());
    int64_t units = op.getUnits();
    Type element = cast<ShapedType>(op.getInput().getType()).getElementType();
    bool timeMajor = op.getTimeMajor(), resetAfter = op.getResetAfter();

    Recurrence loop;
    loop.units = units;
    loop.element = element;
    loop.batch = sizeOf(s.b, s.loc, x, op.getBatchDim());
    loop.time = sizeOf(s.b, s.loc, x, op.getTimeDim());
    loop.activation = op.getActivation();
    loop.recurrentActivation = op.getRecurrentActivation();
    loop.clip = op.getClipAttr();
    loop.resetAfter = resetAfter;
    loop.backwards = op.getGoBackwards();
    loop.writeWhereRead = false;
    loop.zeroOutputForMask = op.getZeroOutputForMask() || lengths;
    loop.zeroByPosition = op.getUnroll() && op.getGoBackwards();
    loop.timeMajor = timeMajor;
    auto at = [timeMajor](Value row, Value t) {
      return timeMajor ? SmallVector<Value>{t, row}
                       : SmallVector<Value>{row, t};
    };
    if (mask)
      loop.mask = [&](Value row, Value t) { return s.load(mask, at(row, t)); };
    if (lengths)
      loop.mask = [&](Value row, Value t) -> Value {
        Value length = arith::IndexCastOp::create(
            s.b, s.loc, s.b.getIndexType(), s.load(lengths, row));
        return arith::CmpIOp::create(s.b, s.loc, arith::CmpIPredicate::slt, t,
                                     length);
      };
    if (reset)
      loop.reset = [&](Value row, Value t) {
        return s.load(reset, at(row, t));
      };
    Value features = s.index(op.getFeatures());
    loop.input = [&](Value row, Value t, int64_t gate, Value unit) {
      Value first = inputBias(s, bias, gate, units, unit, resetAfter, element);
      return s.sum(first, features, [&](Value f) {
        SmallVector<Value> where = at(row, t);
        where.push_back(f);
        Value value = s.load(x, where);
        if (dropout) {
          int64_t g = op.getImplementation() == 1 ? gate : 0;
          value = s.mul(value, s.load(dropout, {s.index(g), row, f}));
        }
        return s.mul(value, s.load(kernel, {f, column(s, gate, units, unit)}));
      });
    };
    loop.weight = [&](int64_t gate, Value k, Value unit) {
      return s.load(recurrent, {k, column(s, gate, units, unit)});
    };
    if (bias && resetAfter)
      loop.candidateBias = [&](Value unit) {
        return s.load(bias, {s.index(1), column(s, 2, units, unit)});
      };
    if (recurrentDropout)
      loop.stateFactor = [&](Value row, int64_t gate, Value k) {
        return s.load(recurrentDropout, {s.index(gate), row, k});
      };

    auto allocResult = [&](Value result, ArrayRef<Value> dynamicSizes) {
      auto type = cast<RankedTensorType>(result.getType());
      SmallVector<Value> sizes;
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        if (type.isDynamicDim(dim))
          sizes.push_back(dynamicSizes[dim]);
      return Value(memref::AllocOp::create(
          s.b, s.loc, MemRefType::get(type.getShape(), type.getElementType()),
          sizes));
    };
    loop.state = allocResult(op.getState(), {loop.batch, Value()});
    if (op.getInitialState()) {
      memref::CopyOp::create(s.b, s.loc, buffer(op.getInitialState()),
                             loop.state);
    } else {
      Value zero = s.number(element, 0);
      s.loop(loop.batch, [&](Value row) {
        s.loop(s.index(units),
               [&](Value u) { s.store(zero, loop.state, {row, u}); });
      });
    }
    if (!op.getSequence().use_empty())
      loop.sequence =
          allocResult(op.getSequence(),
                      timeMajor ? ArrayRef<Value>{loop.time, loop.batch, {}}
                                : ArrayRef<Value>{loop.batch, loop.time, {}});
    if (!op.getLast().use_empty())
      loop.last = allocResult(op.getLast(), {loop.batch, Value()});
    loop.emit(s);
    if (loop.sequence)
      op.getSequence().replaceAllUsesWith(asTensor(s.b, s.loc, loop.sequence));
    if (loop.last)
      op.getLast().replaceAllUsesWith(asTensor(s.b, s.loc, loop.last));
    if (!op.getState().use_empty())
      op.getState().replaceAllUsesWith(asTensor(s.b, s.loc, loop.state));
  }

  void lower(Scalar &s, CellOp op) {
    Value x = asBuffer(s.b, s.loc, op.getInput());
    Value old = asBuffer(s.b, s.loc, op.getStateIn());
    Value kernel = asBuffer(s.b, s.loc, op.getKernel());
    Value recurrent = asBuffer(s.b, s.loc, op.getRecurrentKernel());
    Value bias = op.getBias() ? asBuffer(s.b, s.loc, op.getBias()) : Value();
    auto buffer = [&](Value value) {
      return value ? asBuffer(s.b, s.loc, value) : Value();
    };
    Value dropout = buffer(op.getDropoutMask());
    Value recurrentDropout = buffer(op.getRecurrentDropoutMask());
    int64_t units = op.getUnits();
    Type element = cast<ShapedType>(op.getInput().getType()).getElementType();
    RowEmitter row(s, units, element, op.getActivation(),
                   op.getRecurrentActivation(), op.getClipAttr(),
                   op.getResetAfter());
    Value result = allocLike(s.b, s.loc, old);
    Value features = s.index(op.getFeatures());
    s.loop(sizeOf(s.b, s.loc, x, 0), [&](Value b) {
      StepReads reads;
      reads.input = [&](int64_t gate, Value u) {
        Value first =
            inputBias(s, bias, gate, units, u, op.getResetAfter(), element);
        return s.sum(first, features, [&](Value f) {
          Value value = s.load(x, {b, f});
          if (dropout) {
            int64_t g = op.getImplementation() == 1 ? gate : 0;
            value = s.mul(value, s.load(dropout, {s.index(g), b, f}));
          }
          return s.mul(value, s.load(kernel, {f, column(s, gate, units, u)}));
        });
      };
      reads.state = [&](int64_t gate, Value k) {
        Value h = s.load(old, {b, k});
        return recurrentDropout
                   ? s.mul(h, s.load(recurrentDropout, {s.index(gate), b, k}))
                   : h;
      };
      reads.weight = [&](int64_t gate, Value k, Value u) {
        return s.load(recurrent, {k, column(s, gate, units, u)});
      };
      if (bias && op.getResetAfter())
        reads.candidateBias = [&](Value u) {
          return s.load(bias, {s.index(1), column(s, 2, units, u)});
        };
      row.emitGates(reads);
      row.emitCandidate(reads);
      s.loop(row.numUnits, [&](Value u) {
        s.store(row.blend(s.load(row.z, u), s.load(old, {b, u}), u), result,
                {b, u});
      });
    });
    op.getState().replaceAllUsesWith(asTensor(s.b, s.loc, result));
  }

  /// Loops over all leading dimensions of `buffer`.
  static void overRows(Scalar &s, Value buffer,
                       function_ref<void(ValueRange)> body) {
    int64_t leading = cast<MemRefType>(buffer.getType()).getRank() - 1;
    SmallVector<Value> at;
    auto recurse = [&](auto &self) -> void {
      if (int64_t(at.size()) == leading)
        return body(at);
      s.loop(sizeOf(s.b, s.loc, buffer, at.size()), [&](Value i) {
        at.push_back(i);
        self(self);
        at.pop_back();
      });
    };
    recurse(recurse);
  }

  void lower(Scalar &s, DenseOp op) {
    Value x = asBuffer(s.b, s.loc, op.getInput());
    Value kernel = asBuffer(s.b, s.loc, op.getKernel());
    Value bias = op.getBias() ? asBuffer(s.b, s.loc, op.getBias()) : Value();
    auto type = cast<RankedTensorType>(op.getType());
    SmallVector<Value> dynamicSizes;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (type.isDynamicDim(dim))
        dynamicSizes.push_back(sizeOf(s.b, s.loc, x, dim));
    Value y = memref::AllocOp::create(
        s.b, s.loc, MemRefType::get(type.getShape(), type.getElementType()),
        dynamicSizes);
    emitDense(
        s, x, y, op.getActivation(),
        [&](Value n) {
          return bias ? s.load(bias, n) : s.number(type.getElementType(), 0);
        },
        [&](Value k, Value n) { return s.load(kernel, {k, n}); });
    op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, y));
  }

  static void emitDense(Scalar &s, Value x, Value y, ActAttr activation,
                        function_ref<Value(Value n)> bias,
                        function_ref<Value(Value k, Value n)> weight) {
    int64_t axis = cast<MemRefType>(x.getType()).getRank() - 1;
    Value inner = sizeOf(s.b, s.loc, x, axis);
    Value columns = sizeOf(s.b, s.loc, y, axis);
    overRows(s, x, [&](ValueRange row) {
      s.loop(columns, [&](Value n) {
        Value sum = s.sum(bias(n), inner, [&](Value k) {
          SmallVector<Value> at(row);
          at.push_back(k);
          return s.mul(s.load(x, at), weight(k, n));
        });
        SmallVector<Value> at(row);
        at.push_back(n);
        s.store(sum, y, at);
      });
      s.activate(activation, {}, rowOf(s.b, s.loc, y, row), columns);
    });
  }

  //===--------------------------------------------------------------------===//
  // Sequence level
  //===--------------------------------------------------------------------===//

  void lower(Scalar &s, PackOp op) {
    Value source = asBuffer(s.b, s.loc, op.getSource());
    auto sourceType = cast<MemRefType>(source.getType());
    auto type = cast<RankedTensorType>(op.getType());
    Type element = sourceType.getElementType();
    Value result = memref::AllocOp::create(
        s.b, s.loc, MemRefType::get(type.getShape(), type.getElementType()));
    int64_t units = sourceType.getShape().back() / int64_t(op.getGates());
    int64_t width = op.getWidth();
    PackPart part = op.getPart();
    bool biasPart =
        part == PackPart::input_bias || part == PackPart::recurrent_bias;
    Value numUnits = s.index(units);
    SmallVector<Value> sizes;
    for (int64_t size : type.getShape())
      sizes.push_back(s.index(size));
    forEachIndex(
        s.b, s.loc, sizes, [&](OpBuilder &inner, Location, ValueRange at) {
          OpBuilder::InsertionGuard guard(s.b);
          s.b.restoreInsertionPoint(inner.saveInsertionPoint());
          Value block = at.front(), lane = at.back(), gate = at[at.size() - 2];
          Value unit = s.addIndex(
              arith::MulIOp::create(s.b, s.loc, block, s.index(width)), lane);
          Value inside = arith::CmpIOp::create(
              s.b, s.loc, arith::CmpIPredicate::slt, unit, numUnits);
          // Padding reads a valid place and takes zero instead.
          Value safe =
              arith::MinSIOp::create(s.b, s.loc, unit, s.index(units - 1));
          Value sourceGate = gate;
          if (part == PackPart::candidate || part == PackPart::recurrent_bias)
            sourceGate = s.index(2);
          Value column = s.addIndex(
              arith::MulIOp::create(s.b, s.loc, sourceGate, numUnits), safe);
          SmallVector<Value> from;
          if (biasPart)
            from.push_back(s.index(part == PackPart::recurrent_bias ? 1 : 0));
          else if (sourceType.getRank() == 2)
            from.push_back(at[1]);
          from.push_back(column);
          Value value = s.load(source, from);
          if (part == PackPart::input_bias) {
            Value second = s.load(source, {s.index(1), column});
            Value both = arith::CmpIOp::create(
                s.b, s.loc, arith::CmpIPredicate::slt, gate, s.index(2));
            value = s.add(value, s.select(both, second, s.number(element, 0)));
          }
          value = s.select(inside, value, s.number(element, 0));
          if (element != type.getElementType())
            value = arith::TruncFOp::create(s.b, s.loc, type.getElementType(),
                                            value);
          s.store(value, result, at);
        });
    op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, result));
  }

  void lower(Scalar &s, QuantizedPackOp op) {
    Value source = asBuffer(s.b, s.loc, op.getSource());
    auto type = cast<RankedTensorType>(op.getResult().getType());
    Type element = getElementTypeOrSelf(op.getSource().getType());
    Type byte = type.getElementType();
    auto alloc = [&](Value of) {
      auto shape = cast<RankedTensorType>(of.getType());
      return memref::AllocOp::create(
          s.b, s.loc,
          MemRefType::get(shape.getShape(), shape.getElementType()));
    };
    Value result = alloc(op.getResult()), scale = alloc(op.getScale());
    int64_t units = cast<MemRefType>(source.getType()).getDimSize(1) /
                    int64_t(op.getGates());
    Value numRows = s.index(cast<MemRefType>(source.getType()).getDimSize(0));
    int64_t width = type.getDimSize(3) / 4;
    SmallVector<Value> sizes{s.index(type.getDimSize(0)),
                             s.index(type.getDimSize(2)), s.index(width)};
    // What sums begin with, in row 0, is of no use to sums of real numbers, nor
    // is what is behind the last row.
    SmallVector<Value> all;
    for (int64_t size : type.getShape())
      all.push_back(s.index(size));
    Value nothing =
        arith::ConstantOp::create(s.b, s.loc, s.b.getIntegerAttr(byte, 0));
    forEachIndex(s.b, s.loc, all,
                 [&](OpBuilder &b, Location loc, ValueRange at) {
                   memref::StoreOp::create(b, loc, nothing, result, at);
                 });
    forEachIndex(
        s.b, s.loc, sizes, [&](OpBuilder &inner, Location, ValueRange at) {
          OpBuilder::InsertionGuard guard(s.b);
          s.b.restoreInsertionPoint(inner.saveInsertionPoint());
          Value block = at[0], gate = at[1], lane = at[2];
          Value unit = s.addIndex(
              arith::MulIOp::create(s.b, s.loc, block, s.index(width)), lane);
          Value inside = arith::CmpIOp::create(
              s.b, s.loc, arith::CmpIPredicate::slt, unit, s.index(units));
          // Padding reads a valid place and takes zero instead.
          Value safe =
              arith::MinSIOp::create(s.b, s.loc, unit, s.index(units - 1));
          Value sourceGate =
              op.getPart() == PackPart::candidate ? s.index(2) : gate;
          Value column = s.addIndex(
              arith::MulIOp::create(s.b, s.loc, sourceGate, s.index(units)),
              safe);
          Value zero = s.number(element, 0);
          auto read = [&](Value k) {
            return s.select(inside, s.load(source, {k, column}), zero);
          };
          Value largest =
              s.fold(zero, numRows, [&](Value so, Value k) -> Value {
                return arith::MaximumFOp::create(
                    s.b, s.loc, so, math::AbsFOp::create(s.b, s.loc, read(k)));
              });
          Value step = arith::DivFOp::create(s.b, s.loc, largest,
                                             s.number(element, 127));
          s.store(step, scale, at);
          Value none = arith::CmpFOp::create(
              s.b, s.loc, arith::CmpFPredicate::OEQ, step, zero);
          Value divisor = s.select(none, s.number(element, 1), step);
          s.loop(numRows, [&](Value k) {
            Value quotient = math::RoundEvenOp::create(
                s.b, s.loc,
                arith::DivFOp::create(s.b, s.loc, read(k), divisor));
            s.store(arith::FPToSIOp::create(s.b, s.loc, byte, quotient), result,
                    quantizedPlace(s, block, k, gate, lane));
          });
        });
    op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, result));
    op.getScale().replaceAllUsesWith(asTensor(s.b, s.loc, scale));
  }

  /// Where gru.quantized_pack puts a byte.
  static SmallVector<Value> quantizedPlace(Scalar &s, Value block, Value k,
                                           Value gate, Value lane) {
    Value four = s.index(4);
    Value row =
        s.addIndex(arith::DivUIOp::create(s.b, s.loc, k, four), s.index(1));
    Value column = s.addIndex(arith::MulIOp::create(s.b, s.loc, lane, four),
                              arith::RemUIOp::create(s.b, s.loc, k, four));
    return {block, row, gate, column};
  }

  /// x / scale to the nearest whole number, where scale is the largest
  /// magnitude of a row divided by 127 and not all but zero.
  static Value quotient(Scalar &s, Value x, Value scale, Value divides) {
    Value divisor = s.select(divides, scale, s.number(x.getType(), 1));
    Value rounded = math::RoundEvenOp::create(
        s.b, s.loc, arith::DivFOp::create(s.b, s.loc, x, divisor));
    return s.select(divides, rounded, s.number(x.getType(), 0));
  }

  /// The scale of a row of bytes, and whether it divides.
  static std::pair<Value, Value> rowScale(Scalar &s, Type element, Value size,
                                          function_ref<Value(Value k)> read) {
    Value largest =
        s.fold(s.number(element, 0), size, [&](Value so, Value k) -> Value {
          return arith::MaximumFOp::create(
              s.b, s.loc, so, math::AbsFOp::create(s.b, s.loc, read(k)));
        });
    Value divides = arith::CmpFOp::create(s.b, s.loc, arith::CmpFPredicate::OGT,
                                          largest, s.number(element, 1e-30));
    return {arith::DivFOp::create(s.b, s.loc, largest, s.number(element, 127)),
            divides};
  }

  void lower(Scalar &s, QuantizeRowsOp op) {
    Value x = asBuffer(s.b, s.loc, op.getInput());
    Value bytes = destination(s, op.getBytes());
    Value scale = destination(s, op.getScale());
    auto type = cast<MemRefType>(x.getType());
    SmallVector<Value> rows;
    for (int64_t dim = 0; dim + 1 < type.getRank(); ++dim)
      rows.push_back(sizeOf(s.b, s.loc, x, dim));
    Value columns = s.index(type.getShape().back());
    forEachIndex(
        s.b, s.loc, rows, [&](OpBuilder &inner, Location, ValueRange row) {
          OpBuilder::InsertionGuard guard(s.b);
          s.b.restoreInsertionPoint(inner.saveInsertionPoint());
          auto at = [&](Value k) {
            SmallVector<Value> at(row);
            at.push_back(k);
            return at;
          };
          auto [step, divides] =
              rowScale(s, type.getElementType(), columns,
                       [&](Value k) { return s.load(x, at(k)); });
          s.store(step, scale, row);
          s.loop(columns, [&, step = step, divides = divides](Value k) {
            Value byte = s.add(quotient(s, s.load(x, at(k)), step, divides),
                               s.number(type.getElementType(), 128));
            s.store(arith::FPToUIOp::create(s.b, s.loc, s.b.getI8Type(), byte),
                    bytes, at(k));
          });
        });
    if (op.getNumResults() == 0)
      return;
    op.getResult(0).replaceAllUsesWith(asTensor(s.b, s.loc, bytes));
    op.getResult(1).replaceAllUsesWith(asTensor(s.b, s.loc, scale));
  }

  /// A byte of gru.quantize_rows as the number that it stands for.
  static Value dequantized(Scalar &s, Value bytes, ValueRange at, Value scale) {
    Type element = scale.getType();
    Value byte =
        arith::UIToFPOp::create(s.b, s.loc, element, s.load(bytes, at));
    return s.mul(s.sub(byte, s.number(element, 128)), scale);
  }

  /// [NB, ..., W] at unit u: block u / W, lane u % W.
  static std::pair<Value, Value> blockAndLane(Scalar &s, Value unit,
                                              int64_t width) {
    Value w = s.index(width);
    return {arith::DivUIOp::create(s.b, s.loc, unit, w),
            arith::RemUIOp::create(s.b, s.loc, unit, w)};
  }

  /// A destination that may be written: a copy of a tensor, a memref as it is.
  static Value destination(Scalar &s, Value init) {
    if (isa<MemRefType>(init.getType()))
      return init;
    Value source = asBuffer(s.b, s.loc, init);
    Value copy = allocLike(s.b, s.loc, source);
    memref::CopyOp::create(s.b, s.loc, source, copy);
    return copy;
  }

  void lower(Scalar &s, PackedDenseOp op) {
    Value x = asBuffer(s.b, s.loc, op.getInput());
    Value kernel = asBuffer(s.b, s.loc, op.getKernel());
    Value bias = op.getBias() ? asBuffer(s.b, s.loc, op.getBias()) : Value();
    Value y = destination(s, op.getInit());
    Type element = op.getInitType().getElementType();
    int64_t width =
        op.getKernelType().getDimSize(3) / (op.isQuantized() ? 4 : 1);
    auto buffer = [&](Value value) {
      return value ? asBuffer(s.b, s.loc, value) : Value();
    };
    Value rowScale = buffer(op.getRowScale());
    Value kernelScale = buffer(op.getKernelScale());
    if (!op.isProjection()) {
      emitDense(
          s, x, y, op.getActivation(),
          [&](Value n) -> Value {
            if (!bias)
              return s.number(element, 0);
            auto [block, lane] = blockAndLane(s, n, width);
            return s.load(bias, {block, s.index(0), lane});
          },
          [&](Value k, Value n) -> Value {
            auto [block, lane] = blockAndLane(s, n, width);
            return s.loadAs(element, kernel, {block, k, s.index(0), lane});
          });
    } else {
      // Behind the last column there are zeros times whatever.
      Value inner = op.isQuantized()
                        ? s.index(4 * (op.getKernelType().getDimSize(1) - 1))
                        : sizeOf(s.b, s.loc, x, 2);
      SmallVector<Value> sizes;
      for (int64_t dim = 0; dim < 5; ++dim)
        sizes.push_back(sizeOf(s.b, s.loc, y, dim));
      forEachIndex(
          s.b, s.loc, sizes, [&](OpBuilder &b, Location, ValueRange at) {
            OpBuilder::InsertionGuard guard(s.b);
            s.b.restoreInsertionPoint(b.saveInsertionPoint());
            // The destination's blocks may be several of the weight's.
            Value column = arith::AddIOp::create(
                s.b, s.loc, arith::MulIOp::create(s.b, s.loc, at[2], sizes[4]),
                at[4]);
            auto [block, lane] = blockAndLane(s, column, width);
            Value first = bias ? s.load(bias, {block, at[3], lane})
                               : s.number(element, 0);
            Value sum = s.sum(first, inner, [&](Value k) {
              SmallVector<Value> from{at[1], at[0], k};
              if (op.getTimeMajor())
                std::swap(from[0], from[1]);
              Value left =
                  rowScale ? dequantized(
                                 s, x, from,
                                 s.load(rowScale, ArrayRef(from).take_front(2)))
                           : s.load(x, from);
              return s.mul(left, scaledWeight(s, element, kernel, kernelScale,
                                              block, k, at[3], lane));
            });
            Value value = ActivationOp::create(s.b, s.loc, element, sum,
                                               op.getActivation());
            s.store(value, y, at);
          });
    }
    if (op.getResult())
      op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, y));
  }

  /// Recurrent weight of a gate out of one kernel of three gates or of two
  /// kernels (z and r; candidate).
  static Value packedWeight(Scalar &s, Type element, ValueRange kernels,
                            ValueRange scales, int64_t gate, Value k,
                            Value unit, int64_t width) {
    auto [block, lane] = blockAndLane(s, unit, width);
    bool second = kernels.size() == 2 && gate == 2;
    return scaledWeight(s, element, kernels[second ? 1 : 0],
                        scales.empty() ? Value() : scales[second ? 1 : 0],
                        block, k, s.index(second ? 0 : gate), lane);
  }

  /// A kernel's element, times the scale of its column where it has one.
  static Value scaledWeight(Scalar &s, Type element, Value kernel, Value scale,
                            Value block, Value k, Value gate, Value lane) {
    if (!scale)
      return s.loadAs(element, kernel, {block, k, gate, lane});
    Value weight = arith::SIToFPOp::create(
        s.b, s.loc, element,
        s.load(kernel, quantizedPlace(s, block, k, gate, lane)));
    return s.mul(weight, s.loadAs(element, scale, {block, gate, lane}));
  }

  /// Input part of a gate: bias + sum over k of x[k] * kernel[k].
  static Value packedProjection(Scalar &s, Type element, Value kernel,
                                Value bias, int64_t gate, Value unit,
                                int64_t width, function_ref<Value(Value k)> x) {
    auto [block, lane] = blockAndLane(s, unit, width);
    Value size = s.index(cast<MemRefType>(kernel.getType()).getDimSize(1));
    Value first = bias ? s.load(bias, {block, s.index(gate), lane})
                       : s.number(element, 0);
    return s.sum(first, size, [&](Value k) {
      return s.mul(x(k),
                   s.loadAs(element, kernel, {block, k, s.index(gate), lane}));
    });
  }

  void lower(Scalar &s, RecurOp op) {
    SmallVector<Value> kernels, scales;
    for (Value kernel : op.getKernels())
      kernels.push_back(asBuffer(s.b, s.loc, kernel));
    for (Value scale : op.getKernelScales())
      scales.push_back(asBuffer(s.b, s.loc, scale));
    auto buffer = [&](Value value) {
      return value ? asBuffer(s.b, s.loc, value) : Value();
    };
    Value bias = buffer(op.getRecurrentBias()), mask = buffer(op.getMask());
    Value reset = buffer(op.getReset());
    Value dropout = buffer(op.getRecurrentDropoutMask());
    Value projection = buffer(op.getProjection());
    Value input = buffer(op.getInput());
    Value inputKernel = buffer(op.getInputKernel());
    Value inputBias = buffer(op.getInputBias());
    int64_t width = op.getWidth();
    bool timeMajor = op.getTimeMajor();

    Recurrence loop;
    loop.units = op.getUnits();
    loop.element = op.getElementType();
    int64_t timeDim = op.getTimeDim().second;
    loop.time = sizeOf(s.b, s.loc, projection ? projection : input, timeDim);
    loop.batch =
        sizeOf(s.b, s.loc, projection ? projection : input, 1 - timeDim);
    loop.activation = op.getActivation();
    loop.recurrentActivation = op.getRecurrentActivation();
    loop.clip = op.getClipAttr();
    loop.resetAfter = op.getResetAfter();
    loop.backwards = op.getOrder() != TimeOrder::forward;
    loop.writeWhereRead = op.getOrder() == TimeOrder::backward;
    loop.zeroOutputForMask = op.getZeroOutputForMask();
    loop.zeroByPosition = op.getZeroByPosition();
    loop.timeMajor = timeMajor;
    auto at = [timeMajor](Value row, Value t) {
      return timeMajor ? SmallVector<Value>{t, row}
                       : SmallVector<Value>{row, t};
    };
    if (mask)
      loop.mask = [&](Value row, Value t) { return s.load(mask, at(row, t)); };
    if (reset)
      loop.reset = [&](Value row, Value t) {
        return s.load(reset, at(row, t));
      };
    loop.input = [&](Value row, Value t, int64_t gate, Value unit) {
      if (input)
        return packedProjection(s, loop.element, inputKernel, inputBias, gate,
                                unit, width, [&](Value k) {
                                  SmallVector<Value> from = at(row, t);
                                  from.push_back(k);
                                  return s.load(input, from);
                                });
      auto [block, lane] = blockAndLane(s, unit, width);
      return s.load(projection, {t, row, block, s.index(gate), lane});
    };
    loop.weight = [&](int64_t gate, Value k, Value unit) {
      return packedWeight(s, loop.element, kernels, scales, gate, k, unit,
                          width);
    };
    if (bias)
      loop.candidateBias = [&](Value unit) {
        auto [block, lane] = blockAndLane(s, unit, width);
        return s.load(bias, {block, s.index(0), lane});
      };
    if (dropout)
      loop.stateFactor = [&](Value row, int64_t gate, Value k) {
        return s.load(dropout, {s.index(gate), row, k});
      };
    if (op.isQuantized())
      loop.quantizeRow = [&](Value row) {
        auto [step, divides] =
            rowScale(s, loop.element, s.index(loop.units),
                     [&](Value k) { return s.load(row, k); });
        s.loop(
            s.index(loop.units), [&, step = step, divides = divides](Value k) {
              s.store(s.mul(quotient(s, s.load(row, k), step, divides), step),
                      row, k);
            });
      };
    loop.state = destination(s, op.getState());
    if (op.getSequence())
      loop.sequence = destination(s, op.getSequence());
    if (op.getLast())
      loop.last = destination(s, op.getLast());
    loop.emit(s);
    SmallVector<Value> written{loop.state};
    if (loop.sequence)
      written.push_back(loop.sequence);
    if (loop.last)
      written.push_back(loop.last);
    for (auto [result, buffer] : llvm::zip(op.getResults(), written))
      result.replaceAllUsesWith(asTensor(s.b, s.loc, buffer));
  }

  //===--------------------------------------------------------------------===//
  // Step level
  //===--------------------------------------------------------------------===//

  void lower(Scalar &s, StepOp op) {
    auto state = cast<MemRefType>(op.getState().getType());
    int64_t width = op.getWidth();
    int64_t units = op.getUnits();
    Type element = state.getElementType();
    // Scratch of a row belongs in front of all loops: the time loop is around.
    OpBuilder::InsertPoint here = s.b.saveInsertionPoint();
    s.b.setInsertionPointToStart(&func.getBody().front());
    RowEmitter row(s, units, element, op.getActivation(),
                   op.getRecurrentActivation(), op.getClipAttr(),
                   op.getPhase() == StepPhase::all);
    s.b.restoreInsertionPoint(here);
    row.numUnits = s.index(units);

    s.loop(s.index(state.getDimSize(0)), [&](Value b) {
      StepReads reads;
      reads.input = [&](int64_t gate, Value u) {
        if (op.getInput())
          return packedProjection(
              s, element, op.getInputKernel(), op.getInputBias(), gate, u,
              width, [&](Value k) { return s.load(op.getInput(), {b, k}); });
        auto [block, lane] = blockAndLane(s, u, width);
        return s.load(op.getProjection(), {b, block, s.index(gate), lane});
      };
      auto dropoutMask = [&](int64_t gate, Value k) {
        return s.load(op.getRecurrentDropoutMask(), {s.index(gate), b, k});
      };
      // What a product reads of `values`, or of the bytes made of them.
      auto left = [&](Value values, Value k) {
        return op.getBytes() ? dequantized(s, op.getBytes(), {b, k},
                                           s.load(op.getRowScale(), b))
                             : s.load(values, {b, k});
      };
      reads.state = [&](int64_t gate, Value k) {
        Value h = left(op.getState(), k);
        return op.getRecurrentDropoutMask() ? s.mul(h, dropoutMask(gate, k))
                                            : h;
      };
      reads.weight = [&](int64_t gate, Value k, Value u) {
        auto [block, lane] = blockAndLane(s, u, width);
        int64_t g = op.getPhase() == StepPhase::candidate ? 0 : gate;
        return scaledWeight(s, element, op.getKernel(), op.getKernelScale(),
                            block, k, s.index(g), lane);
      };
      if (op.getRecurrentBias())
        reads.candidateBias = [&](Value u) {
          auto [block, lane] = blockAndLane(s, u, width);
          return s.load(op.getRecurrentBias(), {block, s.index(0), lane});
        };
      if (op.getPhase() != StepPhase::candidate)
        row.emitGates(reads);
      if (op.getPhase() == StepPhase::gates) {
        s.loop(row.numUnits, [&](Value u) {
          s.store(s.load(row.z, u), op.getUpdate(), {b, u});
          Value h = s.load(op.getState(), {b, u});
          if (op.getRecurrentDropoutMask())
            h = s.mul(h, dropoutMask(2, u));
          s.store(s.mul(s.load(row.r, u), h), op.getResetState(), {b, u});
        });
        return;
      }
      if (op.getPhase() == StepPhase::all) {
        row.emitCandidate(reads);
      } else {
        s.loop(row.numUnits, [&](Value u) {
          Value sum = s.sum(reads.input(2, u), row.numUnits, [&](Value k) {
            return s.mul(left(op.getResetState(), k), reads.weight(2, k, u));
          });
          s.store(sum, row.candidate, u);
        });
        s.activate(op.getActivation(), op.getClipAttr(), row.candidate,
                   row.numUnits);
      }
      Value keep, emit;
      if (op.getMask())
        keep = s.load(op.getMask(), b);
      if (op.getEmit())
        emit = s.load(op.getEmit(), b);
      s.loop(row.numUnits, [&](Value u) {
        Value old = s.load(op.getState(), {b, u});
        Value z = op.getPhase() == StepPhase::all
                      ? s.load(row.z, u)
                      : s.load(op.getUpdate(), {b, u});
        Value h = row.blend(z, old, u);
        if (keep)
          h = s.select(keep, h, old);
        s.store(h, op.getNewState(), {b, u});
        if (!op.getOutput())
          return;
        if (emit)
          h = s.select(emit, h, s.number(element, 0));
        s.store(h, op.getOutput(), {b, u});
      });
    });
  }

  func::FuncOp func;
};

struct ConvertToReferenceLoopsPass
    : gru::impl::ConvertToReferenceLoopsPassBase<ConvertToReferenceLoopsPass> {
  void runOnOperation() override {
    if (failed(ReferenceLowering(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
