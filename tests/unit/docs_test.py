"""Files that documents name exist: links, paths from the root, and source files that a folder's README lists."""

import glob
import os
import re
import unittest

import sources

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"^[\w.*/{},-]+$")
SOURCE = re.compile(r"^[\w/{},-]+(\.bpf)?\.([{}\w,]*\b(h|cpp|c|py|cmake|sh)\b}?)$")
MADE = re.compile(r"^(build|bench/results)/|\.skel\.h$")  # by building and measuring
PLACEHOLDER = re.compile(r"(^|/|_)[A-Z]{3,}(?![\w.]*\.(md|txt)$)")  # test_NAME.py


def alternatives(text):
    """a.{h,cpp} is two files."""
    braces = re.search(r"\{([^{}]*)\}", text)
    if not braces:
        return [text]
    return [one for choice in braces.group(1).split(",")
            for one in alternatives(text[:braces.start()] + choice + text[braces.end():])]


def named(text, folders, listing):
    """Paths that a document names. listing: source files without a folder too, as a README lists those beside it."""
    found = [target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]
    for code in CODE.findall(re.sub(r"(?ms)^```.*?^```", "", text)):
        for word in re.split(r"[\s;]+", code):
            if not PATH.match(word) or word.startswith(("/", "-")) or MADE.search(word) or PLACEHOLDER.search(word):
                continue
            if word.split("/")[0] in folders and "/" in word:
                found.append(word)
            elif listing and SOURCE.search(word):
                found.append(word)
    return found


def missing(path, text, exists, folders):
    here, name = os.path.split(path)
    return [word for word in named(text, folders, name == "README.md")
            if not all(any(exists(os.path.normpath(os.path.join(base, one))) for base in (here, ""))
                       for one in alternatives(word))]


def exists(path):
    return bool(glob.glob(os.path.join(sources.ROOT, path)))


class Docs(unittest.TestCase):
    def test_named_files_exist(self):
        files = sources.files()
        folders = {path.split("/")[0] for path in files if "/" in path}
        for path in files:
            if path.endswith(".md"):
                with self.subTest(document=path):
                    self.assertEqual(missing(path, sources.read(path), exists, folders), [])

    def test_every_folder_says_what_is_where(self):
        folders = {path.split("/")[0] for path in sources.files() if "/" in path}
        for folder in folders - {".ci", "cmake", "docs"}:
            self.assertTrue(exists(f"{folder}/README.md"), f"{folder} has no README.md")

    def test_the_rule_bites(self):
        there = {"bpf/abi.h", "scripts/lab", "docs/adr/0001-x.md", "bpf/a.h", "bpf/a.cpp"}
        cases = [
            ("docs/a.md", "`bpf/abi.h` is there", []),
            ("docs/a.md", "`bpf/uplink_xdp.bpf.c`", ["bpf/uplink_xdp.bpf.c"]),
            ("docs/a.md", "`scripts/lab up 3; scripts/lap down`", ["scripts/lap"]),
            ("docs/a.md", "[ADR 1](adr/0001-x.md), [2](adr/0002-y.md), [web](https://x.org/a.md)", ["adr/0002-y.md"]),
            ("bpf/README.md", "`abi.h`, `abc.h`, `a.{h,cpp}`, `a.{h,c}`", ["abc.h", "a.{h,c}"]),
            ("docs/a.md", "`build/release/bin/x`, `/bpf/x.h`, `desired.h` of any folder, `tests/test_NAME.py`", []),
            ("docs/a.md", "```\nscripts/none\n```\n", []),
        ]
        for path, text, expected in cases:
            with self.subTest(text=text):
                self.assertEqual(missing(path, text, there.__contains__, {"bpf", "scripts", "tests", "docs"}), expected)


if __name__ == "__main__":
    unittest.main()
