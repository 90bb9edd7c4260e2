#!/usr/bin/env python3
"""Times gru-bench and other programs on the same case files, side by side.

    compare.py CONFIG.json CASES [--rounds 7] [--seconds 1] [--threads 1]
        [--cpu 1] [--out results.jsonl] [--plot compare.svg]
    compare.py --table results.jsonl [--plot compare.svg]

CASES is a folder of case files (tools/gru-bench/CaseFile.h has the layout), one
workload each. CONFIG.json says what runs; the first program is the one that the
others are compared with:

    {"programs": [
      {"name": "gru", "exe": "build/bin/gru-bench"},
      {"name": "onednn", "exe": "./onednn_gru", "env": {"OMP_NUM_THREADS": "1"}},
      {"name": "ort", "command": ["venv/bin/python", "run.py", "--peer", "ort",
        "--workload", "{workload}", "--threads", "{threads}",
        "--seconds", "{seconds}", "--check"]}]}

An `exe` is called as `EXE FILE WORKLOAD NAME THREADS SECONDS`. Each program prints
a line of JSON with per_step_ns and max_err, or with error.

Programs take turns on each workload, in an order that moves on by one each round,
so that what else the machine does meets all of them. A time is the smallest of the
rounds' medians, since other work only ever adds; a ratio is the median over the
rounds of (best other program / first program) within one round. A result that is
off by more than 1e-4 is marked ! and takes no part.
"""

import argparse
import collections
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

LARGEST_ERROR = 1e-4


def fill_in(text, values):
    """Replaces {file}, {workload}, ...; other braces stay."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def make_command(program, case, args):
    """The command line of one program for one case file."""
    values = {
        "file": str(case),
        "workload": case.stem,
        "name": program["name"],
        "threads": str(args.threads),
        "seconds": str(args.seconds),
    }
    if "exe" in program:
        command = [program["exe"]] + list(values.values())
    else:
        command = [fill_in(part, values) for part in program["command"]]
    return (["taskset", "-c", args.cpu] if args.cpu else []) + command


def run(program, case, args):
    """The line that a program prints for a case; an error is a line too."""
    base = {"program": program["name"], "workload": case.stem}
    try:
        done = subprocess.run(
            make_command(program, case, args),
            capture_output=True,
            text=True,
            timeout=args.timeout,
            env={**os.environ, **program.get("env", {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {**base, "error": str(error)}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        text = (done.stderr or done.stdout).strip().splitlines()
        return {**base, "error": text[-1] if text else f"exit {done.returncode}"}
    return {**json.loads(lines[-1]), **base}


def measure(args):
    """Runs everything; returns all lines, which are also appended to --out."""
    programs = json.loads(pathlib.Path(args.config).read_text())["programs"]
    cases = sorted(pathlib.Path(args.cases).glob("*.case"))
    if not cases:
        sys.exit(f"compare.py: error: {args.cases}: no case files (*.case)")
    lines = []
    for number in range(args.rounds):
        for case in cases:
            turn = number % len(programs)
            for program in programs[turn:] + programs[:turn]:
                line = {**run(program, case, args), "round": number}
                lines.append(line)
                what = line.get("error") or f"{line['per_step_ns']} ns"
                print(number, case.stem, program["name"], what, file=sys.stderr)
                if args.out:
                    with open(args.out, "a") as file:
                        file.write(json.dumps(line) + "\n")
    return lines


class Results:
    """Times by workload and program, and the ratios between them."""

    def __init__(self, lines):
        self.rounds = collections.defaultdict(dict)
        self.errors = {}
        self.programs, self.workloads = [], []
        for line in lines:
            name, workload = line["program"], line["workload"]
            for known, value in ((self.programs, name), (self.workloads, workload)):
                if value not in known:
                    known.append(value)
            if line.get("per_step_ns"):
                key = (workload, name)
                self.rounds[key][line["round"]] = float(line["per_step_ns"])
                error = float(line.get("max_err") or 0)
                self.errors[key] = max(error, self.errors.get(key, 0))
        # A program may stand first in another round's turn only.
        first = next(line["program"] for line in lines)
        self.first = first
        self.others = [name for name in self.programs if name != first]

    def time(self, workload, name):
        rounds = self.rounds.get((workload, name))
        return min(rounds.values()) if rounds else None

    def is_right(self, workload, name):
        # A NaN is not.
        return self.errors.get((workload, name), math.inf) <= LARGEST_ERROR

    def ratio(self, workload):
        """Median over the rounds of best other / first; None without either."""
        ratios = []
        for number, ours in self.rounds.get((workload, self.first), {}).items():
            others = [
                self.rounds[workload, name][number]
                for name in self.others
                if number in self.rounds.get((workload, name), {})
                and self.is_right(workload, name)
            ]
            if others:
                ratios.append(min(others) / ours)
        return statistics.median(ratios) if ratios else None

    def mean(self):
        ratios = [r for r in map(self.ratio, self.workloads) if r]
        return statistics.geometric_mean(ratios) if ratios else None


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def print_table(results):
    print("| ns a step | " + " | ".join([results.first] + results.others), end="")
    print(" | best other / " + results.first + " |")
    print("| --- " * (len(results.others) + 3) + "|")
    for workload in results.workloads:
        cells = [workload]
        for name in [results.first] + results.others:
            time = results.time(workload, name)
            mark = "" if results.is_right(workload, name) else " !"
            cells.append("–" if time is None else number(time) + mark)
        ratio = results.ratio(workload)
        cells.append("–" if ratio is None else f"{ratio:.2f}")
        print("| " + " | ".join(cells) + " |")
    mean = results.mean()
    if mean:
        print(f"\nGeometric mean of the last column: {mean:.2f}")


COLOURS = ["#1f6f5c", "#c2703d", "#4c6a92", "#a0a03c", "#8a5a83", "#777777"]


def plot(results, path):
    """Bars of time relative to the first program, on a logarithmic axis."""
    names = [results.first] + results.others
    left, width, bar = 150, 560, 9
    group = bar * len(names) + 10
    height = group * len(results.workloads) + 60
    values = {}
    for workload in results.workloads:
        ours = results.time(workload, results.first)
        for name in names:
            time = results.time(workload, name)
            if ours and time and results.is_right(workload, name):
                values[workload, name] = time / ours
    low = math.floor(math.log2(min([1, *values.values()])))
    high = max(math.ceil(math.log2(max([2, *values.values()]))), low + 1)

    def x(value):
        return left + width * (math.log2(value) - low) / (high - low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" '
        f'height="{height}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    step = max(1, (high - low) // 8)
    for power in range(low, high + 1, step):
        at = x(2.0**power)
        out.append(
            f'<line x1="{at:.1f}" y1="30" x2="{at:.1f}" y2="{height - 25}" '
            f'stroke="{"#000" if power == 0 else "#ddd"}"/>'
            f'<text x="{at:.1f}" y="{height - 10}" text-anchor="middle">'
            f"{2.0 ** power:g}</text>"
        )
    for index, name in enumerate(names):
        at = left + index * 110
        out.append(
            f'<rect x="{at}" y="8" width="10" height="10" '
            f'fill="{COLOURS[index % len(COLOURS)]}"/>'
            f'<text x="{at + 14}" y="17">{name}</text>'
        )
    for row, workload in enumerate(results.workloads):
        top = 34 + row * group
        out.append(
            f'<text x="{left - 8}" y="{top + group / 2}" text-anchor="end">'
            f"{workload}</text>"
        )
        for index, name in enumerate(names):
            value = values.get((workload, name))
            if value is None:
                continue
            begin, end = sorted((x(1), x(value)))
            y = top + index * bar
            out.append(
                f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 2):.1f}" '
                f'height="{bar - 1}" fill="{COLOURS[index % len(COLOURS)]}">'
                f"<title>{workload}, {name}: "
                f"{number(results.time(workload, name))} ns a step</title></rect>"
                f'<text x="{max(begin, end) + 4:.1f}" y="{y + bar - 1}" '
                f'font-size="9">{value:.2f}</text>'
            )
    out.append("</svg>\n")
    pathlib.Path(path).write_text("\n".join(out))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?")
    parser.add_argument("cases", nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", help="pin every run to these CPUs")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--out", help="append every line here")
    parser.add_argument("--plot", help="write an SVG of the relative times")
    parser.add_argument("--table", help="no runs: lines that --out has written")
    args = parser.parse_args()
    if args.table:
        text = pathlib.Path(args.table).read_text()
        lines = [json.loads(line) for line in text.splitlines()]
    elif args.config and args.cases:
        lines = measure(args)
    else:
        parser.error("expected CONFIG.json CASES, or --table")
    results = Results(lines)
    print_table(results)
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
