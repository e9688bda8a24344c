"""The lab itself: hosts, wires, cut and heal, kill and restart, and that nothing stays behind."""

import json
import os
import subprocess
import time
import unittest
import urllib.request

import harness
from cluster import Cluster


def ping(lab, source, target, family=4):
    result = lab.run(source, "busybox", "ping", "-c", "1", "-W", "2", lab.address(target, family), check=False)
    return result.returncode == 0


class TestHosts(harness.LabTest):
    """What a host is and what it is not."""

    options = ("--no-meshd",)
    nodes = 2

    def test_hosts_reach_each_other_and_the_world(self):
        for family in (4, 6):
            for source, target in (("node1", "node2"), ("client", "node1"), ("node2", "registry")):
                self.assertTrue(ping(self.lab, source, target, family), f"{source} to {target}, IPv{family}")
        world = self.lab.run("node1", "busybox", "ping", "-c", "1", "-W", "2", harness.addresses.WORLD_V4)
        self.assertIn("1 packets received", world.stdout)

    def test_exec_passes_exit_code_output_and_input(self):
        result = self.lab.run("node1", "sh", "-c", "cat; echo oops >&2; exit 42", check=False, text_input="hello\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (42, "hello\n", "oops\n"))

    def test_exec_that_is_killed_takes_its_command_along(self):
        process = self.lab.start("node1", "sleep", "1234")
        harness.wait_for(lambda: self.lab.run("node1", "pgrep", "-f", "^sleep 1234", check=False).stdout, 5,
                         "the command runs")
        process.kill()
        harness.wait_for(lambda: not self.lab.run("node1", "pgrep", "-f", "^sleep 1234", check=False).stdout, 5,
                         "the command is gone")

    def test_namespaces_are_the_hosts_own(self):
        self.assertEqual(self.lab.run("node2", "hostname").stdout, "node2\n")
        self.assertEqual(self.lab.run("node2", "cat", "/etc/hostname").stdout, "node2\n")
        self.assertEqual(self.lab.run("node1", "ps", "-o", "comm=", "-p", "1").stdout.strip(), "python3")
        interfaces = self.lab.run("node1", "ls", "/sys/class/net").stdout.split()
        self.assertEqual(sorted(interfaces), ["eth0", "lo"])

    def test_file_trees_are_private(self):
        for path in ("/run/mark", "/var/lib/meshd/mark", "/tmp/mark", "/etc/mark", "/dev/shm/mark", "/sys/fs/bpf/mark"):
            make = ["mkdir", path] if path.startswith("/sys") else ["touch", path]
            self.lab.run("node1", *make)
            self.assertFalse(os.path.exists(path), f"{path} leaked to the machine")
            self.assertNotEqual(self.lab.run("node2", "test", "-e", path, check=False).returncode, 0,
                                f"{path} leaked to another host")
        self.assertNotEqual(self.lab.run("node1", "touch", "/usr/mark", check=False).returncode, 0)

    def test_processes_live_in_the_hosts_cgroup(self):
        lines = self.lab.run("node1", "cat", "/proc/self/cgroup").stdout.split()
        self.assertIn(f"0::/meshlab-{self.lab.name}/node1/init", lines)
        for line in lines:
            self.assertTrue(line.endswith(f":/meshlab-{self.lab.name}/node1/init"), line)
        # A cgroup for a container, made in the host, in every hierarchy the kernel has.
        self.lab.run("node1", "sh", "-ec", f"""
            for root in $(awk '$3 ~ /^cgroup2?$/ {{print $2}}' /proc/mounts); do
                mkdir $root/meshlab-{self.lab.name}/node1/box; rmdir $root/meshlab-{self.lab.name}/node1/box
            done""")

    def test_process_1_reaps_orphans(self):
        self.lab.run("node1", "sh", "-c", "(sleep 0.2 & exec sh -c 'exit 0') & wait")
        harness.wait_for(lambda: "Z" not in self.lab.run("node1", "ps", "-eo", "stat=").stdout, 5, "no zombie stays")

    def test_wires_are_like_the_mode_wants(self):
        features = self.lab.run("node1", "ethtool", "-k", "eth0").stdout
        state = "off" if self.lab.uplink_mode == "xdp" else "on"
        for feature in ("tx-checksumming", "tcp-segmentation-offload"):
            self.assertIn(f"{feature}: {state}", features)
        self.assertIn("generic-receive-offload: on", features)

    def test_registry_answers(self):
        answer = self.lab.http(f"http://{self.lab.address('registry')}:5000/v2/", host="node1")
        self.assertEqual((answer.status, answer.body), (200, "{}"))

    def test_open_leads_in_from_the_machine(self):
        self.lab.run("node2", "mkdir", "-p", "/run/www")
        self.lab.run("node2", "sh", "-c", "echo from node2 >/run/www/index.html")
        self.lab.start("node2", "/usr/bin/python3", "-m", "http.server", "--directory", "/run/www", "8088",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        url = self.lab.verb("open", "node2", "8088", "--background").stdout.strip()
        self.assertRegex(url, r"^http://127\.0\.0\.1:\d+/$")

        def page():
            try:
                return urllib.request.urlopen(url, timeout=5).read()
            except OSError:
                return None

        self.assertEqual(harness.wait_for(page, 10, "the page through the door"), b"from node2\n")


class TestFaults(harness.LabTest):
    options = ("--no-meshd",)
    nodes = 2

    def test_cut_loses_packets_both_ways_and_kills_nothing(self):
        listener = self.lab.start("node2", "sleep", "1000")
        self.lab.verb("cut", "node2")
        self.assertFalse(ping(self.lab, "node1", "node2"))
        self.assertFalse(ping(self.lab, "node2", "client", family=6))
        self.assertTrue(ping(self.lab, "node1", "client"), "the others are not cut")
        self.assertIn("LOWER_UP", self.lab.run("node2", "ip", "link", "show", "eth0").stdout)
        self.assertIsNone(listener.poll())
        self.lab.verb("heal", "node2")
        harness.wait_for(lambda: ping(self.lab, "node1", "node2"), 5, "healed")
        self.assertIsNone(listener.poll())

    def test_kill_and_restart_keep_the_disk_and_nothing_else(self):
        self.lab.run("node2", "sh", "-c", "echo kept >/var/lib/meshd/file; echo lost >/run/file")
        running = self.lab.start("node2", "sleep", "1000")
        self.lab.verb("kill", "node2")
        self.assertNotEqual(running.wait(10), 0)
        self.assertFalse(ping(self.lab, "node1", "node2"))
        failed = self.lab.run("node2", "true", check=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("node2 of lab", failed.stderr)
        self.assertIn("restart node2", failed.stderr)
        self.lab.verb("restart", "node2")
        self.assertTrue(ping(self.lab, "node1", "node2"))
        self.assertEqual(self.lab.run("node2", "cat", "/var/lib/meshd/file").stdout, "kept\n")
        self.assertNotEqual(self.lab.run("node2", "cat", "/run/file", check=False).returncode, 0)

    def test_a_cut_outlives_a_restart(self):
        self.lab.verb("cut", "node1")
        self.lab.verb("restart", "node1")
        self.assertFalse(ping(self.lab, "node1", "client"))
        self.lab.verb("heal", "node1")
        harness.wait_for(lambda: ping(self.lab, "node1", "client"), 5, "healed")


class TestBare(harness.LabTest):
    """meshd on every node, and nobody has formed a cluster yet."""

    options = ("--bare",)
    nodes = 2

    def info(self, host):
        return json.loads(self.lab.meshctl(host, "info", "--format", "json"))[0]

    def test_hosts_wait_to_be_made_a_cluster(self):
        for host in self.lab.node_names():
            self.assertEqual(self.info(host)["Swarm"]["LocalNodeState"], "inactive", host)
        self.lab.verb("restart", "node2")
        self.assertEqual(self.info("node2")["Swarm"]["LocalNodeState"], "inactive", "meshd starts with its host")
        self.lab.meshctl("node1", "swarm", "init", "--advertise-addr", self.lab.address("node1"))
        token = self.lab.meshctl("node1", "swarm", "join-token", "-q", "worker")
        self.lab.meshctl("node2", "swarm", "join", "--token", token, f"{self.lab.address('node1')}:2377")
        names = self.lab.meshctl("node1", "node", "ls", "--format", "{{.Hostname}}").split()
        self.assertEqual(sorted(names), ["node1", "node2"])


class TestCommandLine(unittest.TestCase):
    def fails(self, *arguments):
        result = subprocess.run([harness.LAB, *arguments], capture_output=True, text=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result.stderr

    def test_unknown_lab_and_host(self):
        self.assertIn("no lab called e2e-none", self.fails("exec", "--name", "e2e-none", "node1", "--", "true"))
        with harness.Lab(1, "--no-meshd") as lab:
            self.assertIn("no host node9", self.fails("kill", "--name", lab.name, "node9"))
            self.assertIn("exists already", self.fails("up", "1", "--no-meshd", "--name", lab.name))

    def test_bad_sizes_and_names(self):
        self.assertIn("1 to 200", self.fails("up", "0", "--no-meshd", "--name", "e2e-zero"))
        self.assertIn("not usable", self.fails("up", "1", "--no-meshd", "--name", "../etc"))

    def test_missing_binaries_are_named(self):
        self.assertIn("/nonexistent/bin/meshd", self.fails("up", "1", "--name", "e2e-nobin", "--build", "/nonexistent"))

    def test_two_labs_coexist(self):
        with harness.Lab(1, "--no-meshd") as one, harness.Lab(1, "--no-meshd") as two:
            one.run("node1", "touch", "/var/lib/meshd/mine")
            self.assertNotEqual(two.run("node1", "test", "-e", "/var/lib/meshd/mine", check=False).returncode, 0)
            one.verb("cut", "node1")
            self.assertTrue(ping(two, "client", "node1"))
            self.assertFalse(ping(one, "client", "node1"))


def cgroup_mounts():
    with open("/proc/mounts") as mounts:
        return [line.split()[1] for line in mounts if line.split()[2] in ("cgroup", "cgroup2")]


def machine_state(ignored_cgroups):
    """All that a lab must leave as it was. Cgroups of other labs come and go and are none of our business."""

    def output(*command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def sysctls():
        found = {}
        for directory, _, names in os.walk("/proc/sys/net"):
            for name in names:
                try:
                    with open(os.path.join(directory, name)) as file:
                        found[os.path.join(directory, name)] = file.read()
                except OSError:
                    pass
        return found

    def cgroups():
        found = []
        for point in cgroup_mounts():
            for directory, names, _ in os.walk(point):
                names[:] = [name for name in names if directory != point or not name.startswith(ignored_cgroups)]
                found.append(directory)
        return sorted(found)

    def bpf_objects(kind):
        return sorted(one["id"] for one in json.loads(output("bpftool", "-j", kind, "list") or "[]"))

    with open("/proc/self/mounts") as mounts:
        mount_points = sorted(line.split()[1] for line in mounts)
    return {
        "links": output("ip", "-o", "link"),
        "addresses": output("ip", "-o", "address"),
        "rules": output("ip", "rule"),
        "routes": output("ip", "-4", "route", "show", "table", "all") + output("ip", "-6", "route", "show", "table", "all"),
        "nftables": output("nft", "list", "ruleset"),
        "namespaces": output("ip", "netns", "list"),
        "sysctls": sysctls(),
        "mounts": mount_points,
        "cgroups": cgroups(),
        **{f"BPF {kind}s": bpf_objects(kind) for kind in ("prog", "map", "link")},
        "labs": harness.state.names(),
    }


class TestNothingStaysBehind(unittest.TestCase):
    maxDiff = None

    def difference(self, before, after):
        """What came, and of what should be there still what went, by name. Labs and BPF objects of other users of the
        machine may go at the same time."""
        found = {}
        for key, old in before.items():
            new = after[key]
            if key == "labs" or key.startswith("BPF"):
                new, old = sorted(set(new) - set(old)), []
            if new != old:
                found[key] = (old, new)
        return found

    def pids_of(self, name):
        found = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cgroup") as file:
                    if f"/meshlab-{name}/" in file.read():
                        found.add(pid)
            except OSError:
                pass
        return found

    def use_the_mesh(self, lab):
        """A published service on a network: every kind of thing that meshd puts into a kernel is there."""
        cluster = Cluster(lab)
        cluster.create_network("net")
        cluster.create_service("web", "image-gallery", running=2,
                               options=("--network", "net", "--replicas", "2", "--publish", "8010:80"))
        for host in lab.node_names():
            harness.wait_for(lambda h=host: lab.http(lab.url(h, 8010, "/whoami"), check=False), 10, f"{host} answers")

    def run_through_all_verbs(self, lab):
        with lab:
            self.use_the_mesh(lab)
            held = machine_state(("meshlab-",))
            for kind in ("BPF progs", "BPF maps", "BPF links"):
                self.assertTrue(set(held[kind]) - set(self.before[kind]), f"the lab has {kind}, or comparing shows nothing")
            lab.verb("cut", "node1")
            lab.verb("heal", "node1")
            lab.verb("kill", "node2")
            lab.verb("restart", "node2")
            lab.verb("open", "node1", "80", "--background")
            lab.start("node1", "sleep", "1000")
            pids = harness.wait_for(lambda: self.pids_of(lab.name), 5, "processes of the lab")
            self.assertGreaterEqual(len(pids), 6)
        return pids

    def test_machine_is_as_before(self):
        ignored = ("meshlab-",)
        before = self.before = machine_state(ignored)
        lab = harness.Lab(2)
        self.run_through_all_verbs(lab)
        # Dead at once; listed until the machine's own process 1 has reaped them.
        harness.wait_for(lambda: not self.pids_of(lab.name), 5, "no process is left")
        self.assertFalse(harness.state.exists(lab.name))
        harness.wait_for_value(lambda: self.difference(before, machine_state(ignored)), {}, 10, "the machine is as before")

    def test_down_works_after_a_crash_of_up(self):
        """up is killed at a random moment of its work; down still finds everything."""
        for delay_s in (0.05, 0.15, 0.3, 0.6):
            name = harness.lab_name(f"{int(delay_s * 1000)}ms")
            up = subprocess.Popen([harness.LAB, "up", "2", "--build", harness.BUILD_DIR, "--name", name], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + delay_s
            harness.wait_for(lambda: time.monotonic() > deadline or up.poll() is not None, 5, "the moment", 0.01)
            up.kill()
            up.wait()
            subprocess.run([harness.LAB, "down", "--name", name], capture_output=True)
            harness.wait_for(lambda: not self.pids_of(name), 5, "no process is left")
            self.assertFalse(harness.state.exists(name))


if __name__ == "__main__":
    harness.main()
