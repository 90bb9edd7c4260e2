"""A lit test format for golden cases.

A case is a folder with a `case.json`: a model, the calls of one session with
their inputs, and the outputs that the original framework gives in float64.
Each case becomes one test per target, which runs `gru-run` once. Cases of
initialisers have statistics of weights instead, see initializers.py.
"""

import fnmatch
import json
import os
import re
import shlex

import lit.formats
import lit.Test
import lit.util

import initializers
from golden_cases import KINDS, make_command

TARGETS = ("cpu", "reference")
# On a double of the driver and of cuDNN; training leaves devices alone.
DEVICE_TARGETS = ("cudnn", "gpu")


def check_masks(case, err):
    """Whether a run left cuDNN for its mask exactly where Keras does. What is wrong,
    or nothing; and nothing where layers of one case differ."""
    if "cudnn: takes the calls whose mask" not in err:
        return ""
    holes = {
        any("not strictly right-padded" in reason for reason in layer["reasons"])
        for layer in case.get("gru_layers", [])
    }
    left = "a mask was not right-padded" in err
    if holes == {not left}:
        return f"cuDNN left for a mask, found {left}, expected {not left}"
    return ""


def check_refused(name, err, refused):
    """Whether Halide left to the cpu target just what `refused` says it does. What
    is wrong, or nothing."""
    found = set(re.findall(r"halide: (.*), so the cpu target's code is used", err))
    expected = {
        reason for pattern, reason in refused if fnmatch.fnmatchcase(name, pattern)
    }
    if found == expected:
        return ""
    text = lambda reasons: "; ".join(sorted(reasons)) or "nothing"
    return f"left by Halide, found {text(found)}, expected {text(expected)}"


class GoldenFormat(lit.formats.TestFormat):
    """Runs the cases of `folders` (name -> folder); `more` has names of cases by
    other targets that they run on as well, `refused` what Halide leaves to the cpu
    target: pairs of a pattern and a reason. Device targets use `fake_cuda`.

    The largest error of each test is appended to the file `errors`.
    """

    def __init__(self, gru_run, folders, errors, more, refused, fake_cuda):
        self.refused = refused
        self.more = {target: frozenset(names) for target, names in more.items()}
        self.fake_cuda = fake_cuda
        self.gru_run = gru_run
        self.folders = folders
        self.errors = errors

    # The cases may lie outside the source tree (GRU_GOLDEN_DIR), so they hang
    # off the suite's root instead of the folders that lit walks through.
    def getTestsInDirectory(self, testSuite, path_in_suite, litConfig, localConfig):
        if path_in_suite:
            return
        for name in self.folders:
            more = [target for target, names in self.more.items() if name in names]
            for target in [*TARGETS, *more]:
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
        environment = dict(test.config.environment)
        if target in DEVICE_TARGETS:
            environment["GRU_CUDA_DRIVER"] = self.fake_cuda
            environment["GRU_CUDNN"] = self.fake_cuda
            # Large products by a library on one target, by our kernel on the other.
            environment["GRU_CUBLAS"] = (
                self.fake_cuda if target == "cudnn" else "none"
            )
        try:
            out, err, code = lit.util.executeCommand(
                command, env=environment, timeout=timeout
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
        if target == "cudnn" and (problem := check_masks(case, err)):
            return lit.Test.FAIL, f"{report}{problem}\n"
        if target == "halide" and (
            problem := check_refused(name, err, self.refused)
        ):
            return lit.Test.FAIL, f"{report}{problem}\n"
        if len(found) != expected:
            return (
                lit.Test.FAIL,
                f"{report}outputs compared, found {len(found)}, "
                f"expected {expected}\n",
            )
        return lit.Test.PASS, report
