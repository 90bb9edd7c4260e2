#!/usr/bin/env python3
"""Random GRUs and GRUCells of PyTorch against gru-run on every target.

Draws nn.GRU and nn.GRUCell configurations, with a Linear behind some, saves the
state dict in one of its forms, and compares gru-run with PyTorch in float64. A
failure prints one line that reproduces it:

    live_torch.py --gru-run build/bin/gru-run --case 'T=3 N=2 I=5 H=7 ...'

    live_torch.py --gru-run build/bin/gru-run --count 200 --seed 1

Needs torch and safetensors. Where one is missing it says so and exits with 77,
which CTest counts as skipped.
"""

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    from safetensors.torch import save_file
    from torch import nn
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

TARGETS = ("cpu", "reference")
# Rounding of the type, over up to 17 steps and 3 layers.
TOLERANCES = {"float32": (1e-5, 1e-4), "float64": (1e-10, 1e-9),
              "float16": (1e-2, 1e-2), "bfloat16": (8e-2, 8e-2)}


def draw(rng):
    """One configuration as a dictionary of short values."""
    flag = lambda p=0.5: int(rng.random() < p)
    case = {
        "cell": flag(0.15),
        "T": rng.choice([1, 2, 3, 5, 8, 17]),
        "N": rng.choice([1, 2, 3, 4, 7, 9]),
        "I": rng.choice([1, 2, 3, 8, 13]),
        "H": rng.choice([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 65]),
        "layers": rng.choice([1, 1, 2, 3]),
        "bidirectional": flag(),
        "bias": flag(0.75),
        "batch_first": flag(),
        "h0": flag(),
        "lengths": flag(0.3),
        "unbatched": flag(0.1),
        "dtype": rng.choice(["float32"] * 6 + ["float64", "float16", "bfloat16"]),
        "form": rng.choice(["safetensors", "pt", "checkpoint", "json"]),
        "config": flag(0.6),
        "head": flag(0.3),
        "prefix": rng.choice(["", "rnn", "model.encoder.gru"]),
        "seed": rng.randrange(10**6),
    }
    if case["cell"]:
        case.update(layers=1, bidirectional=0, batch_first=0, lengths=0, head=0)
    if case["unbatched"]:
        case.update(lengths=0, batch_first=0)
    # JSON has no types, and without a config nothing says batch_first.
    if case["form"] == "json":
        case.update(dtype="float32", config=0, prefix=case["prefix"] or "rnn")
    if not case["config"]:
        case["batch_first"] = 0
    if case["head"]:
        case["prefix"] = case["prefix"] or "rnn"
    return case


def make_module(case):
    """The recurrent module, the head or None, and the state dict."""
    torch.manual_seed(case["seed"])
    dtype = getattr(torch, case["dtype"])
    if case["cell"]:
        gru = nn.GRUCell(case["I"], case["H"], bias=bool(case["bias"]))
    else:
        gru = nn.GRU(case["I"], case["H"], case["layers"], bias=bool(case["bias"]),
                     batch_first=bool(case["batch_first"]),
                     bidirectional=bool(case["bidirectional"]))
    head = nn.Linear(case["H"] * (1 + case["bidirectional"]), 3) if case["head"] else None
    state = {}
    for name, module in ((case["prefix"], gru), ("fc", head)):
        if module is None:
            continue
        module.to(dtype)
        for key, value in module.state_dict().items():
            state[f"{name}.{key}" if name else key] = value
    return gru, head, state


def save(case, state, folder):
    """Writes the model; returns the arguments of gru-run that name it."""
    form = case["form"]
    path = os.path.join(folder, "weights." + {"checkpoint": "ckpt", "pt": "pt"}.get(form, form))
    if form == "safetensors":
        save_file(state, path)
    elif form == "json":
        with open(path, "w") as file:
            json.dump({key: value.tolist() for key, value in state.items()}, file)
    else:
        torch.save({"state_dict": state, "epoch": 1} if form == "checkpoint" else state, path)
    if not case["config"]:
        return [path]
    gru = {"module": "GRUCell" if case["cell"] else "GRU", "input_size": case["I"],
           "hidden_size": case["H"], "bias": bool(case["bias"])}
    if not case["cell"]:
        gru.update(num_layers=case["layers"], bidirectional=bool(case["bidirectional"]),
                   batch_first=bool(case["batch_first"]), dropout=0.0)
    if case["prefix"]:
        gru["name"] = case["prefix"]
    config = gru
    if case["head"]:
        config = {"module": "Sequential",
                  "layers": [gru, {"module": "Linear", "name": "fc"}]}
    model = os.path.join(folder, "module.json")
    with open(model, "w") as file:
        json.dump(config, file)
    return [model, "--weights", path]


def make_inputs(case):
    rng = np.random.default_rng(case["seed"])
    T, N, I, H = (case[key] for key in "TNIH")
    states = case["layers"] * (1 + case["bidirectional"])
    batch = () if case["unbatched"] else (N,)
    if case["cell"]:
        x, h = batch + (I,), batch + (H,)
    elif case["batch_first"]:
        x, h = batch + (T, I), (states,) + batch + (H,)
    else:
        x, h = (T,) + batch + (I,), (states,) + batch + (H,)
    kind = getattr(torch, case["dtype"])
    rounded = lambda a: torch.tensor(a).to(kind).double()
    inputs = {"x": rounded(rng.standard_normal(x))}
    if case["h0"]:
        inputs["h0"] = rounded(rng.uniform(-1, 1, h))
    if case["lengths"]:
        inputs["lengths"] = torch.tensor(rng.integers(1, T + 1, N))
    return inputs


def expect(case, gru, head, inputs):
    """The outputs by name, in float64."""
    gru.double()
    x, h0, lengths = inputs["x"], inputs.get("h0"), inputs.get("lengths")
    with torch.no_grad():
        if case["cell"]:
            return {"h_1": gru(x, h0)}
        if lengths is not None:
            first = bool(case["batch_first"])
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first,
                                                  enforce_sorted=False)
            output, h = gru(x, h0)
            output, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=first,
                                                         total_length=case["T"])
        else:
            output, h = gru(x, h0)
        if head is not None:
            output = head.double()(output)
    return {"output": output, "h_n": h}


def run(gru_run, case, folder):
    """None where all targets agree with PyTorch, else what went wrong."""
    gru, head, state = make_module(case)
    command = [gru_run] + save(case, state, folder)
    inputs = make_inputs(case)
    outputs = expect(case, gru, head, inputs)
    stored = {"float64": np.float64, "float16": np.float16}.get(case["dtype"], np.float32)
    for kind, tensors in (("input", inputs), ("expected", outputs)):
        for name, value in tensors.items():
            array = value.numpy()
            if kind == "input" and array.dtype == np.float64:
                array = array.astype(stored)
            path = os.path.join(folder, f"{kind}_{name}.npy")
            np.save(path, array)
            command += [f"--{kind}", f"{name}={path}"]
    atol, rtol = TOLERANCES[case["dtype"]]
    command += ["--atol", str(atol), "--rtol", str(rtol)]
    for target in TARGETS:
        done = subprocess.run(command + ["--target", target], capture_output=True,
                              text=True, timeout=300)
        if done.returncode:
            return f"{target}: {done.stdout}{done.stderr}"
        if done.stdout.count("largest error") != len(outputs):
            return f"{target}: compared too little: {done.stdout}"
    return None


def text_of(case):
    return " ".join(f"{key}={value}" for key, value in case.items())


def parse(text):
    case = dict(item.split("=", 1) for item in text.split())
    return {key: int(value) if value.isdigit() else value for key, value in case.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gru-run", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", help="one case, as a failure prints it")
    parser.add_argument("--keep", help="with --case: write the files here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    cases = ([parse(arguments.case)] if arguments.case
             else [draw(rng) for _ in range(arguments.count)])
    failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.keep:
                folder = arguments.keep
                os.makedirs(folder, exist_ok=True)
            problem = run(arguments.gru_run, case, folder)
        if problem:
            failed += 1
            print(f"{sys.argv[0]} --gru-run {shlex.quote(arguments.gru_run)} "
                  f"--case '{text_of(case)}'")
            print("    " + problem.strip().splitlines()[-1], flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
