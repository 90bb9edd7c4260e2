#!/usr/bin/env python3
"""Writes kernels for the gpu target and has NVIDIA's assembler accept them.

Every activation of single elements, both forms of the reset gate, masks,
direction, layouts and results, for the oldest device that is supported and a new
one.
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


def layer(name, activation, recurrent, flags, masked, bias, results):
    """A function of one layer."""
    reset_after = "reset_after" in flags
    time_major = "time_major" in flags
    sequence = "tensor<?x2x5xf32>" if time_major else "tensor<2x?x5xf32>"
    x = "tensor<?x2x3xf32>" if time_major else "tensor<2x?x3xf32>"
    mask = "tensor<?x2xi1>" if time_major else "tensor<2x?xi1>"
    bias_type = "tensor<2x15xf32>" if reset_after else "tensor<15xf32>"
    types = {"s": sequence, "l": "tensor<2x5xf32>", "h": "tensor<2x5xf32>"}
    arguments = f'%x: {x} {{gru.name = "x"}}'
    clauses = ""
    if masked:
        arguments += f', %m: {mask} {{gru.name = "mask"}}'
        clauses += f" mask(%m : {mask})"
    arguments += (
        ', %W: tensor<3x15xf32> {gru.weight = "w"}'
        ', %U: tensor<5x15xf32> {gru.weight = "u"}'
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
    : {x}, tensor<3x15xf32>, tensor<5x15xf32> -> {sequence}, {types['l']}, {types['h']}
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


def assemble(ptxas, text):
    """What the assembler says against a kernel, or nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(text)
        file.flush()
        for chip in CHIPS:
            command = [ptxas, f"--gpu-name={chip}", "-o", os.devnull, file.name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                return f"{text}\n{chip}: {done.stdout}{done.stderr}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gru-opt", required=True)
    parser.add_argument("--ptxas", required=True)
    arguments = parser.parse_args()
    layers = [layer(f"main{i}", *case) for i, case in enumerate(cases())]
    done = subprocess.run(
        [arguments.gru_opt, "-", "--target=gpu", "--emit=ptx", "--batch=2"],
        input="".join(layers),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stderr)
        return 1
    # Each begins with its version.
    kernels = re.split(r"(?m)^(?=\.version )", done.stdout)[1:]
    if len(kernels) != len(layers):
        print(f"kernels, found {len(kernels)}, expected {len(layers)}")
        return 1
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda text: assemble(arguments.ptxas, text), kernels))
    problems = [text for text in said if text]
    print("\n".join(problems))
    print(f"{len(kernels)} kernels for {len(CHIPS)} chips, {len(problems)} not accepted")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
