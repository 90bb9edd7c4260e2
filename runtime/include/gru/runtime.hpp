//===- gru/runtime.hpp - the runtime's C++ interface ------------*- C++ -*-===//
//
// A thin layer over gru/runtime.h, which has the rules about shapes, ownership,
// aliasing and threads. Needs C++20; neither needs nor throws exceptions of its
// own.
//
//   gru::Session session = program.session({.max_timesteps = 256});
//   float x[1 * 3 * 42], y[1 * 3 * 64];
//   if (auto done = session.run({{x, {1, 3, 42}}}, {{y, {1, 3, 64}}}); !done)
//     return fail(done.error().message());
//
//===----------------------------------------------------------------------===//

#ifndef GRU_RUNTIME_HPP
#define GRU_RUNTIME_HPP

#include "gru/runtime.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace gru {

/// Why something failed: a code for programs, a text for people.
class Error {
public:
  Error(gru_status code, std::string message)
      : status(code), text(std::move(message)) {}

  /// The thread's last error of the C interface.
  static Error last(gru_status code) { return Error(code, gru_last_error()); }

  gru_status code() const { return status; }
  const std::string &message() const { return text; }

private:
  gru_status status;
  std::string text;
};

/// A value or an error. Ask with `operator bool` before taking either.
template <typename T> class Result {
public:
  Result(T value) : content(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content.index() == 0; }

  T &operator*() & { return *get(); }
  const T &operator*() const & { return *get(); }
  T &&operator*() && { return std::move(*get()); }
  T *operator->() { return get(); }
  const T *operator->() const { return get(); }

  const Error &error() const {
    assert(!*this && "there is no error");
    return *std::get_if<1>(&content);
  }

private:
  T *get() {
    assert(*this && "there is no value");
    return std::get_if<0>(&content);
  }
  const T *get() const { return const_cast<Result *>(this)->get(); }

  std::variant<T, Error> content;
};

/// Success or an error.
template <> class Result<void> {
public:
  Result() = default;
  Result(Error error) : failure(std::move(error)) {}

  /// The outcome of a function of the C interface.
  static Result of(gru_status status) {
    return status == GRU_OK ? Result() : Result(Error::last(status));
  }

  explicit operator bool() const { return !failure; }
  const Error &error() const {
    assert(failure && "there is no error");
    return *failure;
  }

private:
  std::optional<Error> failure;
};

enum class DType : gru_dtype {
  f32 = GRU_F32,
  f64 = GRU_F64,
  f16 = GRU_F16,
  bf16 = GRU_BF16,
  boolean = GRU_BOOL,
  i32 = GRU_I32,
  i64 = GRU_I64
};

/// Bytes of one element.
inline size_t dtypeSize(DType dtype) {
  return gru_dtype_size(static_cast<gru_dtype>(dtype));
}
/// "f32" and so on.
inline const char *dtypeName(DType dtype) {
  return gru_dtype_name(static_cast<gru_dtype>(dtype));
}

/// The DType of a C++ type. Half-precision data is given as void * with its
/// DType.
template <typename T> constexpr DType dtypeOf() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<U, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<U, bool>)
    return DType::boolean;
  else if constexpr (std::is_same_v<U, int32_t>)
    return DType::i32;
  else {
    static_assert(std::is_same_v<U, int64_t>, "has no DType");
    return DType::i64;
  }
}

/// A dense row-major tensor in the host's memory; does not own it. Made from a
/// pointer to const, it can only be an input or a weight.
class TensorView {
public:
  TensorView() = default;

  TensorView(void *data, DType dtype, std::span<const int64_t> dims)
      : TensorView(data, dtype, dims, /*readOnly=*/false) {}
  TensorView(const void *data, DType dtype, std::span<const int64_t> dims)
      : TensorView(const_cast<void *>(data), dtype, dims, /*readOnly=*/true) {}
  TensorView(void *data, DType dtype, std::initializer_list<int64_t> dims)
      : TensorView(data, dtype, toSpan(dims)) {}
  TensorView(const void *data, DType dtype, std::initializer_list<int64_t> dims)
      : TensorView(data, dtype, toSpan(dims)) {}

  template <typename T>
  requires(!std::is_void_v<T>)
      TensorView(T *data, std::span<const int64_t> dims)
      : TensorView(const_cast<std::remove_const_t<T> *>(data), dtypeOf<T>(),
                   dims, std::is_const_v<T>) {}
  template <typename T>
  requires(!std::is_void_v<T>)
      TensorView(T *data, std::initializer_list<int64_t> dims)
      : TensorView(data, toSpan(dims)) {}

  void *data() const { return pointer; }
  DType dtype() const { return type; }
  /// No more than GRU_MAX_RANK of them.
  std::span<const int64_t> dims() const {
    return {sizes.data(), std::min<size_t>(rank, GRU_MAX_RANK)};
  }
  bool isReadOnly() const { return readOnly; }

  /// For the C interface; refers to this view's dims.
  gru_buffer buffer() const {
    return {pointer, static_cast<gru_dtype>(type), rank, sizes.data()};
  }

private:
  TensorView(void *data, DType dtype, std::span<const int64_t> dims,
             bool readOnly)
      : pointer(data), type(dtype), rank(static_cast<uint32_t>(dims.size())),
        readOnly(readOnly) {
    // Too high a rank is kept as a number, for run to refuse it.
    std::copy_n(dims.begin(), std::min<size_t>(rank, GRU_MAX_RANK),
                sizes.begin());
  }

  static std::span<const int64_t> toSpan(std::initializer_list<int64_t> dims) {
    return {dims.begin(), dims.size()};
  }

  void *pointer = nullptr;
  DType type = DType::f32;
  uint32_t rank = 0;
  bool readOnly = false;
  std::array<int64_t, GRU_MAX_RANK> sizes{};
};

/// What a program says about one of its tensors.
struct TensorInfo {
  std::string name;
  DType dtype;
  std::vector<int64_t> dims; ///< -1: decided by each run's inputs.

  explicit TensorInfo(const gru_tensor_info &info)
      : name(info.name), dtype(static_cast<DType>(info.dtype)),
        dims(info.dims, info.dims + info.rank) {}
};

struct SessionOptions {
  /// The longest sequence of any run; 0: GRU_DEFAULT_MAX_TIMESTEPS.
  int64_t max_timesteps = 0;
  /// Of all memory of the session; null: the C library's. Copied.
  const gru_allocator *allocator = nullptr;
  /// Threads of a program of several; null: the session's own. Copied.
  const gru_thread_pool *pool = nullptr;
  /// CPUs of the session's own threads; see gru_session_options.
  std::vector<uint32_t> cpus = {};
};

/// Of one call.
struct RunOptions {
  /// Keras's training=True; the session must have been prepared for it
  /// (gru::prepare_training, Session::set_training_program).
  bool training = false;
};

class Program;

/// The state and scratch memory of one stream. Used by one thread at a time.
/// A session that could not be created, or was moved from, is false; what is
/// done with it returns that error.
class Session {
public:
  Session() = default;
  Session(gru_program *program, const SessionOptions &options) {
    gru_session_options raw{};
    raw.struct_size = sizeof(raw);
    raw.max_timesteps = options.max_timesteps;
    raw.allocator = options.allocator;
    raw.pool = options.pool;
    raw.cpus = options.cpus.data();
    raw.num_cpus = options.cpus.size();
    if (gru_status status = gru_session_create(program, &raw, &handle)) {
      failure = Error::last(status);
      return;
    }
    inputs.resize(gru_program_num_tensors(program, GRU_KIND_INPUT));
    outputs.resize(gru_program_num_tensors(program, GRU_KIND_OUTPUT));
  }
  Session(Session &&other) noexcept { swap(other); }
  Session &operator=(Session &&other) noexcept {
    Session(std::move(other)).swap(*this);
    return *this;
  }
  ~Session() { gru_session_destroy(handle); }

  explicit operator bool() const { return handle != nullptr; }
  Error error() const {
    assert(!handle && "there is no error");
    return failure ? *failure : noSession();
  }
  /// For the C interface; stays owned by this object.
  gru_session *get() const { return handle; }

  /// Advances the state by the inputs and writes the outputs, both in the
  /// program's order. Allocates nothing unless it fails.
  Result<void> run(std::span<const TensorView> in,
                   std::span<const TensorView> out,
                   const RunOptions &options = {}) {
    return give(options.training ? gru_session_run_training : gru_session_run,
                in, out);
  }
  Result<void> run(std::initializer_list<TensorView> in,
                   std::initializer_list<TensorView> out,
                   const RunOptions &options = {}) {
    return run(std::span(in.begin(), in.size()),
               std::span(out.begin(), out.size()), options);
  }

  /// Checks the tensors and keeps their addresses, for run(): see
  /// gru_session_bind.
  Result<void> bind(std::span<const TensorView> in,
                    std::span<const TensorView> out) {
    return give(gru_session_bind, in, out);
  }
  Result<void> bind(std::initializer_list<TensorView> in,
                    std::initializer_list<TensorView> out) {
    return bind(std::span(in.begin(), in.size()),
                std::span(out.begin(), out.size()));
  }
  /// Runs on what lies in the bound tensors now.
  Result<void> run() {
    return Result<void>::of(gru_session_run_bound(handle));
  }

  /// Makes all states zero; an error where no layer is stateful.
  Result<void> reset_states() {
    return Result<void>::of(gru_session_reset_states(handle));
  }
  /// Gives every state a value; see gru_session_reset_states_to.
  Result<void> reset_states(std::span<const TensorView> values) {
    std::vector<gru_buffer> buffers;
    for (const TensorView &view : values)
      buffers.push_back(view.buffer());
    return Result<void>::of(
        gru_session_reset_states_to(handle, buffers.data(), buffers.size()));
  }

  int64_t max_timesteps() const { return gru_session_max_timesteps(handle); }
  /// Work of later runs goes into this CUDA stream; see gru_session_set_stream.
  Result<void> set_stream(void *stream) {
    return Result<void>::of(gru_session_set_stream(handle, stream));
  }

  uint64_t num_mask_fallbacks() const {
    return gru_session_num_mask_fallbacks(handle);
  }

  /// Goes on with other weights: see gru_session_set_program.
  inline Result<void> set_program(const Program &program);
  /// What runs with training; see gru_session_set_training_program.
  inline Result<void> set_training_program(const Program &program);

  /// Copies one state out or in, as bytes of exactly its size.
  Result<void> get_state(size_t index, std::span<std::byte> data) const {
    return Result<void>::of(
        gru_session_get_state(handle, index, data.data(), data.size()));
  }
  Result<void> set_state(size_t index, std::span<const std::byte> data) {
    return Result<void>::of(
        gru_session_set_state(handle, index, data.data(), data.size()));
  }

  /// All states, to go on from later in a session of the same program.
  Result<std::vector<std::byte>> save_state() const {
    std::vector<std::byte> bytes(gru_session_state_size(handle));
    if (gru_status status =
            gru_session_save_state(handle, bytes.data(), bytes.size()))
      return Error::last(status);
    return bytes;
  }
  Result<void> restore_state(std::span<const std::byte> bytes) {
    return Result<void>::of(
        gru_session_restore_state(handle, bytes.data(), bytes.size()));
  }

private:
  using Function = gru_status (*)(gru_session *, const gru_buffer *, size_t,
                                  const gru_buffer *, size_t);
  Result<void> give(Function function, std::span<const TensorView> in,
                    std::span<const TensorView> out) {
    if (!handle)
      return error();
    for (size_t i = 0; i < out.size(); ++i)
      if (out[i].isReadOnly())
        return Error(GRU_INVALID_ARGUMENT,
                     "output " + std::to_string(i) +
                         ": is read-only, found a pointer to const");
    // If the numbers are wrong, the tables are not looked at.
    std::transform(in.begin(), in.begin() + std::min(in.size(), inputs.size()),
                   inputs.begin(), toBuffer);
    std::transform(out.begin(),
                   out.begin() + std::min(out.size(), outputs.size()),
                   outputs.begin(), toBuffer);
    return Result<void>::of(function(handle, inputs.data(), in.size(),
                                     outputs.data(), out.size()));
  }

  static gru_buffer toBuffer(const TensorView &view) { return view.buffer(); }
  static Error noSession() {
    return Error(GRU_INVALID_ARGUMENT, "session: is empty");
  }
  void swap(Session &other) noexcept {
    std::swap(handle, other.handle);
    std::swap(failure, other.failure);
    inputs.swap(other.inputs);
    outputs.swap(other.outputs);
  }

  gru_session *handle = nullptr;
  std::optional<Error> failure;
  std::vector<gru_buffer> inputs, outputs; ///< Filled anew by each run.
};

/// A compiled program with its weights: a shared handle, cheap to copy. May be
/// used by many threads at once.
class Program {
public:
  Program() = default;
  Program(const Program &other) : handle(gru_program_retain(other.handle)) {}
  Program(Program &&other) noexcept
      : handle(std::exchange(other.handle, nullptr)) {}
  Program &operator=(Program other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Program() { gru_program_release(handle); }

  /// Takes over the caller's reference.
  static Program adopt(gru_program *program) {
    Program result;
    result.handle = program;
    return result;
  }

  static Result<Program> open(const gru_artifact &artifact,
                              std::span<const gru_weight> weights) {
    gru_program *program;
    if (gru_status status = gru_program_open(&artifact, weights.data(),
                                             weights.size(), &program))
      return Error::last(status);
    return adopt(program);
  }

  /// A shared library made ahead of time, with its own weights unless others
  /// are given.
  static Result<Program> load(const std::string &path,
                              std::span<const gru_weight> weights = {}) {
    gru_program *program;
    if (gru_status status = gru_program_load(path.c_str(), weights.data(),
                                             weights.size(), &program))
      return Error::last(status);
    return adopt(program);
  }

  explicit operator bool() const { return handle != nullptr; }
  /// For the C interface; stays owned by this object.
  gru_program *get() const { return handle; }

  /// The same kernel with other weights, for Session::set_program.
  Result<Program> with_weights(std::span<const gru_weight> weights) const {
    gru_program *program;
    if (gru_status status = gru_program_with_weights(
            handle, weights.data(), weights.size(), &program))
      return Error::last(status);
    return adopt(program);
  }

  /// Whether that worked, the session tells.
  Session session(const SessionOptions &options = {}) const {
    return Session(handle, options);
  }

  std::vector<TensorInfo> inputs() const { return tensors(GRU_KIND_INPUT); }
  std::vector<TensorInfo> outputs() const { return tensors(GRU_KIND_OUTPUT); }
  std::vector<TensorInfo> states() const { return tensors(GRU_KIND_STATE); }
  std::vector<TensorInfo> weights() const { return tensors(GRU_KIND_WEIGHT); }

  uint64_t weights_bytes() const { return gru_program_weights_bytes(handle); }
  uint32_t threads() const { return gru_program_threads(handle); }
  uint64_t state_bytes() const { return gru_program_state_bytes(handle); }
  Result<uint64_t> scratch_bytes(int64_t timesteps) const {
    uint64_t bytes;
    if (gru_status status =
            gru_program_scratch_bytes(handle, timesteps, &bytes))
      return Error::last(status);
    return bytes;
  }

  /// The shape of output `index` for inputs of these shapes, whose data may be
  /// null.
  Result<std::vector<int64_t>> output_shape(std::span<const TensorView> in,
                                            size_t index) const {
    std::vector<gru_buffer> buffers;
    for (const TensorView &view : in)
      buffers.push_back(view.buffer());
    int64_t dims[GRU_MAX_RANK];
    uint32_t rank;
    if (gru_status status = gru_program_output_shape(
            handle, buffers.data(), buffers.size(), index, dims, &rank))
      return Error::last(status);
    return std::vector<int64_t>(dims, dims + rank);
  }

private:
  std::vector<TensorInfo> tensors(gru_tensor_kind kind) const {
    std::vector<TensorInfo> result;
    gru_tensor_info info;
    for (size_t i = 0, e = gru_program_num_tensors(handle, kind); i < e; ++i)
      if (gru_program_tensor(handle, kind, i, &info) == GRU_OK)
        result.emplace_back(info);
    return result;
  }

  gru_program *handle = nullptr;
};

inline Result<void> Session::set_program(const Program &program) {
  return Result<void>::of(gru_session_set_program(handle, program.get()));
}

inline Result<void> Session::set_training_program(const Program &program) {
  return Result<void>::of(
      gru_session_set_training_program(handle, program.get()));
}

} // namespace gru

#endif // GRU_RUNTIME_HPP
