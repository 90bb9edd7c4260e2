#!/usr/bin/env python3
"""Compares `gru-opt --explain=json` with what Keras would do.

Each case's `gru_layers` lists its recurrent layers and directions, with whether
real Keras takes cuDNN and why not. What a mask holds is known only to a run, so
reasons about masks are taken off, and the layer must say that each call decides.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from golden_cases import read_patterns

FAMILIES = ("keras", "keras_h5", "keras_json")


def is_about_masks(reason):
    return reason.startswith("mask ")


def expected_layers(case):
    """(name, eligible, reasons, mask matters) per layer, as golden has them."""
    for layer in case.get("gru_layers") or []:
        reasons = [r for r in layer["reasons"] if not is_about_masks(r)]
        masked = len(reasons) != len(layer["reasons"])
        yield layer["layer"], not reasons, sorted(reasons), masked


def check(gru_opt, folder, case):
    """Differences, as lines of text."""
    command = [gru_opt, os.path.join(folder, case["model"]), "--explain=json"]
    if case.get("weights"):
        command += ["--weights", os.path.join(folder, case["weights"])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return [f"exit code {done.returncode}: {done.stderr.strip()}"]
    rows = json.loads(done.stdout)["layers"]
    wrong = []
    expected = list(expected_layers(case))
    names = [row["name"] for row in rows]
    if case["kind"] == "cell_step":
        # Golden lists layers only; none of a cell's rows may take cuDNN.
        return [f"{r['name']}: eligible" for r in rows if r["keras_cudnn_eligible"]]
    if case["kind"] == "regularizer":
        # Golden names the layer there, whatever it is made of.
        names = [name.split("/")[0] for name in names]
        for row in rows:
            row["name"] = row["name"].split("/")[0]
    if sorted(names) != sorted(name for name, *_ in expected):
        return [f"layers, found {names}, expected {[e[0] for e in expected]}"]
    by_name = {row["name"]: row for row in rows}
    for name, eligible, reasons, masked in expected:
        row = by_name[name]
        if row["keras_cudnn_eligible"] != eligible:
            wrong.append(
                f"{name}: keras_cudnn_eligible, found "
                f"{row['keras_cudnn_eligible']}, expected {eligible}"
            )
        if sorted(row["keras_cudnn_reasons"]) != reasons:
            wrong.append(
                f"{name}: reasons, found {row['keras_cudnn_reasons']}, "
                f"expected {reasons}"
            )
        # Masks that are an argument of the call are no part of a layer's file.
        if masked and case["kind"] != "layer" and not row["mask_decided_per_call"]:
            wrong.append(f"{name}: a mask refuses cuDNN, but none is seen")
        backends = {c["backend"]: c for c in row["candidates"]}
        for candidate in backends.values():
            if candidate["accepted"] != (not candidate["unmet"]):
                wrong.append(f"{name}: {candidate} contradicts itself")
            if bool(candidate["fix"]) != bool(candidate["unmet"]):
                wrong.append(f"{name}: {candidate} has a reason without a fix")
        if row["backend"] not in backends:
            wrong.append(f"{name}: backend {row['backend']} is no candidate")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gru-opt", required=True)
    parser.add_argument("--golden", required=True, help="folder of families")
    parser.add_argument("--supported", required=True, help="supported.txt")
    arguments = parser.parse_args()
    supported = read_patterns(arguments.supported)
    checked = failures = 0
    for family in FAMILIES:
        root = os.path.join(arguments.golden, family)
        for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
            folder = os.path.join(root, name)
            with open(os.path.join(folder, "case.json")) as file:
                case = json.load(file)
            if not case.get("gru_layers") and case["kind"] != "cell_step":
                continue
            # Masks, training and the like do not matter here, importing does.
            if not any(fnmatch.fnmatchcase(f"{family}/{name}", p) for p in supported):
                continue
            checked += 1
            for line in check(arguments.gru_opt, folder, case):
                failures += 1
                print(f"{family}/{name}: {line}")
    print(f"{checked} cases, {failures} differences")
    return 1 if failures or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
