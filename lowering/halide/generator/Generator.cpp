//===- Generator.cpp - from requests to what Halide makes of them ---------===//

#include "lowering/halide/generator/Pipelines.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <algorithm>
#include <deque>

using namespace gru;

const HalideBuffer *HalideInputs::find(const std::string &name) const {
  for (const HalideBuffer &buffer : function.buffers)
    if (buffer.name == name)
      return &buffer;
  return nullptr;
}

Halide::ImageParam HalideInputs::operator[](const std::string &name) {
  const HalideBuffer *buffer = find(name);
  if (!buffer)
    return {};
  auto [it, isNew] = params.try_emplace(name);
  if (isNew) {
    Halide::Type type =
        buffer->isMask ? Halide::UInt(8) : Halide::Float(buffer->bits);
    it->second = Halide::ImageParam(type, int(buffer->extents.size()), name);
    constrain(it->second, *buffer);
    arguments.push_back(it->second);
  }
  return it->second;
}

void gru::constrain(Halide::OutputImageParam param, const HalideBuffer &buffer,
                    bool extents) {
  for (size_t d = 0; d < buffer.extents.size(); ++d) {
    if (extents) {
      param.dim(d).set_min(0);
      if (buffer.extents[d] >= 0)
        param.dim(d).set_extent(int(buffer.extents[d]));
    }
    // Otherwise Halide takes the innermost dimension as dense.
    param.dim(d).set_stride(buffer.strides[d] >= 0
                                ? Halide::Expr(int(buffer.strides[d]))
                                : Halide::Expr());
  }
}

static Halide::Target makeTarget(const HalideRequest &request) {
  using Halide::Target;
  auto has = [&](const char *feature) {
    return std::count(request.features.begin(), request.features.end(),
                      feature);
  };
  Target target;
  target.bits = 64;
  target.os =
      request.os.rfind("darwin", 0) == 0 || request.os.rfind("macosx", 0) == 0
          ? Target::OSX
          : Target::Linux;
  if (request.arch == "x86_64") {
    target.arch = Target::X86;
    static const std::pair<const char *, Target::Feature> table[] = {
        {"sse4.1", Target::SSE41}, {"avx", Target::AVX},
        {"avx2", Target::AVX2},    {"fma", Target::FMA},
        {"f16c", Target::F16C},    {"avx512cd", Target::AVX512},
    };
    for (auto [name, feature] : table)
      if (has(name))
        target.set_feature(feature);
    if (has("avx512cd") && has("avx512vl") && has("avx512bw") &&
        has("avx512dq"))
      target.set_feature(Target::AVX512_Skylake);
  } else if (request.arch == "aarch64" || request.arch == "arm64") {
    target.arch = Target::ARM;
  } else {
    throw Halide::CompileError("halide: no code for " + request.arch);
  }
  // Buffers beyond 2^31 elements occur in long sequences.
  for (Target::Feature feature :
       {Target::NoBoundsQuery, Target::StrictFloat, Target::LargeBuffers})
    target.set_feature(feature);
  target.set_feature(Target::NoRuntime);
  if (request.cuda) {
    // Halide's runtime finds the device, and the functions say what it answers.
    // The oldest devices are those of the target gpu.
    target.set_feature(Target::CUDA);
    target.set_feature(Target::CUDACapability80);
    return target;
  }
  // What is called is only our own code: it passes what the pipeline wants, and
  // there is no runtime to allocate, print or start threads with.
  target.set_feature(Target::NoAsserts);
  return target;
}

static Halide::OutputFileType fileType(HalideOutput output) {
  switch (output) {
  case HalideOutput::Bitcode:
    return Halide::OutputFileType::bitcode;
  case HalideOutput::Statement:
    return Halide::OutputFileType::stmt;
  case HalideOutput::Assembly:
    return Halide::OutputFileType::assembly;
  case HalideOutput::Object:
    return Halide::OutputFileType::object;
  case HalideOutput::Header:
    return Halide::OutputFileType::c_header;
  }
  llvm_unreachable("covered switch");
}

namespace {
/// Halide writes files only.
struct TemporaryFile {
  std::string path;

  TemporaryFile() {
    llvm::SmallString<128> name;
    if (std::error_code error =
            llvm::sys::fs::createTemporaryFile("gru-halide", "out", name))
      throw Halide::CompileError("no temporary file: " + error.message());
    path = name.str();
  }
  ~TemporaryFile() { llvm::sys::fs::remove(path); }
  TemporaryFile(const TemporaryFile &) = delete;

  std::string read() const {
    auto bytes = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                             /*RequiresNullTerminator=*/false);
    if (!bytes)
      throw Halide::CompileError(bytes.getError().message());
    return (*bytes)->getBuffer().str();
  }
};
} // namespace

/// Where Halide links modules, only the kernels of one survive. So with CUDA
/// each function has an object of its own, and Halide's runtime one.
static std::string makeArchive(const std::vector<Halide::Module> &modules,
                               const Halide::Target &target) {
  std::deque<TemporaryFile> files;
  std::vector<std::string> paths;
  for (const Halide::Module &module : modules) {
    paths.push_back(files.emplace_back().path);
    module.compile({{Halide::OutputFileType::object, paths.back()}});
  }
  paths.push_back(files.emplace_back().path);
  Halide::compile_standalone_runtime(
      paths.back(), target.without_feature(Halide::Target::StrictFloat));
  TemporaryFile archive;
  Halide::create_static_library(paths, target, archive.path);
  return archive.read();
}

static std::string generate(const HalideRequest &request) {
  Halide::Target target = makeTarget(request);
  std::vector<Halide::Module> modules;
  for (const HalideFunction &function : request.functions) {
    bool dense = function.kind == "dense" || function.kind == "projection";
    HalidePipeline built = dense ? buildDense(function) : buildStep(function);
    modules.push_back(
        built.pipeline.compile_to_module(built.inputs, function.name, target));
  }
  if (request.cuda && request.output == HalideOutput::Object)
    return makeArchive(modules, target);
  Halide::Module module = modules.size() == 1
                              ? modules.front()
                              : Halide::link_modules("gru_halide", modules);
  // Halide loses this where it links modules.
  module.set_any_strict_float(true);
  TemporaryFile file;
  module.compile({{fileType(request.output), file.path}});
  return file.read();
}

namespace {
/// Halide prints warnings and ends the process at errors unless somebody
/// listens. A warning says that a pipeline is not what was meant, so it is an
/// error too.
struct Reporter : Halide::CompileTimeErrorReporter {
  void warning(const char *message) override {
    throw Halide::CompileError(message);
  }
  void error(const char *message) override {
    throw Halide::CompileError(message);
  }
};
} // namespace

bool gru_halide_generate(const HalideRequest &request, std::string &result) {
  Reporter reporter;
  Halide::set_custom_compile_time_error_reporter(&reporter);
  llvm::scope_exit restore(
      [] { Halide::set_custom_compile_time_error_reporter(nullptr); });
  try {
    result = generate(request);
    return true;
  } catch (const Halide::Error &error) {
    result = error.what();
  } catch (const std::exception &error) {
    result = error.what();
  }
  // Halide ends its messages with a line break.
  result.erase(result.find_last_not_of('\n') + 1);
  return false;
}
