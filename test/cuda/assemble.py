#!/usr/bin/env python3
"""Writes kernels for the gpu target and has NVIDIA's assembler accept them.

Every activation of single elements, both forms of the reset gate, masks,
direction, layouts and results, for the oldest device that is supported and a new
one; and what stands around layers. Of the kernels that keep weights in registers, for
layers of the sizes that they are for, that nothing is spilled.
"""

import argparse
import concurrent.futures
import itertools
import os
import re
import subprocess
import sys
import tempfile

# Those of single elements, with parameters where they matter.
ACTIVATIONS = """linear tanh sigmoid hard_sigmoid relu leaky_relu elu celu selu
softplus softsign squareplus soft_shrink hard_shrink hard_tanh tanh_shrink
sparse_plus sparse_sigmoid silu gelu exponential hard_silu mish log_sigmoid affine
thresholded_relu scaled_tanh""".split()
CHIPS = ("sm_80", "sm_90")


def layer(name, activation, recurrent, flags, masked, bias, results, batch=2, units=5):
    """A function of one layer."""
    reset_after = "reset_after" in flags
    time_major = "time_major" in flags
    steps = f"?x{batch}" if time_major else f"{batch}x?"
    sequence = f"tensor<{steps}x{units}xf32>"
    x = f"tensor<{steps}x3xf32>"
    mask = f"tensor<{steps}xi1>"
    columns = 3 * units
    bias_type = f"tensor<2x{columns}xf32>" if reset_after else f"tensor<{columns}xf32>"
    state = f"tensor<{batch}x{units}xf32>"
    types = {"s": sequence, "l": state, "h": state}
    W, U = f"tensor<3x{columns}xf32>", f"tensor<{units}x{columns}xf32>"
    arguments = f'%x: {x} {{gru.name = "x"}}'
    clauses = ""
    if masked:
        arguments += f', %m: {mask} {{gru.name = "mask"}}'
        clauses += f" mask(%m : {mask})"
    arguments += (
        f', %W: {W} {{gru.weight = "w"}}'
        f', %U: {U} {{gru.weight = "u"}}'
    )
    if bias:
        arguments += f', %b: {bias_type} {{gru.weight = "b"}}'
        clauses += f" bias(%b : {bias_type})"
    attributes = ", ".join(
        [
            f"activation = #gru.act<{activation}>",
            f"recurrent_activation = #gru.act<{recurrent}>",
            *flags,
        ]
    )
    returned = ", ".join("%" + r for r in results)
    returned_types = ", ".join(types[r] for r in results)
    return f"""func.func @{name}({arguments}) -> ({returned_types}) {{
  %s, %l, %h = gru.gru %x kernel(%W, %U){clauses} {{{attributes}}}
    : {x}, {W}, {U} -> {sequence}, {types['l']}, {types['h']}
  return {returned} : {returned_types}
}}
"""


def cases():
    for activation in ACTIVATIONS:
        yield activation, "sigmoid", ["reset_after"], False, True, "s"
    options = ["go_backwards", "time_major", "zero_output_for_mask", "clip = 3.0 : f64"]
    for reset_after, masked in itertools.product((True, False), repeat=2):
        flags = ["reset_after"] if reset_after else []
        for more in ([], options[:1], options[1:2], options):
            yield "relu", "hard_sigmoid", flags + more, masked, masked, "slh"
        yield "tanh", "sigmoid", flags, masked, False, "h"


# Units and rows of layers whose weights stay in registers.
SIZES = [(128, 1), (256, 4), (512, 1), (1024, 1), (1024, 4)]

# What stands around a layer: a product, an activation, a concatenation, a sum over a
# sequence, a reversal.
AROUND = """func.func @main(%x: tensor<2x?x3xf32> {gru.name = "x"},
    %W: tensor<3x15xf32> {gru.weight = "w"}, %U: tensor<5x15xf32> {gru.weight = "u"},
    %D: tensor<5x70xf32> {gru.weight = "d"}, %b: tensor<70xf32> {gru.weight = "db"})
    -> (tensor<2x?x70xf32>, tensor<2x?x10xf32>, tensor<2x5xf32>) {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
    {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
    : tensor<2x?x3xf32>, tensor<3x15xf32>, tensor<5x15xf32> -> tensor<2x?x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>
  %d = gru.dense %s, %D bias(%b : tensor<70xf32>) {activation = #gru.act<gelu>}
    : tensor<2x?x5xf32>, tensor<5x70xf32> -> tensor<2x?x70xf32>
  %r = gru.reverse %s {dim = 1 : i64} : tensor<2x?x5xf32>
  %c = tensor.concat dim(2) %r, %s : (tensor<2x?x5xf32>, tensor<2x?x5xf32>) -> tensor<2x?x10xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x5xf32>) -> tensor<2x5xf32>
  %sum = linalg.reduce ins(%s : tensor<2x?x5xf32>) outs(%f : tensor<2x5xf32>) dimensions = [1]
    (%a: f32, %acc: f32) {
      %n = arith.addf %a, %acc : f32
      linalg.yield %n : f32
    }
  return %d, %c, %sum : tensor<2x?x70xf32>, tensor<2x?x10xf32>, tensor<2x5xf32>
}
"""


def modules(gru_opt, layers, batch):
    """PTX of the modules that some layers need."""
    done = subprocess.run(
        [gru_opt, "-", "--target=gpu", "--emit=ptx", f"--batch={batch}"],
        input="".join(layers),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    # Each begins with its version.
    return re.split(r"(?m)^(?=\.version )", done.stdout)[1:]


def check_barriers(text):
    """What a device could get wrong between the blocks of a launch, or nothing: an
    arrival at a barrier has to release what was stored before, who waits for it has to
    acquire, and no load may go through a cache that is not coherent."""
    lines = [line.strip() for line in text.splitlines()]
    barriers = 0
    for i, line in enumerate(lines):
        if line.startswith("ld.global.nc"):
            return f"may be stale: {line}"
        if not line.startswith(("atom", "red")):
            continue
        barriers += 1
        if not lines[i - 1].startswith("fence.acq_rel.gpu"):
            return f"releases nothing: {line}"
        if not any(later.startswith("ld.acquire.gpu") for later in lines[i : i + 4]):
            return f"acquires nothing: {line}"
    if "gru_layer(" in text and not barriers:
        return "has no barrier"
    return ""


def assemble(ptxas, text, may_spill):
    """What is to be said against a module, or nothing."""
    if problem := check_barriers(text):
        return f"{text}\n{problem}"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(text)
        file.flush()
        for chip in CHIPS:
            command = [ptxas, "-v", f"--gpu-name={chip}", "-o", os.devnull, file.name]
            done = subprocess.run(command, capture_output=True, text=True)
            said = done.stdout + done.stderr
            if done.returncode:
                return f"{text}\n{chip}: {said}"
            spills = re.search(
                r"properties for gru_layer_in_registers\n.*?(\d+) bytes spill stores", said
            )
            if not may_spill and (not spills or spills[1] != "0"):
                return f"{chip}: spills, or has no kernel with registers\n{said}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gru-opt", required=True)
    parser.add_argument("--ptxas", required=True)
    arguments = parser.parse_args()
    layers = [layer(f"main{i}", *case) for i, case in enumerate(cases())]
    kernels = modules(arguments.gru_opt, layers, 2)
    kernels += modules(arguments.gru_opt, [AROUND], 2)
    small = len(kernels)
    for units, batch in SIZES:
        flags = ["reset_after"] if batch == 1 else []
        text = layer("main", "tanh", "sigmoid", flags, False, True, "s", batch, units)
        kernels += modules(arguments.gru_opt, [text], batch)[:1]
    found = sum("gru_layer_in_registers(" in text for text in kernels)
    expected = len(layers) + 1 + len(SIZES)
    if found != expected:
        print(f"layers, found {found}, expected {expected}")
        return 1
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(
            pool.map(
                lambda i: assemble(arguments.ptxas, kernels[i], i < small),
                range(len(kernels)),
            )
        )
    problems = [text for text in said if text]
    print("\n".join(problems))
    print(f"{len(kernels)} kernels for {len(CHIPS)} chips, {len(problems)} not accepted")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
