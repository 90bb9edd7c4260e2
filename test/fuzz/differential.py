#!/usr/bin/env python3
"""Random layers on the cpu target, or others, against the float64 reference.

Draws configurations over the whole option space of gru.gru, writes each as MLIR
and runs `gru-run FILE --verify`. A failure prints one line that reproduces it:

    differential.py --gru-run build/bin/gru-run --case 'T=3 B=2 F=5 H=7 ...'

    differential.py --gru-run build/bin/gru-run --count 200 --seed 1

With --gru-opt the target halide runs under schedules drawn at random.
"""

import argparse
import concurrent.futures
import os
import random
import shlex
import subprocess
import sys
import tempfile

POINTWISE = """linear tanh sigmoid hard_sigmoid relu leaky_relu elu celu selu
softplus softsign squareplus soft_shrink hard_shrink hard_tanh tanh_shrink
sparse_plus sparse_sigmoid silu gelu hard_silu mish log_sigmoid affine
thresholded_relu scaled_tanh""".split()
ROWWISE = ["softmax", "log_softmax", "sparsemax"]
# Jumps, where rounding alone decides what comes out, make a comparison
# meaningless.
DISCONTINUOUS = {"hard_shrink", "thresholded_relu"}
# Recurrences over these grow without bound.
BOUNDED_GATES = ["sigmoid", "hard_sigmoid", "tanh", "softmax", "sparse_sigmoid",
                 "hard_tanh", "softsign", "scaled_tanh"]


# Such a machine can run code for narrower registers too, and fewer of them.
CPUINFO = "/proc/cpuinfo"
HAS_AVX512 = os.path.exists(CPUINFO) and "avx512f" in open(CPUINFO).read()


def draw(rng):
    """One configuration as a dictionary of short values."""
    flag = lambda p=0.5: int(rng.random() < p)
    case = {
        "T": rng.choice([1, 2, 3, 5, 8, 17]),
        "B": rng.choice([1, 1, 2, 3, 4, 7, 8, 9, 17]),
        "F": rng.choice([1, 2, 3, 8, 13]),
        "H": rng.choice([1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 33, 48, 65, 176]),
        "act": rng.choice(["tanh", rng.choice(POINTWISE), rng.choice(ROWWISE)]),
        "ract": rng.choice(["sigmoid", rng.choice(BOUNDED_GATES)]),
        "reset_after": flag(),
        "bias": flag(0.7),
        "h0": flag(),
        "go_backwards": flag(),
        "reverse": flag(0.3),
        "time_major": flag(0.25),
        "unroll": flag(0.2),
        "clip": flag(0.15),
        "dropout": flag(0.2),
        "recurrent_dropout": flag(0.25),
        "cell": flag(0.08),
        "implementation": rng.choice([1, 2]),
        "flags": rng.choice(["none", "none", "mask", "zero", "lengths"]),
        "reset": flag(0.2),
        # The same layer the other way round beside it, as in a Bidirectional.
        "twin": flag(0.2),
        # A recurrent kernel with zeros that are left out.
        "sparse": flag(0.15),
        "mcpu": rng.choice(["native", "native", "haswell"]),
    }
    if not HAS_AVX512:
        case["mcpu"] = "native"
    # Threads share only what takes a while.
    case["threads"] = rng.choice([1, 1, 1, 1, 2, 3])
    if case["sparse"]:
        case["H"] = rng.choice([64, 65, 97, 128])
    elif case["threads"] > 1 and not case["twin"]:
        case["H"] = rng.choice([97, 128, 161])
    # Grows with the units as well (see below).
    if case["H"] > 65 and case["act"] == "log_softmax":
        case["act"] = "softmax"
    if case["flags"] == "lengths" and case["time_major"]:
        case["flags"] = "mask"
    if case["act"] in DISCONTINUOUS:
        case["act"] = "tanh"
    # Its outputs are large and feed back: with gates that leave [0, 1] the
    # state grows with every step, and rounding with it.
    if case["act"] == "log_softmax":
        case["ract"] = "sigmoid"
    return case


def write_cell(case):
    """The MLIR of one step by gru.cell."""
    B, F, H = (case[k] for k in "BFH")
    x, h = f"tensor<{B}x{F}xf32>", f"tensor<{B}x{H}xf32>"
    kernel, recurrent = f"tensor<{F}x{3*H}xf32>", f"tensor<{H}x{3*H}xf32>"
    arguments = [f'%x: {x} {{gru.name = "x"}}', f'%h: {h} {{gru.name = "state"}}']
    clauses = []

    def operand(name, type, attribute):
        arguments.append(f"%{name}: {type} {{{attribute}}}")
        clauses.append(f"{name}(%{name} : {type})")

    for name, size, gates in (
            ("dropout_mask", F, 3 if case["implementation"] == 1 else 1),
            ("recurrent_dropout_mask", H, 3)):
        if case[name.removesuffix("_mask")]:
            operand(name, f"tensor<{gates}x{B}x{size}xf32>",
                    f'gru.name = "{name}", gru.batch_dim = 1 : i64')
    arguments += [f'%W: {kernel} {{gru.weight = "kernel"}}',
                  f'%U: {recurrent} {{gru.weight = "recurrent_kernel"}}']
    if case["bias"]:
        operand("bias", f"tensor<{'2x' if case['reset_after'] else ''}{3*H}xf32>",
                'gru.weight = "bias"')
    attributes = [f"activation = #gru.act<{case['act']}>",
                  f"recurrent_activation = #gru.act<{case['ract']}>",
                  f"implementation = {case['implementation']} : i64"]
    if case["reset_after"]:
        attributes.append("reset_after")
    return (
        f"func.func @main({', '.join(arguments)})\n"
        f'    -> ({h} {{gru.name = "new_state"}}) {{\n'
        f"  %y = gru.cell %x, %h kernel(%W, %U) {' '.join(clauses)}\n"
        f"    {{{', '.join(attributes)}}}\n"
        f"    : {x}, {h}, {kernel}, {recurrent} -> {h}\n"
        f"  return %y : {h}\n}}\n")


def write(case):
    """The MLIR of a case."""
    if case.get("cell"):
        return write_cell(case)
    B, T, F, H = (case[k] for k in "BTFH")
    major = case["time_major"]
    sizes = lambda *dims: "x".join(str(d) for d in dims)
    outer = (T, B) if major else (B, T)
    x = f"tensor<{sizes(*outer, F)}xf32>"
    seq = f"tensor<{sizes(*outer, H)}xf32>"
    row = f"tensor<{sizes(B, H)}xf32>"
    kernel, recurrent = f"tensor<{F}x{3*H}xf32>", f"tensor<{H}x{3*H}xf32>"
    arguments = [f'%x: {x} {{gru.name = "x", gru.batch_dim = {int(major)} : i64}}']
    clauses = []

    def operand(name, type, batch_dim):
        arguments.append(
            f'%{name}: {type} {{gru.name = "{name}", gru.batch_dim = {batch_dim} : i64}}')
        clauses.append(f"{name}(%{name} : {type})")

    if case["h0"]:
        operand("initial_state", row, 0)
    if case["flags"] in ("mask", "zero"):
        operand("mask", f"tensor<{sizes(*outer)}xi1>", int(major))
    constants = ""
    if case["flags"] == "lengths":
        # Random inputs know nothing of lengths, so these are constants.
        rng = random.Random(text_of(case))
        lengths = ", ".join(str(rng.randint(0, T)) for _ in range(B))
        constants = f"  %lengths = arith.constant dense<[{lengths}]> : tensor<{B}xi32>\n"
        clauses.append(f"lengths(%lengths : tensor<{B}xi32>)")
    if case["reset"]:
        operand("reset", f"tensor<{sizes(*outer)}xi1>", int(major))
    if case["dropout"]:
        gates = 3 if case["implementation"] == 1 else 1
        operand("dropout_mask", f"tensor<{sizes(gates, B, F)}xf32>", 1)
    if case["recurrent_dropout"]:
        operand("recurrent_dropout_mask", f"tensor<{sizes(3, B, H)}xf32>", 1)
    arguments += [f'%W: {kernel} {{gru.weight = "kernel"}}',
                  f'%U: {recurrent} {{gru.weight = "recurrent_kernel"'
                  f'{", gru.sparse" if case.get("sparse") else ""}}}']
    if case["bias"]:
        bias = f"tensor<2x{3*H}xf32>" if case["reset_after"] else f"tensor<{3*H}xf32>"
        arguments.append(f'%b: {bias} {{gru.weight = "bias"}}')
        clauses.append(f"bias(%b : {bias})")
    attributes = [f"activation = #gru.act<{case['act']}>",
                  f"recurrent_activation = #gru.act<{case['ract']}>",
                  f"implementation = {case['implementation']} : i64"]
    attributes += [name for name in ("reset_after", "go_backwards", "time_major", "unroll")
                   if case[name]]
    if case["flags"] == "zero":
        attributes.append("zero_output_for_mask")
    if case["clip"]:
        attributes.append("clip = 0.75")
    def layer(prefix, attributes):
        return (f"  %{prefix}seq, %{prefix}last, %{prefix}state = gru.gru %x kernel(%W, %U)"
                f" {' '.join(clauses)}\n"
                f"    {{{', '.join(attributes)}}}\n"
                f"    : {x}, {kernel}, {recurrent} -> {seq}, {row}, {row}\n")

    body = layer("", attributes)
    results = {"%seq": seq, "%last": row, "%state": row}
    if case["reverse"]:
        body += f"  %rev = gru.reverse %seq {{dim = {0 if major else 1} : i64}} : {seq}\n"
        results = {"%rev": seq, "%last": row, "%state": row}
    if case.get("twin"):
        body += layer("twin_", sorted(set(attributes) ^ {"go_backwards"}))
        both = f"tensor<{sizes(*outer, 2 * H)}xf32>"
        first = next(iter(results))
        body += (f"  %both = tensor.concat dim(2) {first}, %twin_seq"
                 f" : ({seq}, {seq}) -> {both}\n")
        results = {"%both": both, "%last": row, "%state": row,
                   "%twin_last": row, "%twin_state": row}
    names = ", ".join(f'{type} {{gru.name = "{value[1:]}"}}'
                      for value, type in results.items())
    return (
        f"func.func @main({', '.join(arguments)})\n    -> ({names}) {{\n"
        f"{constants}{body}"
        f"  return {', '.join(results)} : {', '.join(results.values())}\n}}\n")


def run(programs, case, targets, keep=None):
    """None where all targets agree with the reference, else what went wrong."""
    for target in targets:
        if problem := run_target(programs, case, target, keep):
            return f"{target}: {problem}"
    return None


def draw_schedule(rng, chosen):
    """The lines of a Halide schedule with other numbers."""
    divisors = lambda n: [d for d in range(1, n + 1) if n % d == 0]
    lines = []
    for line in chosen.splitlines():
        name, *items = line.split()
        values = dict(item.split("=") for item in items)
        # A step of one block may update its state in place, all units at once.
        if "_step_all_" not in name:
            units = int(values["units"])
            values["units"] = rng.choice([d for d in divisors(units) if d >= 4] or [units])
        values["rows"] = rng.randint(1, int(values["rows"]))
        # Much more in a register block would compile for minutes.
        units = int(values["units"])
        values["lanes"] = rng.choice(
            [d for d in divisors(units) if d <= 16 and units // d * values["rows"] <= 8]
            or [values["lanes"]])
        values["tile"] = rng.choice(divisors(values["rows"]))
        values["unroll"] = rng.choice([1, 1, 2, 3])
        values["outer"] = rng.choice(["units", "rows"])
        lines.append(" ".join([name] + [f"{key}={value}" for key, value in values.items()]))
    return "\n".join(lines) + "\n"


def run_target(programs, case, target, keep):
    gru_run, gru_opt = programs
    with tempfile.TemporaryDirectory() as folder:
        path = keep or os.path.join(folder, "case.mlir")
        with open(path, "w") as file:
            file.write(write(case))
        # float32 over up to 17 steps; gates in float32 have 1e-7 each.
        command = [gru_run, path, "--target", target, "--verify",
                   "--batch", str(case["B"]),
                   "--threads", str(case.get("threads", 1)),
                   "--mcpu", case.get("mcpu", "native"),
                   "--atol", "1e-5", "--rtol", "1e-4"]
        if target == "halide" and gru_opt:
            chosen = subprocess.run(
                [gru_opt, path, "--target=halide", "--emit=halide-schedule",
                 f"--threads={case.get('threads', 1)}"],
                capture_output=True, text=True, timeout=120)
            if chosen.returncode != 0:
                return chosen.stdout + chosen.stderr
            schedule = path + ".schedule"
            with open(schedule, "w") as file:
                file.write(draw_schedule(random.Random(text_of(case)), chosen.stdout))
            command += ["--halide-schedule", schedule]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return None if done.returncode == 0 else done.stdout + done.stderr


def text_of(case):
    return " ".join(f"{key}={value}" for key, value in case.items())


def parse(text):
    case = dict(item.split("=", 1) for item in text.split())
    return {key: int(value) if value.lstrip("-").isdigit() else value
            for key, value in case.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gru-run", required=True)
    parser.add_argument("--gru-opt", help="with target halide: change its schedules")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--target", default="cpu",
                        help="what is compared, several with commas (cpu)")
    parser.add_argument("--case", help="one case, as a failure prints it")
    parser.add_argument("--keep", help="with --case: write the MLIR here")
    arguments = parser.parse_args()
    targets = arguments.target.split(",")
    programs = arguments.gru_run, arguments.gru_opt
    if arguments.case:
        problem = run(programs, parse(arguments.case), targets,
                      arguments.keep)
        print(problem or "agrees")
        return 1 if problem else 0
    rng = random.Random(arguments.seed)
    cases = [draw(rng) for _ in range(arguments.count)]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        problems = list(pool.map(
            lambda case: run(programs, case, targets), cases))
    failed = 0
    for case, problem in zip(cases, problems):
        if problem:
            failed += 1
            print(f"{sys.argv[0]} --gru-run {shlex.quote(arguments.gru_run)} "
                  f"--target {arguments.target} "
                  + (f"--gru-opt {arguments.gru_opt} " if arguments.gru_opt else "")
                  + f"--case '{text_of(case)}'")
            print("    " + problem.strip().splitlines()[-1])
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
