"""Garbage on every hook while a verified workload goes on: the fuzzers' frames, damaged, from outside and from a host of
the cluster onto uplinks and the tunnel port, from containers, into the host's own way in. Nothing breaks, drops are
counted with their reasons, and no container receives what is not for it."""

import os
import random
import socket

import harness
from cluster import ClusterTest

PORT = 9000
FOLDER = os.path.dirname(os.path.abspath(__file__))
FRAMES = os.path.join(FOLDER, "garbage_frames.py")
WITNESS = os.path.join(FOLDER, "witness.py")
CORPUS = os.path.join(harness.SOURCE_DIR, "tests", "fuzz", "corpus", "packet")
FAULTS = ("refused", "unreachable", "broken", "crossed", "wrong_address", "closed")


def v4(text):
    return socket.inet_aton(text).hex()


def v6(text):
    return socket.inet_pton(socket.AF_INET6, text).hex()


class TestGarbage(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_separate_networks("red", "blue")
        cluster.create_echo(replicas=3, port=PORT, options=("--network", "red"))

    def mac(self, host, interface="eth0", task=None):
        command = ("ip", "-o", "link", "show", interface)
        words = (self.cluster.beside(task, *command) if task else self.lab.run(host, *command)).stdout.split()
        return words[words.index("link/ether") + 1].replace(":", "")

    def ingress_of(self, task):
        return self.cluster.address_on(task, "ingress")

    def replacements(self, host, outside):
        """The corpus's host 1 is `host`, its endpoint A a container of "echo" there, B one of "blue"; node 2 is another
        host, or nobody that anybody knows."""
        echo = next(task for task in self.cluster.running("echo") if self.cluster.host_of(task) == host)
        blue = next(task for task in self.cluster.running("blue") if self.cluster.host_of(task) == host)
        other = next(name for name in self.lab.node_names() if name != host)
        node2 = "client" if outside else other
        pairs = [(v4("192.0.2.1"), v4(self.lab.address(host))), (v6("2001:db8::1"), v6(self.lab.address(host, 6))),
                 (v4("192.0.2.2"), v4(self.lab.address(node2))), (v6("2001:db8::2"), v6(self.lab.address(node2, 6))),
                 (v4("192.0.2.9"), v4(harness.CLIENT_V4)), (v6("2001:db8::9"), v6(harness.CLIENT_V6)),
                 (v4("10.0.0.5"), v4(self.ingress_of(echo))), (v4("10.1.0.5"), v4(self.cluster.address_on(echo, "red"))),
                 (v4("10.0.0.6"), v4(self.ingress_of(blue))), (v4("10.2.0.6"), v4(self.cluster.address_on(blue, "blue")))]
        pairs += [(f"{port:04x}", f"{PORT:04x}") for port in (8001, 8002, 8005)]
        return [f"{old}={new}" for old, new in pairs]

    def start_garbage(self):
        """Senders everywhere: {place: process}."""
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        places = {}

        def start(place, start_process, interface, to, source, host, outside=False):
            command = ("/usr/bin/python3", "-B", FRAMES, interface, str(seed + len(places)), CORPUS, to, source,
                       *self.replacements(host, outside))
            places[place] = start_process(*command, stdin=harness.PIPE)

        for host in self.lab.node_names():
            start(f"client to {host}", lambda *c, **o: self.lab.start("client", *c, **o), "eth0", self.mac(host),
                  self.mac("client"), host, outside=True)
        start("node2 to node1", lambda *c, **o: self.lab.start("node2", *c, **o), "eth0", self.mac("node1"),
              self.mac("node2"), "node1")
        start("node1 to itself", lambda *c, **o: self.lab.start("node1", *c, **o), "mesh0", "02420a000001",
              self.mac("node1", "mesh0"), "node1")
        for service in ("echo", "red", "blue"):
            task = self.cluster.running(service)[0]
            start(f"a container of {service}", lambda *c, task=task, **o: self.cluster.start_beside(task, *c, **o), "eth0",
                  "02420a000001", self.mac(None, task=task), self.cluster.host_of(task))
        for place, process in places.items():
            self.assertEqual(process.stdout.readline(), "sending\n", place)
        return places

    def start_witnesses(self):
        witnesses = {}
        for service, networks in (("echo", ("red",)), ("red", ("red",)), ("blue", ("blue",))):
            for task in self.cluster.running(service):
                prefixes = [self.cluster.subnet_of(network) for network in networks]
                process = self.cluster.start_beside(task, "/usr/bin/python3", "-B", WITNESS, *prefixes, stdin=harness.PIPE)
                self.assertEqual(process.stdout.readline(), "watching\n")
                witnesses[f"{service} on {self.cluster.host_of(task)}"] = process
        return witnesses

    def start_work(self):
        targets = self.cluster.targets(PORT)
        work = {"TCP": harness.Load(self.lab, "echo", targets, "-n", "300", "--interval-ms", "100"),
                "TCP over IPv6": harness.Load(self.lab, "echo", self.cluster.targets(PORT, 6), "-n", "90",
                                              "--interval-ms", "100"),
                "UDP": harness.Load(self.lab, "echo", targets, "-n", "60", "--udp", "--interval-ms", "200")}
        for name, load in work.items():
            first = load.report()
            self.assertEqual([first[fault] for fault in FAULTS], [0] * len(FAULTS), f"{name}: {first}")
        return work

    def test_nothing_breaks(self):
        pids = {host: self.lab.run(host, "pidof", "meshd").stdout for host in self.lab.node_names()}
        before = {host: self.cluster.drops(host) for host in self.lab.node_names()}
        witnesses = self.start_witnesses()
        work = self.start_work()
        garbage = self.start_garbage()
        # New connections meanwhile, from outside: every one is answered.
        fresh = harness.Load(self.lab, "echo", self.cluster.targets(PORT), "-n", "200", "--interval-ms", "50")
        self.assertEqual(fresh.report()["opened"], 200)
        self.wait_drops(before, 2000)
        for place, process in garbage.items():
            process.stdin.close()
            self.assertGreater(int(process.stdout.readline()), 500, place)
        for name, load in {**work, "new": fresh}.items():
            last = load.stop()
            for fault in (*FAULTS, *(("lost", "moved") if name == "UDP" else ())):
                self.assertEqual(last[fault], 0, f"{name}: {last}")
        for place, process in witnesses.items():
            process.stdin.close()
            *wrong, seen = process.stdout.read().splitlines()
            self.assertEqual(wrong, [], f"{place} received what is not for it")
            if place.startswith("echo"):
                self.assertGreater(int(seen.split()[1]), 1000, f"{place}: the witness looks away")
        self.assert_reasons(before)
        self.assertEqual({host: self.lab.run(host, "pidof", "meshd").stdout for host in self.lab.node_names()}, pids)
        for host in self.lab.node_names():
            self.lab.wait_agreement(host)

    def grown(self, host, before):
        return {reason: count - before[host][reason] for reason, count in self.cluster.drops(host).items()}

    def wait_drops(self, before, least):
        def enough():
            totals = {host: sum(self.grown(host, before).values()) for host in self.lab.node_names()}
            return min(totals.values()) >= least

        harness.wait_for(enough, 60, f"{least} drops on each host", interval_s=0.5)

    def assert_reasons(self, before):
        grown = {host: self.grown(host, before) for host in self.lab.node_names()}
        for host in self.lab.node_names():
            self.assertGreater(grown[host]["stranger"], 0, f"the client is no node: {grown[host]}")
        total = {reason: sum(one[reason] for one in grown.values()) for reason in grown["node1"]}
        for reason in ("malformed", "spoofed", "tunnel_version", "no_binding", "isolated", "fragment", "ttl"):
            self.assertGreater(total[reason], 0, f"{reason}: {total}")


if __name__ == "__main__":
    harness.main()
