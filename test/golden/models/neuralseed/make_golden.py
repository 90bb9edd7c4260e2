#!/usr/bin/env python3
"""Makes inputs and float64 outputs for the amplifier models beside this file.

    make_golden.py        (needs numpy)

The GRU is written out from PyTorch's formulas, gates r, z, n in rows; a model
adds its input to its output where it has a skip connection. Two calls follow each
other: the second one starts from the state of the first.
"""

import json
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SPLIT = 40


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run(model, x):
    """x [T, B, 1] -> [T, B, 1] in float64, from a zero state."""
    weights = {
        # The files hold float32 numbers with more digits than those have.
        name: np.array(value, np.float32).astype(np.float64)
        for name, value in model["state_dict"].items()
    }
    units = model["model_data"]["hidden_size"]
    h = np.zeros((x.shape[1], units))
    out = []
    for step in x.astype(np.float64):
        gi = step @ weights["rec.weight_ih_l0"].T + weights["rec.bias_ih_l0"]
        gh = h @ weights["rec.weight_hh_l0"].T + weights["rec.bias_hh_l0"]
        r = sigmoid(gi[:, :units] + gh[:, :units])
        z = sigmoid(gi[:, units : 2 * units] + gh[:, units : 2 * units])
        n = np.tanh(gi[:, 2 * units :] + r * gh[:, 2 * units :])
        h = (1 - z) * n + z * h
        y = h @ weights["lin.weight"].T + weights["lin.bias"]
        out.append(y + step if model["model_data"]["skip"] else y)
    return np.stack(out)


def main():
    # Two strings of a guitar, roughly, with a decay.
    time = np.arange(64) / 44100 * 40
    x = np.stack(
        [
            np.sin(2 * np.pi * 110 * time) * np.exp(-20 * time),
            0.5 * np.sin(2 * np.pi * 196 * time + 1),
        ],
        axis=1,
    )[:, :, None].astype(np.float32)
    for name in sorted(os.listdir(HERE)):
        path = os.path.join(HERE, name, "model.json")
        if not os.path.exists(path):
            continue
        with open(path) as file:
            y = run(json.load(file), x)
        parts = {"0": slice(None, SPLIT), "1": slice(SPLIT, None)}
        np.savez(
            os.path.join(HERE, name, "data.npz"),
            **{"x" + key: x[part] for key, part in parts.items()},
            **{"output" + key: y[part] for key, part in parts.items()},
        )
        case = {
            "name": name,
            "format": "torch",
            "kind": "inference",
            "compute_dtype": "float32",
            "model": "model.json",
            "tolerance": {"against": "f64", "atol": 1e-05, "rtol": 1e-04},
            "calls": [
                {
                    "inputs": [
                        {"name": "x", "role": "input", "file": "data.npz:x" + key}
                    ],
                    "outputs": [
                        {"name": "output", "file_f64": "data.npz:output" + key}
                    ],
                    "training": False,
                    "reset_states_before": False,
                }
                for key in parts
            ],
        }
        with open(os.path.join(HERE, name, "case.json"), "w") as file:
            json.dump(case, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
