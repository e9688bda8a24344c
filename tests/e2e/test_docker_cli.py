"""The unmodified docker command line (Debian's 20.10) drives the cluster through meshd's API."""

import json
import re

import harness
from cluster import ClusterTest


class TestDockerCli(ClusterTest):
    def docker(self, *arguments, host="node1", **options):
        return self.lab.docker(host, *arguments, **options)

    def table(self, *arguments):
        """Rows of a table as dictionaries by its headings, which stand two blanks or more apart."""
        head, *lines = self.docker(*arguments).splitlines()
        columns = [(match.group(0).rstrip(), match.start()) for match in re.finditer(r"\S+(?: \S+)*", head)]
        starts = [start for _, start in columns] + [None]
        return [{name: line[starts[i]:starts[i + 1]].strip() for i, (name, _) in enumerate(columns)} for line in lines]

    def test_version_and_info(self):
        versions = json.loads(self.docker("version", "--format", "{{json .}}"))
        self.assertTrue(versions["Server"]["Version"])
        self.assertEqual(versions["Client"]["ApiVersion"], "1.41")
        self.assertIn("Swarm: active", self.docker("info"))
        self.assertIn("Is Manager: true", self.docker("info"))
        self.assertIn("Is Manager: false", self.docker("info", host="node2"))

    def test_node_ls(self):
        rows = self.table("node", "ls")
        self.assertEqual([(row["HOSTNAME"], row["STATUS"], row["AVAILABILITY"], row["MANAGER STATUS"]) for row in rows],
                         [("node1", "Ready", "Active", "Leader"), ("node2", "Ready", "Active", ""),
                          ("node3", "Ready", "Active", "")])
        self.assertEqual(len(self.docker("node", "ls", "-q").split()), 3)
        node = json.loads(self.docker("node", "inspect", "node2"))[0]
        self.assertEqual((node["Spec"]["Role"], node["Status"]["Addr"]), ("worker", self.lab.address("node2")))

    def test_life_of_a_service(self):
        self.docker("network", "create", "-d", "overlay", "front")
        identity = self.docker("service", "create", "-d", "--name", "web", "--replicas", "2", "--network", "front",
                               "--publish", "8020:80", "--env", "COLOUR=blue", "--limit-memory", "64M", "--limit-cpu", "0.5",
                               "image-gallery")
        self.assertRegex(identity, r"^[a-z0-9]{25}$")
        self.cluster.wait_running("web", 2)
        row = self.table("service", "ls")[0]
        self.assertEqual((row["NAME"], row["MODE"], row["REPLICAS"], row["PORTS"]),
                         ("web", "replicated", "2/2", "*:8020->80/tcp"))
        tasks = self.table("service", "ps", "web")
        self.assertEqual([row["NAME"] for row in tasks], ["web.1", "web.2"])
        self.assertTrue(all(row["CURRENT STATE"].startswith("Running") for row in tasks), tasks)
        spec = json.loads(self.docker("service", "inspect", "web"))[0]
        self.assertEqual(spec["ID"], identity)
        self.assertEqual(spec["Spec"]["TaskTemplate"]["Resources"]["Limits"],
                         {"NanoCPUs": 500_000_000, "MemoryBytes": 64 * 1024 * 1024})
        self.assertIn("web", self.docker("service", "inspect", "--pretty", "web"))
        page = harness.wait_for(lambda: self.lab.http(self.lab.url("node3", 8020, "/whoami"), check=False), 10,
                                "node3 answers on the published port")
        self.assertIn('"task"', page.body)

        self.assertIn("web scaled to 4", self.docker("service", "scale", "-d", "web=4"))
        self.cluster.wait_running("web", 4)
        self.docker("service", "update", "-d", "--env-add", "COLOUR=red", "--replicas", "3", "web")
        harness.wait_for(lambda: len(self.cluster.running("web")) == 3 and all(
            "COLOUR=red" in task["Spec"]["ContainerSpec"]["Env"] for task in self.cluster.running("web")), 90, "updated")
        names = [row["NAME"] for row in self.table("service", "ps", "web")]
        self.assertIn("web.1", names)
        self.assertTrue(any(name.startswith("\\_ web.") for name in names), names)

        self.assertEqual(self.docker("service", "rm", "web"), "web")
        harness.wait_for(lambda: not self.cluster.tasks(), 40, "the tasks are gone")
        self.assertEqual(self.docker("network", "rm", "front"), "front")

    def test_attached_create_shows_progress_and_converges(self):
        output = self.docker("service", "create", "--name", "slow", "--replicas", "2", "timecheck:1.0", timeout=120)
        self.addCleanup(self.cluster.remove, "slow")
        self.assertIn("converged", output)
        output = self.docker("service", "create", "--name", "alone", "timecheck:1.0", timeout=120)
        self.addCleanup(self.cluster.remove, "alone")
        self.assertIn("converged", output)

    def test_update_of_the_image_goes_one_by_one(self):
        self.create_service("clock", "timecheck:1.0", options=("--replicas", "3"), running=3)
        self.docker("service", "update", "-d", "--image", "timecheck:2.0", "clock")
        least = 3

        def updated():
            nonlocal least
            running = self.cluster.running("clock")
            least = min(least, len(running))
            return len(running) == 3 and all("2.0" in task["Spec"]["ContainerSpec"]["Image"] for task in running)

        harness.wait_for(updated, 90, "all run the new image")
        self.assertGreaterEqual(least, 2, "one at a time")

    def test_networks(self):
        identity = self.docker("network", "create", "-d", "overlay", "--subnet", "10.99.0.0/24", "mine")
        self.addCleanup(self.docker, "network", "rm", "mine", check=False)
        self.assertRegex(identity, r"^[a-z0-9]{25}$")
        rows = {row["NAME"]: row for row in self.table("network", "ls")}
        self.assertEqual((rows["mine"]["DRIVER"], rows["mine"]["SCOPE"]), ("overlay", "swarm"))
        self.assertIn("ingress", rows)
        subnets = json.loads(self.docker("network", "inspect", "mine"))[0]["IPAM"]["Config"]
        self.assertEqual(subnets[0]["Subnet"], "10.99.0.0/24")
        self.create_service("user", "mesh-tools", options=("--network", "mine"), running=1)
        harness.wait_for(lambda: "mine" in self.docker("network", "ls", host="node2"), 10, "a worker lists it too")
        refused = self.lab.run("node1", "docker", "network", "rm", "mine", check=False)
        self.assertRefused(refused, "mine", "in use")

    def test_what_is_not_there_is_said(self):
        self.create_service("clock", "timecheck:1.0", running=1)
        for command, *words in ((("service", "logs", "clock"), "logs are not collected"),
                                (("network", "prune", "-f"), "network rm"),
                                (("network", "create", "-d", "overlay", "--subnet", "10.98.0.0/24", "--ip-range",
                                  "10.98.0.128/25", "part"), "IP range"),
                                (("service", "create", "--publish", "mode=host,target=80", "nginx"), "mode=host", "name it"),
                                (("service", "create", "--publish", "8021:80/sctp", "nginx"), "80:80/sctp")):
            with self.subTest(command):
                self.assertRefused(self.lab.run("node1", "docker", *command, check=False), *words)

    def test_images(self):
        self.assertIn("timecheck", self.docker("pull", "timecheck:1.0", timeout=120))
        rows = self.table("images")
        self.assertTrue(any("timecheck" in row["REPOSITORY"] and row["TAG"] == "1.0" for row in rows), rows)
        image = json.loads(self.docker("image", "inspect", "timecheck:1.0"))[0]
        self.assertEqual(image["Config"]["Cmd"], ["/usr/bin/timecheck"])

    def test_stale_version_is_refused(self):
        self.create_service("clock", "timecheck:1.0", running=1)
        service = self.cluster.api("GET", "/services/clock")
        stale = service["Version"]["Index"]
        self.docker("service", "update", "-d", "--label-add", "a=b", "clock")
        status, text = self.cluster.request("POST", f"/services/clock/update?version={stale}", service["Spec"])
        self.assertEqual(status, 409, text)
        self.assertIn("out of sequence", json.loads(text)["message"])

    def test_filters_and_formats(self):
        self.create_service("clock", "timecheck:1.0", options=("--replicas", "2"), running=2)
        self.assertEqual(self.docker("service", "ls", "--filter", "name=clock", "--format", "{{.Name}}"), "clock")
        self.assertEqual(self.docker("service", "ls", "--filter", "name=nothing", "-q"), "")
        self.assertEqual(len(self.docker("service", "ps", "clock", "--filter", "desired-state=running", "-q").split()), 2)
        node = self.docker("service", "ps", "clock", "--format", "{{.Node}}").splitlines()
        self.assertLessEqual(set(node), set(self.lab.node_names()))

    def test_leave_and_join_again(self):
        token = self.docker("swarm", "join-token", "-q", "worker")
        self.docker("swarm", "leave", host="node3")
        self.assertIn("Swarm: inactive", self.docker("info", host="node3"))
        harness.wait_for(lambda: [row["STATUS"] for row in self.table("node", "ls")].count("Down") == 1, 40, "node3 is down")
        gone = next(row["ID"].split()[0] for row in self.table("node", "ls") if row["STATUS"] == "Down")
        self.docker("node", "rm", gone)
        self.docker("swarm", "join", "--token", token, f"{self.lab.address('node1')}:2377", host="node3")
        harness.wait_for(lambda: [row["STATUS"] for row in self.table("node", "ls")] == ["Ready"] * 3, 20, "three again")


if __name__ == "__main__":
    harness.main()
