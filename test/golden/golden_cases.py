"""Golden cases as folders and as command lines of gru-run.

Needs Python alone, since machines with a device may have no lit.
"""

import fnmatch
import json
import os

# Kinds of cases, with the options that they need.
KINDS = {
    "inference": [],
    "layer": [],
    "cell_step": [],
    "regularizer": ["--losses"],
    "constraint": ["--constrain"],
    "initializer": [],
    "train_dropout": [],
}
# Devices run inference.
DEVICE_KINDS = ("inference", "layer", "cell_step")


def runs_on_devices(folder):
    with open(os.path.join(folder, "case.json")) as file:
        return json.load(file)["kind"] in DEVICE_KINDS


def read_patterns(path):
    """The patterns of FAMILY/CASE in a file with # comments."""
    with open(path) as file:
        lines = (line.split("#")[0].strip() for line in file)
        return [line for line in lines if line]


def read_reasons(path):
    """Pairs of a pattern of FAMILY/CASE and the text behind it."""
    return [tuple(line.split(None, 1)) for line in read_patterns(path)]


def find_cases(root, patterns):
    """Names of the cases under `root` that a pattern names, sorted."""
    found = []
    for folder, _, files in os.walk(root):
        name = os.path.relpath(folder, root).replace(os.sep, "/")
        if "case.json" in files and any(
            fnmatch.fnmatchcase(name, pattern) for pattern in patterns
        ):
            found.append(name)
    return sorted(found)


def make_command(gru_run, folder, case, target):
    """The command line that runs a case and compares its outputs."""
    command = [gru_run, os.path.join(folder, case["model"])]
    if case.get("weights"):
        command += ["--weights", os.path.join(folder, case["weights"])]
    command += ["--target", target] + KINDS[case["kind"]]
    # A program is compiled for training or for inference.
    if any(call["training"] for call in case["calls"]):
        command.append("--training")
    tolerance = case["tolerance"]
    command += ["--atol", repr(tolerance["atol"])]
    command += ["--rtol", repr(tolerance["rtol"])]
    for number, call in enumerate(case["calls"]):
        if number:
            command.append("--next-call")
        if call["reset_states_before"]:
            command.append("--reset-states")
        for tensor in call["inputs"]:
            path = os.path.join(folder, tensor["file"])
            command += ["--input", tensor["name"] + "=" + path]
        for tensor in call["outputs"]:
            path = os.path.join(folder, tensor["file_f64"])
            command += ["--expected", tensor["name"] + "=" + path]
    return command
