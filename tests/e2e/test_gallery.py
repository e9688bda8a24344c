"""The main job: one published port, every host answers, the client's address intact; the containers find each other."""

import harness
from cluster import ClusterTest

VISITS = 24  # over two backends: all on one side has a chance of 2^-23


class TestGallery(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.deploy_gallery()

    def setUp(self):
        self.wait_served()

    def visit(self, host, path="/whoami", port=8010, **options):
        return self.lab.http(self.lab.url(host, port, path, options.pop("family", 4)), **options)

    def wait_served(self, port=8010, path="/whoami"):
        for host in self.lab.node_names():
            for family in (4, 6):
                harness.wait_for(lambda h=host, f=family: self.visit(h, path, port, family=f).status == 200, 20,
                                 f"{host} serves port {port}, IPv{family}")

    def test_every_host_answers_with_the_clients_address(self):
        galleries = self.cluster.running("image-gallery")
        for family, client in ((4, harness.CLIENT_V4), (6, harness.CLIENT_V6)):
            for host in self.lab.node_names():
                answer = self.visit(host, family=family).json()
                self.assertEqual(answer["client"], client, f"through {host}, IPv{family}: {answer}")
        self.assertLess({self.cluster.host_of(task) for task in galleries}, set(self.lab.node_names()),
                        "some host answers without a task of its own")

    def test_all_backends_get_visits_through_each_host(self):
        for host in self.lab.node_names():
            seen = {self.visit(host).json()["task"] for _ in range(VISITS)}
            self.assertEqual(len(seen), 2, f"through {host}: {seen}")

    def test_page_has_the_picture_and_is_logged(self):
        harness.wait_for(lambda: "<img" in self.visit("node3", "/").body, 20, "a page with its picture")
        page = self.visit("node3", "/").body
        self.assertIn("data:image/svg+xml;base64,", page)
        self.assertIn(">reported<", page)
        self.assertIn(harness.CLIENT_V4, page)

    def test_another_client_address_is_seen_as_it_is(self):
        other = "172.30.0.77"
        self.lab.run("client", "ip", "address", "add", f"{other}/24", "dev", "eth0")
        self.addCleanup(self.lab.run, "client", "ip", "address", "del", f"{other}/24", "dev", "eth0")
        for host in self.lab.node_names():
            self.assertEqual(self.visit(host, source=other).json()["client"], other)

    def test_hosts_own_localhost_and_address(self):
        for host in self.lab.node_names():
            for url in ("http://localhost:8010/whoami", "http://127.0.0.1:8010/whoami", "http://[::1]:8010/whoami",
                        self.lab.url(host, 8010, "/whoami")):
                answer = self.lab.http(url, host=host).json()
                self.assertIn(answer["client"], (self.lab.address(host), self.lab.address(host, 6)), f"{host}: {url}")

    def test_container_reaches_any_hosts_published_port(self):
        task = self.cluster.running("iotd")[0]
        for host in self.lab.node_names():
            result = self.cluster.inside(task, "wget", "-q", "-O", "-", self.lab.url(host, 8010, "/whoami"))
            self.assertIn('"task"', result.stdout, host)

    def test_publish_and_unpublish_replace_no_task(self):
        tasks = {task["ID"] for task in self.cluster.running("image-gallery")}
        self.lab.meshctl("node1", "publish", "8011:80", "image-gallery")
        self.wait_served(8011)
        self.lab.meshctl("node1", "unpublish", "8011", "image-gallery")
        for host in self.lab.node_names():
            harness.wait_for(lambda h=host: self.visit(h, port=8011, check=False, timeout_s=2) is None, 10,
                             f"{host} no longer serves port 8011")
        self.assertEqual({task["ID"] for task in self.cluster.running("image-gallery")}, tasks)

    def test_unhealthy_task_gets_no_visits_while_it_stops(self):
        """Taken out of the ring before its stop signal, which this one does not hear: its grace is the test's time."""
        self.create_service("sick", "image-gallery", running=2, options=(
            "--publish", "8013:80", "--replicas", "2", "--health-cmd", "test ! -e /tmp/sick", "--health-interval",
            "200ms", "--health-retries", "1", "--stop-signal", "SIGWINCH", "--stop-grace-period", "20s"))
        self.wait_served(8013)
        for host in self.lab.node_names():
            harness.wait_for(lambda h=host: len({self.visit(h, port=8013).json()["task"] for _ in range(VISITS)}) == 2, 20,
                             f"both tasks serve through {host}")
        victim = self.cluster.running("sick")[0]
        name = self.cluster.inside(victim, "hostname").stdout.strip()
        self.cluster.inside(victim, "touch", "/tmp/sick")

        def only_the_other(host):
            seen = {self.visit(host, port=8013).json()["task"] for _ in range(VISITS)}
            return len(seen) == 1 and not any(name in one for one in seen)

        for host in self.lab.node_names():
            harness.wait_for(lambda h=host: only_the_other(h), 10, f"no visit reaches the unhealthy task through {host}")
        self.assertIn(victim["ID"], {task["ID"] for task in self.cluster.running("sick")}, "it is still stopping")
        self.cluster.inside(victim, "true")

        def explained():
            task = self.cluster.api("GET", f"/tasks/{victim['ID']}")
            return task["Status"].get("Err", "") if task["Status"]["State"] == "failed" else None

        self.assertIn("unhealthy container", harness.wait_for(explained, 40, "the unhealthy task has failed"))
        self.cluster.wait_running("sick", 2)

    def test_the_kernel_tracks_no_connection_of_the_mesh(self):
        """The tables of tracked connections hold others of the host, and none of a published port, a container, a name."""
        for host in self.lab.node_names():
            self.visit(host)
            self.visit(host, "/")
            for url in ("http://localhost:8010/whoami", "http://[::1]:8010/whoami", self.lab.url(host, 8010, "/whoami")):
                self.lab.http(url, host=host)
        for task in self.cluster.running("image-gallery"):
            self.cluster.inside(task, "wget", "-q", "-O", "/dev/null", "http://iotd/healthz")
        for host in self.lab.node_names():
            tracked = self.lab.run(host, "cat", "/proc/net/nf_conntrack").stdout
            self.assertIn("port=2377 ", tracked, f"{host} tracks what is not the mesh's")
            mesh = [line for line in tracked.splitlines()
                    if any(mark in line for mark in ("port=8010 ", "port=4789 ", "port=53 ", "src=10.", "dst=10."))]
            self.assertEqual(mesh, [], f"{host} tracks connections of the mesh")

    def test_nginx_serves_large_pages_whole(self):
        self.create_service("web", "nginx", options=("--publish", "8012:80", "--replicas", "2"), running=2)
        self.wait_served(8012, "/")
        for task in self.cluster.running("web"):
            self.cluster.inside(task, "sh", "-c", "seq 1 200000 >/usr/share/nginx/html/large.txt")
        expected = "".join(f"{number}\n" for number in range(1, 200001))
        for host in self.lab.node_names():
            for family in (4, 6):
                for _ in range(4):
                    answer = self.visit(host, "/large.txt", 8012, family=family, timeout_s=20)
                    self.assertEqual(answer.body, expected, f"through {host}, IPv{family}")

    def test_datagrams(self):
        self.create_echo("echo", replicas=3, port=9010)
        for family in (4, 6):
            load = harness.Load(self.lab, "echo", self.cluster.targets(9010, family), "--udp", "-n", "300", "--interval-ms", "50")
            first = load.report()
            last = load.stop()
            self.assertEqual((first["opened"], len(first["backends"])), (300, 3), first)
            for count in ("crossed", "lost", "moved", "wrong_address", "refused"):
                self.assertEqual(last[count], 0, last)

    def test_other_traffic_passes_untouched(self):
        self.create_echo("echo", replicas=1, port=9010)
        self.lab.daemon("node1", "busybox", "httpd", "-f", "-p", "8070", "-h", "/etc")
        answer = harness.wait_for(lambda: self.visit("node1", "/hostname", 8070), 10, "the host's own server")
        self.assertEqual(answer.body, "node1\n")
        self.assertIsNone(self.visit("node2", "/", 8070, check=False), "a closed port stays closed")
        ping = self.lab.run("client", "ping", "-c", "3", "-i", "0.2", "-W", "2", self.lab.address("node2"))
        self.assertIn("3 received", ping.stdout)


if __name__ == "__main__":
    harness.main()
