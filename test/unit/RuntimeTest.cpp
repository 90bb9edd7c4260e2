//===- RuntimeTest.cpp - the runtime with a hand-written kernel -----------===//
//
// Plans are built by hand here, good and damaged ones, and the kernel is a
// plain C++ function, so that the runtime is tested without a compiler.
//
//===----------------------------------------------------------------------===//

#include "gru/runtime.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#if defined(__linux__)
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define GRU_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRU_TEST_ASAN 1
#endif
#endif

//===----------------------------------------------------------------------===//
// Counting allocations
//===----------------------------------------------------------------------===//

namespace {
thread_local bool counting = false;
std::atomic<int> numAllocations = 0;

void countAllocation() {
  if (counting)
    ++numAllocations;
}

/// Allocations and releases of this thread while it lives.
struct CountAllocations {
  CountAllocations() {
    numAllocations = 0;
    counting = true;
  }
  ~CountAllocations() { counting = false; }
  int get() const { return numAllocations; }
};
} // namespace

#if defined(GRU_TEST_ASAN)
// The sanitizer owns malloc, but tells.
extern "C" int __sanitizer_install_malloc_and_free_hooks(
    void (*onMalloc)(const volatile void *, size_t),
    void (*onFree)(const volatile void *));
static int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void *, size_t) { countAllocation(); },
    [](const volatile void *) { countAllocation(); });
#elif defined(__GLIBC__)
// operator new, aligned or not, ends in one of these.
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

void *malloc(size_t size) {
  countAllocation();
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  countAllocation();
  return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
  countAllocation();
  return __libc_realloc(old, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  countAllocation();
  return __libc_memalign(alignment, size);
}
void *memalign(size_t alignment, size_t size) {
  countAllocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **result, size_t alignment, size_t size) {
  countAllocation();
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : 12;
}
void free(void *pointer) {
  if (pointer)
    countAllocation();
  __libc_free(pointer);
}
}
#endif

//===----------------------------------------------------------------------===//
// Plans by hand
//===----------------------------------------------------------------------===//

namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t symbol(int64_t s) { return -1 - s; }

struct PlanBuilder {
  gru_plan_header header{};
  std::vector<gru_plan_tensor> inputs, outputs, states, weights;
  std::vector<gru_plan_symbol> symbols;
  std::vector<gru_plan_pack> packs;
  std::vector<gru_plan_scratch> scratch;
  std::vector<gru_plan_part> parts;
  std::vector<uint64_t> offsets;
  std::string code, strings;
  uint32_t team = 1;

  gru_plan_tensor tensor(std::string_view name, gru_dtype dtype,
                         std::vector<int64_t> dims, uint64_t offset = 0) {
    gru_plan_tensor result{};
    result.name = strings.size();
    strings.append(name).push_back('\0');
    result.dtype = dtype;
    result.rank = dims.size();
    std::copy(dims.begin(), dims.end(), result.dims);
    result.offset = offset;
    return result;
  }

  static gru_plan_pack pack(uint32_t weight, gru_dtype src, gru_dtype dst,
                            uint64_t offset, std::vector<int64_t> extents,
                            std::vector<int64_t> srcStrides,
                            std::vector<int64_t> dstStrides) {
    gru_plan_pack result{};
    result.weight = weight;
    result.src_dtype = src;
    result.dst_dtype = dst;
    result.rank = extents.size();
    result.dst_offset = offset;
    std::copy(extents.begin(), extents.end(), result.extents);
    std::copy(srcStrides.begin(), srcStrides.end(), result.src_strides);
    std::copy(dstStrides.begin(), dstStrides.end(), result.dst_strides);
    return result;
  }

  std::vector<char> bytes() const {
    gru_plan_header head = header;
    head.magic = GRU_PLAN_MAGIC;
    head.version = GRU_PLAN_VERSION;
    head.team = team;
    head.num_inputs = inputs.size();
    head.num_outputs = outputs.size();
    head.num_states = states.size();
    head.num_weights = weights.size();
    head.num_symbols = symbols.size();
    head.num_packs = packs.size();
    head.num_scratch = scratch.size();
    head.num_parts = parts.size();
    head.num_offsets = offsets.size();
    head.code_size = code.size();
    head.strings_size = strings.size();
    std::vector<char> result(sizeof(head));
    auto append = [&](const auto &array) {
      const char *data = reinterpret_cast<const char *>(array.data());
      result.insert(result.end(), data,
                    data + array.size() * sizeof(*array.data()));
    };
    append(inputs);
    append(outputs);
    append(states);
    append(weights);
    append(symbols);
    append(packs);
    append(scratch);
    append(parts);
    append(offsets);
    append(code);
    append(strings);
    head.size = result.size();
    std::memcpy(result.data(), &head, sizeof(head));
    return result;
  }
};

/// y[b, t, u] = h += x[b, t, u] * scale[u] + offset[u], through scratch.
/// Weights: scale, padded to 64 bytes; offset at byte 64.
constexpr int64_t kBatch = 2, kUnits = 3;

void kernel(const gru_call *call, int32_t thread) {
  ASSERT_EQ(thread, 0);
  ASSERT_EQ(call->team, nullptr);
  for (const void *blob :
       {call->weights, (const void *)call->state, (const void *)call->scratch})
    ASSERT_EQ(reinterpret_cast<uintptr_t>(blob) % 64, 0u);
  const float *x = static_cast<const float *>(call->in[0]);
  float *y = static_cast<float *>(call->out[0]);
  const float *scale = static_cast<const float *>(call->weights);
  const float *offset = scale + 16;
  float *h = static_cast<float *>(call->state);
  float *scratch = static_cast<float *>(call->scratch);
  int64_t steps = call->dims[0];
  for (int64_t i = 0; i < kBatch * steps * kUnits; ++i)
    scratch[i] = x[i] * scale[i % kUnits] + offset[i % kUnits];
  for (int64_t b = 0; b < kBatch; ++b)
    for (int64_t t = 0; t < steps; ++t)
      for (int64_t u = 0; u < kUnits; ++u) {
        int64_t i = (b * steps + t) * kUnits + u;
        y[i] = h[b * kUnits + u] += scratch[i];
      }
}

PlanBuilder makePlan() {
  PlanBuilder plan;
  plan.inputs = {plan.tensor("x", GRU_F32, {kBatch, symbol(0), kUnits})};
  plan.outputs = {
      plan.tensor("output_0", GRU_F32, {kBatch, symbol(0), kUnits})};
  plan.states = {plan.tensor("gru", GRU_F32, {kBatch, kUnits})};
  plan.weights = {plan.tensor("gru/scale", GRU_F32, {kUnits}),
                  plan.tensor("gru/offset", GRU_F32, {kUnits})};
  plan.symbols = {{0, 1}};
  plan.packs = {PlanBuilder::pack(0, GRU_F32, GRU_F32, 0, {kUnits}, {1}, {1}),
                PlanBuilder::pack(1, GRU_F32, GRU_F32, 64, {kUnits}, {1}, {1})};
  plan.scratch = {{64, 0, {}}, {kBatch * kUnits * sizeof(float), 1, {0}}};
  plan.header.weights_bytes = 128;
  plan.header.state_bytes = 64;
  return plan;
}

gru_artifact makeArtifact(const std::vector<char> &plan,
                          gru_kernel function = kernel) {
  gru_artifact artifact{};
  artifact.struct_size = sizeof(artifact);
  artifact.kernel = function;
  artifact.plan = plan.data();
  artifact.plan_size = plan.size();
  return artifact;
}

const int64_t kUnitsShape[] = {kUnits};
const float kScale[kUnits] = {1, 2, 3}, kOffset[kUnits] = {0.5, 0, -1};
const std::vector<gru_weight> kWeights = {
    {"unused", GRU_F32, 1, kUnitsShape, kScale},
    {"gru/offset", GRU_F32, 1, kUnitsShape, kOffset},
    {"gru/scale", GRU_F32, 1, kUnitsShape, kScale}};

gru::Result<gru::Program>
open(const std::vector<char> &plan,
     const std::vector<gru_weight> &weights = kWeights) {
  return gru::Program::open(makeArtifact(plan), weights);
}

gru::Program makeProgram() {
  gru::Result<gru::Program> program = open(makePlan().bytes());
  EXPECT_TRUE(program) << program.error().message();
  return *program;
}

/// Opening fails with this status and a text that contains `text`.
void expectDamaged(const std::vector<char> &plan, const std::string &text,
                   gru_status status = GRU_DAMAGED) {
  gru::Result<gru::Program> program = open(plan);
  ASSERT_FALSE(program) << "expected: " << text;
  EXPECT_EQ(program.error().code(), status);
  EXPECT_THAT(program.error().message(), HasSubstr(text));
}

template <typename Edit>
void expectDamaged(Edit edit, const std::string &text,
                   gru_status status = GRU_DAMAGED) {
  PlanBuilder plan = makePlan();
  edit(plan);
  expectDamaged(plan.bytes(), text, status);
}

//===----------------------------------------------------------------------===//
// Types, errors, version
//===----------------------------------------------------------------------===//

TEST(Runtime, Version) { EXPECT_EQ(gru_abi_version(), GRU_ABI_VERSION); }

TEST(Runtime, DTypes) {
  EXPECT_EQ(gru_dtype_size(GRU_F32), 4u);
  EXPECT_EQ(gru_dtype_size(GRU_BOOL), 1u);
  EXPECT_EQ(gru_dtype_size(0), 0u);
  EXPECT_EQ(gru_dtype_size(99), 0u);
  EXPECT_STREQ(gru_dtype_name(GRU_BF16), "bf16");
  EXPECT_STREQ(gru_dtype_name(99), "unknown");
  EXPECT_EQ(gru::dtypeOf<const double>(), gru::DType::f64);
  EXPECT_STREQ(gru_status_name(GRU_DAMAGED), "damaged");
}

TEST(Runtime, LastErrorIsPerThreadAndCut) {
  gru_set_last_error("mine");
  std::thread([] { EXPECT_STREQ(gru_last_error(), ""); }).join();
  EXPECT_STREQ(gru_last_error(), "mine");
  gru_set_last_error(gru_last_error());
  EXPECT_STREQ(gru_last_error(), "mine");
  gru_set_last_error(std::string(5000, 'x').c_str());
  EXPECT_LT(std::strlen(gru_last_error()), 1024u);
  EXPECT_THAT(gru_last_error(), testing::EndsWith("x..."));
  gru_set_last_error(nullptr);
  EXPECT_STREQ(gru_last_error(), "");
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

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
  gru::Result<gru::Program> program =
      gru::Program::open(makeArtifact(bytes, exposeWeights), {&weight, 1});
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
  // Columns: the largest is exact, ties (1.5) go to even, zeros have no scale. Five
  // rows, so that a second group of four is not full.
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
  EXPECT_THAT(bytes, ElementsAre(127, 2, -2, 3, -61, 127, 25, 0, 0, 0, 0, 0, 32, 0,
                                 -127, 0, -7, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0,
                                 95, 0, 0, 0));
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

//===----------------------------------------------------------------------===//
// Damaged plans
//===----------------------------------------------------------------------===//

TEST(RuntimePlan, EveryTruncationIsAnError) {
  std::vector<char> plan = makePlan().bytes();
  for (size_t size = 0; size < plan.size(); ++size) {
    // A block of its own, so that a sanitizer sees a read behind the end.
    std::vector<char> part(plan.begin(), plan.begin() + size);
    gru::Result<gru::Program> program = open(part);
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
      gru::Result<gru::Program> program = open(damaged);
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
  expectPack([](gru_plan_pack &p) { p.mode = GRU_PACK_QUANTIZE; }, "cannot be done");
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

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

TEST(RuntimeProgram, Queries) {
  gru::Program program = makeProgram();
  ASSERT_EQ(program.inputs().size(), 1u);
  EXPECT_EQ(program.inputs()[0].name, "x");
  EXPECT_EQ(program.inputs()[0].dtype, gru::DType::f32);
  EXPECT_THAT(program.inputs()[0].dims, ElementsAre(kBatch, -1, kUnits));
  EXPECT_EQ(program.outputs()[0].name, "output_0");
  EXPECT_EQ(program.states()[0].name, "gru");
  EXPECT_EQ(program.weights()[1].name, "gru/offset");
  EXPECT_EQ(program.weights_bytes(), 128u);
  EXPECT_EQ(program.state_bytes(), 64u);
  EXPECT_EQ(*program.scratch_bytes(10), 64u + 10 * 24);
  EXPECT_FALSE(program.scratch_bytes(0));
  EXPECT_EQ(program.scratch_bytes(INT64_MAX).error().code(), GRU_OUT_OF_MEMORY);
  gru_tensor_info info;
  EXPECT_EQ(gru_program_tensor(program.get(), GRU_KIND_INPUT, 1, &info),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(gru_program_num_tensors(program.get(), gru_tensor_kind(3)), 2u);
}

TEST(RuntimeProgram, OutputShape) {
  gru::Program program = makeProgram();
  const float *none = nullptr;
  gru::TensorView x(none, {kBatch, 5000, kUnits});
  auto shape = program.output_shape({&x, 1}, 0);
  ASSERT_TRUE(shape) << shape.error().message();
  EXPECT_THAT(*shape, ElementsAre(kBatch, 5000, kUnits));
  EXPECT_FALSE(program.output_shape({&x, 1}, 1));
  x = gru::TensorView(none, {kBatch, kUnits});
  EXPECT_FALSE(program.output_shape({&x, 1}, 0));
}

TEST(RuntimeProgram, Weights) {
  std::vector<char> plan = makePlan().bytes();
  auto expectError = [&](std::vector<gru_weight> weights,
                         const std::string &text) {
    gru::Result<gru::Program> program = open(plan, weights);
    ASSERT_FALSE(program);
    EXPECT_EQ(program.error().code(), GRU_INVALID_ARGUMENT);
    EXPECT_EQ(program.error().message(), text);
  };
  expectError({}, "weight 'gru/scale': is missing, expected f32 [3]");
  std::vector<gru_weight> weights = kWeights;
  const int64_t four[] = {4}, two[] = {1, 3};
  weights[2].dims = four;
  expectError(weights,
              "weight 'gru/scale': wrong shape, found [4], expected [3]");
  weights[2].dims = two;
  weights[2].rank = 2;
  expectError(weights,
              "weight 'gru/scale': wrong shape, found [1, 3], expected [3]");
  weights[2].rank = 1000;
  expectError(weights, "weight 'gru/scale': wrong shape, found 1000 "
                       "dimensions, expected [3]");
  weights = kWeights;
  weights[2].dtype = GRU_F64;
  expectError(weights,
              "weight 'gru/scale': wrong type, found f64, expected f32");
  weights[2].dtype = 1234;
  expectError(weights,
              "weight 'gru/scale': unknown type, found 1234, expected f32");
  weights = kWeights;
  weights[2].data = nullptr;
  expectError(weights, "weight 'gru/scale': data is null, expected 12 bytes");
  weights[2].dims = nullptr;
  expectError(weights, "weight 'gru/scale': dims is null, expected 1 sizes");
  weights[0].name = nullptr;
  expectError(weights, "weight 0: name is null");
}

TEST(RuntimeProgram, NullArguments) {
  std::vector<char> plan = makePlan().bytes();
  gru_artifact artifact = makeArtifact(plan);
  auto *program = reinterpret_cast<gru_program *>(1);
  EXPECT_EQ(gru_program_open(nullptr, nullptr, 0, &program),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(program, nullptr);
  EXPECT_EQ(gru_program_open(&artifact, nullptr, 1, &program),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(gru_program_open(&artifact, nullptr, 0, nullptr),
            GRU_INVALID_ARGUMENT);
  artifact.kernel = nullptr;
  EXPECT_EQ(gru_program_open(&artifact, kWeights.data(), 3, &program),
            GRU_INVALID_ARGUMENT);
  artifact.kernel = kernel;
  artifact.plan = nullptr;
  EXPECT_EQ(gru_program_open(&artifact, kWeights.data(), 3, &program),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(gru_program_retain(nullptr), nullptr);
  gru_program_release(nullptr);
  gru_session_destroy(nullptr);
  gru_session_reset_states(nullptr);
  gru_session *session;
  EXPECT_EQ(gru_session_create(nullptr, nullptr, &session),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(gru_session_run(nullptr, nullptr, 0, nullptr, 0),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(gru_session_state_size(nullptr), 0u);
  EXPECT_EQ(gru_program_num_tensors(nullptr, GRU_KIND_INPUT), 0u);
  EXPECT_FALSE(gru::Session().run({}, {}));
  EXPECT_FALSE(gru::Program().session());
}

TEST(RuntimeProgram, VersionedStructs) {
  std::vector<char> plan = makePlan().bytes();
  struct Newer {
    gru_artifact artifact;
    uint64_t added = 0;
  } newer{makeArtifact(plan)};
  newer.artifact.struct_size = sizeof(newer);
  gru_program *program;
  ASSERT_EQ(gru_program_open(&newer.artifact, kWeights.data(), 3, &program),
            GRU_OK);
  gru_program_release(program);
  newer.added = 1;
  EXPECT_EQ(gru_program_open(&newer.artifact, kWeights.data(), 3, &program),
            GRU_UNSUPPORTED);
  newer.artifact.struct_size = 8;
  EXPECT_EQ(gru_program_open(&newer.artifact, kWeights.data(), 3, &program),
            GRU_INVALID_ARGUMENT);
  EXPECT_THAT(gru_last_error(), HasSubstr("struct_size is too small, found 8"));
}

TEST(RuntimeProgram, OlderCallersStructsAreShorter) {
  std::vector<char> plan = makePlan().bytes();
  gru_artifact artifact = makeArtifact(plan);
  artifact.struct_size = offsetof(gru_artifact, packed_weights);
  // What lies behind belongs to somebody else.
  artifact.packed_weights = &plan;
  artifact.allocator = reinterpret_cast<const gru_allocator *>(&plan);
  auto program = gru::Program::open(artifact, kWeights);
  ASSERT_TRUE(program) << program.error().message();
  gru_session_options options{};
  options.struct_size = offsetof(gru_session_options, allocator);
  options.allocator = reinterpret_cast<const gru_allocator *>(&plan);
  gru_session *session;
  ASSERT_EQ(gru_session_create(program->get(), &options, &session), GRU_OK);
  gru_session_destroy(session);
}

TEST(RuntimeProgram, TakesPackedWeights) {
  std::vector<char> plan = makePlan().bytes();
  alignas(64) char blob[128];
  ASSERT_EQ(gru_pack_weights(plan.data(), plan.size(), kWeights.data(), 3, blob,
                             sizeof(blob)),
            GRU_OK)
      << gru_last_error();
  gru_artifact artifact = makeArtifact(plan);
  artifact.packed_weights = blob;
  artifact.packed_weights_size = sizeof(blob);
  auto program = gru::Program::open(artifact, {});
  ASSERT_TRUE(program) << program.error().message();
  float x[6] = {1, 1, 1, 1, 1, 1}, expected[6], found[6];
  ASSERT_TRUE(makeProgram().session().run({{x, {2, 1, 3}}},
                                          {{expected, {2, 1, 3}}}));
  ASSERT_TRUE(program->session().run({{x, {2, 1, 3}}}, {{found, {2, 1, 3}}}));
  EXPECT_EQ(std::memcmp(expected, found, sizeof(found)), 0);

  artifact.packed_weights_size = 64;
  EXPECT_THAT(gru::Program::open(artifact, {}).error().message(),
              HasSubstr("packed weights have 64 bytes, expected 128"));
  artifact.packed_weights_size = 128;
  artifact.packed_weights = blob + 4;
  EXPECT_THAT(gru::Program::open(artifact, {}).error().message(),
              HasSubstr("are not aligned"));
  EXPECT_EQ(gru_pack_weights(plan.data(), plan.size(), kWeights.data(), 3, blob,
                             64),
            GRU_INVALID_ARGUMENT);
  EXPECT_EQ(gru_pack_weights(plan.data(), plan.size(), nullptr, 0, blob, 128),
            GRU_INVALID_ARGUMENT);
}

TEST(RuntimeProgram, SwapsWeights) {
  const float other[kUnits] = {10, 10, 10};
  std::vector<gru_weight> weights = kWeights;
  weights[2].data = other;
  auto program = open(makePlan().bytes());
  ASSERT_TRUE(program);
  gru::Session session = program->session();
  auto swapped = program->with_weights(weights);
  ASSERT_TRUE(swapped) << swapped.error().message();
  float x[6] = {1, 1, 1, 1, 1, 1}, y[6];
  ASSERT_TRUE(session.run({{x, {2, 1, 3}}}, {{y, {2, 1, 3}}}));
  EXPECT_EQ(y[0], 1.5f);
  // The state goes on; the first program may go.
  ASSERT_TRUE(session.set_program(*swapped));
  *program = gru::Program();
  *swapped = gru::Program();
  ASSERT_TRUE(session.run({{x, {2, 1, 3}}}, {{y, {2, 1, 3}}}));
  EXPECT_EQ(y[0], 1.5f + 10.5f);
  // Another plan is no other set of weights.
  auto refused = session.set_program(makeProgram());
  EXPECT_TRUE(refused) << "an equal plan of the same kernel is the same program";
  PlanBuilder renamed = makePlan();
  renamed.scratch[0].coefficient += 64;
  auto foreign = open(renamed.bytes());
  ASSERT_TRUE(foreign);
  EXPECT_FALSE(session.set_program(*foreign));
  EXPECT_FALSE(session.set_program(gru::Program()));
  weights.pop_back();
  EXPECT_FALSE(foreign->with_weights(weights));
}

/// Counts what is out, and can refuse.
struct CountingAllocator {
  gru_allocator raw{sizeof(gru_allocator), 0, allocate, release, this};
  size_t bytes = 0, calls = 0, allowed = SIZE_MAX;

  static void *allocate(void *context, size_t size, size_t alignment) {
    auto &self = *static_cast<CountingAllocator *>(context);
    EXPECT_EQ(size % alignment, 0u);
    if (self.calls == self.allowed)
      return nullptr;
    ++self.calls;
    self.bytes += size;
    return std::aligned_alloc(alignment, size);
  }
  static void release(void *context, void *memory, size_t size) {
    static_cast<CountingAllocator *>(context)->bytes -= size;
    std::free(memory);
  }
};

TEST(RuntimeProgram, UsesTheHostsAllocator) {
  std::vector<char> plan = makePlan().bytes();
  CountingAllocator allocator;
  gru_artifact artifact = makeArtifact(plan);
  artifact.allocator = &allocator.raw;
  {
    auto program = gru::Program::open(artifact, kWeights);
    ASSERT_TRUE(program);
    EXPECT_GE(allocator.bytes, 128 + plan.size());
    size_t ofProgram = allocator.bytes;
    gru::Session session =
        program->session({.max_timesteps = 100, .allocator = &allocator.raw});
    ASSERT_TRUE(session);
    EXPECT_GE(allocator.bytes - ofProgram,
              program->state_bytes() + *program->scratch_bytes(100));
    size_t calls = allocator.calls;
    float x[6] = {}, y[6];
    ASSERT_TRUE(session.run({{x, {2, 1, 3}}}, {{y, {2, 1, 3}}}));
    EXPECT_EQ(allocator.calls, calls);
  }
  EXPECT_EQ(allocator.bytes, 0u);
  // Each refusal is an error that loses nothing.
  size_t needed = allocator.calls;
  for (size_t allowed = 0; allowed < needed; ++allowed) {
    allocator.calls = 0;
    allocator.allowed = allowed;
    auto program = gru::Program::open(artifact, kWeights);
    if (program) {
      gru::Session session =
          program->session({.max_timesteps = 100, .allocator = &allocator.raw});
      ASSERT_FALSE(session);
      EXPECT_EQ(session.error().code(), GRU_OUT_OF_MEMORY);
    } else {
      EXPECT_EQ(program.error().code(), GRU_OUT_OF_MEMORY);
    }
  }
  EXPECT_EQ(allocator.bytes, 0u);
  allocator.raw.release = nullptr;
  EXPECT_THAT(gru::Program::open(artifact, kWeights).error().message(),
              HasSubstr("allocator: allocate or release is null"));
}

TEST(RuntimeProgram, ReleasesTheArtifactWithTheLastReference) {
  std::vector<char> plan = makePlan().bytes();
  int released = 0;
  gru_artifact artifact = makeArtifact(plan);
  artifact.context = &released;
  artifact.release = [](void *context) { ++*static_cast<int *>(context); };
  {
    gru::Session session;
    {
      gru::Result<gru::Program> program =
          gru::Program::open(artifact, kWeights);
      ASSERT_TRUE(program);
      gru::Program other = *program;
      session = other.session();
    }
    EXPECT_EQ(released, 0);
    EXPECT_TRUE(session);
  }
  EXPECT_EQ(released, 1);
  // If opening fails the artifact stays the caller's.
  EXPECT_FALSE(gru::Program::open(artifact, {}));
  EXPECT_EQ(released, 1);
}

TEST(RuntimeProgram, SharedByThreads) {
  gru::Program program = makeProgram();
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n)
    threads.emplace_back([program, n] {
      for (int i = 0; i < 50; ++i) {
        gru::Program mine = program;
        gru::Session session = mine.session({.max_timesteps = 4});
        float x[kBatch * kUnits], y[kBatch * kUnits];
        std::fill(std::begin(x), std::end(x), float(n));
        ASSERT_TRUE(session.run({{x, {kBatch, 1, kUnits}}},
                                {{y, {kBatch, 1, kUnits}}}));
        ASSERT_EQ(y[1], 2 * n);
      }
    });
  for (std::thread &thread : threads)
    thread.join();
}

//===----------------------------------------------------------------------===//
// Sessions
//===----------------------------------------------------------------------===//

/// A program, a session for up to 8 steps, and one run of `steps` steps.
struct SessionTest : testing::Test {
  static constexpr int64_t kMax = 8;
  gru::Program program = makeProgram();
  gru::Session session = program.session({.max_timesteps = kMax});
  std::vector<float> x = std::vector<float>(kBatch * kMax * kUnits, 1.0f);
  std::vector<float> y = std::vector<float>(kBatch * kMax * kUnits, -7.0f);

  gru::Result<void> run(gru::Session &s, int64_t steps) {
    return s.run({{x.data(), {kBatch, steps, kUnits}}},
                 {{y.data(), {kBatch, steps, kUnits}}});
  }

  /// Running with these fails with this text and changes nothing.
  void expectError(std::vector<gru::TensorView> in,
                   std::vector<gru::TensorView> out, const std::string &text) {
    std::vector<float> before = y;
    gru::Result<void> result = session.run(in, out);
    ASSERT_FALSE(result) << "expected: " << text;
    EXPECT_EQ(result.error().code(), GRU_INVALID_ARGUMENT);
    EXPECT_THAT(result.error().message(), HasSubstr(text));
    EXPECT_EQ(y, before);
    auto state = session.save_state();
    EXPECT_EQ(*state, std::vector<std::byte>(64));
  }
};

TEST_F(SessionTest, RunsAndKeepsState) {
  ASSERT_TRUE(session) << session.error().message();
  ASSERT_TRUE(run(session, 2));
  // Per step 1 * scale + offset = 1.5, 2, 2.
  EXPECT_THAT(std::vector(y.begin(), y.begin() + 6),
              ElementsAre(1.5, 2, 2, 3, 4, 4));
  EXPECT_EQ(y[2 * kBatch * kUnits], -7);
  ASSERT_TRUE(run(session, 1));
  EXPECT_THAT(std::vector(y.begin(), y.begin() + 3), ElementsAre(4.5, 6, 6));
  session.reset_states();
  ASSERT_TRUE(run(session, 1));
  EXPECT_THAT(std::vector(y.begin(), y.begin() + 3), ElementsAre(1.5, 2, 2));
  // The longest run there is.
  ASSERT_TRUE(run(session, kMax));
}

TEST_F(SessionTest, RunsWhatIsBound) {
  gru::Result<void> unbound = session.run();
  ASSERT_FALSE(unbound);
  EXPECT_THAT(unbound.error().message(), HasSubstr("nothing is bound"));
  EXPECT_EQ(gru_session_run_bound(nullptr), GRU_INVALID_ARGUMENT);

  gru::TensorView in(x.data(), {kBatch, 1, kUnits});
  gru::TensorView out(y.data(), {kBatch, 1, kUnits});
  ASSERT_TRUE(session.bind({in}, {out}));
  EXPECT_EQ(y[0], -7) << "binding runs nothing";
  ASSERT_TRUE(session.run());
  EXPECT_THAT(std::vector(y.begin(), y.begin() + 3), ElementsAre(1.5, 2, 2));
  x[0] = 3; // What lies there now counts.
  ASSERT_TRUE(session.run());
  EXPECT_EQ(y[0], 5);

  // Another run's tensors are the bound ones from then on; a failed binding
  // leaves none.
  std::vector<float> other(y.size());
  ASSERT_TRUE(session.run({in}, {{other.data(), {kBatch, 1, kUnits}}}));
  y[0] = -7;
  ASSERT_TRUE(session.run());
  EXPECT_EQ(y[0], -7);
  EXPECT_FALSE(session.bind({in}, {in}));
  EXPECT_FALSE(session.run());
}

TEST_F(SessionTest, SessionsAreIndependent) {
  gru::Session other = program.session();
  EXPECT_EQ(other.max_timesteps(), GRU_DEFAULT_MAX_TIMESTEPS);
  ASSERT_TRUE(run(session, 1));
  ASSERT_TRUE(run(session, 1));
  EXPECT_EQ(y[0], 3);
  ASSERT_TRUE(run(other, 1));
  EXPECT_EQ(y[0], 1.5);
  // Moving takes the state along and leaves an empty session.
  gru::Session moved = std::move(session);
  ASSERT_TRUE(run(moved, 1));
  EXPECT_EQ(y[0], 4.5);
  EXPECT_FALSE(session);
  EXPECT_FALSE(run(session, 1));
}

TEST_F(SessionTest, SavesAndRestoresStates) {
  ASSERT_TRUE(run(session, 3));
  auto saved = session.save_state();
  ASSERT_TRUE(saved);
  ASSERT_TRUE(run(session, 1));
  float first = y[0];
  gru::Session other = program.session();
  ASSERT_TRUE(other.restore_state(*saved));
  ASSERT_TRUE(run(other, 1));
  EXPECT_EQ(y[0], first);
  saved->pop_back();
  auto result = other.restore_state(*saved);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "saved state: wrong size, found 63 bytes, expected 64");

  float h[kBatch * kUnits];
  ASSERT_TRUE(other.get_state(0, std::as_writable_bytes(std::span(h))));
  EXPECT_EQ(h[0], first);
  h[0] = 100;
  ASSERT_TRUE(other.set_state(0, std::as_bytes(std::span(h))));
  ASSERT_TRUE(run(other, 1));
  EXPECT_EQ(y[0], 101.5);
  EXPECT_FALSE(other.get_state(1, std::as_writable_bytes(std::span(h))));
  result = other.set_state(0, std::as_bytes(std::span(h, 5)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "state 'gru': wrong size, found 20 bytes, "
            "expected 24 for f32 [2, 3]");
}

TEST_F(SessionTest, WrongInputs) {
  gru::TensorView out(y.data(), {kBatch, 2, kUnits});
  auto in = [&](std::initializer_list<int64_t> dims) {
    return gru::TensorView(x.data(), dims);
  };
  expectError({}, {out}, "inputs: wrong number, found 0, expected 1");
  expectError({in({2, 2, 3}), in({2, 2, 3})}, {out},
              "inputs: wrong number, found 2, expected 1");
  expectError({in({2, 2, 4})}, {out},
              "input 'x': wrong shape, found [2, 2, 4], expected [2, ?, 3]");
  expectError({in({2, 3})}, {out},
              "input 'x': wrong shape, found [2, 3], expected [2, ?, 3]");
  expectError({in({2, 3, 1, 1, 1, 1, 1})}, {out},
              "input 'x': wrong shape, found 7 dimensions, expected [2, ?, 3]");
  expectError({in({5, 2, 3})}, {out},
              "input 'x': wrong batch, found 5 in [5, 2, 3], expected 2 in "
              "[2, ?, 3]");
  expectError({gru::TensorView(x.data(), gru::DType::f16, {2, 2, 3})}, {out},
              "input 'x': wrong type, found f16, expected f32");
  expectError({gru::TensorView(static_cast<float *>(nullptr), {2, 2, 3})},
              {out}, "input 'x': data is null, expected 48 bytes");
  expectError({gru::TensorView(reinterpret_cast<char *>(x.data()) + 1,
                               gru::DType::f32, std::vector<int64_t>{2, 2, 3})},
              {out}, "input 'x': data is not aligned");
}

TEST_F(SessionTest, WrongLength) {
  auto in = [&](int64_t steps) {
    return gru::TensorView(x.data(), {kBatch, steps, kUnits});
  };
  gru::TensorView out(y.data(), {kBatch, 2, kUnits});
  expectError({in(0)}, {out},
              "input 'x': dimension 1 is empty, found 0 in [2, 0, 3], expected "
              "at least 1");
  expectError({in(-3)}, {out}, "dimension 1 is empty, found -3");
  expectError({in(kMax + 1)}, {out},
              "input 'x': dimension 1 is too long for the session, found 9 in "
              "[2, 9, 3], expected at most max_timesteps = 8");
  expectError({in(INT64_MAX)}, {out}, "expected at most max_timesteps = 8");
}

TEST_F(SessionTest, WrongOutputs) {
  gru::TensorView in(x.data(), {kBatch, 2, kUnits});
  auto out = [&](std::initializer_list<int64_t> dims) {
    return gru::TensorView(y.data(), dims);
  };
  expectError({in}, {}, "outputs: wrong number, found 0, expected 1");
  expectError({in}, {out({2, 3, 3})},
              "output 'output_0': wrong shape, found [2, 3, 3], expected "
              "[2, 2, 3]");
  expectError({in}, {gru::TensorView(y.data(), gru::DType::f64, {2, 2, 3})},
              "output 'output_0': wrong type, found f64, expected f32");
  expectError({in}, {gru::TensorView(std::as_const(y).data(), {2, 2, 3})},
              "output 0: is read-only");
  expectError({in}, {gru::TensorView(x.data() + 11, {2, 2, 3})},
              "output 'output_0': overlaps input 'x'");
  // Side by side is no overlap.
  EXPECT_TRUE(session.run({in}, {{x.data() + 12, {2, 2, 3}}}));
}

TEST_F(SessionTest, Options) {
  gru::Session none = program.session({.max_timesteps = -1});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), GRU_INVALID_ARGUMENT);
  EXPECT_THAT(none.error().message(), HasSubstr("max_timesteps"));
  auto result = none.run({}, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), none.error().message());
  gru::Session huge = program.session({.max_timesteps = INT64_MAX});
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code(), GRU_OUT_OF_MEMORY);
}

TEST(RuntimeSession, SharedSymbolsMustAgree) {
  PlanBuilder plan = makePlan();
  plan.inputs.push_back(plan.tensor("mask", GRU_BOOL, {kBatch, symbol(0)}));
  gru::Result<gru::Program> program = open(plan.bytes());
  ASSERT_TRUE(program);
  gru::Session session = program->session({.max_timesteps = 4});
  float x[24] = {}, y[24];
  bool mask[8] = {};
  EXPECT_TRUE(session.run({{x, {2, 4, 3}}, {mask, {2, 4}}}, {{y, {2, 4, 3}}}));
  auto result = session.run({{x, {2, 4, 3}}, {mask, {2, 3}}}, {{y, {2, 4, 3}}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "input 'mask': dimension 1 disagrees with "
            "input 'x', found 3, expected 4");
}

TEST(RuntimeSession, OutputsMayNotOverlap) {
  PlanBuilder plan = makePlan();
  plan.outputs.push_back(plan.tensor("output_1", GRU_F32, {kBatch}));
  gru::Result<gru::Program> program = open(plan.bytes());
  ASSERT_TRUE(program);
  float x[6] = {}, y[8];
  auto result =
      program->session().run({{x, {2, 1, 3}}}, {{y, {2, 1, 3}}, {y + 5, {2}}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "output 'output_1': overlaps output 'output_0'");
}

TEST(RuntimeSession, EmptyBatch) {
  PlanBuilder plan = makePlan();
  plan.inputs[0].dims[0] = plan.outputs[0].dims[0] = 0;
  std::vector<char> bytes = plan.bytes();
  gru::Result<gru::Program> program = gru::Program::open(
      makeArtifact(bytes, [](const gru_call *, int32_t) {}), kWeights);
  ASSERT_TRUE(program);
  float *none = nullptr;
  EXPECT_TRUE(program->session().run({{none, {0, 2, 3}}}, {{none, {0, 2, 3}}}));
}

//===----------------------------------------------------------------------===//
// What a run may do
//===----------------------------------------------------------------------===//

TEST_F(SessionTest, RunAllocatesNothing) {
  {
    CountAllocations count;
    delete new int;
    // The pair may be optimised away; malloc through a volatile pointer not.
    void *(*volatile allocate)(size_t) = std::malloc;
    void *memory = allocate(1);
    ASSERT_GE(count.get(), 1) << "the counter does not count";
    std::free(memory);
  }
  ASSERT_TRUE(run(session, 1));
  gru_session *raw = session.get();
  int64_t dims[] = {kBatch, kMax, kUnits};
  gru_buffer in{x.data(), GRU_F32, 3, dims}, out{y.data(), GRU_F32, 3, dims};
  int allocations;
  bool ok;
  {
    CountAllocations count;
    ok = gru_session_run(raw, &in, 1, &out, 1) == GRU_OK;
    // The C++ interface does not allocate either.
    ok = ok && run(session, 2);
    gru_session_reset_states(raw);
    // Nor does a failure of the C interface.
    ok = ok && gru_session_run(raw, &in, 0, &out, 1) != GRU_OK;
    allocations = count.get();
  }
  EXPECT_TRUE(ok);
  EXPECT_EQ(allocations, 0);
}

#if defined(__linux__) && !defined(GRU_TEST_ASAN)
TEST_F(SessionTest, RunMakesNoSystemCall) {
  ASSERT_TRUE(run(session, 1));
  pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    // From here on any call but exit kills the process.
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
      syscall(SYS_exit, 2);
    bool ok = static_cast<bool>(run(session, kMax));
    syscall(SYS_exit, ok ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
    GTEST_SKIP() << "seccomp is not available here";
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}
#endif

/// y = x * 0.5 in f32, and what 1 + 2^-24 + ... rounds to.
void halve(const gru_call *call, int32_t) {
  volatile float value = *static_cast<const float *>(call->in[0]);
  volatile float one = 1, third = 3;
  static_cast<float *>(call->out[0])[0] = value * 0.5f;
  static_cast<float *>(call->out[0])[1] = one / third;
}

TEST(RuntimeSession, FloatEnvironment) {
  PlanBuilder plan;
  plan.inputs = {plan.tensor("x", GRU_F32, {1})};
  plan.outputs = {plan.tensor("y", GRU_F32, {2})};
  std::vector<char> bytes = plan.bytes();
  gru::Result<gru::Program> program =
      gru::Program::open(makeArtifact(bytes, halve), {});
  ASSERT_TRUE(program) << program.error().message();
  gru::Session session = program->session();
  float x = std::numeric_limits<float>::denorm_min() * 8, y[2] = {-1, -1};
  std::fesetround(FE_UPWARD);
  std::feclearexcept(FE_ALL_EXCEPT);
  bool ok = static_cast<bool>(session.run({{&x, {1}}}, {{y, {2}}}));
  int round = std::fegetround(), raised = std::fetestexcept(FE_INEXACT);
  std::fesetround(FE_TONEAREST);
  ASSERT_TRUE(ok);
#if defined(__x86_64__) || defined(__aarch64__)
  EXPECT_EQ(y[0], 0);
  EXPECT_EQ(y[1], 1.0f / 3.0f);
#endif
  EXPECT_EQ(round, FE_UPWARD);
#if defined(__x86_64__)
  EXPECT_EQ(raised, 0);
#else
  (void)raised;
#endif
  volatile float denormal = x;
  EXPECT_GT(denormal * 0.5f, 0) << "the caller's denormals are gone";
}

} // namespace
