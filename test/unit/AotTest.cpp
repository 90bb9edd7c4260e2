//===- AotTest.cpp - models compiled ahead of time ------------------------===//
//
// The yardstick is the JIT: the same bits for the same CPU.
//
//===----------------------------------------------------------------------===//

#include "gru/gru.hpp"

#include "aot_beside.h"
#include "aot_stateful.h"
#include "aot_swap.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>

using namespace gru;

namespace {

const std::string kGolden = GRU_TEST_DATA_DIR;

Model loadModel(const std::string &path) {
  auto model = Model::load(kGolden + "/" + path);
  EXPECT_TRUE(model) << (model ? "" : model.error().message());
  return std::move(*model);
}

Program compileModel(const Model &model, int64_t batch = 0) {
  auto program = compile(model, {.batch = batch});
  EXPECT_TRUE(program) << (program ? "" : program.error().message());
  return *program;
}

/// A tensor of random values that any model takes.
struct Tensor {
  std::vector<std::byte> data;
  DType dtype;
  std::vector<int64_t> dims;

  Tensor(DType dtype, std::vector<int64_t> dims, unsigned seed)
      : dtype(dtype), dims(std::move(dims)) {
    size_t count = 1;
    for (int64_t dim : this->dims)
      count *= dim;
    data.resize(count * dtypeSize(dtype));
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (size_t i = 0; i < count; ++i) {
      float value = uniform(generator);
      switch (dtype) {
      case DType::f32:
        at<float>(i) = value;
        break;
      case DType::f64:
        at<double>(i) = value;
        break;
      case DType::boolean:
        at<uint8_t>(i) = value > -0.6f;
        break;
      case DType::i32:
        at<int32_t>(i) = value > 0;
        break;
      default: // a small number in either 16-bit format; 0 or 1 as i64
        if (dtypeSize(dtype) == 2)
          at<uint16_t>(i) = 0x3c00 + (i % 7) * 8;
        else
          at<int64_t>(i) = value > 0;
      }
    }
  }
  template <typename T> T &at(size_t i) {
    return reinterpret_cast<T *>(data.data())[i];
  }
  TensorView view() { return {static_cast<void *>(data.data()), dtype, dims}; }
};

/// Two calls of a new session on the same random inputs; all outputs' bytes.
std::vector<std::byte> runTwice(const Program &program, int64_t timesteps) {
  std::vector<std::byte> result;
  Session session = program.session({.max_timesteps = timesteps});
  EXPECT_TRUE(session) << (session ? "" : session.error().message());
  for (unsigned call = 0; call < 2; ++call) {
    std::vector<Tensor> in, out;
    std::vector<TensorView> inViews, outViews;
    auto add = [&](const std::vector<TensorInfo> &infos,
                   std::vector<Tensor> &tensors,
                   std::vector<TensorView> &views) {
      for (const TensorInfo &info : infos) {
        std::vector<int64_t> dims = info.dims;
        for (int64_t &dim : dims)
          dim = dim < 0 ? timesteps : dim;
        tensors.emplace_back(info.dtype, dims, call * 10 + tensors.size());
      }
      for (Tensor &tensor : tensors)
        views.push_back(tensor.view());
    };
    add(program.inputs(), in, inViews);
    add(program.outputs(), out, outViews);
    auto done = session.run(inViews, outViews);
    EXPECT_TRUE(done) << (done ? "" : done.error().message());
    for (Tensor &tensor : out)
      result.insert(result.end(), tensor.data.begin(), tensor.data.end());
  }
  return result;
}

/// Compiles to a shared library in the test's folder.
std::string emitShared(const std::string &model, const std::string &name,
                       const std::string &options = "") {
  std::string path = testing::TempDir() + "gru_aot_" + name + ".so";
  std::string command = std::string("\"") + GRU_OPT + "\" \"" + kGolden + "/" +
                        model + "\" --emit=shared -o \"" + path + "\" " +
                        options;
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return path;
}

std::vector<float> values(size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> result(count);
  for (float &value : result)
    value = uniform(generator);
  return result;
}

struct Free {
  void operator()(void *p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Free>;
Memory aligned(size_t size) {
  return Memory(std::aligned_alloc(64, (size + 63) / 64 * 64));
}

class Shared : public testing::TestWithParam<const char *> {};

TEST_P(Shared, SameBitsAsJIT) {
  std::string path = GetParam(), name = path;
  for (char &c : name)
    c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  Program jit = compileModel(loadModel(path));
  std::string file = emitShared(path, name);
  auto library = Program::load(file);
  ASSERT_TRUE(library) << library.error().message();
  ASSERT_EQ(library->inputs().size(), jit.inputs().size());
  EXPECT_EQ(library->state_bytes(), jit.state_bytes());
  std::vector<std::byte> expected = runTwice(jit, 6);
  ASSERT_FALSE(expected.empty());
  EXPECT_TRUE(runTwice(*library, 6) == expected);
  std::remove(file.c_str());
}

INSTANTIATE_TEST_SUITE_P(
    Models, Shared,
    testing::Values("keras/dtype_float64_before_mask/model.keras",
                    "keras/dtype_mixed_float16/model.keras",
                    "keras/graph_encoder_decoder_bidi/model.keras",
                    "keras/stateful_mask/model.keras",
                    "models/rnnoise/bd/model.hdf5"),
    [](const auto &info) { return std::to_string(info.index); });

TEST(SharedLibrary, TakesOtherWeights) {
  std::string path = "keras/act_tanh/model.keras";
  Model model = loadModel(path);
  std::string fixed = emitShared(path, "fixed");
  std::string swap = emitShared(path, "swap", "--hot-swap");
  std::vector<std::vector<float>> data;
  std::vector<WeightView> views = model.weights();
  std::vector<gru_weight> weights;
  for (const WeightView &view : views) {
    size_t count = 1;
    for (int64_t dim : view.dims)
      count *= dim;
    data.push_back(values(count, 50 + data.size()));
  }
  for (size_t i = 0; i < views.size(); ++i)
    weights.push_back({views[i].name.c_str(), GRU_F32,
                       uint32_t(views[i].dims.size()), views[i].dims.data(),
                       data[i].data()});
  auto own = Program::load(swap);
  auto other = Program::load(swap, weights);
  ASSERT_TRUE(own);
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_TRUE(runTwice(*own, 4) == runTwice(compileModel(model), 4));
  EXPECT_FALSE(runTwice(*own, 4) == runTwice(*other, 4));
  auto refused = Program::load(fixed, weights);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("--hot-swap"), std::string::npos);
  std::remove(fixed.c_str());
  std::remove(swap.c_str());
}

TEST(SharedLibrary, RefusesWhatIsNone) {
  auto missing = Program::load("/no/such/library.so");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), GRU_IO);
  EXPECT_NE(missing.error().message().find("/no/such/library.so"),
            std::string::npos);
  auto other = Program::load("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message().find("is no compiled model"),
            std::string::npos);
}

TEST(Object, InitRefuses) {
  size_t size = AOT_STATEFUL_BYTES(8);
  Memory memory = aligned(size + 64);
  char *bytes = static_cast<char *>(memory.get());
  EXPECT_NE(aot_stateful_init(bytes, size, 8), nullptr);
  EXPECT_EQ(aot_stateful_init(bytes, size, 9), nullptr);
  EXPECT_EQ(aot_stateful_init(bytes, size, 0), nullptr);
  EXPECT_EQ(aot_stateful_init(bytes, size, -1), nullptr);
  EXPECT_EQ(aot_stateful_init(bytes, SIZE_MAX, AOT_STATEFUL_MAX_TIMESTEPS + 1),
            nullptr);
  EXPECT_EQ(aot_stateful_init(bytes, SIZE_MAX, INT64_MAX), nullptr);
  EXPECT_EQ(aot_stateful_init(bytes + 8, size, 8), nullptr);
  EXPECT_EQ(aot_stateful_init(nullptr, size, 8), nullptr);
}

/// init, run, reset and state of an object, against sessions of the JIT.
TEST(Object, SameBitsAsJIT) {
  constexpr int64_t steps = 5;
  Program jit = compileModel(loadModel("keras/stateful_mask/model.keras"));
  Session session = jit.session({.max_timesteps = steps});
  std::vector<float> x = values(AOT_STATEFUL_X_ELEMENTS(steps), 1);
  std::unique_ptr<bool[]> mask(new bool[AOT_STATEFUL_MASK_ELEMENTS(steps)]);
  for (size_t i = 0; i < AOT_STATEFUL_MASK_ELEMENTS(steps); ++i)
    mask[i] = i % 4 != 2;
  std::vector<float> expected(AOT_STATEFUL_OUTPUT_0_ELEMENTS(steps));
  std::vector<float> found(expected.size());
  size_t size = AOT_STATEFUL_BYTES(steps);
  EXPECT_EQ(uint64_t(AOT_STATEFUL_STATE_BYTES), jit.state_bytes());
  EXPECT_EQ(uint64_t(AOT_STATEFUL_SCRATCH_BYTES(steps)),
            *jit.scratch_bytes(steps));
  Memory memory = aligned(size);
  aot_stateful *stream = aot_stateful_init(memory.get(), size, steps);
  ASSERT_NE(stream, nullptr);
  auto both = [&] {
    ASSERT_TRUE(
        session.run({{x.data(), {3, steps, 3}}, {mask.get(), {3, steps}}},
                    {{expected.data(), {3, steps, 4}}}));
    ASSERT_EQ(
        aot_stateful_run(stream, steps, x.data(),
                         reinterpret_cast<const unsigned char *>(mask.get()),
                         found.data()),
        0);
    EXPECT_EQ(expected, found);
  };
  both();
  std::vector<float> first = found;
  std::vector<char> saved(AOT_STATEFUL_STATE_BYTES);
  std::memcpy(saved.data(), aot_stateful_state(stream), saved.size());
  both(); // goes on from the state
  std::vector<float> second = found;
  EXPECT_NE(first, second);
  std::memcpy(aot_stateful_state(stream), saved.data(), saved.size());
  ASSERT_TRUE(session.restore_state(std::as_bytes(std::span(saved))));
  both();
  EXPECT_EQ(found, second);
  session.reset_states();
  aot_stateful_reset(stream);
  both();
  EXPECT_EQ(found, first);
  // Out of range: nothing happens.
  std::vector<float> untouched = found;
  for (int64_t length : {int64_t(0), int64_t(-1), steps + 1})
    EXPECT_EQ(
        aot_stateful_run(stream, length, x.data(),
                         reinterpret_cast<const unsigned char *>(mask.get()),
                         found.data()),
        -1);
  EXPECT_EQ(found, untouched);
}

/// Two objects of one structure, one with its weights beside, one that can be
/// given others.
TEST(Object, WeightsBesideAndSwapped) {
  std::ifstream file(AOT_BESIDE_FILE, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  ASSERT_EQ(bytes.size(), size_t(AOT_BESIDE_WEIGHTS_BYTES));
  ASSERT_EQ(AOT_BESIDE_WEIGHTS_BYTES, AOT_SWAP_WEIGHTS_BYTES);
  Memory weights = aligned(bytes.size());
  std::memcpy(weights.get(), bytes.data(), bytes.size());

  size_t size = AOT_BESIDE_BYTES(3);
  Memory one = aligned(size), two = aligned(AOT_SWAP_BYTES(3));
  EXPECT_EQ(aot_beside_init(one.get(), size, 3, nullptr), nullptr);
  aot_beside *beside = aot_beside_init(one.get(), size, 3, weights.get());
  aot_swap *swap = aot_swap_init(two.get(), AOT_SWAP_BYTES(3), 3);
  ASSERT_NE(beside, nullptr);
  ASSERT_NE(swap, nullptr);
  std::vector<float> x = values(AOT_SWAP_X_ELEMENTS(3), 4);
  std::vector<float> a(AOT_SWAP_OUTPUT_0_ELEMENTS(3)), b(a.size()), c(a.size());
  ASSERT_EQ(aot_beside_run(beside, 3, x.data(), a.data()), 0);
  ASSERT_EQ(aot_swap_run(swap, 3, x.data(), b.data()), 0);
  EXPECT_EQ(a, b);

  // The runtime packs what a host has, by the object's own pack program.
  Model model = loadModel("keras/act_tanh/model.keras");
  std::vector<WeightView> views = model.weights();
  std::vector<gru_weight> list;
  std::vector<float> kernel = values(4 * 18, 9);
  for (const WeightView &view : views)
    list.push_back({view.name.c_str(), GRU_F32, uint32_t(view.dims.size()),
                    view.dims.data(),
                    view.name == "gru/kernel" ? kernel.data() : view.data});
  uint64_t expected;
  ASSERT_EQ(gru_plan_weights_bytes(aot_swap_artifact.plan,
                                   aot_swap_artifact.plan_size, &expected),
            GRU_OK);
  ASSERT_EQ(expected, bytes.size());
  Memory other = aligned(bytes.size());
  ASSERT_EQ(gru_pack_weights(aot_swap_artifact.plan,
                             aot_swap_artifact.plan_size, list.data(),
                             list.size(), other.get(), bytes.size()),
            GRU_OK)
      << gru_last_error();
  aot_swap_set_weights(swap, other.get());
  ASSERT_EQ(aot_swap_run(swap, 3, x.data(), c.data()), 0);
  EXPECT_NE(b, c);
  aot_swap_set_weights(swap, weights.get());
  ASSERT_EQ(aot_swap_run(swap, 3, x.data(), c.data()), 0);
  EXPECT_EQ(b, c);
  // The other object's weights are fixed once the file is read.
  EXPECT_EQ(gru_pack_weights(aot_stateful_artifact.plan,
                             aot_stateful_artifact.plan_size, nullptr, 0,
                             other.get(), 0),
            GRU_INVALID_ARGUMENT);
}

/// A decaying state becomes denormal: zero inside a run, as with the JIT, and
/// the caller's mode is untouched.
TEST(Object, FloatEnvironment) {
  Program jit = compileModel(loadModel("keras/stateful_mask/model.keras"));
  Session session = jit.session({.max_timesteps = 2});
  std::vector<float> x(AOT_STATEFUL_X_ELEMENTS(2), 1e-40f);
  std::unique_ptr<bool[]> mask(new bool[AOT_STATEFUL_MASK_ELEMENTS(2)]);
  std::fill_n(mask.get(), AOT_STATEFUL_MASK_ELEMENTS(2), true);
  std::vector<float> state(12, 3e-39f), a(AOT_STATEFUL_OUTPUT_0_ELEMENTS(2));
  std::vector<float> b(a.size());
  size_t size = AOT_STATEFUL_BYTES(2);
  Memory memory = aligned(size);
  aot_stateful *stream = aot_stateful_init(memory.get(), size, 2);
  ASSERT_NE(stream, nullptr);
  std::memcpy(aot_stateful_state(stream), state.data(), 48);
  ASSERT_TRUE(session.set_state(0, std::as_bytes(std::span(state))));
  volatile float tiny = 1e-39f;
  ASSERT_EQ(aot_stateful_run(
                stream, 2, x.data(),
                reinterpret_cast<const unsigned char *>(mask.get()), b.data()),
            0);
  EXPECT_NE(tiny * 0.5f, 0.0f); // still a denormal out here
  ASSERT_TRUE(session.run({{x.data(), {3, 2, 3}}, {mask.get(), {3, 2}}},
                          {{a.data(), {3, 2, 4}}}));
  EXPECT_EQ(a, b);
}

} // namespace
