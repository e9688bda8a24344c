"""`meshctl trace`: the way of a packet through the programs of all hosts on it, which are told nothing by it."""

import json

import harness
from cluster import ClusterTest

PORT = 8010
CLIENT_PORT = 20000  # below those that real clients are given


class TestTrace(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_network("back")
        cluster.create_service("web", "image-gallery", running=3, options=(
            "--replicas", "3", "--publish", f"{PORT}:80", "--publish", f"{PORT}:80/udp", "--network", "back"))
        for host in cls.lab.node_names():
            harness.wait_for(lambda h=host: cls.lab.http(cls.lab.url(h, PORT, "/whoami")).status == 200, 20,
                             f"{host} serves port {PORT}")
        cls.lab.wait_agreement("node1")

    def trace(self, source, destination, port=PORT, *options, host="node1"):
        found = json.loads(self.lab.meshctl(host, "trace", "--src", source, "--dst", destination, "--dport", str(port),
                                            *options, "--format", "json"))[0]
        self.assertEqual(found["Error"], "")
        return found

    def lines(self, found):
        return "\n".join(line for step in found["Steps"] for line in step["Lines"])

    def hosts_of(self, found):
        hosts = []
        for step in found["Steps"]:
            if hosts[-1:] != [step["Node"]]:
                hosts.append(step["Node"])
        return hosts

    def client(self, port=CLIENT_PORT):
        return f"{self.lab.address('client')}:{port}"

    def remote(self, entry, *options):
        """A trace of a client whose connection goes to a task on another host than the entry, straight."""
        for port in range(CLIENT_PORT, CLIENT_PORT + 64):
            found = self.trace(self.client(port), self.lab.address(entry), PORT, *options)
            if len(self.hosts_of(found)) > 1 and "stage circle" not in self.lines(found):
                return port, found
        raise AssertionError("64 connections in a row to a task of the entry host")

    def state_of(self, host):
        """What a packet could leave behind on a host: counters and flow records, as far as they move by packets only."""
        counts = json.loads(self.lab.meshctl(host, "dataplane", "drops", "--format", "json"))[0]
        backends = json.loads(self.lab.meshctl(host, "dataplane", "backends", "--format", "json"))[0]
        flows = json.loads(self.lab.meshctl(host, "dataplane", "flows", "--format", "json"))[0]["Flows"]
        # Requests for neighbours and routers (multicast) come by themselves, and closed flows go.
        mesh = ("entry", "entry_local", "forward_in", "forward_on", "reply_out", "reply_in", "flow_created", "flow_reopened")
        return {"drops": {row["Reason"]: row["Packets"] for row in counts["Drops"] if row["Reason"] != "multicast"},
                "events": {row["Reason"]: row["Packets"] for row in counts["Events"] if row["Reason"] in mesh},
                "backends": [{key: value for key, value in row.items() if key != "Flows"} for row in backends["Backends"]],
                "ports": backends["Ports"],
                "traced": [flow for flow in flows if int(flow["Client"].rpartition(":")[2]) in range(CLIENT_PORT, CLIENT_PORT + 64)]}

    def test_a_syn_and_its_answer_across_hosts(self):
        for entry in ("node1", "node2"):
            port, found = self.remote(entry)
            hosts = self.hosts_of(found)
            self.assertEqual((hosts[0], hosts[-1], len(hosts)), (entry, entry, 3), found)
            self.assertEqual(found["End"], "answered")
            text = self.lines(found)
            self.assertRegex(text, rf"service web, port {PORT}/tcp: ring version \d+, slot \d+ of 256 belongs to task "
                                   rf"web\.\d\.\w+ on {hosts[1]}")
            self.assertRegex(text, rf"=> encapsulated to {hosts[1]}")
            self.assertIn("flow: no record here; one is made", text)
            self.assertRegex(text, r"=> delivered to task web\.\d\.\w+ as tcp .* SYN")
            self.assertRegex(text, r"flow: record found, new, idle \d s: task web")
            self.assertIn(f"=> sent on to {self.lab.address('client')} as tcp {self.lab.address(entry)}:{PORT} -> "
                          f"{self.client(port)} SYN ACK", text)
            mode = self.lab.uplink_mode
            self.assertEqual(found["Steps"][0]["Where"], f"uplink eth0 ({mode})")

    def test_other_packets(self):
        _, found = self.remote("node1", "--proto", "udp")
        self.assertEqual(found["End"], "answered")
        self.assertIn(f"service web, port {PORT}/udp", self.lines(found))
        _, found = self.remote("node1", "--ack")
        # Of packets in mid-flow one of 16 is looked up where the owner is certain.
        self.assertRegex(self.lines(found), "flow: (no record here; it is made again|not looked up)")
        self.assertIn(" RST", "".join(step["Packet"] for step in found["Steps"]), "a container without such a connection")
        found = self.trace(self.client(), self.lab.address("node1"), PORT + 1)
        self.assertEqual(found["End"], "handed to this host's own stack", found)
        client6 = f"[{self.lab.address('client', 6)}]:{CLIENT_PORT}"
        self.assertEqual(self.trace(client6, self.lab.address("node3", 6))["End"], "answered")

    def test_between_tasks(self):
        tasks = self.cluster.running("web")
        here, there = tasks[0], next(task for task in tasks if task["NodeID"] != tasks[0]["NodeID"])
        source, destination = self.cluster.address_on(here, "back"), self.cluster.address_on(there, "back")
        found = self.trace(source, destination, 80)
        self.assertEqual(self.hosts_of(found), [self.cluster.host_of(here), self.cluster.host_of(there),
                                                self.cluster.host_of(here)])
        self.assertEqual(found["End"], "answered")
        self.assertIn("packet of a network", self.lines(found))
        # Not to another network's address.
        ingress = self.cluster.address_on(there, "ingress")
        found = self.trace(source, ingress, 80)
        self.assertTrue(found["End"].startswith("dropped: isolated"), found)

    def test_a_real_flow_is_found(self):
        with self.lab.start("client", "/usr/bin/python3", "-c",
                            f"import socket, sys; s = socket.create_connection(('{self.lab.address('node2')}', {PORT}));"
                            "print(s.getsockname()[1], flush=True); sys.stdin.read()", stdin=-1) as connection:
            port = int(connection.stdout.readline())
            text = self.lines(self.trace(self.client(port), self.lab.address("node2"), PORT, "--ack"))
            self.assertRegex(text, r"flow: record found, established, idle \d+ s: task web\.\d\.\w+ at 10\.")
            connection.stdin.close()

    def test_nothing_is_left_behind(self):
        before = {host: self.state_of(host) for host in self.lab.node_names()}
        for entry in self.lab.node_names():
            for options in ((), ("--ack",), ("--proto", "udp")):
                self.trace(self.client(), self.lab.address(entry), PORT, *options)
        self.remote("node1")
        self.trace(self.client(), self.lab.address("node1"), PORT + 1)
        after = {host: self.state_of(host) for host in self.lab.node_names()}
        self.assertEqual(before, after)
        self.assertEqual([state["traced"] for state in after.values()], [[], [], []])

    def test_mistakes_are_named(self):
        node1 = self.lab.address("node1")
        for arguments, words in (
                (("--src", "nowhere", "--dst", node1, "--dport", "80"), ("--src",)),
                (("--src", self.client(), "--dst", "203.0.113.9", "--dport", "80"), ("no address of a node",)),
                (("--src", self.client(), "--dst", self.cluster.vip_of("web", "back"), "--dport", "80"),
                 ("virtual IP of service web",)),
                (("--src", self.client(), "--dst", node1, "--dport", "80", "--proto", "udp", "--syn"), ("--syn",))):
            self.assertRefused(self.lab.run("node1", "meshctl", "trace", *arguments, check=False), *words)
        self.assertRefused(self.lab.run("node2", "meshctl", "trace", "--src", self.client(), "--dst", node1, "--dport",
                                        str(PORT), check=False), "not a swarm manager")


if __name__ == "__main__":
    harness.main()
