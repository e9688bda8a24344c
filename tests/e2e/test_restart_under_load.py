"""meshd stopped, killed and started again on every host under load: no request fails, no container is lost."""

import harness
from cluster import ClusterTest

PORT = 9000


class TestRestart(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.deploy_gallery(galleries=3)
        cluster.create_echo(replicas=3, port=PORT)

    def containers(self):
        """(task, container, pid) of all running tasks."""
        return sorted((task["ID"], task["Status"]["ContainerStatus"]["ContainerID"], task["Status"]["ContainerStatus"]["PID"])
                      for task in self.cluster.tasks() if task["Status"]["State"] == "running")

    def run_under_load(self, disturb):
        """Pages, open connections and requests by virtual IP and name, all while disturb() runs."""
        before = self.containers()
        task = self.cluster.running("accesslog")[0]
        inside = self.cluster.host_of(task)
        pid = str(task["Status"]["ContainerStatus"]["PID"])
        vip = self.cluster.vip_of("iotd", "gallery")
        east_west = self.lab.start(inside, "nsenter", "-t", pid, "-n", "--", f"{harness.BIN_DIR}/mesh-load", "http",
                                   f"{vip}:80", "-n", "2", "--path", "/image", "--interval-ms", "20", stdin=harness.PIPE)
        pages = harness.Load(self.lab, "http", self.cluster.targets(8010), "-n", "9", "--path", "/whoami",
                             "--interval-ms", "10", "--expect", '"task"')
        lines = harness.Load(self.lab, "echo", self.cluster.targets(PORT), "-n", "600", "--first-port", "20000",
                             "--interval-ms", "200")
        self.assertEqual(lines.report()["opened"], 600)
        pages.report()
        disturb()
        last = pages.stop()
        dropped = {host: self.cluster.drops(host) for host in self.lab.node_names()} if last["failed"] else {}
        self.assertEqual(last["failed"], 0, f"{last}; dropped: {dropped}")
        last = lines.stop()
        for fault in ("broken", "crossed", "closed", "refused", "unreachable"):
            self.assertEqual(last[fault], 0, last)
        east_west.stdin.close()
        final = east_west.stdout.read().splitlines()[-1]
        self.assertIn('"failed":0,', final)
        self.assertEqual(self.containers(), before, "the very same containers run on")

    def wait_nodes_ready(self):
        harness.wait_for(lambda: [node["Status"]["State"] for node in self.cluster.api("GET", "/nodes")] == ["ready"] * 3,
                         20, "three nodes are ready")

    def test_polite_restart_of_every_host(self):
        def disturb():
            for host in self.lab.node_names():
                self.lab.verb("meshd", "restart", host)
                self.wait_nodes_ready()

        self.run_under_load(disturb)

    def test_killed_and_started_again(self):
        def disturb():
            for host in self.lab.node_names():
                self.lab.verb("meshd", "kill", host)
                self.lab.verb("meshd", "start", host)
                self.wait_nodes_ready()

        self.run_under_load(disturb)

    def test_all_dead_at_once(self):
        """Nobody is there to decide anything; what is in the kernel serves on."""
        visits = 30

        def disturb():
            for host in self.lab.node_names():
                self.lab.verb("meshd", "kill", host)
            for host in self.lab.node_names():
                for _ in range(visits):
                    self.assertEqual(self.lab.http(self.lab.url(host, 8010, "/whoami")).status, 200)
            for host in self.lab.node_names():
                self.lab.verb("meshd", "start", host)
            self.wait_nodes_ready()

        self.run_under_load(disturb)

    def test_a_container_that_died_meanwhile_is_replaced(self):
        """The exit of a container is noticed even if nobody was there to see it, with its code."""
        task = self.cluster.running("accesslog")[0]
        host = self.cluster.host_of(task)
        pid = str(task["Status"]["ContainerStatus"]["PID"])
        self.lab.verb("meshd", "kill", host)
        self.lab.run(host, "kill", "-KILL", pid)
        self.lab.verb("meshd", "start", host)
        ended = harness.wait_for(lambda: next((one for one in self.cluster.tasks("accesslog") if one["ID"] == task["ID"] and
                                               one["Status"]["State"] == "failed"), None), 20, "the task has failed")
        self.assertEqual(ended["Status"]["ContainerStatus"]["ExitCode"], 137)
        self.cluster.wait_running("accesslog", 2)


if __name__ == "__main__":
    harness.main()
