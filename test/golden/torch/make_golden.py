#!/usr/bin/env python3
"""Makes the cases made_* beside this file with PyTorch itself.

    make_golden.py        (needs torch and safetensors)

They have what the other cases lack: state dicts of torch.save, element types
other than float32, modules behind the GRU, and names that must be inferred. The
expected outputs are those of the same modules in float64.
"""

import json
import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
# As wide as the arithmetic of each type asks for.
TOLERANCES = {
    "float32": (1e-5, 1e-4),
    "float64": (1e-10, 1e-9),
    "float16": (4e-3, 8e-3),
    "bfloat16": (3e-2, 3e-2),
}


class Last(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, pair):
        output, h = pair
        return output[-1] if self.result == "last" else h[-1]


def make(name, modules, call, config=None, dtype="float32", weights="weights.pt",
         h0=None, seed=1, checkpoint=False):
    """`modules` is a dictionary of named modules; `call` maps them, x and h0 to
    the outputs by name."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    folder = os.path.join(HERE, "made_" + name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    net = nn.ModuleDict(modules()) if isinstance(modules(), dict) else modules()
    kind = getattr(torch, dtype)
    net = net.to(kind).eval()
    state = net.state_dict()
    path = os.path.join(folder, weights)
    if weights.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save({"epoch": 3, "state_dict": state, "rate": 0.1}
                   if checkpoint else state, path)
    case = {"name": "made_" + name, "format": "torch", "kind": "inference",
            "compute_dtype": dtype}
    if config is None:
        case["model"] = weights
    else:
        case.update(model="module.json", weights=weights)
        with open(os.path.join(folder, "module.json"), "w") as file:
            json.dump(config, file, indent=1)
            file.write("\n")
    if modules.__name__.startswith("embed"):
        x = rng.integers(0, 5, (6, 2))
    else:
        x = rng.standard_normal((6, 2, 3))
    stored = {"float16": np.float16, "float64": np.float64}.get(dtype, np.float32)
    inputs = {"x": x if x.dtype == np.int64 else
              torch.tensor(x).to(kind).double().numpy().astype(stored)}
    if h0:
        inputs["h0"] = torch.tensor(
            rng.uniform(-1, 1, h0)).to(kind).double().numpy().astype(stored)
    with torch.no_grad():
        net = net.double()
        tensors = {k: torch.tensor(v if v.dtype == np.int64 else
                                   v.astype(np.float64))
                   for k, v in inputs.items()}
        outputs = call(net, **tensors)
    atol, rtol = TOLERANCES[dtype]
    case["tolerance"] = {"against": "f64", "atol": atol, "rtol": rtol}
    record = {"inputs": [], "outputs": [], "training": False,
              "reset_states_before": False}
    for key, value in inputs.items():
        np.save(os.path.join(folder, f"in_{key}.npy"), value)
        record["inputs"].append({"name": key, "file": f"in_{key}.npy"})
    for key, value in outputs.items():
        np.save(os.path.join(folder, f"out_{key}.npy"), value.numpy())
        record["outputs"].append({"name": key, "file_f64": f"out_{key}.npy"})
    case["calls"] = [record]
    with open(os.path.join(folder, "case.json"), "w") as file:
        json.dump(case, file, indent=1)
        file.write("\n")


def two_layers():
    return nn.GRU(3, 5, num_layers=2, bidirectional=True)


def run_gru(net, x, h0=None):
    output, h = net(x, h0)
    return {"output": output, "h_n": h}


GRU = {"module": "GRU", "input_size": 3, "hidden_size": 5, "num_layers": 2,
       "bidirectional": True}


def with_head():
    return {"rnn": nn.GRU(3, 4), "fc": nn.Linear(4, 2)}


def run_head(net, x):
    output, h = net["rnn"](x)
    return {"output": net["fc"](output), "h_n": h}


def with_two_grus():
    return {"gru": nn.GRU(3, 4), "gru2": nn.GRU(4, 6, num_layers=2),
            "dense": nn.Linear(6, 1, bias=False)}


def run_two_grus(net, x):
    y, h = net["gru"](x)
    y, h2 = net["gru2"](y)
    return {"output": net["dense"](y), "h_n_0": h, "h_n_1": h2}


def embedded():
    return {"emb": nn.Embedding(5, 3), "rnn": nn.GRU(3, 4, bidirectional=True),
            "norm": nn.LayerNorm(8), "hidden": nn.Linear(8, 6),
            "fc": nn.Linear(6, 5)}


def run_embedded(net, x):
    output, h = net["rnn"](net["emb"](x))
    y = net["norm"](Last("last")((output, h)))
    y = nn.functional.leaky_relu(net["hidden"](y), 0.1)
    return {"output": torch.softmax(net["fc"](y), -1), "h_n": h}


EMBEDDED = {
    "module": "Sequential",
    "layers": [
        {"module": "Embedding", "name": "emb"},
        {"module": "GRU", "name": "rnn", "result": "last"},
        {"module": "LayerNorm", "name": "norm"},
        {"module": "Linear", "name": "hidden", "out_features": 6},
        {"module": "LeakyReLU", "negative_slope": 0.1},
        {"module": "Dropout", "p": 0.3},
        {"module": "Linear", "name": "fc"},
        {"module": "Softmax", "dim": -1},
    ],
}


def state_and_skip():
    return {"rnn": nn.GRU(3, 4, num_layers=2), "fc": nn.Linear(4, 2)}


def run_state(net, x):
    output, h = net["rnn"](x)
    return {"output": torch.tanh(net["fc"](h[-1])), "h_n": h}


def run_skip(net, x):
    output, h = net["rnn"](x)
    return {"output": net["fc"](output) + x[:, :, :2], "h_n": h}


RNN_FC = [{"module": "GRU", "name": "rnn"}, {"module": "Linear", "name": "fc"}]


def main():
    make("pt", two_layers, run_gru, GRU, h0=(4, 2, 5))
    make("pt_inferred", two_layers, run_gru, None, h0=(4, 2, 5))
    make("pt_checkpoint", with_head, run_head, None, checkpoint=True)
    make("pt_float64", two_layers, run_gru, GRU, dtype="float64")
    make("pt_bfloat16", two_layers, run_gru, None, dtype="bfloat16")
    make("pt_two_grus", with_two_grus, run_two_grus)
    make("st_inferred", with_head, run_head, None, weights="weights.safetensors")
    make("st_float16", two_layers, run_gru, GRU, dtype="float16", h0=(4, 2, 5),
         weights="weights.safetensors")
    make("st_bfloat16", two_layers, run_gru, GRU, dtype="bfloat16",
         weights="weights.safetensors")
    make("st_float64", two_layers, run_gru, None, dtype="float64",
         weights="weights.safetensors")
    make("sequential", embedded, run_embedded, EMBEDDED,
         weights="weights.safetensors")
    make("result_state", state_and_skip, run_state,
         {"module": "Sequential", "layers": [
             {"module": "GRU", "name": "rnn", "result": "state"},
             {"module": "Linear", "name": "fc"}, {"module": "Tanh"}]})
    make("skip", state_and_skip, run_skip,
         {"module": "Sequential", "layers": RNN_FC, "skip": 2})


if __name__ == "__main__":
    main()
