"""Faults that meet traffic: ports that are somebody else's, malformed packets, a manager that dies at any moment. Once per
uplink mode; what is the same in both is in test_faults.py."""

import json
import os
import random
import re

import harness
from cluster import Cluster, ClusterTest

FUZZ = os.path.join(os.path.dirname(os.path.abspath(__file__)), "malformed_packets.py")


class TestTraffic(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_service("web", "image-gallery", options=("--publish", "8010:80"), running=1)

    def create(self, *arguments, host="node1"):
        return self.lab.run(host, "meshctl", "service", "create", "-d", *arguments, check=False)

    def start_server(self, host, port, *command, listening="-Hltn"):
        """A program of the host's own on this port, by default a web server, until the test or the returned function
        ends it."""
        pid = self.lab.daemon(host, *(command or ("busybox", "httpd", "-f", "-p", str(port), "-h", "/etc")))

        def end():
            self.lab.run(host, "kill", pid, check=False)  # the test may have done it

        self.addCleanup(end)
        harness.wait_for(lambda: f":{port} " in self.lab.run(host, "ss", listening).stdout, 10, "the host's own server")
        return end

    def test_port_in_use_on_the_manager(self):
        self.start_server("node1", 8033)
        self.assertRefused(self.create("--name", "third", "--publish", "8033:80", "nginx"),
                           "port 8033/tcp is already in use on node1 by busybox", "stop it or publish another port")
        self.assertEqual(self.lab.http(self.lab.url("node1", 8033, "/hostname")).body, "node1\n", "it is left alone")

    def test_port_in_use_on_another_host(self):
        end_server = self.start_server("node3", 8034)
        why = ("port 8034/tcp is already in use on node3 by busybox (pid ", "stop it or publish another port")
        self.assertRefused(self.create("--name", "other", "--publish", "8034:80", "nginx"), *why)
        self.assertRefused(self.lab.run("node1", "meshctl", "publish", "8034:80", "web", check=False), *why)
        spec = {"Name": "other", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}},
                "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8034}]}}
        status, text = self.cluster.request("POST", "/services/create", spec)
        self.assertEqual(status, 409, text)
        self.assertEqual([one["Spec"]["Name"] for one in self.cluster.api("GET", "/services")], ["web"], "nothing was made")
        self.assertEqual(self.lab.http(self.lab.url("node3", 8034, "/hostname")).body, "node3\n", "it is left alone")
        end_server()
        self.create_service("other", "nginx", options=("--publish", "8034:80"), running=1)

    def test_datagram_port_in_use_on_another_host(self):
        serve = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 8036)); s.recv(1)"
        self.start_server("node3", 8036, "/usr/bin/python3", "-c", serve, listening="-Hlun")
        self.assertRefused(self.create("--name", "other", "--publish", "8036:80/udp", "nginx"),
                           "8036/udp", "in use", "node3", "python3")

    def test_port_that_the_cluster_chooses_is_free_everywhere(self):
        self.start_server("node3", 30000)
        self.create_service("any", "nginx", options=("--publish", "80"), running=1)
        self.assertEqual(self.cluster.api("GET", "/services/any")["Endpoint"]["Ports"][0]["PublishedPort"], 30001)
        self.assertEqual(self.lab.http(self.lab.url("node3", 30001)).status, 200)

    def test_port_in_use_on_a_host_that_could_not_be_asked(self):
        """It is named where the operator looks, the others answer, and so does the host once the port is free."""
        self.lab.verb("meshd", "kill", "node2")
        self.addCleanup(self.lab.verb, "meshd", "start", "node2", check=False)
        end_server = self.start_server("node2", 8035)
        elsewhere = ("--constraint", "node.hostname==node1")
        self.create_service("late", "nginx", options=("--publish", "8035:80", *elsewhere), running=1)
        self.lab.verb("meshd", "start", "node2")
        named = re.compile(r"(?m)^  node2: .*8035/tcp is already in use on this host by busybox \(pid \d+\)")
        harness.wait_for(lambda: named.search(self.lab.meshctl("node1", "status")), 30, "meshctl status names it")
        ready = self.lab.run("node1", "curl", "-sS", "--unix-socket", "/run/meshd.sock",
                             "http://meshd/v1.41/mesh/services/late/ready").stdout
        self.assertIn("node2: port 8035/tcp is already in use", json.loads(ready)["Problems"][0])
        self.assertEqual(self.lab.http(self.lab.url("node2", 8035, "/hostname")).body, "node2\n", "it is left alone")
        self.assertEqual(self.lab.http(self.lab.url("node3", 8035)).status, 200)
        end_server()
        harness.wait_for(lambda: not named.search(self.lab.meshctl("node1", "status")), 20, "the problem is gone")
        harness.wait_for(lambda: "nginx" in self.lab.http(self.lab.url("node2", 8035)).body.lower(), 20, "node2 answers")

    def test_malformed_packets_hurt_nobody(self):
        """Random and cut-off packets of all protocols on the uplink and from a container: services answer on."""
        task = self.cluster.running("web")[0]
        seed = random.SystemRandom().randrange(2**32)
        for host in self.lab.node_names():
            self.lab.run("client", "/usr/bin/python3", "-B", FUZZ, "eth0", self.lab.address(host), "8010", str(seed))
        self.cluster.beside(task, "/usr/bin/python3", "-B", FUZZ, "eth0", "10.0.0.1", "8010", str(seed))
        for host in self.lab.node_names():
            answer = self.lab.http(self.lab.url(host, 8010, "/whoami"))
            self.assertEqual(answer.status, 200, f"seed {seed}")
            self.assertEqual(answer.json()["client"], harness.CLIENT_V4)


class TestKilledAnyTime(ClusterTest):
    """meshd of the manager dies in the middle of its work, again and again: what was accepted is done."""

    def test_killed_at_any_moment(self):
        accepted = {}
        for number, work in enumerate([0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 2.0]):
            name = f"svc{number}"
            create = self.lab.start("node1", "sh", "-c",
                                    f"meshctl service create -d --name {name} --replicas 2 mesh-tools && touch /run/{name}")
            # The moment itself is what varies here; nothing is waited for.
            self.lab.run("node1", "busybox", "timeout", str(max(work, 0.01)), "tail", "-f", "/dev/null", check=False)
            self.lab.verb("meshd", "kill", "node1")
            create.wait(timeout=30)
            accepted[name] = self.lab.run("node1", "test", "-e", f"/run/{name}", check=False).returncode == 0
            self.lab.verb("meshd", "start", "node1")
        services = {service["Spec"]["Name"] for service in self.cluster.api("GET", "/services")}
        for name, was_accepted in accepted.items():
            if was_accepted:
                self.assertIn(name, services, "an accepted service is lost")
        for name in services:
            self.cluster.wait_running(name, 2, timeout_s=90)
        self.assertTrue(any(accepted.values()))
        for host in self.lab.node_names():
            self.lab.wait_agreement(host)
        Cluster(self.lab).remove(*services)


if __name__ == "__main__":
    harness.main()
