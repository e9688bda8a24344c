"""How scripts/bench judges figures, shows them and compares sizes; no figure is measured here."""

import os
import sys
import unittest
import xml.etree.ElementTree

SOURCE_DIR = os.environ.get("MESH_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE_DIR, "scripts", "lib"))

from meshbench import chart, ipvs, report, results, rows, sizes  # noqa: E402  (the path is set above)

STEADY, SWINGING = [10, 10.1, 10.2, 13, 15], [10, 12, 14, 16, 18]
PEER = rows.Row("peer", "ns", values=[5, 5, 5, 5, 5])


def row(values, limit=None, peers=None, **more):
    return rows.Row("case", "ns", peers or {}, limit, values=values, **more)


class TestJudge(unittest.TestCase):
    def test_marks(self):
        for name, one, mark in (
                ("no target", row(STEADY), ""),
                ("met", row(STEADY, 10), rows.MET),
                ("met on a noisy machine", row(SWINGING, 10), rows.MET),
                ("missed", row(STEADY, 9.9), rows.MISSED),
                ("missed on a noisy machine", row(SWINGING, 9.9), rows.UNCERTAIN),
                ("too few rounds to miss anything", row([10], 9), rows.UNCERTAIN),
                ("ratio met", row(STEADY, None, {"peer": 2.0}), rows.MET),
                ("ratio missed", row(STEADY, None, {"peer": 1.9}), rows.MISSED),
                ("limit met, ratio missed", row(STEADY, 20, {"peer": 1.9}), rows.MISSED),
                ("peer without a target", row(STEADY, None, {"peer": None}), ""),
                ("more is better: met", row(STEADY, 15, lower_is_better=False), rows.MET),
                ("more is better: missed", row([9, 9, 9, 9, 9], 15, lower_is_better=False), rows.MISSED),
                ("not what the target is about", row(STEADY, 10, proves=False), rows.MISSED)):
            with self.subTest(name):
                self.assertEqual(rows.judge(one, [one, PEER]).mark, mark)

    def test_a_noisy_peer_proves_no_ratio_but_a_missed_one(self):
        other = rows.Row("other", "ns", values=SWINGING)
        for limit, mark in ((1.1, rows.UNCERTAIN), (0.9, rows.MISSED)):
            one = row(STEADY, None, {"other": limit})
            self.assertEqual(rows.judge(one, [one, other]).mark, mark)

    def test_ratio_is_of_the_best(self):
        one = row(SWINGING, None, {"peer": None})
        self.assertEqual(rows.judge(one, [one, PEER]).ratios, {"peer": 2.0})


class TestOutput(unittest.TestCase):
    def setUp(self):
        figures = [row(STEADY, 20, {"peer": 1.9}, note="<as it is>"), PEER]
        self.measured = results.result("packet", "title & more", figures, SOURCE_DIR)

    def test_table_names_target_ratio_and_mark(self):
        self.assertRegex(results.table(self.measured), r"(?m)^  case +10.00 +10.20 ns +≤ 20.00  missed  2.00 \(≤ 1.90\) to peer$")

    def test_chart_is_xml(self):
        tree = xml.etree.ElementTree.fromstring(chart.svg(self.measured))
        self.assertIn("case", [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")])

    def test_document(self):
        text = report.document([self.measured], {"program": {"jit": 1, "instructions": 2, "maps": 3 << 20}})
        self.assertIn("| case | 10.00 | 10.20 | ns | ≤ 20.00 | 2.00 (≤ 1.90) to peer | missed |", text)
        self.assertIn("| program | 1 | 2 | 3.0 |", text)

    def test_noise(self):
        self.assertEqual(results.noise(self.measured), "")
        self.assertIn("prove nothing", results.noise(results.result("g", "t", [row([1, 1])], SOURCE_DIR)))
        self.assertIn("too noisy to judge case", results.noise(results.result("g", "t", [row(SWINGING, 1)], SOURCE_DIR)))


class TestIpvs(unittest.TestCase):
    def test_figures_of_the_machine_are_its_last_word(self):
        kept = ipvs.as_line([row(STEADY, None, {"peer": None}), PEER])
        found = ipvs.figures(f"kernels: booted\nround 1/5: case\n{kept}\nstatus 0\n")
        self.assertEqual([(one.name, one.values, one.peers) for one in found],
                         [("case", STEADY, {"peer": None}), ("peer", PEER.values, {})])

    def test_nothing_said(self):
        with self.assertRaisesRegex(RuntimeError, "(?s)measured nothing.*no such module"):
            ipvs.figures("kernels: booted\nip_vs: no such module\n")


class TestSizes(unittest.TestCase):
    KEPT = {"programs": {"a": {"jit": 1000, "instructions": 100, "maps": 10}}}

    def test_a_tenth_more_is_no_jump(self):
        self.assertEqual(sizes.jumps(self.KEPT, {"a": {"jit": 1100, "instructions": 110, "maps": 11}}, sizes.MEASURES), [])

    def test_jumps(self):
        lines = sizes.jumps(self.KEPT, {"a": {"jit": 1101, "instructions": 50, "maps": 20}}, ["jit", "instructions"])
        self.assertEqual(lines, ["a: JIT bytes grew from 1000 to 1101 (+10%)"])

    def test_programs_that_came_and_went(self):
        lines = sizes.jumps(self.KEPT, {"b": {"jit": 1, "instructions": 1, "maps": 1}}, sizes.MEASURES)
        self.assertEqual(len(lines), 2, lines)


if __name__ == "__main__":
    unittest.main()
