"""Hosts with more than one uplink: clients on one network, the cluster on the other; uplinks that come later; those that
meshd finds by itself; one on which somebody else's XDP program is. Each check fails when only the first is attached."""

import os
import re

import harness
from cluster import Cluster, ClusterTest

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 8010
SECOND = {"client": ("172.31.0.250", "fd00:172:31::fa"), "node1": ("172.31.0.1", "fd00:172:31::1"),
          "node2": ("172.31.0.2", "fd00:172:31::2")}
FRAMES = 20


def with_prefix(host):
    v4, v6 = SECOND[host]
    return f"{v4}/24", f"{v6}/64"


class UplinkTest(ClusterTest):
    nodes = 2

    @classmethod
    def deploy(cls, cluster):
        # Behind node1 there is another host: what a client sends takes both of node1's networks.
        cluster.create_service("web", "image-gallery", running=1,
                               options=("--publish", f"{PORT}:80", "--constraint", "node.hostname==node2"))

    @classmethod
    def join_second_network(cls):
        for host in ("node1", "node2"):
            cls.lab.wire(host, "eth1", *with_prefix(host))
        for address in with_prefix("client"):
            cls.lab.run("client", "ip", "address", "add", address, "dev", "wires", *(["nodad"] if ":" in address else []))

    def ask(self, address, **options):
        return self.lab.http(f"http://{harness.host_literal(address)}:{PORT}/whoami", **options)

    def wait_answers(self, host, what):
        for client, address in zip(SECOND["client"], SECOND[host]):
            harness.wait_for(lambda a=address: self.ask(a, timeout_s=2).status == 200, 20, f"{address} answers: {what}")
            self.assertEqual(self.ask(address).json()["client"], client)

    def bytes_on(self, host, interface):
        return int(self.lab.run(host, "cat", f"/sys/class/net/{interface}/statistics/tx_bytes").stdout)

    def entered(self, host):
        """Packets of clients that entered the mesh there."""
        traffic = self.cluster.api("GET", "/mesh/dataplane/services", host=host)["Traffic"]
        return sum(port["Entry"]["Packets"] for port in traffic if port["Port"] == PORT)


class TestNamedUplinks(UplinkTest):
    options = ("--uplink", "eth0,eth1")

    @classmethod
    def deploy(cls, cluster):
        super().deploy(cluster)
        cls.before = cls.lab.run("node1", "meshctl", "doctor", check=False)
        cls.join_second_network()

    def test_one_that_is_not_there_is_named_and_attached_when_it_comes(self):
        self.assertEqual(self.before.returncode, 1)
        self.assertIn('there is no interface "eth1"', self.before.stdout)
        self.wait_answers("node1", "it came later")
        self.assertEqual(self.lab.http(self.lab.url("node1", PORT, "/whoami")).status, 200, "the first one too")
        harness.wait_for(lambda: "uplink eth1: " in self.lab.meshctl("node1", "doctor"), 20, "nothing is wrong any more")
        self.lab.in_network("client", "ip", "link", "delete", "w-node1")
        harness.wait_for(lambda: "eth1" not in self.lab.meshctl("node1", "info"), 20, "it is gone")
        self.assertEqual(self.lab.http(self.lab.url("node1", PORT, "/whoami")).status, 200, "the first one stays")
        self.lab.wire("node1", "eth1", *with_prefix("node1"))
        self.wait_answers("node1", "another interface of its name")

    def test_tunnel_packets_over_the_second(self):
        self.wait_answers("node1", "it is attached")
        for host, other in (("node1", "node2"), ("node2", "node1")):
            route = (f"{self.lab.address(other)}/32", "via", SECOND[other][0], "dev", "eth1", "src", self.lab.address(host))
            self.lab.run(host, "ip", "route", "add", *route)
            self.addCleanup(self.lab.run, host, "ip", "route", "del", *route)

        def second_carries():
            before = self.bytes_on("node1", "eth1"), self.bytes_on("node2", "eth1")
            for _ in range(FRAMES):
                self.assertEqual(self.ask(self.lab.address("node1")).status, 200)
            return all(self.bytes_on(host, "eth1") - was > FRAMES * 100 for host, was in zip(("node1", "node2"), before))

        harness.wait_for(second_carries, 20, "packets between the hosts take the second network")

    def test_frames_of_a_vlan_are_not_taken_for_untagged_ones(self):
        self.wait_answers("node1", "it is attached")
        mac = self.lab.run("node1", "cat", "/sys/class/net/eth1/address").stdout.strip()

        before = self.entered("node1")
        # From an address that nobody has, or the answers would be answered too.
        for vlan in (5, -1):
            self.lab.run("client", "/usr/bin/python3", "-B", f"{HERE}/tagged_syn.py", "w-node1", mac, "172.31.0.99",
                         SECOND["node1"][0], str(PORT), str(vlan), str(FRAMES))
        harness.wait_for(lambda: self.entered("node1") - before >= FRAMES, 10, "the untagged ones, which were sent last")
        self.assertEqual(self.entered("node1") - before, FRAMES)


class TestPublishedOnAnInterface(UplinkTest):
    options = ("--uplink", "eth0,eth1")
    EDGE = 8030

    @classmethod
    def deploy(cls, cluster):
        super().deploy(cluster)
        cls.lab.wire("node1", "eth1", *with_prefix("node1"))
        for address in with_prefix("client"):
            cls.lab.run("client", "ip", "address", "add", address, "dev", "wires", *(["nodad"] if ":" in address else []))
        cls.lab.meshctl("node1", "publish", f"eth1:{cls.EDGE}:80", "web")

    def answers(self, address):
        url = f"http://{harness.host_literal(address)}:{self.EDGE}/whoami"
        answer = self.lab.http(url, timeout_s=2, check=False)
        return answer is not None and answer.status == 200

    def test_only_its_addresses_answer(self):
        for address in SECOND["node1"]:
            harness.wait_for(lambda a=address: self.answers(a), 20, f"{address} of eth1 answers")
        for host, family in (("node1", 4), ("node1", 6), ("node2", 4)):
            self.assertEqual(self.lab.http(self.lab.url(host, PORT, "/whoami", family)).status, 200, "another port answers")
            self.assertFalse(self.answers(self.lab.address(host, family)), f"{host}, IPv{family}: no address of an eth1")

    def test_it_follows_the_addresses(self):
        moved = "172.31.0.77"
        self.assertFalse(self.answers(moved))
        self.lab.run("node1", "ip", "address", "add", f"{moved}/24", "dev", "eth1")
        harness.wait_for(lambda: self.answers(moved), 20, "an address that eth1 got")
        self.lab.run("node1", "ip", "address", "del", f"{moved}/24", "dev", "eth1")
        self.lab.run("node1", "ip", "address", "add", f"{moved}/32", "dev", "eth0")
        self.addCleanup(self.lab.run, "node1", "ip", "address", "del", f"{moved}/32", "dev", "eth0")
        harness.wait_for(lambda: self.ask(moved, check=False, timeout_s=2) and not self.answers(moved), 20,
                         "it is another interface's now: only ports of every address answer")

    def test_whoever_has_the_interface_is_asked_and_told_of(self):
        other = self.lab.run("node1", "meshctl", "publish", "-d", "eth7:8031:80", "web")
        self.addCleanup(self.lab.meshctl, "node1", "unpublish", "8031", "web")
        harness.wait_for(lambda: "8031/tcp of service web is answered nowhere" in self.lab.meshctl("node1", "status"), 20,
                         f"nobody has an eth7: {other.stderr}")


class TestFoundUplinks(UplinkTest):
    options = ("--uplink", "")

    @classmethod
    def setUpClass(cls):
        cls.lab = harness.Lab(cls.nodes, *cls.options, uplink_mode="auto")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__)
        cls.cluster = Cluster(cls.lab)
        cls.deploy(cls.cluster)

    @classmethod
    def deploy(cls, cluster):
        super().deploy(cluster)
        cls.join_second_network()

    def uplinks(self, host):
        """What `meshctl info` says: {name: "mode, why"}."""
        text = self.lab.meshctl(host, "info").partition(" Uplinks:\n")[2]
        return dict(re.findall(r"(?m)^  (\S+): (.*)$", text))

    def test_that_of_the_default_route_and_that_of_the_cluster(self):
        self.assertEqual(list(self.uplinks("node1")), ["eth0"])
        self.assertIsNone(self.ask(SECOND["node1"][0], timeout_s=2, check=False), "no uplink yet")
        self.lab.run("node1", "ip", "route", "replace", "default", "via", SECOND["client"][0], "dev", "eth1")
        self.addCleanup(self.lab.run, "node1", "ip", "route", "replace", "default", "via", self.lab.address("client"))
        self.lab.run("node1", "ip", "-6", "route", "replace", "default", "via", SECOND["client"][1], "dev", "eth1")
        self.addCleanup(self.lab.run, "node1", "ip", "-6", "route", "replace", "default", "via", self.lab.address("client", 6))
        self.wait_answers("node1", "the default route leaves there")
        reason = "tc, chosen because XDP on veth copies every packet and loses segmentation offload"
        self.assertEqual(self.uplinks("node1"), {"eth0": reason, "eth1": reason})

    def test_that_towards_another_host(self):
        self.assertEqual(list(self.uplinks("node2")), ["eth0"])
        route = (f"{self.lab.address('node1')}/32", "via", SECOND["node1"][0], "dev", "eth1", "src", self.lab.address("node2"))
        self.lab.run("node2", "ip", "route", "add", *route)
        self.addCleanup(self.lab.run, "node2", "ip", "route", "del", *route)
        self.wait_answers("node2", "the route to node1 leaves there")
        self.assertEqual(list(self.uplinks("node2")), ["eth0", "eth1"])

    def test_another_program_on_it_stays_and_is_named(self):
        self.lab.run("node1", "/usr/bin/python3", "-B", f"{HERE}/foreign_xdp.py", "guard", "/sys/fs/bpf/guard")
        self.lab.run("node1", "ip", "link", "set", "dev", "eth0", "xdp", "pinned", "/sys/fs/bpf/guard")
        self.addCleanup(self.lab.run, "node1", "ip", "link", "set", "dev", "eth0", "xdp", "off")
        self.lab.verb("meshd", "restart", "node1")
        harness.wait_for(lambda: "guard (id " in self.uplinks("node1")["eth0"], 20, "its name")
        self.assertRegex(self.uplinks("node1")["eth0"], "^tc, chosen because another XDP program is attached there: guard")
        self.assertIn("another XDP program is attached there: guard", self.lab.meshctl("node1", "doctor"))
        harness.wait_for(lambda: self.lab.http(self.lab.url("node1", PORT, "/whoami")).status == 200, 20, "it answers")
        programs = self.lab.run("node1", "ip", "-d", "link", "show", "eth0").stdout
        self.assertRegex(programs, r"prog/xdp id \d+ name guard")


if __name__ == "__main__":
    harness.main()
