"""Narrow places: on a client's way, and on the wire of one host. Whoever sends too much is told so, through the mesh and
through a network between containers, in both directions; what is sent then arrives."""

import json
import os

import harness
from cluster import ClusterTest

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "path_mtu.py")
PYTHON = ("/usr/bin/python3", "-B", PROGRAM)
PORT, TARGET = 9500, 95
NARROW_WIRE = 1400  # of node3
IN_TUNNEL = NARROW_WIRE - 50
CLIENT_WAY = 1300
FAR = {4: "198.51.100.2", 6: "2001:db8:51::2"}


class TestPathMtu(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        lab = cluster.lab
        # A wire is narrow for both of its ends, and its neighbours know it from their routes.
        lab.run("node3", "ip", "link", "set", "eth0", "mtu", str(NARROW_WIRE))
        for host in ("node1", "node2"):
            lab.run(host, "ip", "route", "add", f"{lab.address('node3')}/32", "dev", "eth0", "mtu", str(NARROW_WIRE))
        cluster.create_network("net")
        for host in ("node1", "node3"):
            cluster.create_service(f"on-{host}", "mesh-tools", running=1,
                                   options=("--network", "net", "--constraint", f"node.hostname=={host}"))
        cls.add_far_client(lab)

    @staticmethod
    def add_far_client(lab):
        """Behind the client, over a wire that is narrow in the middle: client ─ 1300 ─ middle ─ 1500 ─ far."""
        lab.run("client", "sh", "-ec", f"""
            for name in middle far; do ip netns add $name; ip -n $name link set lo up; done
            ip link add narrow0 mtu {CLIENT_WAY} type veth peer name narrow1 mtu {CLIENT_WAY} netns middle
            ip -n middle link add wide0 type veth peer name wide1 netns far
            ip addr add 198.51.100.9/30 dev narrow0; ip addr add 2001:db8:52::1/64 dev narrow0 nodad
            ip -n middle addr add 198.51.100.10/30 dev narrow1; ip -n middle addr add 2001:db8:52::2/64 dev narrow1 nodad
            ip -n middle addr add 198.51.100.1/30 dev wide0; ip -n middle addr add 2001:db8:51::1/64 dev wide0 nodad
            ip -n far addr add {FAR[4]}/30 dev wide1; ip -n far addr add {FAR[6]}/64 dev wide1 nodad
            ip link set narrow0 up; ip -n middle link set narrow1 up
            ip -n middle link set wide0 up; ip -n far link set wide1 up
            ip netns exec middle sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            ip -n far route add default via 198.51.100.1; ip -n far route add default via 2001:db8:51::1
            ip -n middle route add default via 198.51.100.9; ip -n middle route add default via 2001:db8:52::1
            ip route add 198.51.100.0/30 via 198.51.100.10; ip route add 2001:db8:51::/64 via 2001:db8:52::2
            """)

    def setUp(self):
        self.tasks = {host: self.cluster.running(f"on-{host}")[0] for host in ("node1", "node3")}

    def serve(self, host):
        """The server beside the container on `host`."""
        process = self.cluster.start_beside(self.tasks[host], *PYTHON, "server", str(TARGET), stdin=harness.PIPE)
        self.assertEqual(process.stdout.readline(), "listening\n")
        self.addCleanup(process.stdin.close)

    def published(self, host):
        self.serve(host)
        for protocol in ("tcp", "udp"):
            self.lab.meshctl("node1", "publish", f"{PORT}:{TARGET}/{protocol}", f"on-{host}")
            self.addCleanup(self.lab.meshctl, "node1", "unpublish", f"{PORT}/{protocol}", f"on-{host}")
        self.cluster.mesh(f"/services/on-{host}/ready?timeout=20s")

    def answer(self, result):
        return result.stdout.strip() or result.stderr

    def far(self, *command):
        return self.answer(self.lab.run("client", "ip", "netns", "exec", "far", *PYTHON, *command, check=False))

    def client(self, *command):
        return self.answer(self.lab.run("client", *PYTHON, *command, check=False))

    def beside(self, host, *command):
        return self.answer(self.cluster.beside(self.tasks[host], *PYTHON, *command, check=False))

    def address_in_net(self, host):
        return self.cluster.address_on(self.tasks[host], "net")

    def test_narrow_way_to_the_client(self):
        """The answers are too large for it: the router's error is about the published address, and must reach the
        container, whatever host the client asks and wherever the container is."""
        for backend in ("node1", "node3"):
            self.published(backend)
            for entry in self.lab.node_names():
                for family in (4, 6):
                    address = self.lab.address(entry, family)
                    self.assertEqual(self.far("download", address, str(PORT)), "done", f"{address}, backend on {backend}")
                    self.assert_learned(backend, family)
                    self.assertEqual(self.far("upload", address, str(PORT)), "done", f"{address}, backend on {backend}")
            self.doCleanups()

    def assert_learned(self, host, family):
        """The container's own kernel has the router's word for it."""
        route = self.cluster.beside(self.tasks[host], "ip", f"-{family}", "route", "get", FAR[family]).stdout
        self.assertIn(f"mtu {CLIENT_WAY}", route)

    def test_entry_says_what_fits_into_the_tunnel(self):
        self.published("node3")
        for family in (4, 6):
            for entry, fits in (("node1", IN_TUNNEL), ("node2", IN_TUNNEL), ("node3", IN_TUNNEL)):
                address = self.lab.address(entry, family)
                self.assertEqual(self.client("datagram", address, str(PORT), str(fits)), "arrived", address)
                self.assertEqual(self.client("datagram", address, str(PORT), str(fits + 1)), str(fits), address)
            self.lab.run("client", "sh", "-c", "ip route flush cache; ip -6 route flush cache")

    def test_between_containers(self):
        """Both directions; the sender on the wide wire must be told by its own host."""
        for server, sender in (("node3", "node1"), ("node1", "node3")):
            self.serve(server)
            address = self.address_in_net(server)
            self.assertEqual(self.beside(sender, "download", address, str(TARGET)), "done")
            self.assertEqual(self.beside(sender, "upload", address, str(TARGET)), "done")
            self.assertEqual(self.beside(sender, "datagram", address, str(TARGET), str(IN_TUNNEL)), "arrived")
            self.assertEqual(self.beside(sender, "datagram", address, str(TARGET), str(IN_TUNNEL + 1)), str(IN_TUNNEL))
            self.doCleanups()

    def test_answers_over_the_narrow_wire(self):
        """The client asks node3, the container on node1 answers through it: its answers fit."""
        self.published("node1")
        for family in (4, 6):
            address = self.lab.address("node3", family)
            self.assertEqual(self.client("download", address, str(PORT)), "done", address)
            self.assertEqual(self.client("upload", address, str(PORT)), "done", address)

    def test_where_a_firewall_drops_icmp(self):
        """The client never hears that its packets are too large for the tunnel (node3's wire is narrower than that of the
        container's host): they must not be, in the first place."""
        self.lab.run("client", "nft", "-f", "-", text_input="""
            table inet deaf {
                chain in {
                    type filter hook input priority 0
                    icmp type destination-unreachable drop
                    icmpv6 type packet-too-big drop
                }
            }
            """)
        self.addCleanup(self.lab.run, "client", "nft", "delete", "table", "inet", "deaf")
        self.lab.run("client", "sh", "-c", "ip route flush cache; ip -6 route flush cache")
        self.published("node1")
        address = self.lab.address("node3")
        self.assertEqual(self.client("datagram", address, str(PORT), str(IN_TUNNEL + 1)), "nothing heard")
        before = self.clamped("node1") + self.clamped("node3")
        for family in (4, 6):
            address = self.lab.address("node3", family)
            # First, as what the container hears about its own packets makes it ask for less.
            self.cluster.beside(self.tasks["node1"], "ip", f"-{family}", "route", "flush", "cache")
            self.assertEqual(self.client("upload", address, str(PORT)), "done", address)
            self.assertEqual(self.client("download", address, str(PORT)), "done", address)
        self.assertGreater(self.clamped("node1") + self.clamped("node3"), before)

    def clamped(self, host):
        events = json.loads(self.lab.meshctl(host, "dataplane", "drops", "--format", "json"))[0]["Events"]
        return sum(row["Packets"] for row in events if row["Reason"] == "mss_clamped")


if __name__ == "__main__":
    harness.main()
