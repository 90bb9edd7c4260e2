#!/usr/bin/env python3
"""Takes the headers and ptxas out of NVIDIA's wheels in a folder, which it then
deletes: what a build needs is a hundredth of them."""

import pathlib
import shutil
import sys
import zipfile


def place(name):
    """Where a wheel's file goes; nothing for what is not wanted."""
    path = pathlib.PurePosixPath(name)
    if name.endswith("/"):
        return None
    if path.name == "ptxas":
        return pathlib.Path("bin/ptxas")
    if "include" in path.parts:
        return pathlib.Path(*path.parts[path.parts.index("include") :])
    return None


def main(folder):
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                inner = place(name)
                if not inner:
                    continue
                to = folder / inner
                to.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, to.open("wb") as file:
                    shutil.copyfileobj(source, file)
                if to.name == "ptxas":
                    to.chmod(0o755)
        wheel.unlink()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
