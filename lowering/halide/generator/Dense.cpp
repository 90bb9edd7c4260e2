//===- Dense.cpp - packed products as Halide pipelines --------------------===//
//
//   sum(i, g, n, rows...)  = bias(p, g, m)
//   sum(i, g, n, rows...) += input(k, rows...) * kernel(p, g, k, m)  for k < K
//
//   dense       out(j, rows...)    = activation(sum(j % U, 0, j / U, rows...))
//   projection  out(i, g, n, b, t) = activation(sum(i % U, g, q, rows...))
//               with q = n W / U + i / U
//
// i counts the columns of a part of U, n the parts; p and m are the place in
// the weight's blocks of V, as in Step.cpp. W is the width of the projection's
// blocks. V is a multiple of U, W one of V. `rows` stands for the input's
// leading dimensions, innermost first.
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
        kernel(*inputs.find("kernel")),
        part(function.cuda ? 1 : int(schedule.units)), gates(kernel.extents[1]),
        inner(kernel.extents[2]) {
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
    int parts = int(kernel.extents[0]) / part;
    Expr inBlock = parts == 1 ? Expr(i) : n % parts * part + i;
    Expr block = parts == 1 ? Expr(n) : n / parts;
    std::vector<Var> at{i, g, n};
    at.insert(at.end(), rows.begin(), rows.end());
    sum(at) = bias.defined() ? bias(inBlock, g, block)
                             : Internal::make_const(weights.type(), 0);
    RDom k(0, int(inner), "k");
    std::vector<Expr> from{k};
    from.insert(from.end(), rows.begin(), rows.end());
    sum(at) += input(from) * weights(inBlock, g, k, block);
    reduction = k;

    std::vector<Var> to;
    std::vector<Expr> of;
    if (projection) {
      // The weight's blocks may end earlier: what would be behind is padding,
      // which gets some numbers.
      const HalideBuffer &destination = *inputs.find("out");
      int64_t ratio = destination.extents[0] / part;
      int64_t all = kernel.extents[3] * parts;
      Expr number = n * int(ratio) + i / part;
      if (destination.extents[2] * ratio > all)
        number = min(number, int(all) - 1);
      of = {i % part, g, number};
      to = {i, g, n};
      // [T, B, ...] from [B, T, K] or [T, B, K].
      if (function.timeMajor)
        to.insert(to.end(), {rows[0], rows[1]});
      else
        to.insert(to.end(), {rows[1], rows[0]});
    } else {
      of = {j % part, 0, j / part};
      to = {j};
      to.insert(to.end(), rows.begin(), rows.end());
    }
    of.insert(of.end(), rows.begin(), rows.end());
    out(to) = applyFormula(function.activation, sum(of));
    HalideBuffer buffer = *inputs.find("out");
    if (!projection)
      buffer.extents[0] = function.units;
    constrain(out.output_buffers()[0], buffer);
    if (function.cuda)
      scheduleDevice();
    else
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
        scheduleOutput(
            out.specialize(out.output_buffer().dim(position).extent() >= block),
            block);
      scheduleOutput(out, 1);
    }

    sum.compute_at(out, schedule.unitsOuter || !leading ? rowBlock
                        : projection                    ? wide
                                                        : n)
        .store_in(schedule.tile != schedule.rows ? MemoryType::Stack
                                                 : MemoryType::Register)
        .bound_extent(i, part)
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
      product.unroll(reduction, int(schedule.unroll),
                     TailStrategy::GuardWithIf);
  }

  void scheduleOutput(Stage stage, int block) {
    int lanes = schedule.lanes;
    Var unit("unit"), row("row"), inTile("in_tile");
    int tile = block % int(schedule.tile) == 0 ? int(schedule.tile) : block;
    if (projection)
      stage.split(i, wide, unit, part);
    else
      stage.split(j, n, unit, part,
                  function.units % part ? TailStrategy::GuardWithIf
                                        : TailStrategy::Auto);
    stage.split(unit, vector, lane, lanes);
    std::vector<VarOrRVar> order{lane, vector};
    if (projection)
      order.push_back(g);
    if (leading) {
      // The last block overlaps the one before: the same values once more.
      stage
          .split(rows[blocked], rowBlock, row, block,
                 TailStrategy::ShiftInwards)
          .split(row, rowTile, inTile, tile);
      order.push_back(inTile);
      order.push_back(rowTile);
    } else {
      // A loop of one, so that there is one to compute sums at.
      stage.split(n, n, rowBlock, 1);
    }
    std::vector<VarOrRVar> blocks{n};
    if (projection)
      blocks.insert(blocks.begin(), wide);
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
      stage.unroll(inTile);
    if (projection)
      stage.unroll(g);
  }

  /// A thread makes all gates of one column and row. What does not fit into the
  /// three dimensions of a grid is a loop around launches.
  void scheduleDevice() {
    Var unit("unit"), row("row"), block("block");
    int size = int(schedule.units);
    std::vector<VarOrRVar> order{unit};
    std::vector<VarOrRVar> blocks{block};
    if (projection) {
      out.split(i, wide, unit, size).fuse(wide, n, block).unroll(g);
      order.insert(order.begin(), g);
    } else {
      out.split(j, block, unit, size,
                function.units % size ? TailStrategy::GuardWithIf
                                      : TailStrategy::Auto);
    }
    if (leading) {
      out.split(rows[blocked], rowBlock, row, int(schedule.rows),
                TailStrategy::GuardWithIf);
      order.push_back(row);
      blocks.push_back(rowBlock);
    }
    order.insert(order.end(), blocks.begin(), blocks.end());
    for (int d = 0; d < leading; ++d)
      if (d != blocked)
        order.push_back(rows[d]);
    out.reorder(order);
    if (leading)
      out.gpu_blocks(block, rowBlock).gpu_threads(unit, row);
    else
      out.gpu_blocks(block).gpu_threads(unit);
    sum.compute_at(out, unit)
        .store_in(MemoryType::Register)
        .bound_extent(i, 1)
        .bound_extent(n, 1)
        .bound(g, 0, int(gates))
        .unroll(g);
    sum.update().unroll(g);
    if (schedule.unroll > 1)
      sum.update().unroll(reduction, int(schedule.unroll),
                          TailStrategy::GuardWithIf);
  }

  const HalideFunction &function;
  const HalideSchedule &schedule;
  HalideInputs inputs;
  bool projection;
  const HalideBuffer &kernel;
  int part; ///< U.
  int64_t gates, inner;
  int leading = 0, blocked = 0;
  std::vector<Var> rows;
  std::vector<int64_t> rowExtents;
  RVar reduction;
  Var i{"i"}, g{"g"}, n{"n"}, j{"j"};
  Var wide{"wide"}, vector{"vector"}, lane{"lane"}, rowBlock{"row_block"},
      rowTile{"row_tile"};
  Func sum{"sum"}, out{"out"};
};
} // namespace

HalidePipeline gru::buildDense(const HalideFunction &function) {
  return Dense(function).build();
}
