"""edit-bytes.py IN OUT OLD NEW: replaces every OLD by NEW, which is as long."""

import sys

source, target, old, new = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
assert len(old) == len(new) and old.encode() in data
with open(target, "wb") as file:
    file.write(data.replace(old.encode(), new.encode()))
