# FileCheck tests of the dialect, the passes and the tools.
#
# gru-opt verifies after each pass and, where it behaves as mlir-opt, checks that
# what it parsed survives a round trip: the packaged LLVM has no assertions.

import os
import platform

import lit.formats
import lit.util

config.name = "gru"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.gru_obj_root, "test")
config.excludes = ["golden", "unit", "Inputs"]

config.environment["PATH"] = os.pathsep.join(
    [config.llvm_tools_dir, config.environment.get("PATH", "")]
)
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --allow-unused-prefixes=false"

# Kernels that an earlier run compiled would hide what is wrong now.
config.environment["GRU_CACHE_DIR"] = ""

if config.gru_has_halide == "ON":
    config.available_features.add("halide")

if config.gru_sanitize == "ON":
    # LLVM's allocators poison memory that inlined code in our objects touches.
    config.environment["ASAN_OPTIONS"] = (
        "allow_user_poisoning=0:allocator_may_return_null=1:detect_leaks=0"
    )

tools = os.path.join(config.gru_obj_root, "bin")
gru_opt = os.path.join(tools, "gru-opt")
config.substitutions += [
    # Longest first: lit replaces in order.
    ("%gru-opt-no-roundtrip", gru_opt),
    ("%gru-opt", f"{gru_opt} --verify-roundtrip"),
    ("%gru-run", os.path.join(tools, "gru-run")),
    ("%gru-bench", os.path.join(tools, "gru-bench")),
    ("%gru-cache", os.path.join(tools, "gru-cache")),
    ("%gru-lsp-server", os.path.join(tools, "gru-lsp-server")),
    ("%gru-plugin", os.path.join(config.gru_obj_root, "lib", "gru-plugin.so")),
    ("%golden", os.path.join(config.gru_src_root, "test", "golden")),
    ("%python", "python3"),
    ("%halide_include", config.gru_halide_include),
    ("%ptxas", config.gru_ptxas),
    ("%fake-cuda", config.gru_fake_cuda),
]

# Objects made ahead of time are linked and, where that is possible, run.
clang = lit.util.which("clang-22") or lit.util.which("clang")
if clang and lit.util.which("ld.lld", config.llvm_tools_dir):
    config.available_features.add("clang")
    config.substitutions.append(("%clang", clang))
if platform.machine() == "x86_64":
    config.available_features.add("x86")
    with open("/proc/cpuinfo") as cpuinfo:
        if " avx2 " in cpuinfo.read():
            config.available_features.add("avx2")
if lit.util.which("qemu-aarch64"):
    config.available_features.add("qemu")
# A build without the headers of CUDA has no double of it either; setup.sh brings
# both, so that CI has them.
if config.gru_fake_cuda:
    config.available_features.add("fake-cuda")
if os.path.exists(config.gru_ptxas):
    config.available_features.add("ptxas")
