//===- Dense.cpp - packed products as Halide pipelines ---------------------===//
//
//   sum(i, g, n, rows...)  = bias(i, g, n)
//   sum(i, g, n, rows...) += input(k, rows...) * kernel(i, g, k, n)   over k < K
//
//   dense       out(j, rows...)     = activation(sum(j % V, 0, j / V, rows...))
//   projection  out(i, g, n, b, t)  = activation(sum(i % V, g, n W / V + i / V, ...))
//
// V is the width of the weight's blocks, W that of the projection's, a multiple.
// `rows` stands for the input's leading dimensions, innermost first.
//
//===----------------------------------------------------------------------===//

#include "lowering/halide/generator/Formula.h"
#include "lowering/halide/generator/Pipelines.h"

using namespace gru;
using namespace Halide;

namespace {
class Dense {
public:
  explicit Dense(const HalideFunction &function)
      : function(function), schedule(function.schedule), inputs(function),
        projection(function.kind == "projection"),
        kernel(*inputs.find("kernel")), width(kernel.extents[0]),
        gates(kernel.extents[1]), inner(kernel.extents[2]) {
    const HalideBuffer &input = *inputs.find("input");
    leading = input.extents.size() - 1;
    for (int d = 0; d < leading; ++d) {
      rows.emplace_back("row" + std::to_string(d));
      rowExtents.push_back(input.extents[d + 1]);
    }
    blocked = leading - 1 - int(function.blockedDim);
  }

  HalidePipeline build() {
    ImageParam input = inputs["input"], weights = inputs["kernel"],
               bias = inputs["bias"];
    std::vector<Var> at{i, g, n};
    at.insert(at.end(), rows.begin(), rows.end());
    sum(at) = bias.defined() ? bias(i, g, n)
                             : Internal::make_const(weights.type(), 0);
    RDom k(0, int(inner), "k");
    std::vector<Expr> from{k};
    from.insert(from.end(), rows.begin(), rows.end());
    sum(at) += input(from) * weights(i, g, k, n);
    reduction = k;

    std::vector<Var> to;
    std::vector<Expr> of;
    if (projection) {
      // The weight's blocks may end earlier: what would be behind is padding,
      // which gets some numbers.
      const HalideBuffer &destination = *inputs.find("out");
      int64_t ratio = destination.extents[0] / width;
      int64_t blocks = kernel.extents[3];
      Expr block = n * int(ratio) + i / int(width);
      if (destination.extents[2] * ratio > blocks)
        block = min(block, int(blocks) - 1);
      of = {i % int(width), g, block};
      to = {i, g, n};
      // [T, B, ...] from [B, T, K] or [T, B, K].
      if (function.timeMajor)
        to.insert(to.end(), {rows[0], rows[1]});
      else
        to.insert(to.end(), {rows[1], rows[0]});
    } else {
      of = {j % int(width), 0, j / int(width)};
      to = {j};
      to.insert(to.end(), rows.begin(), rows.end());
    }
    of.insert(of.end(), rows.begin(), rows.end());
    out(to) = applyFormula(function.activation, sum(of));
    HalideBuffer buffer = *inputs.find("out");
    if (!projection)
      buffer.extents[0] = function.units;
    constrain(out.output_buffers()[0], buffer);
    scheduleAll();
    return {Pipeline(out), inputs.getArguments()};
  }

private:
  void scheduleAll() {
    int64_t extent = leading ? rowExtents[blocked] : 1;
    int block = schedule.rows;
    if (!leading) {
      scheduleOutput(out, 1);
    } else if (extent >= 0) {
      scheduleOutput(out, std::min<int>(block, extent));
    } else {
      // Fewer rows than a block go one by one: shifting the last block inwards
      // needs as many.
      int position = projection ? (function.timeMajor == (blocked == 0) ? 3 : 4)
                                : 1 + blocked;
      if (block > 1)
        scheduleOutput(out.specialize(
                           out.output_buffer().dim(position).extent() >= block),
                       block);
      scheduleOutput(out, 1);
    }

    sum.compute_at(out, schedule.unitsOuter || !leading ? rowBlock : part)
        .store_in(MemoryType::Register)
        .bound_extent(i, int(schedule.units))
        .bound(g, 0, int(gates))
        .bound_extent(n, 1);
    std::vector<VarOrRVar> order{lane, vector, g};
    order.insert(order.end(), rows.begin(), rows.end());
    order.push_back(n);
    auto registers = [&](Stage stage, const std::vector<VarOrRVar> &order) {
      stage.split(i, vector, lane, int(schedule.lanes))
          .reorder(order)
          .vectorize(lane)
          .unroll(vector)
          .unroll(g);
      if (leading)
        stage.unroll(rows[blocked]);
    };
    registers(sum, order);
    order.insert(order.end() - 1, reduction);
    Stage product = sum.update();
    registers(product, order);
    if (schedule.unroll > 1)
      product.unroll(reduction, int(schedule.unroll), TailStrategy::GuardWithIf);
  }

  void scheduleOutput(Stage stage, int block) {
    int lanes = schedule.lanes;
    Var unit("unit"), inPart("in_part"), row("row");
    if (projection)
      stage.split(i, wide, unit, int(width))
          .split(unit, part, inPart, int(schedule.units));
    else
      stage
          .split(j, n, unit, int(width),
                 function.units % width ? TailStrategy::GuardWithIf
                                        : TailStrategy::Auto)
          .split(unit, part, inPart, int(schedule.units));
    stage.split(inPart, vector, lane, lanes);
    std::vector<VarOrRVar> order{lane, vector};
    if (projection)
      order.push_back(g);
    if (leading) {
      // The last block overlaps the one before: the same values once more.
      stage.split(rows[blocked], rowBlock, row, block,
                  TailStrategy::ShiftInwards);
      order.push_back(row);
    } else {
      // A loop of one, so that there is one to compute sums at.
      stage.split(part, part, rowBlock, 1);
    }
    std::vector<VarOrRVar> blocks{part, n};
    if (projection)
      blocks.insert(blocks.begin() + 1, wide);
    bool blocksOuter = schedule.unitsOuter || !leading;
    if (!blocksOuter)
      order.insert(order.end(), blocks.begin(), blocks.end());
    order.push_back(rowBlock);
    for (int d = 0; d < leading; ++d)
      if (d != blocked)
        order.push_back(rows[d]);
    if (blocksOuter)
      order.insert(order.end(), blocks.begin(), blocks.end());
    stage.reorder(order).vectorize(lane).unroll(vector);
    if (leading)
      stage.unroll(row);
    if (projection)
      stage.unroll(g);
  }

  const HalideFunction &function;
  const HalideSchedule &schedule;
  HalideInputs inputs;
  bool projection;
  const HalideBuffer &kernel;
  int64_t width, gates, inner;
  int leading = 0, blocked = 0;
  std::vector<Var> rows;
  std::vector<int64_t> rowExtents;
  RVar reduction;
  Var i{"i"}, g{"g"}, n{"n"}, j{"j"};
  Var wide{"wide"}, part{"part"}, vector{"vector"}, lane{"lane"}, rowBlock{"row_block"};
  Func sum{"sum"}, out{"out"};
};
} // namespace

HalidePipeline gru::buildDense(const HalideFunction &function) {
  return Dense(function).build();
}
