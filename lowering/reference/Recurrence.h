//===- Recurrence.h - the formula of a step, and its time loop --*- C++ -*-===//
//
// What is read is given by small accessors, so that the layer, the recurrence
// over packed weights and the step share one text of the formula.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_REFERENCE_RECURRENCE_H
#define GRU_LOWERING_REFERENCE_RECURRENCE_H

#include "lowering/reference/Scalar.h"

namespace gru::reference {

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
  /// Without reset_after, makes of r * h in a buffer what the candidate's
  /// product reads of it; null where that reads it as it is.
  std::function<void(Value row)> quantizeRow;
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

  void emitGates(const StepReads &reads);
  void emitCandidate(const StepReads &reads);
  /// z h + (1 - z) hh.
  Value blend(Value update, Value old, Value u);

  Scalar &s;
  Type element;
  ActAttr activation, recurrentActivation;
  FloatAttr clip;
  bool resetAfter;
  Value z, r, candidate, numUnits;
  /// As far as products read rounded rows: the state and r * h.
  Value left, resetState;
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
  /// Rounds a buffer of one row to what bytes with a scale stand for; null
  /// where products read rows as they are.
  std::function<void(Value row)> quantizeRow;

  void emit(Scalar &s);
};

} // namespace gru::reference

#endif // GRU_LOWERING_REFERENCE_RECURRENCE_H
