//===- RuntimePlanTest.cpp - damaged plans are errors ---------------------===//

#include "test/unit/PlansByHand.h"

#include <cstddef>
#include <cstring>

using namespace gru;

namespace {
TEST(RuntimePlan, EveryTruncationIsAnError) {
  std::vector<char> plan = makePlan().bytes();
  for (size_t size = 0; size < plan.size(); ++size) {
    // A block of its own, so that a sanitizer sees a read behind the end.
    std::vector<char> part(plan.begin(), plan.begin() + size);
    Result<Program> program = open(part);
    ASSERT_FALSE(program);
    ASSERT_EQ(program.error().code(),
              size ? GRU_DAMAGED : program.error().code());
    // Also when the header agrees.
    if (size < sizeof(gru_plan_header))
      continue;
    uint64_t claimed = size;
    std::memcpy(part.data() + offsetof(gru_plan_header, size), &claimed, 8);
    ASSERT_FALSE(open(part));
  }
}

TEST(RuntimePlan, EveryFlippedByteIsHarmless) {
  // Whatever becomes of it, nothing outside is touched (a sanitizer looks) and
  // what opens also makes a session or an error.
  std::vector<char> plan = makePlan().bytes();
  constexpr uint64_t kLarge = 1 << 20;
  for (size_t i = 0; i < plan.size(); ++i) {
    // The upper bytes of the weights' size: would be believed, and allocated.
    if (i >= 50 && i < 56)
      continue;
    for (int bit : {0x01, 0x10, 0x80, 0xff}) {
      std::vector<char> damaged = plan;
      damaged[i] ^= bit;
      Result<Program> program = open(damaged);
      if (!program) {
        ASSERT_FALSE(program.error().message().empty());
        continue;
      }
      auto scratch = program->scratch_bytes(1);
      ASSERT_TRUE(scratch);
      if (*scratch < kLarge && program->state_bytes() < kLarge) {
        ASSERT_TRUE(program->session({.max_timesteps = 1}));
      }
    }
  }
}

TEST(RuntimePlan, Header) {
  std::vector<char> plan = makePlan().bytes();
  plan[0] ^= 1;
  expectDamaged(plan, "plan: wrong magic number");
  plan = makePlan().bytes();
  plan[4] = 9;
  expectDamaged(plan, "plan: unknown version, found 9, expected 4",
                GRU_UNSUPPORTED);
  plan = makePlan().bytes();
  plan.push_back(0);
  expectDamaged(plan, "plan: wrong size");
  plan = makePlan().bytes();
  plan[plan.size() - 1] = 'x';
  expectDamaged(plan, "plan: the last name has no end");
  for (size_t i = 16; i < 80; i += 4) {
    if (i == 48) // sizes and the team
      i = offsetof(gru_plan_header, num_parts);
    plan = makePlan().bytes();
    std::memset(plan.data() + i, 0xff, 4);
    expectDamaged(plan, "plan: its counts do not fit its size");
  }
  for (uint32_t team : {0u, 100'000u})
    expectDamaged([=](PlanBuilder &p) { p.team = team; },
                  "plan: absurd number of threads");
  expectDamaged([](PlanBuilder &p) { p.header.weights_bytes = ~uint64_t(0); },
                "plan: absurd size of the weights");
  expectDamaged([](PlanBuilder &p) { p.header.state_bytes = ~uint64_t(0); },
                "plan: absurd size of the states");
}

TEST(RuntimePlan, Tensors) {
  expectDamaged([](PlanBuilder &p) { p.inputs[0].name = 1000; },
                "plan: input 0: name is out of range, found 1000");
  expectDamaged([](PlanBuilder &p) { p.outputs[0].dtype = 77; },
                "plan: output 'output_0': unknown type, found 77");
  expectDamaged([](PlanBuilder &p) { p.states[0].rank = 7; },
                "plan: state 'gru': too many dimensions, found 7");
  expectDamaged([](PlanBuilder &p) { p.weights[1].flags = 2; },
                "plan: weight 'gru/offset': flags are not known, found 2");
  expectDamaged([](PlanBuilder &p) { p.outputs[0].dims[1] = symbol(1); },
                "plan: output 'output_0': dimension 1 names an unknown symbol");
  expectDamaged([](PlanBuilder &p) { p.outputs[0].dims[1] = INT64_MIN; },
                "dimension 1 names an unknown symbol");
  expectDamaged([](PlanBuilder &p) { p.weights[0].dims[0] = symbol(0); },
                "plan: weight 'gru/scale': dimension 0 is dynamic");
  expectDamaged([](PlanBuilder &p) { p.inputs[0].dims[2] = INT64_MAX; },
                "plan: input 'x': absurd shape");
  expectDamaged(
      [](PlanBuilder &p) {
        p.inputs[0].dims[0] = 0;
        p.inputs[0].dims[2] = INT64_MAX;
      },
      "plan: input 'x': absurd shape");
}

TEST(RuntimePlan, StatesSymbolsScratch) {
  expectDamaged([](PlanBuilder &p) { p.states[0].offset = 44; },
                "plan: state 'gru': is out of range, found 24 bytes at 44, "
                "expected within 64");
  expectDamaged([](PlanBuilder &p) { p.states[0].offset = ~uint64_t(3); },
                "plan: state 'gru': is out of range");
  expectDamaged([](PlanBuilder &p) { p.states[0].offset = 2; },
                "plan: state 'gru': is not aligned");
  expectDamaged(
      [](PlanBuilder &p) {
        p.states.push_back(p.tensor("second", GRU_F32, {1}, 20));
      },
      "plan: state 'second': overlaps another, found offset 20, expected at "
      "least 24");
  expectDamaged([](PlanBuilder &p) { p.symbols[0].input = 1; },
                "plan: symbol 0: names an unknown input, found 1");
  expectDamaged([](PlanBuilder &p) { p.symbols[0].dim = 2; },
                "plan: symbol 0: is not dimension 2 of input 'x'");
  expectDamaged([](PlanBuilder &p) { p.symbols[0].dim = 100; },
                "plan: symbol 0: is not dimension 100 of input 'x'");
  expectDamaged([](PlanBuilder &p) { p.scratch[1].num_symbols = 4; },
                "plan: scratch 1: too many symbols, found 4");
  expectDamaged([](PlanBuilder &p) { p.scratch[1].symbols[0] = 1; },
                "plan: scratch 1: names an unknown symbol, found 1");
  expectDamaged([](PlanBuilder &p) { p.scratch[1].coefficient = ~uint64_t(0); },
                "plan: absurd size of the scratch memory");
}

TEST(RuntimePlan, Parts) {
  auto expectPart = [](auto edit, const std::string &text) {
    expectDamaged(
        [&](PlanBuilder &p) {
          gru_plan_part part{};
          part.library = GRU_PART_GPU;
          part.dtype = GRU_F32;
          part.layers = part.directions = 1;
          part.weights_per_cell = 2;
          part.features = part.units = part.batch = 1;
          p.offsets = {0, 64};
          p.code = std::string("code") + '\0';
          p.parts = {part};
          edit(p, p.parts[0]);
        },
        text);
  };
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.library = 4; },
             "plan: part 0: library is out of range, found 4");
  expectPart(
      [](PlanBuilder &, gru_plan_part &part) {
        part.library = GRU_PART_KERNEL;
        part.num_values = 5000;
      },
      "plan: part 0: number of arguments is out of range, found 5000");
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.dtype = GRU_BOOL; },
             "plan: part 0: type is out of range");
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.layers = 5000; },
             "plan: part 0: layers is out of range, found 5000");
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.directions = 3; },
             "plan: part 0: directions is out of range, found 3");
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.units = 0; },
             "plan: part 0: a size is out of range, found 0");
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.code = 5; },
             "plan: part 0: code is out of range, found 5");
  expectPart([](PlanBuilder &p, gru_plan_part &) { p.code = "code"; },
             "plan: its code does not end with a zero");
  expectPart([](PlanBuilder &, gru_plan_part &part) { part.first_offset = 1; },
             "plan: part 0: first_offset is out of range, found 1");
  expectPart([](PlanBuilder &p, gru_plan_part &) { p.offsets[1] = 120; },
             "plan: part 0: weight is out of range, found 120");
}

TEST(RuntimePlan, Packs) {
  auto expectPack = [](auto edit, const std::string &text) {
    expectDamaged([&](PlanBuilder &p) { edit(p.packs[0]); }, text);
  };
  expectPack([](gru_plan_pack &p) { p.weight = 2; },
             "plan: pack 0: names an unknown weight, found 2");
  expectPack(
      [](gru_plan_pack &p) { p.src_dtype = GRU_F64; },
      "plan: pack 0 of weight 'gru/scale': wrong source type, found f64, "
      "expected f32");
  expectPack([](gru_plan_pack &p) { p.dst_dtype = GRU_I32; },
             "cannot be done, found f32 to i32");
  expectPack([](gru_plan_pack &p) { p.dst_dtype = 0; }, "cannot be done");
  expectPack([](gru_plan_pack &p) { p.mode = GRU_PACK_QUANTIZE; },
             "cannot be done");
  auto quantized = [](uint64_t offset, int64_t stride) {
    return [=](gru_plan_pack &p) {
      p.mode = GRU_PACK_QUANTIZE;
      p.dst_dtype = GRU_I8;
      p.rank = 2;
      p.extents[1] = 1;
      p.scale_offset = offset;
      p.scale_strides[0] = stride;
    };
  };
  expectPack(quantized(2, 1), "writes scales out of range, found byte 2");
  expectPack(quantized(~uint64_t(3), 1), "writes scales out of range");
  expectPack(quantized(120, 1), "writes scales out of range");
  expectPack(quantized(0, -1), "writes scales out of range");
  expectPack(quantized(0, INT64_MAX), "writes scales out of range");
  // The sums' beginning stands in front, so one row of bytes is two groups.
  expectPack(
      [quantized](gru_plan_pack &p) {
        quantized(0, 0)(p);
        p.dst_strides[1] = 128;
      },
      "writes out of range, found elements");
  auto lists = [](auto edit) {
    return [=](gru_plan_pack &p) {
      p.mode = GRU_PACK_LIST_ROWS;
      p.dst_dtype = GRU_I32;
      p.rank = 4;
      for (int d = 0; d < 4; ++d)
        p.extents[d] = 2, p.src_strides[d] = p.dst_strides[d] = 1;
      p.dst_strides[3] = 0;
      edit(p);
    };
  };
  expectPack(lists([](gru_plan_pack &p) { p.rank = 3; }), "cannot be done");
  expectPack(lists([](gru_plan_pack &p) { p.dst_dtype = GRU_F32; }),
             "cannot be done");
  expectPack(lists([](gru_plan_pack &p) { p.src_dtype = GRU_I32; }),
             "cannot be done");
  expectPack(lists([](gru_plan_pack &p) { p.dst_strides[1] = 2; }),
             "cannot be done");
  expectPack(lists([](gru_plan_pack &p) { p.src_offset = 29; }),
             "reads out of range, found elements 29 to 33, expected below 32");
  // A number stands in front of the rows.
  expectPack(lists([](gru_plan_pack &p) { p.dst_offset = 4 * 28; }),
             "writes out of range, found elements 28 to 32, expected below 32");
  expectPack([](gru_plan_pack &p) { p.rank = 7; }, "too many dimensions");
  expectPack([](gru_plan_pack &p) { p.dst_offset = 2; }, "wrong destination");
  expectPack([](gru_plan_pack &p) { p.dst_offset = ~uint64_t(3); },
             "wrong destination");
  expectPack([](gru_plan_pack &p) { p.dst_offset = 128; },
             "writes out of range, found elements 32 to 34, expected below 32");
  expectPack([](gru_plan_pack &p) { p.extents[0] = -1; }, "negative extent");
  expectPack([](gru_plan_pack &p) { p.extents[0] = 4; },
             "reads out of range, found elements 0 to 3, expected below 3");
  expectPack([](gru_plan_pack &p) { p.src_offset = -1; }, "reads out of range");
  expectPack([](gru_plan_pack &p) { p.src_offset = INT64_MAX; },
             "absurd extents");
  expectPack([](gru_plan_pack &p) { p.src_strides[0] = INT64_MAX; },
             "absurd extents");
  expectPack([](gru_plan_pack &p) { p.src_strides[0] = -1; },
             "reads out of range");
  expectPack([](gru_plan_pack &p) { p.dst_strides[0] = -1; },
             "writes out of range");
  expectPack(
      [](gru_plan_pack &p) {
        p.extents[0] = INT64_MAX;
        p.src_strides[0] = p.dst_strides[0] = 0;
      },
      "absurd extents");
  // The stride of a single element is not looked at.
  PlanBuilder plan = makePlan();
  plan.packs[0].extents[0] = 1;
  plan.packs[0].src_strides[0] = plan.packs[0].dst_strides[0] = INT64_MIN;
  EXPECT_TRUE(open(plan.bytes()));
}

} // namespace
