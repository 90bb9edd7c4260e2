"""compare.py A B TOLERANCE: two files of raw little-endian floats."""

import array
import sys

first, second = array.array("f"), array.array("f")
for path, values in zip(sys.argv[1:3], (first, second)):
    with open(path, "rb") as file:
        values.frombytes(file.read())
tolerance = float(sys.argv[3])
if len(first) != len(second) or not first:
    sys.exit(f"{len(first)} and {len(second)} values")
worst = max(abs(a - b) for a, b in zip(first, second))
spread = max(first) - min(first)
print(f"largest difference {worst:.3g} of values spread over {spread:.3g}")
if not (worst <= tolerance and spread > 1e-3):
    sys.exit("they differ, or say nothing")
