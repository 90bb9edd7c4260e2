#!/usr/bin/env python3
"""Writes docs/accuracy.md from the errors of a golden run.

    accuracy.py build/test/golden/errors.txt GOLDEN_DIR > docs/accuracy.md
"""

import collections
import json
import os
import sys


def main():
    errors = collections.defaultdict(dict)
    with open(sys.argv[1]) as file:
        for line in file:
            case, target, error = line.split()
            errors[case][target] = float(error)
    print("# Accuracy\n")
    print("Largest absolute error of each golden case against float64, beside that of the")
    print("framework that made it (in its own precision). All are within the tolerance of")
    print("their case. Written by `test/golden/accuracy.py` from a run with the whole set.\n")
    print("| case | dtype | cpu | reference | framework |\n| --- | --- | --- | --- | --- |")
    for case in sorted(errors):
        path = os.path.join(sys.argv[2], case, "case.json")
        if not os.path.exists(path):
            continue
        with open(path) as file:
            info = json.load(file)
        own = info["tolerance"].get("oracle_max_abs_error_vs_f64")
        text = "" if own is None else f"{own:.2g}"
        print(f"| {case} | {info['compute_dtype']} | {errors[case]['cpu']:.2g} | "
              f"{errors[case]['reference']:.2g} | {text} |")


if __name__ == "__main__":
    main()
