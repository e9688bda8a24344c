"""scripts/bench measures every group and reports it. Nothing is said about the figures: they are too small, and beside
other tests."""

import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

import harness

BENCH = os.path.join(harness.SOURCE_DIR, "scripts", "bench")
# Group: the ends that its measurements have to find. A row without a figure, or a peer that is no row, fails everywhere.
ROWS = {
    "forward": ["entry: plain routing", "entry: iptables DNAT + masquerade", "entry: mesh, tc", "entry: mesh, xdp",
                "backend: kernel VXLAN device + bridge", "backend: mesh, tc", "backend: mesh, xdp",
                "connections: HAProxy (TCP), bridges, VXLAN", "connections: mesh, tc"],
    "latency": ["direct veth", "published port, HAProxy (TCP), bridges, VXLAN", "published port, mesh (tc)",
                "published port, mesh (tc), dsr", "containers on one host, mesh",
                "containers on two hosts, by VIP"],
    "overlay": ["mesh, tc, throughput", "mesh, tc, bytes per underlay packet"],
    "connect": ["VIP minus address"],
    "scale": ["start that finds all in the kernel"],
    "start": ["lab up 3", "service create to first answer"],
    "packet": ["floor, 1 flow", "entry, 10,000 services", "backend, 64 Ki flows", "reply to another host, 1 flow",
               "overlay in", "rewrite of 10,000 rings", "tables at their largest"],
}


class TestBench(unittest.TestCase):
    def bench(self, group, *more):
        """(exit status, the table, the decoded file)"""
        with tempfile.TemporaryDirectory() as results:
            command = [BENCH, group, "--rounds", "1", "--small", "--quiet", "--build", harness.BUILD_DIR, "--results", results,
                       *more]
            bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

            def end():
                if bench.poll() is None:
                    bench.send_signal(signal.SIGINT)  # so that it takes down what it made
                bench.communicate(timeout=60)

            harness.close_with(self, end)
            output, errors = bench.communicate(timeout=150)
            self.assertEqual(sorted(os.listdir(results)), [f"{group}.json", f"{group}.svg"], errors)
            with open(os.path.join(results, f"{group}.json")) as file:
                return bench.returncode, output, json.load(file)

    def check(self, group, expected):
        status, table, result = self.bench(group)
        self.assertEqual(status, 0)
        self.assertEqual((result["group"], result["cpus"]), (group, os.cpu_count()))
        names = [row["name"] for row in result["rows"]]
        self.assertLessEqual(set(expected), set(names))
        for row in result["rows"]:
            self.assertRegex(table, rf"(?m)^  {re.escape(row['name'])} +-?[0-9.]")
            self.assertEqual(len(row["values"]), 1, row)
            for peer in row["peers"]:
                self.assertIn(peer["name"], names)
                self.assertIsNotNone(peer["ratio"], row)
        self.assertIn("1 rounds prove nothing", table)

    def test_groups(self):
        for group, expected in ROWS.items():
            with self.subTest(group=group):
                self.check(group, expected)

    def test_check_ends_with_the_worst_mark(self):
        status, _, result = self.bench("connect", "--check")
        marks = [row["mark"] for row in result["rows"]]
        self.assertEqual(status, 3 if "noisy" in marks else 0, marks)


if __name__ == "__main__":
    harness.main()
