//===- RuntimeSessionTest.cpp - sessions, and what a run may do -----------===//

#include "test/unit/PlansByHand.h"

#include <atomic>
#include <cfenv>
#include <cstdlib>
#include <limits>

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

using namespace gru;

namespace {
using ::testing::ElementsAre;
using ::testing::HasSubstr;

//===----------------------------------------------------------------------===//
// Sessions
//===----------------------------------------------------------------------===//

/// A program, a session for up to 8 steps, and one run of `steps` steps.
struct SessionTest : testing::Test {
  static constexpr int64_t kMax = 8;
  Program program = makeProgram();
  Session session = program.session({.max_timesteps = kMax});
  std::vector<float> x = std::vector<float>(kBatch * kMax * kUnits, 1.0f);
  std::vector<float> y = std::vector<float>(kBatch * kMax * kUnits, -7.0f);

  Result<void> run(Session &s, int64_t steps) {
    return s.run({{x.data(), {kBatch, steps, kUnits}}},
                 {{y.data(), {kBatch, steps, kUnits}}});
  }

  /// Running with these fails with this text and changes nothing.
  void expectError(std::vector<TensorView> in, std::vector<TensorView> out,
                   const std::string &text) {
    std::vector<float> before = y;
    Result<void> result = session.run(in, out);
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
  Result<void> unbound = session.run();
  ASSERT_FALSE(unbound);
  EXPECT_THAT(unbound.error().message(), HasSubstr("nothing is bound"));
  EXPECT_EQ(gru_session_run_bound(nullptr), GRU_INVALID_ARGUMENT);

  TensorView in(x.data(), {kBatch, 1, kUnits});
  TensorView out(y.data(), {kBatch, 1, kUnits});
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
  Session other = program.session();
  EXPECT_EQ(other.max_timesteps(), GRU_DEFAULT_MAX_TIMESTEPS);
  ASSERT_TRUE(run(session, 1));
  ASSERT_TRUE(run(session, 1));
  EXPECT_EQ(y[0], 3);
  ASSERT_TRUE(run(other, 1));
  EXPECT_EQ(y[0], 1.5);
  // Moving takes the state along and leaves an empty session.
  Session moved = std::move(session);
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
  Session other = program.session();
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
  TensorView out(y.data(), {kBatch, 2, kUnits});
  auto in = [&](std::initializer_list<int64_t> dims) {
    return TensorView(x.data(), dims);
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
  expectError({TensorView(x.data(), DType::f16, {2, 2, 3})}, {out},
              "input 'x': wrong type, found f16, expected f32");
  expectError({TensorView(static_cast<float *>(nullptr), {2, 2, 3})}, {out},
              "input 'x': data is null, expected 48 bytes");
  expectError({TensorView(reinterpret_cast<char *>(x.data()) + 1, DType::f32,
                          std::vector<int64_t>{2, 2, 3})},
              {out}, "input 'x': data is not aligned");
}

TEST_F(SessionTest, WrongLength) {
  auto in = [&](int64_t steps) {
    return TensorView(x.data(), {kBatch, steps, kUnits});
  };
  TensorView out(y.data(), {kBatch, 2, kUnits});
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
  TensorView in(x.data(), {kBatch, 2, kUnits});
  auto out = [&](std::initializer_list<int64_t> dims) {
    return TensorView(y.data(), dims);
  };
  expectError({in}, {}, "outputs: wrong number, found 0, expected 1");
  expectError({in}, {out({2, 3, 3})},
              "output 'output_0': wrong shape, found [2, 3, 3], expected "
              "[2, 2, 3]");
  expectError({in}, {TensorView(y.data(), DType::f64, {2, 2, 3})},
              "output 'output_0': wrong type, found f64, expected f32");
  expectError({in}, {TensorView(std::as_const(y).data(), {2, 2, 3})},
              "output 0: is read-only");
  expectError({in}, {TensorView(x.data() + 11, {2, 2, 3})},
              "output 'output_0': overlaps input 'x'");
  // Side by side is no overlap.
  EXPECT_TRUE(session.run({in}, {{x.data() + 12, {2, 2, 3}}}));
}

TEST_F(SessionTest, Options) {
  Session none = program.session({.max_timesteps = -1});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), GRU_INVALID_ARGUMENT);
  EXPECT_THAT(none.error().message(), HasSubstr("max_timesteps"));
  auto result = none.run({}, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), none.error().message());
  Session huge = program.session({.max_timesteps = INT64_MAX});
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code(), GRU_OUT_OF_MEMORY);
}

TEST(RuntimeSession, SharedSymbolsMustAgree) {
  PlanBuilder plan = makePlan();
  plan.inputs.push_back(plan.tensor("mask", GRU_BOOL, {kBatch, symbol(0)}));
  Result<Program> program = open(plan.bytes());
  ASSERT_TRUE(program);
  Session session = program->session({.max_timesteps = 4});
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
  Result<Program> program = open(plan.bytes());
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
  Result<Program> program = Program::open(
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
  Result<Program> program = Program::open(makeArtifact(bytes, halve), {});
  ASSERT_TRUE(program) << program.error().message();
  Session session = program->session();
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
