"""scripts/bench measures every group and reports it. Nothing is said about the figures: they are too small, and beside
other tests."""

import json
import os
import re
import subprocess
import tempfile
import unittest

import harness

BENCH = os.path.join(harness.SOURCE_DIR, "scripts", "bench")
VETH = "direct veth"
NFT = "nftables DNAT + masquerade"
# Row: the peer it is compared with.
ROWS = {
    "forward": {"plain routing": NFT, NFT: "", "mesh entry, tc": NFT, "mesh entry, xdp": NFT},
    "latency": {VETH: "", "client to host through the lab's switch": VETH,
                "published port, task on another host (tc)": VETH, "container to container, same host": VETH,
                "container to container, other host": VETH, "container to VIP, other host": VETH},
    "start": {"lab up 3": "", "service create to first answer": ""},
}


class TestBench(unittest.TestCase):
    def measure(self, group):
        """(the table, the decoded file)"""
        with tempfile.TemporaryDirectory() as results:
            command = [BENCH, group, "--rounds", "1", "--small", "--quiet", "--build", harness.BUILD_DIR, "--results", results]
            bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(bench.kill)
            output, errors = bench.communicate(timeout=150)
            self.assertEqual(bench.returncode, 0, errors)
            self.assertEqual(os.listdir(results), [f"{group}.json"])
            with open(os.path.join(results, f"{group}.json")) as file:
                return output, json.load(file)

    def check(self, group):
        table, result = self.measure(group)
        self.assertEqual((result["group"], result["cpus"]), (group, os.cpu_count()))
        for row in result["rows"]:
            self.assertRegex(table, rf"(?m)^  {re.escape(row['name'])} +[0-9.]")
            self.assertEqual(len(row["values"]), 1, row)
            self.assertEqual(row["ratio"] is not None, row["peer"] != "", row)
        return {row["name"]: row["peer"] for row in result["rows"]}

    def test_groups_with_fixed_rows(self):
        for group, expected in ROWS.items():
            with self.subTest(group=group):
                self.assertEqual(self.check(group), expected)

    def test_packet(self):
        """Its rows are those of the programs; every peer is a row."""
        found = self.check("packet")
        self.assertGreaterEqual(len(found), 8, found)
        self.assertLessEqual({peer for peer in found.values() if peer}, found.keys())


if __name__ == "__main__":
    harness.main()
