"""What tests do with the cluster of a lab: services, tasks and their insides.

State is read from the API as JSON (never from tables made for people); changes go through meshctl, as a user's would.
"""

import datetime
import json
import urllib.parse

import harness

RUNNING_S = 60  # until a service runs: pull, unpack and start on two slow processors


def seconds(timestamp):
    """The API's time as seconds since the epoch; all hosts of a lab share one clock."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + (fraction or "0"))


class Cluster:
    """The formed cluster of a lab. `manager` is the host that commands go to."""

    def __init__(self, lab, manager="node1"):
        self.lab = lab
        self.manager = manager

    def remove(self, *services):
        """Removes services and waits until their tasks are gone."""
        ids = {self.api("GET", f"/services/{name}")["ID"] for name in services}
        self.lab.meshctl(self.manager, "service", "rm", *services)
        harness.wait_for(lambda: not [task for task in self.tasks() if task["ServiceID"] in ids], 40,
                         f"the tasks of {' '.join(services)} are gone")

    def request(self, method, path, body=None, host=None, raw_body=None):
        """(status, text) of a request to the Engine API on a host's socket."""
        text = raw_body if raw_body is not None else None if body is None else json.dumps(body)
        command = ["curl", "-sS", "--max-time", "20", "--unix-socket", "/run/meshd.sock", "-X", method, "-w",
                   "\n%{http_code}", "http://meshd/v1.41" + path]
        if text is not None:
            command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        output = self.lab.run(host or self.manager, *command, text_input=text or "").stdout
        answer, _, status = output.rpartition("\n")
        return int(status), answer

    def api(self, method, path, body=None, host=None):
        """The decoded answer of a request that must succeed."""
        status, text = self.request(method, path, body, host)
        if status >= 300:
            raise harness.CommandFailed(f"{method} {path} answered {status}: {text}")
        return json.loads(text) if text.strip() else None

    def mesh(self, path):
        """The decoded answer of one of the mesh's own routes."""
        return self.api("GET", "/mesh" + path)

    def create_network(self, name, *options):
        self.lab.meshctl(self.manager, "network", "create", "-d", "overlay", *options, name)

    def create_separate_networks(self, *names):
        """Each with a service of its name: one task with tools on each of three hosts."""
        for name in names:
            self.create_network(name)
            self.create_service(name, "mesh-tools", options=("--network", name, "--replicas", "3"), running=3)

    def create_service(self, name, image, *command, options=(), running=None, timeout_s=RUNNING_S):
        """meshctl service create -d; waits for `running` tasks when given."""
        self.lab.meshctl(self.manager, "service", "create", "-d", "--name", name, *options, image, *command)
        if running is not None:
            return self.wait_running(name, running, timeout_s)
        return None

    def deploy_gallery(self, galleries=2, publish="8010:80"):
        """The picture, the access log and the gallery on one network; waits until all run."""
        self.create_network("gallery")
        network = ("--network", "gallery")
        self.create_service("iotd", "diamol/ch09-image-of-the-day", options=(*network, "--replicas", "3"))
        self.create_service("accesslog", "diamol/ch09-access-log", options=(*network, "--replicas", "2"))
        published = ("--publish", publish) if publish else ()
        self.create_service("image-gallery", "diamol/ch09-image-gallery",
                            options=(*network, "--replicas", str(galleries), *published))
        self.wait_running("iotd", 3)
        self.wait_running("accesslog", 2)
        return self.wait_running("image-gallery", galleries)

    def create_echo(self, name="echo", replicas=3, port=9000, options=()):
        """mesh-echo, published for TCP and UDP."""
        return self.create_service(name, "mesh-tools", "/usr/bin/mesh-echo", "9000", running=replicas,
                                   options=("--replicas", str(replicas), "--publish", f"{port}:9000/tcp", "--publish",
                                            f"{port}:9000/udp", *options))

    def tasks(self, service=None):
        query = "" if service is None else "?filters=" + urllib.parse.quote(json.dumps({"service": {service: True}}))
        return self.api("GET", "/tasks" + query)

    def running(self, service):
        return [task for task in self.tasks(service)
                if task["DesiredState"] == "running" and task["Status"]["State"] == "running"]

    def wait_running(self, service, count, timeout_s=RUNNING_S):
        """The tasks, once exactly `count` run and nothing is on its way up or down."""

        def settled():
            running = self.running(service)
            ending = ("complete", "shutdown", "failed", "rejected", "orphaned")
            others = [task for task in self.tasks(service) if task["Status"]["State"] not in ("running", *ending)]
            return (running,) if len(running) == count and not others else None  # a tuple: none at all may be wanted

        try:
            return harness.wait_for(settled, timeout_s, f"{count} tasks of {service} run")[0]
        except harness.TimedOut as error:
            states = [(task.get("Slot"), task["DesiredState"], task["Status"]["State"], task["Status"].get("Err"))
                      for task in self.tasks(service)]
            raise harness.TimedOut(f"{error}; tasks: {states}") from None

    def host_of(self, task):
        """The lab host that a task runs on."""
        nodes = {node["ID"]: node["Description"]["Hostname"] for node in self.api("GET", "/nodes")}
        return nodes[task["NodeID"]]

    def inside(self, task, *command, check=True, timeout=60):
        """A command in a task's container: its namespaces, its root file system."""
        pid = str(task["Status"]["ContainerStatus"]["PID"])
        return self.lab.run(self.host_of(task), "nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "--", *command,
                            check=check, timeout=timeout)

    def beside(self, task, *command, check=True, timeout=60, text_input=None):
        """A program of the machine in a task's network namespace only."""
        pid = str(task["Status"]["ContainerStatus"]["PID"])
        return self.lab.run(self.host_of(task), "nsenter", "-t", pid, "-n", "--", *command, check=check,
                            timeout=timeout, text_input=text_input)

    def start_beside(self, task, *command, **options):
        """As beside(), in the background: Popen."""
        pid = str(task["Status"]["ContainerStatus"]["PID"])
        return self.lab.start(self.host_of(task), "nsenter", "-t", pid, "-n", "--", *command, **options)

    def drops(self, host):
        """Dropped packets by reason, from the host's kernel."""
        report = json.loads(self.lab.meshctl(host, "dataplane", "drops", "--format", "json"))[0]
        return {row["Reason"]: row["Packets"] for row in report["Drops"]}

    def network_id(self, name):
        return next(one["Id"] for one in self.api("GET", "/networks") if one["Name"] == name)

    def subnet_of(self, name):
        """The IPv4 prefix of a network."""
        network = next(one for one in self.api("GET", "/networks") if one["Name"] == name)
        return next(one["Subnet"] for one in network["IPAM"]["Config"] if ":" not in one["Subnet"])

    def address_on(self, task, network):
        """The task's IPv4 address on a network, by the network's name."""
        wanted = self.network_id(network)
        for attachment in task["NetworksAttachments"]:
            if attachment["Network"]["ID"] == wanted:
                return attachment["Addresses"][0].partition("/")[0]
        raise AssertionError(f"task {task['ID']} is not on network {network}: {task['NetworksAttachments']}")

    def vip_of(self, service, network):
        wanted = self.network_id(network)
        endpoint = self.api("GET", f"/services/{service}")["Endpoint"]
        return next(vip["Addr"].partition("/")[0] for vip in endpoint["VirtualIPs"] if vip["NetworkID"] == wanted)

    def targets(self, port, family=4):
        """HOST:PORT of every node, for mesh-load."""
        return [f"{harness.host_literal(self.lab.address(host, family))}:{port}" for host in self.lab.node_names()]


class ClusterTest(harness.LabTest):
    """Tests that share a cluster. Subclasses deploy in deploy(); what a test creates itself it removes itself."""

    cluster = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = Cluster(cls.lab)
        try:
            cls.deploy(cls.cluster)
        except BaseException:
            print(cls.lab.evidence())
            raise

    @classmethod
    def deploy(cls, cluster):
        """What all tests of the class use."""

    def create_service(self, name, *arguments, **options):
        """Cluster.create_service, removed after the test."""
        self.addCleanup(self.cluster.remove, name)
        return self.cluster.create_service(name, *arguments, **options)

    def create_echo(self, name, *arguments, **options):
        """Cluster.create_echo, removed after the test."""
        self.addCleanup(self.cluster.remove, name)
        return self.cluster.create_echo(name, *arguments, **options)

    def assertRefused(self, result, *words):
        """A command that must fail with a message a person can use: no trace, and all these words."""
        self.assertNotEqual(result.returncode, 0, result.stdout)
        text = result.stdout + result.stderr
        for word in words:
            self.assertIn(word.lower(), text.lower())
        for trace in ("terminate called", "Segmentation", "what():", "Sanitizer"):
            self.assertNotIn(trace, text)
