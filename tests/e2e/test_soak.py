"""Mixed verified traffic, and one thing after the other that a cluster has to bear, in an order that the seed gives:
other sizes, meshd restarted and killed, ports published and withdrawn, hosts cut off for a moment or for long. What goes
wrong must be explained by the fault at hand; no answer may ever be another's; memory and tables do not grow.

    scripts/soak SECONDS [--seed N]
"""

import json
import os
import random
import re
import time

import harness
from cluster import ClusterTest

SECONDS = float(os.environ.get("MESH_SOAK_SECONDS", "60"))
SEED = int(os.environ.get("MESH_SOAK_SEED") or random.SystemRandom().randrange(2**32))
WEB, ECHO, EXTRA = 8010, 9000, 8020
SIZES = {"web": 3, "echo": 3}  # at the beginning and at the end
SIZE_MAX = 7
MOMENT_S = 3  # a cut that retransmissions bear
NOTICED_S = 45  # heartbeats missed for 16.5 s, and the tasks replaced
WRONG = ("crossed", "wrong_address")
BROKEN = ("broken", "refused", "unreachable")
GROWTH_MAX = 1.3  # of the resident memory of a process ...
GROWTH_KB_MAX = 24 << 10  # ... or so much, whichever is more: allocators keep what a burst once needed
COUNTED_TABLES = ("mesh_endpoints", "mesh_sources", "mesh_vips", "mesh_namespaces", "mesh_members", "mesh_networks",
                  "mesh_addresses")


def endpoints_of(line):
    """How many of the four entries of a line have a network, the first three bytes of sixteen."""
    value = [int(byte, 16) for byte in line["value"]]
    return sum(any(value[entry:entry + 3]) for entry in range(0, 64, 16))


class TestSoak(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_network("inside")
        cluster.create_service("web", "image-gallery", running=SIZES["web"],
                               options=("--replicas", str(SIZES["web"]), "--network", "inside", "--publish", f"{WEB}:80"))
        cluster.create_service("visitor", "mesh-tools", running=1,
                               options=("--network", "inside", "--constraint", "node.hostname==node1"))
        cluster.create_echo(replicas=SIZES["echo"], port=ECHO)

    def setUp(self):
        self.dice = random.Random(SEED)
        self.requests = 0
        self.lost = 0

    # ---- traffic

    def start_work(self, hosts):
        """Loads that run through these hosts, once each connection was answered: {name: load}."""

        def targets(port, family=4):
            return [f"{harness.host_literal(self.lab.address(host, family))}:{port}" for host in hosts]

        def echo(family, *options):
            return harness.Load(self.lab, "echo", targets(ECHO, family), "--interval-ms", "100", *options)

        work = {"pages": harness.Load(self.lab, "http", targets(WEB), "-n", "6", "--path", "/whoami", "--interval-ms", "20",
                                      "--expect", '"task"'),
                "tcp": echo(4, "-n", "240"), "tcp6": echo(6, "-n", "60"),
                "udp": echo(4, "-n", "60", "--udp"), "udp6": echo(6, "-n", "30", "--udp")}
        for name, load in work.items():
            first = load.report()
            self.assertEqual([first.get(fault, 0) for fault in (*BROKEN, *WRONG, "failed")], [0] * 6, f"{name}: {first}")
        return work

    def start_inside(self):
        """Pages by virtual IP from a container, while their hosts are there."""
        task = self.cluster.running("visitor")[0]
        vip = self.cluster.vip_of("web", "inside")
        return self.cluster.start_beside(task, f"{harness.BIN_DIR}/mesh-load", "http", f"{vip}:80", "-n", "2", "--path",
                                         "/whoami", "--interval-ms", "20", stdin=harness.PIPE)

    def stop_work(self, work, doing, may_close=False, lost_each=0):
        """No answer was another's, and nothing failed that `doing` does not explain; lost_each: datagrams per flow."""
        for name, load in work.items():
            last = load.stop()
            self.requests += last.get("verified", 0) + last.get("requests", 0)
            for fault in (*WRONG, *BROKEN, "failed", *(() if may_close else ("closed", "moved"))):
                self.assertEqual(last.get(fault, 0), 0, f"{doing}, {name}: {last}")
            self.lost += last.get("lost", 0)
            self.assertLessEqual(last.get("lost", 0), lost_each * last.get("opened", 0), f"{doing}, {name}: {last}")

    def stop_inside(self, process, doing):
        process.stdin.close()
        last = json.loads(process.stdout.read().splitlines()[-1])
        self.requests += last["requests"]
        self.assertEqual(last["failed"], 0, f"{doing}, by virtual IP: {last}")

    def under_work(self, doing, body, **excuses):
        work = self.start_work(self.lab.node_names())
        inside = self.start_inside()
        body()
        self.stop_work(work, doing, **excuses)
        self.stop_inside(inside, doing)

    # ---- what happens

    def pause(self, seconds):
        end = time.monotonic() + seconds
        harness.wait_for(lambda: time.monotonic() >= end, seconds + 5, "the time itself is what is wanted")

    def wait_ready(self):
        harness.wait_for(lambda: {node["Status"]["State"] for node in self.cluster.api("GET", "/nodes")} == {"ready"}, 30,
                         "all nodes are ready")

    def wait_whole(self):
        """All nodes are there, each knows the way to the others and all that they know, and only the tasks that should run
        do. (The kernel asks again for a neighbour that did not answer after five seconds.)"""
        self.wait_ready()
        started = time.monotonic()
        for host in self.lab.node_names():
            harness.wait_for(lambda: self.knows_ways(host), 10, f"{host} knows the way to the others")
        print(f"ways known after {time.monotonic() - started:.1f} s", flush=True)
        for service in SIZES:
            ready = self.cluster.mesh(f"/services/{service}/ready?timeout=20s")
            self.assertEqual(ready["Problems"], [], service)
        hosts = [self.cluster.host_of(task) for task in self.cluster.tasks() if task["Status"]["State"] == "running"]
        for host in self.lab.node_names():
            harness.wait_for_value(lambda: self.containers_on(host), hosts.count(host), 20, f"containers on {host}")
            self.lab.wait_agreement(host)

    def knows_ways(self, host):
        known = self.lab.run(host, "ip", "-4", "neigh", "show", "dev", "eth0").stdout
        others = [self.lab.address(name) for name in self.lab.node_names() if name != host]
        return all(re.search(rf"(?m)^{re.escape(address)} lladdr ", known) for address in others)

    def containers_on(self, host):
        text = self.lab.run(host, "ip", "-o", "link").stdout
        return len(re.findall(r" mv[0-9a-f]{8}[@:]", text))

    def scale(self):
        service = self.dice.choice(sorted(SIZES))
        count = self.dice.randint(1, SIZE_MAX)
        self.lab.meshctl("node1", "service", "scale", "-d", f"{service}={count}")
        self.cluster.wait_running(service, count)

    def restart(self):
        host = self.dice.choice(self.lab.node_names())
        self.lab.verb("meshd", "restart", host)
        self.wait_ready()

    def kill(self):
        host = self.dice.choice(self.lab.node_names())
        self.lab.verb("meshd", "kill", host)
        self.pause(self.dice.random())
        self.lab.verb("meshd", "start", host)
        self.wait_ready()

    def publish(self):
        self.lab.meshctl("node1", "publish", f"{EXTRA}:80", "web")
        for host in self.lab.node_names():
            harness.wait_for(lambda: self.answers(host), 20, f"the new port answers on {host}")
        self.lab.meshctl("node1", "unpublish", str(EXTRA), "web")
        for host in self.lab.node_names():
            harness.wait_for(lambda: not self.answers(host), 20, f"the port is withdrawn on {host}")

    def answers(self, host):
        answer = self.lab.http(self.lab.url(host, EXTRA, "/whoami"), timeout_s=2, check=False)
        return answer is not None and answer.status == 200

    def cut_for_a_moment(self):
        host = self.dice.choice(self.lab.node_names())
        self.lab.verb("cut", host)
        self.pause(MOMENT_S)
        self.lab.verb("heal", host)
        self.wait_whole()

    def cut_for_long(self):
        """Until it is noticed and its tasks run elsewhere: then nothing fails through the others; and when it is back,
        nothing through any."""
        host = self.dice.choice(("node2", "node3"))
        others = [name for name in self.lab.node_names() if name != host]
        self.lab.verb("cut", host)
        try:
            for service in SIZES:
                harness.wait_for(lambda: self.all_elsewhere(service, host), NOTICED_S, f"{service} runs without {host}")
            work = self.start_work(others)
            self.pause(2)
            self.stop_work(work, f"{host} is cut off")
        finally:
            self.lab.verb("heal", host)
        self.wait_whole()

    def all_elsewhere(self, service, host):
        wanted = self.cluster.api("GET", f"/services/{service}")["Spec"]["Mode"]["Replicated"]["Replicas"]
        hosts = [self.cluster.host_of(task) for task in self.cluster.running(service)]
        return len(hosts) == wanted and host not in hosts

    def happen(self, doing):
        if doing == "cut_for_long":
            self.cut_for_long()
        elif doing == "cut_for_a_moment":
            self.under_work(doing, self.cut_for_a_moment, lost_each=MOMENT_S + 2)
        elif doing == "scale":
            # A server that ends says so on a connection; datagrams on their way to it are lost.
            self.under_work(doing, self.scale, may_close=True, lost_each=1)
        else:
            self.under_work(doing, getattr(self, doing))

    # ---- what must not grow

    def settle(self):
        """As at the beginning, each host with its share: tasks never move by themselves."""
        for service, count in [*((service, 0) for service in SIZES), *SIZES.items()]:
            self.lab.meshctl("node1", "service", "scale", "-d", f"{service}={count}")
            self.cluster.wait_running(service, count)
        self.wait_whole()

    def resident_kb(self, host):
        """Of meshd and mesh-dns, which is the same program, the greater last."""
        script = "for pid in $(pgrep -x meshd) $(pgrep -f '[d]ns --listen'); do grep VmRSS /proc/$pid/status; done"
        text = self.lab.run(host, "sh", "-c", script).stdout
        return sorted(int(line.split()[1]) for line in text.splitlines())

    def tables(self, host):
        counts = {}
        for table in COUNTED_TABLES:
            entries = self.lab.run(host, "bpftool", "-j", "map", "dump", "pinned", f"/sys/fs/bpf/meshd/{table}").stdout
            counts[table] = len(json.loads(entries))
        lines = self.lab.run(host, "bpftool", "-j", "map", "dump", "pinned", "/sys/fs/bpf/meshd/mesh_endpoints4").stdout
        counts["mesh_endpoints4"] = sum(map(endpoints_of, json.loads(lines)))
        return counts

    def open_files(self, host):
        return int(self.lab.run(host, "sh", "-c", "ls /proc/$(pidof -s meshd)/fd | wc -l").stdout)

    def measured(self):
        return {host: (self.resident_kb(host), self.tables(host), self.open_files(host)) for host in self.lab.node_names()}

    def assert_no_growth(self, before, after):
        for host in self.lab.node_names():
            (memory, tables, files), (memory_now, tables_now, files_now) = before[host], after[host]
            self.assertEqual(len(memory_now), len(memory), f"processes of {host}: {memory}, {memory_now}")
            for old, new in zip(memory, memory_now):
                self.assertLessEqual(new, max(old * GROWTH_MAX, old + GROWTH_KB_MAX), f"KiB on {host}: {memory}, {memory_now}")
            self.assertEqual(tables_now, tables, f"tables of {host}")
            self.assertLessEqual(files_now, files + 16, f"open files of meshd on {host}")

    def test_soak(self):
        kinds = ["scale", "scale", "restart", "kill", "publish", "cut_for_a_moment", "cut_for_long"]
        print(f"seed {SEED}, {SECONDS:g} s", flush=True)
        end = time.monotonic() + SECONDS
        self.happen("scale")  # what a first burst needs belongs to the beginning
        self.settle()
        before = self.measured()
        print(before)
        to_come = []
        while time.monotonic() < end:
            to_come = to_come or self.dice.sample(kinds, len(kinds))
            doing = to_come.pop()
            started = time.monotonic()
            self.happen(doing)
            print(f"{doing} ({time.monotonic() - started:.0f} s), {self.requests} answers verified", flush=True)
        self.settle()
        after = self.measured()
        self.assert_no_growth(before, after)
        print(f"{self.requests} answers verified, {self.lost} datagrams lost to cuts; KiB "
              f"{ {host: (before[host][0], after[host][0]) for host in before} }")


if __name__ == "__main__":
    harness.main()
