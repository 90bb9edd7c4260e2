//===- RuntimeProgramTest.cpp - types, errors, programs -------------------===//

#include "test/unit/PlansByHand.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>

using namespace gru;

namespace {
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Runtime, Version) { EXPECT_EQ(gru_abi_version(), GRU_ABI_VERSION); }

TEST(Runtime, DTypes) {
  EXPECT_EQ(gru_dtype_size(GRU_F32), 4u);
  EXPECT_EQ(gru_dtype_size(GRU_BOOL), 1u);
  EXPECT_EQ(gru_dtype_size(0), 0u);
  EXPECT_EQ(gru_dtype_size(99), 0u);
  EXPECT_STREQ(gru_dtype_name(GRU_BF16), "bf16");
  EXPECT_STREQ(gru_dtype_name(99), "unknown");
  EXPECT_EQ(dtypeOf<const double>(), DType::f64);
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
// Programs
//===----------------------------------------------------------------------===//

TEST(RuntimeProgram, Queries) {
  Program program = makeProgram();
  ASSERT_EQ(program.inputs().size(), 1u);
  EXPECT_EQ(program.inputs()[0].name, "x");
  EXPECT_EQ(program.inputs()[0].dtype, DType::f32);
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
  Program program = makeProgram();
  const float *none = nullptr;
  TensorView x(none, {kBatch, 5000, kUnits});
  auto shape = program.output_shape({&x, 1}, 0);
  ASSERT_TRUE(shape) << shape.error().message();
  EXPECT_THAT(*shape, ElementsAre(kBatch, 5000, kUnits));
  EXPECT_FALSE(program.output_shape({&x, 1}, 1));
  x = TensorView(none, {kBatch, kUnits});
  EXPECT_FALSE(program.output_shape({&x, 1}, 0));
}

TEST(RuntimeProgram, Weights) {
  std::vector<char> plan = makePlan().bytes();
  auto expectError = [&](std::vector<gru_weight> weights,
                         const std::string &text) {
    Result<Program> program = open(plan, weights);
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
  EXPECT_FALSE(Session().run({}, {}));
  EXPECT_FALSE(Program().session());
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
  auto program = Program::open(artifact, kWeights);
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
  auto program = Program::open(artifact, {});
  ASSERT_TRUE(program) << program.error().message();
  float x[6] = {1, 1, 1, 1, 1, 1}, expected[6], found[6];
  ASSERT_TRUE(
      makeProgram().session().run({{x, {2, 1, 3}}}, {{expected, {2, 1, 3}}}));
  ASSERT_TRUE(program->session().run({{x, {2, 1, 3}}}, {{found, {2, 1, 3}}}));
  EXPECT_EQ(std::memcmp(expected, found, sizeof(found)), 0);

  artifact.packed_weights_size = 64;
  EXPECT_THAT(Program::open(artifact, {}).error().message(),
              HasSubstr("packed weights have 64 bytes, expected 128"));
  artifact.packed_weights_size = 128;
  artifact.packed_weights = blob + 4;
  EXPECT_THAT(Program::open(artifact, {}).error().message(),
              HasSubstr("are not aligned"));
  EXPECT_EQ(
      gru_pack_weights(plan.data(), plan.size(), kWeights.data(), 3, blob, 64),
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
  Session session = program->session();
  auto swapped = program->with_weights(weights);
  ASSERT_TRUE(swapped) << swapped.error().message();
  float x[6] = {1, 1, 1, 1, 1, 1}, y[6];
  ASSERT_TRUE(session.run({{x, {2, 1, 3}}}, {{y, {2, 1, 3}}}));
  EXPECT_EQ(y[0], 1.5f);
  // The state goes on; the first program may go.
  ASSERT_TRUE(session.set_program(*swapped));
  *program = Program();
  *swapped = Program();
  ASSERT_TRUE(session.run({{x, {2, 1, 3}}}, {{y, {2, 1, 3}}}));
  EXPECT_EQ(y[0], 1.5f + 10.5f);
  // Another plan is no other set of weights.
  auto refused = session.set_program(makeProgram());
  EXPECT_TRUE(refused)
      << "an equal plan of the same kernel is the same program";
  PlanBuilder renamed = makePlan();
  renamed.scratch[0].coefficient += 64;
  auto foreign = open(renamed.bytes());
  ASSERT_TRUE(foreign);
  EXPECT_FALSE(session.set_program(*foreign));
  EXPECT_FALSE(session.set_program(Program()));
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
    auto program = Program::open(artifact, kWeights);
    ASSERT_TRUE(program);
    EXPECT_GE(allocator.bytes, 128 + plan.size());
    size_t ofProgram = allocator.bytes;
    Session session =
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
    auto program = Program::open(artifact, kWeights);
    if (program) {
      Session session =
          program->session({.max_timesteps = 100, .allocator = &allocator.raw});
      ASSERT_FALSE(session);
      EXPECT_EQ(session.error().code(), GRU_OUT_OF_MEMORY);
    } else {
      EXPECT_EQ(program.error().code(), GRU_OUT_OF_MEMORY);
    }
  }
  EXPECT_EQ(allocator.bytes, 0u);
  allocator.raw.release = nullptr;
  EXPECT_THAT(Program::open(artifact, kWeights).error().message(),
              HasSubstr("allocator: allocate or release is null"));
}

TEST(RuntimeProgram, ReleasesTheArtifactWithTheLastReference) {
  std::vector<char> plan = makePlan().bytes();
  int released = 0;
  gru_artifact artifact = makeArtifact(plan);
  artifact.context = &released;
  artifact.release = [](void *context) { ++*static_cast<int *>(context); };
  {
    Session session;
    {
      Result<Program> program = Program::open(artifact, kWeights);
      ASSERT_TRUE(program);
      Program other = *program;
      session = other.session();
    }
    EXPECT_EQ(released, 0);
    EXPECT_TRUE(session);
  }
  EXPECT_EQ(released, 1);
  // If opening fails the artifact stays the caller's.
  EXPECT_FALSE(Program::open(artifact, {}));
  EXPECT_EQ(released, 1);
}

TEST(RuntimeProgram, SharedByThreads) {
  Program program = makeProgram();
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n)
    threads.emplace_back([program, n] {
      for (int i = 0; i < 50; ++i) {
        Program mine = program;
        Session session = mine.session({.max_timesteps = 4});
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

} // namespace
