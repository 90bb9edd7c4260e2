#!/usr/bin/env python3
"""Makes RTNeural models with random weights, and what they compute.

Written from RTNeural's definition of its layers, sample by sample in float64, with
nothing but NumPy: a GRU keeps its state and a convolution its last samples, so the
second call of a case goes on where the first one ended.
"""

import json
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 12

sigmoid = lambda x: 1 / (1 + np.exp(-x))
ACTIVATIONS = {
    "": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softmax": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
}


class Layer:
    """A layer with its weights and whatever it remembers."""

    def __init__(self, random, features, kind, units=None, activation="", **options):
        self.kind, self.activation, self.options = kind, activation, options
        self.units = units or features
        draw = lambda *shape: random.uniform(-0.7, 0.7, shape).astype(np.float32)
        if kind in ("dense", "time-distributed-dense"):
            self.weights = [draw(features, self.units), draw(self.units)]
        elif kind == "gru":
            self.weights = [
                draw(features, 3 * units), draw(units, 3 * units), draw(2, 3 * units)
            ]
            self.state = np.zeros(units)
        elif kind == "conv1d":
            size, groups = options["kernel_size"], options.get("groups", 1)
            self.weights = [draw(size, features // groups, units), draw(units)]
            self.past = np.zeros(((size - 1) * options["dilation"] + 1, features))
        elif kind == "prelu":
            self.weights = [draw(features)]
        elif kind == "batchnorm":
            self.weights = [draw(features), draw(features), draw(features), 1 + draw(features)]
        else:
            self.weights = []

    def __call__(self, x):
        w = [weight.astype(np.float64) for weight in self.weights]
        if self.kind in ("dense", "time-distributed-dense"):
            x = x @ w[0] + w[1]
        elif self.kind == "gru":
            n, h = self.units, self.state
            a, b = x @ w[0] + w[2][0], h @ w[1] + w[2][1]
            z, r = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
            x = self.state = z * h + (1 - z) * np.tanh(a[2 * n :] + r * b[2 * n :])
            return x
        elif self.kind == "conv1d":
            self.past = np.concatenate([self.past[1:], x[None]])
            taps = self.past[:: self.options["dilation"]]
            groups = self.options.get("groups", 1)
            inner, outer = len(x) // groups, self.units // groups
            y = w[1].copy()
            for g in range(groups):
                for tap, kernel in zip(taps, w[0]):
                    part = slice(g * outer, (g + 1) * outer)
                    y[part] += tap[g * inner : (g + 1) * inner] @ kernel[:, part]
            x = y
        elif self.kind == "prelu":
            x = np.where(x > 0, x, w[0] * x)
        elif self.kind == "batchnorm":
            x = w[0] * (x - w[2]) / np.sqrt(w[3] + self.options["epsilon"]) + w[1]
        return ACTIVATIONS[self.activation](x)

    def describe(self):
        options = {
            key: [value] if key in ("kernel_size", "dilation") else value
            for key, value in self.options.items()
        }
        return {
            "type": self.kind,
            "activation": self.activation,
            "shape": [None, None, self.units],
            "weights": [weight.tolist() for weight in self.weights],
            **options,
        }


def make(name, seed, features, *layers):
    random = np.random.default_rng(seed)
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    net, width = [], features
    for kind, units, activation, options in layers:
        net.append(Layer(random, width, kind, units, activation, **options))
        width = net[-1].units
    data, calls = {}, []
    for call in range(2):
        x = random.normal(size=(1, STEPS, features)).astype(np.float32)
        y = []
        for sample in x[0].astype(np.float64):
            for layer in net:
                sample = layer(sample)
            y.append(sample)
        data[f"x{call}"], data[f"output{call}"] = x, np.array(y)[None]
        calls.append(
            {
                "inputs": [{"name": "x", "role": "input", "file": f"data.npz:x{call}"}],
                "outputs": [{"name": "output", "file_f64": f"data.npz:output{call}"}],
                "training": False,
                "reset_states_before": False,
            }
        )
    np.savez_compressed(os.path.join(folder, "data.npz"), **data)
    model = {
        "in_shape": [None, None, features],
        "layers": [layer.describe() for layer in net],
    }
    case = {
        "name": name,
        "format": "rtneural",
        "kind": "inference",
        "compute_dtype": "float32",
        "model": "model.json",
        "tolerance": {"against": "f64", "atol": 1e-5, "rtol": 1e-4},
        "calls": calls,
    }
    for file, content in (("model.json", model), ("case.json", case)):
        with open(os.path.join(folder, file), "w") as out:
            json.dump(content, out, indent=None if file == "model.json" else 1)
            out.write("\n")


make("gru_dense", 1, 1, ("gru", 9, "", {}), ("dense", 5, "tanh", {}), ("dense", 1, "", {}))
make(
    "stacked", 2, 3,
    ("time-distributed-dense", 6, "sigmoid", {}),
    ("gru", 17, "tanh", {}),
    ("gru", 4, "", {}),
    ("activation", None, "softmax", {}),
)
make(
    "convolutions", 3, 2,
    ("conv1d", 6, "relu", {"kernel_size": 3, "dilation": 2}),
    ("conv1d", 4, "", {"kernel_size": 2, "dilation": 1, "groups": 2}),
    ("prelu", None, "", {}),
    ("gru", 8, "", {}),
    ("dense", 2, "", {}),
)
make(
    "normalised", 4, 4,
    ("dense", 7, "elu", {}),
    ("batchnorm", None, "relu", {"epsilon": 1e-3}),
    ("gru", 5, "", {}),
    ("batchnorm", None, "", {"epsilon": 1e-2}),
)
