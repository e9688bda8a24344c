"""Bad input and faults: the message says what, on what, why and what to do; nothing is lost, nothing crashes."""

import json
import os
import re

import harness
from cluster import ClusterTest, seconds

REFUSE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "refuse.py")
RESTART_DELAY_S = 5  # what a service has that does not ask for another
STARTED_S = 5  # a container, on two slow processors


def meshd_pid(lab, host):
    return lab.run(host, "cat", "/run/lab-meshd.pid").stdout.strip()


# What a join is told: what is wrong with the token, and what to do.
WORTHLESS = ("the join token is not valid", "wrong or was rotated", "ask a manager", "swarm join-token worker")
FOREIGN = ("root certificate", "is not the one in the join token", "the token or the address belongs to another cluster")
MEMBER = ("already part of a swarm", 'Leave it with "swarm leave"')


class TestMembership(ClusterTest):
    """Joining wrongly. node3 is taken out of the cluster for it."""

    @classmethod
    def deploy(cls, cluster):
        cls.token = cluster.lab.meshctl("node1", "swarm", "join-token", "-q", "worker")
        cluster.lab.meshctl("node3", "swarm", "leave", "--force")

    def setUp(self):
        self.alive = {host: meshd_pid(self.lab, host) for host in self.lab.node_names()}

    def tearDown(self):
        super().tearDown()
        for host, pid in self.alive.items():
            self.lab.run(host, "kill", "-0", pid)

    def join(self, token, host="node3", manager="node1"):
        return self.lab.run(host, "meshctl", "swarm", "join", "--token", token, f"{self.lab.address(manager)}:2377",
                            check=False)

    def test_bad_tokens(self):
        head, digest, secret = self.token.rsplit("-", 2)
        flipped, other = (text[:-1] + ("0" if text[-1] != "0" else "1") for text in (secret, digest))
        copy = "copy the whole line that `swarm join-token` prints"
        for token, words in (("nonsense", ["invalid join token", "does not start with SWMTKN-1-", copy]),
                             (f"{head}-{digest}", ["invalid join token", "wrong length", copy]),
                             (f"{head}-{digest}-{flipped}", WORTHLESS), (f"{head}-{other}-{secret}", FOREIGN)):
            self.assertRefused(self.join(token), *words)
        self.assertEqual(len(self.cluster.api("GET", "/nodes")), 3, "nobody new has joined")

    def test_rotated_token_is_worthless(self):
        self.lab.meshctl("node1", "swarm", "join-token", "--rotate", "-q", "worker")
        self.assertRefused(self.join(self.token), *WORTHLESS)
        type(self).token = self.lab.meshctl("node1", "swarm", "join-token", "-q", "worker")

    def test_token_of_another_cluster(self):
        with harness.Lab(1) as other:
            foreign = other.meshctl("node1", "swarm", "join-token", "-q", "worker")
        self.assertRefused(self.join(foreign), *FOREIGN)

    def test_nobody_at_the_address(self):
        result = self.lab.run("node3", "meshctl", "swarm", "join", "--token", self.token,
                              f"{harness.CLIENT_V4}:2377", check=False)
        self.assertRefused(result, f"cannot reach a manager at {harness.CLIENT_V4}:2377", "Connection refused",
                           "check the address", "meshd runs there", "firewall")

    def test_second_init_and_second_join(self):
        self.assertRefused(self.lab.run("node1", "meshctl", "swarm", "init", check=False), *MEMBER)
        self.assertRefused(self.join(self.token, host="node2"), *MEMBER)

    def test_worker_and_outsider_have_no_cluster_state(self):
        for host, advice in (("node2", f"Run the command on a manager: {self.lab.address('node1')}:2377"),
                             ("node3", 'Make one with "swarm init" or enter one with "swarm join"')):
            for command in (["node", "ls"], ["service", "ls"], ["service", "create", "nginx"], ["swarm", "join-token", "worker"]):
                self.assertRefused(self.lab.run(host, "meshctl", *command, check=False), "not a swarm manager", advice)

    def test_last_manager_does_not_leave_by_mistake(self):
        self.assertRefused(self.lab.run("node1", "meshctl", "swarm", "leave", check=False), "leaving erases all state",
                           "Use --force if that is what you want")

    def test_cluster_port_shows_nothing_without_a_certificate(self):
        url = f"https://{self.lab.address('node1')}:2377/"
        plain = self.lab.run("client", "curl", "-sS", "--max-time", "5", url.replace("https", "http"), check=False)
        self.assertNotEqual(plain.returncode, 0)
        for path in ("", "session", "v1.41/nodes", "nodes"):
            result = self.lab.run("client", "curl", "-sSk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}",
                                  url + path, check=False)
            self.assertNotIn(result.stdout, ("200", "101"), path)
        old = self.lab.run("client", "curl", "-sSk", "--max-time", "5", "--tls-max", "1.2", url, check=False)
        self.assertNotEqual(old.returncode, 0, "TLS 1.2 is refused")


class TestServices(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.create_service("web", "image-gallery", options=("--publish", "8010:80"), running=1)

    def create(self, *arguments, host="node1"):
        return self.lab.run(host, "meshctl", "service", "create", "-d", *arguments, check=False)

    def wait_explained(self, service, *words, timeout_s=40):
        """Until a task of the service says in its error what is wrong."""

        texts = []

        def explained():
            texts[:] = [task["Status"].get("Err", "") + task["Status"].get("Message", "") for task in self.cluster.tasks(service)]
            return next((text for text in texts if all(word.lower() in text.lower() for word in words)), None)

        try:
            return harness.wait_for(explained, timeout_s, f"an error of {service} with {words}")
        except harness.TimedOut as error:
            raise harness.TimedOut(f"{error}; its tasks say {texts}") from None

    def test_unknown_image(self):
        self.create_service("lost", "no/such-image:7")
        self.wait_explained("lost", "No such image: no/such-image:7", "manifest unknown", self.lab.address("registry"))

    def test_unreachable_registry(self):
        self.lab.verb("cut", "registry")
        self.addCleanup(self.lab.verb, "heal", "registry")
        self.create_service("waiting", "nginx")
        self.wait_explained("waiting", "pull of", "nginx", f"registry {self.lab.address('registry')}:5000",
                            "the registry cannot be reached from this host",
                            timeout_s=100)  # mirror and registry are each given 30 s
        self.lab.verb("heal", "registry")
        self.cluster.wait_running("waiting", 1)

    def test_corrupt_layer(self):
        registry = f"http://{self.lab.address('registry')}:5000/v2/library/accesslog"
        accept = ("-H", "Accept: application/vnd.docker.distribution.manifest.v2+json")
        manifest = self.lab.http(registry + "/manifests/latest", options=accept).json()
        digest = manifest["layers"][-1]["digest"].partition(":")[2]
        blob = f"/var/lib/registry/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
        self.lab.run("registry", "sh", "-c", f"cp {blob} /tmp/good && printf damaged | dd of={blob} conv=notrunc bs=1 seek=100")
        self.addCleanup(self.lab.run, "registry", "cp", "/tmp/good", blob)
        self.create_service("damaged", "accesslog")
        self.wait_explained("damaged", "pull of", "accesslog", "Digest did not match", f"expected sha256:{digest}",
                            "the registry sent a corrupt blob")
        self.assertEqual(self.cluster.running("damaged"), [])

    def test_ports(self):
        for port, wrong in (("0:99999", "99999"), ("70000:80", "70000"), ("80:0", "0"), ("x:80", "x")):
            self.assertRefused(self.create("--name", "bad", "--publish", port, "nginx"), f'--publish: port "{port}"',
                               f'"{wrong}" is no port; ports are 1 to 65535')
        self.assertRefused(self.create("--name", "bad", "--publish", "8010:80/icmp", "nginx"), '"8010:80/icmp"',
                           'protocol: "icmp" is not one of tcp, udp')
        self.assertRefused(self.create("--name", "second", "--publish", "8010:80", "nginx"), "port '8010' is already in use",
                           "service 'web'")
        self.assertRefused(self.lab.run("node1", "meshctl", "publish", "8010:80", "nobody", check=False),
                           "service nobody not found")

    def test_pools(self):
        self.lab.run("node2", "ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
        self.addCleanup(self.lab.run, "node2", "ip", "link", "del", "lan0")
        self.lab.run("node2", "ip", "address", "add", "10.77.0.1/24", "dev", "lan0")
        self.lab.run("node2", "ip", "link", "set", "lan0", "up")
        self.lab.run("node2", "ip", "link", "set", "lan1", "up")
        self.lab.verb("meshd", "restart", "node2")
        harness.wait_for(lambda: [node["Status"]["State"] for node in self.cluster.api("GET", "/nodes")] == ["ready"] * 3,
                         20, "node2 is back")
        self.cluster.create_network("taken", "--subnet", "10.88.0.0/24")
        self.addCleanup(self.lab.meshctl, "node1", "network", "rm", "taken")
        choose = "choose another --subnet"
        for subnet, words in (("172.30.0.0/24", ["overlaps 172.30.0.0/24 (a network that host ", choose]),
                              ("172.0.0.0/8", ["overlaps 172.30.0.0/24 (a network that host ", choose]),
                              ("10.77.0.0/16", ["overlaps 10.77.0.0/24 (a network that host node2 is connected to)", choose]),
                              ("10.88.0.128/25", ["overlaps 10.88.0.0/24 (network taken)", choose]),
                              ("10.0.0.0/24", ["overlaps 10.0.0.0/16 (network ingress)", choose]),
                              ("10.1.2.3", ["invalid subnet", "has no prefix length", "write it like 10.0.1.0/24"]),
                              ("300.0.0.0/8", ["invalid subnet", '"300.0.0.0" is not an IP address', "like 10.0.0.1"])):
            result = self.lab.run("node1", "meshctl", "network", "create", "--subnet", subnet, "wrong", check=False)
            self.assertRefused(result, subnet.partition("/")[0], *words)

    def test_exhausted_pool(self):
        self.cluster.create_network("small", "--subnet", "10.66.0.0/29")
        self.addCleanup(self.lab.meshctl, "node1", "network", "rm", "small")
        self.create_service("crowd", "mesh-tools", options=("--network", "small", "--replicas", "9"))
        self.wait_explained("crowd", "no address left on network small", "10.66.0.0/29", "use a network with a larger subnet")
        harness.wait_for(lambda: len(self.cluster.running("crowd")) >= 3, 40, "as many run as there are addresses")
        self.lab.meshctl("node1", "service", "scale", "-d", "crowd=2")
        self.cluster.wait_running("crowd", 2)
        self.lab.meshctl("node1", "service", "scale", "-d", "crowd=3")
        self.cluster.wait_running("crowd", 3)

    def test_no_suitable_node(self):
        self.create_service("picky", "mesh-tools", options=("--constraint", "node.labels.storage==raid"))
        self.wait_explained("picky", "no suitable node", "scheduling constraints not satisfied on 3 nodes")
        self.lab.meshctl("node1", "node", "update", "--label-add", "storage=raid", "node2")
        tasks = self.cluster.wait_running("picky", 1)
        self.assertEqual(self.cluster.host_of(tasks[0]), "node2")

    def test_crashing_container_is_restarted_with_a_delay(self):
        self.create_service("crash", "mesh-tools", "sh", "-c", "exit 3")
        self.wait_explained("crash", "non-zero exit (3)")

        def ends():
            """When the tasks failed; each does so at once, so what is between them is the delay."""
            times = [seconds(task["Status"]["Timestamp"]) for task in self.cluster.tasks("crash")
                     if task["Status"]["State"] == "failed"]
            return sorted(times) if len(times) >= 3 else None

        first, second, third = harness.wait_for(ends, 60, "three tasks have failed")[:3]
        for delay in (second - first, third - second):
            self.assertGreaterEqual(delay, RESTART_DELAY_S)
            self.assertLess(delay, RESTART_DELAY_S + STARTED_S)

    def test_memory_limit_is_real(self):
        self.create_service("greedy", "mesh-tools", "sh", "-c", "tail /dev/zero", options=("--limit-memory", "16M"))
        self.wait_explained("greedy", "non-zero exit (137)", "out of memory, the limit was reached")

    def test_bodies_of_every_wrong_kind(self):
        pid = meshd_pid(self.lab, "node1")
        good = json.dumps({"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}})
        wrong = ["", "{", "[]", "null", "7", '"text"', good[:-3], "\x00\x01", '{"Name": 7}', '{"Name": "x", "TaskTemplate": []}',
                 '{"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": ["nginx"]}}}',
                 '{"Name": "../x", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}',
                 '{"Name": "x", "Mode": {"Replicated": {"Replicas": -1}}, "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}',
                 "[" * 5000, '{"Name": "' + "x" * 100_000 + '"}']
        for path in ("/services/create", "/networks/create", "/swarm/update?version=1", "/swarm/join"):
            for body in wrong:
                status, text = self.cluster.request("POST", path, raw_body=body)
                self.assertTrue(400 <= status < 600 and status != 500, f"{path} {body[:60]!r}: {status} {text}")
                self.assertTrue(json.loads(text)["message"], f"{path} {body[:60]!r}")
        status, text = self.cluster.request("GET", "/no/such/route")
        self.assertEqual(status, 404, text)
        status, text = self.cluster.request("GET", "/tasks?filters=" + "%7Bnot-json")
        self.assertEqual(status, 400, text)
        for line in ("GARBAGE", "GET", "GET / HTTP/9.9\r\n\r\n", "POST /services/create HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"):
            self.lab.run("node1", "socat", "-t1", "-", "UNIX-CONNECT:/run/meshd.sock", text_input=line, check=False)
        self.assertEqual(meshd_pid(self.lab, "node1"), pid)
        self.assertEqual(self.cluster.request("GET", "/_ping")[0], 200)


class TestDaemon(harness.LabTest):
    """One meshd on a bare host."""

    options = ("--no-meshd",)
    nodes = 1

    def start_fails(self, *arguments):
        address = () if "--advertise-addr" in arguments else ("--advertise-addr", self.lab.address("node1"))
        return self.lab.run("node1", "timeout", "15", "meshd", "--data-dir", "/var/lib/other", *address, *arguments,
                            check=False)

    def test_no_uplink(self):
        result = self.start_fails("--uplink", "eth9")
        self.assertNotEqual(result.returncode, 124, "it must not go on without an uplink")
        text = result.stdout + result.stderr
        self.assertIn('no uplink: there is no interface "eth9" (here: eth0)', text)
        self.assertNotIn("terminate called", text)

    def test_uplink_without_xdp(self):
        self.lab.run("node1", "ip", "link", "add", "br9", "type", "bridge")
        self.lab.run("node1", "ip", "address", "add", "10.99.0.1/24", "dev", "br9")
        self.lab.run("node1", "ip", "link", "set", "br9", "up")
        self.addCleanup(self.lab.run, "node1", "ip", "link", "del", "br9")
        result = self.start_fails("--advertise-addr", "10.99.0.1", "--uplink", "br9", "--uplink-mode", "xdp")
        self.assertNotEqual(result.returncode, 124, "it must not go on without the hook")
        text = result.stdout + result.stderr
        self.assertIn("uplink br9: its driver bridge does not run XDP programs; use --uplink-mode tc (or auto)", text)

    def refused(self, *rules):
        """A prefix for commands: the kernel answers these system calls as one that lacks something does."""
        return ("/usr/bin/python3", "-B", REFUSE, *rules, "--")

    def in_own_mounts(self, script):
        return ("unshare", "-m", "--propagation", "private", "--", "sh", "-c", script + ' && exec "$@"', "sh")

    def test_what_the_host_lacks_is_named_at_start(self):
        release = self.lab.run("node1", "uname", "-r").stdout.strip()
        new_namespace = f"unshare:0={0x40000000}=EINVAL"  # CLONE_NEWNET
        no_netfilter = "socket:0=16,2=12=EPROTONOSUPPORT"  # AF_NETLINK, NETLINK_NETFILTER
        no_programs = "bpf:0=5=EPERM"  # BPF_PROG_LOAD
        cases = (
            (1, self.refused("bpf=ENOSYS"), ["the bpf(2) system call", "CONFIG_BPF_SYSCALL"]),
            (1, self.refused("bpf=EPERM"), ["permission for BPF", "CAP_BPF", "seccomp"]),
            (1, self.refused(no_programs), ["permission for BPF", "a program for XDP"]),
            (1, self.refused("fsopen=ENODEV"), ["overlay", "CONFIG_OVERLAY_FS"]),
            (1, self.refused(no_netfilter), ["nftables", "CONFIG_NF_TABLES"]),
            (1, self.refused(new_namespace), ["network namespaces", "CONFIG_NET_NS"]),
            (2, self.refused("bpf=ENOSYS", "fsopen=ENODEV"), ["CONFIG_BPF_SYSCALL", "CONFIG_OVERLAY_FS"]),
            (1, ("setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin", "--"), ["CAP_NET_ADMIN"]),
            (1, self.in_own_mounts("mount -t tmpfs none /sys/fs/bpf"), ["BPF file system", "mount -t bpf bpf /sys/fs/bpf"]),
        )
        for count, prefix, words in cases:
            with self.subTest(words=words):
                result = self.lab.run("node1", *prefix, "timeout", "15", "meshd", "--data-dir", "/var/lib/other",
                                      "--advertise-addr", self.lab.address("node1"), check=False)
                text = result.stdout + result.stderr
                self.assertEqual(result.returncode, 1, text)
                for word in (f"this host (Linux {release}) lacks what meshd needs", *words):
                    self.assertIn(word, text)
                self.assertEqual(len(re.findall(r"(?m)^  - ", text)), count, "no more and no less is named: " + text)
        self.assertNotIn("meshd", self.lab.run("node1", "ls", "/sys/fs/bpf").stdout, "nothing is left behind")

    def start_alone(self, *prefix, settings=()):
        """meshd of its own below a prefix, made a cluster of one; everything of it goes with the test."""
        options = ("--data-dir", "/var/lib/other", *settings)

        def end():
            self.lab.run("node1", "pkill", "-x", "meshd", check=False)
            harness.wait_for(lambda: self.lab.run("node1", "pgrep", "-x", "meshd", check=False).returncode == 1, 20,
                             "meshd has ended")
            self.lab.run("node1", "meshd", "--cleanup", *options)

        self.addCleanup(end)
        self.lab.daemon("node1", *prefix, "meshd", *options, "--advertise-addr", self.lab.address("node1"))
        harness.wait_for(lambda: self.lab.run("node1", "meshctl", "info", check=False).returncode == 0, 20, "meshd is up")
        self.lab.meshctl("node1", "swarm", "init")

    def test_listens_where_it_was_told(self):
        self.start_alone(settings=("--listen", "0.0.0.0:2399"))
        ports = re.findall(r":(23\d\d) ", self.lab.run("node1", "ss", "-Hltn").stdout)
        self.assertEqual(ports, ["2399"])
        self.assertIn(f"{self.lab.address('node1')}:2399", self.lab.meshctl("node1", "swarm", "join-token", "worker"))

    def test_type_information_of_the_kernel_is_not_needed(self):
        self.start_alone(*self.in_own_mounts("mount -t tmpfs none /sys/kernel/btf"))
        self.lab.wait_agreement("node1", 30)

    def test_what_fails_later_is_told(self):
        """The programs load, and may not be pinned."""
        self.start_alone(*self.refused("bpf:0=6=EPERM"))  # BPF_OBJ_PIN
        harness.wait_for(lambda: re.search(r"(?m)^  node1: kernel: pin /sys/fs/bpf/\S+: .*not permitted",
                                           self.lab.meshctl("node1", "status")), 30, "meshctl status says why")
        result = self.lab.run("node1", "meshctl", "dataplane", "status", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("the data plane is not open: kernel: pin /sys/fs/bpf/", result.stdout + result.stderr)

    def test_two_on_one_data_directory(self):
        self.lab.verb("meshd", "start", "node1")
        self.addCleanup(self.lab.verb, "meshd", "stop", "node1")
        result = self.lab.run("node1", "timeout", "15", "meshd", "--data-dir", "/var/lib/meshd", "--uplink", "eth0", check=False)
        self.assertNotIn(result.returncode, (0, 124), result.stdout + result.stderr)
        self.assertRegex(result.stdout + result.stderr, r"another meshd \(pid \d+\) uses /var/lib/meshd; stop it, or give this "
                                                        r"one another --data-dir")
        self.assertEqual(self.lab.run("node1", "meshctl", "info").returncode, 0, "the first one is unhurt")

    def test_bad_options(self):
        for arguments, words in ((["--uplink-mode", "magic"], ['uplink-mode: "magic" is not auto, xdp or tc']),
                                 (["--nonsense"], ["--nonsense", "meshd --help lists the flags"]),
                                 (["--config", "/no/such/file"], ["--config", "/no/such/file: No such file"])):
            result = self.start_fails(*arguments)
            self.assertNotIn(result.returncode, (0, 124), arguments)
            for word in words:
                self.assertIn(word, result.stdout + result.stderr)


if __name__ == "__main__":
    harness.main()
