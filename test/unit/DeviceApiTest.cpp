//===- DeviceApiTest.cpp - the interface of programs for a device ---------===//
//
// On the double of the driver and of cuDNN, whose memory no code on the host
// can touch.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include "gtest/gtest.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <numeric>
#include <string>
#include <vector>

using namespace gru;

namespace {
/// What a host with device memory of its own has.
class Driver {
public:
  static Driver &get() {
    static Driver driver;
    return driver;
  }
  /// As a host's other code would make one.
  void *createStream() {
    Current current(*this);
    void *stream = nullptr;
    EXPECT_EQ((call<int(void **, unsigned)>("cuStreamCreate")(&stream, 1)), 0);
    return stream;
  }
  uint64_t allocate(size_t bytes) {
    Current current(*this);
    uint64_t address = 0;
    EXPECT_EQ(call<int(uint64_t *, size_t)>("cuMemAlloc_v2")(&address, bytes),
              0);
    return address;
  }
  void toDevice(uint64_t to, const std::vector<char> &from) {
    Current current(*this);
    EXPECT_EQ((call<int(uint64_t, const void *, size_t)>("cuMemcpyHtoD_v2")(
                  to, from.data(), from.size())),
              0);
  }
  std::vector<float> toHost(uint64_t from, size_t size,
                            void *stream = nullptr) {
    Current current(*this);
    std::vector<float> to(size);
    EXPECT_EQ(
        (call<int(void *, uint64_t, size_t, void *)>("cuMemcpyDtoHAsync_v2")(
            to.data(), from, size * sizeof(float), stream)),
        0);
    return to;
  }
  int waits() {
    return *static_cast<int *>(dlsym(library, "gru_fake_num_waits"));
  }
  int products() {
    return *static_cast<int *>(dlsym(library, "gru_fake_num_products"));
  }
  int graphs() {
    return *static_cast<int *>(dlsym(library, "gru_fake_num_graphs"));
  }

private:
  Driver() : library(dlopen(std::getenv("GRU_CUDA_DRIVER"), RTLD_NOW)) {
    call<int(unsigned)>("cuInit")(0);
    call<int(void **, int)>("cuDevicePrimaryCtxRetain")(&context, 0);
  }
  template <typename F> F *call(const char *name) {
    return reinterpret_cast<F *>(dlsym(library, name));
  }
  struct Current {
    explicit Current(Driver &driver) : driver(driver) {
      driver.call<int(void *)>("cuCtxPushCurrent_v2")(driver.context);
    }
    ~Current() {
      void *ignored;
      driver.call<int(void **)>("cuCtxPopCurrent_v2")(&ignored);
    }
    Driver &driver;
  };
  void *library, *context = nullptr;
};

std::string caseFile(const std::string &name) {
  return std::string(GRU_TEST_DATA_DIR "/keras/") + name + "/model.keras";
}

int64_t countElements(const std::vector<int64_t> &dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t(1),
                         std::multiplies<>());
}

/// Runs a model of one output from wherever inputs and output are.
struct Fixture {
  Program program;
  std::vector<TensorInfo> infos;
  std::vector<std::vector<char>> inputs;
  std::vector<int64_t> outputShape;

  Fixture(const std::string &name, const std::string &target) {
    auto model = Model::load(caseFile(name));
    EXPECT_TRUE(model) << model.error().message();
    auto compiled = compile(*model, {.batch = 2, .target = target});
    EXPECT_TRUE(compiled) << compiled.error().message();
    program = *compiled;
    infos = program.inputs();
    for (TensorInfo &info : infos) {
      for (int64_t &dim : info.dims)
        dim = dim < 0 ? 5 : dim;
      std::vector<char> &data =
          inputs.emplace_back(countElements(info.dims) * dtypeSize(info.dtype));
      for (int64_t i = 0; i < countElements(info.dims); ++i) {
        // A token may be masked.
        int32_t token = int32_t(i % 3);
        float number = std::sin(float(i));
        std::memcpy(data.data() + 4 * i,
                    info.dtype == DType::i32 ? static_cast<const void *>(&token)
                                             : &number,
                    4);
      }
    }
    outputShape = *program.output_shape(hostViews(), 0);
  }

  size_t outputSize() const { return countElements(outputShape); }
  TensorView output(void *data) const {
    return {data, DType::f32, outputShape};
  }
  std::vector<TensorView> hostViews() {
    std::vector<TensorView> views;
    for (size_t i = 0; i < inputs.size(); ++i)
      views.push_back({inputs[i].data(), infos[i].dtype, infos[i].dims});
    return views;
  }
  std::vector<TensorView> deviceViews() {
    std::vector<TensorView> views;
    for (size_t i = 0; i < inputs.size(); ++i) {
      uint64_t address = Driver::get().allocate(inputs[i].size());
      Driver::get().toDevice(address, inputs[i]);
      views.push_back(
          {reinterpret_cast<void *>(address), infos[i].dtype, infos[i].dims});
    }
    return views;
  }

  std::vector<float> runOnHost() {
    Session session = program.session({.max_timesteps = 8});
    std::vector<float> y(outputSize());
    auto done = session.run(hostViews(), std::vector{output(y.data())});
    EXPECT_TRUE(done) << done.error().message();
    return y;
  }
  std::vector<float> runOnDevice(bool inputsToo) {
    Session session = program.session({.max_timesteps = 8});
    uint64_t out = Driver::get().allocate(outputSize() * sizeof(float));
    auto done = session.run(inputsToo ? deviceViews() : hostViews(),
                            std::vector{output(reinterpret_cast<void *>(out))});
    EXPECT_TRUE(done) << done.error().message();
    return Driver::get().toHost(out, outputSize());
  }
};

void expectNear(const std::vector<float> &found,
                const std::vector<float> &expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], 1e-5) << i;
}
} // namespace

// A plain layer, layers between others, and inputs that code on the host reads.
constexpr const char *models[] = {"act_tanh", "graph_residual",
                                  "graph_masking_concat"};

TEST(DeviceMemory, InputsAndOutputsOfBothKinds) {
  for (const char *name : models)
    for (const char *target : {"gpu", "cudnn"}) {
      SCOPED_TRACE(std::string(name) + " on " + target);
      std::vector<float> expected = Fixture(name, "cpu").runOnHost();
      Fixture fixture(name, target);
      expectNear(fixture.runOnHost(), expected);
      expectNear(fixture.runOnDevice(/*inputsToo=*/false), expected);
      expectNear(fixture.runOnDevice(/*inputsToo=*/true), expected);
    }
}

TEST(DeviceMemory, NothingIsWaitedForInACallersStream) {
  Fixture fixture("graph_reshape_in", "gpu");
  std::vector<float> expected = fixture.runOnHost();
  Driver &driver = Driver::get();
  Session session = fixture.program.session({.max_timesteps = 8});
  void *stream = driver.createStream();
  ASSERT_TRUE(session.set_stream(stream));
  uint64_t out = driver.allocate(expected.size() * sizeof(float));
  std::vector<TensorView> x = fixture.deviceViews();
  std::vector<TensorView> y{fixture.output(reinterpret_cast<void *>(out))};
  int before = driver.waits();
  ASSERT_TRUE(session.run(x, y));
  EXPECT_EQ(driver.waits(), before);
  expectNear(driver.toHost(out, expected.size(), stream), expected);
  // Memory of the host has to be ready.
  std::vector<float> host(expected.size());
  ASSERT_TRUE(session.run(x, std::vector{fixture.output(host.data())}));
  EXPECT_GT(driver.waits(), before);
  expectNear(host, expected);
  ASSERT_TRUE(session.set_stream(nullptr));
  ASSERT_TRUE(session.run(x, y));
}

TEST(DeviceMemory, EqualRunsBecomeOneLaunch) {
  Driver &driver = Driver::get();
  for (const char *target : {"gpu", "cudnn"})
    for (bool inCallersStream : {false, true}) {
      SCOPED_TRACE(target);
      Fixture fixture("graph_reshape_in", target);
      std::vector<float> expected = fixture.runOnHost();
      Session session = fixture.program.session({.max_timesteps = 8});
      void *stream = inCallersStream ? driver.createStream() : nullptr;
      ASSERT_TRUE(session.set_stream(stream));
      uint64_t out = driver.allocate(expected.size() * sizeof(float));
      uint64_t other = driver.allocate(expected.size() * sizeof(float));
      std::vector<TensorView> x = fixture.deviceViews();
      auto run = [&](uint64_t to) {
        int before = driver.graphs();
        EXPECT_TRUE(session.run(
            x, std::vector{fixture.output(reinterpret_cast<void *>(to))}));
        expectNear(driver.toHost(to, expected.size(), stream), expected);
        return driver.graphs() - before;
      };
      EXPECT_EQ(run(out), 0);
      EXPECT_EQ(run(out), 1);
      // What has been written since is read.
      for (char &byte : fixture.inputs[0])
        byte = 0;
      driver.toDevice(reinterpret_cast<uint64_t>(x[0].data()),
                      fixture.inputs[0]);
      expected = fixture.runOnHost();
      EXPECT_EQ(run(out), 1);
      EXPECT_EQ(run(other), 0);
      EXPECT_EQ(run(other), 1);
      EXPECT_EQ(run(out), 0);
    }
}

TEST(DeviceMemory, WhatTheHostReadsIsNoGraph) {
  // A mask, and memory of the host.
  Driver &driver = Driver::get();
  int before = driver.graphs();
  Fixture fixture("graph_masking_concat", "cudnn");
  Session session = fixture.program.session({.max_timesteps = 8});
  std::vector<float> y(fixture.outputSize());
  uint64_t out = driver.allocate(y.size() * sizeof(float));
  std::vector<TensorView> x = fixture.deviceViews();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(session.run(
        x, std::vector{fixture.output(reinterpret_cast<void *>(out))}));
    ASSERT_TRUE(session.run(fixture.hostViews(),
                            std::vector{fixture.output(y.data())}));
    expectNear(driver.toHost(out, y.size()), y);
  }
  EXPECT_EQ(driver.graphs(), before);
}

TEST(DeviceMemory, ProgramsOfTheHostRefuseIt) {
  Fixture fixture("act_tanh", "cpu");
  std::vector<float> expected = fixture.runOnHost();
  std::vector<TensorView> onDevice = fixture.deviceViews();
  Session session = fixture.program.session({.max_timesteps = 8});
  std::vector<float> y(fixture.outputSize());
  auto done = session.run(onDevice, std::vector{fixture.output(y.data())});
  ASSERT_FALSE(done);
  EXPECT_EQ(
      done.error().message(),
      "input '" + fixture.infos[0].name +
          "': lies in a device's memory, but the program was compiled for "
          "the CPU; copy it to the host, or compile for 'cudnn', 'gpu' or "
          "'auto'");
  uint64_t out = Driver::get().allocate(y.size() * sizeof(float));
  auto bound =
      session.bind(fixture.hostViews(),
                   std::vector{fixture.output(reinterpret_cast<void *>(out))});
  ASSERT_FALSE(bound);
  EXPECT_NE(bound.error().message().find("output '"), std::string::npos);
  ASSERT_TRUE(
      session.run(fixture.hostViews(), std::vector{fixture.output(y.data())}));
  expectNear(y, expected);
}

TEST(DeviceMemory, OfAnotherDeviceIsRefused) {
  Fixture fixture("graph_reshape_in", "gpu");
  Session session = fixture.program.session({.max_timesteps = 8});
  std::vector<TensorView> x = fixture.deviceViews();
  std::vector<float> y(fixture.outputSize());
  setenv("GRU_FAKE_POINTERS_DEVICE", "1", 1);
  auto done = session.run(x, std::vector{fixture.output(y.data())});
  unsetenv("GRU_FAKE_POINTERS_DEVICE");
  ASSERT_FALSE(done);
  EXPECT_EQ(
      done.error().message(),
      "tensor '" + fixture.infos[0].name +
          "': lies in the memory of device 1, expected the host's or that of "
          "device 0");
}

TEST(DeviceMemory, StreamsAreForDevices) {
  Fixture fixture("act_tanh", "cpu");
  Session session = fixture.program.session();
  auto set = session.set_stream(nullptr);
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().message(),
            "gru_session_set_stream: the program has no parts on a device");
}

namespace {
/// The sequence of a layer that is large enough for cuBLAS.
std::vector<float> runLarge(const std::string &target, GRU layer,
                            bool tf32 = false) {
  constexpr int64_t units = 64, rows = 3, steps = 4;
  layer.units = units;
  layer.return_sequences = true;
  auto number = [](size_t i) { return 0.1f * std::sin(float(i)); };
  std::vector<float> kernel(units * 3 * units), recurrent(kernel.size()),
      bias(!layer.use_bias ? 0 : (layer.reset_after ? 2 : 1) * 3 * units),
      x(rows * steps * units), y(x.size());
  for (std::vector<float> *values : {&kernel, &recurrent, &bias, &x})
    for (size_t i = 0; i < values->size(); ++i)
      (*values)[i] = number(i + 7 * values->size());
  auto model = Model::build(layer, {kernel, recurrent, bias});
  EXPECT_TRUE(model) << model.error().message();
  auto program =
      compile(*model, {.batch = rows, .target = target, .allow_tf32 = tf32});
  EXPECT_TRUE(program) << program.error().message();
  std::vector<int64_t> dims{rows, steps, units};
  if (layer.time_major)
    std::swap(dims[0], dims[1]);
  Session session = program->session({.max_timesteps = steps});
  auto done = session.run({{x.data(), DType::f32, dims}},
                          {{y.data(), DType::f32, dims}});
  EXPECT_TRUE(done) << done.error().message();
  return y;
}
} // namespace

TEST(Products, LargeOnesAreMadeByCublas) {
  Driver &driver = Driver::get();
  for (bool timeMajor : {false, true})
    for (bool resetAfter : {false, true}) {
      // The last Keras that has time_major; the bias is just another case.
      GRU layer{.use_bias = !timeMajor, .reset_after = resetAfter};
      layer.time_major = timeMajor;
      layer.keras_version = timeMajor ? 2 : 3;
      std::vector<float> expected = runLarge("cpu", layer);
      int before = driver.products();
      expectNear(runLarge("gpu", layer), expected);
      EXPECT_EQ(driver.products(), before + 1);
    }
}

TEST(Products, OneThatDoesNotStartIsNone) {
  Driver &driver = Driver::get();
  GRU layer;
  std::vector<float> expected = runLarge("cpu", layer);
  int before = driver.products();
  setenv("GRU_FAKE_FAIL", "cublasCreate", 1);
  expectNear(runLarge("gpu", layer), expected);
  unsetenv("GRU_FAKE_FAIL");
  EXPECT_EQ(driver.products(), before);
}

TEST(Products, TF32OnlyWhereItIsAllowed) {
  GRU layer;
  std::vector<float> expected = runLarge("gpu", layer);
  setenv("GRU_FAKE_TF32", "1", 1);
  expectNear(runLarge("gpu", layer, /*tf32=*/true), expected);
  unsetenv("GRU_FAKE_TF32");
}

namespace {
struct Store {
  std::map<std::string, int32_t> values;
  int finds = 0, sets = 0;

  gru_tuning_store get() {
    gru_tuning_store store{};
    store.struct_size = sizeof(store);
    store.context = this;
    store.find = [](void *self, const char *key) {
      auto &store = *static_cast<Store *>(self);
      ++store.finds;
      auto it = store.values.find(key);
      return it == store.values.end() ? -1 : it->second;
    };
    store.set = [](void *self, const char *key, int32_t value) {
      auto &store = *static_cast<Store *>(self);
      ++store.sets;
      store.values[key] = value;
    };
    return store;
  }
};
} // namespace

TEST(Tuning, AlgorithmsAreMeasuredOnce) {
  Fixture fixture("graph_reshape_in", "cudnn");
  Store store;
  gru_tuning_store raw = store.get();
  ASSERT_EQ(gru_set_tuning_store(&raw), GRU_OK);
  std::vector<float> first = fixture.runOnHost();
  EXPECT_EQ(store.sets, 1);
  EXPECT_EQ(store.finds, 1);
  // Another process.
  ASSERT_EQ(gru_set_tuning_store(&raw), GRU_OK);
  expectNear(fixture.runOnHost(), first);
  EXPECT_EQ(store.sets, 1);
  EXPECT_EQ(store.finds, 2);
  // One that this library does not have any more is measured again.
  for (auto &[key, value] : store.values)
    value = 2; // The dynamic one.
  ASSERT_EQ(gru_set_tuning_store(&raw), GRU_OK);
  expectNear(fixture.runOnHost(), first);
  EXPECT_EQ(store.sets, 2);
  ASSERT_EQ(gru_set_tuning_store(nullptr), GRU_OK);

  raw.set = nullptr;
  EXPECT_EQ(gru_set_tuning_store(&raw), GRU_INVALID_ARGUMENT);
  EXPECT_STREQ(gru_last_error(), "tuning store: set is null");
}
