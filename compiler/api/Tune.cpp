//===- Tune.cpp - blocks that are tried instead of computed ---------------===//

#include "compiler/api/Tune.h"

#include "compiler/api/Target.h"
#include "compiler/jit/DiskCache.h"
#include "compiler/jit/KernelCache.h"

#include "llvm/Support/Format.h"

using namespace gru;
using llvm::Expected;

namespace {
struct Candidate {
  int32_t width = 0, rows = 0;
  double nanoseconds = 0;
};
} // namespace

static Expected<double>
measureOne(const gru_model &model, gru_compile_options options,
           const Candidate &candidate,
           llvm::function_ref<Expected<double>(gru_program *)> measure) {
  options.block_width = candidate.width;
  options.block_rows = candidate.rows;
  // What was kept before must not be found for the cost model's.
  options.cache_dir = "";
  gru_program *program;
  if (gru_compile(&model, &options, &program))
    return llvm::createStringError(gru_last_error());
  Expected<double> nanoseconds = measure(program);
  gru_program_release(program);
  return nanoseconds;
}

llvm::Error
gru::tune(const gru_model &model, gru_compile_options &options,
          llvm::function_ref<Expected<double>(gru_program *)> measure,
          llvm::raw_ostream &log) {
  CompileTarget target;
  if (makeTarget(model, options, target))
    return llvm::createStringError(gru_last_error());
  if (target.backend != "cpu")
    return llvm::createStringError("tune: target is '" + target.backend +
                                   "', expected cpu, whose blocks they are");
  // The cost model's first; it must be beaten by more than noise.
  std::vector<Candidate> candidates{{}};
  for (int32_t width : {8, 16, 32, 48, 64})
    for (int32_t rows : {1, 2, 3, 4, 6, 8})
      if (rows <= std::max<int64_t>(target.batch, 1))
        candidates.push_back({width, rows});
  constexpr double worthwhile = 0.97;
  Candidate best;
  auto show = [&](const Candidate &candidate) {
    log << "tune: " << llvm::format("%12.0f ns, ", candidate.nanoseconds);
    if (candidate.width)
      log << "blocks of " << candidate.width << " units and " << candidate.rows
          << " rows\n";
    else
      log << "the cost model's blocks\n";
  };
  for (Candidate &candidate : candidates) {
    Expected<double> nanoseconds =
        measureOne(model, options, candidate, measure);
    if (!nanoseconds)
      return nanoseconds.takeError();
    candidate.nanoseconds = *nanoseconds;
    show(candidate);
    bool isFirst = best.nanoseconds == 0;
    if (!isFirst && candidate.nanoseconds >= worthwhile * best.nanoseconds)
      continue;
    // Once more, lest one quiet moment decide.
    Expected<double> again = measureOne(model, options, candidate, measure);
    if (!again)
      return again.takeError();
    candidate.nanoseconds = isFirst ? std::min(*again, candidate.nanoseconds)
                                    : std::max(*again, candidate.nanoseconds);
    if (isFirst || candidate.nanoseconds < worthwhile * best.nanoseconds)
      best = candidate;
  }
  log << "tune: chosen\n";
  show(best);
  options.block_width = best.width;
  options.block_rows = best.rows;
  if (!best.width)
    return llvm::Error::success();
  CompileTarget better = target;
  better.width = best.width;
  better.rows = best.rows;
  return keepInPlaceOf(*model.source, target, better,
                       options.cache_dir ? options.cache_dir
                                         : DiskCache::getDefaultDirectory());
}
