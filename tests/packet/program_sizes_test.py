"""The kernel programs have not grown by more than a tenth since bench/program_sizes.json was renewed."""

import os
import sys
import unittest

SOURCE_DIR = os.environ["MESH_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE_DIR, "scripts", "lib"))

from meshbench import packet, sizes  # noqa: E402  (the path is set above)

SKIPPED = 77


class TestProgramSizes(unittest.TestCase):
    def test_no_jump(self):
        found = packet.sizes(os.environ["MESH_BIN_DIR"])
        print(sizes.table(found))
        kept = sizes.load(SOURCE_DIR)
        jumps = sizes.jumps(kept, found, sizes.comparable(kept))
        self.assertEqual(jumps, [], sizes.ADVICE)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: needs root to load programs")
        sys.exit(SKIPPED)
    if not sizes.comparable(sizes.load(SOURCE_DIR)):
        print(f"skipped: {sizes.GOLDEN} was made on another kernel with another number of CPUs")
        sys.exit(SKIPPED)
    unittest.main()
