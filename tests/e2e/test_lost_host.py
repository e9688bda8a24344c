"""A host dies, or nobody can reach it: its tasks are replaced, the others serve on, and it comes back clean."""

import time

import harness
from cluster import ClusterTest

REPLACED_S = 45  # heartbeats missed for 16.5 s, the restart delay of 5 s, and the start
UNNOTICED_S = 19  # heartbeats missed for 16.5 s, a tick of the manager's and the new tables
REQUEST_S = 2  # what a request waits for an answer


class TestLostHost(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_service("web", "image-gallery", running=3, options=("--replicas", "3", "--publish", "8010:80"))

    def node_state(self, host):
        return next(node["Status"]["State"] for node in self.cluster.api("GET", "/nodes")
                    if node["Description"]["Hostname"] == host)

    def hosts_of(self, service):
        return sorted(self.cluster.host_of(task) for task in self.cluster.running(service))

    def answers(self, host):
        response = self.lab.http(self.lab.url(host, 8010, "/whoami"), timeout_s=2, check=False)
        return response is not None and response.status == 200

    def tasks_through(self, host):
        """Which tasks answer to 20 requests through a host."""
        responses = [self.lab.http(self.lab.url(host, 8010, "/whoami"), timeout_s=2, check=False) for _ in range(20)]
        return {response.json()["task"] for response in responses if response is not None and response.status == 200}

    def wait_complete(self, host):
        """A host that is cut off goes on with the table it has; it had better be the whole one."""
        harness.wait_for(lambda: len(self.tasks_through(host)) == 3, 20, f"{host} leads to all three tasks")

    def wait_replaced(self, lost):
        harness.wait_for(lambda: self.node_state(lost) == "down", REPLACED_S, f"{lost} is down")
        harness.wait_for(lambda: len(self.hosts_of("web")) == 3 and lost not in self.hosts_of("web"), REPLACED_S,
                         f"three tasks run, none on {lost}")

    def assert_served_by(self, hosts):
        for host in hosts:
            for _ in range(20):
                self.assertTrue(self.answers(host), f"through {host}")

    def spread_again(self):
        """Tasks never move by themselves; the next test wants one on each host."""
        self.lab.meshctl("node1", "service", "scale", "-d", "web=0")
        self.cluster.wait_running("web", 0)
        self.lab.meshctl("node1", "service", "scale", "-d", "web=3")
        self.cluster.wait_running("web", 3)

    def load(self, hosts):
        return harness.Load(self.lab, "http", [f"{self.lab.address(host)}:8010" for host in hosts], "-n", "8", "--path",
                            "/whoami", "--interval-ms", "50", "--timeout-ms", str(1000 * REQUEST_S))

    def assert_share_failed(self, last, share):
        """Each request draws its task for itself: chance adds four standard deviations at most."""
        requests, failed = last["requests"], last["failed"]
        most = share * requests + 4 * (requests * share * (1 - share)) ** 0.5
        self.assertLessEqual(failed, most, last)
        self.assertGreater(failed, 0, f"the host was not dead: {last}")

    def test_killed_host(self):
        """Requests that draw the dead host's task are lost until it is noticed, and none after that."""
        self.addCleanup(self.spread_again)
        self.wait_complete("node1")
        self.lab.verb("kill", "node3")
        killed = time.monotonic()
        unnoticed = self.load(["node1", "node2"])
        harness.wait_for(lambda: time.monotonic() - killed >= UNNOTICED_S, 2 * UNNOTICED_S, "the dead host is noticed")
        noticed = self.load(["node1", "node2"])
        self.assert_share_failed(unnoticed.stop(), 1 / 3)
        self.wait_replaced("node3")
        self.assert_served_by(["node1", "node2"])
        last = noticed.stop()
        self.assertEqual(last["failed"], 0, f"later than {UNNOTICED_S} s after the kill: {last}")
        self.assertGreater(last["requests"], 100, last)
        self.lab.verb("restart", "node3")
        harness.wait_for(lambda: self.node_state("node3") == "ready", 30, "node3 is back")
        harness.wait_for(lambda: self.answers("node3"), 20, "node3 answers again")
        self.assert_served_by(self.lab.node_names())
        leftover = self.lab.run("node3", "sh", "-c", "ip -o link | grep -c 'mv[0-9a-f]\\{8\\}'", check=False).stdout.strip()
        self.assertEqual(leftover, "0", "no task of before runs there")

    def test_cut_host_runs_on_and_cleans_up_when_it_is_back(self):
        self.addCleanup(self.spread_again)
        old = next(task for task in self.cluster.running("web") if self.cluster.host_of(task) == "node2")
        pid = str(old["Status"]["ContainerStatus"]["PID"])
        self.wait_complete("node2")
        self.addCleanup(self.lab.verb, "heal", "node2")
        self.lab.verb("cut", "node2")
        self.wait_replaced("node2")
        self.lab.run("node2", "kill", "-0", pid)
        self.assert_served_by(["node1", "node3"])
        # Its ring still has the tasks it cannot reach any more: a third of the flows draw its own.
        self.assertTrue(any(self.lab.http("http://localhost:8010/whoami", host="node2", check=False, timeout_s=1)
                            for _ in range(30)), "the cut host still serves itself from its own task")
        self.lab.verb("heal", "node2")
        harness.wait_for(lambda: self.node_state("node2") == "ready", 30, "node2 is back")
        harness.wait_for(lambda: self.lab.run("node2", "kill", "-0", pid, check=False).returncode != 0, 20,
                         "the duplicate is gone")
        self.assertEqual(len(self.cluster.running("web")), 3)
        harness.wait_for(lambda: self.answers("node2"), 20, "node2 answers again")
        self.assert_served_by(self.lab.node_names())

    def test_manager_back_after_a_power_cut(self):
        """node1 holds the state: after its restart everything is as declared."""
        for host in ("node2", "node3"):
            self.wait_complete(host)
        self.lab.verb("kill", "node1")
        for host in ("node2", "node3"):
            self.assertTrue(any(self.answers(host) for _ in range(10)), f"{host} serves without a manager")
        self.lab.verb("restart", "node1")
        self.cluster.wait_running("web", 3, timeout_s=90)
        harness.wait_for(lambda: all(self.answers(host) for host in self.lab.node_names()), 30, "all answer")
        self.assert_served_by(self.lab.node_names())


if __name__ == "__main__":
    harness.main()
