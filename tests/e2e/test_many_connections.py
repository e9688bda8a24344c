"""10,000 open connections through three hosts while their backends become 3, 10, 3 and 7 and meshd is restarted on every
host meanwhile: every payload is verified, and a connection ends only with its backend."""

import harness
from cluster import ClusterTest

PORT = 9000
CONNECTIONS = 10_000
SIZES = (10, 3, 7)
FAULTS = ("refused", "unreachable", "broken", "crossed", "wrong_address")


class TestManyConnections(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_echo(replicas=3, port=PORT)

    def restart_all(self):
        for host in self.lab.node_names():
            self.lab.verb("meshd", "restart", host)
        harness.wait_for(lambda: {node["Status"]["State"] for node in self.cluster.api("GET", "/nodes")} == {"ready"}, 30,
                         "all nodes are ready")

    def names(self):
        """The containers that run: the server of each connection calls itself by its container's name."""
        return {task["Status"]["ContainerStatus"]["ContainerID"][:12] for task in self.cluster.running("echo")}

    def test_ten_thousand(self):
        load = harness.Load(self.lab, "echo", self.cluster.targets(PORT), "-n", str(CONNECTIONS), "--interval-ms", "2000",
                            "--timeout-ms", "20000")
        first = load.report()
        self.assertEqual([first[fault] for fault in FAULTS], [0] * len(FAULTS), first)
        self.assertEqual((first["opened"], len(first["backends"])), (CONNECTIONS, 3), first)
        lived = self.names()
        self.assertEqual({name.partition("-")[0] for name in first["backends"]}, lived)
        for size in SIZES:
            self.lab.meshctl("node1", "service", "scale", "-d", f"echo={size}")
            self.restart_all()
            self.cluster.wait_running("echo", size)
            lived &= self.names()
        last = load.stop()
        for fault in FAULTS:
            self.assertEqual(last[fault], 0, last)
        kept = sum(count for name, count in first["backends"].items() if name.partition("-")[0] in lived)
        self.assertGreater(kept, 0, "some backend has lived all the time")
        self.assertEqual((last["open"], last["closed"]), (kept, CONNECTIONS - kept), last)
        self.assertGreaterEqual(last["verified"], 2 * CONNECTIONS, last)


if __name__ == "__main__":
    harness.main()
