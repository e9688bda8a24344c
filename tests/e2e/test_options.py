"""What a published port may be told: how answers travel, whom a client's address belongs to, whose backends are preferred
and how heavy they are, who is let in, where it answers. Each check fails when its option has no effect."""

import collections
import json

import harness
from cluster import ClusterTest

VISITS = 24


class TestOptions(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_service("web", "image-gallery", options=("--replicas", "3", "--publish", "8010:80"), running=3)

    def setUp(self):
        for host in self.lab.node_names():
            harness.wait_for(lambda h=host: self.whoami(h).status == 200, 20, f"{host} serves port 8010")

    def whoami(self, host, port=8010, family=4, **options):
        return self.lab.http(self.lab.url(host, port, "/whoami", family), **options)

    def task_of(self, host, port=8010, **options):
        return self.whoami(host, port, **options).json()["task"]

    def update(self, *options):
        """Changes the service's options until the end of the test; no task is replaced."""
        tasks = {task["ID"] for task in self.cluster.running("web")}
        self.lab.meshctl("node1", "service", "update", "-d", *options, "web")
        self.assertEqual({task["ID"] for task in self.cluster.running("web")}, tasks)

    def publish(self, port, *options):
        self.lab.meshctl("node1", "publish", port, "web", *options)
        self.addCleanup(self.lab.meshctl, "node1", "unpublish", port.split(":")[-2], "web")

    def drops(self, host, reason):
        report = json.loads(self.lab.meshctl(host, "dataplane", "drops", "--format", "json"))[0]
        return next(row["Packets"] for row in report["Drops"] if row["Reason"] == reason)

    def sent_bytes(self, host):
        return int(self.lab.run(host, "cat", "/sys/class/net/eth0/statistics/tx_bytes").stdout)

    def sent_during_visits(self, entry):
        """What the entry host sends while the client reads pages of the other hosts' tasks through it."""
        before = self.sent_bytes(entry)
        for _ in range(2 * VISITS):
            answer = self.lab.http(self.lab.url(entry, 8010, "/whoami?" + "x" * 8)).json()
            self.assertEqual(answer["client"], harness.CLIENT_V4)
        return self.sent_bytes(entry) - before

    def test_direct_answers_pass_the_entry_host_by(self):
        tunnel = self.sent_during_visits("node1")
        self.update("--mesh-return", "dsr")
        self.addCleanup(self.update, "--mesh-return", "")
        harness.wait_for(lambda: self.sent_during_visits("node1") < 0.85 * tunnel, 30,
                         "answers of other hosts do not come back through the entry host")
        for family, client in ((4, harness.CLIENT_V4), (6, harness.CLIENT_V6)):
            for host in self.lab.node_names():
                self.assertEqual(self.whoami(host, family=family).json()["client"], client, host)
                inside = self.lab.http("http://localhost:8010/whoami", host=host)
                self.assertEqual(inside.status, 200, f"{host} itself")

    def test_a_clients_address_keeps_its_backend(self):
        def tasks_seen():
            return {self.task_of(host) for host in self.lab.node_names() for _ in range(8)}

        self.assertEqual(len(tasks_seen()), 3, "without the option every connection is for itself")
        self.update("--mesh-affinity", "client-ip:60s")
        self.addCleanup(self.update, "--mesh-affinity", "")
        harness.wait_for(lambda: len(tasks_seen()) == 1, 30, "one task, whatever host is asked")
        kept = tasks_seen()
        # More tasks move some clients' slots; one that has a backend keeps it.
        self.lab.meshctl("node1", "service", "scale", "-d", "web=6")
        self.addCleanup(self.cluster.wait_running, "web", 3)
        self.addCleanup(self.lab.meshctl, "node1", "service", "scale", "-d", "web=3")
        self.cluster.wait_running("web", 6)
        self.assertEqual(tasks_seen(), kept)

    def test_backends_of_the_entry_host_are_preferred(self):
        local = {self.cluster.host_of(task): self.cluster.inside(task, "hostname").stdout.strip()
                 for task in self.cluster.running("web")}
        self.assertEqual(len(local), 3, "one task on each host")
        self.update("--mesh-prefer", "local")
        self.addCleanup(self.update, "--mesh-prefer", "")

        def answered_by(host):
            return {self.task_of(host) for _ in range(8)}

        for host, task in local.items():
            harness.wait_for(lambda h=host: len(answered_by(h)) == 1, 30, f"{host} answers by its own task")
            self.assertEqual(answered_by(host), {task}, host)

    def test_weights(self):
        node = self.cluster.host_of(self.cluster.running("web")[0])
        self.lab.meshctl("node1", "node", "update", "--label-add", "weight=8", node)
        self.addCleanup(self.lab.meshctl, "node1", "node", "update", "--label-rm", "weight", node)
        self.update("--mesh-weight", "weight")
        self.addCleanup(self.update, "--mesh-weight", "")

        def share():
            seen = collections.Counter(self.task_of(host) for host in self.lab.node_names() for _ in range(VISITS))
            return max(seen.values()) / sum(seen.values())

        harness.wait_for(lambda: share() > 0.62, 30, "eight parts of ten go to the heavy one")

    def test_only_listed_clients_are_let_in(self):
        self.publish("8020:80", "--allow", f"{harness.CLIENT_V4}/32")
        self.assertEqual(self.whoami("node2", 8020).status, 200)
        before = self.drops("node2", "not_allowed")
        refused = self.lab.run("client", "curl", "-sS", "--max-time", "2", self.lab.url("node2", 8020, "/whoami", 6),
                               check=False)
        self.assertEqual(refused.returncode, 28, "IPv6 is not listed: no answer at all")
        self.assertGreater(self.drops("node2", "not_allowed"), before)
        other = "172.30.0.77"
        self.lab.run("client", "ip", "address", "add", f"{other}/24", "dev", "eth0")
        self.addCleanup(self.lab.run, "client", "ip", "address", "del", f"{other}/24", "dev", "eth0")
        refused = self.lab.run("client", "curl", "-sS", "--max-time", "2", "--interface", other,
                               self.lab.url("node2", 8020, "/whoami"), check=False)
        self.assertEqual(refused.returncode, 28)
        self.assertEqual(self.whoami("node2", 8020).status, 200, "the others are none the worse")

    def test_only_matching_nodes_answer(self):
        self.lab.meshctl("node1", "node", "update", "--label-add", "edge=true", "node2")
        self.addCleanup(self.lab.meshctl, "node1", "node", "update", "--label-rm", "edge", "node2")
        self.publish("8021:80", "--on", "node.labels.edge==true")
        harness.wait_for(lambda: self.whoami("node2", 8021).status == 200, 20, "the edge answers")
        self.assertEqual(len({self.task_of("node2", 8021) for _ in range(VISITS)}), 3, "for tasks on all hosts")
        refused = self.lab.run("client", "curl", "-sS", "--max-time", "3", self.lab.url("node3", 8021), check=False)
        self.assertEqual(refused.returncode, 7, "connection refused")
        # Elsewhere the port is anybody's.
        self.lab.daemon("node3", "busybox", "httpd", "-f", "-p", "8021", "-h", "/etc")
        harness.wait_for(lambda: self.lab.http(self.lab.url("node3", 8021, "/hostname")).body == "node3\n", 10,
                         "node3's own server")

    def test_only_the_address_answers(self):
        self.publish(f"{self.lab.address('node2')}:8022:80")
        harness.wait_for(lambda: self.whoami("node2", 8022).status == 200, 20, "the address answers")
        for host, family in (("node2", 6), ("node3", 4)):
            refused = self.lab.run("client", "curl", "-sS", "--max-time", "3", self.lab.url(host, 8022, "/", family),
                                   check=False)
            self.assertEqual(refused.returncode, 7, f"{host}, IPv{family}")


if __name__ == "__main__":
    harness.main()
