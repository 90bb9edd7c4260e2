"""Golden cases of initialisers: statistics of weights instead of outputs.

Keras's own random numbers are not ours, so two things are checked: that the
weights in the case's model have the statistics that the case tells, and that
weights which gru-run draws for the bare config have them too, within what
chance allows.
"""

import ast
import json
import math
import os
import struct
import subprocess
import tempfile

# How many deviations of a statistic are chance. There are some hundred of them.
CHANCE = 5


def read_npy(path):
    """Shape and numbers of a float32 or float64 file."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10 : 10 + length].decode())
    code = {"<f4": "f", "<f8": "d"}[header["descr"]]
    body = data[10 + length :]
    count = len(body) // struct.calcsize(code)
    return list(header["shape"]), struct.unpack(f"<{count}{code}", body)


def describe(values):
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    return mean, std, min(values), max(values)


def orthogonality(shape, values, gain2):
    """The largest element of |W W^T - gain2 I|."""
    rows = [values[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
    return max(
        abs(math.fsum(a * b for a, b in zip(rows[i], rows[j])) - (gain2 if i == j else 0))
        for i in range(len(rows))
        for j in range(i + 1)
    )


def bare_model(name, config, features):
    """The config of a model of one GRU, without weights."""
    layers = [
        {
            "class_name": "InputLayer",
            "config": {"name": "x", "batch_shape": [None, None, features]},
        },
        {
            "class_name": "GRU",
            "config": {k: v for k, v in config.items() if k != "class_name"}
            | {"name": name},
        },
    ]
    return {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}


def compare(where, shape, values, told, drawn):
    """Texts for everything that differs from what the case tells."""
    if shape != told["shape"]:
        return [f"{where}: shape, found {shape}, expected {told['shape']}"]
    problems = []
    mean, std, least, greatest = describe(values)
    exact = 1e-6
    # The deviation of a mean and of a deviation, of the difference of two.
    chance = CHANCE * math.sqrt(2) * told["std"] / math.sqrt(len(values))
    slack = max(exact, chance) if drawn else exact
    for what, found, expected in (
        ("mean", mean, told["mean"]),
        ("std", std, told["std"]),
    ):
        if not abs(found - expected) <= slack:
            problems.append(f"{where}: {what}, found {found}, expected {expected}")
    if not drawn:
        for what, found in (("min", least), ("max", greatest)):
            if not abs(found - told[what]) <= exact:
                problems.append(f"{where}: {what}, found {found}, expected {told[what]}")
    diagonal = told.get("W_Wt_diagonal")
    if diagonal and told["max_abs_of_W_Wt_minus_gain2_identity"] < 1e-5:
        error = orthogonality(shape, values, diagonal)
        if not error < 1e-5:
            problems.append(f"{where}: W W^T is off by {error}")
    return problems


def compare_with_law(where, values, law):
    """Texts for draws that the distribution cannot give."""
    problems = []
    _, std, least, greatest = describe(values)
    if "value" in law and (least, greatest) != (law["value"],) * 2:
        problems.append(f"{where}: found {least} to {greatest}, expected {law['value']}")
    limit = law.get("limit")
    bounds = (-limit, limit) if limit else (law.get("min"), law.get("max"))
    if bounds[0] is not None:
        # All of the range is used, and nothing but the range.
        rim = 20 * (bounds[1] - bounds[0]) / len(values)
        if not (
            bounds[0] <= least <= bounds[0] + rim
            and bounds[1] - rim <= greatest <= bounds[1] + 1e-7
        ):
            problems.append(f"{where}: found {least} to {greatest}, expected {bounds}")
    expected = law.get("std")
    if expected and not abs(std - expected) <= CHANCE * expected / math.sqrt(len(values)):
        problems.append(f"{where}: std, found {std}, expected {expected}")
    if expected and law["distribution"] == "truncated_normal":
        cut = 2 * expected / 0.8796
        if not max(-least, greatest) <= cut * 1.001:
            problems.append(f"{where}: found {least} to {greatest}, expected |w| <= {cut}")
    return problems


def dump(gru_run, model, target, folder):
    subprocess.run(
        [gru_run, model, "--target", target, "--dump-weights", folder],
        check=True,
        capture_output=True,
        text=True,
    )


def check(gru_run, folder, case, target):
    """What is wrong with a case, as text; empty if nothing is."""
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            stored = os.path.join(scratch, "stored")
            dump(gru_run, os.path.join(folder, case["model"]), target, stored)
            for name, config in case["config"].items():
                weights = case["initial_weights"]
                bare = os.path.join(scratch, "bare.json")
                with open(bare, "w") as file:
                    json.dump(
                        bare_model(name, config, weights["kernel"]["shape"][0]), file
                    )
                drawn = os.path.join(scratch, "drawn")
                dump(gru_run, bare, target, drawn)
                for weight, told in weights.items():
                    file = f"{name}_{weight}.npy"
                    shape, values = read_npy(os.path.join(stored, file))
                    problems += compare(f"stored {weight}", shape, values, told, False)
                    shape, values = read_npy(os.path.join(drawn, file))
                    problems += compare(f"drawn {weight}", shape, values, told, True)
                    problems += compare_with_law(
                        f"drawn {weight}", values, case["expect"].get(weight, {})
                    )
        except subprocess.CalledProcessError as error:
            problems.append(f"{error}\n{error.stderr}")
    return "\n".join(problems)
