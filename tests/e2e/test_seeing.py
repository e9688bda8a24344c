"""What a host says of its own: counters of services and backends, /metrics."""

import json
import re

import harness
from cluster import ClusterTest

VISITS = 12
PORT = 8010


class Scrape:
    """The samples of one /metrics answer."""

    def __init__(self, text):
        self.samples = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line).groups()
            pairs = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")
            self.samples[name, frozenset(pairs)] = float(value)

    def sum(self, name, **labels):
        return sum(value for (one, pairs), value in self.samples.items() if one == name and set(labels.items()) <= pairs)


class TestSeeing(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_service("web", "image-gallery", options=("--replicas", "3", "--publish", f"{PORT}:80"), running=3)
        for host in cls.lab.node_names():
            harness.wait_for(lambda h=host: cls.lab.http(cls.lab.url(h, PORT, "/whoami")).status == 200, 20,
                             f"{host} serves port {PORT}")

    def scrape(self, host):
        status, text = self.cluster.request("GET", "/metrics", host=host)
        self.assertEqual(status, 200, text)
        return Scrape(text)

    def visit(self, host):
        for _ in range(VISITS):
            self.assertEqual(self.lab.http(self.lab.url(host, PORT, "/whoami")).status, 200)

    def rows(self, host, part, key):
        return json.loads(self.lab.meshctl(host, "dataplane", part, "--format", "json"))[0][key]

    def test_metrics_count_what_happens(self):
        names = self.lab.node_names()
        before = {host: self.scrape(host) for host in names}
        self.visit("node2")
        after = {host: self.scrape(host) for host in names}

        def grown(name, hosts=names, **labels):
            return sum(after[host].sum(name, **labels) - before[host].sum(name, **labels) for host in hosts)

        entered = grown("meshd_service_entry_packets_total", ["node2"], service="web", port=str(PORT), protocol="tcp")
        self.assertGreaterEqual(entered, VISITS * 5, "SYN, its answer's answer, request, FIN and the last of it")
        self.assertEqual(grown("meshd_service_entry_packets_total", ["node1", "node3"], service="web"), 0)
        self.assertEqual(grown("meshd_backend_connections_total", service="web"), VISITS)
        self.assertEqual(grown("meshd_backend_in_packets_total", service="web"), entered, "what enters arrives")
        self.assertGreater(grown("meshd_backend_out_bytes_total", service="web"), 0)
        self.assertEqual(grown("meshd_drops_total"), 0)
        tasks = {dict(pairs)["task"] for host in names for (name, pairs) in after[host].samples
                 if name == "meshd_backend_flows"}
        self.assertEqual({task.rpartition(".")[0] for task in tasks}, {"web.1", "web.2", "web.3"})

    def test_metrics_of_manager_and_workers(self):
        manager = self.scrape("node1")
        self.assertEqual(manager.sum("meshd_manager_sessions"), 3)
        self.assertEqual(manager.sum("meshd_manager_tasks", state="running"), 3)
        self.assertEqual(manager.sum("meshd_manager_nodes", state="ready"), 3)
        worker = self.scrape("node2")
        self.assertEqual(worker.sum("meshd_session_up"), 1)
        self.assertEqual(worker.sum("meshd_is_manager"), 0)
        self.assertEqual(worker.sum("meshd_info", node="node2"), 1)
        self.assertGreater(worker.sum("meshd_map_memory_bytes"), 1 << 20)
        self.assertGreater(worker.sum("meshd_flow_records_max"), 1000)
        self.assertGreater(worker.sum("meshd_process_cpu_seconds_total"), 0)
        self.assertEqual(worker.sum("meshd_metrics_left_out"), 0)

    def test_dataplane_shows_services_and_backends(self):
        before = sum(row["Connections"] for host in self.lab.node_names() for row in self.rows(host, "backends", "Backends"))
        self.visit("node3")
        backends = [row for host in self.lab.node_names() for row in self.rows(host, "backends", "Backends")]
        self.assertEqual({row["Service"] for row in backends}, {"web"})
        self.assertEqual(sum(row["Connections"] for row in backends) - before, VISITS)
        entry = self.rows("node3", "services", "Traffic")
        self.assertEqual([(row["Service"], row["Port"]) for row in entry], [("web", PORT)])
        self.assertGreater(entry[0]["Entry"]["Packets"], VISITS * 4)
        to = self.rows("node3", "backends", "Ports")[0]["Backends"]
        self.assertEqual(sum(one["Entry"]["Packets"] for one in to), entry[0]["Entry"]["Packets"])
        events = {row["Reason"]: row["Packets"] for row in self.rows("node3", "drops", "Events")}
        self.assertGreater(events["entry"] + events["entry_local"], VISITS * 4)
        text = self.lab.meshctl("node3", "dataplane", "services")
        self.assertIn("CLIENT RESETS", text)


class TestMetricsAddress(harness.LabTest):
    options = ("--no-meshd",)
    nodes = 1

    def test_metrics_on_tcp_only_where_asked(self):
        address = self.lab.address("node1")
        self.lab.daemon("node1", "meshd", "--data-dir", "/var/lib/other", "--advertise-addr", address, "--uplink", "eth0",
                        "--uplink-mode", self.lab.uplink_mode, "--metrics-addr", f"{address}:9464")
        url = f"http://{address}:9464"
        answer = harness.wait_for(lambda: self.lab.http(url + "/metrics", check=False), 20, "/metrics is open")
        self.assertEqual(answer.status, 200)
        self.assertEqual(Scrape(answer.body).sum("meshd_info", node="node1"), 1)
        self.assertEqual(self.lab.http(url + "/info").status, 404, "nothing else of the API is there")

    def test_a_bad_address_is_refused(self):
        for address, words in (("nowhere:9464", "metrics-addr"), ("192.0.2.77:9464", "metrics-addr: cannot listen on")):
            result = self.lab.run("node1", "timeout", "15", "meshd", "--data-dir", "/var/lib/third", "--advertise-addr",
                                  self.lab.address("node1"), "--uplink", "eth0", "--socket", "/run/third.sock",
                                  "--runtime-dir", "/run/third", "--metrics-addr", address, check=False)
            self.assertNotIn(result.returncode, (0, 124), address)
            self.assertIn(words, result.stdout + result.stderr)


if __name__ == "__main__":
    harness.main()
