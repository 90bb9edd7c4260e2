//===- ReferenceLoops.cpp - the yardstick: plain scalar loops --------------===//
//
// Every gru operation as the loops that its formula says. What the operations
// read is given by small accessors, so that the layer, the recurrence over
// packed weights and the step share one text of the formula.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDialect.h"
#include "lowering/Passes.h"
#include "lowering/common/Activations.h"
#include "lowering/common/Buffers.h"

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

namespace {
/// Scalar arithmetic at an insertion point that loops move.
class Scalar {
public:
  Scalar(OpBuilder &b, Location loc) : b(b), loc(loc) {}

  Value index(int64_t value) { return indexConstant(b, loc, value); }
  Value number(Type type, double value) {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(type, value));
  }
  Value load(Value buffer, ValueRange at) {
    return memref::LoadOp::create(b, loc, buffer, at);
  }
  void store(Value value, Value buffer, ValueRange at) {
    memref::StoreOp::create(b, loc, value, buffer, at);
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value addIndex(Value x, Value y) {
    return arith::AddIOp::create(b, loc, x, y);
  }
  Value select(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, loc, c, x, y);
  }
  Value alloc(ArrayRef<int64_t> shape, Type type) {
    return memref::AllocOp::create(b, loc, MemRefType::get(shape, type));
  }

  /// for i in [0, size): body(i), with this object's builder inside the loop.
  void loop(Value size, function_ref<void(Value)> body) {
    forEach(b, loc, size, [&](OpBuilder &inner, Location, Value i) {
      OpBuilder::InsertionGuard guard(b);
      b.restoreInsertionPoint(inner.saveInsertionPoint());
      body(i);
    });
  }

  /// first + sum over i in [0, size) of term(i).
  Value sum(Value first, Value size, function_ref<Value(Value)> term) {
    auto loop = scf::ForOp::create(
        b, loc, index(0), size, index(1), ValueRange{first},
        [&](OpBuilder &inner, Location, Value i, ValueRange sums) {
          OpBuilder::InsertionGuard guard(b);
          b.restoreInsertionPoint(inner.saveInsertionPoint());
          Value next = add(sums[0], term(i));
          scf::YieldOp::create(b, loc, next);
        });
    return loop.getResult(0);
  }

  Value clipped(FloatAttr clip, Value x) {
    if (!clip)
      return x;
    double bound = clip.getValueAsDouble();
    x = arith::MinimumFOp::create(b, loc, x, number(x.getType(), bound));
    return arith::MaximumFOp::create(b, loc, x, number(x.getType(), -bound));
  }

  /// row[u] = activation(clip(row[u])) for u < units.
  void activate(ActAttr activation, FloatAttr clip, Value row, Value units) {
    if (clip || !activation.isRowwise())
      loop(units, [&](Value u) {
        Value x = clipped(clip, load(row, u));
        if (!activation.isRowwise())
          x = ActivationOp::create(b, loc, x.getType(), x, activation);
        store(x, row, u);
      });
    if (activation.isRowwise())
      emitRowwiseActivation(b, loc, activation, row, units);
  }

  OpBuilder &b;
  Location loc;
};

/// What a step reads; rows, units and gates are indices.
struct StepReads {
  /// Input part of a gate with all biases but the candidate's recurrent one.
  std::function<Value(int64_t gate, Value unit)> input;
  /// State as the product of a gate sees it.
  std::function<Value(int64_t gate, Value k)> state;
  /// Recurrent weight of a gate.
  std::function<Value(int64_t gate, Value k, Value unit)> weight;
  /// Recurrent bias of the candidate; null where there is none.
  std::function<Value(Value unit)> candidateBias;
  /// Unmasked, undropped old state.
  std::function<Value(Value unit)> oldState;
};

/// One row's gates and candidate, in buffers of H elements each.
class RowEmitter {
public:
  RowEmitter(Scalar &s, int64_t units, Type element, ActAttr activation,
             ActAttr recurrentActivation, FloatAttr clip, bool resetAfter)
      : s(s), element(element), activation(activation),
        recurrentActivation(recurrentActivation), clip(clip),
        resetAfter(resetAfter) {
    z = s.alloc({units}, element);
    r = s.alloc({units}, element);
    candidate = s.alloc({units}, element);
    numUnits = s.index(units);
  }

  void emitGates(const StepReads &reads) {
    for (auto [gate, row] : {std::pair<int64_t, Value>{0, z}, {1, r}}) {
      s.loop(numUnits, [&, gate = gate, row = row](Value u) {
        Value sum = s.sum(reads.input(gate, u), numUnits, [&](Value k) {
          return s.mul(reads.state(gate, k), reads.weight(gate, k, u));
        });
        s.store(sum, row, u);
      });
      s.activate(recurrentActivation, clip, row, numUnits);
    }
  }

  void emitCandidate(const StepReads &reads) {
    s.loop(numUnits, [&](Value u) {
      Value sum;
      if (resetAfter) {
        Value bias = reads.candidateBias ? reads.candidateBias(u)
                                         : s.number(element, 0);
        Value recurrent = s.sum(bias, numUnits, [&](Value k) {
          return s.mul(reads.state(2, k), reads.weight(2, k, u));
        });
        sum = s.add(reads.input(2, u), s.mul(s.load(r, u), recurrent));
      } else {
        sum = s.sum(reads.input(2, u), numUnits, [&](Value k) {
          return s.mul(s.mul(s.load(r, k), reads.state(2, k)),
                       reads.weight(2, k, u));
        });
      }
      s.store(sum, candidate, u);
    });
    s.activate(activation, clip, candidate, numUnits);
  }

  /// z h + (1 - z) hh.
  Value blend(Value update, Value old, Value u) {
    Value one = s.number(element, 1);
    return s.add(s.mul(update, old),
                 s.mul(s.sub(one, update), s.load(candidate, u)));
  }

  Scalar &s;
  Type element;
  ActAttr activation, recurrentActivation;
  FloatAttr clip;
  bool resetAfter;
  Value z, r, candidate, numUnits;
};

/// The time loop that gru.gru and gru.recur share.
struct Recurrence {
  int64_t units;
  Type element;
  Value batch, time;
  ActAttr activation, recurrentActivation;
  FloatAttr clip;
  bool resetAfter, backwards, writeWhereRead, zeroOutputForMask, zeroByPosition;
  Value state;          ///< [B, H] in and out
  Value sequence, last; ///< optional
  bool timeMajor;
  /// Valid step? Null where nothing is masked.
  std::function<Value(Value row, Value t)> mask;
  std::function<Value(Value row, Value t)> reset;
  std::function<Value(Value row, Value t, int64_t gate, Value unit)> input;
  std::function<Value(int64_t gate, Value k, Value unit)> weight;
  std::function<Value(Value unit)> candidateBias;
  /// Recurrent dropout factor of a gate; null where there is none.
  std::function<Value(Value row, int64_t gate, Value k)> stateFactor;

  void emit(Scalar &s) {
    RowEmitter row(s, units, element, activation, recurrentActivation, clip,
                   resetAfter);
    auto batchSize = cast<MemRefType>(state.getType()).getDimSize(0);
    Value seen = ShapedType::isDynamic(batchSize)
                     ? Value(memref::AllocOp::create(
                           s.b, s.loc,
                           MemRefType::get({batchSize}, s.b.getI1Type()),
                           ValueRange{batch}))
                     : s.alloc({batchSize}, s.b.getI1Type());
    Value no = arith::ConstantOp::create(s.b, s.loc, s.b.getBoolAttr(false));
    Value yes = arith::ConstantOp::create(s.b, s.loc, s.b.getBoolAttr(true));
    s.loop(batch, [&](Value b) { s.store(no, seen, b); });

    s.loop(time, [&](Value i) {
      Value t = i;
      if (backwards)
        t = arith::SubIOp::create(
            s.b, s.loc, arith::SubIOp::create(s.b, s.loc, time, s.index(1)), i);
      Value position = writeWhereRead ? t : i;
      s.loop(batch, [&](Value b) {
        Value zero = s.number(element, 0);
        if (reset) {
          Value clear = reset(b, t);
          s.loop(row.numUnits, [&](Value u) {
            Value h = s.load(state, {b, u});
            s.store(s.select(clear, zero, h), state, {b, u});
          });
        }
        StepReads reads;
        reads.input = [&](int64_t gate, Value u) {
          return input(b, t, gate, u);
        };
        reads.weight = weight;
        reads.candidateBias = candidateBias;
        reads.oldState = [&](Value u) { return s.load(state, {b, u}); };
        reads.state = [&](int64_t gate, Value k) {
          Value h = s.load(state, {b, k});
          return stateFactor ? s.mul(h, stateFactor(b, gate, k)) : h;
        };
        row.emitGates(reads);
        row.emitCandidate(reads);

        Value valid = mask ? mask(b, t) : yes;
        Value before = s.load(seen, b);
        Value now = arith::OrIOp::create(s.b, s.loc, before, valid);
        s.store(now, seen, b);
        Value emit = now;
        if (zeroOutputForMask && mask)
          emit = mask(b, zeroByPosition ? i : t);
        s.loop(row.numUnits, [&](Value u) {
          Value old = s.load(state, {b, u});
          Value h = row.blend(s.load(row.z, u), old, u);
          h = s.select(valid, h, old);
          s.store(h, state, {b, u});
          Value output = s.select(emit, h, s.number(element, 0));
          if (sequence)
            s.store(output, sequence,
                    timeMajor ? ValueRange{position, b, u}
                              : ValueRange{b, position, u});
          // Overwritten until the last step has written it.
          if (last)
            s.store(output, last, {b, u});
        });
      });
    });
  }
};

class ReferenceLowering {
public:
  explicit ReferenceLowering(func::FuncOp func) : func(func) {}

  LogicalResult run() {
    SmallVector<Operation *> ops;
    func.walk([&](Operation *op) {
      if (isa<GRUOp, CellOp, DenseOp, PackOp, PackedDenseOp, RecurOp, StepOp>(
              op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      OpBuilder b(op);
      Scalar s(b, op->getLoc());
      llvm::TypeSwitch<Operation *>(op)
          .Case<GRUOp, CellOp, DenseOp, PackOp, PackedDenseOp, RecurOp, StepOp>(
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
      return timeMajor ? SmallVector<Value>{t, row} : SmallVector<Value>{row, t};
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
        return s.mul(value,
                     s.load(kernel, {f, column(s, gate, units, unit)}));
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
      loop.sequence = allocResult(
          op.getSequence(), timeMajor
                                ? ArrayRef<Value>{loop.time, loop.batch, {}}
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
        Value first = inputBias(s, bias, gate, units, u, op.getResetAfter(),
                                element);
        return s.sum(first, features, [&](Value f) {
          Value value = s.load(x, {b, f});
          if (dropout) {
            int64_t g = op.getImplementation() == 1 ? gate : 0;
            value = s.mul(value, s.load(dropout, {s.index(g), b, f}));
          }
          return s.mul(value,
                       s.load(kernel, {f, column(s, gate, units, u)}));
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
    emitDense(s, x, y, op.getActivation(),
              [&](Value n) {
                return bias ? s.load(bias, n)
                            : s.number(type.getElementType(), 0);
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
    Type element = type.getElementType();
    Value result = memref::AllocOp::create(
        s.b, s.loc, MemRefType::get(type.getShape(), element));
    int64_t units = sourceType.getShape().back() / int64_t(op.getGates());
    int64_t width = op.getWidth();
    PackPart part = op.getPart();
    bool biasPart =
        part == PackPart::input_bias || part == PackPart::recurrent_bias;
    Value numUnits = s.index(units);
    SmallVector<Value> sizes;
    for (int64_t size : type.getShape())
      sizes.push_back(s.index(size));
    forEachIndex(s.b, s.loc, sizes, [&](OpBuilder &inner, Location,
                                        ValueRange at) {
      OpBuilder::InsertionGuard guard(s.b);
      s.b.restoreInsertionPoint(inner.saveInsertionPoint());
      Value block = at.front(), lane = at.back(), gate = at[at.size() - 2];
      Value unit = s.addIndex(
          arith::MulIOp::create(s.b, s.loc, block, s.index(width)), lane);
      Value inside = arith::CmpIOp::create(
          s.b, s.loc, arith::CmpIPredicate::slt, unit, numUnits);
      // Padding reads a valid place and takes zero instead.
      Value safe = arith::MinSIOp::create(s.b, s.loc, unit,
                                          s.index(units - 1));
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
      s.store(s.select(inside, value, s.number(element, 0)), result, at);
    });
    op.getResult().replaceAllUsesWith(asTensor(s.b, s.loc, result));
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
    int64_t width = op.getKernelType().getDimSize(3);
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
            return s.load(kernel, {block, k, s.index(0), lane});
          });
    } else {
      Value inner = sizeOf(s.b, s.loc, x, 2);
      SmallVector<Value> sizes;
      for (int64_t dim = 0; dim < 5; ++dim)
        sizes.push_back(sizeOf(s.b, s.loc, y, dim));
      forEachIndex(s.b, s.loc, sizes, [&](OpBuilder &b, Location,
                                          ValueRange at) {
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
          return s.mul(s.load(x, from),
                       s.load(kernel, {block, k, at[3], lane}));
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
  static Value packedWeight(Scalar &s, ValueRange kernels, int64_t gate,
                            Value k, Value unit, int64_t width) {
    auto [block, lane] = blockAndLane(s, unit, width);
    bool second = kernels.size() == 2 && gate == 2;
    return s.load(kernels[second ? 1 : 0],
                  {block, k, s.index(second ? 0 : gate), lane});
  }

  /// Input part of a gate: bias + sum over k of x[k] * kernel[k].
  static Value packedProjection(Scalar &s, Value kernel, Value bias,
                                int64_t gate, Value unit, int64_t width,
                                function_ref<Value(Value k)> x) {
    auto [block, lane] = blockAndLane(s, unit, width);
    auto type = cast<MemRefType>(kernel.getType());
    Value first = bias ? s.load(bias, {block, s.index(gate), lane})
                       : s.number(type.getElementType(), 0);
    return s.sum(first, s.index(type.getDimSize(1)), [&](Value k) {
      return s.mul(x(k), s.load(kernel, {block, k, s.index(gate), lane}));
    });
  }

  void lower(Scalar &s, RecurOp op) {
    SmallVector<Value> kernels;
    for (Value kernel : op.getKernels())
      kernels.push_back(asBuffer(s.b, s.loc, kernel));
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
      return timeMajor ? SmallVector<Value>{t, row} : SmallVector<Value>{row, t};
    };
    if (mask)
      loop.mask = [&](Value row, Value t) { return s.load(mask, at(row, t)); };
    if (reset)
      loop.reset = [&](Value row, Value t) {
        return s.load(reset, at(row, t));
      };
    loop.input = [&](Value row, Value t, int64_t gate, Value unit) {
      if (input)
        return packedProjection(
            s, inputKernel, inputBias, gate, unit, width, [&](Value k) {
              SmallVector<Value> from = at(row, t);
              from.push_back(k);
              return s.load(input, from);
            });
      auto [block, lane] = blockAndLane(s, unit, width);
      return s.load(projection, {t, row, block, s.index(gate), lane});
    };
    loop.weight = [&](int64_t gate, Value k, Value unit) {
      return packedWeight(s, kernels, gate, k, unit, width);
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
    int64_t width = cast<MemRefType>(op.getKernel().getType()).getDimSize(3);
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
              s, op.getInputKernel(), op.getInputBias(), gate, u, width,
              [&](Value k) { return s.load(op.getInput(), {b, k}); });
        auto [block, lane] = blockAndLane(s, u, width);
        return s.load(op.getProjection(), {b, block, s.index(gate), lane});
      };
      auto dropoutMask = [&](int64_t gate, Value k) {
        return s.load(op.getRecurrentDropoutMask(), {s.index(gate), b, k});
      };
      reads.state = [&](int64_t gate, Value k) {
        Value h = s.load(op.getState(), {b, k});
        return op.getRecurrentDropoutMask() ? s.mul(h, dropoutMask(gate, k))
                                            : h;
      };
      reads.weight = [&](int64_t gate, Value k, Value u) {
        auto [block, lane] = blockAndLane(s, u, width);
        int64_t g = op.getPhase() == StepPhase::candidate ? 0 : gate;
        return s.load(op.getKernel(), {block, k, s.index(g), lane});
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
          s.store(s.mul(s.load(row.r, u), reads.state(2, u)),
                  op.getResetState(), {b, u});
        });
        return;
      }
      if (op.getPhase() == StepPhase::all) {
        row.emitCandidate(reads);
      } else {
        s.loop(row.numUnits, [&](Value u) {
          Value sum = s.sum(reads.input(2, u), row.numUnits, [&](Value k) {
            return s.mul(s.load(op.getResetState(), {b, k}),
                         reads.weight(2, k, u));
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
