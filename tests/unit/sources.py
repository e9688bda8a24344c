"""The source files of the project, for the tests that read them."""

import os
import re
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# What is somebody else's text, or none.
FOREIGN = ("LICENSE", "bpf/LICENSE", "tests/fuzz/corpus/")


def files():
    """Paths relative to the root, sorted: what git knows, or in an unpacked archive every file outside build/."""
    try:
        out = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z"],
                             capture_output=True, check=True, text=True).stdout
        found = [path for path in out.split("\0") if path]
    except (OSError, subprocess.CalledProcessError):
        found = []
        for directory, names, paths in os.walk(ROOT):
            names[:] = [name for name in names if name not in ("build", ".git", ".cache", "__pycache__")]
            found += [os.path.relpath(os.path.join(directory, path), ROOT) for path in paths]
    return sorted(path for path in found if not path.startswith(FOREIGN) and os.path.isfile(os.path.join(ROOT, path)))


def read(path):
    """The text of a file, or None if it is not text."""
    with open(os.path.join(ROOT, path), "rb") as stream:
        content = stream.read()
    if b"\0" in content:
        return None
    return content.decode("utf-8")


def cpp_files():
    return [path for path in files() if re.search(r"\.(h|cpp|c)$", path)]
