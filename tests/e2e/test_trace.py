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

    def waiting(self, *options, host="node1"):
        """`trace --next` in the background, once its programs are on the packets' way."""
        node = options[options.index("--node") + 1] if "--node" in options else host
        before = self.catchers(node)
        process = self.lab.start(host, "meshctl", "trace", "--next", *options, "--format", "json")


        def waits():
            if process.poll() is not None:
                raise AssertionError(process.stderr.read())
            return len(self.catchers(node)) > len(before)

        harness.wait_for(waits, 10, f"a trace waits on {node}")
        return process

    def catchers(self, host):
        """The programs of traces that wait on a host, by the descriptors that its meshd has: they are pinned nowhere."""
        text = self.lab.run(host, "sh", "-c", "cat /proc/$(pidof -s meshd)/fdinfo/* 2>/dev/null | grep -A9 -E '^link_type:.(tracing|tcx)'",
                            check=False).stdout
        return [line.split()[-1] for line in text.splitlines() if line.startswith("link_id")]

    def is_attached(self, link):
        return self.lab.run("node3", "bpftool", "link", "show", "id", link, check=False).returncode == 0

    def caught(self, process):
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0, err)
        found = json.loads(out)[0]
        self.assertEqual(found["Error"], "")
        self.assertRegex(found["Steps"][0]["Lines"][0], r"^caught: a real packet of \d+ bytes")
        return found

    def connect(self, entry, family=4, port=PORT):
        """A connection of the client, and its port."""
        script = ("import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])));"
                  "print(s.getsockname()[1], flush=True); sys.stdin.read()")
        connection = self.lab.start("client", "/usr/bin/python3", "-c", script, self.lab.address(entry, family), str(port),
                                    stdin=-1)
        self.addCleanup(connection.wait)
        self.addCleanup(connection.stdin.close)
        return connection, int(connection.stdout.readline())

    def test_the_next_real_packet(self):
        for entry, family in (("node1", 4), ("node2", 6)):
            process = self.waiting("--dst", self.lab.address(entry, family), "--dport", str(PORT), "--proto", "tcp",
                                   *(("--node", entry) if entry != "node1" else ()))
            self.lab.http(self.lab.url(entry, PORT + 1, "/"), check=False)  # another port: not that one
            _, port = self.connect(entry, family)
            found = self.caught(process)
            first = found["Steps"][0]
            self.assertEqual((first["Node"], first["Where"]), (entry, f"uplink eth0 ({self.lab.uplink_mode})"))
            source = f"{harness.host_literal(self.lab.address('client', family))}:{port}"
            self.assertIn(f"tcp {source} -> ", first["Packet"])
            self.assertTrue(first["Packet"].endswith(" SYN"), "the first packet of the connection, which made its record")
            self.assertEqual(found["End"], "answered")
            text = self.lines(found)
            # Here the tables are those that the packet met; where it has been since, the record may be its own.
            here = "\n".join(line for step in found["Steps"] if step["Node"] == entry for line in step["Lines"]
                             if not step["Where"].startswith("answer"))
            self.assertNotIn("flow: record found", here)
            if len(self.hosts_of(found)) > 1:
                self.assertIn("has been here before", text)
            else:
                self.assertIn("flow: no record here; one is made", text)
            for host in self.lab.node_names():
                harness.wait_for(lambda h=host: not self.catchers(h), 10, f"nothing waits on {host}")

    def test_the_next_packet_in_the_tunnel(self):
        """On the backend's host, by the client's address: what the entry sent there, with the record that it met."""
        port, made_up = self.remote("node1")
        backend = self.hosts_of(made_up)[1]
        process = self.waiting("--node", backend, "--src", self.client(port), "--proto", "tcp")
        self.lab.http(self.lab.url("node1", PORT, "/whoami"), options=("--local-port", str(port)))
        found = self.caught(process)
        self.assertEqual(found["Steps"][0]["Node"], backend)
        self.assertIn("in VXLAN from node1", found["Steps"][0]["Packet"])
        self.assertRegex(found["Steps"][0]["Packet"], " SYN,")
        self.assertIn("flow: no record here; one is made", "\n".join(found["Steps"][0]["Lines"]))

    def test_the_next_packet_of_a_task(self):
        task = self.cluster.running("web")[0]
        source = self.cluster.address_on(task, "back")
        other = next(one for one in self.cluster.running("web") if one["NodeID"] != task["NodeID"])
        process = self.waiting("--src", source, "--node", self.cluster.host_of(task))
        self.cluster.beside(task, "curl", "-s", "--max-time", "5", f"http://{self.cluster.address_on(other, 'back')}/whoami")
        found = self.caught(process)
        self.assertIn("packet of task web.", found["Steps"][0]["Where"])
        self.assertIn("packet of a network", self.lines(found))

    def test_nobody_comes(self):
        result = self.lab.run("node1", "meshctl", "trace", "--next", "--dport", "9", "--timeout", "1s", check=False)
        self.assertRefused(result, "no such packet came within 1 s", "--timeout")
        self.assertEqual(self.catchers("node1"), [])

    def test_who_waits_no_more_leaves_nothing(self):
        process = self.waiting("--dport", "9", "--timeout", "5m")
        process.terminate()
        process.wait()
        harness.wait_for(lambda: not self.catchers("node1"), 20, "nothing waits when its client is gone")
        # Nor does it after meshd has died, and packets go on.
        process = self.waiting("--node", "node3", "--dport", "9", "--timeout", "5m")
        links = self.catchers("node3")
        self.lab.verb("meshd", "kill", "node3")
        for link in links:
            harness.wait_for(lambda one=link: not self.is_attached(one), 10, "what meshd had attached for it is gone")
        self.assertEqual(self.lab.http(self.lab.url("node3", PORT, "/whoami")).status, 200)
        out, err = process.communicate(timeout=20)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("session ended", err)
        self.lab.verb("meshd", "start", "node3")
        self.lab.wait_agreement("node3")

    def test_only_so_many_wait(self):
        processes = [self.waiting("--dport", "9", "--timeout", "1m")]
        entered = len(self.catchers("node1")) == 2  # by fentry, whatever there is; else one for each interface
        # In xdp mode a kernel that refuses fentry has room for one.
        if entered or self.lab.uplink_mode == "tc":
            processes += [self.waiting("--dport", "9", "--timeout", "1m") for _ in range(3)]
        result = self.lab.run("node1", "meshctl", "trace", "--next", "--dport", "9", check=False)
        self.assertRefused(result, "for a packet here already", "Ctrl-C")
        for process in processes:
            process.terminate()
        harness.wait_for(lambda: not self.catchers("node1"), 20, "nothing waits any more")

    def test_mistakes_are_named(self):
        node1 = self.lab.address("node1")
        for arguments, words in (
                (("--src", "nowhere", "--dst", node1, "--dport", "80"), ("--src",)),
                (("--src", self.client(), "--dst", "203.0.113.9", "--dport", "80"), ("no address of a node",)),
                (("--src", self.client(), "--dst", self.cluster.vip_of("web", "back"), "--dport", "80"),
                 ("virtual IP of service web",)),
                (("--src", self.client(), "--dst", node1, "--dport", "80", "--proto", "udp", "--syn"), ("--syn",)),
                (("--src", self.client(), "--dst", node1), ("--dport is required", "--next")),
                (("--src", self.client(), "--dst", node1, "--dport", "80", "--node", "node1"), ("--node is of --next",)),
                (("--next", "--ack"), ("--syn and --ack",)),
                (("--next", "--src", "nowhere"), ("--src",)),
                (("--next", "--timeout", "soon"), ("--timeout",)),
                (("--next", "--timeout", "2h"), ("between 1s and 10m",)),
                (("--next", "--node", "nobody"), ("nobody",)),
                (("--next", "--dst", "203.0.113.9"), ("no address of a node",)),
                (("--next", "--src", "::1", "--dst", node1), ("IPv6",))):
            self.assertRefused(self.lab.run("node1", "meshctl", "trace", *arguments, check=False), *words)
        self.assertRefused(self.lab.run("node2", "meshctl", "trace", "--src", self.client(), "--dst", node1, "--dport",
                                        str(PORT), check=False), "not a swarm manager")


if __name__ == "__main__":
    harness.main()
