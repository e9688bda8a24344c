"""Ports published with mode=host: each host that runs a task answers with that one, the others do not answer, and services
on different hosts may have the same port."""

import harness
from cluster import ClusterTest

PORT = "published=8090,target=80,mode=host"
REFUSED = 7  # exit status of curl


class TestHostMode(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        for name, host in (("first", "node1"), ("second", "node2")):
            cluster.create_service(name, "image-gallery", options=(
                "--publish", PORT, "--constraint", f"node.hostname=={host}"), running=1)

    def whoami(self, host, family=4):
        return self.lab.http(self.lab.url(host, 8090, "/whoami", family))

    def curl(self, host):
        return self.lab.run("client", "curl", "-sS", "--max-time", "2", self.lab.url(host, 8090, "/whoami", 4),
                            check=False).returncode

    def wait_answered_by_own_task(self, name, host):
        task, = self.cluster.running(name)
        self.assertEqual(self.cluster.host_of(task), host)
        harness.wait_for(lambda: self.whoami(host).status == 200, 20, f"{host} serves port 8090")
        for family, client in ((4, harness.CLIENT_V4), (6, harness.CLIENT_V6)):
            for _ in range(8):
                answer = self.whoami(host, family).json()
                self.assertEqual((answer["task"], answer["client"]),
                                 (task["Status"]["ContainerStatus"]["ContainerID"][:12], client))
        self.assertEqual(self.lab.http("http://localhost:8090/whoami", host=host).status, 200, f"{host} itself")

    def test_each_host_answers_with_its_own_task(self):
        self.wait_answered_by_own_task("first", "node1")
        self.wait_answered_by_own_task("second", "node2")
        harness.wait_for(lambda: self.curl("node3") == REFUSED, 20, "node3 runs none and refuses")
        self.assertIn("*:8090->80/tcp", self.lab.meshctl("node1", "service", "ps", "first"))
        self.assertNotIn("8090", self.lab.meshctl("node1", "service", "ls"))

    def test_a_port_that_every_host_answers_is_another_matter(self):
        refused = self.lab.run("node1", "meshctl", "service", "create", "-d", "--name", "third", "--publish", "8090:80",
                                   "image-gallery", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("port '8090' is already in use by service", refused.stderr)

    def test_a_task_does_not_start_where_a_program_has_the_port(self):
        pid = self.lab.daemon("node3", "busybox", "httpd", "-f", "-p", "8090", "-h", "/etc")
        self.addCleanup(self.lab.run, "node3", "kill", pid, check=False)
        harness.wait_for(lambda: self.lab.http(self.lab.url("node3", 8090, "/hostname")).status == 200, 10, "the program")
        self.lab.meshctl("node1", "service", "create", "-d", "--name", "late", "--publish", PORT, "--constraint",
                         "node.hostname==node3", "--restart-delay", "1s", "image-gallery")
        self.addCleanup(self.lab.meshctl, "node1", "service", "rm", "late")
        harness.wait_for(lambda: "port 8090/tcp is already in use on node3 by busybox" in
                         self.lab.meshctl("node1", "service", "ps", "--no-trunc", "late"), 20, "it says why")
        self.lab.run("node3", "kill", pid)
        self.cluster.wait_running("late", 1)
        self.wait_answered_by_own_task("late", "node3")


if __name__ == "__main__":
    harness.main()
