//===- SharedArtifact.cpp - programs made ahead of time -------------------===//

#include "Error.h"

#if __has_include(<dlfcn.h>)
#include <dlfcn.h>

using gru::runtime::fail;

gru_status gru_program_load(const char *path, const gru_weight *weights,
                            size_t num_weights, gru_program **program) {
  if (!program)
    return fail(GRU_INVALID_ARGUMENT, "gru_program_load: program is null");
  *program = nullptr;
  if (!path)
    return fail(GRU_INVALID_ARGUMENT, "gru_program_load: path is null");
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return fail(GRU_IO, path, ": cannot be loaded: ", dlerror());
  const auto *found =
      static_cast<const gru_artifact *>(dlsym(library, "gru_shared_artifact"));
  if (!found) {
    dlclose(library);
    return fail(GRU_IO, path,
                ": is no compiled model, expected a library made by gru-opt "
                "--emit=shared");
  }
  gru_artifact artifact;
  gru_status status = gru::runtime::readVersioned(
      found, path, artifact, offsetof(gru_artifact, packed_weights));
  if (status == GRU_OK) {
    artifact.struct_size = sizeof(artifact);
    artifact.release = [](void *context) { dlclose(context); };
    artifact.context = library;
    status = gru_program_open(&artifact, weights, num_weights, program);
  }
  if (status != GRU_OK)
    dlclose(library);
  return status;
}

#else

gru_status gru_program_load(const char *, const gru_weight *, size_t,
                            gru_program **program) {
  if (program)
    *program = nullptr;
  return gru::runtime::fail(GRU_UNSUPPORTED,
                            "gru_program_load: this system has no dlopen");
}

#endif
