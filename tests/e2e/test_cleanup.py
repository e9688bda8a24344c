"""meshd --cleanup removes every trace of meshd from a host, and a stopped meshd leaves traffic alone."""

import harness
from cluster import Cluster

# Everything of a host that meshd may have touched, as text. Link-local addresses come a moment after their link.
INVENTORY = r"""
ip -o link | sed 's/^[0-9]*: //' | awk '{print $1, $2}' | sort
ip -4 route show table all | sort; ip -6 route show table all | grep -v -e ' expires ' -e fe80 | sort; ip rule; ip -6 rule
nft list ruleset
find /sys/fs/bpf -mindepth 1 | grep -v '\.debug$' | sort
tc filter show dev eth0 ingress; ip -d -o link show eth0 | grep -o 'xdp[a-z]*' || true
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/ip_local_reserved_ports
awk '{print $2, $3}' /proc/self/mounts | sort
ls /run; ls -A /var/lib/meshd 2>/dev/null
find $CGROUPS -type d | sort
"""


class TestCleanup(harness.LabTest):
    options = ("--no-meshd",)
    nodes = 1
    maxDiff = None

    def inventory(self):
        cgroups = f"$(awk '$3 ~ /^cgroup2?$/ {{print $2 \"/meshlab-{self.lab.name}/node1\"}}' /proc/mounts)"
        return self.lab.run("node1", "sh", "-c", INVENTORY.replace("$CGROUPS", cgroups)).stdout

    def processes(self):
        return sorted(self.lab.run("node1", "ps", "-eo", "comm=").stdout.split())

    def test_no_trace_is_left(self):
        self.lab.run("node1", "sh", "-c", "touch /run/lab-meshd.pid")
        before, processes = self.inventory(), self.processes()
        self.lab.verb("meshd", "start", "node1")
        self.lab.meshctl("node1", "swarm", "init", "--advertise-addr", self.lab.address("node1"))
        cluster = Cluster(self.lab)
        cluster.create_network("net")
        cluster.create_service("web", "image-gallery", running=2,
                               options=("--network", "net", "--replicas", "2", "--publish", "8010:80"))
        self.assertEqual(self.lab.http(self.lab.url("node1", 8010, "/whoami")).status, 200)
        self.assertNotEqual(self.inventory(), before)

        self.lab.verb("meshd", "stop", "node1")
        self.assertEqual(self.lab.http(self.lab.url("node1", 8010, "/whoami")).status, 200, "served without meshd")
        cgroup = self.lab.run("node1", "sed", "-n", "s/^0:://p", "/proc/1/cgroup").stdout.strip().rpartition("/")[0]
        root = self.lab.run("node1", "awk", '$3 == "cgroup2" {print $2; exit}', "/proc/mounts").stdout.strip()
        cleanup = ("meshd", "--cleanup", "--data-dir", "/var/lib/meshd", "--uplink", "eth0", "--cgroup-root", root + cgroup)
        self.lab.run("node1", *cleanup)
        self.assertEqual(self.inventory(), before)
        self.assertEqual(self.processes(), processes)
        self.lab.run("node1", *cleanup)  # nothing left to do is no error


if __name__ == "__main__":
    harness.main()
