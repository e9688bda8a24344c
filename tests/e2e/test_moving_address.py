"""An address that moves from a dead host to a living one, as keepalived does it: connections through it live on."""

import harness
from cluster import ClusterTest

PORT = 9000
ADDRESS = "172.30.0.200"
CONNECTIONS = 300


class TestMovingAddress(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_echo(replicas=2, port=PORT, options=("--constraint", "node.hostname!=node3"))

    def take_address(self, host):
        self.lab.run(host, "ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
        # In place of the new holder's announcement.
        self.lab.run("client", "ip", "neighbour", "flush", "to", ADDRESS)

    def test_connections_survive_their_entry_host(self):
        self.take_address("node3")
        harness.wait_for(lambda: self.lab.run("client", f"{harness.BIN_DIR}/mesh-load", "echo", f"{ADDRESS}:{PORT}", "-n", "1",
                                              "--duration-ms", "500", check=False).returncode == 0, 20, "the address answers")
        load = harness.Load(self.lab, "echo", [f"{ADDRESS}:{PORT}"], "-n", str(CONNECTIONS), "--interval-ms", "200")
        first = load.report()
        self.assertEqual((first["opened"], len(first["backends"])), (CONNECTIONS, 2), first)
        self.lab.verb("kill", "node3")
        self.take_address("node2")
        harness.wait_for(lambda: any(node["Status"]["State"] == "down" for node in self.cluster.api("GET", "/nodes")), 45,
                         "node3 is down")
        last = load.stop()
        # One of 20,000 is taken for others, whose packets come first again and again.
        self.assertLessEqual(last["broken"], 1, last)
        self.assertEqual((last["crossed"], last["closed"]), (0, 0), last)
        # In the 16 s until the host is down each asks some 80 times; a quarter shows that they go on after the move.
        self.assertGreater(last["verified"], 20 * CONNECTIONS, last)


if __name__ == "__main__":
    harness.main()
