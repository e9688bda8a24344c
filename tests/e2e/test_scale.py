"""Scaling 3 → 6 → 3 under load: connections live as long as their backend does, and no request fails."""

import harness
from cluster import ClusterTest

PORT = 9000
CURL_COULD_NOT_CONNECT = 7  # at once; 28 would be a silence


class TestScale(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_echo(replicas=3, port=PORT)
        cluster.create_service("web", "image-gallery", running=3,
                               options=("--replicas", "3", "--publish", "8010:80"))

    def scale(self, service, count):
        self.lab.meshctl("node1", "service", "scale", "-d", f"{service}={count}")
        return self.cluster.wait_running(service, count)

    def test_connections_survive_as_far_as_their_backend(self):
        targets = self.cluster.targets(PORT)
        old = harness.Load(self.lab, "echo", targets, "-n", "900", "--first-port", "20000", "--interval-ms", "200")
        first = old.report()
        self.assertEqual((first["opened"], len(first["backends"])), (900, 3), first)
        before = {task["ID"] for task in self.cluster.running("echo")}
        self.scale("echo", 6)
        late = harness.Load(self.lab, "echo", targets, "-n", "900", "--first-port", "25000", "--interval-ms", "200")
        spread = late.report()
        self.assertEqual((spread["opened"], len(spread["backends"])), (900, 6), spread)
        kept = {task["ID"] for task in self.scale("echo", 3)}
        self.assertEqual(len(kept), 3)
        for load, opened in ((old, first), (late, spread)):
            last = load.stop()
            for fault in ("broken", "crossed", "refused", "unreachable"):
                self.assertEqual(last[fault], 0, last)
            # Only the connections of backends that were taken away have been closed, politely.
            gone = sorted(opened["backends"].values(), reverse=True)
            removed = 3 if load is late else len(before - kept)
            self.assertLessEqual(last["closed"], sum(gone[:removed]), last)
            self.assertEqual(last["open"] + last["closed"], 900, last)

    def test_the_last_backends_keep_their_connections_while_they_drain(self):
        port = PORT + 1
        self.create_echo("last", replicas=2, port=port)
        load = harness.Load(self.lab, "echo", self.cluster.targets(port), "-n", "300", "--first-port", "30000",
                            "--interval-ms", "100")
        self.assertEqual(load.report()["opened"], 300)
        self.scale("last", 0)
        for host in self.lab.node_names():
            refused = self.lab.run("client", "curl", "-sS", "--max-time", "3", self.lab.url(host, port), check=False)
            self.assertEqual(refused.returncode, CURL_COULD_NOT_CONNECT, f"{host}: {refused.stderr}")
        last = load.stop()
        self.assertEqual((last["broken"], last["crossed"], last["closed"]), (0, 0, 300), last)

    def test_no_request_fails(self):
        load = harness.Load(self.lab, "http", self.cluster.targets(8010), "-n", "12", "--path", "/whoami", "--interval-ms",
                            "5", "--expect", '"task"')
        load.report()
        for count in (6, 2, 5, 3):
            self.scale("web", count)
        last = load.stop()
        self.assertEqual(last["failed"], 0, last)
        self.assertGreater(last["requests"], 200, last)


if __name__ == "__main__":
    harness.main()
