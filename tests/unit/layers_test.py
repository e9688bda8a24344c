"""The layer rule: a folder includes only folders at or below it (docs/ARCHITECTURE.md)."""

import re
import unittest

import sources

CONTROL = ("model", "store", "manager", "cluster", "api", "agent", "meshd", "meshctl")
BELOW_CONTROL = {"base", "bpf", "dataplane", "vxlan", "dns"}

# folder -> the folders whose headers it may include, besides its own. Absent: everything (mains, tests, benchmarks).
MAY_INCLUDE = {
    "bpf": set(),
    "base": set(),
    # Siblings: never each other. They meet in the agent, as plain values.
    "dataplane": {"base", "bpf"},
    "vxlan": {"base", "bpf"},
    "dns": {"base"},
    "control/model": {"base"},
    "control/store": {"base", "control/model"},
    # dataplane: only its pure code, ring.h (see PURE_ONLY).
    "control/manager": {"base", "bpf", "dataplane", "control/model", "control/store"},
    "control/cluster": {"base", "control/model"},
    # Its handlers read the view and call the manager; the client (meshctl's part) needs neither.
    "control/api": {"base", "control/model", "control/store", "control/manager"},
    # api: only the interface that the API asks of the host's own agent.
    "control/agent": BELOW_CONTROL | {"control/model", "control/cluster", "control/api"},
    "control/meshctl": {"base", "control/model", "control/api"},
}
PURE_ONLY = {"control/manager": {"dataplane/ring.h"}}

# Not a header of ours: whoever compiles the packet logic natively provides it (bpf/lib/kernel.h says so).
PROVIDED = "bpf_stand_ins.h"

# Headers that many files include stay light, and pure code stays pure: no Asio, no Beast.
LIGHT = ("base/", "bpf/", "dataplane/", "vxlan/", "control/model/", "control/store/", "control/manager/")
HEAVY = re.compile(r'#include <boost/(asio|beast)')


def folder_of(path):
    parts = path.split("/")
    if parts[0] == "control" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def includes(text):
    found = re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)
    return [header for header in found if header != PROVIDED]


def violations(path, text):
    """Messages about what a file includes and must not."""
    folder = folder_of(path)
    allowed = MAY_INCLUDE.get(folder)
    found = []
    for header in includes(text):
        target = folder_of(header)
        if header.endswith(".skel.h"):  # generated from bpf/
            target = "bpf"
        if allowed is not None and target != folder and target not in allowed:
            found.append(f"{path} includes {header}: {folder} must not know {target}")
        pure = PURE_ONLY.get(folder)
        if pure is not None and target in BELOW_CONTROL - {"base", "bpf"} and header not in pure:
            found.append(f"{path} includes {header}: {folder} may use only {', '.join(sorted(pure))} of {target}")
        if header.startswith(".") or "/" not in header:
            found.append(f'{path} includes "{header}": write the path from the root of the repository')
    if path.endswith(".h") and path.startswith(LIGHT) and HEAVY.search(text):
        found.append(f"{path} includes Asio or Beast: keep it out of headers of this folder (build time, pure code)")
    return found


class Layers(unittest.TestCase):
    def test_nobody_looks_up(self):
        found = []
        for path in sources.cpp_files():
            found += violations(path, sources.read(path))
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_folder_is_known(self):
        folders = {folder_of(path) for path in sources.cpp_files()}
        known = set(MAY_INCLUDE) | {"control/meshd", "bench", "examples", "tests"}
        self.assertEqual(folders - known, set(), "add the folder to MAY_INCLUDE, or here if it may include everything")

    def test_the_rule_bites(self):
        cases = [
            ("dns/a.cpp", '#include "vxlan/desired.h"', 1),
            ("dns/a.cpp", '#include "base/result.h"', 0),
            ("base/a.h", '#include "control/model/node.h"', 1),
            ("control/store/a.cpp", '#  include "control/manager/x.h"', 1),
            ("control/manager/a.cpp", '#include "dataplane/ring.h"', 0),
            ("control/manager/a.cpp", '#include "dataplane/plan.h"', 1),
            ("control/meshd/main.cpp", '#include "dns/server.h"', 0),
            ("base/a.cpp", '#include "../base/fd.h"', 2),
            ("base/a.cpp", '#include "fd.h"', 2),
            ("control/model/a.h", "#include <boost/asio/any_io_executor.hpp>", 1),
            ("control/cluster/a.h", "#include <boost/asio/any_io_executor.hpp>", 0),
            ("dataplane/a.cpp", '#include "bpf/entry.skel.h"', 0),
            ("vxlan/a.cpp", '// #include "dns/server.h" is what must not be here', 0),
        ]
        for path, text, count in cases:
            with self.subTest(path=path, text=text):
                self.assertEqual(len(violations(path, text)), count, violations(path, text))


if __name__ == "__main__":
    unittest.main()
