//===- Compile.cpp - gru_compile ------------------------------------------===//

#include "compiler/api/Target.h"
#include "compiler/jit/DiskCache.h"
#include "compiler/jit/SparseKernels.h"
#include "compiler/jit/TuningFile.h"
#include "compiler/jit/KernelCache.h"

#include "gru/gru.h"
#include "lowering/halide/Kernels.h"
#include "runtime/Error.h"

using namespace gru;
using runtime::fail;

static std::string text(const char *string) { return string ? string : ""; }

/// Why a program that was asked to use several threads uses one.
static std::string whyOneThread(llvm::StringRef backend) {
  if (backend == "reference")
    return "the reference is computed on one";
  if (backend == "halide")
    return "halide cuts rows, and found no operation with " +
           std::to_string(kHalideRowsPerThread) +
           " for each thread that takes longer than threads take to meet";
  return "found nothing that takes longer than threads take to come together";
}

/// Refers to the options.
static CompileObserver getObserver(const gru_compile_options &options) {
  CompileObserver observer;
  if (options.on_phase)
    observer.phase = [&](llvm::StringRef phase, double milliseconds) {
      options.on_phase(options.context, phase.str().c_str(), milliseconds);
    };
  if (options.on_remark)
    observer.remark = [&](llvm::StringRef text) {
      options.on_remark(options.context, text.str().c_str());
    };
  return observer;
}

gru_status gru::makeTarget(const gru_model &model,
                           const gru_compile_options &options,
                           CompileTarget &target) {
  if (options.batch < 0)
    return fail(GRU_INVALID_ARGUMENT, "batch: is " +
                                          std::to_string(options.batch) +
                                          ", expected 1 or more");
  if (options.timesteps < 0)
    return fail(GRU_INVALID_ARGUMENT, "timesteps: is " +
                                          std::to_string(options.timesteps) +
                                          ", expected 1 or more");
  if (options.threads < 0)
    return fail(GRU_INVALID_ARGUMENT, "threads: is " +
                                          std::to_string(options.threads) +
                                          ", expected 1 or more");
  llvm::Expected<std::string> backend =
      resolveTarget(text(options.target), /*forThisMachine=*/true);
  if (!backend)
    return fail(GRU_UNSUPPORTED, llvm::toString(backend.takeError()));
  target.backend = *backend;
  target.requireBackend = text(options.require_backend);
  if (std::string asked = text(options.target);
      asked.empty() || asked == "auto")
    target.deviceProblems = getDeviceProblems();
  target.cpu = text(options.mcpu);
  if (llvm::StringRef layer = model.source->getLayerWithoutBatch();
      !layer.empty() && !options.batch)
    return fail(GRU_INVALID_ARGUMENT, "layer '", layer,
                "': is stateful, so it needs to know its batch size: found "
                "none in the model, expected `batch` among the options");
  target.batch =
      options.batch ? options.batch : model.source->getDefaultBatch();
  target.timesteps = options.timesteps;
  target.threads = std::max(options.threads, 1);
  target.weightType = text(options.weight_type);
  if (options.block_width < 0 || options.block_rows < 0)
    return fail(GRU_INVALID_ARGUMENT, "block_width: is ", options.block_width,
                " and block_rows: is ", options.block_rows,
                ", expected 1 or more, or 0 to choose");
  target.width = options.block_width;
  target.rows = options.block_rows;
  target.profile = options.profile != 0;
  if (target.profile && target.threads > 1)
    return fail(GRU_INVALID_ARGUMENT, "profile: found ", target.threads,
                " threads, expected 1, since layers of several overlap");
  target.activities = options.activities != 0;
  target.allowTF32 = options.allow_tf32 != 0;
  target.halideSchedule = text(options.halide_schedule);
  target.f64Outputs = options.f64_outputs && target.backend == "reference";
  target.stopAfter =
      target.backend == "reference" ? text(options.stop_after) : std::string();
  if (options.num_masks && !options.masks)
    return fail(GRU_INVALID_ARGUMENT, "masks: is null");
  target.training = options.training != 0;
  for (size_t i = 0; i < options.num_masks; ++i) {
    const gru_tensor_info &mask = options.masks[i];
    if (!mask.name || mask.rank > GRU_MAX_RANK)
      return fail(GRU_INVALID_ARGUMENT, "masks[" + std::to_string(i) +
                                            "]: has no name, or rank " +
                                            std::to_string(mask.rank));
    target.masks.push_back({mask.name, {mask.dims, mask.dims + mask.rank}});
  }
  chooseSparseKernels(model.source->getWeights(), target,
                      getObserver(options).remark);
  return GRU_OK;
}

gru_status gru_compile(const gru_model *model, const gru_compile_options *given,
                       gru_program **program) {
  if (!program)
    return fail(GRU_INVALID_ARGUMENT, "program: is null");
  *program = nullptr;
  if (!model)
    return fail(GRU_INVALID_ARGUMENT, "model: is null");
  gru_compile_options options{};
  if (given)
    if (gru_status status = runtime::readVersioned(given, "options", options))
      return status;
  CompileTarget target;
  if (gru_status status = makeTarget(*model, options, target))
    return status;
  CompileObserver observer = getObserver(options);
  std::string directory =
      options.cache_dir ? options.cache_dir : DiskCache::getDefaultDirectory();
  keepTuningIn(directory);
  llvm::Expected<std::shared_ptr<const Kernel>> kernel =
      getKernel(*model->source, target, directory, observer);
  if (!kernel)
    return fail(GRU_INVALID_ARGUMENT, llvm::toString(kernel.takeError()));

  std::vector<gru_weight> weights;
  for (const WeightTensor &weight : model->source->getWeights())
    weights.push_back({weight.name.c_str(), uint32_t(weight.dtype),
                       uint32_t(weight.shape.size()), weight.shape.data(),
                       weight.data.data()});
  gru_artifact artifact{};
  artifact.struct_size = sizeof(artifact);
  artifact.kernel = (*kernel)->code->getEntry();
  artifact.plan = (*kernel)->plan.data();
  artifact.allocator = options.allocator;
  artifact.plan_size = (*kernel)->plan.size();
  // The program keeps its kernel loaded.
  using Holder = std::shared_ptr<const Kernel>;
  auto holder = std::make_unique<Holder>(*kernel);
  artifact.release = [](void *context) {
    delete static_cast<Holder *>(context);
  };
  artifact.context = holder.get();
  gru_status status =
      gru_program_open(&artifact, weights.data(), weights.size(), program);
  if (status == GRU_OK && target.threads > 1 &&
      gru_program_threads(*program) == 1 && observer.remark)
    observer.remark("threads: one is used, " + whyOneThread(target.backend));
  if (status == GRU_OK)
    (void)holder.release();
  return status;
}

gru_status gru_session_prepare_training(gru_session *session,
                                        const gru_model *model,
                                        const gru_compile_options *given) {
  if (!session)
    return fail(GRU_INVALID_ARGUMENT, "session: is null");
  if (gru_session_training_program(session))
    return GRU_OK;
  gru_compile_options options{};
  if (given)
    if (gru_status status = runtime::readVersioned(given, "options", options))
      return status;
  options.struct_size = sizeof(options);
  options.training = 1;
  options.masks = nullptr;
  options.num_masks = 0;
  gru_program *program;
  if (gru_status status = gru_compile(model, &options, &program))
    return status;
  gru_status status = gru_session_set_training_program(session, program);
  gru_program_release(program);
  return status;
}
