"""A lit test format for golden cases.

A case is a folder with a `case.json`: a model, the calls of one session with
their inputs, and the outputs that the original framework gives in float64.
Each case becomes one test per target, which runs `gru-run` once. Cases of
initialisers have statistics of weights instead, see initializers.py.
"""

import json
import fnmatch
import os
import re
import shlex

import lit.formats
import lit.Test
import lit.util

import initializers

TARGETS = ("cpu", "reference")
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


def read_patterns(path):
    """The patterns of FAMILY/CASE in a file with # comments."""
    with open(path) as file:
        lines = (line.split("#")[0].strip() for line in file)
        return [line for line in lines if line]


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


class GoldenFormat(lit.formats.TestFormat):
    """Runs the cases of `folders` (name -> folder).

    The largest error of each test is appended to the file `errors`.
    """

    def __init__(self, gru_run, folders, errors):
        self.gru_run = gru_run
        self.folders = folders
        self.errors = errors

    # The cases may lie outside the source tree (GRU_GOLDEN_DIR), so they hang
    # off the suite's root instead of the folders that lit walks through.
    def getTestsInDirectory(self, testSuite, path_in_suite, litConfig, localConfig):
        if path_in_suite:
            return
        for name in self.folders:
            for target in TARGETS:
                path = tuple(name.split("/")) + (target,)
                yield lit.Test.Test(testSuite, path, localConfig)

    def execute(self, test, litConfig):
        *case_path, target = test.path_in_suite
        name = "/".join(case_path)
        folder = self.folders[name]
        with open(os.path.join(folder, "case.json")) as file:
            case = json.load(file)
        if case["kind"] not in KINDS:
            return (
                lit.Test.UNRESOLVED,
                f"{name}: kind, found {case['kind']}, expected one of "
                f"{', '.join(KINDS)}",
            )

        timeout = litConfig.maxIndividualTestTime
        if case["kind"] == "initializer":
            problem = initializers.check(self.gru_run, folder, case, target)
            return (lit.Test.FAIL if problem else lit.Test.PASS), problem
        command = make_command(self.gru_run, folder, case, target)
        try:
            out, err, code = lit.util.executeCommand(
                command, env=test.config.environment, timeout=timeout
            )
        except lit.util.ExecuteCommandTimeoutException as stopped:
            return lit.Test.TIMEOUT, f"{stopped.out}{stopped.err}{stopped.msg}"

        # NaN has to stay visible: max() would keep or drop it by position.
        found = [float(text) for text in re.findall(r"largest error (\S+)", out)]
        if found:
            worst = float("nan") if any(e != e for e in found) else max(found)
            # One short write in append mode: workers do not interleave.
            with open(self.errors, "a") as file:
                file.write(f"{name} {target} {worst:.3g}\n")
        expected = sum(len(call["outputs"]) for call in case["calls"])
        report = f"{shlex.join(command)}\n{out}{err}exit code {code}\n"
        if code:
            return lit.Test.FAIL, report
        if len(found) != expected:
            return (
                lit.Test.FAIL,
                f"{report}outputs compared, found {len(found)}, "
                f"expected {expected}\n",
            )
        return lit.Test.PASS, report
