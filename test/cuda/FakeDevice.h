//===- FakeDevice.h - what the doubles of CUDA's libraries share ----------===//
//
// A device without a device: memory that code on the host cannot touch, and
// streams whose work waits until somebody asks for it.
//
// The doubles are no laxer than the libraries: what those refuse, and what
// their documentation leaves undefined, is an error here. They say nothing
// about speed.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_TEST_CUDA_FAKEDEVICE_H
#define GRU_TEST_CUDA_FAKEDEVICE_H

#include <cuda.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace fake {

/// Whether a test wants this function to fail.
bool mustFail(const char *name);
/// Why a call is refused, for who reads the log of a test.
void complain(const std::string &problem);

// Few and small enough that layers of tests need more than one round, that some
// do without shared memory and that some do not fit into registers.
constexpr int kProcessors = 3, kSharedBytes = 1024, kMostSharedBytes = 2048,
              kThreadsInRegisters = 128;

/// What calls of the driver need: that it is started, that the context is
/// current and that nothing has failed.
CUresult ready();
#define NEEDS_CONTEXT                                                          \
  if (CUresult result_ = ready())                                              \
  return result_
/// Calls that may wait for the device are refused while anything captures.
#define MAY_WAIT                                                               \
  NEEDS_CONTEXT;                                                               \
  if (Stream::isAnyCapturing())                                                \
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
#define FIND_STREAM(name, handle)                                              \
  NEEDS_CONTEXT;                                                               \
  Stream *name = Stream::find(handle);                                         \
  if (!name)                                                                   \
  return CUDA_ERROR_INVALID_HANDLE

/// Memory of the device: pages that nobody may touch outside of the driver's
/// work.
class Memory {
public:
  static Memory &get();
  /// Filled with NaNs: nothing may read what nothing has written. Its end is
  /// that of a page, but for what an alignment of 256 bytes takes.
  void *allocate(size_t bytes);
  bool release(void *memory);
  /// Whether all of it is of one allocation.
  bool has(const void *address, size_t bytes = 1);

  /// While one of these lives, memory is open.
  struct Open {
    Open() { get().change(+1); }
    ~Open() { get().change(-1); }
  };

private:
  struct Block {
    size_t bytes;  ///< As asked for.
    char *pages;   ///< What was mapped,
    size_t mapped; ///< with a closed page behind it.
  };
  void change(int by);
  void protect(const Block &block);

  std::mutex mutex;
  std::map<const char *, Block> blocks;
  int users = 0;
};

/// Work of a stream: nothing, or what went wrong.
using Work = std::function<std::string()>;

/// A stream, whose work is done when somebody waits for it.
class Stream {
public:
  /// Null where there is no such stream. 0, 1 and 2 are the default ones.
  static Stream *find(CUstream stream);
  static Stream *create();
  static void destroy(Stream *stream);
  /// All streams' work is done; the error that the context has, if any.
  static CUresult finishAll();
  /// What any stream has run into; every call fails from then on.
  static CUresult contextError();

  /// Later, or into the graph that is being captured.
  void add(Work work);
  CUresult finish();

  bool isCapturing() const { return capturing; }
  /// What a stream that captures must not do.
  CUresult invalidateCapture();
  CUresult beginCapture();
  CUresult endCapture(std::vector<Work> &graph);
  /// Whether any stream captures.
  static bool isAnyCapturing();

private:
  std::vector<Work> pending, captured;
  bool capturing = false, invalid = false;
};

} // namespace fake

#endif // GRU_TEST_CUDA_FAKEDEVICE_H
