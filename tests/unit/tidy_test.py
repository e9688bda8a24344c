"""What clang-format and clang-tidy do not check: sizes, leftovers, sleeping tests, headers."""

import re
import unittest

import sources

FILE_LINES_MAX = 520  # "about 500": split by noun before it grows
FUNCTION_LINES_MAX = 80  # "about 70"
LINE_CHARACTERS_MAX = 140  # code is formatted to 120; a table row or a URL may stick out

LEFTOVER = re.compile("|".join(("TO" + "DO", "FIX" + "ME")))  # spelt so that this line is none
CPP_SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\s*\(|(?<![\w.:])sleep\s*\(\d")
PYTHON_SLEEP = re.compile(r"\btime\.sleep\(")
SHELL_SLEEP = re.compile(r"^\s*sleep\s+[0-9.]")
CODE = re.compile(r"\.(h|cpp|c|py|sh|cmake)$|CMakeLists\.txt$")
NOT_A_FUNCTION = re.compile(r"^(namespace|struct|class|enum|union|extern|static_assert|}|#|//|/\*|\*|constexpr [\w:<>, ]+\{)")


def is_code(path, text):
    return bool(CODE.search(path)) or text.startswith("#!")


def long_functions(text):
    """(line, length) of functions at the outer level that are too long. Relies on the format: both ends at column 0."""
    found = []
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if start is None and re.match(r"^[A-Za-z_].*\)[^;]*\{$", line) and not NOT_A_FUNCTION.match(line):
            start = number
        elif start is not None and line == "}":
            if number - start + 1 > FUNCTION_LINES_MAX:
                found.append((start, number - start + 1))
            start = None
    return found


def cpp_sleeps(text):
    """As python_sleeps: lines that sleep outside a function whose name says that it waits for a condition."""
    found = []
    function = ""
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r"^ {0,4}[\w:<>&*,~ \[\]]*?(\w+)\([^;]*\{$", line)
        if match and match.group(1) not in ("if", "for", "while", "switch", "catch"):
            function = match.group(1)
        if CPP_SLEEP.search(line) and not re.search("wait|until|poll", function):
            found.append(number)
    return found


def python_sleeps(text):
    """Lines that sleep outside a function that waits for a condition (its name says wait, until or poll)."""
    found = []
    functions = []  # (indent, name)
    for number, line in enumerate(text.split("\n"), 1):
        indent = len(line) - len(line.lstrip())
        if line.strip():
            while functions and functions[-1][0] >= indent:
                functions.pop()
        match = re.match(r"\s*(?:async )?def (\w+)", line)
        if match:
            functions.append((indent, match.group(1)))
        if PYTHON_SLEEP.search(line) and not any(re.search("wait|until|poll", name) for _, name in functions):
            found.append(number)
    return found


def shell_sleeps(text):
    found = []
    function = ""
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r"^(?:function )?(\w+)\s*\(\)", line)
        function = match.group(1) if match else ("" if line == "}" else function)
        if SHELL_SLEEP.match(line) and not re.search("wait|until|poll", function):
            found.append(number)
    return found


def violations(path, text):
    lines = text.split("\n")
    found = []

    def at(number, what):
        found.append(f"{path}:{number}: {what}")

    if is_code(path, text):
        if len(lines) - 1 > FILE_LINES_MAX:
            at(1, f"{len(lines) - 1} lines, at most {FILE_LINES_MAX}: split it by noun")
        for number, line in enumerate(lines, 1):
            if LEFTOVER.search(line):
                at(number, "a leftover mark: finish it or write an issue")
            if line != line.rstrip():
                at(number, "blanks at the end of the line")
            if len(line) > LINE_CHARACTERS_MAX:
                at(number, f"{len(line)} characters, at most {LINE_CHARACTERS_MAX}")
        if text and not text.endswith("\n"):
            at(len(lines), "no end of line at the end of the file")
    if re.search(r"\.(cpp|c)$", path):
        for number, length in long_functions(text):
            at(number, f"a function of {length} lines, at most {FUNCTION_LINES_MAX}: split it")
    if path.endswith(".h") and "#pragma once" not in text:
        at(1, "a header without #pragma once")
    if path.startswith("tests/"):
        sleeps = []
        if re.search(r"\.(cpp|h|c)$", path):
            sleeps = cpp_sleeps(text)
        elif path.endswith(".py"):
            sleeps = python_sleeps(text)
        elif text.startswith("#!") or path.endswith(".sh"):
            sleeps = shell_sleeps(text)
        for number in sleeps:
            at(number, "a test that sleeps for a fixed time: wait for the condition (in a function named wait_…)")
    return found


class Tidy(unittest.TestCase):
    def test_sources(self):
        found = []
        for path in sources.files():
            text = sources.read(path)
            if text is not None and path != "tests/unit/tidy_test.py":
                found += violations(path, text)
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_the_rule_bites(self):
        body = "  x();\n" * FUNCTION_LINES_MAX
        cases = [
            ("a.cpp", "int x;\n", 0),
            ("a.cpp", "int x;", 1),
            ("a.cpp", "int x; \n", 1),
            ("a.cpp", "x\n" * (FILE_LINES_MAX + 1), 1),
            ("a.cpp", "void f() {\n" + body + "}\n", 1),
            ("a.cpp", "void f() {\n" + body[:-14] + "}\n", 0),
            ("a.cpp", "namespace a {\n" + body + "}\n", 0),
            ("a.cpp", "// TO" + "DO: later\n", 1),
            ("docs/a.md", "to do \n", 0),
            ("a.h", "int x;\n", 1),
            ("tests/a.cpp", "std::this_thread::sleep_for(1s);\n", 1),
            ("tests/a.cpp", "  void wait_for_log(int x) {\n    while (y()) {\n      sleep_for(1ms);\n    }\n  }\n", 0),
            ("tests/a.cpp", "void wait_for() {\n}\nTEST(A, b) {\n  sleep_for(1ms);\n}\n", 1),
            ("dns/a.cpp", "std::this_thread::sleep_for(1s);\n", 0),
            ("tests/a.py", "import time\ntime.sleep(1)\n", 1),
            ("tests/a.py", "def test_x():\n    time.sleep(1)\n", 1),
            ("tests/a.py", "def wait_for(x):\n    while not x():\n        time.sleep(0.01)\n", 0),
            ("tests/a.py", "def wait_for(x):\n    pass\n\n\ndef test():\n    time.sleep(1)\n", 1),
            ("tests/a.sh", "sleep 1\n", 1),
            ("tests/a.sh", "wait_for() {\n  sleep 0.1\n}\n", 0),
        ]
        for path, text, count in cases:
            with self.subTest(path=path, text=text[:80]):
                self.assertEqual(len(violations(path, text)), count, violations(path, text))


if __name__ == "__main__":
    unittest.main()
