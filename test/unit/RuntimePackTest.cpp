//===- RuntimePackTest.cpp - weights packed as plans say ------------------===//

#include "test/unit/PlansByHand.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

using namespace gru;

namespace {
using ::testing::ElementsAre;

/// Hands the weights blob to the test as its first output.
void exposeWeights(const gru_call *call, int32_t) {
  std::memcpy(call->out[0], call->weights, 128);
}

/// The weights blob after these packs of one weight.
template <typename T>
std::vector<T> runPacks(gru_dtype dtype, const void *data,
                        std::vector<int64_t> shape,
                        std::vector<gru_plan_pack> packs) {
  PlanBuilder plan;
  plan.outputs = {plan.tensor("blob", GRU_I32, {32})};
  plan.weights = {plan.tensor("w", dtype, shape)};
  plan.packs = packs;
  plan.header.weights_bytes = 128;
  std::vector<char> bytes = plan.bytes();
  gru_weight weight{"w", dtype, uint32_t(shape.size()), shape.data(), data};
  Result<Program> program =
      Program::open(makeArtifact(bytes, exposeWeights), {&weight, 1});
  if (!program) {
    ADD_FAILURE() << program.error().message();
    return std::vector<T>(128 / sizeof(T));
  }
  std::vector<int32_t> blob(32);
  EXPECT_TRUE(program->session().run({}, {{blob.data(), {32}}}));
  std::vector<T> result(128 / sizeof(T));
  std::memcpy(result.data(), blob.data(), 128);
  return result;
}

TEST(RuntimePack, TransposesAndPads) {
  float w[2][3] = {{1, 2, 3}, {4, 5, 6}};
  std::vector<float> blob = runPacks<float>(
      GRU_F32, w, {2, 3},
      {PlanBuilder::pack(0, GRU_F32, GRU_F32, 8, {3, 2}, {1, 3}, {4, 1})});
  std::vector<float> expected(32);
  for (int column = 0; column < 3; ++column)
    for (int row = 0; row < 2; ++row)
      expected[2 + column * 4 + row] = w[row][column];
  EXPECT_EQ(blob, expected);
}

TEST(RuntimePack, SixDimensionsAndNegativeStrides) {
  std::vector<float> w(16);
  for (int i = 0; i < 16; ++i)
    w[i] = i + 1;
  gru_plan_pack pack =
      PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {2, 1, 2, 2, 1, 2},
                        {-8, 999, -4, -2, 999, -1}, {8, 7, 4, 2, 7, 1});
  pack.src_offset = 15;
  std::vector<float> blob = runPacks<float>(GRU_F32, w.data(), {16}, {pack});
  for (int i = 0; i < 16; ++i)
    EXPECT_EQ(blob[i], 16 - i);
}

TEST(RuntimePack, AccumulatesAndReduces) {
  double w[2][3] = {{1, 2, 3}, {10, 20, 30}};
  gru_plan_pack sum =
      PlanBuilder::pack(0, GRU_F64, GRU_F32, 0, {2, 3}, {3, 1}, {0, 1});
  sum.mode = GRU_PACK_ADD;
  // Once, and the first row again.
  gru_plan_pack again =
      PlanBuilder::pack(0, GRU_F64, GRU_F32, 0, {3}, {1}, {1});
  again.mode = GRU_PACK_ADD;
  std::vector<float> blob = runPacks<float>(GRU_F64, w, {2, 3}, {sum, again});
  EXPECT_EQ(blob[0], 12);
  EXPECT_EQ(blob[1], 24);
  EXPECT_EQ(blob[2], 36);
  EXPECT_EQ(blob[3], 0);
}

TEST(RuntimePack, Quantizes) {
  // Columns: the largest is exact, ties (1.5) go to even, zeros have no scale.
  // Five rows, so that a second group of four is not full.
  float w[5][4] = {{127, -2.4f, 0, 1},
                   {1.5f, 5, 0, NAN},
                   {-2.5f, 1, 0, -4},
                   {3, 0, 0, 0},
                   {-7, 5, 0, 3}};
  gru_plan_pack pack = PlanBuilder::pack(0, GRU_F32, GRU_I8, 0, {1, 5, 1, 4},
                                         {0, 4, 0, 1}, {0, 16, 0, 4});
  pack.mode = GRU_PACK_QUANTIZE;
  pack.scale_offset = 48;
  pack.scale_strides[3] = 1;
  std::vector<float> blob = runPacks<float>(GRU_F32, w, {5, 4}, {pack});
  EXPECT_EQ(blob[12], 1);
  EXPECT_EQ(blob[13], 5.f / 127);
  EXPECT_EQ(blob[14], 0);
  EXPECT_EQ(blob[15], 4.f / 127);
  int32_t starts[4];
  std::memcpy(starts, blob.data(), sizeof(starts));
  EXPECT_THAT(starts, ElementsAre(-128 * (127 + 2 - 2 + 3 - 7),
                                  -128 * (-61 + 127 + 25 + 127), 0,
                                  -128 * (32 - 127 + 95)));
  int8_t bytes[32];
  std::memcpy(bytes, blob.data() + 4, sizeof(bytes));
  EXPECT_THAT(bytes, ElementsAre(127, 2, -2, 3, -61, 127, 25, 0, 0, 0, 0, 0, 32,
                                 0, -127, 0, -7, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0,
                                 0, 95, 0, 0, 0));
}

TEST(RuntimePack, ListsRows) {
  // Two blocks of two rows of two gates of two columns, packed as they are.
  float w[2][2][2][2] = {{{{0, 0}, {1, 0}}, {{0, 2}, {-0.0f, 0}}},
                         {{{0, NAN}, {1e-45f, 0}}, {{0, 0}, {3, 4}}}};
  gru_plan_pack copy =
      PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {16}, {1}, {1});
  gru_plan_pack list = PlanBuilder::pack(0, GRU_F32, GRU_I32, 64, {2, 2, 2, 2},
                                         {8, 4, 2, 1}, {6, 1, 3, 0});
  list.mode = GRU_PACK_LIST_ROWS;
  std::vector<int32_t> blob = runPacks<int32_t>(GRU_F32, w, {16}, {copy, list});
  EXPECT_THAT(std::vector(blob.begin() + 16, blob.begin() + 28),
              ElementsAre(1, 1, 0, 1, 0, 0, 1, 0, 0, 2, 0, 1));
}

TEST(RuntimePack, ScalarEmptyAndUnaligned) {
  alignas(8) char raw[16] = {};
  float value = 7;
  std::memcpy(raw + 1, &value, sizeof(value));
  std::vector<float> blob = runPacks<float>(
      GRU_F32, raw + 1, {},
      {PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {}, {}, {}),
       PlanBuilder::pack(0, GRU_F32, GRU_F64, 8, {}, {}, {}),
       PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {5, 0}, {1, 1}, {1, 1})});
  EXPECT_EQ(blob[0], 7);
  EXPECT_EQ(std::bit_cast<double>(std::array{blob[2], blob[3]}), 7);
  EXPECT_EQ(blob[1], 0);
}

TEST(RuntimePack, CopiesIntegersAndKeepsNaNBits) {
  int64_t numbers[2] = {(int64_t(1) << 60) + 1, -5};
  std::vector<int64_t> ints = runPacks<int64_t>(
      GRU_I64, numbers, {2},
      {PlanBuilder::pack(0, GRU_I64, GRU_I64, 0, {2}, {1}, {3})});
  EXPECT_EQ(ints[0], numbers[0]);
  EXPECT_EQ(ints[3], numbers[1]);
  uint32_t nan = 0x7fa12345;
  std::vector<uint32_t> bits = runPacks<uint32_t>(
      GRU_F32, &nan, {1},
      {PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {1}, {1}, {1})});
  EXPECT_EQ(bits[0], nan);
}

/// Casts one double to a 16-bit format and back, as the packs do.
uint16_t encode(gru_dtype dtype, double value) {
  return runPacks<uint16_t>(
      GRU_F64, &value, {1},
      {PlanBuilder::pack(0, GRU_F64, dtype, 0, {1}, {1}, {1})})[0];
}
double decode(gru_dtype dtype, uint16_t value) {
  return runPacks<double>(
      dtype, &value, {1},
      {PlanBuilder::pack(0, dtype, GRU_F64, 0, {1}, {1}, {1})})[0];
}

TEST(RuntimePack, Half) {
  EXPECT_EQ(encode(GRU_F16, 1.0), 0x3c00);
  EXPECT_EQ(encode(GRU_F16, -2.0), 0xc000);
  EXPECT_EQ(encode(GRU_F16, -0.0), 0x8000);
  EXPECT_EQ(encode(GRU_F16, 65504), 0x7bff);
  EXPECT_EQ(encode(GRU_F16, 65519.9), 0x7bff);
  EXPECT_EQ(encode(GRU_F16, 65520), 0x7c00);
  EXPECT_EQ(encode(GRU_F16, 1e300), 0x7c00);
  EXPECT_EQ(encode(GRU_F16, 0x1p-24), 0x0001);
  EXPECT_EQ(encode(GRU_F16, 0x1p-25), 0x0000);       // tie to even
  EXPECT_EQ(encode(GRU_F16, 0x1.0001p-25), 0x0001);  // just above
  EXPECT_EQ(encode(GRU_F16, 0x1.8p-24), 0x0002);     // tie to even
  EXPECT_EQ(encode(GRU_F16, 0x1.ffcp-15), 0x0400);   // carries into normals
  EXPECT_EQ(encode(GRU_F16, 1 + 0x1p-11), 0x3c00);   // tie to even
  EXPECT_EQ(encode(GRU_F16, 1 + 0x1.8p-10), 0x3c02); // tie to even
  // Rounded twice, through f32, this would be 0x3c00.
  EXPECT_EQ(encode(GRU_F16, 1 + 0x1p-11 + 0x1p-40), 0x3c01);
  EXPECT_EQ(encode(GRU_F16, 5e-324), 0x0000);
  EXPECT_TRUE(std::isnan(decode(GRU_F16, encode(GRU_F16, NAN))));
  EXPECT_EQ(decode(GRU_F16, 0xfc00), -INFINITY);
  // Every number survives the way there and back.
  for (uint32_t bits = 0; bits < 0x10000; bits += 37)
    if ((bits & 0x7fff) <= 0x7c00) {
      ASSERT_EQ(encode(GRU_F16, decode(GRU_F16, bits)), bits);
    }
}

TEST(RuntimePack, BFloat) {
  EXPECT_EQ(encode(GRU_BF16, 1.0), 0x3f80);
  EXPECT_EQ(encode(GRU_BF16, 1 + 0x1p-8), 0x3f80);
  EXPECT_EQ(encode(GRU_BF16, 1 + 0x1.8p-7), 0x3f82);
  EXPECT_EQ(encode(GRU_BF16, 3.4e38), 0x7f80);
  EXPECT_EQ(encode(GRU_BF16, -1e308), 0xff80);
  EXPECT_EQ(encode(GRU_BF16, 0x1p-133), 0x0001);
  for (uint32_t bits = 0; bits < 0x10000; bits += 37)
    if ((bits & 0x7fff) <= 0x7f80) {
      ASSERT_EQ(encode(GRU_BF16, decode(GRU_BF16, bits)), bits);
      // A bf16 is the upper half of an f32.
      ASSERT_EQ(decode(GRU_BF16, bits), std::bit_cast<float>(bits << 16));
    }
}

TEST(RuntimePack, EveryPairOfTypes) {
  // 1.5 and 2.25 are exact in all four.
  for (gru_dtype src : {GRU_F32, GRU_F64, GRU_F16, GRU_BF16})
    for (gru_dtype dst : {GRU_F32, GRU_F64, GRU_F16, GRU_BF16}) {
      double values[2] = {1.5, 2.25};
      std::vector<char> encoded = runPacks<char>(
          GRU_F64, values, {2},
          {PlanBuilder::pack(0, GRU_F64, src, 0, {2}, {1}, {1})});
      gru_plan_pack pack = PlanBuilder::pack(0, src, dst, 0, {2}, {1}, {1});
      gru_plan_pack again = pack;
      again.mode = GRU_PACK_ADD;
      std::vector<char> packed =
          runPacks<char>(src, encoded.data(), {2}, {pack, again});
      std::vector<double> back = runPacks<double>(
          dst, packed.data(), {2},
          {PlanBuilder::pack(0, dst, GRU_F64, 0, {2}, {1}, {1})});
      EXPECT_EQ(back[0], 3) << gru_dtype_name(src) << gru_dtype_name(dst);
      EXPECT_EQ(back[1], 4.5);
    }
}

} // namespace
