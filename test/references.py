"""Checks that what the documentation and the tests refer to exists.

  references.py SOURCE [GOLDEN]     (GOLDEN: else the environment's GRU_GOLDEN_DIR)

In the Markdown files: tests (`Suite.Test`, `Suite.*`), golden families behind the
word golden, rules (gru_gru_c1), paths and links. With the whole golden set: each
entry of its errors.json is named in a unit test or in docs/keras.md, as
`keras3 ID`, `tf_keras ID`, `both ID` for the two, `torch ID` or `onnxruntime ID`.
"""

import fnmatch
import json
import os
import re
import sys
from pathlib import Path

source = Path(sys.argv[1])
golden = Path("".join(sys.argv[2:]) or os.environ.get("GRU_GOLDEN_DIR") or source)
problems = []

units = "\n".join(f.read_text() for f in sorted(source.glob("test/**/*.cpp")))
tests = set(re.findall(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", units))
suites = {suite for suite, _ in tests}
families = [
    line.split("/", 1)[1].strip()
    for line in (source / "test/golden/supported.txt").read_text().splitlines()
    if "/" in line and not line.startswith("#")
]
folders = "benchmarks|compiler|dialect|docs|examples|lowering|python|runtime|test|tools"
files = "cpp|h|hpp|td|md|py|mlir|test|txt|c|hdf5|json|keras"


def is_family(name):
    """Whether supported.txt runs cases of this name, which may end in a star."""
    name = name.rsplit("/", 1)[-1]
    middle = name.strip("*")
    if name.startswith("*"):
        return any(middle in family for family in families)
    return any(fnmatch.fnmatch(middle, f) or f.startswith(middle) for f in families)


def check(page):
    text = page.read_text()
    where = page.relative_to(source)

    def expect(holds, what):
        if not holds:
            problems.append(f"{where}: {what}")

    for suite, test in re.findall(r"`([A-Z]\w*)\.(\w+|\*)`", text):
        if re.fullmatch(files, test) or suite.isupper():
            continue
        known = suite in suites if test == "*" else (suite, test) in tests
        expect(known, f"there is no test {suite}.{test}")
    for named in re.findall(r"[Gg]olden((?:(?:,|\s|and|family|families)*`[^`]+`)+)", text):
        for name in re.findall(r"`([^`]+)`", named):
            if re.fullmatch(r"[\w*/\[\]!]+", name) and not name.startswith("keras_"):
                expect(is_family(name), f"supported.txt has no golden case {name}")
    for path in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w/.-]+\.(?:{files}))\b", text):
        known = (source / path).exists() or (page.parent / path).exists()
        expect(known or path.endswith("/NAME.mlir"), f"there is no {path}")
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in link:
            expect((page.parent / link).exists(), f"the link {link} leads nowhere")


semantics = (source / "docs/semantics.md").read_text()
invalid = (source / "test/dialect/invalid.mlir").read_text()
verifiers = "\n".join(f.read_text() for f in source.glob("dialect/*.cpp"))
for tag in sorted(set(re.findall(r"// (gru_\w+_c\d+)$", verifiers, re.MULTILINE))):
    for name, text in (("docs/semantics.md", semantics), ("test/dialect/invalid.mlir", invalid)):
        if tag not in text:
            problems.append(f"{name}: the rule {tag} is missing")

pages = [p for p in source.glob("**/*.md") if "build" not in p.relative_to(source).parts[0]]
for page in sorted(pages):
    check(page)

errors = golden / "errors.json"
if errors.exists():
    names = units + (source / "docs/keras.md").read_text()
    names = re.sub(r"\s*\n\s*//\s*", " ", names)  # comments are broken anywhere
    named = set(re.findall(r"\b(both|keras3|tf_keras|torch|onnxruntime) (\w+)", names))
    contents = json.loads(errors.read_text())
    for entry in contents["errors"] + contents["facts"]:
        framework, name = entry["framework"], re.sub(r"\W", "_", entry["id"])
        keras = framework in ("keras3", "tf_keras") and ("both", name) in named
        if not keras and (framework, name) not in named:
            problems.append(f"errors.json: no test is about {framework} {name}")

print("\n".join(problems))
sys.exit(bool(problems))
