# Golden cases: trained models with the float64 outputs of real frameworks.
#
# The repository holds a small subset. Where the environment or the build
# (cmake -DGRU_GOLDEN_DIR=...) names a folder with the whole set, its keras and
# keras_h5 cases run instead. supported.txt says which families must pass.

import os
import sys

here = os.path.dirname(__file__)
sys.path.insert(0, here)
sys.dont_write_bytecode = True
import golden_cases
import golden_format

config.name = "golden"
config.test_source_root = here
config.test_exec_root = os.path.join(config.gru_obj_root, "test", "golden")
config.suffixes = []
# Kernels that an earlier run compiled would hide what is wrong now.
config.environment["GRU_CACHE_DIR"] = ""

if config.gru_sanitize == "ON":
    # LLVM's allocators poison memory that inlined code in our objects touches.
    config.environment["ASAN_OPTIONS"] = (
        "allow_user_poisoning=0:allocator_may_return_null=1:detect_leaks=0"
    )

golden_dir = os.environ.get("GRU_GOLDEN_DIR") or config.gru_golden_dir or here
patterns = golden_cases.read_patterns(os.path.join(here, "supported.txt"))
folders = {}
# The real networks are in the repository only.
for root, prefix in ((golden_dir, ""), (os.path.join(here, "models"), "models/")):
    for name in golden_cases.find_cases(root, ["*"] if prefix else patterns):
        folders[prefix + name] = os.path.join(root, name)
# Compiling with Halide takes some hundred milliseconds, so of the subset only
# the cases run there that between them show every feature.
more = {"halide": [], "cudnn": [], "gpu": []}
if config.gru_has_halide == "ON":
    more["halide"] = list(folders)
    if golden_dir == here:
        names = golden_cases.read_patterns(os.path.join(here, "halide.txt"))
        more["halide"] = [name for name in folders if name in names]
        if len(more["halide"]) != len(names):
            lit_config.fatal("halide.txt names a case that is not there")
if config.gru_fake_cuda:
    for target in golden_format.DEVICE_TARGETS:
        more[target] = [
            name
            for name, folder in folders.items()
            if golden_cases.runs_on_devices(folder)
        ]
cases = sum(not name.startswith("models/") for name in folders)
if not cases:
    lit_config.fatal(f"no golden case under '{golden_dir}'")
lit_config.note(
    f"{cases} golden cases from {golden_dir} and {len(folders) - cases} real "
    f"networks, each on {', '.join(golden_format.TARGETS)}; "
    + ", ".join(f"{len(names)} on {target}" for target, names in more.items())
)

# Each run's largest errors, one line per case and target.
os.makedirs(config.test_exec_root, exist_ok=True)
errors = os.path.join(config.test_exec_root, "errors.txt")
open(errors, "w").close()

config.test_format = golden_format.GoldenFormat(
    os.path.join(config.gru_obj_root, "bin", "gru-run"),
    folders,
    errors,
    more,
    golden_cases.read_reasons(os.path.join(here, "halide_refused.txt")),
    config.gru_fake_cuda,
)
