"""How soon the answers of every host follow a change on another one. Looks at the clock, so nothing runs beside it."""

import os

import harness
from cluster import ClusterTest, seconds

WATCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "name_watcher.py")
DNS = "127.0.0.11"
SOON_S = 0.1
SOON_SHARE = 0.9  # the hosts of a lab share few processors
LATEST_S = 1.0


class TestDelay(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_network("backend")
        network = ("--network", "backend")
        cluster.create_service("askers", "mesh-tools", options=(*network, "--replicas", "3"), running=3)
        cluster.create_service("quick", "mesh-tools", options=(*network, "--replicas", "1"), running=1)

    def setUp(self):
        self.changes = []  # (when, what, address, its host)
        self.known = {self.cluster.address_on(task, "backend"): self.cluster.host_of(task)
                      for task in self.cluster.running("quick")}

    def watch(self, task, name):
        """Asks for the name in the task's namespace without pause; the answers are read by watched()."""
        watcher = self.cluster.start_beside(task, "/usr/bin/python3", "-B", WATCHER, DNS, name, stdin=harness.PIPE)
        watcher.stdout.readline()  # it has begun; what it saw first is no change
        return watcher

    def watched(self, watcher):
        """[(when it first came, the addresses of the answer)]"""
        watcher.stdin.close()
        lines = watcher.stdout.read().splitlines()
        return [(float(when), set(addresses)) for when, *addresses in map(str.split, lines)]

    def note_who_came(self, count, what="came"):
        """Waits for so many tasks; a new one came when its own host saw it run."""
        tasks = {self.cluster.address_on(task, "backend"): task for task in self.cluster.wait_running("quick", count)}
        for address, task in tasks.items():
            if address not in self.known:
                self.changes.append((seconds(task["Status"]["Timestamp"]), what, address, self.cluster.host_of(task)))
        self.known = {address: self.cluster.host_of(task) for address, task in tasks.items()}

    def scale(self, count):
        self.lab.meshctl("node1", "service", "scale", "-d", f"quick={count}")
        scaled = seconds(self.cluster.api("GET", "/services/quick")["UpdatedAt"])
        before = self.known
        self.note_who_came(count)
        self.changes += [(scaled, "went", address, before[address]) for address in before.keys() - self.known.keys()]

    def crash_all(self):
        """kill -9 of every task's process; they are replaced after the restart delay."""
        victims = self.cluster.running("quick")
        for task in victims:
            host = self.cluster.host_of(task)
            script = f"date +%s.%N; kill -KILL {task['Status']['ContainerStatus']['PID']}"
            when = float(self.lab.run(host, "sh", "-c", script).stdout)
            self.changes.append((when, "crashed", self.cluster.address_on(task, "backend"), host))
        ids = {task["ID"] for task in victims}
        harness.wait_for(lambda: not ids & {task["ID"] for task in self.cluster.running("quick")}, 20, "all are seen dead")
        self.note_who_came(len(victims), "replaced")

    def delays(self, answers_of):
        """{what: how long after each change the first right answer came, on every host but the task's own}"""
        found = {}
        for host, answers in answers_of.items():
            for when, what, address, own_host in self.changes:
                if host == own_host:
                    continue
                seen = [at for at, addresses in answers if at >= when and (address in addresses) == (what in ("came", "replaced"))]
                self.assertTrue(seen, f"{host} never answered that {address} {what}: {answers}")
                found.setdefault(what, []).append(seen[0] - when)
                if seen[0] - when > SOON_S:
                    print(f"late: {address} of {own_host} {what} at {when % 1000:.3f}, {host} answered so at {seen[0] % 1000:.3f}")
        return found

    def test_answers_follow_a_change_in_100_ms(self):
        """From the moment at which a task's own host saw it run, the service was made smaller, or the task was killed."""
        watchers = {self.cluster.host_of(task): self.watch(task, "tasks.quick") for task in self.cluster.running("askers")}
        self.assertEqual(len(watchers), 3, "one asker on each host")
        for count in (4, 1, 4, 1, 6):
            self.scale(count)
        self.crash_all()
        found = self.delays({host: self.watched(watcher) for host, watcher in watchers.items()})
        for what, measured in sorted(found.items()):
            measured.sort()
            times = f"{what}: {', '.join(f'{1000 * one:.0f}' for one in measured)} ms"
            print(times)
            self.assertGreaterEqual(len(measured), 8, "changes as other hosts saw them")
            soon = sum(delay <= SOON_S for delay in measured)
            self.assertGreaterEqual(soon, SOON_SHARE * len(measured), times)
            self.assertLessEqual(measured[-1], LATEST_S, times)
        self.assertEqual(sorted(found), ["came", "crashed", "replaced", "went"])


if __name__ == "__main__":
    harness.main()
