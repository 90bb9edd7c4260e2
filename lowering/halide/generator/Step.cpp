//===- Step.cpp - one timestep as a Halide pipeline -----------------------===//
//
//   in(i, g, n, b)   = input_bias(p, g, m)          where the step projects its
//   in(i, g, n, b)  += input(f, b) * input_kernel(p, g, f, m)      input itself
//   sum(i, g, n, b)  = what the gate's sum starts from
//   sum(i, g, n, b) += left(k, g, b) * kernel(p, g, k, m)  over k < H
//   next(i, n, b)    = activations and blend of the three sums
//   out(j, b)        = next(j % U, j / U, b)               for j < H
//
// i counts the units of a part of U, n the parts, g the gates, b the rows.
// Weights lie in blocks of W units, a multiple: p = n U % W + i, m = n U / W. U
// is that of the schedule, so that what Halide makes at once is the whole range
// of i: it knows no bounds of a remainder but 0 and the divisor.
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
        kernel(*inputs.find("kernel")),
        part(function.cuda ? 1 : int(schedule.units)), gates(kernel.extents[1]),
        units(kernel.extents[2]), batch(inputs.find("state")->extents.back()) {}

  HalidePipeline build() {
    int parts = int(kernel.extents[0]) / part;
    inBlock = parts == 1 ? Expr(i) : n % parts * part + i;
    block = parts == 1 ? Expr(n) : n / parts;
    // In the order of the call.
    projection = inputs["projection"];
    input = inputs["input"];
    inputWeights = inputs["input_kernel"];
    inputBias = inputs["input_bias"];
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
    if (input.defined())
      defineIn();
    defineSum();
    defineNext();
    defineOutputs();
    if (function.cuda)
      scheduleDevice();
    else
      scheduleAll();
    return {Pipeline(out), inputs.getArguments()};
  }

private:
  /// Rows behind the last are computed from the last row and not stored.
  Expr rowRead() const {
    return batch % schedule.rows ? min(b, int(batch) - 1) : Expr(b);
  }

  void defineIn() {
    Expr from = firstGate() + g;
    in(i, g, n, b) = inputBias.defined()
                         ? inputBias(inBlock, from, block)
                         : Internal::make_const(inputWeights.type(), 0);
    f = RDom(0, int(inputs.find("input_kernel")->extents[2]), "f");
    in(i, g, n, b) +=
        input(f, rowRead()) * inputWeights(inBlock, from, f, block);
  }

  /// Of the projection's gates.
  int firstGate() const { return candidate ? 2 : 0; }

  /// The projection of the step's gate g, which has all biases but the
  /// recurrent one of the candidate.
  Expr projected(Expr g) {
    if (input.defined())
      return in(i, g, n, b);
    return projection(inBlock, firstGate() + g, block, rowRead());
  }

  void defineSum() {
    Expr row = rowRead();
    if (all) {
      // r multiplies the candidate's recurrent part only, so its projection is
      // added later.
      Expr recurrent = bias.defined() ? bias(inBlock, 0, block)
                                      : Internal::make_const(weights.type(), 0);
      sum(i, g, n, b) = select(g == 2, recurrent, projected(min(g, 1)));
    } else {
      sum(i, g, n, b) = projected(g);
    }
    const ImageParam &left = candidate ? resetState : state;
    k = RDom(0, int(units), "k");
    Expr from = left(k, row);
    if (dropout.defined())
      from *= dropout(k, row, g);
    sum(i, g, n, b) += from * weights(inBlock, g, k, block);
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
    Expr old = state(n * part + i, row);
    if (!all && !candidate) {
      Expr reset = gate(1) * old;
      // In front of the candidate's product, which is the other phase's.
      if (dropout.defined())
        reset *= dropout(n * part + i, row, 2);
      next(i, n, b) = Tuple(gate(0), reset);
      outputs = {"update", "reset_state"};
      return;
    }
    Expr z, x;
    if (all) {
      z = gate(0);
      x = gate(1) * sum(i, 2, n, b) + projected(2);
    } else {
      z = update(n * part + i, row);
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
    Expr y = emit.defined()
                 ? select(emit(row) != 0, h, Internal::make_const(h.type(), 0))
                 : h;
    next(i, n, b) = Tuple(h, y);
  }

  void defineOutputs() {
    FuncRef made = next(j % part, j / part, b);
    if (outputs.size() == 1)
      out(j, b) = made;
    else
      out(j, b) = Tuple(made[0], made[1]);
    for (size_t o = 0; o < outputs.size(); ++o) {
      HalideBuffer buffer = *inputs.find(outputs[o]);
      // Columns of padding are never written.
      buffer.extents[0] = units;
      constrain(out.output_buffers()[o], buffer, /*extents=*/o == 0);
    }
  }

  void scheduleAll() {
    int rows = schedule.rows, lanes = schedule.lanes;
    Var unit("unit"), vector("vector"), lane("lane");
    Var rowBlock("row_block"), row("row");
    Var rowTile("row_tile"), inTile("in_tile");
    out.split(j, n, unit, part,
              units % part ? TailStrategy::GuardWithIf : TailStrategy::Auto)
        .split(unit, vector, lane, lanes)
        .split(b, rowBlock, row, rows, TailStrategy::GuardWithIf)
        .split(row, rowTile, inTile, int(schedule.tile));
    if (schedule.unitsOuter)
      out.reorder(lane, vector, inTile, rowTile, rowBlock, n);
    else
      out.reorder(lane, vector, inTile, rowTile, n, rowBlock);
    out.vectorize(lane).unroll(vector).unroll(inTile);
    Var inner = schedule.unitsOuter ? rowBlock : n;
    bool tiled = schedule.tile != rows;
    for (Func *func : computed()) {
      bool isNext = func == &next;
      func->compute_at(out, isNext ? rowTile : inner);
      // A loop over tiles takes what waits for it from memory.
      func->store_in(tiled && !isNext ? MemoryType::Stack
                                      : MemoryType::Register);
      func->bound_extent(i, part).bound_extent(n, 1).bound_extent(
          b, isNext ? int(schedule.tile) : rows);
    }
    auto split = [&](Stage stage) -> Stage {
      return stage.split(i, vector, lane, lanes).vectorize(lane).unroll(vector);
    };
    split(next).reorder(lane, vector, b, n).unroll(b);
    forProducts([&](Func &func, RVar inner) {
      func.bound(g, 0, int(gates));
      split(func).reorder(lane, vector, g, b, n).unroll(g).unroll(b);
      Stage product = split(func.update());
      product.reorder(lane, vector, g, b, inner, n).unroll(g).unroll(b);
      if (schedule.unroll > 1)
        product.unroll(inner, int(schedule.unroll), TailStrategy::GuardWithIf);
    });
  }

  /// What is computed for each register block.
  std::vector<Func *> computed() {
    if (input.defined())
      return {&in, &sum, &next};
    return {&sum, &next};
  }
  template <typename Body> void forProducts(Body body) {
    if (input.defined())
      body(in, f);
    body(sum, k);
  }

  /// A thread makes the gates of one unit and row.
  void scheduleDevice() {
    Var unit("unit"), rowBlock("row_block"), row("row");
    Var threads("threads");
    int size = int(schedule.units);
    out.split(j, threads, unit, size,
              units % size ? TailStrategy::GuardWithIf : TailStrategy::Auto)
        .split(b, rowBlock, row, int(schedule.rows), TailStrategy::GuardWithIf)
        .reorder(unit, row, threads, rowBlock)
        .gpu_blocks(threads, rowBlock)
        .gpu_threads(unit, row);
    for (Func *func : computed()) {
      func->compute_at(out, unit).store_in(MemoryType::Register);
      func->bound_extent(i, 1).bound_extent(n, 1).bound_extent(b, 1);
    }
    forProducts([&](Func &func, RVar inner) {
      func.bound(g, 0, int(gates)).reorder(g, i, b, n).unroll(g);
      Stage product = func.update();
      product.reorder(g, i, b, inner, n).unroll(g);
      if (schedule.unroll > 1)
        product.unroll(inner, int(schedule.unroll), TailStrategy::GuardWithIf);
    });
  }

  const HalideFunction &function;
  const HalideSchedule &schedule;
  HalideInputs inputs;
  bool all, candidate;
  const HalideBuffer &kernel;
  int part; ///< U.
  int64_t gates, units, batch;
  ImageParam projection, input, inputWeights, inputBias, weights, bias;
  ImageParam dropout, state, mask, emit, update, resetState;
  std::vector<std::string> outputs;
  Var i{"i"}, g{"g"}, n{"n"}, b{"b"}, j{"j"};
  RDom f, k;
  Expr inBlock, block; ///< p, m.
  Func in{"in"}, sum{"sum"}, next{"next"}, out{"out"};
};
} // namespace

HalidePipeline gru::buildStep(const HalideFunction &function) {
  return Step(function).build();
}
