"""9,000 connections from one client through all three hosts to three backends; established ones survive scaling."""

import json

import harness
from cluster import ClusterTest

CONNECTIONS = 9000
PORT = 9000
FAULTS = ("refused", "unreachable", "broken", "crossed", "wrong_address")


class TestLoad(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_echo(replicas=3, port=PORT)

    def load(self, *options, family=4):
        return harness.Load(self.lab, "echo", self.cluster.targets(PORT, family), *options)

    def assert_flawless(self, report, connections):
        for fault in FAULTS:
            self.assertEqual(report[fault], 0, report)
        self.assertEqual(report["opened"], connections, report)

    def assert_balanced(self, report, backends, connections):
        """Ring and hash leave at most 10 % imbalance, chance the rest (six standard deviations)."""
        self.assertEqual(len(report["backends"]), backends, report["backends"])
        mean = connections / backends
        for name, count in report["backends"].items():
            self.assertLess(abs(count - mean), 0.2 * mean + 6 * mean ** 0.5, f"{name} has {count} of {connections}")

    def flows_shown(self):
        """What `meshctl dataplane backends` says of the TCP port's backends, one on each host."""
        shown = []
        for host in self.lab.node_names():
            report = json.loads(self.lab.meshctl(host, "dataplane", "backends", "--format", "json"))[0]
            shown += [row["Flows"] for row in report["Backends"] if row["Protocol"] == "tcp"]
        return sorted(shown)

    def test_nine_thousand_connections(self):
        load = self.load("-n", str(CONNECTIONS), "--interval-ms", "2000")
        first = load.report()
        self.assert_flawless(first, CONNECTIONS)
        self.assert_balanced(first, 3, CONNECTIONS)
        # The records of connections that are closed stay for ten seconds.
        harness.wait_for_value(self.flows_shown, sorted(first["backends"].values()), 20,
                               "every connection is shown at its backend")
        last = load.stop()
        self.assert_flawless(last, CONNECTIONS)
        self.assertEqual((last["closed"], last["open"]), (0, CONNECTIONS), last)
        self.assertEqual(last["sent"], last["verified"])

    def test_every_source_port_towards_every_host(self):
        """Three connections of one client port differ only in the host they enter: where they meet at one backend, one
        of them needs another port there, and none may be taken for another."""
        load = self.load("-n", "6000", "--first-port", "30000", "--interval-ms", "1000")
        first = load.report()
        self.assert_flawless(first, 6000)
        last = load.stop()
        self.assert_flawless(last, 6000)
        self.assertEqual(last["open"], 6000, last)
        self.assertGreater(last["other_port"], 0, "some must have met")

    def test_ipv6(self):
        load = self.load("-n", "600", "--first-port", "40000", family=6)
        self.assert_flawless(load.report(), 600)
        self.assert_flawless(load.stop(), 600)

    def test_datagram_flows(self):
        load = self.load("-n", "900", "--udp", "--first-port", "45000", "--interval-ms", "500")
        first = load.report()
        self.assertEqual(first["opened"], 900, first)
        self.assert_balanced(first, 3, 900)
        last = load.stop()
        for fault in (*FAULTS, "moved", "lost"):
            self.assertEqual(last[fault], 0, last)


if __name__ == "__main__":
    harness.main()
