//===- DeviceApiTest.cpp - the interface of programs for a device ----------===//
//
// On the double of the driver and of cuDNN, whose memory no code on the host can
// touch.
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
  uint64_t allocate(size_t bytes) {
    Current current(*this);
    uint64_t address = 0;
    EXPECT_EQ(call<int(uint64_t *, size_t)>("cuMemAlloc_v2")(&address, bytes), 0);
    return address;
  }
  void toDevice(uint64_t to, const std::vector<char> &from) {
    Current current(*this);
    EXPECT_EQ((call<int(uint64_t, const void *, size_t, void *)>(
                  "cuMemcpyHtoDAsync_v2")(to, from.data(), from.size(), nullptr)),
              0);
  }
  std::vector<float> toHost(uint64_t from, size_t size) {
    Current current(*this);
    std::vector<float> to(size);
    EXPECT_EQ((call<int(void *, uint64_t, size_t, void *)>(
                  "cuMemcpyDtoHAsync_v2")(to.data(), from, size * sizeof(float),
                                          nullptr)),
              0);
    return to;
  }
  int waits() { return *static_cast<int *>(dlsym(library, "gru_fake_num_waits")); }

private:
  Driver() : library(dlopen(std::getenv("GRU_CUDA_DRIVER"), RTLD_NOW)) {}
  template <typename F> F *call(const char *name) {
    return reinterpret_cast<F *>(dlsym(library, name));
  }
  struct Current {
    explicit Current(Driver &driver) : driver(driver) {
      driver.call<int(void *)>("cuCtxPushCurrent_v2")(nullptr);
    }
    ~Current() {
      void *ignored;
      driver.call<int(void **)>("cuCtxPopCurrent_v2")(&ignored);
    }
    Driver &driver;
  };
  void *library;
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
                    info.dtype == DType::i32
                        ? static_cast<const void *>(&token)
                        : &number,
                    4);
      }
    }
    outputShape = *program.output_shape(hostViews(), 0);
  }

  size_t outputSize() const { return countElements(outputShape); }
  TensorView output(void *data) const { return {data, DType::f32, outputShape}; }
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
      views.push_back({reinterpret_cast<void *>(address), infos[i].dtype,
                       infos[i].dims});
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
    auto done = session.run(
        inputsToo ? deviceViews() : hostViews(),
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
  char stream;
  ASSERT_TRUE(session.set_stream(&stream));
  uint64_t out = driver.allocate(expected.size() * sizeof(float));
  std::vector<TensorView> x = fixture.deviceViews();
  std::vector<TensorView> y{fixture.output(reinterpret_cast<void *>(out))};
  int before = driver.waits();
  ASSERT_TRUE(session.run(x, y));
  EXPECT_EQ(driver.waits(), before);
  expectNear(driver.toHost(out, expected.size()), expected);
  // Memory of the host has to be ready.
  std::vector<float> host(expected.size());
  ASSERT_TRUE(session.run(x, std::vector{fixture.output(host.data())}));
  EXPECT_GT(driver.waits(), before);
  expectNear(host, expected);
  ASSERT_TRUE(session.set_stream(nullptr));
  ASSERT_TRUE(session.run(x, y));
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
