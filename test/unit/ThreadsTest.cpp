//===- ThreadsTest.cpp - runs that several threads share ------------------===//

#include "test/unit/KerasConfigs.h"

#include "gru/gru.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

using namespace gru;

namespace {

// Rows enough for threads that share rows, and no multiple of their number.
constexpr int64_t kBatch = 13, kTime = 7, kFeatures = 20, kUnits = 200;

std::vector<float> random(size_t n, unsigned seed, float scale) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(n);
  for (float &value : values)
    value = uniform(generator);
  return values;
}

Result<Program> compileLayer(int threads, bool resetAfter,
                             const std::string &target = "cpu",
                             std::vector<std::string> *remarks = nullptr,
                             int64_t units = kUnits,
                             const std::string &weightType = "",
                             bool sparse = false) {
  float scale = 1.5f / std::sqrt(float(units));
  auto kernel = random(kFeatures * 3 * units, 1, scale);
  auto recurrent = random(units * 3 * units, 2, scale);
  // Runs of zeros, but for some that no block is as wide as.
  if (sparse)
    for (size_t i = 0; i < recurrent.size(); ++i)
      if (i / 32 % 4 != 0)
        recurrent[i] = 0;
  auto bias = random((resetAfter ? 6 : 3) * units, 3, 0.3f);
  GRU layer;
  layer.units = units;
  layer.reset_after = resetAfter;
  layer.return_sequences = true;
  layer.stateful = true;
  auto model = Model::build(layer, {kernel, recurrent, bias});
  if (!model)
    return model.error();
  CompileOptions options;
  options.batch = units == kUnits ? kBatch : 1;
  options.threads = threads;
  options.target = target;
  options.cache_dir = "";
  options.weight_type = weightType;
  if (remarks)
    options.on_remark = [remarks](std::string_view text) {
      remarks->emplace_back(text);
    };
  return compile(*model, options);
}

/// The outputs of two runs, the second of which goes on where the first ended.
std::vector<float> run(Session &session) {
  EXPECT_TRUE(session) << session.error().message();
  auto x = random(kBatch * kTime * kFeatures, 4, 1);
  size_t size = kBatch * kTime * kUnits;
  std::vector<float> y(2 * size);
  for (int call = 0; call < 2; ++call) {
    auto done =
        session.run({{x.data(), {kBatch, kTime, kFeatures}}},
                    {{y.data() + call * size, {kBatch, kTime, kUnits}}});
    EXPECT_TRUE(done) << done.error().message();
  }
  return y;
}

std::vector<float> run(const Program &program,
                       const gru_thread_pool *pool = nullptr) {
  Session session = program.session({.max_timesteps = kTime, .pool = pool});
  return run(session);
}

bool sameBits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() &&
         !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

class Threads : public testing::TestWithParam<std::tuple<bool, std::string>> {
protected:
  void SetUp() override {
    auto program = compile(1);
    if (!program && program.error().message().find("without Halide") !=
                        std::string_view::npos)
      GTEST_SKIP() << program.error().message();
  }
  static Result<Program> compile(int threads) {
    return compileLayer(threads, std::get<0>(GetParam()),
                        std::get<1>(GetParam()));
  }
};

TEST_P(Threads, GiveTheSameBits) {
  auto alone = compile(1);
  ASSERT_TRUE(alone) << alone.error().message();
  EXPECT_EQ(alone->threads(), 1u);
  std::vector<float> expected = run(*alone);
  // Compiling with Halide takes a while.
  bool quick = std::get<1>(GetParam()) == "cpu";
  for (int threads : {2, 3, 5}) {
    if (threads == 5 && !quick)
      break;
    auto program = compile(threads);
    ASSERT_TRUE(program) << program.error().message();
    EXPECT_EQ(program->threads(), uint32_t(threads));
    for (int round = 0; round < 20; ++round)
      ASSERT_TRUE(sameBits(run(*program), expected)) << threads;
  }
}

/// Of products of bytes too, whose rows are quantized by one for all.
TEST(ThreadsOf, ProductsOfBytesGiveTheSameBits) {
  for (bool resetAfter : {true, false}) {
    auto compileBytes = [&](int threads) {
      return compileLayer(threads, resetAfter, "cpu", nullptr, kUnits, "int8");
    };
    auto alone = compileBytes(1);
    auto exact = compileLayer(1, resetAfter);
    ASSERT_TRUE(alone && exact);
    EXPECT_LT(alone->weights_bytes(), exact->weights_bytes() / 3);
    std::vector<float> expected = run(*alone);
    for (int threads : {2, 3}) {
      auto program = compileBytes(threads);
      ASSERT_TRUE(program) << program.error().message();
      EXPECT_EQ(program->threads(), uint32_t(threads));
      for (int round = 0; round < 10; ++round)
        ASSERT_TRUE(sameBits(run(*program), expected)) << threads;
    }
  }
}

/// Of kernels whose zeros are left out too, whose sums have an order of their
/// own.
TEST(ThreadsOf, SparseKernelsGiveTheSameBits) {
  for (bool resetAfter : {true, false}) {
    std::vector<std::string> remarks;
    auto compileSparse = [&](int threads) {
      return compileLayer(threads, resetAfter, "cpu", &remarks, kUnits, "",
                          /*sparse=*/true);
    };
    auto alone = compileSparse(1);
    ASSERT_TRUE(alone) << alone.error().message();
    ASSERT_EQ(remarks.size(), 1u);
    EXPECT_THAT(remarks[0],
                testing::HasSubstr("and the products leave the others out"));
    std::vector<float> expected = run(*alone);
    for (int threads : {2, 3}) {
      auto program = compileSparse(threads);
      ASSERT_TRUE(program) << program.error().message();
      EXPECT_EQ(program->threads(), uint32_t(threads));
      for (int round = 0; round < 10; ++round)
        ASSERT_TRUE(sameBits(run(*program), expected)) << threads;
    }
  }
}

/// Pools that no one would write, and that are allowed.
TEST_P(Threads, AskNothingOfAPool) {
  auto alone = compile(1);
  auto program = compile(3);
  ASSERT_TRUE(alone && program);
  std::vector<float> expected = run(*alone);

  gru_thread_pool pool{};
  pool.struct_size = sizeof(pool);
  pool.size = 1;
  pool.run = [](void *, void (*task)(void *, uint32_t), void *argument) {
    task(argument, 0);
  };
  EXPECT_TRUE(sameBits(run(*program, &pool), expected)) << "alone";

  // One after another, the caller's member last.
  pool.size = 3;
  pool.run = [](void *, void (*task)(void *, uint32_t), void *argument) {
    for (uint32_t member : {2, 1, 0})
      task(argument, member);
  };
  EXPECT_TRUE(sameBits(run(*program, &pool), expected)) << "in turn";

  // More threads than the program has members, and one that comes late.
  pool.size = 4;
  pool.run = [](void *, void (*task)(void *, uint32_t), void *argument) {
    std::vector<std::thread> threads;
    for (uint32_t member = 0; member < 4; ++member)
      threads.emplace_back([=] {
        if (member == 1)
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        task(argument, member);
      });
    for (std::thread &thread : threads)
      thread.join();
  };
  EXPECT_TRUE(sameBits(run(*program, &pool), expected)) << "late";

  pool.size = 0;
  SessionOptions options;
  options.pool = &pool;
  Session session = program->session(options);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().message(),
            "thread pool: size is 0, expected 1 or more");
}
INSTANTIATE_TEST_SUITE_P(ResetAfter, Threads,
                         testing::Combine(testing::Bool(),
                                          testing::Values("cpu", "halide")));

#if defined(__linux__)
/// A thread stays on the CPU that it is given, and gives the same bits there.
TEST(ThreadsOf, StayOnTheirCpus) {
  auto program = compileLayer(2, true), alone = compileLayer(1, true);
  ASSERT_TRUE(program && alone);
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  uint32_t last = CPU_SETSIZE - 1;
  while (!CPU_ISSET(last, &allowed))
    --last;
  auto threads = [] {
    std::vector<pid_t> found;
    for (auto &entry : std::filesystem::directory_iterator("/proc/self/task"))
      found.push_back(std::stoi(entry.path().filename()));
    return found;
  };
  std::vector<pid_t> before = threads();
  Session session = program->session({.max_timesteps = kTime, .cpus = {last}});
  ASSERT_TRUE(session) << session.error().message();
  for (pid_t thread : threads())
    if (std::find(before.begin(), before.end(), thread) == before.end()) {
      cpu_set_t own;
      ASSERT_EQ(sched_getaffinity(thread, sizeof(own), &own), 0);
      EXPECT_EQ(CPU_COUNT(&own), 1);
      EXPECT_TRUE(CPU_ISSET(last, &own));
    }
  EXPECT_EQ(threads().size(), before.size() + 1);
  EXPECT_TRUE(sameBits(run(session), run(*alone)));

  for (uint32_t absent : {CPU_SETSIZE - 1u, ~0u}) {
    Session none = program->session({.max_timesteps = kTime, .cpus = {absent}});
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().message(), "session options: cpus[0] is " +
                                          std::to_string(absent) +
                                          ", which this process may not use");
  }
  gru_thread_pool pool{};
  EXPECT_EQ(program->session({.pool = &pool, .cpus = {last}}).error().message(),
            "session options: cpus are given with a pool, whose threads are "
            "not ours");
}
#endif

TEST(ThreadsOf, SmallLayersAreOne) {
  const std::pair<const char *, const char *> reasons[] = {
      {"cpu",
       "found nothing that takes longer than threads take to come together"},
      {"halide", "halide cuts rows, and found no operation with 4 for each "
                 "thread that takes longer than threads take to meet"},
      {"reference", "the reference is computed on one"}};
  for (auto [target, reason] : reasons) {
    std::vector<std::string> remarks;
    auto program = compileLayer(2, true, target, &remarks, 8);
    if (!program) {
      EXPECT_EQ(target, std::string("halide")) << program.error().message();
      continue;
    }
    EXPECT_EQ(program->threads(), 1u);
    ASSERT_EQ(remarks.size(), 1u);
    EXPECT_EQ(remarks[0], std::string("threads: one is used, ") + reason);
  }
}

/// The directions of a Bidirectional have a thread each: of few units, whose
/// steps are too short to be shared, and of more.
TEST(ThreadsOf, DirectionsRunSideBySide) {
  for (int64_t units : {24, 100}) {
    auto model = load(layer(
        "Bidirectional", R"("merge_mode": "concat", "layer": {"class_name": )"
                         R"("GRU", "config": {"name": "g", )"
                         R"("return_sequences": true, "units": )" +
                             std::to_string(units) + "}}"));
    ASSERT_TRUE(model) << model.error().message();
    constexpr int64_t kRows = 3, kSteps = 37;
    auto x = random(kRows * kSteps * 3, 7, 1);
    auto runOn = [&](int threads, std::vector<float> &y) {
      CompileOptions options;
      options.batch = kRows;
      options.threads = threads;
      options.cache_dir = "";
      auto program = gru::compile(*model, options);
      ASSERT_TRUE(program) << program.error().message();
      EXPECT_EQ(program->threads(), uint32_t(threads));
      Session session = program->session({.max_timesteps = kSteps});
      ASSERT_TRUE(session) << session.error().message();
      y.assign(kRows * kSteps * 2 * units, 0);
      auto done = session.run({{x.data(), {kRows, kSteps, 3}}},
                              {{y.data(), {kRows, kSteps, 2 * units}}});
      EXPECT_TRUE(done) << done.error().message();
    };
    std::vector<float> expected, y;
    runOn(1, expected);
    for (int threads : {2, 3})
      for (int round = 0; round < 10; ++round) {
        runOn(threads, y);
        ASSERT_TRUE(sameBits(y, expected)) << units << " " << threads;
      }
  }
}

/// Sessions with threads of their own may run at the same time and come and go.
TEST(ThreadsOf, ManySessions) {
  auto alone = compileLayer(1, true);
  auto program = compileLayer(2, true);
  ASSERT_TRUE(alone && program);
  std::vector<float> expected = run(*alone);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round)
        right += sameBits(run(*program), expected);
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(right, 20);
}

} // namespace
