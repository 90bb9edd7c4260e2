//===- Step.cpp - one timestep as a Halide pipeline ------------------------===//
//
//   sum(i, g, n, b)  = what the gate's sum starts from
//   sum(i, g, n, b) += left(k, g, b) * kernel(i, g, k, n)  over k < H
//   next(i, n, b)    = activations and blend of the three sums
//   out(j, b)        = next(j % W, j / W, b)               for j < H
//
// i counts the units of a block of W, n the blocks, g the gates, b the rows.
//
//===----------------------------------------------------------------------===//

#include "lowering/halide/generator/Formula.h"
#include "lowering/halide/generator/Pipelines.h"

using namespace gru;
using namespace Halide;

namespace {
class Step {
public:
  explicit Step(const HalideFunction &function)
      : function(function), schedule(function.schedule), inputs(function),
        all(function.kind == "all"), candidate(function.kind == "candidate"),
        kernel(*inputs.find("kernel")), width(kernel.extents[0]),
        gates(kernel.extents[1]), units(kernel.extents[2]),
        batch(inputs.find("projection")->extents.back()) {}

  HalidePipeline build() {
    // In the order of the call.
    projection = inputs["projection"];
    weights = inputs["kernel"];
    bias = inputs["recurrent_bias"];
    state = inputs["state"];
    dropout = inputs["recurrent_dropout_mask"];
    mask = inputs["mask"];
    emit = inputs["emit"];
    if (candidate) {
      update = inputs["update"];
      resetState = inputs["reset_state"];
    }
    defineSum();
    defineNext();
    defineOutputs();
    scheduleAll();
    return {Pipeline(out), inputs.getArguments()};
  }

private:
  /// Rows behind the last are computed from the last row and not stored.
  Expr rowRead() const {
    return batch % schedule.rows ? min(b, int(batch) - 1) : Expr(b);
  }

  void defineSum() {
    Expr row = rowRead();
    if (all) {
      // r multiplies the candidate's recurrent part only, so its projection is
      // added later.
      Expr recurrent = bias.defined()
                           ? bias(i, 0, n)
                           : Internal::make_const(projection.type(), 0);
      sum(i, g, n, b) =
          select(g == 2, recurrent, projection(i, min(g, 1), n, row));
    } else {
      sum(i, g, n, b) = projection(i, candidate ? Expr(2) : Expr(g), n, row);
    }
    const ImageParam &left = candidate ? resetState : state;
    k = RDom(0, int(units), "k");
    Expr from = left(k, row);
    if (dropout.defined())
      from *= dropout(k, row, g);
    sum(i, g, n, b) += from * weights(i, g, k, n);
  }

  Expr clipped(Expr x) const {
    if (!function.clip)
      return x;
    Expr bound = Internal::make_const(x.type(), *function.clip);
    // NaN fails both comparisons and stays.
    return select(x > bound, bound, select(x < -bound, -bound, x));
  }
  Expr gate(int number) {
    return applyFormula(function.recurrentActivation,
                        clipped(sum(i, number, n, b)));
  }

  void defineNext() {
    Expr row = rowRead();
    Expr old = state(n * int(width) + i, row);
    if (!all && !candidate) {
      Expr reset = gate(1) * old;
      // In front of the candidate's product, which is the other phase's.
      if (dropout.defined())
        reset *= dropout(n * int(width) + i, row, 2);
      next(i, n, b) = Tuple(gate(0), reset);
      outputs = {"update", "reset_state"};
      return;
    }
    Expr z, x;
    if (all) {
      z = gate(0);
      x = gate(1) * sum(i, 2, n, b) + projection(i, 2, n, row);
    } else {
      z = update(n * int(width) + i, row);
      x = sum(i, 0, n, b);
    }
    Expr hh = applyFormula(function.activation, clipped(x));
    Expr h = z * (old - hh) + hh;
    if (mask.defined())
      h = select(mask(row) != 0, h, old);
    outputs = {"new_state"};
    if (!inputs.find("output")) {
      next(i, n, b) = h;
      return;
    }
    outputs.push_back("output");
    Expr y = emit.defined() ? select(emit(row) != 0, h,
                                     Internal::make_const(h.type(), 0))
                            : h;
    next(i, n, b) = Tuple(h, y);
  }

  void defineOutputs() {
    Expr block = j / int(width), unit = j % int(width);
    if (outputs.size() == 1)
      out(j, b) = next(unit, block, b);
    else
      out(j, b) = Tuple(next(unit, block, b)[0], next(unit, block, b)[1]);
    for (size_t o = 0; o < outputs.size(); ++o) {
      HalideBuffer buffer = *inputs.find(outputs[o]);
      // Columns of padding are never written.
      buffer.extents[0] = units;
      constrain(out.output_buffers()[o], buffer, /*extents=*/o == 0);
    }
  }

  void scheduleAll() {
    int rows = schedule.rows, lanes = schedule.lanes, blockUnits = schedule.units;
    Var unit("unit"), part("part"), vector("vector"), lane("lane");
    Var rowBlock("row_block"), row("row"), inPart("in_part");
    bool padded = units % width != 0;
    out.split(j, n, unit, int(width),
              padded ? TailStrategy::GuardWithIf : TailStrategy::Auto)
        .split(unit, part, inPart, blockUnits)
        .split(inPart, vector, lane, lanes)
        .split(b, rowBlock, row, rows, TailStrategy::GuardWithIf);
    if (schedule.unitsOuter)
      out.reorder(lane, vector, row, rowBlock, part, n);
    else
      out.reorder(lane, vector, row, part, n, rowBlock);
    out.vectorize(lane).unroll(vector).unroll(row);
    Var inner = schedule.unitsOuter ? rowBlock : part;
    for (Func *func : {&sum, &next}) {
      func->compute_at(out, inner).store_in(MemoryType::Register);
      func->bound_extent(i, blockUnits).bound_extent(n, 1).bound_extent(b, rows);
    }
    sum.bound(g, 0, int(gates));
    auto block = [&](Stage stage) -> Stage {
      return stage.split(i, vector, lane, lanes).vectorize(lane).unroll(vector);
    };
    block(next).reorder(lane, vector, b, n).unroll(b);
    block(sum).reorder(lane, vector, g, b, n).unroll(g).unroll(b);
    Stage product = block(sum.update());
    product.reorder(lane, vector, g, b, k, n).unroll(g).unroll(b);
    if (schedule.unroll > 1)
      product.unroll(k, int(schedule.unroll), TailStrategy::GuardWithIf);
  }

  const HalideFunction &function;
  const HalideSchedule &schedule;
  HalideInputs inputs;
  bool all, candidate;
  const HalideBuffer &kernel;
  int64_t width, gates, units, batch;
  ImageParam projection, weights, bias, dropout, state, mask, emit, update, resetState;
  std::vector<std::string> outputs;
  Var i{"i"}, g{"g"}, n{"n"}, b{"b"}, j{"j"};
  RDom k;
  Func sum{"sum"}, next{"next"}, out{"out"};
};
} // namespace

HalidePipeline gru::buildStep(const HalideFunction &function) {
  return Step(function).build();
}
