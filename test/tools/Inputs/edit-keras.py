"""Copies a .keras archive with one piece of text of its config.json replaced.

usage: edit-keras.py IN OUT OLD NEW

With OLD '-' the archive is copied without the entry NEW.
"""

import sys
import zipfile

source, target, old, new = sys.argv[1:]
with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
    for name in archive.namelist():
        data = archive.read(name)
        if old == "-" and name == new:
            continue
        if old != "-" and name == "config.json":
            text = data.decode()
            assert old in text, f"no {old} in {text}"
            data = text.replace(old, new).encode()
        copy.writestr(name, data)
