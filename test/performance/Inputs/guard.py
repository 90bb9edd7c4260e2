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

# batch, timesteps, features, units, reset_after: LLVM instructions, cycles per FMA.
KERNELS = {
    (1, 0, 80, 256, True): (700, 0.75),
    (1, 0, 80, 256, False): (740, 0.75),
    (1, 1, 1, 40, True): (470, 0.85),
    (32, 0, 128, 256, True): (790, 0.75),
    (32, 0, 8, 4, True): (750, 0.9),
    (4, 0, 64, 100, False): (940, 0.75),
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


def emit(gru_opt, kind, batch, timesteps, features, units, reset_after):
    gates = 3 * units
    text = MODEL.format(
        F=features,
        H=units,
        G=gates,
        B=f"2x{gates}" if reset_after else gates,
        R=", reset_after" if reset_after else "",
    )
    command = [gru_opt, "-", "--target=cpu", f"--mcpu={CPU}", f"--emit={kind}"]
    command += ["--mtriple=x86_64-linux-gnu", f"--batch={batch}"]
    command += [f"--timesteps={timesteps}"] if timesteps else []
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def count_instructions(text):
    """Lines of function bodies that are neither labels, braces nor comments."""
    return sum(bool(re.match(r"  [%a-z]", line)) for line in text.splitlines())


def find_hot_loop(text):
    """The block that jumps to itself and is most of all fused multiply-adds: the
    products, not the activations."""
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
    loops = [block for block in loops if count_fma(block) >= 6]
    return max(loops, key=lambda block: count_fma(block) / len(block))


def count_fma(block):
    return sum("vfmadd" in line for line in block)


def count_cycles(llvm_mca, block):
    iterations = 200
    command = [llvm_mca, f"-mcpu={CPU}", "-mtriple=x86_64-linux-gnu"]
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
    for kernel, (most_instructions, most_cycles) in KERNELS.items():
        instructions = count_instructions(emit(gru_opt, "llvm", *kernel))
        loop = find_hot_loop(emit(gru_opt, "asm", *kernel))
        fma = count_fma(loop)
        cycles = count_cycles(llvm_mca, loop) / max(fma, 1)
        wrong = instructions > most_instructions or cycles > most_cycles or not fma
        failed |= wrong
        print(
            f"{kernel}: {instructions} LLVM instructions (at most "
            f"{most_instructions}), innermost loop {len(loop)} instructions, {fma} "
            f"fused multiply-adds of {cycles:.2f} cycles (at most {most_cycles})"
            f"{': TOO MUCH' if wrong else ''}"
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
