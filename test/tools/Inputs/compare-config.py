"""A configuration of compare.py whose programs are one line of Python each."""

import json
import sys


def program(name, nanoseconds):
    line = json.dumps({"per_step_ns": nanoseconds, "max_err": 0})
    return {
        "name": name,
        "command": [sys.executable, "-c", "import sys; print(sys.argv[1])", line],
    }


json.dump(
    {
        "programs": [
            program("gru", 20),
            {"name": "none", "exe": "a-program-that-does-not-exist"},
            program("other", 50),
        ]
    },
    sys.stdout,
)
