"""Fails where a kernel has become larger or its innermost loop slower.

    guard.py GRU_OPT LLVM_MCA

Nothing is timed: LLVM instructions decide how long a compilation takes, and
llvm-mca says how many cycles a pass of the innermost loop takes on one CPU, so the
figures are the same on every machine. The bounds are what was found when they were
written, with room for half more; a kernel that needs more has to say why.
"""

import pathlib
import re
import subprocess
import sys

CPU = "skylake-avx512"  # two FMA units: half a cycle for each at best

BYTES_CPU = "cascadelake"  # two units that multiply bytes, too

# batch, timesteps, features, units, reset_after: LLVM instructions, cycles per FMA.
KERNELS = {
    (1, 0, 80, 256, True): (640, 0.75),
    (1, 0, 80, 256, False): (680, 0.75),
    (1, 1, 1, 40, True): (470, 0.85),
    (32, 0, 128, 256, True): (790, 0.75),
    (32, 0, 8, 4, True): (750, 0.9),
    (4, 0, 64, 100, False): (940, 0.75),
}

# The same of products of bytes: cycles per vpdpbusd.
BYTES_KERNELS = {
    (1, 0, 80, 256, True): (1180, 0.75),
    (32, 0, 128, 256, True): (1430, 0.75),
    (4, 0, 64, 100, False): (1500, 0.75),
}

# Networks that repeat themselves: what is equal is there once.
MODELS = {
    "gtcrn/model.onnx": 15000,
    "rnnoise/bd/model.hdf5": 4200,
}

MODEL = """
func.func @main(%x: tensor<?x?x{F}xf32> {{gru.name = "x"}},
    %W: tensor<{F}x{G}xf32> {{gru.weight = "kernel"}},
    %U: tensor<{H}x{G}xf32> {{gru.weight = "recurrent_kernel"}},
    %b: tensor<{B}xf32> {{gru.weight = "bias"}}) -> (tensor<?x?x{H}xf32> {{gru.name = "y"}}) {{
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<{B}xf32>)
      {{activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>{R}}}
      : tensor<?x?x{F}xf32>, tensor<{F}x{G}xf32>, tensor<{H}x{G}xf32>
      -> tensor<?x?x{H}xf32>, tensor<?x{H}xf32>, tensor<?x{H}xf32>
  return %seq : tensor<?x?x{H}xf32>
}}
"""


def emit(gru_opt, kind, cpu, options, batch, timesteps, features, units, reset_after):
    gates = 3 * units
    text = MODEL.format(
        F=features,
        H=units,
        G=gates,
        B=f"2x{gates}" if reset_after else gates,
        R=", reset_after" if reset_after else "",
    )
    command = [gru_opt, "-", "--target=cpu", f"--mcpu={cpu}", f"--emit={kind}"]
    command += ["--mtriple=x86_64-linux-gnu", f"--batch={batch}"]
    command += [f"--timesteps={timesteps}"] if timesteps else []
    command += options
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def count_instructions(text):
    """Lines of function bodies that are neither labels, braces nor comments."""
    return sum(bool(re.match(r"  [%a-z]", line)) for line in text.splitlines())


def find_hot_loop(text, product):
    """The block that jumps to itself and is most of all products."""
    blocks, name = {}, None
    for line in text.splitlines():
        label = re.match(r"(\.L\w+):", line)
        if label:
            name = label.group(1)
            blocks[name] = []
        elif name and line.startswith("\t") and not line.startswith("\t."):
            blocks[name].append(line)
    loops = [
        block
        for name, block in blocks.items()
        if any(line.split()[0][0] == "j" and name in line.split() for line in block)
    ]
    loops = [block for block in loops if count(block, product) >= 6]
    return max(loops, key=lambda block: count(block, product) / len(block))


def count(block, instruction):
    return sum(instruction in line for line in block)


def count_cycles(llvm_mca, cpu, block):
    iterations = 200
    command = [llvm_mca, f"-mcpu={cpu}", "-mtriple=x86_64-linux-gnu"]
    done = subprocess.run(
        command + [f"-iterations={iterations}"],
        input="\n".join(block) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Total Cycles: +(\d+)", done.stdout).group(1)) / iterations


def emit_model(gru_opt, model):
    folder = pathlib.Path(__file__).parents[2] / "golden" / "models"
    command = [gru_opt, folder / model, "--target=cpu", f"--mcpu={CPU}"]
    command += ["--mtriple=x86_64-linux-gnu", "--emit=llvm", "--batch=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main():
    gru_opt, llvm_mca = sys.argv[1:]
    failed = False
    for model, most in MODELS.items():
        instructions = count_instructions(emit_model(gru_opt, model))
        failed |= instructions > most
        print(
            f"{model}: {instructions} LLVM instructions (at most {most})"
            f"{': TOO MUCH' if instructions > most else ''}"
        )
    for kernels, cpu, options, product in (
        (KERNELS, CPU, [], "vfmadd"),
        (BYTES_KERNELS, BYTES_CPU, ["--weight-type=int8"], "vpdpbusd"),
    ):
        for kernel, (most_instructions, most_cycles) in kernels.items():
            text = emit(gru_opt, "llvm", cpu, options, *kernel)
            instructions = count_instructions(text)
            loop = find_hot_loop(emit(gru_opt, "asm", cpu, options, *kernel), product)
            products = count(loop, product)
            cycles = count_cycles(llvm_mca, cpu, loop) / max(products, 1)
            wrong = (
                instructions > most_instructions
                or cycles > most_cycles
                or not products
            )
            failed |= wrong
            print(
                f"{kernel}: {instructions} LLVM instructions (at most "
                f"{most_instructions}), innermost loop {len(loop)} instructions, "
                f"{products} {product} of {cycles:.2f} cycles (at most {most_cycles})"
                f"{': TOO MUCH' if wrong else ''}"
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
